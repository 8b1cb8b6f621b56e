"""The same link as in E1, files as they are: nothing is decoded, so the link is what limits."""

# webdataset's module does not say what it holds.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import data
from cases import _far as far
from cases._counted import counted
from cases._crops import WORKERS

TITLE = "JPEG files in shards over HTTP, 50 ms a request, 100 MB/s, handed out as bytes: nothing is decoded"
UNIT = "files"
MUST = {"link": 0.97}
STRETCH = {"link": 0.99}
NOTES = {
    "vdata": "a field of bytes, cache=False. The server shares the cores",
    "link": "eight connections that ask for 4 MB each of the same shards in turn and look at nothing: as many files as fit into the bytes that came",
    "webdataset": "the same tars through pipe:curl, in two worker processes, without decoding",
}
RANGE, CONNECTIONS = 4 << 20, 8


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    import vdata

    files = data.photographs(photos)

    def samples() -> Iterator[dict[str, Any]]:
        return ({"__key__": f"{n:06d}", "file": files[n % len(files)]} for n in range(data.count(quick)))

    def make(place: Path) -> None:
        vdata.from_iterable(samples).pack(str(place), samples_per_shard=data.count(quick) // 8, quiet=True)

    data.once(folder / "far-raw", make)


def ours(folder: Path, quick: bool) -> Iterator[int]:
    import vdata

    with far.served(folder / "far-raw") as url:
        yield from counted(vdata.open(url, cache=False).loader(workers=WORKERS), data.BATCH // 2)


def link(folder: Path, quick: bool) -> Iterator[int]:
    sizes = {name: (folder / "far-raw" / name).stat().st_size for name in far.shards(folder / "far-raw")}
    each, step, came, told = sum(sizes.values()) / data.count(quick), data.BATCH // 2, 0, 0
    arrived = SimpleQueue[int]()
    with far.served(folder / "far-raw") as url, ThreadPoolExecutor(CONNECTIONS) as pool:
        for name, size in sizes.items():
            for start in range(0, size, RANGE):
                pool.submit(_received, urlsplit(url).netloc, f"/{name}", start, arrived)
        while came < sum(sizes.values()):
            came += arrived.get(timeout=30)
            if (told + step) * each <= came:
                told += step
                yield step


def _received(host: str, path: str, start: int, arrived: SimpleQueue[int]) -> None:
    """The length of each piece of a range as it comes."""
    connection = http.client.HTTPConnection(host)
    connection.request("GET", path, headers={"Range": f"bytes={start}-{start + RANGE - 1}"})
    answer = connection.getresponse()
    while piece := answer.read(1 << 16):
        arrived.put(len(piece))
    connection.close()


def webdataset(folder: Path, quick: bool) -> Iterator[int]:
    import webdataset as wds

    with far.served(folder / "far-raw") as url:
        dataset = far.webdataset([f"{url}/{name}" for name in far.shards(folder / "far-raw")]).to_tuple("file.bin")
        yield from counted(wds.WebLoader(dataset, batch_size=None, num_workers=WORKERS), data.BATCH // 2)


PEERS = {"vdata": ours, "link": link, "webdataset": webdataset}
