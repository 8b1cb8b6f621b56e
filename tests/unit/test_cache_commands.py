"""`vdata cache ls | rm | prune | verify` over a cache that was filled over HTTP."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import vdata
from tests.faultserver import Fault, serve
from vdata.__main__ import main
from vdata.shards.blocks import BLOCK
from vdata.tensors import Image


def sample(number):
    return {"image": Image(torch.randint(0, 256, (3, 150, 150), dtype=torch.uint8, generator=torch.Generator().manual_seed(number)))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sets of two and one shards, of some 280 kB each."""
    place = tmp_path_factory.mktemp("served")
    vdata.from_torch([sample(n) for n in range(8)]).pack(place / "photos", samples_per_shard=4, quiet=True)
    vdata.from_torch([sample(n) for n in range(8, 12)]).pack(place / "flows", quiet=True)
    return place


@pytest.fixture
def server(folder):
    with serve(folder) as one:
        yield one


AGES = {"photos 0": 2.5, "photos 1": 1.5, "photos bin": 1.4, "flows 0": 0.5, "flows bin": 0.4}  # days since they were used


@pytest.fixture
def root(server, tmp_path):
    """A cache of all three shards and both manifests' tables, the first of photos with one sample alone."""
    place = tmp_path / "cache"
    photos = vdata.open(server.url("photos", user="me:secret"), cache=place)
    for number in (0, 4, 5, 6, 7):
        photos[number]
    for _ in vdata.open(server.url("flows"), cache=place):
        pass
    for entry in listed(place):
        then = time.time() - 86_400 * AGES[named(entry)]
        os.utime(place / entry["name"][:2] / f"{entry['name']}.have", (then, then))
    return place


def run(*arguments):
    return CliRunner().invoke(main, ["cache", *map(str, arguments)])


def said(*arguments):
    """What a command that succeeds prints."""
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


def listed(root):
    return json.loads(said("ls", "--json", "--root", root))


def name_of(root, part):
    return next(entry["name"] for entry in listed(root) if part in entry["url"])


def named(entry):
    """Which of AGES it is."""
    return re.sub(r".*/(\w+)/\D*?0*(\d|bin)(\.tar)?$", r"\1 \2", entry["url"])


def left_in(root):
    """What is there, the least recently used first."""
    return [named(entry) for entry in listed(root)]


def on_disk(root):
    return sum(file.stat().st_blocks * 512 for file in Path(root).rglob("*") if file.is_file())


def test_ls_says_what_is_here_and_how_much_of_it(server, folder, root, monkeypatch):
    entries = listed(root)
    assert left_in(root) == list(AGES)
    assert [entry["size"] for entry in entries] == [(folder / re.sub(r"^.*\d/", "", entry["url"])).stat().st_size for entry in entries]
    assert 0 < entries[0]["present"] < 0.6 and entries[1]["present"] > 0.9
    assert sum(entry["on_disk"] for entry in entries) == on_disk(root)
    assert not any(entry["in_use"] for entry in entries)

    *lines, total = said("ls", "--root", root).splitlines()
    for line, entry in zip(lines, entries, strict=True):
        assert line.endswith(entry["url"]) and f"{entry['present']:.0%} of" in line
        assert time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["used"])) in line
    assert re.fullmatch(rf"\d+\.\d kB in 5 files under {re.escape(str(root))}", total)
    assert "secret" not in said("ls", "--root", root) + said("ls", "--json", "--root", root)

    monkeypatch.setenv("VDATA_CACHE", str(root))
    assert said("ls").splitlines() == [*lines, total]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("photos", ["flows 0", "flows bin"]),
        ("shard-000000.tar", ["photos 1", "photos bin", "flows bin"]),
        ("http://*/photos/*0.tar", ["photos 1", "photos bin", "flows 0", "flows bin"]),
        ("*", []),
        ("nothing of that name", list(AGES)),
    ],
)
def test_rm_removes_by_part_pattern_or_all(root, pattern, left):
    before = on_disk(root)
    count = len(AGES) - len(left)
    assert said("rm", pattern, "--root", root).startswith(f"{count} file{'' if count == 1 else 's'} removed, ")
    assert left_in(root) == left
    assert (on_disk(root) < before) == (count > 0)


def test_rm_removes_the_one_that_ls_names(root):
    said("rm", name_of(root, "photos/shard-000001"), "--root", root)
    assert left_in(root) == ["photos 0", "photos bin", "flows 0", "flows bin"]


