"""Datasets that vdata does not bring: a Python file of one's own, and those that other packages name."""

import importlib
import subprocess
import sys

import pytest

import vdata
from vdata import catalog
from vdata.errors import DataError, DataWarning, PlanError, UnknownDatasetError

MINE = '''
from vdata.card import Archive, Card, Option
from vdata.encoded import read_encoded
from vdata.field import Field
from vdata.table import File
from vdata.testing import photo, png, zip_file

FIELDS = {"image": Field("Image", "uint8", (3, "H", "W")), "number": Field("int")}
card = Card(
    name="mine", title="Mine", task="classification", home="https://example.org", licence="CC0", citation="me",
    splits={"train": 3}, fields=FIELDS, archives=(Archive("mine.zip", "https://example.org/mine.zip", tree="pictures"),),
    options={"backwards": Option(False, (False, True))},
)

def samples(files, split, *, backwards):
    paths = files.glob("pictures/*.png")
    for number, path in enumerate(reversed(paths) if backwards else paths):
        yield {"__key__": path, "image": File(path), "number": number}

def sample(files, record, *, backwards):
    return {"image": read_encoded(files, record, "image", FIELDS["image"]), "number": record["number"]}

def fake(root):
    zip_file(root / "mine.zip", {f"pictures/{n}.png": png(photo(4, 5, n)) for n in range(3)})
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("VDATA_HOME", str(tmp_path / "home"))
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.py"


def test_a_file_of_ones_own(mine):
    pipe = vdata.load("./mine.py", fake=True)
    assert [s["number"] for s in pipe] == [0, 1, 2] and pipe[0]["image"].shape == (3, 4, 5)
    assert vdata.load(mine, fake=True, backwards=True)[0]["__key__"] == "pictures/2.png"
    with pytest.raises(PlanError, match="did you mean 'backwards'"):
        vdata.load("./mine.py", fake=True, backward=True)
    with pytest.raises(UnknownDatasetError, match=r"(?s)mine\.zip.*https://example\.org"):
        vdata.load("./mine.py")
    with pytest.raises(UnknownDatasetError, match="there is no file"):
        vdata.load("./yours.py")


def test_workers_find_the_file_too(mine):
    with vdata.load("./mine.py", fake=True).loader(workers=2, mode="process") as loader:
        assert [s["number"] for s in loader] == [0, 1, 2]


def test_a_file_that_describes_no_dataset(tmp_path):
    (tmp_path / "x.py").write_text("card = 1\n")
    with pytest.raises(PlanError, match="has no samples and no sample"):
        vdata.load(tmp_path / "x.py")


def test_two_samples_of_one_name(mine):
    mine.write_text(MINE.replace('"__key__": path', '"__key__": "same"'))
    with pytest.raises(DataError, match=r"two samples of one name.*'same'"):
        vdata.load(mine, fake=True)


def test_packages_name_datasets_of_their_own(mine, tmp_path, monkeypatch):
    """A real distribution with an entry point, in a process of its own."""
    site = tmp_path / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "theirs.py").write_text(MINE.replace('name="mine"', 'name="theirs"'))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vdata.datasets]\ntheirs = theirs\neurosat = theirs\n")
    code = (
        "import warnings, vdata\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    assert 'theirs' in vdata.list_datasets()\n"
        "assert 'eurosat' in str(caught[0].message)\n"
        "assert vdata.info('eurosat').title == 'EuroSAT (RGB)'\n"
        "print(len(vdata.load('theirs', fake=True)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(site), "PATH": ""}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() == "3", done.stderr


def test_a_dataset_that_changes_is_listed_again(mine, monkeypatch):
    assert [s["number"] for s in vdata.load(mine, fake=True)] == [0, 1, 2]
    mine.write_text(MINE.replace('"number": number}', '"number": number + 5}'))
    catalog.module_of.cache_clear()
    importlib.invalidate_caches()
    assert [s["number"] for s in vdata.load(mine, fake=True)] == [5, 6, 7]


def test_a_large_tree_is_listed_once_until_it_changes(mine, tmp_path):
    """20,000 files: the second load lists nothing; a new file, wherever, is seen."""
    mine.write_text(MINE.replace('"pictures/*.png"', '"pictures/*/*.png"').replace('{"train": 3}', '{"train": 20_000}').replace("def samples(", "calls = []\ndef samples(").replace("    paths =", "    calls.append(1)\n    paths ="))
    for number in range(20_000):
        path = tmp_path / "pictures" / f"{number % 20}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    module = catalog.module_of(str(mine))
    first = vdata.load(mine, root=tmp_path)
    again = vdata.load(mine, root=tmp_path)
    assert len(first) == len(again) == 20_000 and module.calls == [1]
    assert first.plan.source.digest == again.plan.source.digest
    assert first.plan.source.records[777] == again.plan.source.records[777]
    (tmp_path / "pictures" / "7" / "new.png").touch()
    with pytest.warns(DataWarning, match="20,001 samples here, and 20,000 were published"):
        assert len(vdata.load(mine, root=tmp_path)) == 20_001
    assert module.calls == [1, 1]
    path.unlink()
    assert len(vdata.load(mine, root=tmp_path)) == 20_000
    (tmp_path / "pictures" / "7" / "new.png").unlink()
    with pytest.raises(DataError, match="should have 20,000"):
        vdata.load(mine, root=tmp_path)
    path.touch()
    assert len(vdata.load(mine, root=tmp_path)) == 20_000  # what was mended is seen
