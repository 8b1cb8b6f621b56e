"""vdata's docstrings as reStructuredText: what is read in an editor becomes paragraphs, tables of arguments, code.

    name    what it is, and where that goes on
            it is indented so far                    -> an entry of a list of definitions
        four spaces of indentation                   -> code
    `Name`                                           -> a link where the reference has it, else code
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

_ENTRY = re.compile(r"^(\S+(?:,? \S+)*?)(  +)(\S.*)$")
_CODE = re.compile(r"`([^`]+)`")
_DOCTEST = re.compile(r"  # (?:doctest: \S+).*$")


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The hook of autodoc: changes `lines` in place. A transform's picture, where there is one, stands below its first line."""
    out = converted(lines)
    short = name.rpartition(".")[2]
    if what == "class" and (app.srcdir / "reference" / "pictures" / f"{short}.png").exists() and ".transforms." in name:
        out += ["", f".. image:: /reference/pictures/{short}.png", f"   :alt: {short} of a sample", ""]
    lines[:] = out


def signature(app: Any, what: str, name: str, obj: Any, options: Any, args: str | None, returns: str | None) -> tuple[str | None, str | None] | None:
    """Defaults as they are written: of an enum its name, of a long list of classes nothing."""
    if args is None:
        return None
    args = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", args)
    return re.sub(r"<function (\w+) at 0x\w+>", r"\1", args), None


def converted(lines: list[str]) -> list[str]:
    """The lines of a whole docstring."""
    out: list[str] = []
    for block in _blocks(lines):
        out += [*_rest(block), ""]
    return out


def _blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines without an empty one; runs of code are joined over empty lines."""
    blocks: list[list[str]] = []
    for line in lines:
        if not line.strip():
            blocks.append([])
        else:
            if not blocks:
                blocks.append([])
            blocks[-1].append(line.rstrip())
    joined: list[list[str]] = []
    for block in filter(None, blocks):
        if joined and _is_code(block) and _is_code(joined[-1]):
            joined[-1] += ["", *block]
        else:
            joined.append(block)
    return joined


def _is_code(block: list[str]) -> bool:
    return all(line.startswith("    ") or not line for line in block)


def _rest(block: list[str]) -> list[str]:
    if block[0].lstrip().startswith(">>>"):
        return [_DOCTEST.sub("", line) for line in block]
    if _is_code(block):
        return [".. code-block:: python" if not _is_drawing(block) else ".. code-block:: text", "", *block]
    out: list[str] = []
    text: list[str] = []
    at = 0
    while at < len(block):
        entry = _ENTRY.match(block[at])
        if entry and not block[at].startswith((" ", "- ")):
            out += _paragraph(text)
            text = []
            column = len(entry[1]) + len(entry[2])
            said = [entry[3]]
            at += 1
            while at < len(block) and block[at].startswith(" " * 4) and len(block[at]) - len(block[at].lstrip()) >= min(column, 4):
                said.append(block[at].strip())
                at += 1
            out += [_term(entry[1]), f"    {_inline(' '.join(said))}", ""]
            continue
        text.append(block[at])
        at += 1
    return out + _paragraph(text)


def _is_drawing(block: list[str]) -> bool:
    return any(c in line for line in block for c in "├└│")


def _term(names: str) -> str:
    """What is explained, as code; words stay words."""
    if re.fullmatch(r"[\w.*\[\]\"'=, \-/%]+", names) and not re.search(r"[a-z] [a-z]+ [a-z]", names):
        return ", ".join(f"``{n}``" for n in re.split(r", ?", names))
    return _inline(names)


def _paragraph(text: list[str]) -> list[str]:
    if not text:
        return []
    if text[0].startswith("- "):
        items: list[str] = []
        for line in text:
            items.append(line) if line.startswith("- ") else items.__setitem__(-1, f"{items[-1]} {line.strip()}")
        return [f"- {_inline(item[2:])}" for item in items] + [""]
    return [_inline(" ".join(line.strip() for line in text)), ""]


def _inline(text: str) -> str:
    """Prose with its code marked, and what reStructuredText would take for a mark of its own escaped."""
    parts = _CODE.split(text)
    return "".join(_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([*|\\])", r"\\\1", text))


def _code(text: str) -> str:
    """A link to what the reference describes, else code. A mark must end at a space or a stop, so letters behind it are parted."""
    target = known().get(text.removesuffix("()").removeprefix(".").partition("(")[0].removeprefix("T.") if re.match(r"[.\w]+(\(.*\))?$", text) else "")
    role = f":py:obj:`{text.replace('<', '&lt;')} <{target}>`" if target and "<" not in text else f"``{text}``"
    return f"{role}\\ "


@cache
def known() -> dict[str, str]:
    """Names that may be linked, as prose writes them: "RandomCrop", "vdata.load", ".batch"."""
    import vdata
    from vdata import metrics, tensors, transforms, viz
    from vdata.pipe import DataPipe

    out: dict[str, str] = {}
    for name in vdata.__all__:
        if name in vdata._HOME:
            out |= {f"vdata.{name}": f"vdata.{name}"} | ({name: f"vdata.{name}"} if name[0].isupper() else {})
    for module in (tensors, transforms, viz):
        out |= {n: f"{module.__name__}.{n}" for n in module.__all__ if inspect.isclass(getattr(module, n)) or module is viz}
    out |= {n: f"vdata.metrics.{n}" for n in ("endpoint_error", "fl_all", "outliers", "flow_metrics") if hasattr(metrics, n)}
    for name, verb in vars(DataPipe).items():
        if callable(verb) and not name.startswith("_"):
            out |= {f"pipe.{name}": f"vdata.DataPipe.{name}"}
    return out
