"""How pipes, cards and batches look in a notebook: `_repr_html_`. Nothing is read, decoded or computed for it that is not in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from vdata import plan, viz
from vdata.batch import Batch, Ragged
from vdata.card import Card
from vdata.describe import guarantees, length, reasons
from vdata.errors import redact
from vdata.field import Field
from vdata.tensors import TypedTensor
from vdata.viz.contact import label_of
from vdata.viz.html import Markup, element, image_uri, joined, table

_THUMBNAILS, _HEIGHT = 8, 112
_LONG = 300  # letters of one value that are shown

# Half transparent greys and the page's own ink: as good on a dark ground as on a light one.
_STYLE = Markup("""<style>
.vdata{font-size:13px;line-height:1.45;max-width:1100px;overflow-x:auto}
.vdata .head{font-weight:600;margin:0 0 6px}
.vdata .head span,.vdata small,.vdata .chip{font-weight:400}
.vdata .chip{display:inline-block;border:1px solid rgba(128,128,128,.45);border-radius:9px;padding:0 8px;margin:0 4px 2px 0;font-size:12px}
.vdata .not{opacity:.75;margin:2px 0}
.vdata table{border-collapse:collapse;margin:4px 0;font-size:13px}
.vdata td,.vdata th{text-align:left!important;vertical-align:top;padding:3px 14px 3px 0!important;border:0;border-top:1px solid rgba(128,128,128,.25);white-space:normal;max-width:46em;overflow-wrap:anywhere}
.vdata th{font-weight:600;border-top:0}
.vdata td:first-child{font-weight:600;white-space:nowrap}
.vdata code{background:none;padding:0;font-size:12px;color:inherit}
.vdata small{opacity:.7}
.vdata .row{display:flex;flex-wrap:wrap;gap:10px;margin:6px 0}
.vdata figure{margin:0;max-width:100%}
.vdata img{display:block;height:112px;max-width:100%;object-fit:contain;margin:0}
.vdata figcaption{font-size:11px;opacity:.75;max-width:20em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
</style>""")


def pipe_html(stage: plan.Stage, title: str = "DataPipe") -> str:
    """The plan as a table: each stage, its arguments, the fields that it brings or changes; above it what is guaranteed."""
    chips = [element("span", held, class_="chip") for held in guarantees(stage)]
    missing = [element("div", reason, class_="not") for reason in reasons(stage)]
    return _framed(
        element("div", f"{title} · {length(stage)}", class_="head"), *chips, *missing,
        table(("stage", "with", "fields that it brings or changes"), list(_stages(stage, 0))),
    )  # fmt: skip


def _stages(stage: plan.Stage, depth: int) -> Iterator[tuple[object, ...]]:
    for kid in plan.children(stage):
        yield from _stages(kid, depth + isinstance(stage, plan.Several))
    indent = "\u2003" * depth
    yield f"{indent}{stage.name}", element("code", _cut(redact(stage.arguments()))), _brought(stage)


def _brought(stage: plan.Stage) -> Markup:
    known, kids = stage.fields, plan.children(stage)
    before = kids[0].fields if len(kids) == 1 else {}
    if known is None:
        return element("small", "whatever the function returns") if before is not None and len(kids) == 1 else Markup("")
    changed = {n: f for n, f in known.items() if before is None or before.get(n) != f}
    return joined(*(element("div", element("b", name), " ", element("code", field)) for name, field in changed.items()))


def card_html(card: Card) -> str:
    """What is known of a dataset: facts, fields, options, files, licence and citation."""
    facts = [
        ("task", card.task), ("splits", ", ".join(_split(card, name) for name in card.splits)), ("licence", card.licence),
        ("cite", card.citation), ("home", redact(card.home)),
    ]  # fmt: skip
    if card.classes:
        facts.insert(2, ("classes", _cut(f"{len(card.classes)}: {', '.join(map(str, card.classes))}")))
    facts += [("note", note) for note in card.notes]
    options = [(n, element("code", repr(o.default)), ", ".join(map(repr, o.choices)), o.doc) for n, o in card.options.items()]
    files = [(a.name, f"{a.bytes:,} bytes" if a.bytes else "", "optional" if a.optional else "", _cut(a.manual or redact(a.url))) for a in card.archives]
    return _framed(
        element("div", f"{card.name} ", element("span", card.title), class_="head"), table((), facts),
        table(("field", "type", "what it is"), [(n, element("code", f), f.doc) for n, f in card.fields.items()]),
        table(("option", "default", "choices", "what it does"), options) if options else None,
        element("details", element("summary", f"{len(files)} files"), table((), files)) if files else None,
    )  # fmt: skip


def _split(card: Card, name: str) -> str:
    count = card.splits[name]
    return name if count is None else f"{name} ({'about ' if name in card.unsure else ''}{count:,})"


def batch_html(batch: Batch, fields: Mapping[str, Field] | None = None) -> str:
    """A batch's leaves with their types and shapes, and its first samples as pictures under all that lies on them."""
    rows = [(name, element("code", kind), element("small", _cut(said))) for name, value in batch.items() for kind, said in [_leaf(value)]]
    figures = []
    for number in range(min(batch.size, _THUMBNAILS)):
        figures.append(_figures({name: value[number] for name, value in batch.items() if _has_rows(value, batch.size)}, number, fields))
    alone = all(len(held) <= 1 for held in figures)  # one picture a sample: they stand side by side
    lines = [[figure for held in figures for figure in held]] if alone else figures
    more = f", the first {_THUMBNAILS} shown" if any(lines) and batch.size > _THUMBNAILS else ""
    return _framed(
        element("div", f"Batch of {batch.size}", element("span", more), class_="head"),
        *(element("div", *line, class_="row") for line in lines if line),
        table(("field", "type and shape", ""), rows),
    )  # fmt: skip


def _figures(sample: Mapping[str, Any], number: int, fields: Mapping[str, Field] | None) -> list[Markup]:
    key = label_of(sample) or str(sample.get("__key__", number))
    try:
        pictures = viz.render(sample, height=_HEIGHT, arrows=True, fields=fields)
    except (TypeError, ValueError) as error:  # a repr shows what is there, also where it does not go together
        return [element("figure", element("figcaption", f"{key}: {error}"))]
    return [element("figure", element("img", src=image_uri(image), alt=name), element("figcaption", f"{key} · {name}")) for name, image in pictures]


def _has_rows(value: Any, size: int) -> bool:
    """Whether a leaf has one entry a sample, as those that `collate` makes; one's own need not."""
    held = isinstance(value, (Ragged, list)) or (isinstance(value, Tensor) and value.ndim > 0)
    return held and len(value) == size


def _leaf(value: Any) -> tuple[str, str]:
    """(type and shape, what else is to be said)."""
    if isinstance(value, Ragged):
        shapes = ", ".join(str(list(shape)) for shape in value.shapes[:4]) + (", ..." if len(value) > 4 else "")
        return f"Ragged of {value.type.__name__} {_dtype(value.values)}", f"shapes {shapes}"
    if isinstance(value, Tensor):
        meta = {n: v for n, v in value.meta().items() if v is not None and n not in value._rows} if isinstance(value, TypedTensor) else {}
        where = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{type(value).__name__} {_dtype(value)} {list(value.shape)}{where}", ", ".join(f"{n}={v}" for n, v in meta.items())
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}", ", ".join(_cut(str(v), 40) for v in value[:4]) + (", ..." if len(value) > 4 else "")
    return type(value).__name__, ""


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _cut(text: str, most: int = _LONG) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _framed(*inside: Markup | None) -> str:
    return str(joined(_STYLE, element("div", *inside, class_="vdata")))
