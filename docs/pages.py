"""Pages and pictures that are made when the site is built: the catalogue from its cards, a picture for each transform."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import torch

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.__main__ import main
from vdata.card import Archive, Card
from vdata.errors import DataWarning
from vdata.tensors import Image, TypedTensor

SHEET = 120  # height of the pictures on a contact sheet
# What stands above the catalogue's parts, and the words of a card's task that bring it there; the first part that fits has it.
PARTS = {
    "Optical flow and stereo": ("optical flow",),
    "Detection and segmentation": ("detection", "segmentation"),
    "Classification": ("classification",),
    "Others": ("",),
}


def write(app: Any) -> None:
    """The hook of Sphinx, before it looks for its pages."""
    source = Path(app.srcdir)
    catalogue, pictures = source / "catalogue", source / "reference" / "pictures"
    catalogue.mkdir(exist_ok=True)
    pictures.mkdir(exist_ok=True)
    cards = [vdata.info(name) for name in vdata.list_datasets()]
    for card in cards:
        sheet = catalogue / f"{card.name}.png"
        if not sheet.exists():
            viz.save(contact_sheet(card), sheet)
        _put(catalogue / f"{card.name}.md", page(card))
    _put(catalogue / "index.md", index(cards))
    _put(source / "reference" / "cli.md", commands())
    if str(app.config.plot_gallery) not in ("0", "False"):
        draw_transforms(pictures)


def _put(path: Path, text: str) -> None:
    """Written only where it has changed, so that Sphinx need not read it again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# -- the catalogue -------------------------------------------------------------------------------------------------------


def contact_sheet(card: Card) -> Image:
    """The first samples: real ones where a set needs no files, else its made-up ones."""
    split = card.default or next(iter(card.splits))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        pipe = vdata.load(card.name, split, fake=bool(card.archives))
        samples = [shown(sample) for sample in pipe.take(3 if "optical flow" in card.task else 12)]
    pairs = any("image2" in sample for sample in samples)
    return viz.sheet(samples, columns=None if pairs else min(6, len(samples)), height=SHEET)


