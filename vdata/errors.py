"""What went wrong, where, why, and what to do.

    VdataError
    ├── PlanError            the pipe as written cannot run (also a ValueError)
    │   └── NoIndexError     the pipe has no index: no length, no random access
    ├── NoKernelError        a transform does not know how to move this type (also a TypeError)
    ├── UnknownDatasetError  no dataset or URL of that name (also a LookupError)
    ├── StateError           a state that belongs to another plan, seed or world
    ├── WorkerError          worker processes died at one place again and again
    ├── StageTimeoutError    a stage did not answer within the loader's timeout (also a TimeoutError)
    ├── MissingPackageError  an optional package is not installed (also an ImportError)
    ├── RemoteError          storage did not give what it was asked for, however often
    │   ├── AccessError      it refuses: credentials, rights, an expired signature, a wrong clock
    │   ├── MissingFileError nothing of that name is there
    │   └── ChangedError     the object is another one than a moment ago
    └── DataError            bytes at rest are not what they should be
        ├── DecodeError      a file is broken or of an unknown kind
        ├── ShardError       a tar or a manifest is broken
        │   ├── TruncatedShardError
        │   └── ChecksumError
        └── UnsafeFormatError   reading it would run code

    DataWarning              something is missing, and it was asked to go on without it

Only `DataError` may be skipped (`on_error="skip"`): all others are mistakes in a program, or of a network, behind which the
data may well be whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

_PLACES = ("url", "shard", "key", "field", "byte")


class VdataError(Exception):
    """The root: `except vdata.errors.VdataError` catches everything that vdata raises on purpose."""


class PlanError(VdataError, ValueError):
    """The pipe as written cannot run."""


class NoIndexError(PlanError, TypeError):
    """The pipe is a stream: it has no length and no random access (`len` needs a TypeError)."""


class NoKernelError(VdataError, TypeError):
    """A transform met a typed tensor that it cannot move."""


class UnknownDatasetError(VdataError, LookupError):
    """No dataset of that name, and no data at that URL."""


class StateError(VdataError, ValueError):
    """The state belongs to another plan, seed or world."""


class StageTimeoutError(VdataError, TimeoutError):
    """A stage did not answer within the loader's timeout."""


class WorkerError(VdataError, RuntimeError):
    """Worker processes died at one place again and again."""


class MissingPackageError(VdataError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class _Placed(VdataError):
    """`what` happened; `url`, `shard`, `key`, `field`, `byte` say where, as far as known (outer layers
    add what they know with `at`); `do` says what to do about it.
    """

    def __init__(self, what: str, *, do: str = "", **where: Any):
        super().__init__(what)
        self.what, self.do = what, do
        self.where: dict[str, Any] = {}
        self.at(**where)

    def at(self, **where: Any) -> Self:
        """Add what is known of the place; what an inner layer said already stays."""
        unknown = set(where) - set(_PLACES)
        if unknown:
            raise TypeError(f"an error has no place {sorted(unknown)}; places are {', '.join(_PLACES)}")
        for name, value in where.items():
            if value is not None:
                self.where.setdefault(name, redact(value) if name == "url" else value)
        return self

    def __str__(self) -> str:
        place = ", ".join(f"{n} {self.where[n]!r}" for n in _PLACES if n in self.where)
        return self.what + (f" [{place}]" if place else "") + (f". {self.do}" if self.do else "")

    def __reduce__(self):
        # The state carries the notes that outer layers added.
        return _rebuild, (type(self), self.what, self.do, self.where), dict(vars(self))


def _rebuild(cls: type[_Placed], what: str, do: str, where: dict[str, Any]) -> _Placed:
    return cls(what, do=do, **where)


class RemoteError(_Placed):
    """Storage did not give what it was asked for, however often; `what`, `where` and `do` as in a DataError."""


class AccessError(RemoteError):
    """Storage refuses: credentials, rights, an expired signature, a wrong clock."""


class MissingFileError(RemoteError):
    """Nothing of that name is there."""


class ChangedError(RemoteError):
    """The object is another one than a moment ago: what was read of it does not go together."""


class DataError(_Placed):
    """Bytes at rest are not what they should be; `what`, `where` (url, shard, key, field, byte) and `do` say more."""


class DataWarning(UserWarning):
    """Something is missing, and it was asked to go on without it. `missing` lists all of it: (key, field, path)."""

    def __init__(self, text: str, missing: Sequence[tuple[str, str, str]] = ()):
        super().__init__(text)
        self.missing = list(missing)


class DecodeError(DataError):
    """A file is broken, or of a kind that no codec knows."""


class ShardError(DataError):
    """A tar or a manifest is broken."""


class TruncatedShardError(ShardError):
    """A tar ends before it should."""


class ChecksumError(ShardError):
    """Bytes differ from those that were written."""


class UnsafeFormatError(DataError):
    """The format can carry code; vdata never runs code from data."""


_NAMES = (
    r"x-amz-[^=&#]*|x-goog-[^=&#]*|sig|signature|\w*token|\w*secret|\w*password|passwd|pwd|\w*api[-_]?key|key|credentials?|"
    r"auth|authorization|awsaccesskeyid|googleaccessid"
)
_SECRET = re.compile(rf"(?i)([?&#;](?:{_NAMES})=)[^&#\s]*")
# Up to the last @ of the authority; a password may also hold a slash, a port may not.
_USERINFO = re.compile(r"(?<=://)(?:[^/?#\s:]+:(?!\d+/)[^?#\s]*|[^/?#\s]*)@")


def redact(url: object) -> str:
    """A URL fit to be printed: no user info, no signature, no token.

    >>> redact("https://me:pw@host/a.tar?X-Amz-Signature=abc&part=1")
    'https://***@host/a.tar?X-Amz-Signature=***&part=1'
    """
    return _SECRET.sub(r"\1***", _USERINFO.sub("***@", str(url)))
