"""The manifest's two files: `manifest.json`, sealed with its own hash, and the arrays of `manifest.bin`.

The arrays follow one another in one fixed order, so the JSON says how many there are of everything but never
where anything is: there is no offset in it that could point outside.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np
import xxhash

from vdata.errors import ChecksumError, ShardError, redact
from vdata.field import Field
from vdata.remote.engine import engine_of
from vdata.shards import storage
from vdata.shards.cache import Cache
from vdata.shards.rows import Shard
from vdata.shards.storage import open_file, read_file, write_file
from vdata.urls import join, local_path, scheme

NAME, SIDECAR = "manifest.json", "manifest.bin"
UNFINISHED = "UNFINISHED"  # there as long as a writer is at work; after a kill it stays
AGAIN = "fetch the manifest again, or write it anew with Manifest.index"
_VERSION = 1
_JSON_LIMIT = 256 << 20
_SCALARS = {"<i8", "<f8"}
_CONTAINER = re.compile(r"(?i)(abfs|az)://[^/:@]+@[^/:@]+(/|$)")  # not a user, but a part of the name


class _Version(msgspec.Struct):
    version: int


class Sidecar(NamedTuple):
    name: str
    size: int
    xxh3: str


class Head(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What `manifest.json` holds; `base` is the folder of the shards, "" where they lie beside it."""

    version: int
    samples: int
    checksums: bool
    key_bytes: int
    sidecar: Sidecar
    fields: dict[str, Field]
    suffixes: dict[str, tuple[str, ...]]
    columns: dict[str, str]
    shards: tuple[Shard, ...]
    base: str = ""


def write(folder: str, parts: Mapping[str, Any]) -> None:
    """Write both files into `folder`, first the arrays, then the JSON that makes them count."""
    head = Head(
        version=_VERSION, samples=len(parts["offset"]), checksums=parts["crc"] is not None, key_bytes=len(parts["key_blob"]),
        sidecar=Sidecar(SIDECAR, 0, ""), fields=dict(parts["fields"]), suffixes=dict(parts["suffixes"]),
        columns={name: dtype_of(column) for name, column in parts["columns"].items()}, shards=parts["shards"],
        base="" if plain(parts["base"]) == plain(folder) else plain(parts["base"]),
    )  # fmt: skip
    arrays = {**parts, **{f"column {name}": column for name, column in parts["columns"].items()}}
    blob = b"".join(_padded(arrays[name].astype(dtype, copy=False).tobytes()) for name, dtype, _ in _layout(head))
    head.sidecar = Sidecar(SIDECAR, len(blob), xxhash.xxh3_128_hexdigest(blob))
    write_file(join(folder, SIDECAR), blob)
    write_file(join(folder, NAME), _seal(msgspec.json.encode(head)))


def read(folder: str, cache: Cache | None = None) -> dict[str, Any]:
    """The parts of the manifest in `folder`, its arrays mapped if it is local, and kept in the cache if it is not.

    ShardError if it is not there or not one, ChecksumError if a single bit of it has changed.
    """
    return _parts(folder, read_file(join(folder, NAME), _JSON_LIMIT), cache)


def read_if_there(folder: str, cache: Cache | None = None) -> dict[str, Any] | None:
    """The same; None where there is no `manifest.json`, or none that may be seen."""
    raw = storage.read_if_there(join(folder, NAME), _JSON_LIMIT)
    return None if raw is None else _parts(folder, raw, cache)


def _parts(folder: str, raw: bytes, cache: Cache | None) -> dict[str, Any]:
    url = join(folder, NAME)
    head = _decode(_unseal(raw, url), url)
    url = join(folder, head.sidecar.name)
    blob = open_file(url) if local_path(url) is not None else _far(url, head.sidecar, cache)
    if not _fits(blob, head.sidecar):
        raise ChecksumError(f"not the {head.sidecar.size} bytes that belong to this manifest", url=url, do=AGAIN)
    arrays = _cut(blob, head, url)
    columns = {name: arrays.pop(f"column {name}") for name in head.columns}
    schema = {"shards": head.shards, "fields": head.fields, "suffixes": head.suffixes, "columns": columns}
    return {"crc": None, "which": None, "base": head.base or folder, **schema, **arrays}


def _far(url: str, sidecar: Sidecar, cache: Cache | None) -> memoryview:
    """The arrays, through the machine's cache: every worker process reads them, and the JSON says which they are."""
    engine = engine_of(url)
    if cache is None or engine.stat(url).size != sidecar.size:  # nothing is made ready for a size that only the JSON knows
        return memoryview(read_file(url, sidecar.size))
    entry = cache.entry(url, sidecar.xxh3, sidecar.size)

    def arrays() -> memoryview:
        return memoryview(entry.read(0, sidecar.size, lambda start, length: engine.read(url, start, length)[0]))

    if not _fits(blob := arrays(), sidecar):
        entry.drop(0, sidecar.size)  # it holds what was fetched, and that was wrong
        blob = arrays()
    return blob


