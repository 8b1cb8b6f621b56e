"""Documentation is a test: blocks of the README and of the pages run in order, links point somewhere, every design page, command and public name is named."""

import importlib.util
import inspect
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import vdata
from tests.naming import hugging_face_has_its_name
from vdata.__main__ import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
MADE = ("catalogue", "tutorial", "reference/generated")  # when the site is built
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in DOCS.rglob("*.md") if not any(p.is_relative_to(DOCS / made) for made in MADE) and p.name != "cli.md")
GALLERY = sorted(p.name for p in (DOCS / "gallery").glob("plot_*.py"))
# Their blocks need buckets and clusters, stand in tables of test_migrate.py, or are written by other tests.
NOT_RUN = ("docs/streaming.md", "docs/frameworks.md")


def test_readme_blocks_run(capsys):
    """All python blocks of the README, one after the other, in one namespace, as a reader would type them."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 5
    names: dict = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "kitti_flow" in capsys.readouterr().out


@pytest.mark.parametrize("page", [p for p in PAGES if p not in NOT_RUN and "```python\n" in (ROOT / p).read_text()])
def test_blocks_of_pages_run(page, tmp_path, monkeypatch, recwarn):
    """As the README's, in an empty folder. A block that cannot run says so and why: "```python no-run: needs a bucket"."""
    hugging_face_has_its_name()
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M):
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_says_why(page):
    for fence in re.findall(r"^```(python\b.*)$", (ROOT / page).read_text(), re.M):
        assert re.fullmatch(r"python( no-run: \w.+)?", fence), fence


@pytest.mark.parametrize("script", GALLERY)
def test_the_tutorial_runs(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(DOCS / "gallery" / script), run_name="tutorial")


def anchors(path):
    """What may stand behind a # in a link to this page."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES])
def test_links_point_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent.joinpath(name) if name else ROOT / page
        made = any(path.resolve().is_relative_to(DOCS / folder) for folder in MADE)
        assert target.startswith("http") or made or path.exists(), target
        assert not anchor or target.startswith("http") or anchor in anchors(path), target
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


def test_the_reference_names_everything_public():
    from vdata import codecs, errors, metrics, tensors, testing, transforms, viz
    from vdata.pipe import DataPipe
    from vdata.transforms import functional

    text = "\n".join(p.read_text() for p in (DOCS / "reference").glob("*.rst"))
    named = set(re.findall(r"^ +([\w.]+)$|^\.\. auto\w+:: ([\w.]+)$", text, re.M))
    named = {name.rpartition(".")[2] for pair in named for name in pair}
    verbs = [n for n, v in vars(DataPipe).items() if not n.startswith("_") and callable(v) and getattr(v, "__module__", "") == "vdata.pipe"]
    words = {"__version__", "TYPES", "functional", "Key", "Params", "InterpolationMode", *vdata._MODULES}
    wrong = [n for n, v in vars(errors).items() if inspect.isclass(v) and v.__module__ == errors.__name__ and not n.startswith("_")]
    scores = [n for n, v in vars(metrics).items() if inspect.isfunction(v) and v.__module__ == metrics.__name__ and not n.startswith("_")]
    public = {*vdata.__all__, *transforms.__all__, *functional.__all__, *tensors.__all__, *viz.__all__, *codecs.__all__, *testing.__all__, *verbs, *wrong, *scores}
    assert public - words <= named, sorted(public - words - named)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(any(importlib.util.find_spec(n) is None for n in ("sphinx", "furo", "myst_parser", "sphinx_gallery", "sphinx_copybutton", "sphinx_design")), reason="extra docs")
def test_the_site_is_built_without_a_warning(tmp_path):
    """From a copy, so that what is made beside the pages stays out of the checkout; the tutorial's scripts have their own test."""
    for name in ("docs", "examples", "tests", "datasets", "CONTRIBUTING.md", "README.md"):
        if name == "docs":
            shutil.copytree(DOCS, tmp_path / name, ignore=lambda folder, names: [n for n in names if (Path(folder) / n).relative_to(DOCS).as_posix() in MADE])
        else:
            (tmp_path / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "plot_gallery=0", str(tmp_path / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    page = (tmp_path / "site/reference/generated/vdata.transforms.RandomResizedCrop.html").read_text()
    assert "share of the canvas" in page and "RandomResizedCrop" in page
    assert (tmp_path / "site/catalogue/coco.html").exists() and (tmp_path / "site/tutorial/index.html").exists()
