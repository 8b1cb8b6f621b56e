"""Inside other libraries, two processes by torchrun: which samples each saw, counted; none lost but the announced tail, none twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT, BATCH = 41, 4
WORKER = Path(__file__).with_name("frameworks.py")
Epochs = list[list[list[int]]]


def torchrun(library: str, folder: Path, world: int = 2) -> list[dict]:
    """What each of the processes saw."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world), str(WORKER), library, str(folder)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False)
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if line.startswith("[rank"))
    assert done.returncode == 0, said[-5000:] or done.stderr[-5000:]
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(world)]


@pytest.fixture(scope="module")
def saw(tmp_path_factory):
    """saw(library): what its two processes saw; each library runs once."""
    runs: dict[str, list[dict]] = {}

    def of(library: str) -> list[dict]:
        if library not in runs:
            runs[library] = torchrun(library, tmp_path_factory.mktemp(library))
        return runs[library]

    return of


def trained_evenly(ranks: list[Epochs], samples: int = COUNT // 2 * 2) -> None:
    """Two epochs: as many steps on each rank, no sample twice, as many as there should be, and in another order each time."""
    orders = []
    for epochs in zip(*ranks, strict=True):
        assert len({len(steps) for steps in epochs}) == 1, "ranks have unequally many steps: they would wait for each other"
        flat = [number for steps in epochs for step in steps for number in step]
        assert len(flat) == len(set(flat)) == samples
        orders.append(flat)
    assert len(orders) == 2 and orders[0] != orders[1]


def each_once(ranks: list[Epochs]) -> None:
    for epochs in zip(*ranks, strict=True):
        assert sorted(number for steps in epochs for step in steps for number in step) == list(range(COUNT))


def of(ranks: list[dict], case: str) -> list:
    return [rank[case] for rank in ranks]


LOADER = "give pipe.loader(...) instead"


def test_plain_ddp_with_samples_that_do_not_divide(saw):
    ranks = saw("ddp")
    trained_evenly(of(ranks, "drop"))
    for epochs in zip(*of(ranks, "pad"), strict=True):
        flat = [number for steps in epochs for step in steps for number in step]
        assert len(epochs[0]) == len(epochs[1]) and len(flat) == COUNT + 1 and set(flat) == set(range(COUNT))
    each_once(of(ranks, "exact"))
    assert [len(epoch) for epoch in ranks[0]["exact"]] == [6, 6] and [len(epoch) for epoch in ranks[1]["exact"]] == [5, 5]
    each_once(of(ranks, "evaluation"))


def test_a_dataloader_that_would_read_all_on_every_rank_says_what_to_write(saw):
    for rank, seen in enumerate(saw("ddp")):
        for case in ("bare", "bare in workers", "by hand"):
            assert LOADER in seen[case] and f".take(len(pipe) // 2 * 2).shard(2, {rank})" in seen[case] and ".shard(1, 0)" in seen[case]
        assert sorted(n for step in seen["all on each"][0] for n in step) == list(range(COUNT))


def test_two_ranks_then_one_then_two_see_exactly_the_rest(tmp_path):
    """Three steps each of 2, 1 and 2 processes, and then to the end of the epoch: together one epoch, in the order of one process."""
    epoch = []
    for world in (2, 1, 2):
        ranks = of(torchrun("leg", tmp_path, world), "steps")
        assert len({len(steps) for steps in ranks}) == 1
        for together in zip(*ranks, strict=True):
            assert {at for at, _ in together} == {0}
            batches = [numbers for _, numbers in together]
            epoch += [batches[p % world][p // world] for p in range(sum(map(len, batches)))]
    sys.path.insert(0, str(WORKER.parent))
    import vdata

    one = vdata.from_torch([{"labels": i} for i in range(COUNT)]).shuffle(seed=0)
    assert epoch == [sample["labels"] for sample in one][: COUNT // 2 * 2]


def test_lightning(saw):
    ranks = saw("lightning")
    trained_evenly(of(ranks, "train"))
    each_once(of(ranks, "evaluation"))
    assert all(LOADER in seen[case] for seen in ranks for case in ("bare", "pipe"))
    each_once(of(ranks, "documented"))
    assert [f"rank {rank} of 2" in seen["early"] for rank, seen in enumerate(ranks)] == [True, True]
    assert of(ranks, "resumed") == [True, True]


def test_accelerate(saw):
    ranks = saw("accelerate")
    trained_evenly(of(ranks, "train"))
    trained_evenly(of(ranks, "dispatched"))
    each_once(of(ranks, "evaluation"))
    each_once(of(ranks, "documented"))
    assert all(LOADER in seen["bare"] for seen in ranks)
    assert of(ranks, "resumed") == [True, True]


def test_the_trainer_of_transformers(saw):
    ranks = saw("transformers")
    trained_evenly(of(ranks, "train"))
    trained_evenly(of(ranks, "dealt"))
    each_once(of(ranks, "evaluation"))
    for seen in ranks:
        assert seen["rest"] == [[*seen["train"][0][3:], *seen["train"][1]]]
        assert seen["accuracy"] > 0.2


def test_timm(saw):
    ranks = saw("timm")
    trained_evenly(of(ranks, "train"), samples=32)  # timm collects batches of one worker and drops each worker's last
    trained_evenly(of(ranks, "dealt"))
    each_once(of(ranks, "evaluation"))
    assert all(LOADER in seen["bare"] for seen in ranks)
    assert of(ranks, "resumed") == [True, True]
