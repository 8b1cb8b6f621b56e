"""Samples before and after an augmentation, and how one is named on a command line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vdata import transforms as T
from vdata.errors import PlanError
from vdata.viz.sample import Sample

# Ready to be looked at: strong enough to be seen, on samples of any size and type.
PRESETS: dict[str, T.Transform] = {
    "flip": T.RandomHorizontalFlip(),
    "crop": T.RandomResizedCrop((256, 256), scale=(0.3, 1.0)),
    "color": T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "rotate": T.RandomAffine(20, scale=(0.8, 1.2), interpolation="bilinear"),
    "perspective": T.RandomPerspective(p=1.0),
    "blur": T.GaussianBlur(7, sigma=(1.0, 3.0)),
    "erase": T.RandomErasing(p=1.0),
    "auto": T.TrivialAugmentWide(),
}


def augmentation(text: str) -> T.Transform:
    """A transform by what people type: names of `PRESETS` ("flip,crop,color"), or a .json file that `T.to_json` wrote.

    >>> augmentation("flip,blur")
    Compose((RandomHorizontalFlip(), GaussianBlur((7, 7), sigma=(1.0, 3.0))))
    """
    if text.endswith(".json"):
        return T.from_json(Path(text).read_bytes())
    names = [name.strip().lower() for name in text.split(",")]
    if unknown := [name for name in names if name not in PRESETS]:
        raise PlanError(
            f"no augmentation is called {unknown[0]!r}: give names of {', '.join(PRESETS)} with commas between them, a transform in a "
            "file of yours as FILE.py:NAME, or FILE.json as T.to_json writes it"
        )
    return T.Compose([PRESETS[name] for name in names])


def before_and_after(pipe: Any, transform: T.Transform, count: int, draws: int) -> Iterator[list[Sample]]:
    """For each of the first samples of a pipe: itself, and what `draws` epochs make of it."""
    passes = [pipe.take(count)]
    for epoch in range(draws):
        augmented = pipe.apply(transform).take(count)
        augmented.set_epoch(epoch)
        passes.append(augmented)
    for group in itertools.zip_longest(*passes):
        key = group[0].get("__key__", "")
        yield [group[0], *({**sample, "__key__": f"{key} · augmented {n}"} for n, sample in enumerate(group[1:], 1))]
