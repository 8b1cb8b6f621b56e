"""What an engine can do, and which one a URL has."""

from __future__ import annotations

from importlib import import_module, util
from typing import NamedTuple, Protocol

from vdata.urls import scheme


class Version(NamedTuple):
    """Which object this is: its strong ETag ("" where the server gives none), and its bytes (-1: not said)."""

    etag: str
    size: int


class Engine(Protocol):
    """A module with these functions. All raise RemoteErrors; URLs have been checked by `vdata.urls.scheme`."""

    def stat(self, url: str) -> Version:
        """The object's version; MissingFileError where there is none."""
        ...

    def read(self, url: str, start: int, length: int, pin: Version | None = None) -> tuple[bytes | bytearray | memoryview, Version]:
        """`length` bytes from `start` (fewer only at the object's end), and the version that they are of.

        With a `pin` only bytes of that version: ChangedError where there is another one now.
        """
        ...

    def read_all(self, url: str, limit: int | None = None) -> bytes | bytearray | memoryview:
        """The whole object; RemoteError where it is larger than `limit`, before it is fetched."""
        ...

    def listing(self, pattern: str) -> list[str]:
        """The URLs of all objects that a pattern with * ? [ means, sorted; none where there is no such folder."""
        ...

    def write(self, url: str, data: bytes) -> None:
        """Put an object there, whole or not at all."""
        ...

    def put(self, url: str, path: str) -> None:
        """Put the bytes of a local file there, whole or not at all."""
        ...

    def remove(self, url: str) -> None:
        """Remove an object if it is there."""
        ...


def engine_of(url: str) -> Engine:
    """The engine for a remote URL."""
    kind = scheme(url)
    if kind in ("http", "https"):
        name = "http"
    elif kind in ("s3", "gs", "az", "abfs") and util.find_spec("obstore"):
        name = "cloud"
    else:
        name = "anything"
    return import_module(f"vdata.remote.{name}")  # type: ignore[return-value]
