"""HTML and SVG that cannot be broken by what is in the data: a `str` is text and is escaped, only `Markup` is taken as it is."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vdata.viz.picture import to_pil

_EMPTY = {"img", "meta"}
_ATTRIBUTE = re.compile(r"[a-z][a-zA-Z0-9-]*")
# What no page may hold, or what turns the order of letters around: shown as a mark that something was there.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already. Made by `element` and `joined`; by hand of constants alone."""


def escaped(value: object) -> Markup:
    """Any value as text.

    >>> escaped("<b>&'")
    '&lt;b&gt;&amp;&#x27;'
    """
    return value if isinstance(value, Markup) else Markup(html.escape(_UNSEEN.sub("\ufffd", str(value)), quote=True))


def joined(*parts: object) -> Markup:
    """Markup and text, one after the other; None is nothing."""
    return Markup("".join(escaped(part) for part in parts if part is not None))


def element(name: str, /, *inside: object, **attributes: Any) -> Markup:
    """An element. Of an attribute's name a last "_" is dropped and others become "-"; None and False leave it out, True has no value.

    >>> element("td", "a < b", class_="name", data_n=3, title=None)
    '<td class="name" data-n="3">a &lt; b</td>'
    """
    said = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if not _ATTRIBUTE.fullmatch(key) or key.lower().startswith("on"):
            raise ValueError(f"{key!r} is no attribute that a page of ours has")
        if value is not None and value is not False:
            said.append(f" {key}" if value is True else f' {key}="{escaped(value)}"')
    head = f"<{name}{''.join(said)}>"
    return Markup(head if name in _EMPTY else f"{head}{joined(*inside)}</{name}>")


def table(head: tuple[object, ...], rows: Sequence[tuple[object, ...]], **attributes: Any) -> Markup:
    """A table with a line of headings (none where `head` is empty)."""
    top = element("thead", element("tr", *(element("th", cell) for cell in head))) if head else None
    body = element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows))
    return element("table", top, body, **attributes)


def image_uri(image: Tensor, *, quality: int = 85) -> str:
    """A picture inside the page: JPEG, or PNG where that is smaller (drawings, tiny pictures)."""
    page, kinds = to_pil(image), []
    for kind, options in (("jpeg", {"quality": quality}), ("png", {})) if page.width * page.height <= 1 << 14 else (("jpeg", {"quality": quality}),):
        out = io.BytesIO()
        page.save(out, kind, **options)
        kinds.append((out.tell(), kind, out.getvalue()))
    _, kind, data = min(kinds)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
