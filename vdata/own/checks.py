"""What all readers of people's own data check, and say in the same words."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from vdata import codecs
from vdata.encoded import Encoded
from vdata.errors import DataError
from vdata.field import Field
from vdata.files import Tree

IMAGE = Field("Image", "uint8", (3, "H", "W"))
_FAR = 0.5  # of the picture's side: a box that reaches further out was made for another picture


def near(word: str, words: Iterable[str]) -> str:
    """A hint at the word that was meant.

    >>> near("lable", ["path", "label"])
    " (did you mean 'label'?)"
    """
    found = difflib.get_close_matches(word, list(words), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def objection(corners: np.ndarray, canvas: tuple[int, int] | None) -> tuple[int, str] | None:
    """(number, why) of the first of the boxes, corners [N, 4], that cannot be; None where all can.

    >>> objection(np.array([[1, 1, 5, 5], [6, 2, 3, 4.0]]), None)
    (1, 'has a negative size: (6, 2) to (3, 4)')
    """
    x1, y1, x2, y2 = corners.T
    finite = np.isfinite(corners).all(axis=1)
    negative = (x2 < x1) | (y2 < y1)
    outside = np.zeros(len(corners), bool)
    if canvas is not None:
        height, width = canvas
        outside |= (x1 < -_FAR * width) | (y1 < -_FAR * height) | (x2 > (1 + _FAR) * width) | (y2 > (1 + _FAR) * height)
        outside |= (x2 < 0) | (y2 < 0) | (x1 > width) | (y1 > height)
    bad = np.flatnonzero(~finite | negative | outside)
    if not len(bad):
        return None
    number = int(bad[0])
    a, b, c, d = corners[number].tolist()
    place = f"({a:g}, {b:g}) to ({c:g}, {d:g})"
    if not np.isfinite(corners[number]).all():
        return number, f"has a corner that is not finite: {place}"
    if negative[number]:
        return number, f"has a negative size: {place}"
    assert canvas is not None
    return number, f"lies far outside of its picture of {canvas[1]} x {canvas[0]}: {place}"


def numbered(names: Sequence[str], categories: Sequence[str] | None) -> dict[str, int]:
    """Name -> class number: that of `categories`, else of the sorted names."""
    listed = sorted(set(names)) if categories is None else list(categories)
    twice = [name for name, count in Counter(listed).items() if count > 1]
    if twice:
        raise DataError(f"categories has {twice[0]!r} twice")
    return {name: number for number, name in enumerate(listed)}


def pictures_in(root: str, paths: Sequence[str], said: str) -> tuple[Tree, list[str]]:
    """The folder that holds all of the pictures, and their paths in it; DataError that names those that are not there.

    said  what named them, for errors
    """
    root = os.path.abspath(root)
    remote = next((p for p in paths if "://" in p), None)
    if remote is not None:
        raise DataError(f"{said} names a picture by a URL, {remote}", url=root, do="fetch the pictures, and name files")
    full = [os.path.normpath(os.path.join(root, path.replace("\\", "/"))) for path in paths]
    if not all(path.startswith(root + os.sep) for path in full):
        root = os.path.commonpath([os.path.dirname(path) for path in full])
    start = len(root.rstrip("/")) + 1
    inside = [path[start:] for path in full]
    tree = Tree(root)
    for folder in {path.rpartition("/")[0] for path in inside}:
        if not set("*?") & set(folder):
            tree.glob(f"{folder}/*" if folder else "*")  # one listing instead of a question a picture
    lost = [path for path in inside if path not in tree]
    if lost:
        some = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
        raise DataError(f"{len(lost)} of the {len(paths)} pictures that {said} names are not there: {some}", url=root,
                        do="say in which folder they are, or take them out")  # fmt: skip
    return tree, inside


def keys_of(paths: Sequence[str]) -> list[str]:
    """Paths without their suffixes; with them where two would be the same."""
    stems = [_stem(path) for path in paths]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def picture(read: Callable[[], bytes], url: str, key: str, orient: bool) -> Encoded:
    suffix = url.rpartition("/")[2].rpartition(".")[2].lower()
    return Encoded.later(read, "Image", suffix, where={"url": url, "key": key, "field": "image"}, orient=orient)


def check_size(image: Encoded, size: tuple[int, int], what: str) -> None:
    """DataError unless what was annotated has the picture's size; a hint where EXIF turned the picture."""
    found = codecs.size(image)
    if found == size:
        return
    turned = codecs.size(Encoded(image.data, image.type, where=image.where, orient=not image.orient))
    do = f"its EXIF orientation makes the difference: say orient={not image.orient}" if turned == size else ""
    raise DataError(
        f"the picture has {found[1]} x {found[0]} pixels, and {what} {size[1]} x {size[0]}", do=do, **image.where
    )
