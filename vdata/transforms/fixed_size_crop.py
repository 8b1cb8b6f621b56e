"""A canvas of one size: too large is cut, too small is padded, and objects that are gone are dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdata.batch import Batch
from vdata.key import Key
from vdata.tensors import BoundingBoxes
from vdata.transforms._base import Leaves, Params, same_size, value
from vdata.transforms._check import fill_value, padding_mode, put, size_pair
from vdata.transforms._corners import UPRIGHT, corners, from_corners
from vdata.transforms._dropping import Dropping
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._instances import instances
from vdata.transforms.clamp import left_over, xyxy
from vdata.transforms.crop import padded_crop
from vdata.transforms.pad import fill_by_type


@value
class _Cut(Geometric):
    """The moving part."""

    size: tuple[int, int]
    fill: Any
    padding_mode: str
    op = padded_crop

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        height, width = self.size
        new = {"fill": fill_by_type(self.fill), "padding_mode": self.padding_mode}
        padding = (0, 0, max(width - size[1], 0), max(height - size[0], 0))
        return {
            "top": params["top"],
            "left": params["left"],
            "height": height,
            "width": width,
            "padding": padding,
            **new,
        }

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.size, np.int64), sizes.shape)


@value
class FixedSizeCrop(Dropping):
    """Make the canvas `size`: where it is larger, keep a window at a random place; where smaller, pad right and at the bottom.

    size          (height, width), or the side of a square
    fill          new pixels, as in `Pad`
    padding_mode  as in `Pad`
    instances     the names of all leaves that have a row an object (`T.Instances`); None for the usual ones

    Boxes of which the canvas leaves no area are dropped, with all that describes the same objects. Frames must be of one size.
    Both offsets are drawn. In torchvision's references and in detectron2 one number gives both, so that windows lie on
    the diagonal alone. After `ScaleJitter` this is large scale jitter.

    >>> FixedSizeCrop((4, 6))(Image(torch.zeros(3, 8, 2))).shape
    torch.Size([3, 4, 6])
    """

    size: Any
    fill: Any = 0
    padding_mode: str = "constant"
    instances: Any = None
    kind = BoundingBoxes
    moves = True

    def __post_init__(self) -> None:
        put(self, size=size_pair(self.size), fill=fill_value(self.fill))
        put(self, instances=None if self.instances is None else instances(self.instances))
        padding_mode(self.padding_mode)

    @property
    def cut(self) -> Geometric:
        """The moving part alone. Dropping cannot be read as one with other moves, so this class is not itself one."""
        return _Cut(self.size, self.fill, self.padding_mode)

    def draw(self, key: Key, info: Info) -> Params:
        room = np.maximum(same_size(self, info) - self.size, 0)
        top, left = key.fold("top").integers(0, room[:, 0] + 1), key.fold("left").integers(0, room[:, 1] + 1)
        return {"top": top, "left": left}

    def judge(self, leaf: BoundingBoxes) -> tuple[Any, Tensor]:
        return leaf, area_left(leaf)

    def after(self, params: Params, info: Info) -> Info:
        return self.cut.after(params, info).dropped()

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return self.left(self.cut.apply(params, sample))

    def apply_chosen(self, params: Params, batch: Batch) -> Batch:
        return self.left_in(self.cut.apply_rows(params, batch))

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return self.cut.inverse(params, sample, info)


def area_left(boxes: BoundingBoxes) -> Tensor:
    """Which boxes have an area on their canvas: bool [N]."""
    height, width = boxes.canvas_size
    if boxes.format in UPRIGHT:
        sides = xyxy(boxes.plain(), boxes.format)
        limit = torch.tensor([width, height], device=boxes.device)
        return (torch.minimum(sides[..., 2:], limit) > sides[..., :2].clamp(min=0)).all(-1)
    rectangle = from_corners(corners(boxes.plain(), boxes.format), "CXCYWHR")
    turn = torch.deg2rad(rectangle[:, 4])
    low, high, empty = left_over(rectangle[:, 2:4], corners(rectangle, "CXCYWHR")[:, 0], turn, boxes.canvas_size)
    return (high > low).all(-1) & ~empty
