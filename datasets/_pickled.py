"""What a pickle holds, without unpickling it: nothing that it names is imported, and nothing is called.

`pickletools` splits the bytes into opcodes and no more. Here numbers, texts, lists and dicts are put together from
them; a long string stays where it is in the file (`Raw`), and what a call would make is only noted (`Made`). That is
enough to find the pixels of a NumPy array. Anything else that a pickle can do is an error.
"""

from __future__ import annotations

import os
import pickletools
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from vdata.errors import DecodeError
from vdata.files import Files

_MARK = object()
_SMALL = 1 << 16
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_RAW = {"BINSTRING": 5, "BINBYTES": 5, "BINBYTES8": 9}  # the opcode and its length come before the bytes
_SMALL_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Raw:
    """Bytes that stay in the file."""

    start: int
    size: int


@dataclass(frozen=True)
class Name:
    """The name of a class or function: "numpy dtype"."""

    text: str


@dataclass
class Made:
    """What calling `name` with `args` would give, and the state that it would be given."""

    name: Name
    args: tuple[Any, ...]
    state: Any = None


def pickled(files: Files, path: str) -> Any:
    """The value in the file; DecodeError, with the byte, for anything but data."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    at = 0
    try:
        with files.open(path) as file:
            for opcode, argument, place in pickletools.genops(cast(IO[bytes], _Bounded(file))):
                at = int(place or 0)
                _step(opcode.name, argument, at, stack, memo)
        (value,) = stack
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DecodeError(
            f"{path} is no pickle of numbers, texts and arrays: {error}", url=files.url, byte=at
        ) from error
    return value


class _Bounded:
    """A file of which no more can be asked for than it has: a damaged length would make Python set terabytes aside."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._end = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.tell, self.readline = file.tell, file.readline

    def read(self, size: int) -> bytes:
        return self._file.read(size if size < _SMALL else min(size, self._end - self._file.tell()))


def bytes_of_array(value: Any, width: int) -> tuple[Raw, int]:
    """Where the bytes of a pickled uint8 array [N, width] are, and N; ValueError where it is none."""
    if not isinstance(value, Made) or not value.name.text.endswith("multiarray _reconstruct"):
        raise ValueError("the pictures are no NumPy array")
    _, shape, dtype, fortran, raw = value.state
    if not isinstance(dtype, Made) or dtype.name.text != "numpy dtype" or dtype.args[0] not in ("u1", "|u1") or fortran:
        raise ValueError("the pictures are no bytes, row by row")
    if len(shape) != 2 or shape[1] != width or not isinstance(raw, Raw) or raw.size != shape[0] * width:
        raise ValueError(f"the pictures are no array of shape [N, {width}] whose bytes lie in the file: {shape}")
    return raw, shape[0]


def _step(name: str, argument: Any, at: int, stack: list[Any], memo: dict[int, Any]) -> None:
    """One opcode. The stack and the memo become what unpickling would make them, with `Made` for what it would call."""
    if name in _PLAIN:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _RAW:
        stack.append(Raw(at + _RAW[name], len(argument)))
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in _SMALL_TUPLES:
        stack.append(tuple(_popped(stack, _SMALL_TUPLES[name])))
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if argument is None else argument] = stack[-1]
    elif name in _BUILDERS:
        _BUILDERS[name](stack, argument)
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise ValueError(f"its opcode {name} makes something else")


def _popped(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise IndexError("an opcode without its operands")
    items = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return items


def _since_mark(stack: list[Any]) -> list[Any]:
    place = len(stack) - 1
    while stack[place] is not _MARK:
        if not place:
            raise IndexError("no mark")
        place -= 1
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _extend(stack: list[Any], _: Any) -> None:
    items = _since_mark(stack)
    stack[-1].extend(items)


def _set_one(stack: list[Any], _: Any) -> None:
    _set(stack, _popped(stack, 2))


def _set_many(stack: list[Any], _: Any) -> None:
    _set(stack, _since_mark(stack))


def _set(stack: list[Any], items: list[Any]) -> None:
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _call(stack: list[Any], _: Any) -> None:
    name, args = _popped(stack, 2)
    if not isinstance(name, Name) or not isinstance(args, tuple):
        raise TypeError("a call of what is no function")
    stack.append(Made(name, args))


def _build(stack: list[Any], _: Any) -> None:
    state = stack.pop()
    if not isinstance(stack[-1], Made):
        raise TypeError("a state for what was not made")
    stack[-1].state = state


_BUILDERS = {
    "MARK": lambda stack, _: stack.append(_MARK),
    "SHORT_BINBYTES": lambda stack, argument: stack.append(argument.decode("latin-1")),
    "TUPLE": lambda stack, _: stack.append(tuple(_since_mark(stack))),
    "APPEND": lambda stack, _: stack[-2].append(stack.pop()),
    "APPENDS": _extend,
    "SETITEM": _set_one,
    "SETITEMS": _set_many,
    "GLOBAL": lambda stack, argument: stack.append(Name(argument)),
    "STACK_GLOBAL": lambda stack, _: stack.append(Name(" ".join(_popped(stack, 2)))),
    "REDUCE": _call,
    "BUILD": _build,
}
