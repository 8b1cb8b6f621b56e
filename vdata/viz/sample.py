"""One sample as named pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vdata.encoded import Encoded
from vdata.field import Field
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, TypedTensor, Video
from vdata.viz.arrows import paint_arrows
from vdata.viz.draw import corners, draw_masks, names_of, paint_boxes, paint_points, points_of
from vdata.viz.flow import flow_to_image, greatest_magnitude, warp
from vdata.viz.picture import HAIRLINE, UNKNOWN, beside, colour, from_pil, picture, plain, scaled, to_pil
from vdata.viz.skeleton import skeleton_of

Sample = Mapping[str, Any]
Fields = Mapping[str, Field]

_VIDEO_FRAMES = 4
_ROOM = 64  # pixels that a picture must have for arrows to be told apart


def render(
    sample: Sample, *, height: int | None = None, max_magnitude: float | None = None, arrows: bool = False, fields: Fields | None = None
) -> list[tuple[str, Image]]:
    """One sample as named pictures, each uint8 [3, H, W].

    Every image with the boxes, masks and key points that lie on it; a video as up to four frames; every flow by the
    colour wheel and, where both of its frames are there, the second frame warped to the first and the difference of
    the two. A leaf without a frame belongs to the flow's first frame, else to the first image. One whose image is
    absent is drawn on an empty canvas. Plain uint8 tensors [C, H, W] count as images; numbers, strings and other
    plain tensors have no picture.

    height         all pictures at this height, lines and letters drawn at that size (very wide ones lower, very narrow ones
                   higher); their own sizes where None
    max_magnitude  the scale of flows in pixels; each flow's own where None
    arrows         whether flows have arrows on them, where there is room
    fields         what is declared of the sample (`pipe.plan.fields`): the skeleton of key points

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
    shown = [(name, _annotated(images.get(name), on_it, sample, height, fields or {})) for name, on_it in leaves.items()]
    for name, value in sample.items():
        shown += _frames(name, value) if isinstance(value, Video) else []
    for name, flow in flows.items():
        shown += _flow_pictures(name, flow, images, height, max_magnitude, arrows)
    return [(name, _at(value, height)) for name, value in shown]


def _is_image(value: Any) -> bool:
    if type(value) is Tensor:
        return value.dtype == torch.uint8 and value.ndim == 3 and value.shape[0] in (1, 3, 4)
    return isinstance(value, Image)


def _at(value: Image, height: int | None) -> Image:
    if height is None or beside(value.canvas, height) == value.canvas:
        return value
    return from_pil(scaled(to_pil(value), beside(value.canvas, height)))


def _annotated(
    image: Tensor | None, leaves: Mapping[str, BoundingBoxes | KeyPoints | Mask], sample: Sample, height: int | None, fields: Fields
) -> Image:
    """An image, or an empty canvas, under all its leaves."""
    shown = picture(image) if image is not None else _blank(next(iter(leaves.values())).canvas, HAIRLINE)
    canvas = shown.canvas
    for name, leaf in leaves.items():
        _same_canvas(name, leaf, "its image", canvas)
    shown = _at(shown, height)
    for leaf in leaves.values():
        if isinstance(leaf, Mask):
            shown = draw_masks(shown, _resized(leaf, shown.canvas), alpha=0.4)
    page = to_pil(shown)
    stretch = torch.tensor([page.width / canvas[1], page.height / canvas[0]], dtype=torch.float64)
    for name, leaf in leaves.items():
        if isinstance(leaf, KeyPoints):
            points, seen = points_of(leaf)
            page = paint_points(page, points * stretch, seen, max(2.0, min(page.size) * 0.01), skeleton_of(leaf, fields.get(name)))
    for name, leaf in leaves.items():  # last, so that nothing lies on their names
        if isinstance(leaf, BoundingBoxes):
            colors = [colour(i) for i in range(len(leaf))]
            page = paint_boxes(page, corners(leaf) * stretch, _names(name, leaf, sample), colors)
    return from_pil(page)


def _blank(canvas: tuple[int, int], colour: tuple[int, int, int]) -> Image:
    return Image(torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1).expand(3, *canvas))


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    """The mask at another size, by nearest pixel."""
    if mask.canvas == size:
        return mask
    rows, columns = (((torch.arange(new) + 0.5) * old / new).long() for old, new in zip(mask.canvas, size, strict=True))
    return mask.like(plain(mask)[..., rows[:, None], columns])


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
    name: str, flow: Flow, images: Mapping[str, Tensor], height: int | None, max_magnitude: float | None, arrows: bool
) -> list[tuple[str, Image]]:
    """The colour wheel; and the second frame warped, and its difference from the first, where both are there."""
    flow = flow.detach().cpu()
    first, second = flow.views
    shown = [(name, _with_arrows(flow, height, max_magnitude) if arrows else flow_to_image(flow, max_magnitude))]
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


def _with_arrows(flow: Flow, height: int | None, max_magnitude: float | None) -> Image:
    page = to_pil(_at(flow_to_image(flow, max_magnitude), height))
    unit = greatest_magnitude(flow) if max_magnitude is None else max_magnitude
    return from_pil(paint_arrows(page, flow.plain(), None, unit) if min(page.size) >= _ROOM else page)
