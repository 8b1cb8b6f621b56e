"""Lines, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from vdata.errors import DataError, DecodeError
from vdata.files import Files


def _text(files: Files, path: str) -> str:
    try:
        return files.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(f"{path} is not UTF-8 text", url=files.url, byte=error.start) from error


def lines(files: Files, path: str) -> list[str]:
    """The lines of a text file, without blanks at their ends; empty ones are left out."""
    return [line for raw in _text(files, path).splitlines() if (line := raw.strip())]


def numbered_lines(files: Files, path: str) -> list[str]:
    """As `lines`, where the place of a line says what it is about: an empty one, which would shift all others, raises."""
    found = [line.strip() for line in _text(files, path).splitlines()]
    if "" in found:
        raise DecodeError(f"line {found.index('') + 1} of {path} is empty", url=files.url, do="download it again")
    return found


def expect_names(files: Files, path: str, names: Sequence[str], found: Sequence[str] | None = None) -> None:
    """DataError if the file is there and lists other classes than these, or in another order: all labels would be shifted."""
    if path not in files:
        return
    found = lines(files, path) if found is None else found
    for number, (theirs, ours) in enumerate(zip_longest(found, names)):
        if theirs != ours:
            what = f"class {number} of {path} is {theirs!r}, and vdata knows it as {ours!r}"
            raise DataError(what, url=files.url, do="this is another release of the dataset than the card describes")


def csv_rows(files: Files, path: str, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[str, ...]]:
    """The named columns of each row of a CSV with a header, in the order asked for. Blanks around names and values go.

    DecodeError, with the line, for a column that is missing or there twice, and for a row of another length than the header.
    """
    reader = csv.reader(io.StringIO(_text(files, path), newline=""), delimiter=delimiter, strict=True)
    try:
        yield from _columns(reader, columns, path, files.url)
    except csv.Error as error:
        raise DecodeError(f"line {reader.line_num} of {path} is no CSV: {error}", url=files.url) from error


def _columns(reader: Any, columns: Sequence[str], path: str, url: str) -> Iterator[tuple[str, ...]]:
    header = [name.strip() for name in next(reader, [])]
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise DecodeError(f"{path} has no column {', '.join(lacking)}; it has {', '.join(header) or 'none'}", url=url)
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise DecodeError(f"{path} has two columns {twice[0]!r}", url=url)
    places = [header.index(name) for name in columns]
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            what = f"line {reader.line_num} of {path} has {len(row)} columns, its header has {len(header)}"
            raise DecodeError(what, url=url)
        yield tuple(row[place].strip() for place in places)


def json_of(files: Files, path: str, type: Any = Any) -> Any:
    """A JSON file, as the `msgspec` type given (fields it does not name are passed over); DecodeError if it is not that."""
    data = files.read(path)
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # the last: nested too deeply
        raise DecodeError(f"{path} is not the JSON it should be: {error}", url=files.url) from error
