"""`vdata bench`: says where the time of a pipe goes."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

import vdata
from vdata.__main__ import main
from vdata.errors import PlanError


def slow(sample):
    time.sleep(0.002)
    return sample


def test_the_slow_stage_is_named_and_the_rate_is_that_of_the_loader():
    pipe = vdata.from_torch([{"x": i} for i in range(400)]).map(slow).batch(4)
    report = vdata.bench(pipe, workers=2, seconds=0.15)
    assert [s.name for s in report.stages] == ["read", "decode", "map", "batch"]
    shares = {s.name: s.seconds for s in report.stages}
    assert 0.002 <= shares["map"] < 0.02 and shares["read"] < 0.001
    assert 200 < report.rate < 1000  # two threads that sleep 2 ms a sample
    assert report.first < 0.15
    assert any("process" in line for line in report.advice)
    assert "map" in str(report) and "samples a second with 2 thread workers" in str(report)


def test_streams_and_empty_pipes():
    assert vdata.bench(vdata.from_iterable([{"x": 1}] * 50).batch(5), seconds=0.05).stages == []
    with pytest.raises(PlanError, match="empty"):
        vdata.bench(vdata.from_torch([]))
    with pytest.raises(PlanError, match="takes a pipe"):
        vdata.bench([1])


def test_the_command_takes_a_dataset_or_a_pipe_in_a_file(tmp_path):
    runner = CliRunner()
    out = runner.invoke(main, ["bench", "moving_photos", "--seconds", "0.05", "--workers", "1"])
    assert out.exit_code == 0 and "samples a second with 1 thread workers" in out.output
    script = tmp_path / "train.py"
    script.write_text(
        "import vdata\npipe = vdata.from_torch([{'x': i} for i in range(9)])\ndef made():\n    return pipe.batch(3)\n"
        "if __name__ == '__main__':\n    raise SystemExit('training begins')\n"
    )
    for name in ("pipe", "made"):
        out = runner.invoke(main, ["bench", f"{script}:{name}", "--seconds", "0.02"])
        assert out.exit_code == 0, out.output
        assert "us a sample" in out.output
    assert "defines no 'other'" in runner.invoke(main, ["bench", f"{script}:other"]).output
