"""The whole way, for real: kitti_flow packed straight into a bucket, opened from there by two ranks, trained, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vdata
from tests.servers import IDENTITIES, seaweedfs

STEPS = 14
RANK = Path(__file__).with_name("rank.py")


def three(sample):
    """The fake set has three pairs: each of them as three."""
    return [{**sample, "__key__": f"{sample['__key__']}-{n}"} for n in range(3)]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Five shards of kitti_flow in a bucket, written by one identity and read by another that may do no more."""
    with seaweedfs(tmp_path_factory.mktemp("s3")) as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment("admin").items():
            patch.setenv(name, value)
        url = s3.bucket("flows") + "/kitti"
        packed = vdata.load("kitti_flow", fake=True).flat_map(three).pack(url, samples_per_shard=2, quiet=True)
        assert len(packed) == 9
        yield url, s3.environment("reader"), len(packed)


def start(url: str, folder: Path, world: int, environment: dict[str, str]) -> list[subprocess.Popen]:
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = {**os.environ, **environment, "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(RANK), url, str(folder), str(STEPS)]
    ranks = []
    for rank in range(world):
        with open(folder / f"err-{rank}", "a") as errors:
            ranks.append(subprocess.Popen(command, env={**launched, "RANK": str(rank)}, stdout=subprocess.DEVNULL, stderr=errors))
    return ranks


def finish(ranks: list[subprocess.Popen], folder: Path) -> None:
    try:
        for rank in ranks:
            assert rank.wait(240) == 0, (folder / "err-0").read_text()[-2000:] + (folder / "err-1").read_text()[-2000:]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait(10)


def log(folder: Path, rank: int, world: int) -> list:
    path = folder / f"log-{rank}-of-{world}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")] if path.exists() else []


def test_two_ranks_train_from_a_bucket_are_killed_and_go_on_exactly(bucket, tmp_path):
    url, reader, count = bucket
    undisturbed = tmp_path / "undisturbed"
    finish(start(url, undisturbed, 2, reader), undisturbed)
    true = [log(undisturbed, rank, 2) for rank in range(2)]
    assert [len(steps) for steps in true] == [STEPS, STEPS]
    for epoch in range(3):
        seen = [key for steps in true for _, keys, at, _ in steps for key in keys if at == epoch]
        assert len(set(seen)) == len(seen), "a sample twice in one epoch"
        assert len(seen) == count - 1, "one rank more or fewer than the other"

    killed = tmp_path / "killed"
    ranks = start(url, killed, 2, reader)
    deadline = time.monotonic() + 200
    while len(log(killed, 0, 2)) < 5 and time.monotonic() < deadline and all(rank.poll() is None for rank in ranks):
        time.sleep(0.02)
    for rank in ranks:
        rank.send_signal(signal.SIGKILL)
        rank.wait(10)
    before = len(log(killed, 0, 2))
    assert 5 <= before < STEPS

    finish(start(url, killed, 2, reader), killed)
    for rank in range(2):
        # A step that was done but not saved is done again, alike: same samples, same weights, bit for bit.
        steps = log(killed, rank, 2)
        assert [step for step in steps if step not in true[rank]] == []
        assert {step[0] for step in steps} == set(range(1, STEPS + 1))
        assert len(steps) <= STEPS + 1

    # No secret in any log, checkpoint, or file of the cache.
    for file in (f for f in tmp_path.rglob("*") if f.is_file()):
        data = file.read_bytes()
        assert not any(secret.encode() in data for _, secret, _ in IDENTITIES.values()), file
