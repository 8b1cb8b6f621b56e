"""A `Source` over shards: the manifest says where, ranges are read, every checksum is checked on every read."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from crc32c import crc32c

from vdata.encoded import Encoded
from vdata.errors import ChecksumError, PlanError, RemoteError, ShardError, UnknownDatasetError, redact
from vdata.remote.engine import Version
from vdata.shards.cache import Cache, shared
from vdata.shards.fetch import Fetcher
from vdata.shards.manifest import Manifest, Place, load_again
from vdata.shards.storage import has_magic
from vdata.shards.upkeep import default_root
from vdata.source import Sample, Source
from vdata.urls import join, local_path, scheme

_MANIFEST = re.compile(r"(?:^|(?<=/))manifest\.json(?=$|\?)")  # a query, say a signature, may follow


class Sharded(Source):
    """Samples of tars: vdata's, with a manifest, or anybody's webdataset tars, indexed when they are opened."""

    def __init__(
        self, manifest: Manifest, name: str, *, orient: bool = True, cache: Cache | None = None, seen: Mapping[str, Version] | None = None
    ):
        private = sorted(n for n in manifest.fields if n.startswith("__"))
        if private:
            raise ShardError(f"a field called {private[0]} would stand in for what vdata itself says of a sample", url=name, do="rename it in the tars")
        self.manifest, self.name, self.orient = manifest, name, orient
        self.fields = manifest.fields
        self.sizes = manifest.shard_sizes
        self.columns = manifest.columns
        self.digest = manifest.digest
        # Checksums of all records vouch for what the cache holds; without them only the server's ETag does.
        stamp = "" if manifest.crc is None else manifest.digest
        self.fetcher = Fetcher(manifest.base, sizes={s.name: s.bytes for s in manifest.shards}, stamp=stamp, cache=cache, seen={**manifest.seen, **(seen or {})})
        self.far = self.fetcher.far
        self.traffic = self._traffic if self.far else None
        self._shown = lru_cache(None)(lambda shard: redact(join(manifest.base, shard)))

    def __reduce__(self):
        m = self.manifest  # one that was loaded is loaded again, through the cache where it lies far away
        return _sharded, ((m.url, m.base, m.digest) if m.url else m, self.name, self.orient, self.fetcher.cache, dict(self.fetcher.seen))

    @classmethod
    def open(
        cls, url: str | os.PathLike[str] | Sequence[str], *, orient: bool = True, cache: bool | str | os.PathLike[str] | None = None,
        cache_limit: int | str | None = None,
    ) -> Sharded:  # fmt: skip
        """The shards at `url`: a folder with a manifest, a folder of tars, "a/{00..12}.tar", or a list of tars."""
        if not isinstance(url, (str, os.PathLike, Sequence)) or not url:
            raise PlanError(f"open takes a URL, a path or a list of tars, got {url!r}")
        if isinstance(url, (str, os.PathLike)):
            folder, named = _MANIFEST.subn("", os.fspath(url))
            found = named or _is_folder(folder)
            kept = _cache(folder, cache, cache_limit) if found else None
            manifest = Manifest.load(folder, cache=kept) if named else Manifest.load_if_there(folder, cache=kept) if found else None
            if manifest is not None:
                if (local_path(folder) is None) != (local_path(manifest.base) is None):
                    kept = _cache(manifest.base, cache, cache_limit)
                return cls(manifest, redact(url), orient=orient, cache=kept)
        try:
            manifest = Manifest.index(url)
        except FileNotFoundError as error:
            raise UnknownDatasetError(f"there is nothing at {redact(url)!r}: {error}") from None
        if not manifest.shards:
            raise UnknownDatasetError(f"there is no manifest.json and no *.tar at {redact(url)!r}")
        name = redact(url if isinstance(url, (str, os.PathLike)) else f"{len(url)} tars")
        return cls(manifest, name, orient=orient, cache=_cache(manifest.base, cache, cache_limit))

    def _traffic(self) -> dict[str, int]:
        return self.fetcher.traffic()

    def prepare(self, indices: Iterable[int]) -> None:
        shards = self.manifest.shards
        self.fetcher.prepare((shards[places[0].shard].name, *_extent(places)) for i in indices if (places := tuple(self.manifest.members(i).values())))

    def read(self, index: int) -> Sample:
        key, places = self.manifest.key(index), self.manifest.members(index)
        if not places:
            return {"__key__": key}
        shard = self.manifest.shards[next(iter(places.values())).shard].name
        start, length = _extent(places.values())
        try:
            data = self.fetcher.read(shard, start, length)
            wrong = _wrong(data, start, places)
            if wrong and self.far:
                data = self.fetcher.read_again(shard, start, length)
                wrong = _wrong(data, start, places)
        except (RemoteError, ShardError) as error:
            raise error.at(key=key, shard=shard) from error.__cause__
        if wrong:
            do = "restore the shard from a good copy, or leave it out with .decode(on_error='skip')"
            raise ChecksumError("the bytes are not those that were written", do=do, **self._where(shard, key, wrong, places[wrong]))
        return {"__key__": key, **{n: self._leaf(data[p.byte - start : p.byte - start + p.size], n, p, self._where(shard, key, n, p)) for n, p in places.items()}}

    def _leaf(self, data: memoryview, field: str, place: Place, where: dict[str, Any]) -> Encoded:
        known = self.fields[field]
        meta: dict[str, Any] = dict(known.meta)
        orient = meta.pop("orient", self.orient)
        return Encoded(data, known.type, place.suffix, known.codec, meta, where, orient)

    def _where(self, shard: str, key: str, field: str, place: Place) -> dict[str, Any]:
        return {"url": self._shown(shard), "shard": shard, "key": key, "field": field, "byte": place.byte}


def _sharded(
    manifest: Manifest | tuple[str, str, str], name: str, orient: bool, cache: Cache | None, seen: Mapping[str, Version]
) -> Sharded:  # fmt: skip
    if isinstance(manifest, tuple):
        manifest = load_again(*manifest, cache)
    return Sharded(manifest, name, orient=orient, cache=cache, seen=seen)


def _is_folder(url: str) -> bool:
    """Whether a URL can be that of a folder, as far as it tells."""
    if local_path(url) is not None:
        return True
    return not (url.split("?")[0].endswith(".tar") or has_magic(url) or "{" in url)


def _cache(base: str, asked: bool | str | os.PathLike[str] | None, limit: int | str | None) -> Cache | None:
    """The cache that was asked for; by default the machine's, for all that comes over a network."""
    if asked is False or local_path(base) is not None or (asked is None and scheme(base) == "memory"):
        return None
    root = default_root() if asked in (None, True) else os.fspath(asked)
    return shared(root, os.environ.get("VDATA_CACHE_LIMIT") if limit is None else limit)


def _extent(places: Collection[Place]) -> tuple[int, int]:
    """(first byte, bytes) of what holds all fields of a sample, which are adjacent in their shard."""
    start = min(place.byte for place in places)
    return start, max(place.byte + place.size for place in places) - start


def _wrong(data: memoryview, start: int, places: Mapping[str, Place]) -> str:
    """The first field whose bytes are not those that were written; "" if there is none."""
    for field, place in places.items():
        if place.crc is not None and crc32c(data[place.byte - start : place.byte - start + place.size]) != place.crc:
            return field
    return ""
