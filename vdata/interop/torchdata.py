"""A pipe as a `torchdata.nodes` node, and any node as a pipe."""

from __future__ import annotations

from typing import Any

from torchdata.nodes import BaseNode, Loader

from vdata.pipe import DataPipe
from vdata.run.ring import Inline
from vdata.run.walk import Walk
from vdata.start import from_iterable


class PipeNode(BaseNode[Any]):
    """One epoch of a pipe a pass, advancing the epoch; its state is the pipe's."""

    def __init__(self, pipe: DataPipe):
        super().__init__()
        self._walk = Walk(pipe.plan)
        self._state = self._walk.start()
        self._items: Any = None

    def reset(self, initial_state: dict[str, Any] | None = None) -> None:
        super().reset(initial_state)
        if initial_state is not None:
            self._state = self._walk.adopt(initial_state)
        elif self._items is not None and self._state["position"]:
            # A pass that was left in the middle begins again.
            self._state = self._walk.start(self._state["epoch"])
        self._items = self._walk.run(self._state, Inline())

    def next(self) -> Any:
        try:
            item, self._state = next(self._items)
        except StopIteration:
            self._state = self._walk.next_epoch(self._state)
            raise
        return item.value

    def get_state(self) -> dict[str, Any]:
        return dict(self._state)


def to_node(pipe: DataPipe) -> PipeNode:
    """The pipe as a node, for `torchdata.nodes.Loader`, `Prefetcher`, `ParallelMapper` and the like.

    >>> node = to_node(vdata.from_torch([{"x": 1}, {"x": 2}]))
    >>> [sample["x"] for sample in Loader(node)]
    [1, 2]
    """
    return PipeNode(pipe)


def from_node(node: BaseNode[Any], name: str = "") -> DataPipe:
    """A pipe over a node: a stream. Each epoch resets the node.

    >>> [s["x"] for s in from_node(to_node(vdata.from_torch([{"x": 1}])))]
    [1]
    """
    return from_iterable(_Passes(node), name or type(node).__name__)


class _Passes:
    """A fresh pass over a node, each time it is called."""

    def __init__(self, node: BaseNode[Any]):
        self.node = node

    def __call__(self) -> Any:
        return iter(Loader(self.node))
