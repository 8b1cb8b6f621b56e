"""One sample as named pictures, and many samples on one sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import PIL.Image
import torch
from PIL import ImageDraw
from torch import Tensor

from vdata.encoded import Encoded
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.viz.draw import corners, draw_masks, names_of, paint_boxes, paint_points, points_of
from vdata.viz.flow import flow_legend, flow_to_image, greatest_magnitude, warp
from vdata.viz.picture import (
    GREY,
    HAIRLINE,
    INK,
    PAPER,
    UNKNOWN,
    colour,
    fitted,
    font,
    from_pil,
    picture,
    plain,
    scaled,
    to_pil,
)

Sample = Mapping[str, Any]

_SHEET_WIDTH = 1600  # what a line of single pictures may fill
_VIDEO_FRAMES = 4


def render(sample: Sample, *, height: int | None = None, max_magnitude: float | None = None) -> list[tuple[str, Image]]:
    """One sample as named pictures, each uint8 [3, H, W].

    Every image with the boxes, masks and key points that lie on it; a video as up to four frames; every flow by the
    colour wheel and, where both of its frames are there, the second frame warped to the first and the difference of
    the two. A leaf without a frame belongs to the flow's first frame, else to the first image. One whose image is
    absent is drawn on an empty canvas. Plain uint8 tensors [C, H, W] count as images; numbers, strings and other
    plain tensors have no picture.

    height         all pictures at this height, lines and letters drawn at that size; their own sizes where None
    max_magnitude  the scale of flows in pixels; each flow's own where None

    Raises TypeError for a field that is not decoded yet.
    """
    for name, value in sample.items():
        if isinstance(value, Encoded):
            raise TypeError(f"{name!r} is not decoded: render samples as a pipe delivers them")
    images = {name: value for name, value in sample.items() if _is_image(value)}
    flows = {name: value for name, value in sample.items() if isinstance(value, Flow)}
    home = next((f.views[0] for f in flows.values()), next(iter(images), None))
    leaves: dict[str, dict[str, BoundingBoxes | KeyPoints | Mask]] = {name: {} for name in images}
    for name, value in sample.items():
        if isinstance(value, (BoundingBoxes, KeyPoints, Mask)):
            frame = value.frame or home
            leaves.setdefault(frame if frame in images else name, {})[name] = value
    shown = [(name, _annotated(images.get(name), on_it, sample, height)) for name, on_it in leaves.items()]
    for name, value in sample.items():
        shown += _frames(name, value) if isinstance(value, Video) else []
    for name, flow in flows.items():
        shown += _flow_pictures(name, flow, images, max_magnitude)
    return [(name, _at(value, height)) for name, value in shown]


def _is_image(value: Any) -> bool:
    if type(value) is Tensor:
        return value.dtype == torch.uint8 and value.ndim == 3 and value.shape[0] in (1, 3, 4)
    return isinstance(value, Image)


def _at(value: Image, height: int | None) -> Image:
    return value if height in (None, value.shape[-2]) else from_pil(scaled(to_pil(value), height))


def _annotated(image: Tensor | None, leaves: Mapping[str, BoundingBoxes | KeyPoints | Mask], sample: Sample, height: int | None) -> Image:
    """An image, or an empty canvas, under all its leaves."""
    shown = picture(image) if image is not None else _blank(next(iter(leaves.values())).canvas, HAIRLINE)
    canvas = shown.canvas
    for name, leaf in leaves.items():
        _same_canvas(name, leaf, "its image", canvas)
        if isinstance(leaf, Mask):
            shown = draw_masks(shown, leaf, alpha=0.4)
    page = to_pil(shown) if height is None else scaled(to_pil(shown), height)
    stretch = torch.tensor([page.width / canvas[1], page.height / canvas[0]], dtype=torch.float64)
    for name, leaf in leaves.items():
        if isinstance(leaf, BoundingBoxes):
            colors = [colour(i) for i in range(len(leaf))]
            page = paint_boxes(page, corners(leaf) * stretch, _names(name, leaf, sample), colors)
        if isinstance(leaf, KeyPoints):
            points, seen = points_of(leaf)
            page = paint_points(page, points * stretch, seen, max(2.0, min(page.size) * 0.01))
    return from_pil(page)


def _blank(canvas: tuple[int, int], colour: tuple[int, int, int]) -> Image:
    return Image(torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1).expand(3, *canvas))


def _same_canvas(name: str, leaf: TypedTensor, frame: str, canvas: tuple[int, int]) -> None:
    if leaf.canvas != canvas:
        raise ValueError(f"{name!r} lies on a canvas of (height, width) {leaf.canvas}, {frame} has {canvas}")


def _names(field: str, boxes: BoundingBoxes, sample: Sample) -> list[str]:
    """What is written on the boxes: the sample's `labels` belong to its `boxes`."""
    labels = sample.get("labels") if field == "boxes" else None
    if labels is None:
        return [""] * len(boxes)
    names = names_of(labels)
    if len(names) != len(boxes):
        raise ValueError(f"'boxes' has {len(boxes)} boxes, 'labels' has {len(names)}")
    return names


