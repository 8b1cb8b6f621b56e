"""Whether what came can be the file: servers send login pages, error messages and packed bytes, all with "200 OK"."""

from __future__ import annotations

import re
from typing import Any

from vdata.card import Archive

HEAD = 512  # bytes that tell a web page, and every format below
_PAGE = re.compile(
    rb"(?is)(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype html|html|head|body)\b"
)
_MARK = re.compile(rb"(?:\xef\xbb\xbf)?\s*([<{\[])")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAGIC = {  # suffix -> (place, what is there)
    ".zip": (0, (b"PK",)),
    ".npz": (0, (b"PK",)),
    ".gz": (0, (b"\x1f\x8b",)),
    ".tgz": (0, (b"\x1f\x8b",)),
    ".bz2": (0, (b"BZh",)),
    ".xz": (0, (b"\xfd7zXZ\0",)),
    ".tar": (257, (b"ustar",)),
    ".mat": (0, (b"MATLAB", _HDF5)),
    ".h5": (0, (_HDF5,)),
}
_TYPES = {  # media type -> what the names of such files have in their suffix
    "text/html": ("a web page", ".htm", ".html", ".xhtml"),
    "application/xhtml+xml": ("a web page", ".htm", ".html", ".xhtml"),
    "application/json": ("JSON", ".json", ".geojson", ".jsonl", ".ndjson", ".ipynb"),
    "application/problem+json": ("JSON", ".json"),
}
_PACKED = {"gzip": (".gz", ".tgz"), "x-gzip": (".gz", ".tgz"), "x-bzip2": (".bz2",), "x-xz": (".xz",)}


def instead(name: str, head: bytes) -> str:
    """What a file begins like that can't be of this name, from its first HEAD bytes; "" where it can.

    A binary file without the mark of its format may be an old variant, but never plain text.

    >>> instead("a.zip", b'{"error": "quota exceeded"}'), instead("a.json", b'{"images": []}')
    ('JSON', '')
    """
    if page(name, head):
        return "a web page"
    place, magics = _MAGIC.get(_suffix(name), (0, (b"",)))
    if head.startswith(magics, place) or (_BINARY.search(head) and not _MARK.match(head)):
        return ""
    mark = _MARK.match(head)
    return "plain text" if mark is None else "XML" if mark[1] == b"<" else "JSON"


def page(name: str, head: bytes) -> bool:
    """Whether a file of this name begins like a web page, which it should not."""
    return _suffix(name) not in _TYPES["text/html"] and _PAGE.match(head) is not None


def said_instead(name: str, answer: Any) -> str:
    """What a server calls its answer, if no file of this name is one."""
    what, *suffixes = _TYPES.get(answer.headers.get_content_type(), ("", _suffix(name)))
    return "" if _suffix(name) in suffixes else what


def is_packed(archive: Archive, answer: Any) -> bool:
    """Whether the bytes are packed on the way, which was not asked for: they are not those of the file.

    Some servers call a.tar.gz "a.tar, packed" and send it as it is: taken where its size or hash will tell.
    """
    said = answer.headers.get("Content-Encoding", "").strip().lower()
    known = archive.bytes or archive.md5 or archive.sha256
    return said not in ("", "identity") and not (known and _suffix(archive.name) in _PACKED.get(said, ()))


def _suffix(name: str) -> str:
    return "." + name.lower().rpartition(".")[2]
