"""A dataset from its server to the loop: download, index, verify, and the commands that do it. The servers are real, on loopback."""

import hashlib
import json
import os
import random
from dataclasses import replace

import mlcroissant
import pytest
from click.testing import CliRunner

import vdata
from tests.catalogue.conftest import extract
from tests.faultserver import Fault, serve
from vdata.__main__ import main
from vdata.card import Archive
from vdata.catalog import build_index, download, module_of
from vdata.checking import verify
from vdata.croissant import croissant
from vdata.errors import ChecksumError, DataWarning, NoIndexError
from vdata.testing import fake_files, tar_file, zip_file

NAMES = vdata.list_datasets()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """name -> a server of its fake files, the card telling of them as if they were the real ones."""

    def publish(name, faults=None, **changes):
        folder = fake_files(name, tmp_path / "server")
        server = serve(folder, faults or {})
        address = server.__enter__()
        servers.append(server)
        card = module_of(name).card
        archives = []
        for archive in card.archives:
            path = folder / archive.name
            if path.exists():
                data = path.read_bytes()
                about = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "md5": ""} | changes
                archives.append(replace(archive, url=address.url(archive.name), mirrors=(), manual="", **about))
        monkeypatch.setattr(module_of(name), "card", replace(card, archives=tuple(archives), unsure=tuple(card.splits)))
        return address

    servers = []
    yield publish
    for server in servers:
        server.__exit__(None, None, None)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_load_gets_what_is_missing(published, tmp_path):
    server = published("eurosat", {"EuroSAT.zip": [Fault(cut=1000), Fault(status=503)]})
    root = tmp_path / "root"
    with pytest.warns(DataWarning, match="should have 27,000"):
        pipe = vdata.load("eurosat", root=root, download=True)
    assert len(pipe) == 30 and pipe[0]["image"].shape == (3, 64, 64)
    assert [p.name for p in root.iterdir()] == ["EuroSAT.zip"]
    asked = len(server.log)
    with pytest.warns(DataWarning):
        vdata.load("eurosat", root=root, download=True)
    assert len(server.log) == asked


def test_only_the_files_of_the_split_are_fetched(published, tmp_path):
    published("stanford_cars")
    with pytest.warns(DataWarning):
        list(vdata.load("stanford_cars", "test", root=tmp_path / "root", download=True))
    assert "cars_train.tgz" not in os.listdir(tmp_path / "root")


def test_one_file_of_a_group_is_enough(published, tmp_path):
    published("cifar10")
    download("cifar10", root=tmp_path / "root")
    assert len(os.listdir(tmp_path / "root")) == 1


def test_wrong_bytes_never_get_their_name(published, tmp_path):
    published("eurosat", sha256="0" * 64)
    with pytest.raises(ChecksumError, match="00000000"):
        download("eurosat", root=tmp_path / "root")
    assert "EuroSAT.zip" not in os.listdir(tmp_path / "root")


def test_a_set_behind_a_login_says_what_to_put_where(tmp_path):
    with pytest.warns(DataWarning, match=f"(?s)by hand.*{tmp_path}.*hd1k_full_package.zip"):
        download("hd1k", root=tmp_path)


def test_the_commands_from_download_to_verify(published, tmp_path):
    published("food101")
    root = str(tmp_path / "root")
    assert run("download", "food101", "--root", root, "--index").output.split()[-1].endswith("food-101.tar.gz.seek")
    report = run("verify", "food101", "--root", root)
    assert "food-101.tar.gz: as published" in report.output and "train: " in report.output
    assert report.exit_code == 0 and "should have 75,750" in report.output  # the fixture's cards are not sure of numbers
    assert "no compressed archive without an index" in run("index", "food101", "--root", root).output
    archive = tmp_path / "root" / "food-101.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-50])
    broken = run("verify", "food101", "--root", root, "--quick")
    assert broken.exit_code == 1 and "PROBLEM" in broken.output and "food-101.tar.gz" in broken.output
    nothing = run("verify", "food101", "--root", str(tmp_path / "none"))
    assert nothing.exit_code == 1 and "nothing of food101 is in" in nothing.output


def test_an_index_gives_any_sample_of_a_compressed_tar(tmp_path):
    root = fake_files("dtd", tmp_path)
    with pytest.warns(DataWarning):
        streamed = {s["__key__"]: s for s in vdata.load("dtd", root=root, strict=False)}
    with pytest.raises(NoIndexError, match="vdata index dtd"):
        vdata.load("dtd", root=root, strict=False)[0]
    assert [p.name for p in build_index("dtd", root)] == ["dtd-r1.0.1.tar.gz.seek"]
    with pytest.warns(DataWarning):
        indexed = vdata.load("dtd", root=root, strict=False)
    assert len(indexed) == len(streamed)
    for sample in indexed.shuffle(seed=0):
        assert sample["image"].equal(streamed[sample["__key__"]]["image"])
    with indexed.shuffle(seed=1).loader(workers=2, mode="process") as loader:
        assert {s["__key__"] for s in loader} == set(streamed)
    assert build_index("dtd", root) == []


def test_a_stream_is_resumed_where_it_was(tmp_path):
    root = fake_files("country211", tmp_path)
    with pytest.warns(DataWarning):
        pipe = vdata.load("country211", root=root, strict=False)
        whole = [s["__key__"] for s in pipe]
        loader = pipe.loader()
        for number, _ in enumerate(loader):
            if number == 1:
                state = loader.state_dict()
                break
        again = pipe.loader()
        again.load_state_dict(json.loads(json.dumps(state)))
        assert [s["__key__"] for s in again] == whole[2:]


