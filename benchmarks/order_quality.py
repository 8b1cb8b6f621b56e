"""How good the order of shuffled shards is, beside a true permutation of the same set. Reads no data: the order is arithmetic.

    python benchmarks/order_quality.py                    # all sets, windows None, 262144 and "all"; under a minute
    python benchmarks/order_quality.py --json out.json    # writes the same numbers

serial    |correlation| between a sample's place in the shards and that of the next one, the largest of the epochs
lane      the same between a sample and the one 64 later, which comes from the same lane
classes   distinct classes in a batch of 256, mean over an epoch
distance  total variation between a batch's class histogram and the set's, mean over an epoch (0: equal, 1: nothing in common)
chi2      Pearson's statistic of a batch, divided by its degrees of freedom: 1 for a true permutation of a large set, more for clumps
open      shards that lie between their first and their last use, mean and most over an epoch: what a cache must hold not to read one twice
ahead     how far apart a shard's first and last use are, mean, in samples of the epoch
GB        `open` at its most, for shards as large as 100 kB a sample makes them
"""

import argparse
import itertools
import json
from collections.abc import Iterator

import numpy as np

from vdata.order import LANES, Order

BATCH, EPOCHS = 256, 3
SAMPLE_BYTES = 100_000
Numbers = dict[str, float]


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> (samples in each shard, the class of each sample)."""
    uneven = np.random.default_rng(0).integers(500, 2001, 200)
    equal = np.full(1000, 1000)
    return {
        "200 uneven shards sorted by 100 classes": (uneven, by_class(int(uneven.sum()), 100)),
        "1000 equal shards sorted by 100 classes": (equal, by_class(int(equal.sum()), 100)),
        "200 uneven shards sorted by 10 classes": (uneven, by_class(int(uneven.sum()), 10)),
        "200 uneven shards written in shuffled order": (uneven, np.random.default_rng(1).permutation(by_class(int(uneven.sum()), 100))),
    }


def by_class(count: int, classes: int) -> np.ndarray:
    return np.arange(count) * classes // count


def epoch_of(order: Order, epoch: int) -> np.ndarray:
    """The rows of an epoch; what `Order.row` says of each index, a window at a time."""
    whole = order._epoch(epoch)
    if order.whole:
        return np.asarray(whole.all(np.arange(order.count)))
    rows = np.empty(order.count, np.int64)
    for lane in range(order.lanes):
        cuts = whole.cuts(lane)
        places = [start + whole.window(lane, n)(np.arange(stop - start)) for n, (start, stop) in enumerate(itertools.pairwise(cuts.tolist()))]
        place = np.concatenate(places)[:: -1 if lane % 2 else 1]
        block = np.searchsorted(whole.line, place, side="right") - 1
        rows[lane :: order.lanes] = order.starts[whole.blocks[block]] + place - whole.line[block]
    return rows


def serial(rows: np.ndarray, lag: int) -> float:
    """The correlation of source positions `lag` apart."""
    return abs(float(np.corrcoef(rows[:-lag], rows[lag:])[0, 1]))


def batches(rows: np.ndarray, classes: np.ndarray) -> Numbers:
    """What the batches of an epoch hold, beside what the set holds."""
    share = np.bincount(classes) / len(classes)
    whole = classes[rows[: len(rows) // BATCH * BATCH]].reshape(-1, BATCH)
    counts = np.stack([np.bincount(batch, minlength=len(share)) for batch in whole])
    expected = BATCH * share
    return {
        "classes": float((counts > 0).sum(1).mean()),
        "distance": float(np.abs(counts / BATCH - share).sum(1).mean() / 2),
        "chi2": float(((counts - expected) ** 2 / expected).sum(1).mean() / (len(share) - 1)),
    }


def working_set(rows: np.ndarray, sizes: np.ndarray) -> Numbers:
    """Shards between their first and last use."""
    shard = np.searchsorted(np.cumsum(sizes), rows, side="right")
    first, last = np.full(len(sizes), len(rows)), np.zeros(len(sizes), np.int64)
    where = np.arange(len(rows))
    np.minimum.at(first, shard, where)
    np.maximum.at(last, shard, where)
    changes, samples = np.zeros(len(rows) + 1, np.int64), np.zeros(len(rows) + 1, np.int64)
    for steps, amount in ((changes, 1), (samples, sizes)):
        np.add.at(steps, first, amount)
        np.add.at(steps, last + 1, -amount)
    held = np.cumsum(changes)[:-1]
    return {
        "open": float(held.mean()),
        "most": float(held.max()),
        "ahead": float((last - first).mean()),
        "GB": float(np.cumsum(samples).max() * SAMPLE_BYTES / 1e9),
    }


def measured(rows: list[np.ndarray], sizes: np.ndarray, classes: np.ndarray) -> Numbers:
    """One line of the table, over several epochs."""
    each = [batches(r, classes) | working_set(r, sizes) for r in rows]
    means = {name: float(np.mean([e[name] for e in each])) for name in each[0]}
    return {"serial": max(serial(r, 1) for r in rows), "lane": max(serial(r, LANES) for r in rows)} | means


def lines() -> Iterator[tuple[str, str, Numbers]]:
    for name, (sizes, classes) in sets().items():
        count = int(sizes.sum())
        permuted = [np.random.default_rng(epoch).permutation(count) for epoch in range(EPOCHS)]
        yield name, "permutation", measured(permuted, sizes, classes)
        for window in (None, 262_144, "all"):
            order = Order(sizes, 0, window)
            yield name, repr(window), measured([epoch_of(order, epoch) for epoch in range(EPOCHS)], sizes, classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", help="write the numbers here")
    where = parser.parse_args().json
    table, shown = [], ""
    for name, window, found in lines():
        table.append({"set": name, "window": window, **found})
        if name != shown:
            shown = name
            print(f"\n{name}\n{'window':<12}{'serial':>8}{'lane':>7}{'classes':>9}{'distance':>10}{'chi2':>7}{'open':>7}{'most':>7}{'ahead':>10}{'GB':>7}")
        print(
            "{window:<12}{serial:8.3f}{lane:7.3f}{classes:9.1f}{distance:10.3f}{chi2:7.2f}{open:7.0f}{most:7.0f}{ahead:10,.0f}{GB:7.1f}"
            .format(window=window, **found)
        )  # fmt: skip
    if where:
        with open(where, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
