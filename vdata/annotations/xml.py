"""XML without document types, and the objects of PASCAL VOC's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from vdata.annotations.boxes import Corners, corners, real
from vdata.errors import DecodeError

_OBJECT = "annotation/object"
_BOX = _OBJECT + "/bndbox"
_MAX_XML, _MAX_DEPTH = 1 << 20, 16


@dataclass(frozen=True)
class VocObject:
    """One object: its corners in continuous coordinates, and whatever else the file says of it, as text."""

    box: Corners
    texts: dict[str, str]

    @property
    def name(self) -> str:
        return self.texts.get("name", "")

    def flag(self, name: str) -> bool:
        """ "difficult", "truncated", "occluded": whether the file says 1. What it does not say is False."""
        return self.texts.get(name, "0") not in ("0", "", "Unspecified")


def voc_objects(xml: bytes, one_based: bool = True, odd: bool = False) -> list[VocObject]:
    """The objects of a file, in its order; parts of objects (a person's head) are not objects.

    one_based, odd  as for `boxes.corners`: VOC counts pixels from 1

    >>> sides = "<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>8</ymax>"
    >>> voc_objects(f"<annotation><object><name>cat</name><bndbox>{sides}</bndbox></object></annotation>".encode())
    [VocObject(box=(0.0, 1.0, 4.0, 8.0), texts={'name': 'cat'})]
    """
    found: list[VocObject] = []
    texts: dict[str, str] = {}
    sides: dict[str, str] = {}
    for path, text in xml_texts(xml):
        if path == _OBJECT:
            found.append(VocObject(corners(*_sides(sides), one_based, odd=odd), texts))
            texts, sides = {}, {}
        elif path == _BOX or path.startswith(_BOX + "/"):
            side = path.rpartition("/")[2]
            if side in sides:
                raise DecodeError(f"an object with two {side}")
            sides[side] = text
        elif path.startswith(_OBJECT + "/") and path.count("/") == 2 and text:
            texts[path.rpartition("/")[2]] = text
    return found


def _sides(sides: dict[str, str]) -> Corners:
    try:
        return real(sides["xmin"]), real(sides["ymin"]), real(sides["xmax"]), real(sides["ymax"])
    except (KeyError, ValueError) as error:
        raise DecodeError(f"a box without a corner, or one that is no number: {error}") from None


def xml_texts(xml: bytes) -> list[tuple[str, str]]:
    """(path, text) of every element, where it ends: its parts come before it.

    A document type, which could make a small file large or name other files, is refused.

    >>> xml_texts(b"<a><b>1</b></a>")
    [('a/b', '1'), ('a', '')]
    """
    if len(xml) > _MAX_XML:
        raise DecodeError(f"an XML file of {len(xml)} bytes, more than {_MAX_XML}")
    out: list[tuple[str, str]] = []
    stack: list[str] = []
    text: list[str] = []
    parser = expat.ParserCreate()

    def begin(tag: str, _: dict[str, str]) -> None:
        stack.append(tag)
        text.clear()
        if len(stack) > _MAX_DEPTH:
            raise DecodeError(f"XML nested more than {_MAX_DEPTH} deep", byte=parser.CurrentByteIndex)

    def end(_: str) -> None:
        out.append(("/".join(stack), "".join(text).strip()))
        stack.pop()
        text.clear()

    def refuse(*_: Any) -> None:
        raise DecodeError("an XML file with a document type is not read", byte=parser.CurrentByteIndex)

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text.append, refuse
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that nobody knows
        raise DecodeError(f"broken XML: {error}", byte=parser.CurrentByteIndex) from error
    return out
