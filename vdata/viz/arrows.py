"""A flow as arrows over a picture."""

from __future__ import annotations

import math

import PIL.Image
import torch
import torch.nn.functional as F
from PIL import ImageDraw
from torch import Tensor

from vdata.tensors import Flow, Image
from vdata.viz.flow import greatest_magnitude
from vdata.viz.picture import from_pil, overlay, picture, plain, to_pil

_INK, _CASING = (20, 20, 24, 255), (255, 255, 255, 190)


def draw_arrows(image: Tensor, flow: Tensor, *, step: float | None = None, max_magnitude: float | None = None) -> Image:
    """The image with a grid of arrows on it, each the mean of the known vectors of its cell: uint8 [3, H, W].

    image          the flow's canvas at any size: the first frame, or `flow_to_image(flow)`
    step           pixels of the image between arrows; a sixteenth of its longer side, at least 12, where None
    max_magnitude  the length in pixels of a flow vector that is drawn as long as the grid is wide; the flow's own longest
                   where None

    Cells without a known vector have no arrow, those that stand still a dot.
    """
    data = plain(flow).float()
    if data.ndim != 3 or data.shape[0] != 2:
        raise ValueError(f"arrows are drawn for one flow [2, H, W], got shape {list(data.shape)}")
    shown = to_pil(picture(image))
    unit = greatest_magnitude(Flow(data)) if max_magnitude is None else max_magnitude
    return from_pil(paint_arrows(shown, data, step, unit))


def paint_arrows(image: PIL.Image.Image, flow: Tensor, step: float | None, unit: float) -> PIL.Image.Image:
    """Arrows for a plain flow [2, h, w] over an image of its canvas at any size."""
    step = max(12.0, max(image.size) / 16) if step is None else step
    rows, columns = max(1, round(image.height / step)), max(1, round(image.width / step))
    vectors, known = _cells(flow, rows, columns)
    high, wide = image.height / rows, image.width / columns
    reach = min(high, wide) * 0.95 / max(unit, 1e-12)

    def paint(draw: ImageDraw.ImageDraw, scale: int) -> None:
        thin = max(1.0, step / 14) * scale
        for row in range(rows):
            for column in range(columns):
                if known[row, column]:
                    u, v = (vectors[:, row, column] * reach * scale).tolist()
                    x, y = (column + 0.5) * wide * scale, (row + 0.5) * high * scale
                    for width, ink in ((thin + 2 * scale, _CASING), (thin, _INK)):
                        _arrow(draw, (x - u / 2, y - v / 2), (x + u / 2, y + v / 2), width, thin, ink)

    return overlay(image, paint)


def _cells(flow: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The mean known vector of each cell of a grid, [2, rows, columns], and bool [rows, columns] where there is one."""
    known = flow.isfinite().all(0, keepdim=True)
    filled = torch.cat([torch.where(known, flow, 0).float(), known.float()])
    pooled = F.adaptive_avg_pool2d(filled, (rows, columns))
    return pooled[:2] / pooled[2:].clamp(min=1e-12), pooled[2] > 0


def _arrow(
    draw: ImageDraw.ImageDraw, tail: tuple[float, float], tip: tuple[float, float], width: float, thin: float, ink: tuple[int, ...]
) -> None:
    length = math.dist(tail, tip)
    if length < 2 * thin:
        draw.circle(((tail[0] + tip[0]) / 2, (tail[1] + tip[1]) / 2), width / 2, fill=ink)
        return
    along = ((tip[0] - tail[0]) / length, (tip[1] - tail[1]) / length)
    head = min(4 * thin, 0.5 * length)
    neck = (tip[0] - along[0] * head * 0.7, tip[1] - along[1] * head * 0.7)
    draw.line((*tail, *neck), fill=ink, width=round(width))
    grown = (width - thin) / 2  # a casing's head is larger all round
    end = (tip[0] + along[0] * 1.8 * grown, tip[1] + along[1] * 1.8 * grown)
    back = (tip[0] - along[0] * (head + grown), tip[1] - along[1] * (head + grown))
    side = head * 0.45 + 1.6 * grown
    wings = [(back[0] - along[1] * side, back[1] + along[0] * side), (back[0] + along[1] * side, back[1] - along[0] * side)]
    draw.polygon([end, *wings], fill=ink)
