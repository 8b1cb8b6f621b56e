"""How fast a pipe is, stage by stage, and what would make it faster: `vdata bench`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vdata.codecs import turbo
from vdata.errors import PlanError
from vdata.meter import Meter
from vdata.pipe import DataPipe
from vdata.plan import Apply, Batch, Map, Read, Stage, chain, line
from vdata.progress import progress
from vdata.rewrite import DecodeApply, optimise
from vdata.run.make import CHUNK, compile
from vdata.run.walk import scan
from vdata.source import Source


@dataclass(frozen=True)
class StageTime:
    """What a stage adds to the time of a sample, in one thread."""

    name: str
    arguments: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """What was measured. `str` of it is what `vdata bench` prints.

    stages        of the plan as it runs, from the source up; empty for a pipe without an index
    rate          samples a second through a loader, after its first item
    first         seconds until that
    workers, mode what the loader had
    advice        what would help, if anything is seen
    """

    stages: list[StageTime]
    rate: float
    first: float
    workers: int
    mode: str
    advice: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = sum(s.seconds for s in self.stages) or 1.0
        lines = [f"{'stage':<14}{'us a sample':>12}{'share':>8}"] if self.stages else []
        lines += [f"{s.name:<14}{1e6 * s.seconds:>12,.1f}{s.seconds / total:>8.0%}  {s.arguments}"[:150] for s in self.stages]
        lines.append(f"{self.rate:,.0f} samples a second with {self.workers} {self.mode} workers, the first after {self.first:.2f} s")
        return "\n".join([*lines, *self.advice])


def bench(pipe: DataPipe, *, workers: int | None = None, mode: str = "thread", seconds: float = 2.0) -> Report:
    """Run a pipe against the clock: each stage alone for up to `seconds`, then all of it through a loader, three times as long.

    Samples are those that an epoch begins with, so bytes may come from the page cache the second time: what is measured is
    this machine's work, and of data far away the first pass. PlanError for an empty pipe.

    >>> report = vdata.bench(vdata.from_torch([{"x": i} for i in range(100)]), workers=1, seconds=0.01)
    >>> report.stages[0].name, report.workers
    ('read', 1)
    """
    if not isinstance(pipe, DataPipe):
        raise PlanError(f"bench takes a pipe, got {type(pipe).__name__}")
    plan = optimise(pipe.plan, scan)
    stages = _stage_times(plan, seconds) if plan.access == "dense" else []
    loader = pipe.loader(workers=workers, mode=mode)
    with loader:
        began = time.perf_counter()
        count, first, stop = 0, None, began + 3 * seconds
        for item in loader:
            now = time.perf_counter()
            if first is None:
                first = now - began
            else:
                count += getattr(item, "size", 1)
            if now > stop:
                break
        else:
            now = time.perf_counter()
    if first is None:
        raise PlanError("bench: the pipe is empty")
    rate = count / (now - began - first) if count else 1 / first
    return Report(stages, rate, first, loader.workers, loader.mode, list(_advice(plan, stages, mode)))


def _stage_times(plan: Stage, seconds: float) -> list[StageTime]:
    """Each stage over those beneath it, so what it adds; what runs as one is one line. A file is read when it is decoded: that counts as reading."""
    found, before, reading, stages = list[StageTime](), 0.0, 0.0, list(line(plan))
    with progress("bench", len(stages), unit="stages") as bar:
        for stage in reversed(stages):
            total, reading = _seconds_a_sample(stage, seconds)
            bar.update(1)
            each = total - reading if isinstance(stages[-1], Read) else total
            found.append(StageTime(stage.name, _shown(stage), max(0.0, each - before)))
            before = max(each, before)
    if isinstance(stages[-1], Read):
        found[0] = replace(found[0], seconds=reading)
    return found


def _shown(stage: Stage) -> str:
    return stage.source.name if isinstance(stage, Read) else stage.arguments()


def _seconds_a_sample(stage: Stage, seconds: float) -> tuple[float, float]:
    """Of all that is done for a sample up to this stage, and of reading in it; what is compiled meanwhile is no sample's."""
    node, meter = compile(stage), Meter()
    make = meter.watch(node.make)
    step = 1 if node.batched else CHUNK
    node.make(0, np.arange(min(step, node.length)))  # what is made once is no sample's
    count, at, took, began = 0, 0, 0.0, time.perf_counter()
    while at < node.length and took < seconds:
        items = make(0, np.arange(at, min(at + step, node.length)))
        count += sum(item.count for item in items if item is not None)
        at += step
        took = time.perf_counter() - began - meter.seconds.get("compile", 0.0)
    return took / max(1, count), meter.seconds.get("read", 0.0) / max(1, count)


def _advice(plan: Stage, stages: list[StageTime], mode: str) -> Iterator[str]:
    every = list(chain(plan))
    total = sum(s.seconds for s in stages)
    share = {s.name: s.seconds / total for s in stages} if total else {}
    if any(isinstance(s, DecodeApply) for s in every) and turbo.nvimgcodec() is None:
        yield 'windows of JPEGs are decoded faster with: pip install "vdata-vision[turbo]"'
    if share.get("read", 0) > 0.5 and any(isinstance(s, Read) and isinstance(s.source, Source) and not s.source.far for s in every):
        yield "most of the time goes into reading: .pack(url) writes shards, which are read with one look-up a sample"
    if share.get("map", 0) > 0.5 and mode == "thread" and any(type(s) is Map for s in every):
        yield 'most of the time goes into a function of yours: if it is Python (not numpy, torch or OpenCV), loader(mode="process") runs several at once'
    if share.get("decode", 0) > 0.5 and any(isinstance(s, Apply) for s in every):
        yield "most of the time goes into decoding whole pictures: with a crop (RandomResizedCrop, RandomCrop) as the first transform only its window is decoded; .pack(url, longest=...) makes large pictures smaller once"
    if not any(isinstance(s, Batch) for s in every):
        yield "without .batch(n) samples are handed out one by one"
