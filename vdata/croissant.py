"""A card as Croissant, the JSON-LD vocabulary for datasets that search engines and hubs read (MLCommons, version 1.0)."""

from __future__ import annotations

from typing import Any

from vdata.card import Archive, Card
from vdata.field import Field

VERSION = "http://mlcommons.org/croissant/1.0"
_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
_TYPES = {
    "Image": "sc:ImageObject", "Mask": "sc:ImageObject", "Video": "sc:VideoObject", "BoundingBoxes": "cr:BoundingBox",
    "Label": "sc:Integer", "int": "sc:Integer", "float": "sc:Float", "str": "sc:Text", "json": "sc:Text", "bool": "sc:Boolean",
}  # fmt: skip
_ENCODINGS = {
    ".zip": "application/zip", ".tar": "application/x-tar", ".gz": "application/gzip", ".tgz": "application/gzip",
    ".bz2": "application/x-bzip2", ".csv": "text/csv", ".txt": "text/plain", ".json": "application/json", ".h5": "application/x-hdf5",
}  # fmt: skip


def croissant(card: Card) -> dict[str, Any]:
    """The card as a JSON-LD object; what is not known is left out, except that files need a hash of some kind.

    >>> croissant(vdata.info("eurosat"))["distribution"][0]["contentSize"]
    '94280567 B'
    """
    records = [_splits(card)] + ([_labels(card)] if card.classes else []) + ([_samples(card)] if card.archives else [])
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": card.name,
        "description": ". ".join([f"{card.title}: {card.task}", *card.notes]),
        "url": card.home,
        "license": card.licence,
        "citeAs": card.citation,
        "distribution": [*map(_file, card.archives), *([_members(card)] if card.archives else [])],
        "recordSet": records,
    }


def _file(archive: Archive) -> dict[str, Any]:
    suffix = "." + archive.name.rpartition(".")[2]
    out = {
        "@type": "cr:FileObject",
        "@id": archive.name,
        "name": archive.name,
        "contentUrl": archive.urls[0] if archive.urls else archive.name,
        "encodingFormat": _ENCODINGS.get(suffix, "application/octet-stream"),
    }
    if archive.bytes:
        out["contentSize"] = f"{archive.bytes} B"
    if archive.manual:
        out["description"] = archive.manual
    if archive.sha256:
        out["sha256"] = archive.sha256
    elif archive.md5:
        out["md5"] = archive.md5
    else:
        out["sha256"] = "unknown"
    return out


def _members(card: Card) -> dict[str, Any]:
    """All that the files hold: which member becomes which field is said by vdata's reader of the set."""
    return {
        "@type": "cr:FileSet", "@id": "members", "name": "members", "containedIn": [{"@id": a.name} for a in card.archives],
        "encodingFormat": "application/octet-stream", "includes": "**",
    }  # fmt: skip


def _splits(card: Card) -> dict[str, Any]:
    fields = [_column("splits", "name", "sc:Text"), _column("splits", "samples", "sc:Integer")]
    rows = [{"splits/name": name, "splits/samples": count} for name, count in card.splits.items()]
    return {
        "@type": "cr:RecordSet", "@id": "splits", "name": "splits", "dataType": "cr:Split", "key": {"@id": "splits/name"},
        "field": fields, "data": rows,
    }  # fmt: skip


def _labels(card: Card) -> dict[str, Any]:
    fields = [_column("labels", "number", "sc:Integer"), _column("labels", "name", "sc:Text")]
    rows = [{"labels/number": number, "labels/name": name} for number, name in enumerate(card.classes)]
    return {
        "@type": "cr:RecordSet", "@id": "labels", "name": "labels", "dataType": "sc:Enumeration", "key": {"@id": "labels/number"},
        "field": fields, "data": rows,
    }  # fmt: skip


def _samples(card: Card) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet", "@id": "samples", "name": "samples", "description": "What vdata.load gives.",
        "field": [_field(name, field) for name, field in card.fields.items()],
    }  # fmt: skip


def _field(name: str, field: Field) -> dict[str, Any]:
    said = f"{field}. {field.doc}" if field.doc else str(field)
    source = {"fileSet": {"@id": "members"}, "extract": {"fileProperty": "content"}}
    return _column("samples", name, _TYPES.get(field.type, "sc:Text")) | {"description": said, "source": source}


def _column(where: str, name: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{where}/{name}", "name": name, "dataType": kind}
