"""Everything that can be checked of a dataset's files: sizes and hashes of archives, numbers of samples, every sample read and decoded."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdata.card import Archive, Card
from vdata.catalog import info, root_of
from vdata.errors import DataError, DataWarning, PlanError, VdataError
from vdata.fetching import verify as verify_archive
from vdata.find import extracted, found, missing, places_of
from vdata.listing import UNSURE, ArchiveStream
from vdata.loading import load
from vdata.pipe import DataPipe
from vdata.progress import progress


@dataclass
class Report:
    """What was found. `problems` is empty if all is well; `lines` says what was checked, in order."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = [f"PROBLEM  {p}" for p in self.problems]
        end = f"{len(self.problems)} problems" if self.problems else "all is well"
        return "\n".join([*self.lines, *found, end])


def verify(name: str, root: str | os.PathLike[str] | None = None, *, samples: bool = True) -> Report:
    """Check a dataset's archives against the card; read and decode every sample of every split; and list the samples of
    every other value of every option. Splits and options whose files are not there are passed over, and named.

    samples   False: nothing is read but lists

    >>> verify("motorcycle").problems
    []
    """
    card = info(name)
    folder = root_of(card, root)
    report = Report()
    for archive in card.archives:
        _archive(card, archive, folder, report)
    checked = [_split(name, split, {}, folder, samples, report) for split in card.splits]
    for split in card.splits:
        for option, about in card.options.items():
            for value in about.choices:
                if value != about.default:
                    _split(name, split, {option: value}, folder, False, report)
    if not any(checked):
        report.problems.append(f"nothing of {card.name} is in {folder}")
    return report


def _archive(card: Card, archive: Archive, folder: Path, report: Report) -> None:
    places = places_of(card, folder)
    path = found(archive, places)
    if path is None:
        state = "extracted, so it has no checksum" if extracted(archive, places) else "not here"
        report.lines.append(f"{archive.name}: {state}")
    elif path.name != archive.name:
        report.lines.append(f"{archive.name}: here unpacked as {path.name}, of which no checksum is known")
    elif not (archive.sha256 or archive.md5 or archive.bytes):
        report.lines.append(f"{archive.name}: here, but nobody has published its size or hash")
    else:
        try:
            verify_archive(archive, path)
            report.lines.append(f"{archive.name}: {'as published' if archive.sha256 or archive.md5 else 'of the size that was published'}")
        except DataError as error:
            report.problems.append(str(error))


def _split(name: str, split: str, options: Mapping[str, Any], folder: Path, decode: bool, report: Report) -> bool:
    """Whether there was anything to check."""
    card = info(name)
    what = ", ".join([f"split {split}", *(f"{n}={v!r}" for n, v in options.items())])
    settings = {n: o.default for n, o in card.options.items()} | dict(options) | {"split": split}
    if lost := missing(card, folder, settings):
        report.lines.append(f"{what}: not here (it needs {', '.join(a.name for a in lost)})")
        return False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            pipe = load(name, split, root=folder, strict=False, **options)
            count = _read(pipe, what, report) if decode else _listed(pipe)
    except PlanError as error:
        report.lines.append(f"{what}: {error}")
        return False
    except VdataError as error:
        report.problems.append(f"{what}: {error}")
        return True
    for message in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, DataWarning)):
        (report.lines if message.startswith(UNSURE) else report.problems).append(f"{what}: {message}")
    report.lines.append(f"{what}: {count:,} samples {'read and decoded' if decode else 'listed'}")
    return True


def _listed(pipe: DataPipe) -> int:
    """The number of samples, nothing of which is read; of a compressed archive without an index after its first pass."""
    source = pipe.plan.source  # type: ignore[attr-defined]
    return len(source.records()) if isinstance(source, ArchiveStream) else len(pipe)


def _read(pipe: DataPipe, what: str, report: Report) -> int:
    """How many samples can be read and decoded; of those with an index every broken one is a problem of its own."""
    good = 0
    if pipe.plan.access == "stream":
        with progress(f"verify {what}", None) as bar:
            for _ in pipe:
                good += 1
                bar.update(1)
        return good
    with progress(f"verify {what}", len(pipe)) as bar:
        for index in range(len(pipe)):
            try:
                pipe[index]
                good += 1
            except DataError as error:
                report.problems.append(f"{what}: {error}")
            bar.update(1)
    return good
