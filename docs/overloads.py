"""Write vdata/loading.pyi: one overload of `load` a dataset, so that editors complete names, splits and options.

    python docs/overloads.py            write it
    python docs/overloads.py --check    exit code 1 if it is not what the cards say
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import vdata
from vdata.card import Card, Option
from vdata.catalog import GROUP

OUT = Path(__file__).parents[1] / "vdata" / "loading.pyi"
_HEAD = '''# Written by docs/overloads.py from the cards: do not edit.

from os import PathLike
from typing import Any, Literal, overload

from vdata.pipe import DataPipe

_Path = str | PathLike[str]
'''
_COMMON = "root: _Path | None = ..., download: bool = ..., fake: bool = ..., strict: bool = ..."


def text() -> str:
    """The whole file."""
    cards = [vdata.info(name) for name in vdata.list_datasets() if _own(name)]
    general = f"@overload\ndef load(name_or_url: _Path, split: str | None = ..., *, {_COMMON}, **options: Any) -> DataPipe: ..."
    return "\n".join([_HEAD, *map(_overload, cards), general, ""])


def _own(name: str) -> bool:
    from vdata.catalog import module_of

    return module_of(name).__name__.startswith(GROUP)


def _overload(card: Card) -> str:
    options = "".join(f", {name}: {_type(option)} = ..." for name, option in card.options.items())
    split = _literal(card.splits)
    if card.default or "train" in card.splits or len(card.splits) == 1:
        split += " | None = ..."
    return (
        f"@overload\ndef load(\n    name_or_url: Literal[{card.name!r}], split: {split}, *,\n"
        f"    {_COMMON}{options},\n) -> DataPipe:\n    \"\"\"{card.title}: {card.task}.\"\"\"\n"
    )


def _type(option: Option) -> str:
    if option.choices:
        return _literal(option.choices)
    names = {bool: "bool", int: "int", float: "float", str: "str"}
    return names.get(type(option.default), "Any")


def _literal(values: Any) -> str:
    return f"Literal[{', '.join(repr(v) for v in values)}]"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if OUT.read_text() == text() else f"{OUT} is not what the cards say: run python docs/overloads.py")
    OUT.write_text(text())
