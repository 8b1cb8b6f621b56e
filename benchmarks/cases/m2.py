"""Large indexes: how soon a pipe over a million samples is ready, and ten million, shuffled; and whether its end is as near as its start."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np

TITLE = "a manifest of a million samples, then ten million: shuffled, batches of 256"
UNIT = "samples"
MUST: dict[str, float] = {}
STRETCH: dict[str, float] = {}
NOTES = {"vdata": "must: ready in 1 s, resume at the end no slower than the start, under 100 bytes a sample; nobody else has such an index"}
PER_SHARD, BYTES, BATCH = 10_000, 300, 256


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    for count in _counts(quick):
        data.once(folder / f"m2-{count}", lambda place, count=count: _write(place, count))


def _counts(quick: bool) -> tuple[int, ...]:
    return (100_000,) if quick else (1_000_000, 10_000_000)


def _write(place: Path, count: int) -> None:
    """An index as of `count` packed files, a field and a checksum each; all samples of a shard lie at one place in it, for it is the index that is measured."""
    from crc32c import crc32c

    from vdata.field import Field
    from vdata.shards.manifest import Manifest
    from vdata.shards.rows import Shard

    place.mkdir()
    shards = tuple(Shard(f"shard-{n:06d}.tar", PER_SHARD, 1024) for n in range(count // PER_SHARD))
    for shard in shards:
        (place / shard.name).write_bytes(bytes(shard.bytes))
    Manifest(
        shards=shards,
        fields={"file": Field("bytes", suffix="bin")},
        suffixes={"file": ("bin",)},
        offset=np.zeros(count, np.uint64),
        key_offset=np.arange(count + 1, dtype=np.uint32) * np.uint32(9),
        start=np.ones((count, 1), np.uint32),
        sizes=np.full((count, 1), BYTES, np.uint32),
        crc=np.full((count, 1), crc32c(bytes(BYTES)), np.uint32),
        which=None,
        key_blob=np.frombuffer("".join(f"{n:09d}" for n in range(count)).encode(), np.uint8),
        columns={},
        base=str(place),
    ).save(place)


def FIGURES(folder: Path, quick: bool) -> dict[str, str]:
    import vdata  # and what it needs, outside the clock

    next(iter(vdata.from_iterable([{"x": 1}]).batch(1).loader(workers=2)))
    return {f"{count:,} samples": _figures(folder / f"m2-{count}", count, 1 if quick else 3) for count in _counts(quick)}


def _figures(place: Path, count: int, rounds: int) -> str:
    before, ready, starts, ends = _own_memory(), [], [], []
    for _ in range(rounds):
        began = time.perf_counter()
        loader = _loader(place)
        ready.append(time.perf_counter() - began)
        starts.append(_first_batch(loader))
        state = loader.state_dict()
        loader.load_state_dict({**state, "position": count - 2 * BATCH})
        ends.append(_first_batch(loader))
    grown = (_own_memory() - before) / count
    at_rest = sum((place / name).stat().st_size for name in ("manifest.json", "manifest.bin")) / count
    ready, start, end = (statistics.median(times) for times in (ready, starts, ends))
    return f"ready in {ready:.3f} s; first batch at the start after {start:.3f} s, resumed at the end {end:.3f} s; {at_rest:.0f} bytes a sample on disk, {grown:.0f} in memory beside it"


def _own_memory() -> int:
    """Bytes of this process that are no mapped file: the index is mapped, and its pages can go at any time."""
    import psutil

    found = psutil.Process().memory_info()
    return found.rss - found.shared


def _loader(place: Path) -> Any:
    import vdata

    return vdata.open(str(place)).shuffle(seed=0).batch(BATCH).loader(workers=2)


def _first_batch(loader: Any) -> float:
    began = time.perf_counter()
    batches: Iterator[Any] = iter(loader)
    assert next(batches).size == BATCH
    loader.close()
    return time.perf_counter() - began


PEERS: dict[str, Any] = {}
