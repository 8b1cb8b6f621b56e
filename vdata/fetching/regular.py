"""Only regular files are read and written: a pipe has no end, a device is no place for bytes, a link leads elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vdata.errors import DataError

NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(
    os, "O_BINARY", 0
)  # a pipe is opened without waiting for its other end
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def expect_regular(path: Path, *, links: bool) -> None:
    """Nothing where there is a regular file or nothing (or, with `links`, a link to one). DataError: what it is instead."""
    try:
        mode = os.stat(path, follow_symlinks=links).st_mode
    except FileNotFoundError:
        if links and path.is_symlink():
            why = f"{path.name} is a symbolic link to {os.readlink(path)}, and nothing is there"
            do = "bring back what it leads to, or remove the link and download the file again"
            raise DataError(why, url=str(path), do=do) from None
        return
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise DataError(
            f"{path.name} is {what}, and should be a file", url=str(path), do="move it away, and start again"
        )


def is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def read_regular(path: Path, most: int) -> bytes:
    """The first bytes of a file; none where there is no regular file."""
    try:
        file = os.open(path, os.O_RDONLY | NO_WAIT | NO_LINK)
    except OSError:
        return b""
    try:
        return os.read(file, most) if is_regular(file) else b""
    except OSError:
        return b""
    finally:
        os.close(file)
