"""Axes of charts: round ticks, short numbers, and the frame that bars, lines and dots are drawn into."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vdata.viz.html import Markup, element, joined

WIDTH, HEIGHT = 440, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44


def short(value: float) -> str:
    """A number for people: three digits, and k, M, G for large ones.

    >>> short(0), short(0.12345), short(950), short(12345), short(1_000_000)
    ('0', '0.123', '950', '12.3k', '1M')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high: at most `most` and one, in steps of 1, 2 or 5.

    >>> ticks(0, 9.5), ticks(0, 1)
    ([0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    span = (high - low) / most
    if not span > 0:
        return [low]
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= span * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from low to high; with 2 and 5 times them, or of two, where there would be few.

    >>> log_ticks(1, 1000), log_ticks(3, 40), log_ticks(30, 50)
    ([1.0, 10.0, 100.0, 1000.0], [5.0, 10.0, 20.0], [30.0, 35.0, 40.0, 45.0, 50.0])
    """
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [f * 10.0**d for d in decades for f in factors if low * 0.999 <= f * 10.0**d <= high * 1.001]
        if len(found) >= 3:
            return found
    return ticks(low, high)


@dataclass(frozen=True)
class Frame:
    """The area of a chart: where values lie in it, its ticks, and what the axes are."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    whole: bool = False  # y are counts: no ticks between whole numbers

    @property
    def bottom(self) -> float:
        return HEIGHT - _BOTTOM

    def across(self, value: float) -> float:
        """Where a value of x lies, in units of the picture."""
        return round(_LEFT + _part(value, self.x, self.log_x) * (WIDTH - _LEFT - _RIGHT), 2)

    def up(self, value: float) -> float:
        """Where a value of y lies."""
        return round(self.bottom - _part(value, self.y, self.log_y) * (self.bottom - _TOP), 2)

    def draw(self, *inside: Markup, label: str) -> Markup:
        """The whole chart; `label` is what it shows, for who cannot see it."""
        grid, words = [], []
        for value in (log_ticks if self.log_y else ticks)(*self.y):
            if self.whole and value % 1:
                continue
            y = self.up(value)
            grid.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
            words.append(element("text", short(value), x=_LEFT - 7, y=y + 4, class_="tick", text_anchor="end"))
        for value in (log_ticks if self.log_x else ticks)(*self.x):
            x = self.across(value)
            grid.append(element("line", x1=x, x2=x, y1=self.bottom, y2=self.bottom + 4, class_="axis"))
            words.append(element("text", short(value), x=x, y=self.bottom + 17, class_="tick", text_anchor="middle"))
        base = element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=self.bottom, y2=self.bottom, class_="axis")
        middle = (_TOP + self.bottom) / 2
        names = (
            element("text", self.x_label, x=(_LEFT + WIDTH - _RIGHT) / 2, y=HEIGHT - 6, class_="name", text_anchor="middle"),
            element("text", self.y_label, x=12, y=middle, class_="name", text_anchor="middle", transform=f"rotate(-90 12 {middle})"),
        )
        return svg(*grid, joined(*inside), base, *words, *names, label=label)


def svg(*inside: Markup, label: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """A picture of a fixed shape that is as wide as its place."""
    return element("svg", *inside, viewBox=f"0 0 {width} {height}", role="img", aria_label=label)


def _part(value: float, ends: tuple[float, float], log: bool) -> float:
    low, high = ends
    if log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5
