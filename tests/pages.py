"""A page of HTML as a browser would take it apart: every element closed, every address and script known."""

from __future__ import annotations

from html.parser import HTMLParser

_EMPTY = {"img", "meta"}


class Page(HTMLParser):
    """The elements of a page, in order, and its text. AssertionError where elements are not closed in their order."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        (self.scripts if inside == "script" else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def asks_nobody(self) -> bool:
        """Whether no element could make a browser fetch anything, or run what is not the page's own script."""
        for tag, attributes in self.elements:
            for name, value in attributes.items():
                inner = (value or "").strip().lower()
                if name.startswith("on") or "javascript:" in inner or "url(" in inner or tag in ("link", "iframe", "object", "embed", "base", "form"):
                    return False
                if name in ("src", "srcset", "poster", "data", "action", "background", "xlink:href") and not inner.startswith("data:image/"):
                    return False
                if name == "href" and not inner.startswith("#"):
                    return False
        return True
