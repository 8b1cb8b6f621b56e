"""One page about a data set, that anybody's browser shows without a network: gallery, statistics, what is wrong with it.

    reading.py   which samples, and how they come      faults.py     what is wrong with one
    tallies.py   what is counted                       histogram.py  counts between edges
    sections.py  numbers to parts of the page          charts.py, axes.py   SVG
    page.py      the whole of it                       style.py      how it looks
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash

from vdata import viz
from vdata.catalog import info, list_datasets
from vdata.describe import describe
from vdata.errors import PlanError, redact
from vdata.field import Field
from vdata.loading import load
from vdata.pipe import DataPipe
from vdata.progress import progress
from vdata.reporting.faults import Fault, faults_of
from vdata.reporting.page import MOST_BAD, Bad, Findings, Shown, page
from vdata.reporting.reading import Looked, looked, samples_of
from vdata.tensors import Flow, Image, Video
from vdata.viz.contact import label_of
from vdata.viz.flow import greatest_magnitude
from vdata.viz.html import image_uri
from vdata.viz.legend import class_colours
from vdata.viz.picture import plain

__all__ = ["Report", "report"]

SAMPLES = 1000  # looked at, if not told otherwise
_GALLERY, _HEIGHT = 24, 320
_SMALL, _SMALL_ONES = 200, 60  # the pictures beside bad samples


class Report:
    """What was found. `str` of it is a few lines; `save` writes the page.

    looked   how many samples were looked at
    bad      those that something is wrong with, the first 200 findings: key, place (shard or file), kind, reason
    kinds    how many findings there are of each kind
    html     the page
    """

    def __init__(self, found: Findings):
        self.looked, self.bad, self.kinds = found.looked, list(found.bad), dict(found.kinds)
        self._found = found
        self.html = page(found)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page. The file appears whole or not at all."""
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.html, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def __str__(self) -> str:
        lines = [f"{self.looked:,} samples looked at{self._found.total}"]
        lines.append(f"{self._found.broken:,} with something wrong" if self._found.broken else "nothing wrong with any")
        return "\n".join([*lines, *(f"  {count:,} {kind}" for kind, count in self._found.kinds.most_common())])


def report(
    source: DataPipe | str | os.PathLike[str], *, samples: int | None = SAMPLES, gallery: int = _GALLERY, title: str = "", name: str = "",
    quiet: bool | None = None, **options: Any,
) -> Report:  # fmt: skip
    """Look at samples of a pipe (or of what `vdata.load` takes, with its options) and make a page of them.

    samples   how many, in equal steps over all of them (the first ones, where there is no index); None: all
    gallery   how many of them are shown
    name      what a pipe is called; one of the catalogue brings its card
    quiet     no progress bar; None: one on a terminal

    Found are samples that cannot be read, and what is wrong with those that can: empty or one-coloured pictures, NaN, boxes
    outside of the canvas or without area, empty masks, labels without a category, flow known nowhere, and pictures with the same
    pixels as others. Of each sample a key and a hash are kept, besides what is counted.

    >>> made = report("kitti_flow", fake=True)
    >>> made.looked, made.html.startswith("<!doctype html>")
    (3, True)
    """
    if samples is not None and samples < 1:
        raise PlanError(f"report: samples is at least 1, or None for all, got {samples}")
    pipe = samples_of(source if isinstance(source, DataPipe) else load(source, **options))
    name = name or (f"pipe of {pipe.plan.arguments() or pipe.plan.name}" if isinstance(source, DataPipe) else os.fspath(source))
    card = info(name) if name in list_datasets() else None
    count, stream = looked(pipe, samples)
    found = Findings(source=redact(name), title=title or (card.title if card else redact(name)), card=card, plan=redact(describe(pipe.plan)))
    with progress("report", count, quiet=quiet) as bar:
        work = _Work(found, pipe.plan.fields or {}, max(1, (count or SAMPLES) // max(1, gallery)), gallery)
        for one in stream:
            work.take(one)
            bar.update(1)
    found.total = _of_all(pipe, samples, found.looked)
    return Report(found)


def _of_all(pipe: DataPipe, samples: int | None, seen: int) -> str:
    length = pipe.plan.length
    if pipe.plan.access == "dense" and isinstance(length, int):
        return ", which are all" if seen == length else f" of {length:,}, in equal steps"
    return ", the first of a stream" if samples is not None else ", a whole stream"


class _Work:
    """Adds one sample after the other to what was found."""

    def __init__(self, found: Findings, fields: Mapping[str, Field], every: int, gallery: int):
        self.found, self.fields, self.every, self.gallery = found, fields, every, gallery
        self.first: dict[int, int] = {}  # hash of the pixels -> number of the sample that has them
        self.keys: list[str] = []

    def take(self, one: Looked) -> None:
        found = self.found
        found.looked += 1
        self.keys.append(one.key)
        if one.sample is None:
            self._bad(one, [Fault("cannot be read", one.error)])
            if one.last:
                found.notes.append("The stream could not be read past a broken place: what stands behind it was not looked at.")
            return
        found.tally.add(one.sample)
        if faults := [*faults_of(one.sample), *self._twice(one.sample)]:
            self._bad(one, faults)
        if (found.looked - 1) % self.every == 0 and len(found.gallery) < self.gallery:
            found.gallery.append(self._shown(one.key, one.sample))
            if len(found.masks) < 60:
                found.masks |= class_colours([one.sample])

    def _twice(self, sample: Mapping[str, Any]) -> list[Fault]:
        if (content := _content(sample)) is None:
            return []
        number = self.first.setdefault(content, len(self.keys) - 1)
        return [] if number == len(self.keys) - 1 else [Fault("duplicate", f"the same pixels as {self.keys[number]}")]

    def _bad(self, one: Looked, faults: list[Fault]) -> None:
        found = self.found
        found.broken += 1
        small = ""
        if one.sample is not None and sum(bool(bad.picture) for bad in found.bad) < _SMALL_ONES and len(found.bad) < MOST_BAD:
            shown = _rendered(one.sample, _SMALL, self.fields)[0]
            small = shown[0][1] if shown else ""
        for fault in faults:
            found.kinds[fault.kind] += 1
            if len(found.bad) < MOST_BAD:
                found.bad.append(Bad(one.key, one.place, fault.kind, fault.reason, small))

    def _shown(self, key: str, sample: Mapping[str, Any]) -> Shown:
        pictures, why = _rendered(sample, _HEIGHT, self.fields)
        return Shown(key, label_of(sample), pictures, why)


def _rendered(sample: Mapping[str, Any], height: int, fields: Mapping[str, Field]) -> tuple[list[tuple[str, str]], str]:
    """(name, data URI) of each picture; or none and why not."""
    try:
        pictures = viz.render(sample, height=height, arrows=True, fields=fields)
    except (TypeError, ValueError) as error:  # what does not go together cannot be drawn; the page says what it is
        return [], str(error)
    lengths = {name: f"{name} (to {greatest_magnitude(value):.3g} px)" for name, value in sample.items() if isinstance(value, Flow)}
    return [(lengths.get(name, name), image_uri(image)) for name, image in pictures], ""


def _content(sample: Mapping[str, Any]) -> int | None:
    """A hash of the pixels; None of a sample without any."""
    held = xxhash.xxh3_64()
    some = False
    for value in sample.values():
        if isinstance(value, (Image, Video)) and value.numel():
            held.update(repr((value.dtype, tuple(value.shape))).encode())
            held.update(plain(value).contiguous().flatten().view(torch.uint8).numpy().tobytes())
            some = True
    return held.intdigest() if some else None