MANY = """
from vdata.card import Archive, Card
from vdata.encoded import read_encoded
from vdata.field import Field
from vdata.table import File

FIELDS = {"image": Field("Image")}
card = Card(
    name="many", title="Many", task="classification", home="-", licence="-", citation="-", splits={"train": 400}, fields=FIELDS,
    archives=tuple(Archive(n, manual="-", tree="p", group="one") for n in ("many.zip", "many.tar.gz", "many.tar")),
)

def samples(files, split):
    yield from ({"__key__": path, "image": File(path)} for path in files.glob("p/*.bin"))

def sample(files, record):
    return {"image": read_encoded(files, record, "image", FIELDS["image"])}
"""


def bytes_read():
    """Bytes that this process has read through the kernel, files and all else."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tree"])
def test_one_sample_reads_one_member(kind, tmp_path):
    """Of an archive of 20 MB a sample of 50 kB reads itself; in a gzip also what lies between it and the point before it."""
    (tmp_path / "many.py").write_text(MANY)
    members = {f"p/{n:03}.bin": random.Random(n).randbytes(50_000) for n in range(400)}
    if kind == "tree":
        (tmp_path / "p").mkdir()
        for name, data in members.items():
            (tmp_path / name).write_bytes(data)
    else:
        (zip_file if kind == "zip" else tar_file)(tmp_path / f"many.{kind}", members)
    if kind == "tar.gz":
        build_index(str(tmp_path / "many.py"), tmp_path)
    source = vdata.load(tmp_path / "many.py", root=tmp_path).plan.source
    source.read(3)
    before = bytes_read()
    for index in (150, 7, 388):
        assert source.read(index)["image"].data == members[f"p/{index:03}.bin"]
    spent = (bytes_read() - before) / 3
    assert 50_000 <= spent < (1_000_000 if kind == "tar.gz" else 60_000), spent


@pytest.mark.parametrize("name", NAMES)
def test_every_card_is_valid_croissant(name, tmp_path):
    path = tmp_path / "card.json"
    path.write_text(json.dumps(croissant(vdata.info(name))))
    dataset = mlcroissant.Dataset(str(path))
    assert not dataset.metadata.ctx.issues.errors
    assert dataset.metadata.name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_card_is_json(name):
    said = json.loads(run("info", name, "--json").output)
    assert said["name"] == name and said["splits"]
    assert json.loads(run("info", name, "--croissant").output)["name"] == name


def test_verify_finds_a_broken_picture(tmp_path):
    root = extract(vdata.info("eurosat"), fake_files("eurosat", tmp_path / "a"), tmp_path / "b")
    broken = root / "eurosat" / "2750" / "Forest" / "Forest_2.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    report = verify("eurosat", root)
    assert any("Forest_2" in p for p in report.problems) and len(report.problems) == 2  # and the count
    assert "extracted, so it has no checksum" in str(report)


def test_verify_looks_at_every_value_of_every_option(tmp_path):
    root = extract(vdata.info("gtsrb"), fake_files("gtsrb", tmp_path / "a"), tmp_path / "b")
    listed = root / "gtsrb" / "GTSRB" / "Final_Training" / "Images" / "00012" / "GT-00012.csv"
    listed.write_text("Filename;Width\n")
    assert any("train_set='final'" in p and "GT-00012.csv" in p for p in verify("gtsrb", root, samples=False).problems)


def test_download_takes_a_split_and_options(published, tmp_path):
    server = published("gtsrb")
    done = run("download", "gtsrb", "--split", "train", "--option", "train_set=final", "--root", str(tmp_path / "root"))
    assert done.exit_code == 0, done.output
    assert os.listdir(tmp_path / "root") == ["GTSRB_Final_Training_Images.zip"] and len(server.log) >= 1
    assert "did you mean 'train_set'" in run("download", "gtsrb", "--option", "trainset=final").output


def test_what_has_an_address_is_fetched_and_the_rest_is_said(published, tmp_path):
    published("fgvc_aircraft")
    card = vdata.info("fgvc_aircraft")
    by_hand = Archive("more.zip", manual="ask the authors", tree="more")
    with pytest.MonkeyPatch.context() as patch, pytest.warns(DataWarning, match=r"by hand[\s\S]*more\.zip \(ask the authors\)"):
        patch.setattr(module_of("fgvc_aircraft"), "card", replace(card, archives=(by_hand, *card.archives)))
        download("fgvc_aircraft", root=tmp_path / "root")
    assert os.listdir(tmp_path / "root") == ["fgvc-aircraft-2013b.tar.gz"]


def test_nothing_is_fetched_that_was_extracted(published, tmp_path):
    server = published("eurosat")
    extract(vdata.info("eurosat"), tmp_path / "server", tmp_path / "root")
    with pytest.warns(DataWarning, match="27,000"):
        assert len(vdata.load("eurosat", root=tmp_path / "root", download=True)) == 30
    assert not server.log


def test_a_pcam_too_large_to_be_held_is_indexed(tmp_path, monkeypatch):
    """The command that the message names makes it readable."""
    root = fake_files("pcam", tmp_path)
    large = min((root / f"camelyonpatch_level_2_split_{s}_x.h5.gz").stat().st_size for s in ("train", "valid", "test"))
    monkeypatch.setattr("vdata.find._SMALL", large - 1)
    made = build_index("pcam", root)
    assert {p.name for p in made} >= {f"camelyonpatch_level_2_split_{s}_x.h5.gz.seek" for s in ("train", "valid", "test")}
    with pytest.warns(DataWarning):
        assert vdata.load("pcam", "val", root=root, strict=False)[0]["image"].shape == (3, 96, 96)