def _frames(name: str, video: Video) -> list[tuple[str, Image]]:
    """A few frames of a clip, evenly spaced, the first and the last among them."""
    count = video.shape[0]
    chosen = sorted({round(i * (count - 1) / (_VIDEO_FRAMES - 1)) for i in range(_VIDEO_FRAMES)}) if count else []
    return [(f"{name} {i}", picture(plain(video)[i])) for i in chosen]


def _flow_pictures(
    name: str, flow: Flow, images: Mapping[str, Tensor], max_magnitude: float | None
) -> list[tuple[str, Image]]:
    """The colour wheel; and the second frame warped, and its difference from the first, where both are there."""
    flow = flow.detach().cpu()
    first, second = flow.views
    shown = [(name, flow_to_image(flow, max_magnitude))]
    if first not in images or second not in images:
        return shown
    target, source = picture(images[first]), picture(images[second])
    _same_canvas(name, flow, repr(first), target.canvas)
    # A warped 0 may be a black pixel: a white frame warped alike tells where there is none.
    seen = warp(torch.ones(1, *source.canvas), flow).plain() > 0
    warped = warp(source, flow).plain()
    difference = (warped.int() - target.plain().int()).abs().to(torch.uint8)
    blank = _blank(flow.canvas, UNKNOWN).plain()
    shown.append((f"{second} warped", Image(torch.where(seen, warped, blank))))
    return [*shown, (f"|{first} - warped|", Image(torch.where(seen, difference, blank)))]


class _Block(NamedTuple):
    """One sample on the sheet: its title and its captioned pictures side by side."""

    title: str
    pictures: list[tuple[str, PIL.Image.Image]]
    width: int


_MARGIN, _GAP, _TITLE, _CAPTION = 24, 12, 15, 13
_LEGEND_TEXT = (
    "Optical flow",
    "hue: direction",
    "saturation: magnitude, full at the rim",
    "dark grey: unknown, or outside the frame",
)


