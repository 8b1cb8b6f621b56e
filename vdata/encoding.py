"""Samples as a shard holds them: every field as bytes with a suffix, its declaration, and the scalars of the index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vdata import codecs
from vdata.encoded import Encoded
from vdata.errors import PlanError
from vdata.field import Field
from vdata.reencode import Reencode
from vdata.run.each import Item
from vdata.tensors import Label

_AHEAD = 64


class EncodedSample(NamedTuple):
    """A sample as a shard holds it: {field: (suffix, bytes)}, and the scalars that the manifest keeps."""

    position: int
    key: str
    fields: dict[str, Field]
    members: dict[str, tuple[str, bytes]]
    columns: dict[str, int | float]


@dataclass(frozen=True)
class Encoder:
    """How samples become bytes: what is known of their fields, and what is done to their pictures."""

    known: Mapping[str, Field]
    pictures: Reencode

    def encoded(self, items: Iterable[tuple[int, Item]], left_out: list[str]) -> Iterator[EncodedSample]:
        """Samples that are themselves, one thread ahead of the writer: a data set holds no substitutes."""
        waiting = deque[Future[EncodedSample]]()
        with ThreadPoolExecutor(1) as ahead:
            for position, item in items:
                if item.broken:
                    left_out.extend(entry["error"] for entry in item.broken)
                    continue
                waiting.append(ahead.submit(self._encode, position, item.value))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _encode(self, position: int, sample: Any) -> EncodedSample:
        if not isinstance(sample, Mapping):
            raise PlanError(f"pack writes dict samples, got {type(sample).__name__}: pack before .to_tuple() and .enumerate()")
        if hasattr(sample, "at"):
            raise PlanError("pack writes samples, not batches: pack before .batch(), or .unbatch()")
        key = str(sample.get("__key__", f"{position:08d}"))
        fields, members, columns = {}, {}, {}
        for name, value in self.pictures(sample).items():
            if name.startswith("__"):
                continue
            try:
                suffix, data = codecs.encode(value)
            except TypeError as error:
                raise PlanError(f"pack: field {name!r} of sample {key!r}: {error}") from None
            members[name] = (suffix or "bin", data)
            fields[name] = _field(value, suffix or "bin", self.known.get(name, Field()))
            if (scalar := _scalar(value)) is not None:
                columns[name] = scalar
        return EncodedSample(position, key, fields, members, columns)


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


def agree(schema: dict[str, Field], fields: dict[str, Field], key: str) -> None:
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
