"""Put batches on a device: copied on a stream of their own while the loop still computes, and finished there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch

from vdata.batch import Batch, Ragged, each_tensor, pinned
from vdata.tensors import Image, TypedTensor

Pair = tuple[Any, Any]  # an Item, and the state once it is delivered


def to_device(value: Any, device: torch.device | None, pin: bool) -> Any:
    """`value` with every tensor pinned and moved; containers keep their type. No device and no pin: as it is."""
    if pin:
        value = each_tensor(value, pinned)
    return value if device is None else each_tensor(value, lambda t: t.to(device, non_blocking=pin and device.type == "cuda"))


def laid_out(value: Any, memory_format: torch.memory_format | None) -> Any:
    """A batch whose stacked pictures lie in memory in this format; anything else as it is."""
    if memory_format is None or not isinstance(value, Batch):
        return value
    return value.replace({n: v.contiguous(memory_format=memory_format) if isinstance(v, Image) and v.ndim == 4 else v for n, v in value.items()})


def fed(pairs: Iterator[Pair], move: Callable[[Any], Any], lane: Lane | None, ready: Callable[[], bool]) -> Generator[Pair]:
    """Every item moved, in order; over a lane one ahead, as far as the next one is `ready`.

    An item that cannot be moved raises once those before it were delivered.
    """
    sent: Pair | None = None
    while True:
        if sent is None and (sent := _sent(pairs, move, lane)) is None:
            return
        here, sent, failed = sent, None, None
        if lane is not None and ready():
            try:
                sent = _sent(pairs, move, lane)
            except Exception as error:
                failed = error
        item, after = here
        yield item if lane is None else lane.received(item), after
        if failed is not None:
            raise failed
        del here, item


def lane_to(device: torch.device | None) -> Lane | None:
    """The lane to a GPU; None where copies are not worth hiding."""
    return Lane(device) if device is not None and device.type == "cuda" else None


def _sent(pairs: Iterator[Pair], move: Callable[[Any], Any], lane: Lane | None) -> Pair | None:
    """The next item on its way; None after the last."""
    found = next(pairs, None)
    if found is None:
        return None
    item, after = found
    return move(item) if lane is None else lane.send(lambda: move(item)), after


class Lane:
    """A stream beside the one that computes: what is copied on it is waited for by the GPU, not by this thread."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def send(self, work: Callable[[], Any]) -> Any:
        """The item that `work` makes, and the event after which it is there."""
        with torch.cuda.stream(self.stream):
            item = work()
            return item, self.stream.record_event()

    def received(self, sent: Any) -> Any:
        """For use on the current stream, which also owns its memory from now on."""
        item, there = sent
        current = torch.cuda.current_stream(self.device)
        current.wait_event(there)

        def owned(leaf: Any) -> Any:
            for tensor in _memory(leaf):
                if tensor.is_cuda:
                    tensor.record_stream(current)
            return leaf

        each_tensor(item.value, owned)
        return item


def _memory(leaf: Any) -> list[torch.Tensor]:
    """All tensors of a leaf, those that it carries along too."""
    if isinstance(leaf, Ragged):
        return [leaf.values, leaf.offsets, *(v for meta in leaf.metas for v in meta.values() if isinstance(v, torch.Tensor))]
    rows = leaf._rows if isinstance(leaf, TypedTensor) else ()
    return [leaf, *(v for name in rows if (v := getattr(leaf, name)) is not None)]
