"""From a dataset's file (`samples`, `sample`) and its files on disk to a `Source` or `Stream`.

    samples(files, split, **options)     what should be there: one record a sample, its files named, none opened
    sample(files, record, **options)     one record to a sample: bytes not yet decoded

records.py    what should be there, and what is
streamed.py   a compressed archive in its own order

Records are kept on disk as a table, so that the second `load` lists nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdata.files import Layers, kept
from vdata.find import unindexed
from vdata.listing.records import UNSURE, Check, Dataset, Reader, listed, present
from vdata.listing.streamed import ArchiveStream
from vdata.source import Listed, Source, Stream

__all__ = ["UNSURE", "ArchiveStream", "Dataset", "source_of"]


def source_of(
    dataset: Dataset, files: Layers, split: str, options: Mapping[str, Any], *, strict: bool = True, counted: bool = True
) -> Source | Stream:
    """The samples of a split.

    strict   a record without one of its files, or too few records, raises; else both are left out with a DataWarning
    counted  whether the number of samples is compared with the card's
    """
    check = Check(dataset, split, options, strict, counted, files.url, files.passed_over)
    read = Reader(dataset, files, dict(options))
    if list(unindexed(files)):
        return ArchiveStream(check, read)
    name = f"{dataset.card.name} {dataset.version} {split} {sorted(options.items())} {files.url}"
    table, _ = kept(name, lambda: listed(dataset, files, split, options))
    table = check(table)
    return Listed(dataset.card.name, table, read, fields=present(dataset.card, split, table), digest=check.digest(table))
