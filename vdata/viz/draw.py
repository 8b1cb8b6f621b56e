"""Boxes, masks and key points drawn on an image. Object i has one colour in all three: `colour(i)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import PIL.Image
import torch
from PIL import ImageDraw
from torch import Tensor

from vdata.tensors import BoundingBoxes, Image, KeyPoints, Label, Mask
from vdata.viz.picture import Colour, colour, fitted, font, from_pil, ink_on, overlay, picture, plain, to_pil

Rectangle = tuple[float, float, float, float]
Edges = Sequence[tuple[int, int]]  # pairs of points, numbered from 0, that a line joins

_CASING = (0, 0, 0, 110)  # a dark rim, so that a line is seen on any ground


def draw_boxes(
    image: Tensor, boxes: Tensor, labels: Label | Sequence[Any] | None = None, colors: Sequence[Colour] | None = None
) -> Image:  # fmt: skip
    """The image with boxes of any format on it, each with its label: uint8 [3, H, W].

    boxes   `BoundingBoxes` [N, 4] (5 or 8 numbers in the rotated formats), or a plain tensor [N, 4] as XYXY
    labels  one a box: a `Label` (its categories' names are written), or a sequence of anything
    colors  (red, green, blue) in 0..255 for each box; `colour(i)` for box i where None

    Raises ValueError where the boxes lie on a canvas of another size, or counts differ.
    """
    shown = picture(image)
    _same_canvas(shown, boxes)
    polygons = corners(boxes)
    names = names_of(labels) if labels is not None else [""] * len(polygons)
    colors = [colour(i) for i in range(len(polygons))] if colors is None else list(colors)
    if not len(polygons) == len(names) == len(colors):
        raise ValueError(f"{len(polygons)} boxes need as many labels and colors, got {len(names)} and {len(colors)}")
    return from_pil(paint_boxes(to_pil(shown), polygons, names, colors))


def draw_masks(image: Tensor, mask: Tensor, alpha: float = 0.5) -> Image:
    """The image tinted by a mask: uint8 [3, H, W].

    mask   a `Mask`; or a plain tensor, bool [N, H, W] as one mask an object, integer [H, W] as classes
    alpha  how much the tint covers, 0 to 1

    Semantic: class i is tinted `colour(i)`, the ignored value hatched in grey; False, and a class 0 that is called
    "background", stay clear. Instances: object i is tinted `colour(i)` and outlined.
    """
    shown = picture(image)
    mask = _mask(mask)
    _same_canvas(shown, mask)
    pixels = shown.plain().float()
    paint = _paint_instances if mask.kind == "instance" else _paint_classes
    return Image(paint(pixels, mask, alpha).round().to(torch.uint8))


def draw_keypoints(image: Tensor, keypoints: Tensor, radius: float = 3, skeleton: Edges = ()) -> Image:
    """The image with points on it, discs of a radius in pixels: uint8 [3, H, W].

    keypoints  `KeyPoints` or a plain tensor of (x, y): [N, K, 2] coloured by object, [N, 2] by point
    skeleton   pairs of an object's points that lines join, where both are labelled

    Points that are labelled but hidden (visibility 1) are hollow; those not labelled (visibility 0, or not finite) are
    not drawn.
    """
    shown = picture(image)
    _same_canvas(shown, keypoints)
    return from_pil(paint_points(to_pil(shown), *points_of(keypoints), radius, skeleton))


def names_of(labels: Label | Sequence[Any]) -> list[str]:
    """What to write for each label: its category's name, or itself where it has none."""
    values = plain(labels).reshape(-1).tolist() if isinstance(labels, Tensor) else labels
    categories = labels.categories or () if isinstance(labels, Label) else ()
    return [str(categories[v]) if categories and 0 <= v < len(categories) else str(v) for v in values]


def corners(boxes: Tensor) -> Tensor:
    """The four corners of each box in order around it, float64 [N, 4, 2], from any format (plain: XYXY).

    >>> corners(BoundingBoxes([[4.0, 4.0, 2.0, 6.0]], format="CXCYWH", canvas_size=(9, 9))).tolist()
    [[[3.0, 1.0], [5.0, 1.0], [5.0, 7.0], [3.0, 7.0]]]
    """
    kind = boxes.format if isinstance(boxes, BoundingBoxes) else "XYXY"
    data = plain(boxes).double()
    if data.ndim != 2 or data.shape[-1] != {"XYXYXYXY": 8}.get(kind, 5 if kind.endswith("R") else 4):
        raise ValueError(f"boxes of one image in format {kind} are wanted, got shape {list(data.shape)}")
    if kind == "XYXYXYXY":
        return data.reshape(-1, 4, 2)
    first, second = data[:, :2], data[:, 2:4]
    size = second - first if kind == "XYXY" else second
    across, down = _sides(size, data[:, 4] if kind.endswith("R") else torch.zeros(len(data), dtype=data.dtype))
    start = first - (across + down) / 2 if kind.startswith("CXCY") else first
    return torch.stack([start, start + across, start + across + down, start + down], dim=1)


def _sides(size: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor]:
    """The two sides of boxes as vectors [N, 2], turned counter-clockwise as seen (y points down)."""
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    width, height = size.unbind(-1)
    return torch.stack([width * cos, -width * sin], -1), torch.stack([height * sin, height * cos], -1)


def points_of(keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Points as objects, float64 [N, K, 2], and their visibility [N, K]: 2 where not told, 0 where not finite."""
    data = plain(keypoints).double()
    if data.ndim not in (2, 3) or data.shape[-1] != 2:
        raise ValueError(f"the key points of one image are [N, 2] or [N, K, 2], got shape {list(data.shape)}")
    seen = keypoints.visibility if isinstance(keypoints, KeyPoints) else None
    seen = torch.full(data.shape[:-1], 2) if seen is None else plain(seen)
    seen = torch.where(data.isfinite().all(-1), seen, 0)
    return (data[:, None], seen[:, None]) if data.ndim == 2 else (data, seen)


def paint_boxes(
    image: PIL.Image.Image, polygons: Tensor, names: Sequence[str], colors: Sequence[Colour]
) -> PIL.Image.Image:
    """Outlines and name tags; `polygons` [N, 4, 2] in pixels of `image`."""
    width = _line_width(image)
    size = max(11, round(min(image.size) * 0.028))
    tags = _tags(image, polygons, names, size)

    def paint(draw: ImageDraw.ImageDraw, scale: int) -> None:
        for polygon, hue in zip((polygons * scale).tolist(), colors, strict=True):
            ring = [tuple(p) for p in (*polygon, *polygon[:2])]  # a side more than closed: all four corners are joined
            draw.line(ring, fill=_CASING, width=round((width + 1.5) * scale), joint="curve")
            draw.line(ring, fill=hue, width=round(width * scale), joint="curve")
        for (box, line), hue in zip(tags, colors, strict=True):
            if line:
                draw.rounded_rectangle([v * scale for v in box], radius=size * scale / 5, fill=hue)

    image = overlay(image, paint)
    draw = ImageDraw.Draw(image)
    for ((left, _, right, bottom), line), hue in zip(tags, colors, strict=True):
        draw.text(((left + right) / 2, bottom - size * 0.34), line, ink_on(hue), font(size), anchor="ms")
    return image


def _tags(image: PIL.Image.Image, polygons: Tensor, names: Sequence[str], size: int) -> list[tuple[Rectangle, str]]:
    """For each box where its name goes, (left, top, right, bottom), and what is written: no tag on another, where there is room."""
    out: list[tuple[Rectangle, str]] = []
    for polygon, name in zip(polygons, names, strict=True):
        line = fitted(name, size, image.width - size) if name else ""
        wide, high = font(size).getlength(line) + size * 0.8, size * 1.35
        taken = [box for box, written in out if written]
        out.append((min(_places(image, polygon, wide, high), key=lambda box: sum(_shared(box, other) for other in taken)), line))
    return out


def _places(image: PIL.Image.Image, polygon: Tensor, wide: float, high: float) -> list[Rectangle]:
    """Where a tag may be, the best first: on the box's highest corner, or hanging from it where there is no room above;
    beneath the box; further down along it."""
    corners_ = polygon.tolist()
    x, y = min(corners_, key=lambda p: (p[1], p[0]))
    right, bottom = max(p[0] for p in corners_), max(p[1] for p in corners_)
    above = y - high if y >= high else y
    wanted = [(x, above), (x, bottom), (right - wide, above), *((x, y + n * high) for n in range(4)), (right, y)]
    out = []
    for left, top in wanted:
        left = min(max(left, 0.0), max(image.width - wide, 0.0))
        top = min(max(top, 0.0), max(image.height - high, 0.0))
        out.append((left, top, left + wide, top + high))
    return out


def _shared(one: Rectangle, other: Rectangle) -> float:
    """The area that two rectangles have in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)


def paint_points(
    image: PIL.Image.Image, points: Tensor, visibility: Tensor, radius: float, skeleton: Edges = ()
) -> PIL.Image.Image:
    """Discs and rings, and lines between them; `points` [N, K, 2] in pixels of `image`."""

    def paint(draw: ImageDraw.ImageDraw, scale: int) -> None:
        rim = max(1.0, radius / 3) * scale
        for i, (places, seen) in enumerate(zip((points * scale).tolist(), visibility.tolist(), strict=True)):
            joined = [(*places[a], *places[b]) for a, b in skeleton if max(a, b) < len(seen) and seen[a] and seen[b]]
            for ends in joined:
                draw.line(ends, fill=_CASING, width=round(radius * scale * 0.8 + rim))
            for ends in joined:
                draw.line(ends, fill=colour(i), width=max(1, round(radius * scale * 0.8)))
            for place, flag in zip(places, seen, strict=True):
                if flag == 1:
                    draw.circle(place, radius * scale + rim, outline=(255, 255, 255), width=round(rim * 1.6))
                    draw.circle(place, radius * scale + rim * 0.5, outline=colour(i), width=round(rim * 0.7))
                elif flag:
                    draw.circle(place, radius * scale + rim, fill=(255, 255, 255))
                    draw.circle(place, radius * scale, fill=colour(i))

    return overlay(image, paint)


def _line_width(image: PIL.Image.Image) -> float:
    return max(1.5, min(image.size) * 0.005)


def _mask(mask: Tensor) -> Mask:
    if not isinstance(mask, Mask):
        mask = Mask(mask, kind="instance" if mask.dtype == torch.bool and mask.ndim == 3 else "semantic")
    if mask.kind == "semantic" and mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.ndim != (3 if mask.kind == "instance" else 2):
        raise ValueError(f"one image's mask is [H, W], or [N, H, W] of instances, got {mask.kind} {list(mask.shape)}")
    return mask


def _paint_instances(pixels: Tensor, mask: Mask, alpha: float) -> Tensor:
    reach = max(1, round(min(mask.canvas) * 0.004))
    for i, inside in enumerate(plain(mask) != 0):
        tint = torch.tensor(colour(i)).reshape(3, 1, 1)
        outside = (~inside).float()[None]
        near = torch.nn.functional.max_pool2d(outside, 2 * reach + 1, stride=1, padding=reach)[0] > 0
        pixels = torch.where(inside, pixels.lerp(tint.float(), alpha), pixels)
        pixels = torch.where(inside & near, tint, pixels)
    return pixels


def _paint_classes(pixels: Tensor, mask: Mask, alpha: float) -> Tensor:
    ids, place = plain(mask).long().unique(return_inverse=True)
    tints = torch.tensor([colour(i) for i in ids.tolist()], dtype=torch.float32).reshape(-1, 3)[place].movedim(-1, 0)
    clear = ids[place] == 0 if _has_background(mask) else torch.zeros(mask.canvas, dtype=torch.bool)
    if mask.ignore_index is not None:
        ignored = ids[place] == mask.ignore_index
        tints = torch.where(ignored, _hatching(*mask.canvas), tints)
        clear &= ~ignored
    return torch.where(clear, pixels, pixels.lerp(tints, alpha))


def _has_background(mask: Mask) -> bool:
    """Whether class 0 stays clear."""
    return mask.dtype == torch.bool or bool(mask.categories and "background" in mask.categories[0].lower())


def tinted_classes(mask: Mask) -> list[int]:
    """The classes of a semantic mask that `draw_masks` gives a colour, in order."""
    ids = plain(mask).long().unique().tolist()
    return [i for i in ids if i != mask.ignore_index and not (i == 0 and _has_background(mask))]


def _hatching(height: int, width: int) -> Tensor:
    """Diagonal stripes in two greys, float [H, W]."""
    period = max(4, min(height, width) // 24)
    diagonal = torch.arange(height).unsqueeze(1) + torch.arange(width)
    return torch.where(diagonal % period < period / 2, 210.0, 90.0)


def _same_canvas(image: Image, leaf: Tensor) -> None:
    canvas = leaf.canvas if isinstance(leaf, (BoundingBoxes, KeyPoints, Mask)) else image.canvas
    if tuple(canvas) != image.canvas:
        kind = type(leaf).__name__
        raise ValueError(f"{kind} on a canvas of (height, width) {tuple(canvas)} do not fit an image of {image.canvas}")
