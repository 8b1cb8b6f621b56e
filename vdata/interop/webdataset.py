"""A pipe for webdataset's pipelines, and a webdataset pipeline as a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from vdata import codecs
from vdata.pipe import DataPipe
from vdata.run.ring import Inline
from vdata.run.walk import Walk
from vdata.start import from_iterable


class _Samples(IterableDataset):
    """Iterates undecoded samples as webdataset has them: {"__key__", "image.png": bytes, ...}; in a worker, its share."""

    def __init__(self, pipe: DataPipe):
        self.plan = pipe.plan

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        walk = Walk(self.plan, decode=False, worker=info.id if info else 0, workers=info.num_workers if info else 1)
        for item, _ in walk.run(walk.start(), Inline()):
            sample = item.value
            out: dict[str, Any] = {"__key__": sample.get("__key__", ""), "__url__": ""}
            for name, value in sample.items():
                if not name.startswith("__"):
                    suffix, data = codecs.encode(value)
                    out[f"{name}.{suffix}"] = data
            yield out


def to_webdataset(pipe: DataPipe) -> Any:
    """A `webdataset.DataPipeline` over epoch 0 of the pipe, its fields as bytes: `.decode("torchrgb")` and on from there.

    >>> [sorted(s) for s in to_webdataset(vdata.from_torch([{"x": 1}]))]
    [['__key__', '__url__', 'x.json']]
    """
    from webdataset.pipeline import DataPipeline

    return DataPipeline(_Samples(pipe))


def from_webdataset(dataset: Any, name: str = "") -> DataPipe:
    """A pipe over any webdataset pipeline: a stream. For its tars with an index, `vdata.open(url)` reads them directly.

    >>> list(from_webdataset([{"__key__": "a", "cls": 3}]))
    [{'__key__': 'a', 'cls': 3}]
    """
    return from_iterable(dataset, name or type(dataset).__name__)
