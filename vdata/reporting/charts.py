"""The charts of the page, each a function of numbers: histograms, lines, dots, a rose, a heat map, bars of names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from vdata.reporting.axes import HEIGHT, WIDTH, Frame, short, svg
from vdata.reporting.histogram import Histogram
from vdata.viz.flow import flow_to_image
from vdata.viz.html import Markup, element, joined


def histogram(counts: Histogram, x: str, y: str, *, log: bool = False, trim: bool = True) -> Markup:
    """Bars between the edges, empty ends left out."""
    edges, heights = counts.held() if trim else (counts.edges, counts.counts)
    frame = Frame((edges[0], edges[-1]), (0, max(1.0, heights.max())), x, y, log_x=log, whole=True)
    bars = []
    for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
        if height:
            left, top = frame.across(low), frame.up(height)
            tip = element("title", f"{short(low)} to {short(high)}: {short(height)} {y}")
            wide = max(0.8, round(frame.across(high) - left - 1, 2))
            bars.append(element("rect", tip, x=left + 0.5, y=top, width=wide, height=round(frame.bottom - top, 2), class_="bar"))
    return frame.draw(*bars, label=f"Histogram of {x}")


def counts_per(number: Mapping[int, int], x: str, y: str) -> Markup:
    """How often each small whole number comes (objects an image); wider bars where numbers are large."""
    most = max(number)
    step = max(1, math.ceil((most + 1) / 40))
    held = Histogram(np.arange(0, most + step + 1, step) - 0.5)
    held.add(np.array(list(number), float), np.array(list(number.values()), float))
    edges = held.edges
    frame = Frame((edges[0], edges[-1]), (0, max(1.0, held.counts.max())), x, y, whole=True)
    bars = []
    for low, high, height in zip(edges[:-1], edges[1:], held.counts, strict=True):
        if height:
            first, last = math.ceil(low), math.floor(high)
            tip = element("title", f"{first if first == last else f'{first} to {last}'}: {short(height)} {y}")
            wide = min(frame.across(high) - frame.across(low), 40.0)
            middle, top = (frame.across(low) + frame.across(high)) / 2, frame.up(height)
            bars.append(element("rect", tip, x=round(middle - wide / 2 + 0.5, 2), y=top, width=round(max(0.8, wide - 1), 2), height=round(frame.bottom - top, 2), class_="bar"))
    return frame.draw(*bars, label=f"Histogram of {x}")


def lines(series: Sequence[tuple[str, Histogram]], x: str, y: str) -> Markup:
    """One line a series, each (class of its colour, counts as shares)."""
    shares = [(colour, held.edges, held.counts / max(1.0, held.total)) for colour, held in series]
    ends = (float(shares[0][1][0]), float(shares[0][1][-1]))
    frame = Frame(ends, (0, max(1e-9, *(float(s.max()) for _, _, s in shares))), x, y)
    drawn = []
    for colour, edges, share in shares:
        centres = (edges[:-1] + edges[1:]) / 2
        points = " ".join(f"{frame.across(c)},{frame.up(s)}" for c, s in zip(centres, share, strict=True))
        drawn.append(element("polyline", points=points, class_=f"line {colour}"))
    return frame.draw(*drawn, label=f"{y} by {x}")


def dots(sizes: Mapping[tuple[int, int], int], x: str, y: str) -> Markup:
    """A dot for each (x, y), as large as it is frequent; on a grid of 60 by 60 where there are very many."""
    xs, ys, counts = (np.array(v, float) for v in zip(*((w, h, n) for (w, h), n in sizes.items()), strict=True))
    ends = [_around(xs), _around(ys)]
    log = any(high / low > 12 for low, high in ends)
    if len(counts) > 1500:
        xs, ys, counts = _gathered(xs, ys, counts, ends, log)
    frame = Frame(ends[0], ends[1], x, y, log_x=log, log_y=log)
    drawn = []
    for many, across, up in sorted(zip(counts.tolist(), xs.tolist(), ys.tolist(), strict=True), reverse=True):
        tip = element("title", f"{short(across)} x {short(up)}: {short(many)}")
        radius = round(2.5 + 8 * math.sqrt(many / counts.max()), 2)
        drawn.append(element("circle", tip, cx=frame.across(across), cy=frame.up(up), r=radius, class_="dot"))
    return frame.draw(*drawn, label=f"{y} over {x}")


def _around(values: np.ndarray) -> tuple[float, float]:
    low, high = values.min(), values.max()
    return (float(low * 0.85), float(high * 1.1))


def _gathered(
    xs: np.ndarray, ys: np.ndarray, counts: np.ndarray, ends: list[tuple[float, float]], log: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same on a grid: the middles of its cells."""
    spaced = np.geomspace if log else np.linspace
    edges = [spaced(*end, 61) for end in ends]
    held, _, _ = np.histogram2d(xs, ys, bins=edges, weights=counts)
    across, up = np.nonzero(held)
    middles = [np.sqrt(e[:-1] * e[1:]) if log else (e[:-1] + e[1:]) / 2 for e in edges]
    return middles[0][across], middles[1][up], held[across, up]


