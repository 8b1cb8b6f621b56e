"""`DataPipe`: an immutable chain over a dataset. A method returns a new pipe; nothing runs until it is iterated.

The pipe is also a `torch.utils.data.IterableDataset` with `state_dict` / `load_state_dict`: in a foreign loader it
splits by worker always, by rank only where `.shard(world_size, rank)` asks for it (docs/design/0005-foreign-loaders.md).
"""

from __future__ import annotations

import copy
import difflib
import math
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from vdata import plan, survey
from vdata.describe import describe
from vdata.elsewhere import ADVICE
from vdata.errors import NoIndexError, PlanError
from vdata.plan import Stage
from vdata.rewrite import optimise
from vdata.run.epoch import SharedEpoch
from vdata.run.loader import Loader
from vdata.run.make import Node, compile
from vdata.run.ranks import check_ranks, deals
from vdata.run.ring import Inline
from vdata.run.store import Store
from vdata.run.walk import State, Walk, scan
from vdata.transforms import Compose, Transform


class DataPipe(IterableDataset):
    """Samples of a dataset and what is to be done with them, as a value: it prints, compares and pickles.

    Pipes are equal where their stages, arguments and sources' digests are; functions, and datasets given to
    `from_torch` and `from_iterable`, count by their names.

    >>> pipe = vdata.from_iterable([{"x": i} for i in range(10)]).filter(even).map(halve).batch(2)
    >>> [batch["x"].tolist() for batch in pipe]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, written: Stage):
        self._plan = written
        self._epoch = SharedEpoch()  # the workers of a foreign loader learn it from here
        self._state: State | None = None
        self._loaded = False
        self._dealt = False  # to ranks, by the library that iterates it
        self._node: Node | None = None  # compiled for pipe[i]

    @property
    def plan(self) -> Stage:
        """The last stage; each stage holds the one it draws from."""
        return self._plan

    # -- one sample in, one sample out ----------------------------------------------------------------------------------

    def map(self, fn: Callable[[Any], Any]) -> DataPipe:
        """`fn` of every sample (a dict of decoded tensors), or of every `Batch` after `.batch`.

        >>> list(vdata.from_iterable([{"x": 4}]).map(halve))
        [{'__key__': '00000000', 'x': 2}]
        """
        return DataPipe(plan.Map(self._plan, _function("map", fn)))

    def apply(self, *transforms: Transform, passthrough: Sequence[str] = (), fuse: bool = False) -> DataPipe:
        """Transforms of `vdata.transforms`, one after the other; every field of a sample moves together.

        Draws are keyed by (seed, epoch, position, place in the pipe). `passthrough` names plain tensors that stay as
        they are; `fuse` reads pixels once for each run of geometric transforms (`T.Compose`). After `.batch` each sample
        of the batch has its own draw, the same that it would have had before it. Transforms that make one sample of several
        (MixUp, Mosaic) take partners by position from the whole epoch; after `.batch`, from the batch.

        >>> pipe = vdata.from_iterable([{"image": Image(torch.zeros(3, 8, 8))}]).apply(T.CenterCrop(4))
        >>> next(iter(pipe))["image"].shape
        torch.Size([3, 4, 4])
        """
        if len(transforms) == 1 and isinstance(transforms[0], (list, tuple)):
            transforms = tuple(transforms[0])
        odd = [t for t in transforms if not isinstance(t, Transform)]
        if odd or not transforms:
            raise PlanError(f"apply takes transforms of vdata.transforms, got {odd or 'none'}: a plain function goes to .map(fn)")
        single = len(transforms) == 1 and isinstance(transforms[0], Compose) and not passthrough and not fuse
        given = transforms[0] if single else Compose(list(transforms), passthrough=tuple(passthrough), fuse=fuse)
        return DataPipe(plan.Apply(self._plan, given))

    def decode(self, *, mode: str = "RGB", on_error: str = "raise", scale: str | None = None) -> DataPipe:
        """Options for decoding, which itself happens where a later stage first needs pixels.

        mode      "RGB": pictures have three channels; "unchanged": as they lie in the file (grey, alpha, 16 bit)
        on_error  "raise", or "skip": a broken sample is replaced by the next good one of its lane (over a stream it
                  is left out), and named in `loader.stats()["substituted"]`
        scale     "auto": where the first transform is a Resize or RandomResizedCrop (with antialias) that makes a JPEG at
                  least twice smaller, it is decoded at 1/2, 1/4 or 1/8 of its size and resized from there by Pillow. Several
                  times faster for large photographs, and it changes pixels (by one or two grey levels of 255 on average)

        >>> print(vdata.from_iterable([]).decode(mode="unchanged").plan.mode)
        unchanged
        """
        if mode not in ("RGB", "unchanged") or on_error not in ("raise", "skip"):
            raise PlanError(f'decode: mode is "RGB" or "unchanged", on_error is "raise" or "skip", got {mode!r}, {on_error!r}')
        if scale not in (None, "auto"):
            raise PlanError(f'decode: scale is None or "auto", got {scale!r}')
        if scale and on_error == "skip":
            raise PlanError('decode: scale="auto" and on_error="skip" do not go together: a substitute is decoded before it is known what it becomes')
        late = next((s for s in plan.line(self._plan) if s.decoded), None)
        if late is not None:
            raise PlanError(f"decode stands after {late.name}, which reads pixels already: put .decode(...) before it")
        return DataPipe(plan.Decode(self._plan, mode, on_error, scale=scale))

    def select(self, *keys: str) -> DataPipe:
        """Only these fields, and `__key__`. What is left out is not even decoded.

        >>> list(vdata.from_iterable([{"x": 1, "y": 2}]).select("y"))
        [{'__key__': '00000000', 'y': 2}]
        """
        if not all(isinstance(k, str) or callable(k) for k in keys):
            raise PlanError(f"select takes names, as in .select('image', 'label'), got {keys!r}")
        if any(callable(k) for k in keys):
            raise PlanError("select takes names of fields; webdataset's select(predicate) is .filter(fn) here")
        return DataPipe(plan.Select(self._plan, keys))

    def rename(self, **new_from_old: str) -> DataPipe:
        """`rename(image="jpg")`: the field `jpg` is called `image` from here on; flows and boxes that name it follow.

        >>> list(vdata.from_iterable([{"x": 1}]).rename(y="x"))
        [{'__key__': '00000000', 'y': 1}]
        """
        return DataPipe(plan.Rename(self._plan, tuple((old, new) for new, old in new_from_old.items())))

    def to_tuple(self, *keys: str) -> DataPipe:
        """A plain tuple of these fields (of samples or batches).

        >>> list(vdata.from_iterable([{"x": 1, "y": 2}]).to_tuple("y", "x"))
        [(2, 1)]
        """
        keys = tuple(k for key in keys for k in key.split())  # webdataset writes to_tuple("jpg cls")
        return DataPipe(plan.ToTuple(self._plan, keys))

    def enumerate(self, start: int = 0) -> DataPipe:
        """(number, sample) pairs, as the built-in.

        >>> [n for n, _ in vdata.from_iterable([{}, {}]).enumerate()]
        [0, 1]
        """
        return DataPipe(plan.Enumerate(self._plan, start))

    def cache(self, limit: int | None = None) -> DataPipe:
        """Keep decoded samples in memory, up to `limit` bytes, for every loader of this pipe in this process.

        What stands before it must be the same in every epoch: no shuffle, no random transform. Worker processes live
        for one epoch and would keep nothing, so mode="process" refuses it.

        >>> len(vdata.from_torch([({"x": 1},)]).cache())
        1
        """
        limit = None if limit is None else _count("cache(limit)", limit)
        return DataPipe(plan.Cache(self._plan, limit, Store(limit)))

    def seed(self, n: int) -> DataPipe:
        """The seed of this pipe's transforms, wherever it stands; 0 where it is not given. `shuffle` has its own.

        >>> "seed 3" in str(vdata.from_iterable([]).seed(3))
        True
        """
        return DataPipe(plan.Seed(self._plan, seed_number("seed", n)))

    def pipe(self, fn: Callable[..., DataPipe], *args: Any, **kwargs: Any) -> DataPipe:
        """`fn(self, *args, **kwargs)`: a function that adds several stages, in a chain.

        >>> len(vdata.from_torch([{"x": 1}]).pipe(lambda p, n: p.repeat(n), 3))
        3
        """
        return fn(self, *args, **kwargs)

    # -- which samples, in which order ------------------------------------------------------------------------------------

    def shuffle(self, seed: int = 0, *, buffer_size: int | None = None, window: int | str | None = None) -> DataPipe:
        """Another order each epoch, a function of (seed, epoch) alone.

        The first argument is a seed; webdataset's and torch's is a buffer size, which an index does not need.
        With an index: a keyed bijection, whole up to 65,536 samples, else within windows of shards (`window`: how many
        samples at least, or "all"). Over a stream: a buffer of `buffer_size` samples.

        >>> [s["x"] for s in vdata.from_torch([{"x": i} for i in range(5)]).shuffle(seed=1)]
        [3, 2, 4, 1, 0]
        """
        if buffer_size is not None and _whole("shuffle(buffer_size)", buffer_size) < 1:
            raise PlanError(f"shuffle: buffer_size is at least 1, got {buffer_size}")
        return DataPipe(plan.Shuffle(self._plan, seed_number("shuffle", seed), window, buffer_size))

    def repeat(self, n: int | None = None) -> DataPipe:
        """The pipe n times over, each pass shuffled and augmented as an epoch of its own; None: for ever.

        >>> len(vdata.from_torch([{"x": 1}]).repeat(4))
        4
        """
        if n is not None and _whole("repeat", n) < 1:
            raise PlanError(f"repeat: n must be positive, or None for ever, got {n}")
        return DataPipe(plan.Repeat(self._plan, n))

    def take(self, n: int) -> DataPipe:
        """The first n samples (or batches).

        >>> len(vdata.from_torch([{"x": 1}, {"x": 2}]).take(1))
        1
        """
        return DataPipe(plan.Take(self._plan, _count("take", n)))

    def skip(self, n: int) -> DataPipe:
        """All but the first n.

        >>> [s["x"] for s in vdata.from_torch([{"x": 1}, {"x": 2}]).skip(1)]
        [2]
        """
        return DataPipe(plan.Skip(self._plan, _count("skip", n)))

    def shard(self, num_shards: int, index: int) -> DataPipe:
        """Every num_shards-th sample from `index` on. Ranks and workers of vdata's loader need none: they are dealt.

        >>> [s["x"] for s in vdata.from_torch([{"x": i} for i in range(5)]).shard(2, 1)]
        [1, 3]
        """
        return DataPipe(plan.Shard(self._plan, _whole("shard", num_shards), _whole("shard", index)))

    def filter(self, fn: Callable[[Any], bool] | None = None, *, where: Any = None, scan: bool = False) -> DataPipe:
        """Samples for which `fn` holds.

        where  instead of fn: {"label": 3} or {"label": [3, 5]}, or a function of the index's columns (numpy arrays)
               returning a bool array; reads no sample and keeps every guarantee
        scan   look at every sample once, remember which ones pass, and keep every guarantee

        >>> [s["x"] for s in vdata.from_torch([{"x": i} for i in range(4)]).filter(even, scan=True)]
        [0, 2]
        """
        return DataPipe(plan.Filter(self._plan, None if fn is None else _function("filter", fn), _canonical(where), scan))

    # -- other numbers of items ---------------------------------------------------------------------------------------------

    def batch(self, batch_size: int, drop_last: bool = False, collate_fn: Callable[[list[Any]], Any] | None = None) -> DataPipe:
        """`batch_size` samples as one `vdata.Batch`: what one rank receives at a step.

        >>> [b["x"].tolist() for b in vdata.from_torch([{"x": i} for i in range(3)]).batch(2)]
        [[0, 1], [2]]
        """
        return DataPipe(plan.Batch(self._plan, _whole("batch", batch_size), drop_last, collate_fn))

    def unbatch(self) -> DataPipe:
        """The samples of each batch, one by one.

        >>> [int(s["x"]) for s in vdata.from_torch([{"x": i} for i in range(3)]).batch(2).unbatch()]
        [0, 1, 2]
        """
        return DataPipe(plan.Unbatch(self._plan))

    def flat_map(self, fn: Callable[[Any], Iterable[Any]]) -> DataPipe:
        """Every sample of the iterable that `fn` returns for each sample.

        >>> list(vdata.from_torch([{"x": 2}]).flat_map(count_up))
        [{'x': 0}, {'x': 1}]
        """
        return DataPipe(plan.FlatMap(self._plan, _function("flat_map", fn)))

    # -- looking and running --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        length = Walk(self._plan).length
        if length == math.inf:
            raise NoIndexError("an endless pipe has no length")
        return int(length)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> Any:
        """Item `index` of epoch 0 (a sample, or a batch), by random access."""
        if self._node is None:
            local = optimise(self._plan, scan)
            if local.access != "dense":
                raise NoIndexError(f"pipe[i] needs an index: {survey.not_elastic(self._plan) or 'this pipe is a stream'}")
            self._node = compile(local)
        count = self._node.length
        if isinstance(index, (slice, str)):
            raise TypeError("pipe[i] takes an int: a range is .skip(a).take(n), a field is .select(name)")
        index = operator.index(index)
        if not (0 <= index < count or (count != math.inf and -count <= index < 0)):
            raise IndexError(f"index {index} is out of range for {count} items")
        item = self._node.one(0, index if index >= 0 else int(count) + index)
        assert item is not None
        return item.value

    def __iter__(self) -> Iterator[Any]:
        """One epoch in the caller's thread; in a worker of a foreign loader, that worker's share."""
        if not self._dealt:
            check_ranks(self._plan, sys._getframe(1))
        walk = self._walk()
        state = self._state if self._loaded and self._state is not None else walk.start(self._epoch.get(walk.workers))
        self._loaded = False
        self._state = state
        left = walk.left(state)
        for number, (item, after) in enumerate(walk.run(state, Inline()), 1):
            self._state = after
            if number == left:  # whoever counts may never ask for the end
                self._advance(state["epoch"] + 1)
            yield item.value
        self._state = walk.next_epoch(state)
        self._advance(self._state["epoch"])

    def _advance(self, epoch: int) -> None:
        info = get_worker_info()
        if info is None:
            self._epoch.set(epoch)
        else:
            self._epoch.finish(info.id, epoch)

    def _walk(self) -> Walk:
        info = get_worker_info()
        return Walk(self._plan, worker=info.id, workers=info.num_workers) if info else Walk(self._plan)

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the next iteration, here and in the workers of a foreign loader."""
        self._dealt = self._dealt or deals(sys._getframe(1))
        self._epoch.set(_count("set_epoch", epoch))
        self._state, self._loaded = None, False

    def state_dict(self) -> State:
        """Where iteration stands, as JSON. In vdata's own loader, ask the loader."""
        walk = self._walk()
        return copy.deepcopy(self._state) if self._state is not None else walk.start(self._epoch.get(walk.workers))

    def load_state_dict(self, state: State) -> None:
        """Go on from `state` at the next iteration; another pipe's state raises StateError."""
        self._state, self._loaded = self._walk().adopt(state), True
        self._epoch.set(state["epoch"])

    def loader(
        self, workers: int | None = None, *, mode: str = "thread", device: Any = None, prefetch: int = 2, pin_memory: bool | None = None,
        rank: int | None = None, world_size: int | None = None, uneven: str = "drop", timeout: float = 300.0,
        multiprocessing_context: str = "forkserver", executor: str | None = None, optimize: bool = True,
        on_device: str = "floats", memory_format: Any = None,
    ) -> Loader:  # fmt: skip
        """A `Loader`: the same samples in the same order, whatever is said here.

        workers     how many threads or processes; the machine's cores by default, 0 for none
        mode        "thread", "process" (a script needs `if __name__ == "__main__":`), or "inline"
        device      where tensors are put; pin_memory: page-locked first (default: if the device is CUDA)
        prefetch    how many items a worker may be ahead
        rank, world_size   default: torch.distributed's, else the launcher's environment, else 0 of 1
        uneven      "drop": all ranks get equally many samples, at most world_size - 1 are left out; "pad": some are
                    repeated instead; "exact": neither, so ranks may differ by one
        timeout     seconds that one result may take (in process mode the start of the workers counts too)
        executor    "ray": `workers` actors (by default as many as this machine has cores) on a Ray cluster compute the items and this process delivers them, in order; one that dies
                    loses nothing
        on_device   what of a batch's transforms runs on the `device`, where that is not the CPU: "floats" (a conversion to floats
                    and a normalisation at the end, so that bytes are copied), "batch" (all after `.batch`) or "none"
        memory_format  torch.channels_last: pictures of a batch lie in memory as [N, H, W, C]; their shape stays [N, C, H, W]
        optimize    False runs the plan as it is written, without the rewrites that `explain` shows: slower, and equal; what of
                    it would run on the device runs here

        >>> loader = vdata.from_torch([{"x": 1}]).loader(workers=2)
        >>> len(loader), loader.state_dict()["position"]
        (1, 0)
        """
        return Loader(
            self._plan, workers=workers, mode=mode, device=device, prefetch=prefetch, pin_memory=pin_memory, rank=rank,
            world_size=world_size, uneven=uneven, timeout=timeout, multiprocessing_context=multiprocessing_context, executor=executor, optimize=optimize,
            on_device=on_device, memory_format=memory_format,
        )  # fmt: skip

    def pack(self, url: str, **options: Any) -> DataPipe:
        """Write the pipe to shards at `url` and open them: see `vdata.pack.pack` for the options."""
        from vdata.pack import pack  # one floor up: a pipe need not know how it is written

        return pack(self, url, **options)

    def explain(self, *, optimize: bool = True) -> str:
        """The plan as it will run, after rewriting (with `optimize=False` without what only makes it faster)."""
        return describe(optimise(self._plan, scan, fuse=optimize), "Runs as")

    def __repr__(self) -> str:
        return describe(self._plan)

    def _repr_html_(self) -> str:
        from vdata.notebook import pipe_html  # only a notebook needs what draws

        return pipe_html(self._plan)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataPipe) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def _value(self) -> tuple[str, ...]:
        return tuple(f"{s.name}({s.arguments()})" + (s.source.digest if isinstance(s, plan.Read) else "") for s in plan.chain(self._plan))

    def __add__(self, other: Any) -> DataPipe:  # type: ignore[override]
        if not isinstance(other, DataPipe):
            raise PlanError(f"a pipe is added to a pipe, got {type(other).__name__}")
        return DataPipe(plan.Concat((self._plan, other._plan)))

    def __getstate__(self) -> dict[str, Any]:
        return {"_plan": self._plan, "_epoch": self._epoch, "_state": self._state, "_loaded": self._loaded, "_dealt": self._dealt, "_node": None}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ADVICE:
            raise AttributeError(f".{name}: {ADVICE[name]}")
        verbs = [n for n in dir(type(self)) if not n.startswith("_")]
        near = difflib.get_close_matches(name, verbs, 1)
        raise AttributeError(f"a DataPipe has no .{name}" + (f": did you mean .{near[0]}?" if near else f"; it has {', '.join(verbs)}"))


