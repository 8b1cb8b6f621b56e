"""What code draws from torch's default generators, drawn from others instead: for a block, in one thread."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vdata.errors import NoKernelError


class Seeded(TorchDispatchMode):
    """`with Seeded(seed): ...` draws what the block would draw right after `torch.manual_seed(seed)`.

    torch's default generators are neither read nor written, and other threads are not touched: a training loop may draw
    meanwhile, and neither disturbs the other. A generator that the block names itself stays. Raises NoKernelError for an
    operation that draws and, in this version of torch, takes no generator.

    >>> with Seeded(7):
    ...     drawn = torch.rand(3)
    >>> torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(7)))
    True
    """

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        drawing = _drawing(func)
        if drawing is None or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        return drawing(*args, **{**kwargs, "generator": self._generator(_device(args, kwargs))})

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _device(args: Any, kwargs: Any) -> torch.device:
    """Where an operation draws: where it is told to, else where its tensors are."""
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    return torch.device(kwargs.get("device") or (tensors[0].device if tensors else "cpu"))


@functools.cache
def _drawing(func: Any) -> Any:
    """None where an operation draws nothing; else its overload with the same arguments and a generator."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return None
    wanted = _arguments(func)
    for name in (func._overloadname, *func.overloadpacket.overloads()):
        overload = getattr(func.overloadpacket, name)
        if _arguments(overload) == wanted and any(a.name == "generator" for a in overload._schema.arguments):
            return overload
    raise NoKernelError(
        f"{func} draws and takes no generator in torch {torch.__version__}, so that no key can decide what it draws"
    )


def _arguments(func: Any) -> list[tuple[str, str]]:
    return [(a.name, str(a.type)) for a in func._schema.arguments if a.name != "generator"]
