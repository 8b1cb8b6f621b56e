"""Where pipes begin: shards, folders, torch datasets, iterables; and several pipes as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vdata import plan
from vdata.errors import PlanError
from vdata.folder import Folder
from vdata.pipe import DataPipe
from vdata.plan import Stage
from vdata.source import Iterated, MapStyle, Source, Stream


def read(source: Source | Stream) -> DataPipe:
    """The pipe over a `Source` or `Stream` of one's own."""
    return DataPipe(plan.Read(source))


def from_iterable(iterable: Iterable[Any] | Callable[[], Iterable[Any]], name: str = "") -> DataPipe:
    """Samples (dicts; anything else becomes {"value": it}) of an iterable: a stream, without an index.

    An iterator can be read once; a function that returns a fresh one can be read every epoch.

    >>> list(vdata.from_iterable([{"x": 1}]))
    [{'__key__': '00000000', 'x': 1}]
    """
    return read(Iterated(iterable, name))


def from_torch(dataset: Any, keys: Sequence[str] | None = None) -> DataPipe:
    """A torch map-style dataset (anything with `len` and `[i]`). (image, target) becomes image and label.

    `keys` names the parts of other tuples. A state's digest knows the dataset's class and length, not its content.

    >>> vdata.from_torch([(1.0, 2)])[0]
    {'__key__': '00000000', 'image': 1.0, 'label': 2}
    """
    return read(MapStyle(dataset, keys))


def from_folder(path: str, *, labels: bool = True) -> DataPipe:
    """Pictures of a folder; with `labels`, its sub-folders are the classes, in sorted order (as ImageFolder).

    Samples have `image`, `label` and `__key__` (the path without its suffix). EXIF orientation is applied.

    >>> from_folder("/nowhere")
    Traceback (most recent call last):
    ...
    vdata.errors.UnknownDatasetError: there is no folder '/nowhere'
    """
    return read(Folder(path, labels=labels))


def open(url: str | Sequence[str], **options: Any) -> DataPipe:
    """Shards: a folder that vdata packed, or webdataset tars of anybody's ("data/{000..146}.tar", a list, a folder).

    Samples of foreign tars have their extensions as fields ("jpg", "cls", "seg.png"), decoded by suffix.

    orient     whether the EXIF orientation of foreign pictures is applied (default True)
    """
    from vdata.sharded import Sharded

    return read(Sharded.open(url, **options))


def concat(*pipes: DataPipe) -> DataPipe:
    """One pipe after the other.

    >>> len(vdata.concat(vdata.from_torch([{"x": 1}]), vdata.from_torch([{"x": 2}])))
    2
    """
    return DataPipe(plan.Concat(_plans("concat", pipes)))


def zip(*pipes: DataPipe) -> DataPipe:
    """Samples side by side, as one dict with the fields of all. Lengths must be equal.

    >>> vdata.zip(vdata.from_torch([{"x": 1}]), vdata.from_torch([{"y": 2}]))[0]
    {'__key__': '00000000', 'x': 1, 'y': 2}
    """
    return DataPipe(plan.Zip(_plans("zip", pipes)))


def _plans(verb: str, pipes: Sequence[Any]) -> tuple[Stage, ...]:
    if len(pipes) == 1 and isinstance(pipes[0], (list, tuple)):
        pipes = pipes[0]
    odd = [type(p).__name__ for p in pipes if not isinstance(p, DataPipe)]
    if odd or not pipes:
        raise PlanError(f"{verb} takes DataPipes, got {', '.join(odd) or 'none'}")
    return tuple(p.plan for p in pipes)
