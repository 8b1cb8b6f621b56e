"""Documentation is a test: README blocks run in order, links point somewhere, every design page and command is named."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import vdata
from vdata.__main__ import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_readme_blocks_run(capsys):
    """All python blocks of the README, one after the other, in one namespace, as a reader would type them."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 5
    names: dict = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "kitti_flow" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/design/{p.name}" for p in (ROOT / "docs/design").glob("*.md"))])
def test_links_point_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (ROOT / page).parent.joinpath(target).exists(), target
    for mentioned in re.findall(r"`((?:vdata|tests|docs|datasets|examples)/[\w/.-]+\.(?:py|md))", text):
        assert (ROOT / mentioned).exists(), f"{page} mentions {mentioned}"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_documented(command):
    assert f"vdata {command}" in README
    out = CliRunner().invoke(main, [command, "--help"])
    assert out.exit_code == 0
    assert len(out.output.splitlines()) > 4


def test_the_page_of_differences_is_what_the_tests_say():
    """docs/torchvision.md is made of the tests that show each difference."""
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "differences.py"), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def run(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_the_command_line_end_to_end(tmp_path):
    assert "kitti_flow" in run("list", "--task", "optical flow").output
    assert "Menze" in run("info", "kitti_flow").output
    assert '"licence"' in run("info", "kitti_flow", "--json").output
    assert "Flow" in run("show", "kitti_flow", "--fake").output
    sheet = tmp_path / "sheet.png"
    assert run("preview", "kitti_flow", "--fake", "-n", "2", "-o", str(sheet)).exit_code == 0
    assert sheet.read_bytes()[:4] == b"\x89PNG"
    folder = tmp_path / "shards"
    assert run("pack", "kitti_flow", str(folder), "--fake").exit_code == 0
    assert "as they were written" in run("verify", str(folder)).output
    shard = next(folder.glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    broken = run("verify", str(folder))
    assert broken.exit_code == 1
    assert "shard-000000.tar" in broken.output
    again = tmp_path / "index"
    data[600] ^= 1
    shard.write_bytes(data)
    assert run("index", str(folder), str(again)).exit_code == 0
    assert "torch" in run("doctor").output


def test_errors_are_one_line():
    out = CliRunner().invoke(main, ["info", "kiti_flow"])
    assert out.exit_code == 1
    assert "did you mean 'kitti_flow'" in out.output
    assert "Traceback" not in out.output


def test_python_dash_m():
    out = subprocess.run([sys.executable, "-m", "vdata", "list"], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0
    assert "moving_photos" in out.stdout


@pytest.mark.parametrize("script", ["catalogue.py", "overloads.py"])
def test_what_is_made_of_the_cards_is_what_they_say(script):
    """docs/datasets.md and vdata/loading.pyi."""
    done = subprocess.run([sys.executable, str(ROOT / "docs" / script), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_dataset():
    part = README[README.index("## Datasets") : README.index("## Where to read on")]
    names = set(vdata.list_datasets())
    assert names <= set(re.findall(r"`(\w+)`", part))
    assert part.split("\n")[2].startswith(f"{len(names)} datasets")
