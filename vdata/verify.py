"""Everything that can be checked of a dataset's files: sizes and hashes of archives, numbers of samples, every sample read and decoded."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from vdata.card import Archive, Card
from vdata.catalog import home, info
from vdata.download import verify as verify_archive
from vdata.errors import DataError, DataWarning, VdataError
from vdata.find import extracted, found, missing, places_of
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
    """Check a dataset's archives against the card, and read and decode every sample of every split.

    samples   False: archives and numbers only

    >>> verify("motorcycle").problems
    []
    """
    card = info(name)
    folder = home() / card.name if root is None else Path(root)
    report = Report()
    for archive in card.archives:
        _archive(card, archive, folder, report)
    for split in card.splits:
        _split(card, split, folder, samples, report)
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


def _split(card: Card, split: str, folder: Path, decode: bool, report: Report) -> None:
    settings = {n: o.default for n, o in card.options.items()} | {"split": split}
    lost = missing(card, folder, settings)
    if lost:
        report.lines.append(f"split {split}: not here (it needs {', '.join(a.name for a in lost)})")
        return
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            pipe = load(card.name, split, root=folder, strict=False)
            count = _read(pipe, split, report) if decode else len(pipe)
        report.problems += [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
        report.lines.append(f"split {split}: {count:,} samples{' read and decoded' if decode else ''}")
    except VdataError as error:
        report.problems.append(f"split {split}: {error}")


def _read(pipe: DataPipe, split: str, report: Report) -> int:
    """How many samples can be read and decoded; of those with an index every broken one is a problem of its own."""
    good = 0
    if pipe.plan.access == "stream":
        with progress(f"verify {split}", None) as bar:
            for _ in pipe:
                good += 1
                bar.update(1)
        return good
    with progress(f"verify {split}", len(pipe)) as bar:
        for index in range(len(pipe)):
            try:
                pipe[index]
                good += 1
            except DataError as error:
                report.problems.append(f"split {split}: {error}")
            bar.update(1)
    return good
