"""Where pipes begin: shards, folders, tables, torch datasets, iterables; and several pipes as one."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from vdata import plan
from vdata.errors import PlanError
from vdata.own.coco import coco_source
from vdata.own.csv import csv_source
from vdata.own.folder import Folder
from vdata.own.mapped import MapStyle
from vdata.pipe import DataPipe, seed_number
from vdata.plan import Stage
from vdata.source import Iterated, Source, Stream


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


def from_folder(
    path: str | os.PathLike[str], *, labels: bool | None = None, categories: Sequence[str] | None = None,
    masks: str | os.PathLike[str] | None = None, ignore_index: int | None = None, orient: bool | None = None,
) -> DataPipe:  # fmt: skip
    """Pictures of a folder. Its sub-folders are the classes, in sorted order (as ImageFolder), or `masks` lie in another.

    Samples have `image`, `__key__` (the path without its suffix), and `label` or `mask`.

    labels        whether the first folder of a path is a class; by default yes, unless masks are given
    categories    all classes in order, where a split may lack one; with masks alone, the names of their values
    masks         the folder that has a mask of the same name for each picture, or a pattern: "masks/*_mask.png"
    ignore_index  the value of masks that means "unknown"
    orient        whether EXIF orientation is applied; by default yes, unless there are masks, which lie on the pixels as stored

    What ImageFolder has as `classes` and `class_to_idx` is in the pipe's fields:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from vdata.testing import photo, png
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     _ = (root / name / "1.png").write_bytes(png(photo(4, 6)))
    >>> pipe = vdata.from_folder(root)
    >>> pipe[1]["label"].name, pipe.plan.fields["label"].meta["categories"]
    ('dog', ('cat', 'dog'))
    """
    given = {"labels": labels, "categories": categories, "masks": masks, "ignore_index": ignore_index, "orient": orient}
    return read(Folder(path, **given))  # type: ignore[arg-type]


def from_csv(
    path: str | os.PathLike[str], *, image: str = "path", label: str | None = "class", boxes: Sequence[str] | None = None,
    format: str = "XYXY", keep: Sequence[str] = (), root: str | os.PathLike[str] | None = None,
    categories: Sequence[str] | None = None, delimiter: str | None = None, orient: bool | None = None,
) -> DataPipe:  # fmt: skip
    """Pictures that a CSV (or TSV) with a header names, with their labels; or with their boxes, one in a row.

    Samples have `image`, `label` and `__key__`; with `boxes`, the rows of a picture are one sample with `boxes` and `labels`.

    image       the column of paths
    label       the column of labels, None for none; words become classes, sorted; numbers stay numbers
    boxes       four columns; a picture without a box has one row in which they are empty
    format      of the boxes: "XYXY" (two corners), "XYWH" (a corner and sides), "CXCYWH"; in pixels, continuous
    keep        more columns (a patient, a site), as fields of their names
    root        the folder that paths start from; by default that of the CSV
    categories  all classes in order, so that every split numbers them alike
    delimiter   by default a tab for .tsv, else a comma
    orient      whether EXIF orientation is applied; by default yes, unless there are boxes, which lie on the pixels as stored

    DataError names pictures that are not there or come twice, and boxes that cannot be.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from vdata.testing import photo, png
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "1.png").write_bytes(png(photo(4, 6)))
    >>> _ = (root / "train.csv").write_text("path,class\\n1.png,dog\\n")
    >>> vdata.from_csv(root / "train.csv", categories=["cat", "dog"])[0]["label"]
    Label(int64 [], categories=('cat', 'dog'), 1)
    """
    about = {"keep": keep, "root": root, "categories": categories, "delimiter": delimiter, "orient": orient}
    return read(csv_source(path, image=image, label=label, boxes=boxes, format=format, **about))  # type: ignore[arg-type]


def from_coco(
    json: str | os.PathLike[str], images: str | os.PathLike[str], *,
    categories: Sequence[str] | None = None, masks: bool = True, orient: bool = False,
) -> DataPipe:  # fmt: skip
    """Pictures of a folder and what a COCO JSON says of them, sorted by the pictures' ids.

    Samples have `image`, `image_id` and `__key__`; `boxes` (two corners), `labels` (numbered from 0 without gaps), `category_ids`
    (as the file numbers them) and `iscrowd`; and where the file has them `area`, `ids`, `masks` (one an object) and `keypoints`.
    A picture without objects has empty ones; a file without "annotations" gives pictures alone. Key points are taken for pixels
    counted from 0, as COCO's are, and lie in their middles.

    categories  all classes in order, so that every split numbers them alike; by default the file's, by their ids
    masks       whether masks are read; they become pixels only when a sample is decoded
    orient      whether EXIF orientation is applied; by default no: COCO's tools annotate the pixels as stored

    DataError names pictures that are not there, pictures of another size than the file says, and boxes that cannot be.

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from vdata.testing import photo, png
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = (root / "1.png").write_bytes(png(photo(4, 6)))
    >>> pets = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    >>> found = [{"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 1, 2, 3]}]
    >>> told = {"images": [{"id": 5, "file_name": "1.png"}], "categories": pets, "annotations": found}
    >>> _ = (root / "train.json").write_text(json.dumps(told))
    >>> sample = vdata.from_coco(root / "train.json", root)[0]
    >>> sample["boxes"].tolist(), sample["labels"].name
    ([[1.0, 1.0, 3.0, 4.0]], ['dog'])
    """
    return read(coco_source(json, images, categories=categories, masks=masks, orient=orient))


def open(
    url: str | Sequence[str], *, orient: bool = True, cache: bool | str | os.PathLike[str] | None = None, cache_limit: int | str | None = None,
) -> DataPipe:  # fmt: skip
    """Shards: a folder that vdata packed, or webdataset tars of anybody's ("data/{000..146}.tar", a list, a folder).

    A path, http://, https://, s3://, gs://, az://, hf:// or memory://; credentials come from their providers' usual places.
    Samples of foreign tars have their extensions as fields ("jpg", "cls", "seg.png"), decoded by suffix; their index is made by
    reading headers alone, each time: `vdata index URL FOLDER` keeps it.

    orient       whether the EXIF orientation of foreign pictures is applied (default True)
    cache        where bytes from far away are kept for the next epoch and for other processes: by default the machine's
                 cache (VDATA_CACHE, or the user's folder for caches), a folder of one's own, or False: nowhere
    cache_limit  its size at most, as in "50GB" (VDATA_CACHE_LIMIT; by default half of what is free, at most 200 GB)

    Raises UnknownDatasetError where there is nothing, a RemoteError where storage does not answer or refuses, a ShardError for
    what is no tar or no manifest.
    """
    from vdata.sharded import Sharded

    return read(Sharded.open(url, orient=orient, cache=cache, cache_limit=cache_limit))


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


def mix(
    pipes: Sequence[DataPipe], weights: Sequence[float] | Mapping[int, Sequence[float]] | None = None, *, stop: str = "first", seed: int = 0,
) -> DataPipe:  # fmt: skip
    """Samples of several pipes in turns, each as often as its weight says: to within one sample over each 1,024 positions.

    Which pipe stands at a position, and how far in it, is a function of the position: a mix of pipes with an index is elastic and
    resumes exactly. Shuffle each pipe, not the mix. A pipe that is used up begins anew, in another order.

    weights  one number a pipe (default: all alike), or a schedule {0: [1, 0], 50_000: [0.5, 0.5]}: the weights from that sample of the epoch on
    stop     the epoch ends before the "first" pipe would begin anew, once "all" have been used up, or "never"
    seed     of the turns

    >>> pipe = vdata.mix([vdata.from_torch([{"x": i} for i in range(6)]), vdata.from_torch([{"x": -1}])], [3, 1], stop="all")
    >>> [sample["x"] for sample in pipe]
    [0, 1, -1, 2, 3, -1, 4, 5]
    """
    if isinstance(pipes, DataPipe):
        raise PlanError("mix takes a list of pipes: write vdata.mix([a, b], weights=[0.7, 0.3])")
    plans = _plans("mix", pipes)
    if weights is None:
        weights = [1.0] * len(plans)
    schedule = weights if isinstance(weights, Mapping) else {0: weights}
    try:
        exact = tuple((operator.index(at), tuple(map(_number, each))) for at, each in sorted(schedule.items()))
    except (TypeError, OverflowError):
        raise PlanError(f"mix: weights are one number a pipe, or {{position: numbers}}, got {weights!r}") from None
    return DataPipe(plan.Mix(plans, exact, stop, seed_number("mix", seed)))


def _number(weight: Any) -> float:
    """One way of writing a weight: a state does not tell 1 from 1.0, or numpy's from Python's."""
    if not isinstance(weight, Real):
        raise TypeError
    return float(weight)


def _plans(verb: str, pipes: Sequence[Any]) -> tuple[Stage, ...]:
    if len(pipes) == 1 and isinstance(pipes[0], (list, tuple)):
        pipes = pipes[0]
    odd = [type(p).__name__ for p in pipes if not isinstance(p, DataPipe)]
    if odd or not pipes:
        raise PlanError(f"{verb} takes DataPipes, got {', '.join(odd) or 'none'}")
    return tuple(p.plan for p in pipes)
