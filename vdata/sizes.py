"""Numbers of bytes, for people."""


def in_words(count: float) -> str:
    """A number of bytes with its unit.

    >>> in_words(999), in_words(1.5e6)
    ('999 B', '1.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