def shown(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What is drawn of a sample: of masks of occlusions and the like, which hide the picture, nothing."""
    leaves = {n: v for n, v in sample.items() if n not in ("occlusion", "invalid", "flow_backward", "objects") and isinstance(v, TypedTensor)}
    height, width = next(v.canvas for v in leaves.values() if isinstance(v, Image))
    if height < SHEET:  # made-up pictures are tiny
        leaves = T.Resize((SHEET, round(width * SHEET / height)), interpolation="bicubic")(leaves)
    return {"__key__": sample["__key__"], **leaves}


def index(cards: list[Card]) -> str:
    """The catalogue's first page: cards by task."""
    rows = [
        "# The catalogue", "",
        f"{len(cards)} datasets by name. `vdata.load(name, split, root=...)` reads the files as their authors publish them, or the extracted tree as",
        "torchvision keeps it; `fake=True` makes tiny files in the same formats, and that is what the contact sheets show where a set has to be downloaded.",
        "The same on a single page, to search in: [all cards](../datasets.md). Your own: [add a dataset](../howto/add_dataset.md).", "",
    ]  # fmt: skip
    left = list(cards)
    for title, words in PARTS.items():
        here = [c for c in left if any(w in c.task for w in words)]
        left = [c for c in left if c not in here]
        if here:
            rows += [f"## {title}", "", "::::{grid} 1 2 3 3", ":gutter: 3", "", *(line for c in here for line in _tile(c)), "::::", ""]
    return "\n".join([*rows, "```{toctree}", ":hidden:", ":maxdepth: 1", "", *(c.name for c in cards), "```", ""])


def _tile(card: Card) -> list[str]:
    return [
        f":::{{grid-item-card}} `{card.name}`",
        f":link: {card.name}",
        ":link-type: doc",
        f":img-bottom: {card.name}.png",
        ":class-img-bottom: tile",
        card.title,
        "+++",
        counts(card),
        ":::",
        "",
    ]


def page(card: Card) -> str:
    """One dataset."""
    real = "" if card.archives else " (nothing is downloaded: these are the real samples)"
    made = " Made-up files in the real format (`fake=True`), which tests and first steps read as they will read yours." if card.archives else ""
    split = card.default or ("train" if "train" in card.splits else next(iter(card.splits)))
    said = "" if card.default or "train" in card.splits or len(card.splits) == 1 else f', "{split}"'
    return "\n".join([
        f"# {card.name}", "",
        f"**[{card.title}]({card.home})**: {card.task}." if card.home.startswith("http") else f"**{card.title}**: {card.task}.", "",
        f"```{{image}} {card.name}.png", f":alt: samples of {card.name}", "```", "",
        f"*{'The first samples' + real if real else 'Contact sheet.'}{made}*", "",
        "```python",
        "import vdata", "",
        f'pipe = vdata.load("{card.name}"{said}{", fake=True" if card.archives else ""})' + ('        # without fake: root="folder with its files"' if card.archives else ""),
        "```", "",
        "## What a sample holds", "",
        ":::{div} fields", "", "| field | type | |", "|---|---|---|", *(_field(card, n) for n in card.fields), "", ":::", "",
        "## Splits", "",
        ":::{div} fields", "", "| split | samples |", "|---|---|", *(f"| `{n}` | {_count(card, n)} |" for n in card.splits), "", ":::", "",
        *_options(card), *_classes(card),
        "## How to get it", "", *_files(card),
        "## Licence and citation", "",
        f"Licence: {card.licence}.", "", f"> {card.citation}.", "",
        *(["## To know", "", *(f"- {note}" for note in card.notes), ""] if card.notes else []),
    ])  # fmt: skip


def _field(card: Card, name: str) -> str:
    field = card.fields[name]
    without = [split for split, absent in card.absent.items() if name in absent]
    notes = [field.doc, f"not in {', '.join(without)}" if without else "", "optional" if field.optional else ""]
    return f"| `{name}` | {field} | {'; '.join(n for n in notes if n)} |"


def counts(card: Card) -> str:
    """ "train 50,000 · test 10,000" """
    return " · ".join(f"{n} {_count(card, n)}".strip() for n in card.splits)


def _count(card: Card, split: str) -> str:
    count = card.splits[split]
    return "" if count is None else f"{'about ' if split in card.unsure else ''}{count:,}"


def _options(card: Card) -> Iterator[str]:
    if card.options:
        yield from ("## Options", "", ":::{div} fields", "", "| option | default | values | |", "|---|---|---|---|")
        for name, option in card.options.items():
            yield f"| `{name}` | `{option.default!r}` | {', '.join(f'`{c!r}`' for c in option.choices)} | {option.doc} |"
        yield from ("", ":::", "")


def _classes(card: Card) -> Iterator[str]:
    if card.classes:
        yield from (f"## Classes ({len(card.classes)})", "", ":::{dropdown} Their names, in order", ", ".join(card.classes), ":::", "")


def _files(card: Card) -> Iterator[str]:
    if not card.archives:
        yield from ("It needs no files but those of scikit-image: `pip install 'vdata-vision[examples]'`.", "")
        return
    if any(a.urls for a in card.archives):
        yield from (f"`vdata download {card.name}` fetches what has an address, checked before it gets its name; `vdata verify {card.name}` checks all of it.", "")
    yield from (":::{div} fields", "", "| file | size | |", "|---|---|---|", *(_file(a) for a in card.archives), "", ":::", "")


def _file(archive: Archive) -> str:
    facts = [archive.manual or ("" if archive.urls else "by hand"), "optional" if archive.optional else ""]
    facts += [f"for {name} {', '.join(map(str, values))}" for name, values in archive.when.items()]
    return f"| `{archive.name}` | {_size(archive.bytes)} | {'; '.join(f for f in facts if f)} |"


def _size(count: int) -> str:
    unit, power = next(((u, p) for u, p in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= p), ("bytes", 1))
    return f"{count / power:,.3g} {unit}" if count else ""


# -- the command line ----------------------------------------------------------------------------------------------------


def commands() -> str:
    """What each command says with --help."""
    rows = ["# The command line", "", "`vdata COMMAND --help` says the same.", ""]
    for name, command in sorted(_commands("vdata", main)):
        rows += [f"## {name}", "", "```text", command.get_help(click.Context(command, info_name=name)), "```", ""]
    return "\n".join(rows)


def _commands(prefix: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(f"{prefix} {name}", command)
        else:
            yield f"{prefix} {name}", command


# -- transforms ----------------------------------------------------------------------------------------------------------


def draw_transforms(folder: Path) -> None:
    """What each transform does to one sample, as examples/gallery.py draws it; drawn once."""
    gallery = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "gallery.py"), run_name="gallery")
    for transforms in gallery["FAMILIES"].values():
        for i, transform in enumerate(transforms):
            out = folder / f"{type(transform).__name__}.png"
            if not out.exists():
                viz.save(strip(gallery["moved"], transform, T.Key.of(1, i)), out)


def strip(moved: Any, transform: Any, key: Any) -> Image:
    """A sample under a transform, its pictures side by side."""
    leaves = {n: v for n, v in moved(transform, key).items() if isinstance(v, TypedTensor) and n != "occlusion"}
    leaves = {n: _seen(v) for n, v in leaves.items()}
    pictures = viz.render(leaves, height=150, max_magnitude=24.0)
    return viz.sheet([{"__key__": repr(transform), **{n: p for n, p in pictures if not n.startswith("|")}}], height=150, legend=False)


def _seen(leaf: TypedTensor) -> TypedTensor:
    """Normalised pictures brought back to 0..1."""
    if isinstance(leaf, Image) and leaf.is_floating_point() and (leaf.min() < 0 or leaf.max() > 1):
        plain = leaf.plain()
        return leaf.like((plain - plain.min()) / (plain.max() - plain.min()))
    return leaf


# -- the tutorial --------------------------------------------------------------------------------------------------------


def last_picture(block: Any, block_vars: Mapping[str, Any], gallery_conf: Mapping[str, Any]) -> str:
    """The scraper of sphinx-gallery: a block that ends in an `Image` shows it, as a notebook would."""
    from sphinx_gallery.scrapers import figure_rst

    value = block_vars["example_globals"].get("___")  # sphinx-gallery's name for what a block ends in; it stays until another block ends in something
    if not isinstance(value, Image) or value is _shown[-1]:
        return ""
    _shown.append(value)
    path = next(block_vars["image_path_iterator"])
    with torch.no_grad():
        viz.save(value, path)
    return figure_rst([path], gallery_conf["src_dir"], "")


_shown: list[Any] = [None]
