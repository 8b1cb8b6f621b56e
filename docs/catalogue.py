"""Write docs/datasets.md from the cards: what `vdata.load` knows by name.

    python docs/catalogue.py            write the page
    python docs/catalogue.py --check    exit code 1 if it is not what the cards say
"""

from __future__ import annotations

import sys
from pathlib import Path

import vdata
from vdata.card import Archive, Card
from vdata.field import Field

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"
HEAD = """# The catalogue

`vdata.load(name, split, root=...)` reads what is listed here: the files as their authors publish them, nothing extracted, or the extracted tree as torchvision keeps it.
Without `root` they lie in `$VDATA_HOME/<name>`. `vdata download NAME` fetches, `vdata index NAME` makes any sample of a compressed archive readable at once, `vdata verify NAME`
checks all of it, `vdata.load(name, fake=True)` makes tiny files in the same formats, and `vdata.info(name)` is all of this as data (`--json` and `--croissant` on the command line).

A missing file, a frame without its partner, fewer samples than were published: each raises and names what is missing; `strict=False` goes on with a warning.
What is marked "about" was not confirmed by anybody's real files, and fewer samples than that only warn; the notes say what else is not sure. This page is written by `docs/catalogue.py`.
"""


def page() -> str:
    """The whole page."""
    cards = [vdata.info(name) for name in vdata.list_datasets()]
    table = ["| name | what | samples |", "|---|---|---|", *(f"| [{c.name}](#{c.name}) | {c.title} | {_counts(c)} |" for c in cards)]
    return "\n".join([HEAD, *table, "", *map(_section, cards)])


def _counts(card: Card) -> str:
    about = {name: "about " if name in card.unsure else "" for name in card.splits}
    return ", ".join(n if c is None else f"{n} {about[n]}{c:,}" for n, c in card.splits.items())


def _section(card: Card) -> str:
    rows = [f"## {card.name}", "", f"[{card.title}]({card.home}): {card.task}." if card.home.startswith("http") else f"{card.title}: {card.task}."]
    rows += [f"Splits: {_counts(card)}. Licence: {card.licence}. Cite: {card.citation}.", ""]
    rows += ["| field | what | |", "|---|---|---|", *(_field(card, n, f) for n, f in card.fields.items()), ""]
    rows += [f"- `{n}={o.default!r}`{f' of {_choices(o.choices)}' if o.choices else ''}: {o.doc}" for n, o in card.options.items()]
    rows += [f"- file `{a.name}`{_about(a)}" for a in card.archives]
    return "\n".join([*rows, *(f"- {note}" for note in card.notes), ""])


def _field(card: Card, name: str, field: Field) -> str:
    without = [split for split, absent in card.absent.items() if name in absent]
    notes = [field.doc, f"not in {', '.join(without)}" if without else "", "optional" if field.optional else ""]
    return f"| `{name}` | {field} | {'; '.join(n for n in notes if n)} |".replace("  ", " ")


def _choices(choices: tuple) -> str:
    return ", ".join(f"`{c!r}`" for c in choices)


def _about(archive: Archive) -> str:
    facts = [f"{archive.bytes:,} bytes" if archive.bytes else "", "optional" if archive.optional else "", archive.manual]
    facts += [f"for {n} {', '.join(map(str, v))}" for n, v in archive.when.items()]
    said = "; ".join(f for f in facts if f)
    return f": {said}" if said else ""


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is not what the cards say: run python docs/catalogue.py")
    PAGE.write_text(page())
