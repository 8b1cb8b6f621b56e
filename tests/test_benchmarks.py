"""Every case of the benchmarks runs, and measuring measures: over tiny data, in as few processes as will do, whatever the clock says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CASES = sorted(path.stem for path in (BENCHMARKS / "cases").glob("[!_]*.py"))

# One process for all cases: it is the imports that take long.
EVERY_CASE = """
import importlib, json, pathlib, sys, time, traceback
sys.path.insert(0, sys.argv[1])
import data, measure
data.BATCH = 16
folder = pathlib.Path(sys.argv[2])
for name in sys.argv[3:]:
    found = {}
    try:
        module = importlib.import_module(f"cases.{name}")
        module.prepare(folder, None, True)
        try:
            getattr(module, "CHECK", lambda folder: None)(folder)
        except ModuleNotFoundError as error:  # a peer of the extra "bench" that is not here has nothing to be compared with
            if error.name.split(".")[0] in measure.OURS:
                raise
        if "vdata" in module.PEERS:
            found["vdata"] = measure.one(name, "vdata", folder, True, time.monotonic())
        found["figures"] = getattr(module, "FIGURES", lambda folder, quick: {})(folder, True)
    except Exception:
        found["failed"] = traceback.format_exc()
    print(json.dumps([name, found]), flush=True)
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What each case made of it."""
    command = [sys.executable, "-c", EVERY_CASE, str(BENCHMARKS), str(tmp_path_factory.mktemp("bench")), *CASES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))
    assert len(found) == len(CASES), f"ended with {done.returncode} after {list(found)}\n{done.stderr}"
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_case_runs_and_its_peers_deliver_the_same_kind_of_thing(outcome, case):
    found = outcome[case]
    assert "failed" not in found, found["failed"]
    if "vdata" in found:
        assert found["vdata"].get("missing") or found["vdata"]["samples"] > 0, found["vdata"]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench

    return bench


# A case whose peers do what is hard to measure.
ODD = """
import subprocess, sys, time
TITLE, UNIT, MUST, STRETCH, NOTES = "odd", "samples", {"slow": 0.1}, {}, {"slow": "sleeps"}
def prepare(folder, photos, quick): (folder / "data").touch()
def CHECK(folder): assert not (folder / "wrong").exists()
def child(code): return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
def ours(folder, quick): yield from (10, 10, 10, 10)
def large(folder, quick):
    yield from (10, 10, 10)
    process = child("data = bytearray(300_000_000); print(1, flush=True); import time; time.sleep(1000)")
    process.stdout.readline(); time.sleep(1); process.kill(); process.wait()
def busy(folder, quick):
    yield from (10, 10)
    child("import time\\nwhile time.process_time() < 0.4: pass").communicate()
    yield 100
def slow(folder, quick): time.sleep(0.5); yield from ours(folder, quick)
def leaves(folder, quick): child(f"import time; time.sleep(1000)  # {folder}"); yield from ours(folder, quick)
def broken(folder, quick): yield 10; raise ValueError("no more of this")
def short(folder, quick): yield from (10, 10)
def absent(folder, quick): import not_there_at_all; yield 1
def elsewhere(folder, quick): raise NotImplementedError("needs a GPU"); yield 1
def partial(folder, quick): import vdata.not_there_at_all; yield 1
PEERS = {"vdata": ours, **{f.__name__: f for f in (large, busy, slow, leaves, broken, short, absent, elsewhere, partial)}}
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A folder for its data."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/odd.py").write_text(ODD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(BENCHMARKS.parent)]))
    return tmp_path


def test_memory_and_cpu_of_all_descendants_count_and_so_does_the_start(bench, odd):
    plain, large, busy, slow = (bench.run("odd", peer, odd, True) for peer in ("vdata", "large", "busy", "slow"))
    assert plain["samples"] == 20 and busy["samples"] == 100
    assert large["memory"] > plain["memory"] + 250
    assert busy["cpu"] * busy["samples"] / 1000 > 0.35
    assert slow["first"] > plain["first"] + 0.3


def test_who_fails_says_why_who_is_missing_is_named_and_nobody_stays_behind(bench, odd):
    import psutil

    said = {peer: bench.run("odd", peer, odd, True) for peer in ("broken", "short", "absent", "elsewhere", "partial", "leaves")}
    assert said["broken"] == {"failed": "ValueError: no more of this"}
    assert said["short"]["failed"].endswith("2 batches came, at least 3 are needed to measure")
    assert said["absent"]["missing"] == "not_there_at_all is not installed"
    assert said["elsewhere"]["missing"] == "needs a GPU"
    assert "failed" in said["partial"]  # a library of ours that cannot be imported is no missing peer
    assert said["leaves"]["samples"] == 20
    left = [p for p in psutil.process_iter(["cmdline"]) if f"# {odd}" in " ".join(p.info["cmdline"] or [])]
    assert not psutil.wait_procs(left, timeout=30)[1]  # one that was killed takes its time to end on a busy machine


def test_a_ratio_is_taken_inside_a_round_and_held_against_the_aims(bench):
    def runs(*rates):
        return [{"rate": rate, "cpu": 1.0, "memory": 1.0, "first": 1.0} for rate in rates]

    found = {"vdata": runs(100, 300, 200), "good": runs(50, 100, 100), "poor": [*runs(100, 100), {"failed": "it broke"}], "none": [{"missing": "no"}]}
    figures = bench.summary(found)
    assert figures["good"]["ratio"] == {"median": 2.0, "min": 2.0, "max": 3.0}  # not 200 / 100 by chance: 2, 3, 2
    assert figures["poor"]["ratio"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    case = type("Case", (), {"TITLE": "t", "UNIT": "u", "MUST": {"good": 1.5, "poor": 2.5}, "STRETCH": {"good": 2.0}, "NOTES": {"poor": "is otherwise"}})
    lines = bench.table("x", case, figures).splitlines()
    assert lines[3].endswith("stretch reached") and lines[4].endswith("NOT REACHED")
    assert [line.strip() for line in lines[5:]] == ["FAILED in 1 of 3 runs: it broke", "none            missing: no", "- poor: is otherwise"]


def test_the_command_prints_a_table_and_writes_figures_and_a_picture(odd):
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--check", "--case", "odd", "--peers", "vdata,slow,absent,broken", "--folder", str(odd / "made")]
    done = subprocess.run([*command, "--json", str(odd / "f.json"), "--plot", str(odd / "f.png")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for line in ("absent          missing: not_there_at_all is not installed", "broken          FAILED: ValueError: no more of this", "- slow: sleeps"):
        assert line in done.stdout
    figures = json.loads((odd / "f.json").read_text())["cases"]["odd"]["figures"]
    assert figures["vdata"]["rate"]["median"] > 0 and figures["slow"]["ratio"]["median"] > 0
    assert (odd / "f.png").read_bytes().startswith(b"\x89PNG")


def test_a_case_whose_check_fails_is_not_measured_and_the_command_says_so(odd):
    (odd / "made/packaged-quick").mkdir(parents=True)
    (odd / "made/packaged-quick/wrong").touch()
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--quick", "--check", "--case", "odd", "--folder", str(odd / "made")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "AssertionError" in done.stderr and done.stderr.endswith("not measured, for the reasons above: odd\n")
