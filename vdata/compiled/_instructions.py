"""Words for loops that LLVM has and Python's numbers have not: many numbers at once, one rounding for two operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from inspect import Parameter, Signature, signature
from typing import Any, cast

from vdata.compiled import numba


class Found:
    """What numba knows, for loops whose file does not import it: it is looked up when it compiles one that names it."""

    def __init__(self, find: Callable[[], Any]):
        self._find = find

    @property
    def _numba_type_(self) -> Any:  # numba asks
        from numba.core.registry import cpu_target

        found, typing = self._find(), cast(Any, cpu_target).typing_context
        typing.refresh()
        return typing.resolve_value_type(found)


class Instruction(Found):
    """`emit(builder, *values)` written where a loop calls it; an array comes as a pointer to its first number.

    `kind(*kinds)` gives numba's type of the result; by default there is none. Nothing is held while it runs: a function that takes
    arrays counts who has them.
    """

    def __init__(self, emit: Callable[..., Any], kind: Callable[..., Any] | None = None):
        super().__init__(lambda: self._known)
        self._emit, self._kind = emit, kind

    @cached_property
    def _known(self) -> Any:
        from numba.core import types
        from numba.extending import intrinsic
        from numba.np.arrayobj import make_array

        def write(context: Any, builder: Any, call: Any, values: Any) -> Any:
            plain = [
                make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(call.args, values, strict=True)
            ]  # fmt: skip
            written = self._emit(builder, *plain)
            return context.get_dummy_value() if written is None else written

        def typed(context: Any, *kinds: Any) -> Any:
            return (types.void if self._kind is None else self._kind(*kinds))(*kinds), write

        first = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD)
        vars(typed)["__signature__"] = Signature([first, *list(signature(self._emit).parameters.values())[1:]])  # numba counts arguments by it
        return intrinsic(typed)


def _to_pointer(builder: Any, address: Any) -> Any:
    from llvmlite import ir

    return builder.inttoptr(address, ir.IntType(8).as_pointer())


pointer: Any = Instruction(_to_pointer, lambda address: numba().types.voidptr)  # of an address; carray(pointer(address), shape, dtype) is the array there
carray: Any = Found(lambda: numba().carray)
