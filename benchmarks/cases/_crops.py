"""Photographs -> RandomResizedCrop(224), flip -> batches of 128: by each library as its documentation says, two threads or processes each.

A function yields batches as the library delivers them: [128, 3, 224, 224] uint8, or float32 normalised. DALI's uint8 batches are [128, 224, 224, 3].
"""

# DALI's and webdataset's annotations do not know what they hold and take.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import data

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKERS = len(os.sched_getaffinity(0))
PASSES = 8  # over the files: what a loader has ahead at the start, loops that are read then, and its last batch alone at the end, weigh the less


def vdata(urls: Any, *, antialias: bool, floats: bool = False) -> Iterator[Any]:
    import torch

    import vdata
    from vdata import transforms as T

    augment = [T.RandomResizedCrop(224, antialias=antialias), T.RandomHorizontalFlip()]
    normalise = [T.ToDtype(torch.float32, scale=True), T.Normalize(MEAN, STD)] if floats else []
    pipe = vdata.open(urls).select("jpg").repeat(PASSES).apply(*augment, *normalise).batch(data.BATCH, drop_last=True)
    return (batch["jpg"] for batch in pipe.loader(workers=WORKERS))


def dali(folder: Path, quick: bool, *, antialias: bool, floats: bool = False, tars: str = "tars") -> Iterator[Any]:
    """Decoder and crop are one operator, as are flip and normalisation. Batches are views of DALI's buffers: good until the next one is asked for."""
    import numpy as np
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=data.BATCH, num_threads=WORKERS, device_id=None, prefetch_queue_depth=2)
    def pipeline():
        paths, indexes = data.tars(folder, tars), data.dali_indexes(folder, tars)
        files = fn.readers.webdataset(paths=paths, index_paths=indexes, ext=["jpg;jpg.jpg"], missing_component_behavior="error")
        images = fn.decoders.image_random_crop(files, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3], num_attempts=10)
        images = fn.resize(images, size=[224, 224], interp_type=types.INTERP_LINEAR, antialias=antialias)
        mirror = fn.random.coin_flip()
        if not floats:
            return fn.crop_mirror_normalize(images, mirror=mirror, dtype=types.UINT8, output_layout="HWC")
        mean, std = [255 * m for m in MEAN], [255 * s for s in STD]
        return fn.crop_mirror_normalize(images, mirror=mirror, mean=mean, std=std, dtype=types.FLOAT, output_layout="CHW")

    pipe = pipeline()
    pipe.build()
    for _ in range(PASSES * data.count(quick) // data.BATCH):
        (images,) = pipe.run()
        yield np.asarray(images.as_tensor())


def torchvision(folder: Path, *, antialias: bool, workers: int = WORKERS) -> Iterator[Any]:
    """The fastest way that torchvision has: its own JPEG decoder, v2's transforms on uint8 tensors."""
    from torch.utils.data import DataLoader, Dataset
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    augment = _v2(antialias)

    class Photos(Dataset):
        names = [str(path) for path in data.files(folder)] * PASSES

        def __len__(self) -> int:
            return len(self.names)

        def __getitem__(self, index: int) -> Any:
            return augment(decode_jpeg(read_file(self.names[index]), ImageReadMode.RGB))

    yield from DataLoader(Photos(), data.BATCH, num_workers=workers, drop_last=True, persistent_workers=workers > 0)


def webdataset(folder: Path, *, antialias: bool, workers: int = WORKERS) -> Iterator[Any]:
    """With torchvision's decoder and transforms, which are faster than its own through Pillow."""
    import numpy as np
    import torch
    import webdataset as wds
    from torchvision.io import ImageReadMode, decode_jpeg

    augment = _v2(antialias)

    def decoded(file: bytes) -> Any:
        return augment(decode_jpeg(torch.from_numpy(np.frombuffer(bytearray(file), np.uint8)), ImageReadMode.RGB))

    dataset = wds.WebDataset(data.tars(folder), shardshuffle=False).repeat(PASSES).to_tuple("jpg").map_tuple(decoded).batched(data.BATCH, partial=False)
    for (images,) in wds.WebLoader(dataset, batch_size=None, num_workers=workers):
        yield images


def _v2(antialias: bool) -> Any:
    from torchvision.transforms import v2

    return v2.Compose([v2.RandomResizedCrop(224, antialias=antialias), v2.RandomHorizontalFlip()])


# -- is it the same kind of thing? ---------------------------------------------------------------------------------------


def sizes(batches: Iterable[Any]) -> Iterator[int]:
    return (len(batch) for batch in batches)


def alike(*, dtype: str, contiguous: bool, **peers: Iterator[Any]) -> None:
    """The first batches of all peers: shape, dtype, and, as they are crops of the same pictures, nearly the same mean of each channel."""
    import torch

    seen = {}
    for peer, batches in peers.items():
        batch = torch.as_tensor(next(batches)).as_subclass(torch.Tensor).clone()  # DALI's is a view of what the next batch is written to
        if batch.shape[-1] == 3:
            batch = batch.permute(0, 3, 1, 2)
        assert batch.shape == (data.BATCH, 3, 224, 224), (peer, batch.shape)
        assert str(batch.dtype) == f"torch.{dtype}", (peer, batch.dtype)
        assert batch.is_contiguous() or not contiguous, (peer, batch.stride())
        seen[peer] = (batch.double().mean((0, 2, 3)), batch.double().std())
    mean, deviation = seen["vdata"]
    for peer, (other, _) in seen.items():
        assert (mean - other).abs().max() < 0.2 * deviation, (peer, mean, other)
