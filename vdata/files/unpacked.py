"""One compressed file that is no archive."""

from __future__ import annotations

import lzma
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from vdata.errors import NoIndexError, ShardError, TruncatedShardError
from vdata.files.base import AGAIN, Members, in_memory, part
from vdata.files.kept import stamp
from vdata.files.tars import MAX_HELD, decompressed
from vdata.once import Once
from vdata.table import Table


class Unpacked(Members):
    """One compressed file without a seek index, "x.h5.gz" as "x.h5": in memory, if `held` allows it, else it raises."""

    def __init__(self, path: str | Path, held: Iterable[str] = (), why: str = ""):
        self.path = self.url = str(path)
        self.held, self.why = tuple(held), why
        self._stamps = {os.path.abspath(self.path): stamp(self.path)}  # before it is looked at
        self._content = Once(self._unpacked)
        self.members = Table.of([{"name": Path(self.path).stem}])

    def _unpacked(self) -> bytes:
        if not self.held or os.path.getsize(self.path) > MAX_HELD:
            raise NoIndexError(f"{self.url} is compressed as a whole: {self.why}")
        try:
            with open(self.path, "rb") as raw, decompressed(raw) as inner:
                data = inner.read(MAX_HELD + 1)
        except (EOFError, zlib.error) as error:
            raise TruncatedShardError(f"the file is cut or damaged: {error}", url=self.url, do=AGAIN) from error
        except (OSError, lzma.LZMAError) as error:
            raise ShardError(f"not a readable compressed file: {error}", url=self.url, do=AGAIN) from error
        if len(data) > MAX_HELD:
            raise ShardError(f"it unpacks to more than {MAX_HELD >> 20} MiB", url=self.url, do=self.why)
        return data

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        self._row(path)
        return part(self._content(), start, size, path, self.url)

    def open(self, path: str) -> BinaryIO:
        return in_memory(self.read(path))

    def stamps(self) -> dict[str, str]:
        return self._stamps

    def __reduce__(self):
        return type(self), (self.path, self.held, self.why)  # not what is held: it may be large, and is there anyway