def test_what_is_removed_is_fetched_again(server, root):
    said("rm", "flows", "--root", root)
    sent = server.sent("flows/shard-000000.tar")
    again = vdata.open(server.url("flows"), cache=root)
    assert torch.equal(again[2]["image"], sample(10)["image"])
    assert server.sent("flows/shard-000000.tar") > sent


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (["--days", "2"], ["photos 1", "photos bin", "flows 0", "flows bin"]),
        (["--days", "0.6"], ["flows 0", "flows bin"]),
        (["--days", "0"], []),
        (["--limit", "1GB"], list(AGES)),
        (["--limit", "600kB"], ["photos 1", "photos bin", "flows 0", "flows bin"]),
        (["--limit", "400kB", "--days", "100"], ["photos bin", "flows 0", "flows bin"]),
        (["--limit", "0"], []),
    ],
    ids=" ".join,
)
def test_prune_removes_the_least_recently_used(root, asked, left):
    before, count = on_disk(root), len(AGES) - len(left)
    output = said("prune", *asked, "--root", root)
    assert left_in(root) == left
    freed = before - on_disk(root)
    assert output == f"{count} file{'' if count == 1 else 's'} removed, {f'{freed / 1000:.1f} kB' if freed else '0 B'} freed\n"


def test_verify_drops_what_is_rotten_and_no_more_is_fetched_again(server, root):
    count = int(said("verify", "--root", root).split()[0])
    assert count > 9
    name = name_of(root, "flows/shard")
    data = root / name[:2] / f"{name}.data"
    with open(data, "r+b") as file:
        file.seek(BLOCK + 77)
        byte = file.read(1)[0]
        file.seek(BLOCK + 77)
        file.write(bytes([byte ^ 1]))
    assert said("verify", "--root", root) == f"{count} blocks, 1 of them rotten and dropped\n"
    assert said("verify", "--root", root) == f"{count - 1} blocks, 0 of them rotten and dropped\n"
    sent = server.sent("flows/shard-000000.tar")
    for number, one in enumerate(vdata.open(server.url("flows"), cache=root), 8):
        assert torch.equal(one["image"], sample(number)["image"])
    assert server.sent("flows/shard-000000.tar") - sent == BLOCK


def test_what_is_being_read_stays(server, root):
    said("rm", "flows/shard", "--root", root)
    server.fault("flows/shard-000000.tar", Fault(wait=3.0))
    pipe = vdata.open(server.url("flows"), cache=root)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe[1]["image"]))
    reader.start()
    try:
        until = time.monotonic() + 10
        while not any(entry["in_use"] for entry in listed(root)) and time.monotonic() < until:
            time.sleep(0.01)
        assert [line for line in said("ls", "--root", root).splitlines() if line.endswith("(in use)")] != []
        assert re.fullmatch(r"4 files removed, .* freed; 1 file stayed, being read\n", said("rm", "*", "--root", root))
        assert reader.is_alive(), "it was being read all the time"
    finally:
        reader.join(20)
    assert torch.equal(got[0], sample(9)["image"])
    assert left_in(root) == ["flows 0"] and not listed(root)[0]["in_use"]


@pytest.mark.parametrize("there", [True, False], ids=["empty", "missing"])
def test_a_cache_without_anything_in_it(tmp_path, there):
    root = tmp_path / "cache"
    if there:
        root.mkdir()
    assert said("ls", "--root", root) == f"0 B in 0 files under {root}\n"
    assert said("ls", "--json", "--root", root) == "[]\n"
    assert said("rm", "*", "--root", root) == said("prune", "--limit", "0", "--root", root) == "0 files removed, 0 B freed\n"
    assert said("verify", "--root", root) == "0 blocks, 0 of them rotten and dropped\n"
    assert root.exists() == there, "looking makes no folder"


def test_files_that_are_not_the_caches_are_neither_shown_nor_removed(root):
    (root / "notes.txt").write_text("mine")
    (root / "ab").mkdir(exist_ok=True)
    (root / "ab" / "abc.data").write_text("mine")
    assert left_in(root) == list(AGES)
    said("rm", "*", "--root", root)
    assert sorted(file.name for file in root.rglob("*") if file.is_file()) == ["abc.data", "notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["prune", "--limit", "5XB"], 1, "'5XB' is no number of bytes: write it like 50GB"),
        (["prune"], 2, "say how much: --limit 50GB, --days 30, or both"),
        (["prune", "--days", "-1"], 2, "-1.0 is not in the range x>=0"),
        (["prune", "--days", "many"], 2, "'many' is not a valid float"),
        (["rm", ""], 1, "an empty pattern: write '*' for all entries"),
        (["rm"], 2, "Missing argument 'PATTERN'"),
        (["verify", "--root", __file__], 2, "is a file"),
        (["prun"], 2, "No such command 'prun'"),
    ],
    ids=lambda given: " ".join(map(str, given))[:30] if isinstance(given, list) else "",
)
def test_mistakes_are_one_line_and_remove_nothing(root, arguments, code, why):
    done = run(*arguments, *(["--root", root] if "--root" not in arguments and "prun" not in arguments else []))
    assert done.exit_code == code
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert why in line and isinstance(done.exception, SystemExit)
    assert left_in(root) == list(AGES)


def test_a_folder_that_anybody_may_write_to_is_no_cache(tmp_path):
    tmp_path.chmod(0o777)
    done = run("ls", "--root", tmp_path)
    assert done.exit_code == 1 and done.output == f"Error: PlanError: anybody can write to the cache {tmp_path}: say chmod 700, or name another folder in VDATA_CACHE\n"
