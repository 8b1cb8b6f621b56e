"""The wheel: what is in it, that it installs, and that `datasets` of others is never shadowed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("vdata_vision-*.whl"))


def test_the_wheel_holds_every_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "vdata").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "datasets").glob("*.py"):
        assert f"vdata/datasets/{path.name}" in names
    assert "vdata/py.typed" in names
    assert not any(n.startswith("datasets/") for n in names)


def test_installed_from_the_wheel_beside_another_datasets(wheel, tmp_path):
    """In a clean folder of packages that holds another project's `datasets`, both import."""
    site = tmp_path / "site"
    (site / "datasets").mkdir(parents=True)
    (site / "datasets" / "__init__.py").write_text("def load_dataset(): return 'theirs'\n")
    zipfile.ZipFile(wheel).extractall(site)  # what pip does with a pure wheel
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import datasets, vdata, vdata.datasets\n"
        "assert datasets.load_dataset() == 'theirs'\n"
        f"assert vdata.__file__.startswith({str(site)!r}), vdata.__file__\n"
        "assert 'kitti_flow' in vdata.list_datasets() and 'load_dataset' not in dir(vdata.datasets)\n"
        "print(vdata.load('kitti_flow', fake=True)[0]['flow'].views)\n"
    )
    out = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert "image1" in out.stdout


def test_from_the_root_of_a_checkout_their_datasets_wins(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("def load_dataset(): return 'theirs'\n")
    code = (
        "import sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"  # the checkout comes first, as in `python -c` at its root
        "import datasets, vdata\n"
        "assert datasets.load_dataset() == 'theirs'\n"
        "print(vdata.list_datasets())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert "kitti_flow" in out.stdout