def sheet(
    samples: Iterable[Sample], *, columns: int | None = None, height: int = 160,
    captions: bool = True, legend: bool = True,
) -> Image:  # fmt: skip
    """A contact sheet: the pictures of many samples at one height, uint8 [3, H, W] on a light ground.

    columns   samples side by side. None: one sample a line or, where each has a single picture, a block of lines
    height    of each picture, in pixels
    captions  each sample's key above, its label and each field's name under the pictures
    legend    where there are flows, the colour wheel once: all flows share one scale, the longest vector on the sheet

    Raises ValueError without any picture.
    """
    samples = list(samples)
    flows = [value for sample in samples for value in sample.values() if isinstance(value, Flow)]
    unit = max((greatest_magnitude(f) for f in flows), default=0.0)
    blocks = [_block(sample, height, unit) for sample in samples]
    if not any(block.pictures for block in blocks):
        raise ValueError("a sheet needs at least one sample with a picture")
    columns = _columns(blocks) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns is at least 1, got {columns}")
    lines = [blocks[i : i + columns] for i in range(0, len(blocks), columns)]
    widths = [max(line[c].width for line in lines if c < len(line)) for c in range(min(columns, len(blocks)))]
    above, below = (_TITLE + 7, _CAPTION + 8) if captions else (0, 0)
    space = 2 * _GAP if captions else _GAP
    step = above + height + below + space
    key = _legend(max(72, height // 2), unit) if legend and flows else None
    wide = 2 * _MARGIN + max(sum(widths) + 2 * _GAP * (len(widths) - 1), key.width if key else 0)
    tall = 2 * _MARGIN + step * len(lines) - space + (key.height + 2 * _GAP if key else 0)
    page = PIL.Image.new("RGB", (wide, tall), PAPER)
    for row, line in enumerate(lines):
        x = _MARGIN
        for block, width in zip(line, widths, strict=False):
            _place(page, block, (x, _MARGIN + row * step), above)
            x += width + 2 * _GAP
    if key:
        page.paste(key, (_MARGIN, page.height - _MARGIN - key.height))
    return from_pil(page)


def _columns(blocks: list[_Block]) -> int:
    if any(len(block.pictures) > 1 for block in blocks):
        return 1
    fit = _SHEET_WIDTH // (max(block.width for block in blocks) + 2 * _GAP)
    return max(1, min(fit, math.ceil(math.sqrt(len(blocks) * 1.5))))


def _block(sample: Sample, height: int, unit: float) -> _Block:
    pictures = [(name, to_pil(image)) for name, image in render(sample, height=height, max_magnitude=unit)]
    if pictures and (label := _label(sample)):
        pictures[0] = (f"{label} · {pictures[0][0]}", pictures[0][1])
    width = sum(image.width for _, image in pictures) + _GAP * (len(pictures) - 1)
    return _Block(str(sample.get("__key__", "")), pictures, max(width, height))


def _label(sample: Sample) -> str:
    label = sample.get("label")
    if isinstance(label, Label):
        return ", ".join(names_of(label))
    return "" if label is None else str(label)


def _place(page: PIL.Image.Image, block: _Block, at: tuple[int, int], above: int) -> None:
    """A block with its upper left corner at `at`; its pictures lie `above` lower, captions only where that is not 0."""
    draw = ImageDraw.Draw(page)
    x, y = at
    if above:
        draw.text((x, y + _TITLE), fitted(block.title, _TITLE, block.width), INK, font(_TITLE), anchor="ls")
    for name, image in block.pictures:
        page.paste(image, (x, y + above))
        draw.rectangle((x - 1, y + above - 1, x + image.width, y + above + image.height), outline=HAIRLINE)
        if above:
            line = fitted(name, _CAPTION, image.width)
            draw.text((x, y + above + image.height + _CAPTION + 4), line, GREY, font(_CAPTION), anchor="ls")
        x += image.width + _GAP


def _legend(size: int, unit: float) -> PIL.Image.Image:
    """The colour wheel with what it means beside it."""
    wheel = to_pil(flow_legend(size, unit))
    left = size + 2 * _GAP
    wide = left + math.ceil(max(font(_CAPTION).getlength(line) for line in _LEGEND_TEXT))
    page = PIL.Image.new("RGB", (wide, wheel.height), PAPER)
    page.paste(wheel)
    for i, line in enumerate(_LEGEND_TEXT):
        y = wheel.height / 2 + 18 * (i - len(_LEGEND_TEXT) / 2) + 13
        ImageDraw.Draw(page).text((left, y), line, GREY if i else INK, font(_CAPTION), anchor="ls")
    return page