def _fits(blob: memoryview, sidecar: Sidecar) -> bool:
    return len(blob) == sidecar.size and xxhash.xxh3_128_hexdigest(blob) == sidecar.xxh3


def plain(folder: str) -> str:
    """The URL of a folder as a manifest keeps it: absolute, without user info and query.

    >>> plain("https://me:pw@host/a/?sig=1")
    'https://host/a'
    """
    path = local_path(folder)
    if path is not None:
        return os.path.abspath(path)
    url = folder.partition("?")[0].rstrip("/")
    return url if _CONTAINER.match(url) else redact(url).replace("://***@", "://")


def base_of(kept: str, folder: str) -> str:
    """The folder of the shards whose manifest, in `folder`, says `kept`.

    A manifest on this machine may point anywhere, one from elsewhere only into its own bucket or host.
    """
    if kept == folder:
        return folder
    host, here = _host(kept), _host(plain(folder))
    away = bool(here) and host != here
    if host is None or plain(kept) != kept or away:
        raise ShardError(
            f"it says that its shards lie in {redact(kept)[:200]!r}, " + ("elsewhere than itself" if away else "which is no plain URL"),
            url=join(folder, NAME), do="if you trust it, name the folder of the shards: Manifest.load(folder, base=...)",
        )  # fmt: skip
    return kept


def _host(url: str) -> str | None:
    """Scheme and bucket or host; "" on this machine, None for no URL."""
    if local_path(url) is not None:
        return ""
    try:
        return f"{scheme(url)}://{urlsplit(url).netloc}"
    except ValueError:
        return None


def dtype_of(column: np.ndarray) -> str:
    """The dtype's name, little-endian as in the file."""
    return column.dtype.newbyteorder("<").str


def _layout(head: Head) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(name, dtype, shape) of the arrays, in their order; each begins at a multiple of 8 bytes."""
    matrix = (head.samples, len(head.fields))
    yield "offset", "<u8", (head.samples,)
    yield "key_offset", "<u8" if head.key_bytes > 0xFFFFFFFF else "<u4", (head.samples + 1,)
    yield "start", "<u4", matrix
    yield "sizes", "<u4", matrix
    if head.checksums:
        yield "crc", "<u4", matrix
    if any(len(suffixes) > 1 for suffixes in head.suffixes.values()):
        yield "which", "|u1", matrix
    for name, dtype in head.columns.items():
        yield f"column {name}", dtype, (head.samples,)
    yield "key_blob", "|u1", (head.key_bytes,)


def _cut(blob: memoryview, head: Head, url: str) -> dict[str, np.ndarray]:
    """Views of the sidecar, which must be exactly as long as the head says."""
    layout = list(_layout(head))
    sizes = [_up(math.prod(shape) * np.dtype(dtype).itemsize) for _, dtype, shape in layout]
    if sum(sizes) != len(blob):
        raise ShardError(f"{head.samples} samples need {sum(sizes)} bytes, the file has {len(blob)}", url=url, do=AGAIN)
    starts = itertools.accumulate(sizes[:-1], initial=0)
    return {
        name: np.frombuffer(blob, dtype, math.prod(shape), at).reshape(shape)
        for (name, dtype, shape), at in zip(layout, starts, strict=True)
    }


def _seal(body: bytes) -> bytes:
    """The JSON with a hash in front: of every byte that follows it, so any changed bit is seen."""
    rest = msgspec.json.format(body, indent=1)[1:]
    return _mark(rest) + rest


def _unseal(raw: bytes, url: str) -> bytes:
    rest = raw[len(_mark(b"")) :]
    if raw != _mark(rest) + rest:
        raise ChecksumError("not a manifest of vdata, or changed since it was written", url=url, do=AGAIN)
    return b"{" + rest


def _mark(rest: bytes) -> bytes:
    return f'{{"xxh3": "{xxhash.xxh3_128_hexdigest(rest)}",'.encode()


def _decode(body: bytes, url: str) -> Head:
    try:
        version = msgspec.json.decode(body, type=_Version).version
        if version != _VERSION:
            raise ShardError(
                f"a manifest of version {version}, and this vdata reads version {_VERSION}", url=url, do="update vdata"
            )
        head = msgspec.json.decode(body, type=Head)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ShardError(f"not what a manifest holds: {error}", url=url, do=AGAIN) from None
    if head.samples < 0 or head.key_bytes < 0 or not _SCALARS.issuperset(head.columns.values()):
        raise ShardError("a negative count, or a column that is neither int64 nor float64", url=url, do=AGAIN)
    return head


def _up(size: int) -> int:
    return -(-size // 8) * 8


def _padded(data: bytes) -> bytes:
    return data + bytes(_up(len(data)) - len(data))
