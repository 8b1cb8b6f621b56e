"""What was counted as parts of the page: a heading, charts and one line beneath each that says the numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from vdata.reporting import charts
from vdata.reporting.axes import short
from vdata.reporting.histogram import Histogram, octaves
from vdata.reporting.tallies import Boxes, Channels, Classes, Flows, Masks, Points, Seen, Tally
from vdata.viz.html import Markup, element, joined, table

_MOST_NAMES = 40
_RGB = ("red", "green", "blue")


class Section(NamedTuple):
    """A part of the page."""

    name: str
    title: str
    body: Markup


def sections(tally: Tally) -> Iterator[Section]:
    """Those that there is something to say in."""
    parts: list[tuple[str, Mapping[str, Any], Callable[[str, Any], Iterator[Markup]]]] = [
        ("Pictures", _alike(tally.sizes), _sizes), ("Channels", tally.channels, _channels), ("Clips", tally.lengths, _lengths),
        ("Classes", {n: c for n, c in tally.classes.items() if c.counts}, _classes), ("Boxes", tally.boxes, _boxes), ("Masks", tally.masks, _masks),
        ("Key points", tally.points, _points), ("Flow", tally.flows, _flows),
    ]  # fmt: skip
    for title, held, draw in parts:
        if held:
            figures = [figure for name, one in held.items() for figure in draw(name, one)]
            yield Section(title.lower().replace(" ", "-"), title, element("div", *figures, class_="charts"))
    if tally.fields:
        yield Section("fields", "Fields", _fields(tally.fields, tally.samples))


def _figure(title: str, chart: Markup, *said: object, wide: bool = False) -> Markup:
    note = element("figcaption", *said) if said else None
    return element("figure", element("h3", title), chart, note, class_="chart wide" if wide else "chart")


def _facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    return joined(*(element("span", element("b", value), " ", name, class_="fact") for name, value in pairs))


def _sizes(name: str, sizes: Counter[tuple[int, int]]) -> Iterator[Markup]:
    if len(sizes) == 1:
        ((width, height),) = sizes
        yield _figure(f"{name}: size in pixels", element("p", f"{width} x {height}, all {sizes.total():,}"))
        return
    widths, heights = ([size[side] for size in sizes.elements()] for side in (0, 1))
    (wide, high), many = sizes.most_common(1)[0]
    said = [
        ("sizes", f"{len(sizes):,}"), ("median", median_size(sizes)), ("most often", f"{wide} x {high} ({many:,})"), ("wide", _range(widths)), ("high", _range(heights)),
    ]  # fmt: skip
    yield _figure(f"{name}: size in pixels", charts.dots(sizes, "width", "height"), _facts(said))
    aspects = Histogram(octaves(-4, 4, 4))
    aspects.add(np.array([w / h for w, h in sizes]), np.array(list(sizes.values()), float))
    kinds = [
        ("landscape", sum(n for (w, h), n in sizes.items() if w > h)), ("square", sum(n for (w, h), n in sizes.items() if w == h)),
        ("portrait", sum(n for (w, h), n in sizes.items() if w < h)),
    ]  # fmt: skip
    yield _figure(f"{name}: width / height", charts.histogram(aspects, "width / height", "pictures", log=True), _facts(kinds))


def median_size(sizes: Counter[tuple[int, int]]) -> str:
    """Width x height."""
    return " x ".join(str(statistics.median_low(size[side] for size in sizes.elements())) for side in (0, 1))


def _alike(sizes: Mapping[str, Counter[tuple[int, int]]]) -> dict[str, Counter[tuple[int, int]]]:
    """Fields that have the same sizes, as the two frames of a flow, under one name."""
    out: dict[str, Counter[tuple[int, int]]] = {}
    for name, held in sizes.items():
        twin = next((other for other, its in out.items() if its == held), None)
        if twin is not None:
            out[f"{twin}, {name}"] = out.pop(twin)
        else:
            out[name] = held
    return out


def _range(values: list[int]) -> str:
    return f"{min(values):,} to {max(values):,}"


def _channels(name: str, channels: Channels) -> Iterator[Markup]:
    colours = _RGB if len(channels.levels) == 3 else ("grey",) if len(channels.levels) == 1 else (*_RGB, "grey", *["grey"] * len(channels.levels))
    series = [(colour, held) for colour, held in zip(colours, channels.levels, strict=False)]
    said = _facts([("mean", _triple(channels.mean)), ("std", _triple(channels.std)), ("range", f"{short(channels.low)} to {short(channels.high)}")])
    outside = " Values outside of 0..1 are counted at its ends." if channels.low < 0 or channels.high > 1 else ""
    key = charts.legend([(colour, colour) for colour in colours[: len(series)]]) if len(series) > 1 else None
    yield _figure(name, joined(charts.lines(series, "value, 0 to 1", "share of pixels"), key), said, outside)


def _triple(values: np.ndarray) -> str:
    return ", ".join(f"{v:.4f}" for v in values)


def _lengths(name: str, lengths: Counter[int]) -> Iterator[Markup]:
    yield _figure(f"{name}: frames a clip", charts.counts_per(lengths, "frames", "clips"))


def _name(number: int, categories: tuple[str, ...]) -> str:
    return str(categories[number]) if 0 <= number < len(categories) else str(number)


def _classes(name: str, classes: Classes) -> Iterator[Markup]:
    total = sum(classes.counts.values())
    ranked = classes.counts.most_common()
    rows = [(_name(n, classes.categories), float(count), f"{count:,} · {count / total:.1%}") for n, count in ranked[:_MOST_NAMES]]
    said: list[tuple[str, object]] = [("labels", f"{total:,}"), ("classes seen", _of(len(ranked), len(classes.categories)))]
    if len(ranked) > 1:
        said.append(("between the most and the least frequent", f"{ranked[0][1] / ranked[-1][1]:.3g} times"))
    notes: list[object] = [_facts(said)]
    if rest := ranked[_MOST_NAMES:]:
        notes.append(f" {len(rest)} more, with {sum(n for _, n in rest):,} labels.")
    if unseen := [str(c) for n, c in enumerate(classes.categories) if n not in classes.counts]:
        notes.append(element("details", element("summary", f"{len(unseen)} classes not seen"), ", ".join(unseen)))
    yield _figure(f"{name}: how often each class comes", charts.bars(rows), *notes, wide=len(rows) > 12)


def _of(seen: int, all_: int) -> str:
    return f"{seen:,} of {all_:,}" if all_ else f"{seen:,}"


def _boxes(name: str, boxes: Boxes) -> Iterator[Markup]:
    said = [("boxes", f"{boxes.count:,}"), ("an image", f"{boxes.count / max(1, boxes.images):.2f}"), ("images without", f"{boxes.per_image[0]:,}")]
    yield _figure(f"{name}: how many an image", charts.counts_per(boxes.per_image, "boxes", "images"), _facts(said))
    if not boxes.count:
        return
    said = [(size, f"{boxes.by_size[size]:,}") for size in ("small", "medium", "large")]
    yield _figure(f"{name}: size", charts.histogram(boxes.sides, "square root of the area, pixels", "boxes", log=True), _facts(said), " (below 32², to 96² pixels, above)")
    yield _figure(f"{name}: size in the picture", charts.histogram(boxes.shares, "square root of the share of the picture", "boxes", trim=False))
    yield _figure(f"{name}: width / height", charts.histogram(boxes.aspects, "width / height", "boxes", log=True))
    yield _figure(f"{name}: where centres lie", charts.heat_map(_coarse(boxes.centres), "Map of the centres of boxes"))


def _coarse(grid: np.ndarray) -> np.ndarray:
    """A grid of so few cells that most would have something in them."""
    by = next((by for by in (1, 2, 3, 4) if grid.sum() >= 2 * grid.size / by**2), 4)
    return grid.reshape(len(grid) // by, by, -1, by).sum((1, 3))


def _masks(name: str, masks: Masks) -> Iterator[Markup]:
    if masks.pixels:
        total = sum(masks.pixels.values())
        rows = []
        for number, count in masks.pixels.most_common(_MOST_NAMES):
            title = f"{number} (ignored)" if number == masks.ignored else _name(number, masks.categories)
            rows.append((title, float(count), f"{count / total:.1%} · in {masks.samples[number]:,}"))
        more = f" {len(masks.pixels) - _MOST_NAMES} more." if len(masks.pixels) > _MOST_NAMES else ""
        said = _facts([("masks", f"{masks.images:,}"), ("values", f"{len(masks.pixels):,}")])
        yield _figure(f"{name}: share of pixels", charts.bars(rows), said, more, wide=len(rows) > 12)
        return
    what = "segments" if masks.ids else "objects"
    yield _figure(f"{name}: {what} a mask", charts.counts_per(masks.per_image, what, "images"), _facts([("masks", f"{masks.images:,}")]))
    if masks.shares.total:
        yield _figure(f"{name}: size in the picture", charts.histogram(masks.shares, "square root of the share of the picture", "objects", trim=False))


def _points(name: str, points: Points) -> Iterator[Markup]:
    if not points.objects:
        yield _figure(name, element("p", "no object has points"))
        return
    kinds = [("none", "not labelled"), ("hidden", "hidden"), ("seen", "visible")]
    names = [str(n) for n in range(len(points.states))] if len(points.states) > 1 else ["all"]
    rows = [(n, [(kind, float(count)) for (kind, _), count in zip(kinds, row, strict=True)]) for n, row in zip(names, points.states.tolist(), strict=True)]
    whole = points.states.sum(0)
    said = [("objects" if len(rows) > 1 else "points", f"{points.objects:,}"), *((word, f"{n:,}") for (_, word), n in zip(kinds, whole.tolist(), strict=True))]
    title = f"{name}: visibility of each point"
    yield _figure(title, joined(charts.stacks(rows), charts.legend([(kind, word) for kind, word in kinds])), _facts(said), " The figure behind each line is the share that is visible.")


def _flows(name: str, flows: Flows) -> Iterator[Markup]:
    mean = flows.total / max(1, flows.known)
    said = [("pixels, mean", f"{mean:.3g}"), ("pixels, longest", f"{flows.longest:.4g}")]
    yield _figure(f"{name}: length of vectors", charts.histogram(flows.lengths, "pixels", "vectors", log=True), _facts(said))
    slow = 1 - flows.directions.sum() / max(1, flows.known)
    yield _figure(f"{name}: direction", charts.rose(flows.directions), _facts([("of the known vectors move less than half a pixel, and are left out", f"{slow:.1%}")]))
    unknown = 1 - flows.known / max(1, flows.pixels)
    yield _figure(f"{name}: share unknown", charts.histogram(flows.unknown, "share of pixels without a known vector", "samples", trim=False), _facts([("of all pixels unknown", f"{unknown:.1%}")]))


def _fields(fields: Mapping[str, Seen], samples: int) -> Markup:
    rows = []
    for name, seen in fields.items():
        shapes = [f"[{', '.join(_span(a, b) for a, b in zip(low, high, strict=True))}]" for low, high in seen.shapes.values()]
        values = f"{short(seen.low)} to {short(seen.high)}" if seen.low <= seen.high else ""
        rows.append((name, ", ".join(f"{kind}" for kind in seen.kinds), " or ".join(shapes), values, seen.example, f"{seen.count:,}" if seen.count < samples else "all"))
    return element("div", table(("field", "type", "shape", "values", "for example", "in samples"), rows, class_="listed"), class_="scroll")


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}–{high}"
