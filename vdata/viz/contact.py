"""Many samples on one sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import PIL.Image
from PIL import ImageDraw

from vdata.tensors import Flow, Image, Label
from vdata.viz.draw import names_of
from vdata.viz.flow import greatest_magnitude
from vdata.viz.legend import legend_of
from vdata.viz.picture import GREY, HAIRLINE, INK, PAPER, fitted, font, from_pil, to_pil
from vdata.viz.sample import Fields, Sample, render

_SHEET_WIDTH = 1600  # what a line of pictures may fill
_MARGIN, _GAP, _TITLE, _CAPTION = 24, 12, 15, 13


class _Block(NamedTuple):
    """One sample on the sheet: its title, and lines of captioned pictures side by side."""

    title: str
    lines: list[list[tuple[str, PIL.Image.Image]]]
    width: int

    @property
    def heights(self) -> list[int]:
        """Of the pictures of each line, the highest."""
        return [max(image.height for _, image in line) for line in self.lines]


def sheet(
    samples: Iterable[Sample], *, columns: int | None = None, height: int = 160,
    captions: bool = True, legend: bool = True, fields: Fields | None = None,
) -> Image:  # fmt: skip
    """A contact sheet: the pictures of many samples at one height, uint8 [3, H, W] on a light ground.

    columns   samples side by side. None: one sample a line or, where each has a single picture, a block of lines
    height    of each picture, in pixels; very wide pictures are lower, very narrow ones higher
    captions  each sample's key above, its label and each field's name under the pictures
    legend    where there are flows, the colour wheel once: all flows share one scale, the longest vector on the sheet; where
              masks hold classes, their colours and names
    fields    what is declared of the samples (`pipe.plan.fields`): the skeleton of key points

    Raises ValueError without any picture.
    """
    samples = list(samples)
    if columns is not None and columns < 1:
        raise ValueError(f"columns is at least 1, got {columns}")
    unit = _unit(samples)
    blocks = [_block(sample, height, unit, fields) for sample in samples]
    columns = _columns(blocks) if columns is None else columns
    rows = [blocks[i : i + columns] for i in range(0, len(blocks), columns)]
    return _page(rows, legend_of(samples, max(72, min(height, 200) // 2), unit) if legend else None, captions)


def sheet_of_groups(
    groups: Iterable[Sequence[Sample]], *, height: int = 160, captions: bool = True, legend: bool = True, fields: Fields | None = None
) -> Image:
    """A contact sheet of samples that belong together (one before and after augmentation, say): each group in a row of its
    own, or, where its samples have several pictures, in rows one under the other. Arguments as those of `sheet`."""
    held = [list(group) for group in groups]
    samples = [sample for group in held for sample in group]
    unit = _unit(samples)
    blocks = [[_block(sample, height, unit, fields) for sample in group] for group in held]
    beside = all(_is_single(block) for group in blocks for block in group)
    rows = blocks if beside else [[block] for group in blocks for block in group]
    return _page(rows, legend_of(samples, max(72, min(height, 200) // 2), unit) if legend else None, captions)


def _unit(samples: Sequence[Sample]) -> float:
    """The length of the longest flow vector."""
    return max((greatest_magnitude(v) for sample in samples for v in sample.values() if isinstance(v, Flow)), default=0.0)


def _page(rows: list[list[_Block]], key: PIL.Image.Image | None, captions: bool) -> Image:
    if not any(block.lines for row in rows for block in row):
        raise ValueError("a sheet needs at least one sample with a picture")
    above, below = (_TITLE + 7, _CAPTION + 8) if captions else (0, 0)
    space = 2 * _GAP if captions else _GAP
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(max(map(len, rows)))]
    heights = [max(_height(block, above, below) for block in row) for row in rows]
    wide = 2 * _MARGIN + max(sum(widths) + 2 * _GAP * (len(widths) - 1), key.width if key else 0)
    tall = 2 * _MARGIN + sum(heights) + space * (len(rows) - 1) + (key.height + 2 * _GAP if key else 0)
    page = PIL.Image.new("RGB", (wide, tall), PAPER)
    y = _MARGIN
    for row, high in zip(rows, heights, strict=True):
        x = _MARGIN
        for block, width in zip(row, widths, strict=False):
            _place(page, block, (x, y), above, below)
            x += width + 2 * _GAP
        y += high + space
    if key:
        page.paste(key, (_MARGIN, page.height - _MARGIN - key.height))
    return from_pil(page)


def _height(block: _Block, above: int, below: int) -> int:
    return above + sum(high + below for high in block.heights) + _GAP * max(0, len(block.lines) - 1)


def _is_single(block: _Block) -> bool:
    return sum(map(len, block.lines)) <= 1


def _columns(blocks: list[_Block]) -> int:
    if not blocks or not all(map(_is_single, blocks)):
        return 1
    fit = _SHEET_WIDTH // (max(block.width for block in blocks) + 2 * _GAP)
    return max(1, min(fit, math.ceil(math.sqrt(len(blocks) * 1.5))))


def _block(sample: Sample, height: int, unit: float, fields: Fields | None) -> _Block:
    pictures = [(name, to_pil(image)) for name, image in render(sample, height=height, max_magnitude=unit, arrows=True, fields=fields)]
    if pictures and (label := label_of(sample)):
        pictures[0] = (f"{label} · {pictures[0][0]}", pictures[0][1])
    lines: list[list[tuple[str, PIL.Image.Image]]] = []
    for one in pictures:
        if not lines or _width([*lines[-1], one]) > _SHEET_WIDTH:
            lines.append([])
        lines[-1].append(one)
    return _Block(str(sample.get("__key__", "")), lines, max([height, *map(_width, lines)]))


def _width(line: list[tuple[str, PIL.Image.Image]]) -> int:
    return sum(image.width for _, image in line) + _GAP * (len(line) - 1)


def label_of(sample: Sample) -> str:
    """The name of a sample's class, or classes; "" where it has none."""
    label = sample.get("label")
    if isinstance(label, Label):
        return ", ".join(names_of(label))
    return "" if label is None else str(label)


def _place(page: PIL.Image.Image, block: _Block, at: tuple[int, int], above: int, below: int) -> None:
    """A block with its upper left corner at `at`; its pictures lie `above` lower, captions only where that is not 0."""
    draw = ImageDraw.Draw(page)
    left, y = at
    if above:
        draw.text((left, y + _TITLE), fitted(block.title, _TITLE, block.width), INK, font(_TITLE), anchor="ls")
    y += above
    for line, high in zip(block.lines, block.heights, strict=True):
        x = left
        for name, image in line:
            page.paste(image, (x, y))
            draw.rectangle((x - 1, y - 1, x + image.width, y + image.height), outline=HAIRLINE)
            if above:
                room = block.width if len(line) == 1 else image.width
                draw.text((x, y + image.height + _CAPTION + 4), fitted(name, _CAPTION, room), GREY, font(_CAPTION), anchor="ls")
            x += image.width + _GAP
        y += high + below + _GAP
