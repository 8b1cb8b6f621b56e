"""Questions about a whole plan, and changes to it: its paths, its seed, its digest, and whether it is elastic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from vdata.plan import Apply, Batch, Read, Seed, Several, Stage, chain, children, line
from vdata.source import digest_of


def rebuild(stage: Stage, new: Mapping[int, Stage]) -> Stage:
    """The stage over other children, given by the old ones' id; itself where they are the same."""
    if all(new[id(kid)] is kid for kid in children(stage)):
        return stage
    if isinstance(stage, Several):
        return replace(stage, sources=tuple(new[id(s)] for s in stage.sources))
    return replace(stage, source=new[id(stage.source)]) if isinstance(stage.source, Stage) else stage


def transform(stage: Stage, change: Callable[[Stage], Stage]) -> Stage:
    """The plan with `change` done to every stage, from the source up."""
    kids = children(stage)
    return change(rebuild(stage, {id(k): transform(k, change) for k in kids}) if kids else stage)


def bind(stage: Stage, prefix: str = "", seed: int = 0) -> Stage:
    """Write into every Apply its path in the plan as written, and its pipe's seed.

    A path is the verb and how many equal verbs stand beneath it in its pipe ("apply#0"); the pipes of a concat, mix or
    zip have theirs in front ("zip[1]/apply#0"). One seed a pipe: the last `.seed` in it; a pipe without one has its
    parent's.
    """
    own = _seed(stage)
    return _bind(stage, prefix, seed if own is None else own)


def _bind(stage: Stage, prefix: str, seed: int) -> Stage:
    if isinstance(stage, Several):
        return replace(stage, sources=tuple(bind(s, f"{prefix}{stage.name}[{i}]/", seed) for i, s in enumerate(stage.sources)))
    if not isinstance(stage.source, Stage):
        return stage
    below = _bind(stage.source, prefix, seed)
    if not isinstance(stage, Apply):
        return replace(stage, source=below)
    ordinal = sum(s.name == stage.name for s in line(stage.source))
    return replace(stage, source=below, path=f"{prefix}{stage.name}#{ordinal}", seed=seed)


def _seed(stage: Stage) -> int | None:
    return next((s.seed for s in line(stage) if isinstance(s, Seed)), None)


def seed_of(stage: Stage) -> int:
    """The seed of a pipe's transforms."""
    own = _seed(stage)
    return 0 if own is None else own


def seeds(stage: Stage) -> int | list[int]:
    """The seed of a pipe; with those of the pipes that it draws from, where these have their own."""
    several = [s for s in chain(stage) if isinstance(s, Several)]
    own = [n for s in several for kid in s.sources if (n := _seed(kid)) is not None]
    return [seed_of(stage), *own] if own else seed_of(stage)


def steps(stage: Stage) -> list[str]:
    """One line for every stage that decides which samples come in which order; of a source its name, and last its digest."""
    return [f"{s.name}({s.arguments()})" + (f" {s.source.digest}" if isinstance(s, Read) else "") for s in chain(stage) if s.orders]


def digest(stage: Stage) -> str:
    """16 hex digits: equal for plans that deliver the same samples in the same order, wherever their data lies."""
    return digest_of(*(s.source.digest if isinstance(s, Read) else f"{s.name}({s.arguments()})" for s in chain(stage) if s.orders))


def first_batch(stage: Stage) -> Stage | None:
    """The lowest batch stage of a pipe."""
    found = [s for s in line(stage) if isinstance(s, Batch)]
    return found[-1] if found else None


def not_elastic(stage: Stage) -> str:
    """Why the plan is not elastic (another number of ranks would see another sequence), or ""."""
    for s in chain(stage):
        if why := s.loses_order():
            return why
    batch = first_batch(stage)
    for s in line(stage):
        if batch is not None and s is not batch and isinstance(s, Apply) and "partners" in s.transform.needs:
            return f"{s.arguments()} stands after batch: it mixes the samples of the rank's own batches"
        if batch is not None and s is not batch and not s.each:
            return f"{s.name} stands after batch: what it does depends on the rank's own batches"
        if s is batch or (batch is None and not s.each):
            break
    if any(isinstance(s, Several) and any(isinstance(b, Batch) for b in chain(s)) for s in chain(stage)):
        return "a pipe inside a concat, mix or zip is batched already"
    return ""
