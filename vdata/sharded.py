"""A `Source` over shards: the manifest says where, ranges are read, every checksum is checked on every read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from crc32c import crc32c

from vdata.encoded import Encoded
from vdata.errors import ChecksumError, ShardError, UnknownDatasetError, redact
from vdata.shards.fetch import Fetcher, exists
from vdata.shards.manifest import Manifest, Place
from vdata.shards.urls import join
from vdata.source import Sample, Source


class Sharded(Source):
    """Samples of tars: vdata's, with a manifest, or anybody's webdataset tars, indexed when they are opened."""

    def __init__(self, manifest: Manifest, name: str, *, orient: bool = True):
        private = sorted(n for n in manifest.fields if n.startswith("__"))
        if private:
            raise ShardError(f"a field called {private[0]} would stand in for what vdata itself says of a sample", url=name, do="rename it in the tars")
        self.manifest, self.name, self.orient = manifest, name, orient
        self.fields = manifest.fields
        self.sizes = manifest.shard_sizes
        self.columns = manifest.columns
        self.digest = manifest.digest
        self.fetcher = Fetcher(manifest.base)

    @classmethod
    def open(cls, url: str | os.PathLike[str] | Sequence[str], *, orient: bool = True) -> Sharded:
        """The shards at `url`: a folder with a manifest, a folder of tars, "a/{00..12}.tar", or a list of tars."""
        if isinstance(url, (str, os.PathLike)):
            folder = os.fspath(url)
            if folder.endswith("manifest.json") or exists(join(folder, "manifest.json")):
                return cls(Manifest.load(folder), redact(folder), orient=orient)
        try:
            manifest = Manifest.index(url)
        except FileNotFoundError as error:
            raise UnknownDatasetError(f"there is nothing at {redact(url)!r}: {error}") from None
        if not manifest.shards:
            raise UnknownDatasetError(f"there is no manifest.json and no *.tar at {redact(url)!r}")
        return cls(manifest, redact(url if isinstance(url, (str, os.PathLike)) else f"{len(url)} tars"), orient=orient)

    def read(self, index: int) -> Sample:
        key = self.manifest.key(index)
        return {"__key__": key, **{n: self._leaf(key, n, place) for n, place in self.manifest.members(index).items()}}

    def _leaf(self, key: str, field: str, place: Place) -> Encoded:
        shard = self.manifest.shards[place.shard].name
        where = {"url": redact(join(self.manifest.base, shard)), "shard": shard, "key": key, "field": field, "byte": place.byte}
        try:
            data = self.fetcher.read(shard, place.byte, place.size)
        except ShardError as error:
            raise error.at(**where) from error.__cause__
        if place.crc is not None and crc32c(data) != place.crc:
            raise ChecksumError("the bytes are not those that were written", do="restore the shard from a good copy, or leave it out with .decode(on_error='skip')", **where)
        known = self.fields[field]
        meta: dict[str, Any] = dict(known.meta)
        orient = meta.pop("orient", self.orient)
        return Encoded(data, known.type, place.suffix, known.codec, meta, where, orient)