# -- names from elsewhere that work, and one's own -----------------------------------------------------------------------


def _same(self: DataPipe) -> DataPipe:
    """torch's `sharding_filter`: nothing to do, since ranks and workers are dealt by themselves."""
    return self


def _batched(self: DataPipe, batchsize: int, partial: bool = True) -> DataPipe:
    """webdataset's `batched`: `.batch(batchsize, drop_last=not partial)`."""
    return self.batch(batchsize, drop_last=not partial)


def _collate(self: DataPipe, collate_fn: Callable[[Any], Any]) -> DataPipe:
    """torch's `collate` after `batch`: `.map(collate_fn)` on the list of samples."""
    if not isinstance(self._plan, plan.Batch) or self._plan.collate_fn is not None:
        raise PlanError(".collate(fn) belongs right after .batch(n): or write .batch(n, collate_fn=fn)")
    return DataPipe(plan.Batch(self._plan.source, self._plan.size, self._plan.drop_last, collate_fn))


def register_verb(fn: Callable[..., DataPipe]) -> Callable[..., DataPipe]:
    """Add a method to every pipe: a function of a pipe that returns a pipe, called by its name.

    >>> @vdata.register_verb
    ... def doubled(pipe): return pipe.repeat(2)
    >>> len(vdata.from_torch([{"x": 1}]).doubled())
    2
    """
    name = fn.__name__
    existing = DataPipe.__dict__.get(name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PlanError(f"register_verb needs a function with a plain name, got {name!r}")
    if existing is not None and getattr(existing, "__module__", None) != fn.__module__:
        raise PlanError(f"a DataPipe has a .{name} already: choose another name")
    setattr(DataPipe, name, fn)
    return fn


for _verb, _fn in {"sharding_filter": _same, "batched": _batched, "unbatched": DataPipe.unbatch, "collate": _collate}.items():
    setattr(DataPipe, _verb, _fn)


def _function(verb: str, fn: Any) -> Any:
    if not callable(fn):
        raise PlanError(f"{verb} takes a function, got {type(fn).__name__}")
    if isinstance(fn, Transform):
        raise PlanError(f"{verb}({fn!r}): a transform goes to .apply(...), which gives it its key")
    return fn


def seed_number(verb: str, n: Any) -> int:
    """A seed has 64 bits, so that two that differ are never one."""
    if not 0 <= _whole(f"{verb}(seed)", n) < 2**64:
        raise PlanError(f"{verb}: a seed is in 0 .. 2**64 - 1, got {n}")
    return operator.index(n)


def _whole(verb: str, n: Any) -> int:
    try:
        if isinstance(n, bool):
            raise TypeError
        return operator.index(n)
    except TypeError:
        raise PlanError(f"{verb} takes a whole number, got {n!r}") from None


def _canonical(where: Any) -> Any:
    """Collections of wanted values as sorted tuples, so that a plan's digest does not depend on the order of a set."""
    if where is None or callable(where):
        return where
    if not isinstance(where, Mapping):
        raise PlanError(f"filter(where=...) is a dict of wanted column values or a function of the columns, got {where!r}")
    many = (list, tuple, set, frozenset, range, np.ndarray)
    return {n: tuple(sorted(np.unique(list(v)).tolist())) if isinstance(v, many) else v for n, v in where.items()}


def _count(verb: str, n: Any) -> int:
    if not 0 <= _whole(verb, n) < 2**63:
        raise PlanError(f"{verb} takes a whole number, at least 0, got {n!r}")
    return operator.index(n)
