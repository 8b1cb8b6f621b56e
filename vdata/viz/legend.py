"""What colours mean, for the foot of a sheet: the wheel of flows, and the classes of masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import PIL.Image
from PIL import ImageDraw

from vdata.tensors import Flow, Mask
from vdata.viz.draw import tinted_classes
from vdata.viz.flow import flow_legend
from vdata.viz.picture import GREY, INK, PAPER, Colour, colour, fitted, font, to_pil
from vdata.viz.sample import Sample

_GAP, _TYPE, _CHIP, _LINE, _WIDE = 12, 13, 12, 20, 190
_MOST = 24  # classes that are named
_IDS = 1 << 10  # a class without a name and with a larger number is a segment's id, which tells nobody anything
_FLOW_TEXT = (
    "Optical flow",
    "hue: direction",
    "saturation: magnitude, full at the rim",
    "arrows: means of the grid's cells, to the same scale",
    "dark grey: unknown, or outside the frame",
)


def legend_of(samples: Sequence[Sample], size: int, unit: float) -> PIL.Image.Image | None:
    """Everything that these samples' colours need to be understood; None where that is nothing.

    size  of the colour wheel; unit: the magnitude at its rim
    """
    parts = []
    if any(isinstance(value, Flow) for sample in samples for value in sample.values()):
        parts.append(_wheel(size, unit))
    if names := class_colours(samples):
        parts.append(_classes(names))
    if not parts:
        return None
    wide = sum(part.width for part in parts) + 4 * _GAP * (len(parts) - 1)
    page = PIL.Image.new("RGB", (wide, max(part.height for part in parts)), PAPER)
    x = 0
    for part in parts:
        page.paste(part, (x, 0))
        x += part.width + 4 * _GAP
    return page


def class_colours(samples: Sequence[Sample]) -> dict[str, Colour]:
    """The classes that semantic masks of these samples show, by name: a category's, or the field's (and the class's number)."""
    out: dict[str, Colour] = {}
    for sample in samples:
        for field, value in sample.items():
            if isinstance(value, Mask) and value.kind == "semantic":
                known = value.categories or ()
                for number in tinted_classes(value):
                    if number < len(known):
                        out[str(known[number])] = colour(number)
                    elif number < _IDS:
                        out[field if number == 1 and str(value.dtype) == "torch.bool" else f"{field} {number}"] = colour(number)
    return dict(sorted(out.items(), key=lambda item: item[0].lower()))


def _wheel(size: int, unit: float) -> PIL.Image.Image:
    """The colour wheel with what it means beside it."""
    wheel = to_pil(flow_legend(size, unit))
    left = size + 2 * _GAP
    wide = left + math.ceil(max(font(_TYPE).getlength(line) for line in _FLOW_TEXT))
    page = PIL.Image.new("RGB", (wide, max(wheel.height, 18 * len(_FLOW_TEXT) + 4)), PAPER)
    page.paste(wheel, (0, (page.height - wheel.height) // 2))
    for i, line in enumerate(_FLOW_TEXT):
        y = page.height / 2 + 18 * (i - len(_FLOW_TEXT) / 2) + 13
        ImageDraw.Draw(page).text((left, y), line, GREY if i else INK, font(_TYPE), anchor="ls")
    return page


def _classes(names: dict[str, Colour]) -> PIL.Image.Image:
    """A chip and a name for each class, in columns."""
    shown = list(names.items())[:_MOST]
    rows = min(6, len(shown))
    columns = math.ceil(len(shown) / rows)
    page = PIL.Image.new("RGB", (columns * _WIDE, _LINE * (rows + 1) + 6), PAPER)
    draw = ImageDraw.Draw(page)
    more = f", {_MOST} of {len(names)}" if len(names) > _MOST else ""
    draw.text((0, _TYPE + 2), f"Masks{more}", INK, font(_TYPE), anchor="ls")
    for i, (name, hue) in enumerate(shown):
        x, y = i // rows * _WIDE, _LINE * (1 + i % rows) + 4
        draw.rounded_rectangle((x, y, x + _CHIP, y + _CHIP), radius=3, fill=hue)
        draw.text((x + _CHIP + 8, y + _CHIP - 1), fitted(name, _TYPE, _WIDE - _CHIP - 20), GREY, font(_TYPE), anchor="ls")
    return page
