"""Of which version of which object a part is, and the record that says so on disk."""

from __future__ import annotations

import json
from typing import NamedTuple

from vdata.fetching.answer import dated, strong


class Origin(NamedTuple):
    """`etag` is a strong one; `total` None: nobody said how long the object is."""

    url: str = ""
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def stable(self) -> bool:
        """Whether a server can be asked for the rest of this very version."""
        return bool(self.etag or self.modified)


def recorded(part: str, origin: Origin, written: int) -> bytes:
    """The record: the part's name, its origin, and how many of its bytes have surely reached the disk.

    >>> parsed(recorded("a.zip.01234567.part", Origin("http://host/a.zip", '"tag"', "", 9), 5))
    ('a.zip.01234567.part', Origin(url='http://host/a.zip', etag='"tag"', modified='', total=9), 5)
    """
    return json.dumps({"part": part, **origin._asdict(), "written": written}).encode().ljust(1023) + b"\n"


def parsed(record: bytes) -> tuple[str, Origin, int] | None:
    """What a record says; None where it was cut by a crash, or is anything else: the download then starts anew.

    >>> parsed(b'{"part": "a.zip.01234567.part", "written": 1e999}')
    """
    try:
        said = json.loads(record)
        part, url, etag, modified = (said[name] for name in ("part", "url", "etag", "modified"))
        total, written = said["total"], said["written"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    words = all(type(text) is str for text in (part, url, etag, modified))
    if not words or type(written) is not int or type(total) not in (int, type(None)):
        return None
    return part, Origin(url, strong(etag), dated(modified), total), written
