"""The whole page: one file that asks nobody for anything. Its policy lets the browser run its own script and show its own pictures, no others."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import vdata
from vdata import viz
from vdata.card import Card
from vdata.reporting.sections import Section, median_size, sections
from vdata.reporting.style import CSS, JS
from vdata.reporting.tallies import Tally
from vdata.viz.html import Markup, element, image_uri, joined, table

MOST_BAD = 200  # samples that the page lists


@dataclass(frozen=True)
class Shown:
    """One sample of the gallery: its key, its class, and (name, data URI) of its pictures; or why there are none."""

    key: str
    label: str
    pictures: Sequence[tuple[str, str]]
    why: str = ""


@dataclass(frozen=True)
class Bad:
    """One sample and what is wrong with it: its kind, what exactly, and a small picture where it has one."""

    key: str
    place: str
    kind: str
    reason: str
    picture: str = ""


@dataclass
class Findings:
    """Everything that the page says."""

    source: str
    title: str
    looked: int = 0
    total: str = ""  # how many there are, and how those that were looked at were chosen
    seed: str = ""
    tally: Tally = field(default_factory=Tally)
    gallery: list[Shown] = field(default_factory=list)
    masks: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # what colours of the gallery's masks mean
    bad: list[Bad] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    broken: int = 0  # samples that something is wrong with
    card: Card | None = None
    plan: str = ""
    notes: list[str] = field(default_factory=list)


def page(found: Findings) -> str:
    """The page as HTML."""
    parts = [*_bad(found), *_gallery(found), *sections(found.tally), *_made(found)]
    links = element("nav", *(element("a", part.title, href=f"#{part.name}") for part in parts))
    body = [element("section", element("h2", part.title), part.body, id=part.name) for part in parts]
    large = element("dialog", element("img", alt=""), element("p"), id="large", aria_label="A picture, large")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_digest(JS)}'; base-uri 'none'; form-action 'none'"
    head = (
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("title", found.title),
        element("style", Markup(CSS)),
    )
    main = element("main", _head(found), links, *body)
    return "<!doctype html>" + element("html", element("head", *head), element("body", main, large, element("script", Markup(JS))), lang="en")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _head(found: Findings) -> Markup:
    tally = found.tally
    tiles = [_tile(f"{found.looked:,}", f"samples looked at{found.total}")]
    tiles.append(_tile(f"{found.broken:,}", "samples with something wrong", "bad") if found.broken else _tile("none", "with anything wrong", "good"))
    if tally.sizes:
        sizes = sum(tally.sizes.values(), Counter())
        tiles.append(_tile(median_size(sizes), "the median size" if len(sizes) > 1 else "size of every picture"))
    for name, classes in tally.classes.items():
        if classes.counts and name in ("label", "labels"):
            tiles.append(_tile(f"{len(classes.counts):,}", f"classes of {name} seen" + (f", of {len(classes.categories):,}" if classes.categories else "")))
    for name, boxes in tally.boxes.items():
        tiles.append(_tile(f"{boxes.count:,}", name))
    for name, flows in tally.flows.items():
        tiles.append(_tile(f"{flows.known / max(1, flows.pixels):.0%}", f"of {name} known"))
    notes = [element("p", note, class_="soft") for note in found.notes]
    return joined(element("h1", found.title), element("p", found.source, class_="soft"), *notes, element("div", *tiles[:6], class_="tiles"))


def _tile(value: str, what: str, kind: str = "") -> Markup:
    return element("div", element("b", value), element("span", what, class_="soft"), class_=f"tile {kind}".strip())


def _bad(found: Findings) -> list[Section]:
    if not found.kinds:
        return []
    kinds = element("p", joined(*(element("span", element("b", f"{n:,}"), f" {kind}", class_="fact") for kind, n in found.kinds.most_common())))
    placed = any(one.place for one in found.bad)
    rows = []
    for one in found.bad:
        picture = _button(one.picture, one.kind, f"{one.key} · {one.reason}") if one.picture else ""
        rows.append((picture, element("b", one.key), *([one.place] if placed else []), one.kind, one.reason))
    head = ("", "key", *(["shard or file"] if placed else []), "what", "why")
    more = sum(found.kinds.values()) - len(found.bad)
    rest = element("p", f"{more:,} more are not listed.", class_="soft") if more else None
    listed = element("div", table(head, rows, class_="listed"), class_="scroll")
    return [Section("bad", "Bad samples", joined(kinds, listed, rest))]


def _gallery(found: Findings) -> list[Section]:
    if not found.gallery:
        return []
    figures = []
    for one in found.gallery:
        name = f"{one.key} · {one.label}" if one.label else one.key
        pictures = [_button(uri, caption, f"{name} · {caption}") for caption, uri in one.pictures]
        why = element("p", one.why, class_="soft") if one.why else None
        figures.append(element("figure", element("figcaption", name), element("div", *pictures), why, class_="sample many" if len(pictures) > 1 else "sample"))
    return [Section("gallery", "Gallery", joined(element("div", *figures, class_="gallery"), _wheel(found), _colours(found)))]


def _button(uri: str, caption: str, title: str) -> Markup:
    """A picture that is shown large when it is pressed."""
    return element("button", element("img", src=uri, alt="", loading="lazy"), element("span", caption), class_="pic", type="button", title=title)


def _wheel(found: Findings) -> Markup | None:
    if not found.tally.flows:
        return None
    disc = viz.flow_legend(168, 1.0)[:, :168]
    said = element("p", "Flow: the hue is the direction, the saturation the length, full for the longest vector of each picture; dark grey is unknown.", class_="soft")
    return element("div", element("img", src=image_uri(disc), alt="the colour wheel"), said, class_="wheel")


def _colours(found: Findings) -> Markup | None:
    chips = [
        joined(element("i", class_="chip", style=f"background:rgb({red},{green},{blue})"), element("span", name))
        for name, (red, green, blue) in sorted(found.masks.items())[:60]
    ]
    return element("p", *chips, class_="legend") if chips else None


def _made(found: Findings) -> list[Section]:
    rows: list[tuple[object, ...]] = []
    if found.card is not None:
        card = found.card
        rows += [("data set", card.title), ("task", card.task), ("licence", card.licence), ("cite", card.citation)]
        rows += [("note", note) for note in card.notes]
    rows += [("pipe", element("pre", found.plan, style="white-space:pre-wrap;margin:0;font-size:12px")), ("made by", f"vdata {vdata.__version__}")]
    return [Section("about", "About", element("div", table((), rows, class_="plain"), class_="scroll"))]
