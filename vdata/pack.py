"""Write a pipe to shards: webdataset tars that anybody reads, and the manifest that brings every tensor back as it was."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from vdata import codecs
from vdata.encoded import Encoded
from vdata.errors import PlanError
from vdata.field import Field
from vdata.pipe import DataPipe
from vdata.plan import Read, chain
from vdata.progress import progress
from vdata.run.ring import Inline
from vdata.run.walk import Walk
from vdata.sharded import Sharded
from vdata.shards.urls import local_path, scheme
from vdata.shards.write import ShardWriter
from vdata.start import open
from vdata.tensors import Label

_AHEAD = 64


def pack(
    pipe: DataPipe, url: str | os.PathLike[str], *, samples_per_shard: int = 10_000, bytes_per_shard: int = 256 << 20,
    prefix: str = "shard", overwrite: bool = False, quiet: bool | None = None,
) -> DataPipe:  # fmt: skip
    """Write one epoch of `pipe` to shards in the folder `url`, and open them.

    What no stage needs decoded is written as the bytes it came as; typed tensors are written without loss. Equal
    input gives equal bytes. The manifest is written last: a pack that was interrupted leaves no data set.

    samples_per_shard, bytes_per_shard   a shard ends at whichever comes first
    overwrite   replace a data set that is already there
    quiet       no progress bar (default: one where the output is a terminal)

    Broken samples of a pipe with `.decode(on_error="skip")` are left out, and a warning says how many.
    Raises PlanError for samples that are no dicts, whose fields change their type, or with a key that cannot be.

    >>> len(pack(vdata.from_torch([{"x": 1}, {"x": 2}]), "memory://doc/pack", quiet=True))
    2
    """
    if overwrite and any(_one_in_the_other(os.fspath(url), base) for base in _read_from(pipe)):
        raise PlanError(f"pack: the pipe reads from {url}, which would be removed first: write to another folder")
    walk = Walk(pipe.plan, decode=False)
    total = walk.total if walk.elastic else None
    schema: dict[str, Field] = {}
    number = 0
    left_out: list[dict[str, Any]] = []
    with ShardWriter(url, schema, samples_per_shard=samples_per_shard, bytes_per_shard=bytes_per_shard, prefix=prefix, overwrite=overwrite) as writer:
        samples = _whole(walk.run(walk.start(), Inline()), left_out)
        with progress("pack", total, quiet=quiet) as bar, ThreadPoolExecutor(1) as ahead:
            for key, fields, members, columns in _ahead(ahead, samples, pipe.plan.fields or {}):
                _agree(schema, fields, key)
                writer.write(key, members, columns)
                number += 1
                bar.update(1)
        if not number:
            raise PlanError("pack: the pipe is empty")
    if left_out:
        first = left_out[0]["error"]
        warnings.warn(f"pack left out {len(left_out)} broken samples, the first: {first}", UserWarning, stacklevel=2)
    return open(os.fspath(url))


def _whole(items: Iterable[Any], left_out: list[dict[str, Any]]) -> Iterator[Any]:
    """Samples that are themselves: a data set holds no substitutes."""
    for item, _ in items:
        if item.broken:
            left_out.extend(item.broken)
        else:
            yield item.value


def _one_in_the_other(url: str, other: str) -> bool:
    """Whether two folders are one, however they are spelt, or one lies in the other."""
    here, there = (_spelling(u) + "/" for u in (url, other))
    return here.startswith(there) or there.startswith(here)


def _spelling(url: str) -> str:
    path = local_path(url)
    if path is not None:
        return os.path.realpath(path)
    return f"{scheme(url)}://" + url.split("://", 1)[1].split("?")[0].strip("/")


def _read_from(pipe: DataPipe) -> list[str]:
    """The folders of shards that a pipe reads."""
    sources = (s.source for s in chain(pipe.plan) if isinstance(s, Read))
    return [source.manifest.base for source in sources if isinstance(source, Sharded)]


def _ahead(pool: ThreadPoolExecutor, samples: Any, known: Mapping[str, Field]) -> Any:
    """Samples written out as bytes, one thread ahead of the writer."""
    waiting = []
    for number, sample in enumerate(samples):
        waiting.append(pool.submit(_written, number, sample, known))
        if len(waiting) >= _AHEAD:
            yield waiting.pop(0).result()
    yield from (future.result() for future in waiting)


def _written(
    number: int, sample: Any, known: Mapping[str, Field]
) -> tuple[str, dict[str, Field], dict[str, tuple[str, bytes]], dict[str, int | float]]:
    if not isinstance(sample, Mapping):
        raise PlanError(f"pack writes dict samples, got {type(sample).__name__}: pack before .to_tuple() and .enumerate()")
    if hasattr(sample, "at"):
        raise PlanError("pack writes samples, not batches: pack before .batch(), or .unbatch()")
    key = str(sample.get("__key__", f"{number:08d}"))
    fields, members, columns = {}, {}, {}
    for name, value in sample.items():
        if name.startswith("__"):
            continue
        try:
            suffix, data = codecs.encode(value)
        except TypeError as error:
            raise PlanError(f"pack: field {name!r} of sample {key!r}: {error}") from None
        members[name] = (suffix or "bin", data)
        fields[name] = _field(value, suffix or "bin", known.get(name, Field()))
        if (scalar := _scalar(value)) is not None:
            columns[name] = scalar
    return key, fields, members, columns


def _field(value: Any, suffix: str, known: Field) -> Field:
    field = replace(codecs.field_of(value, suffix), doc=known.doc)
    if isinstance(value, Encoded):
        orient = {} if value.orient else {"orient": False}
        field = replace(field, dtype=known.dtype, shape=known.shape, meta={**field.meta, **orient})
    return replace(field, suffix="")  # a field may mix suffixes: the manifest keeps each sample's own


def _scalar(value: Any) -> int | float | None:
    """What becomes a column of the index, so that `.filter(where=...)` can ask it."""
    if isinstance(value, Encoded):
        known = value.type or ("int" if value.suffix in ("cls", "cls2", "index") else "")
        return _scalar(codecs.decode(value)) if known in ("int", "float", "Label") else None
    if isinstance(value, (bool, Label)):
        return int(value) if isinstance(value, bool) or value.ndim == 0 else None
    return value if isinstance(value, (int, float)) else None


def _agree(schema: dict[str, Field], fields: dict[str, Field], key: str) -> None:
    """Take a sample's fields into the schema; what differs between samples is left open, or raises."""
    for name, field in fields.items():
        known = schema.setdefault(name, field)
        if known == field:
            continue
        if (known.type, known.codec, dict(known.meta)) != (field.type, field.codec, dict(field.meta)):
            raise PlanError(
                f"pack: field {name!r} of sample {key!r} is {field} {field.codec} {dict(field.meta)}, but before it was "
                f"{known} {known.codec} {dict(known.meta)}: one field of a data set has one type"
            )
        schema[name] = replace(known, dtype=known.dtype if known.dtype == field.dtype else "")
