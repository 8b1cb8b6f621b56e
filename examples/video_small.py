"""What video.py is tried out with: photographs that pass a window, and models of both families with few blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision.models.video import MViT, SwinTransformer3d
from torchvision.models.video.mvit import MSBlockConfig

import vdata
from vdata import transforms as T
from vdata.tensors import Label, Video

MOTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}  # (down, across), of the photograph


def clip(sample: dict[str, Any], frames: int = 8, side: int = 48) -> dict[str, Any]:
    """A photograph that passes a window: no single frame says where to. All is drawn from the sample's own key, so that it is the same each time."""
    key = vdata.Key.of("clip", sample["__key__"])
    number, speed = (int(key.fold(name).integers(0, 4)[0]) for name in ("motion", "speed"))
    steps = (speed / 2 + 2) * (torch.arange(frames) - (frames - 1) / 2)
    moved = torch.tensor(list(MOTIONS.values())[number]) * steps[:, None]  # of the photograph, in pixels; the window moves the other way
    middle = torch.tensor(sample["image1"].canvas) / 2 + torch.from_numpy(key.fold("place").uniform(-8, 8, 2)[0])
    places = (middle - side / 2 - moved).round().long()
    pictures = [T.functional.crop(sample["image1"], top, left, side, side).plain() for top, left in places.tolist()]
    return {"__key__": sample["__key__"], "video": Video(torch.stack(pictures)), "label": Label(number, categories=tuple(MOTIONS))}


def clips(split: str, length: int) -> vdata.DataPipe:
    """Moving photographs with the direction as their class."""
    return vdata.load("moving_photos", split, length=length, size=(96, 96)).select("image1").map(clip)


def mvit(classes: int) -> nn.Module:
    cube = [3, 3, 3]
    blocks = [MSBlockConfig(1, 16, 16, cube, cube, [1, 1, 1], [1, 2, 2]), MSBlockConfig(2, 16, 32, cube, cube, [1, 2, 2], [1, 1, 1])]
    return MViT(
        (32, 32), 8, blocks, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True, proj_after_attn=True,
        dropout=0.1, stochastic_depth_prob=0.1, num_classes=classes,
    )  # fmt: skip


def swin(classes: int) -> nn.Module:
    return SwinTransformer3d([2, 4, 4], 32, [2, 2], [2, 4], [4, 4, 4], stochastic_depth_prob=0.1, num_classes=classes)
