"""What a model of torchvision was evaluated with, as a pipeline of ours: `from_weights`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from vdata.batch import Batch, Ragged
from vdata.tensors import Image, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._rows import flat
from vdata.transforms.container import Compose
from vdata.transforms.crop import CenterCrop
from vdata.transforms.dtype import Normalize, ToDtype
from vdata.transforms.resize import Resize


def from_weights(weights: Any) -> Compose:
    """What `weights.transforms()` of torchvision does to pictures, clips and pairs of frames, for typed samples and batches.

    weights  an entry of torchvision's multi-weight API, as in `torchvision.models.ResNet50_Weights.IMAGENET1K_V2`, or its
             name, "ResNet50_Weights.IMAGENET1K_V2" (which imports torchvision)

    Classification resizes, cuts out the centre and normalises; segmentation leaves out the cut, and masks and boxes move along;
    detection only makes floats in 0..1; optical flow makes both frames floats in -1..1, and a Flow stays as it is; of clips
    [T, C, H, W] plain tensors [C, T, H, W] are made (`ToChannelsFirst`).

    Floating pictures come out as torchvision's, to float rounding. uint8 ones as its preset makes of a PIL image, to a
    grey level or two: so were the published accuracies measured. (Of a uint8 tensor torchvision makes other pixels than of
    the same PIL image, under bicubic by a dozen levels at edges. Of clips it has tensors only: to one level.)

    Raises TypeError for what is no such entry, and ValueError for a preset that is not known here.

    >>> from torchvision.models import ResNet50_Weights
    >>> print(*T.from_weights(ResNet50_Weights.IMAGENET1K_V2).transforms, sep="\\n")
    Resize(232)
    CenterCrop((224, 224))
    ToDtype(torch.float32, scale=True)
    Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    """
    made = getattr(_entry(weights), "transforms", None)
    if not callable(made):
        raise TypeError(f"from_weights takes an entry of torchvision's weights, as ResNet50_Weights.DEFAULT, or its name, got {weights!r}")
    preset: Any = made()
    kind = type(preset)
    name = kind.__name__ if kind.__module__.partition(".")[0] == "torchvision" else ""
    floats = ToDtype(torch.float32, scale=True)
    match name:
        case "ImageClassification":
            return Compose([_resize(preset, preset.antialias), CenterCrop(preset.crop_size), floats, _normalize(preset)])
        case "SemanticSegmentation":
            first = [] if preset.resize_size is None else [_resize(preset, preset.antialias)]
            return Compose([*first, floats, _normalize(preset)])
        case "ObjectDetection":
            return Compose([floats])
        case "OpticalFlow":
            return Compose([floats, Normalize([0.5], [0.5])])
        case "VideoClassification":
            steps = [_resize(preset, antialias=False), CenterCrop(preset.crop_size), floats, _normalize(preset)]
            return Compose([*steps, ToChannelsFirst()])
    raise ValueError(f"{weights} has a preset that is not known here, {kind.__module__}.{kind.__name__}: write its steps as a Compose, from {preset}")


def _entry(weights: Any) -> Any:
    if not isinstance(weights, str):
        return weights
    from torchvision.models import get_weight

    return get_weight(weights)


def _resize(preset: Any, antialias: bool | None) -> Resize:
    return Resize(preset.resize_size, preset.interpolation, antialias=antialias)


def _normalize(preset: Any) -> Normalize:
    return Normalize(preset.mean, preset.std)


@value
class ToChannelsFirst(Transform):
    """Clips [..., T, C, H, W] become plain tensors [..., C, T, H, W], as 3-D convolutions take them: last in a list.

    An Image of several pictures [T, C, H, W] is taken for a clip, since a plain tensor comes as one; a picture stays.

    >>> ToChannelsFirst()({"video": Video(torch.zeros(8, 3, 4, 6))})["video"].shape
    torch.Size([3, 8, 4, 6])
    """

    def after(self, params: Params, info: Info) -> Info:
        clips = {n for n, kind in info.types.items() if kind == "Video"}
        kept = lambda known: {n: v for n, v in known.items() if n not in clips}
        return replace(info, types=kept(info.types), dtypes=kept(info.dtypes), channels=kept(info.channels), counts=kept(info.counts))

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample  # nothing has moved on the canvas

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return _turned(sample, 0)

    def apply_rows(self, params: Params, batch: Batch) -> Any:
        if flat(batch) and not any(isinstance(v, Ragged) for v in batch.values()):
            return batch.replace(_turned(batch, 1))
        return self._one_by_one(params, batch)


def _turned(leaves: Mapping[str, Any], lead: int) -> Leaves:
    """All leaves, clips with their channels before their frames; `lead` dimensions are the batch's."""
    clip = lambda v: isinstance(v, Video) or (isinstance(v, Image) and v.ndim > 3 + lead)
    return {n: v.plain().movedim(-3, -4) if clip(v) else v for n, v in leaves.items()}
