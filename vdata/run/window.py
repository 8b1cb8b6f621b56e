"""Decode only what the first transform looks at: its parameters come from the canvas size, which is in the header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from vdata import codecs
from vdata.batch import lies_in
from vdata.encoded import Encoded
from vdata.errors import DataError
from vdata.key import Key
from vdata.meter import spent
from vdata.plan import Decode
from vdata.planes import planes
from vdata.slabs import Slabs
from vdata.tensors import Image, Label, TypedTensor
from vdata.transforms import Compose, Geometric, RandomHorizontalFlip
from vdata.transforms._base import Leaves, Params, ordinal_path
from vdata.transforms._geometric import only_picture
from vdata.transforms._info import second_frame, sizes_of

T = TypeVar("T")

AT_ONCE = 1 << 22  # pixels that are decoded before the first of them is transformed
FEW = 16  # samples at once whose masks or flows are decoded
_RASTERS = ("Mask", "Flow", "Video", "tensor", "tensors")


def decode_and_apply(
    transform: Compose, samples: Sequence[Mapping[str, Any]], key: Key, decode: Decode, collated: bool = False, slabs: Slabs | None = None
) -> list[Any]:  # fmt: skip
    """Samples decoded and transformed, drawn for together; of each picture only the first transform's window is decoded.

    Equal, bit for bit, to decoding everything first (law 4 tests it), but where `decode.scale` asks for fewer pixels. With
    `collated` pictures may lie in memory as [H, W, C], and with `slabs` as the rows of one that will be their batch.
    """
    mode = decode.mode
    if len(samples) > FEW and any(_is_raster(v) for v in samples[0].values()):  # decoded whole before anything is drawn
        parts = [slice(at, at + FEW) for at in range(0, len(samples), FEW)]
        return [done for part in parts for done in decode_and_apply(transform, samples[part], key[part], decode, collated)]
    pictures = [{n: _in_field(n, codecs.size, v) for n, v in s.items() if isinstance(v, Encoded) and is_picture(v)} for s in samples]
    # A ghost stands for each picture until its window is known: a size and a type, no memory.
    seen = [
        transform.enter({n: _ghost(sizes[n]) if n in sizes else _in_field(n, _whole, v, mode) for n, v in s.items()})
        for s, sizes in zip(samples, pictures, strict=True)
    ]
    drawn = transform.draw_each(key.fold(ordinal_path(transform, 0)), seen)
    jobs = [
        _Job(transform, s, sizes, leaves, params["children"], collated)
        for s, sizes, leaves, params in zip(samples, pictures, seen, drawn, strict=True)
    ]
    rooms = _rooms(jobs, slabs) if slabs is not None and decode.mode == "RGB" and not decode.scale else {}
    out = [done for part in _in_parts(jobs) for done in _done(part, decode)]
    for name, room in rooms.items():
        if isinstance(out[0], dict) and isinstance(first := out[0].get(name), Image):
            lies_in(first, room)
    return out


def _rooms(jobs: Sequence[_Job], slabs: Slabs) -> dict[str, Tensor]:
    """Memory for the batch of each picture that all samples have and the first transform makes of one size: every job gets its row of it."""
    size = jobs[0].first.made
    rooms = {n: slabs.take((len(jobs), 3, *size), torch.uint8) for n in jobs[0].windows if all(n in job.windows for job in jobs)} if size else {}
    for name, room in rooms.items():
        for job, row in zip(jobs, room.unbind(0), strict=True):
            job.rows[name] = row
    return rooms


def is_picture(value: Encoded) -> bool:
    """Whether an undecoded leaf is a picture whose size is in its header."""
    return value.type == "Image" or (value.type == "" and codecs.kind(value.data) in ("jpeg", "png", "webp", "ppm"))


def _is_raster(value: Any) -> bool:
    """Whether an undecoded leaf becomes much memory, and is no picture whose window alone is decoded."""
    return isinstance(value, Encoded) and not is_picture(value) and (value.type or codecs.type_of(value)) in _RASTERS


class _Job:
    """One sample: its pictures still encoded, with the window of each that is needed."""

    def __init__(
        self, transform: Compose, sample: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]], leaves: Leaves, params: list[Params], collated: bool
    ):  # fmt: skip
        first = transform.transforms[0]
        assert isinstance(first, Geometric)
        self.transform, self.first, self.params, self.leaves = transform, first, params, leaves
        self.windows = {n: first.window(params[0], size) for n, size in sizes.items()}
        self.encoded = {n: sample[n] for n in sizes}
        self.sizes, self.collated = sizes, collated
        self.rows: dict[str, Tensor] = {}  # where its pictures will lie in the batch
        self.turn = self._turn()
        self.begun = 1  # transforms that are done once its windows are
        self.pixels = sum(h * w if (cut := self.windows[n]) is None else cut[2] * cut[3] for n, (h, w) in sizes.items())

    def _turn(self) -> bool | None:
        """Whether a flip comes next that mirrors the picture, where the sample has nothing else to be moved: a resize does that in passing.
        None where no such flip comes next."""
        second = self.transform.transforms[1] if len(self.params) > 1 else None
        if type(second) is not RandomHorizontalFlip or only_picture(self.leaves) not in self.windows:
            return None
        return bool(second.chosen(self.params[1]))

    def reduced(self, name: str) -> Any:
        """A picture as the first transform leaves it, made of fewer pixels; None where that would not be much fewer."""
        wish = self.first.reduction(self.params[0], self.sizes[name])
        if wish is None or not self.first.chosen(self.params[0]):
            return None
        return _in_field(name, codecs.decode_reduced, self.encoded[name], wish.window, wish.size, wish.interpolation.value)

    def finish(self, decoded: Mapping[str, Any], done: Mapping[str, Any]) -> Any:
        """The sample, from pictures that are decoded, and from those, `done`, that are already what the first transform makes of them."""
        own, leaves = self.params[0], self.leaves
        others = [n for n, v in leaves.items() if n not in done and isinstance(v, TypedTensor) and not isinstance(v, Label)]
        placed = self.first.placements(own, sizes_of(leaves), second_frame(leaves)) if others else {}
        out: Leaves = {}
        for name, value in leaves.items():
            if name in done:
                out[name] = done[name] if self.collated else _contiguous(done[name])
            elif name in others:
                leaf = decoded.get(name, value)
                moved = self.first.move(leaf if self.transform.reduced else _contiguous(leaf), name, placed, leaves)
                out[name] = _contiguous(moved) if name in decoded else moved
            else:
                out[name] = value
        return self.transform.apply_all(zip(self.transform.transforms[self.begun :], self.params[self.begun :], strict=True), out)


def _in_parts(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    part: list[_Job] = []
    pixels = 0
    for job in jobs:
        if part and pixels + job.pixels > AT_ONCE:
            yield part
            part, pixels = [], 0
        part.append(job)
        pixels += job.pixels
    yield part


def _done(jobs: list[_Job], decode: Decode) -> Iterator[Any]:
    done: list[dict[str, Any]] = [{} for _ in jobs]
    if decode.scale and decode.mode == "RGB":
        done = [{n: found for n in job.encoded if (found := job.reduced(n)) is not None} for job in jobs]
    wanted = [(job, n) for job, made in zip(jobs, done, strict=True) for n in job.encoded if n not in made]
    with spent("decode"):
        pixels = iter(_decoded(wanted, decode.mode))
    decoded = [{name: next(pixels) for name in job.encoded if name not in made} for job, made in zip(jobs, done, strict=True)]
    cut = [(i, n) for i, own in enumerate(decoded) for n in own if jobs[i].windows[n] is not None]
    leaves, params, turned = [decoded[i].pop(n) for i, n in cut], [jobs[i].params[0] for i, _ in cut], [bool(jobs[i].turn) for i, _ in cut]
    moved = jobs[0].first.after_windows(leaves, params, turned, [jobs[i].rows.get(n) for i, n in cut])
    for (i, name), leaf in zip(cut, moved, strict=True):
        done[i][name] = leaf
        jobs[i].begun += jobs[i].turn is not None
    for i, job in enumerate(jobs):
        yield job.finish(decoded[i], done[i])


def _decoded(wanted: Sequence[tuple[_Job, str]], mode: str) -> list[Any]:
    """The windows of pictures; an error in one of a sample's says which it is (those of several samples are done again one by one)."""
    asked = [(job.encoded[name], job.windows[name]) for job, name in wanted]
    try:
        return codecs.decode_all(asked, mode=mode)
    except DataError:
        if all(job is wanted[0][0] for job, _ in wanted):
            return [_in_field(name, codecs.decode, enc, window=window, mode=mode) for (enc, window), (_, name) in zip(asked, wanted, strict=True)]
        raise


def _contiguous(leaf: Any) -> Any:
    return leaf.like(planes(leaf.plain())) if isinstance(leaf, Image) and not leaf.is_contiguous() else leaf


def _in_field(name: str, read: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """`read(*arguments)`, whose error says of which leaf it is."""
    try:
        return read(*arguments, **options)
    except DataError as error:
        error.at(field=name)
        raise


def _whole(value: Any, mode: str) -> Any:
    return codecs.decode(value, mode=mode) if isinstance(value, Encoded) else value


@lru_cache(4096)
def _ghost(size: tuple[int, int]) -> Image:
    return Image(torch.empty((3, *size), dtype=torch.uint8, device="meta"))
