"""A file not yet decoded: bytes, what they should become, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from vdata.errors import DataError
from vdata.field import Field
from vdata.meter import spent

if TYPE_CHECKING:
    from vdata.files import Files


@dataclass(frozen=True)
class Encoded:
    """Bytes of one field of one sample.

    data    the bytes, or a memoryview of them; never copied before decoding; `later` has them read when they are asked for
    type    the tensor type or plain kind that they become: "Image", "Flow", "Mask", "json", ...;
            "" lets the codec decide from magic bytes and suffix
    suffix  the file's suffix without its first dot, lower case ("jpg", "seg.png"): a hint, never believed
            where the bytes themselves tell
    codec   a named encoding where bytes and type do not tell enough ("kitti_flow", "kitti_disparity")
    meta    what the typed tensor carries beside its pixels (views, ignore_index, categories, ...)
    where   url, shard, key, field, byte of the file: for errors
    orient  whether a picture's EXIF orientation is applied (folders and users' tars) or ignored
    """

    data: bytes | memoryview
    type: str = ""
    suffix: str = ""
    codec: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    orient: bool = True

    @classmethod
    def later(cls, read: Callable[[], bytes | memoryview], *about: Any, **named: Any) -> Encoded:
        """One whose bytes are read when somebody first asks for them: who selects other fields reads no picture.

        `about` is what comes after the data. A DataError of `read` gets this place where it knows none of its own.
        """
        made = cls(b"", *about, **named)
        del made.__dict__["data"]
        made.__dict__["_read"] = read
        return made

    def like(self, meta: Mapping[str, Any]) -> Encoded:
        """The same file with another meta; it is read no sooner."""
        about = self.type, self.suffix, self.codec, meta, self.where, self.orient
        return Encoded(self.data, *about) if "data" in self.__dict__ else Encoded.later(lambda: self.data, *about)

    def __getattr__(self, name: str) -> Any:  # only of what is not there
        read = self.__dict__.get("_read") if name == "data" else None
        if read is None:
            if name == "data" and "data" in self.__dict__:  # another thread has read it meanwhile
                return self.__dict__["data"]
            raise AttributeError(f"an Encoded has no {name!r}")
        try:
            with spent("read"):
                self.__dict__["data"] = read()
        except DataError as error:
            raise error.at(**self.where) from error.__cause__
        self.__dict__.pop("_read", None)
        return self.__dict__["data"]

    def __repr__(self) -> str:
        size = f"{len(self.data)} bytes" if "data" in self.__dict__ else "not read yet"
        return f"Encoded({self.type or self.suffix or 'bytes'}, {size})"

    def __reduce__(self):
        # A memoryview cannot be pickled; its bytes can.
        data = bytes(self.data)
        return Encoded, (data, self.type, self.suffix, self.codec, dict(self.meta), dict(self.where), self.orient)


def read_encoded(files: Files, record: Mapping[str, Any], name: str, field: Field, column: str = "") -> Encoded:
    """The file that a record names in a column (by default the field's name), for a field of the sample; it is read when it is needed.

    EXIF orientation is ignored: annotations lie on the stored pixels.
    """
    path = record[column or name]
    where = {"url": files.place(path), "key": record["__key__"], "field": name}
    suffix = path.rpartition("/")[2].partition(".")[2].lower()
    meta = dict(field.meta) | ({"dtype": "bool"} if (field.type, field.dtype) == ("Mask", "bool") else {})
    return Encoded.later(partial(files.read, path), field.type, suffix, field.codec, meta, where, orient=False)