def rose(directions: np.ndarray) -> Markup:
    """How much moves where: sectors, in the colours of the wheel, whose area is their share. Up is up in the picture."""
    size, middle, reach = HEIGHT, HEIGHT / 2, HEIGHT / 2 - 26
    many, most = len(directions), max(1.0, float(directions.max()))
    total = max(1.0, float(directions.sum()))
    drawn = [element("circle", cx=middle, cy=middle, r=round(reach * math.sqrt(part), 2), class_="ring") for part in (0.25, 0.5, 1.0)]
    for n, count in enumerate(directions.tolist()):
        if count:
            radius = reach * math.sqrt(count / most)
            (x0, y0), (x1, y1) = (_on(middle, radius, (n + side) / many) for side in (-0.5, 0.5))
            tip = element("title", f"{n * 360 // many}°: {count / total:.1%}")
            shape = f"M{middle} {middle}L{x0:.1f} {y0:.1f}A{radius:.1f} {radius:.1f} 0 0 1 {x1:.1f} {y1:.1f}Z"
            drawn.append(element("path", tip, d=shape, fill=_hue(n / many), class_="sector"))
    words = (("right", size - 4, middle + 4, "end"), ("left", 4, middle + 4, "start"), ("up", middle, 14, "middle"), ("down", middle, size - 6, "middle"))
    named = [element("text", word, x=x, y=y, class_="tick", text_anchor=anchor) for word, x, y, anchor in words]
    return svg(*drawn, *named, label="Directions of the flow", width=size, height=size)


def _on(middle: float, radius: float, turn: float) -> tuple[float, float]:
    return middle + radius * math.cos(2 * math.pi * turn), middle + radius * math.sin(2 * math.pi * turn)


def _hue(turn: float) -> str:
    """The wheel's colour of a direction."""
    vector = torch.tensor([math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)]).reshape(2, 1, 1) * 0.85
    return "rgb({},{},{})".format(*flow_to_image(vector, 1.0).flatten().tolist())


def heat_map(grid: np.ndarray, label: str) -> Markup:
    """A square of cells, the fullest darkest (or, on a dark ground, lightest)."""
    rows, columns = grid.shape
    left, top, side = 52.0, 8.0, HEIGHT - 8.0 - 34.0
    most = max(1, int(grid.max()))
    cells = [element("rect", x=left, y=top, width=side, height=side, class_="ground")]
    for row, column in zip(*np.nonzero(grid), strict=True):
        count = int(grid[row, column])
        tip = element("title", f"{count:,}")
        cells.append(element(
            "rect", tip, x=round(left + column * side / columns, 2), y=round(top + row * side / rows, 2), width=round(side / columns, 2),
            height=round(side / rows, 2), class_="bar", fill_opacity=round(0.12 + 0.88 * (count / most) ** 0.6, 3),
        ))  # fmt: skip
    words = []
    for part in (0, 0.5, 1):
        words.append(element("text", f"{part:g}", x=left + part * side, y=top + side + 16, class_="tick", text_anchor="middle"))
        words.append(element("text", f"{part:g}", x=left - 7, y=top + part * side + 4, class_="tick", text_anchor="end"))
    names = (
        element("text", "x of the width", x=left + side / 2, y=HEIGHT - 3, class_="name", text_anchor="middle"),
        element("text", "y of the height", x=14, y=top + side / 2, class_="name", text_anchor="middle", transform=f"rotate(-90 14 {top + side / 2})"),
    )
    scale = element("text", f"most in a cell: {most:,}", x=left + side + 14, y=top + 12, class_="tick")
    return svg(*cells, *words, *names, scale, label=label, width=WIDTH, height=HEIGHT)


def bars(rows: Sequence[tuple[str, float, str]]) -> Markup:
    """A line for each (name, value, what is written behind it), as long as its value. HTML: names stay as large as text is."""
    most = max([value for _, value, _ in rows], default=0) or 1
    drawn = []
    for name, value, said in rows:
        full = element("span", style=f"width:{100 * value / most:.2f}%")
        cells = (element("span", name, class_="what", title=name), element("span", full, class_="track"), element("span", said, class_="said"))
        drawn.append(element("div", *cells, class_="row"))
    return element("div", *drawn, class_="bars")


def stacks(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Markup:
    """A line of parts for each (name, [(class of a colour, count), ...]), all lines equally long."""
    drawn = []
    for name, parts in rows:
        total = sum(count for _, count in parts) or 1
        pieces = [element("span", class_=colour, style=f"width:{100 * count / total:.2f}%", title=f"{short(count)} of {short(total)}") for colour, count in parts if count]
        cells = (element("span", name, class_="what"), element("span", *pieces, class_="track stack"), element("span", f"{parts[-1][1] / total:.0%}", class_="said"))
        drawn.append(element("div", *cells, class_="row"))
    return element("div", *drawn, class_="bars")


def legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Chips: (class of a colour, name)."""
    return element("p", *(joined(element("i", class_=f"chip {colour}"), element("span", name)) for colour, name in names), class_="legend")
