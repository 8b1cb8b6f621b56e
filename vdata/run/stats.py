"""Who waits for whom: the training loop for its data, or the data for the training loop; and where the data's time goes."""

from __future__ import annotations

from typing import Any

_FED = 0.02  # the share of its time that a loop may wait and still count as fed


class Times:
    """The two halves of a loop's time: until items are there, and until it asks for the next ones."""

    def __init__(self) -> None:
        self.waited = self.used = self.first = 0.0
        self.samples = 0  # but those of the first items, which also wait for workers to start
        self._came = 0

    def came(self, seconds: float) -> None:
        """Items were waited for."""
        if self._came:
            self.waited += seconds
        else:
            self.first = seconds
        self._came += 1

    def went(self, seconds: float, samples: int) -> None:
        """The loop did its own work, on so many samples, before it asked for others."""
        if self._came > 1:
            self.used += seconds
            self.samples += samples


def summary(times: Times, stages: dict[str, float], workers: int) -> dict[str, Any]:
    """What `Loader.stats` says of time. Seconds of stages are those of all workers together; {} where workers are processes."""
    total = times.waited + times.used
    busy = sum(stages.values())
    found: dict[str, Any] = {
        "first_s": times.first,
        "waited_s": times.waited,
        "used_s": times.used,
        "waiting": times.waited / total if total else 0.0,
        "rate": times.samples / total if total else 0.0,
        "headspace": times.samples / times.used if times.used else float("inf"),
        "stages": dict(sorted(stages.items(), key=lambda pair: -pair[1])),
        "busy": min(1.0, busy / (workers * (times.first + total))) if total else 0.0,
    }
    return {**found, "bottleneck": _bottleneck(found)}


def _bottleneck(found: dict[str, Any]) -> str:
    """In words."""
    if not found["rate"]:
        return "not known before the second batch, or the second chunk of tiny samples"
    waiting = found["waiting"]
    if waiting < _FED:
        return f"the training loop: it waits for data {waiting:.0%} of its time"
    said = f"the data: the loop waits for it {waiting:.0%} of its time"
    if found["stages"]:
        name, seconds = next(iter(found["stages"].items()))
        said += f", most of all for {name}, which takes {seconds / sum(found['stages'].values()):.0%} of the workers' time"
    return said
