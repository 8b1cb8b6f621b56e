"""clevr: the archive, the extracted tree and torchvision give the same samples; and all that is known of the objects."""

import json
import shutil
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
import vdata.transforms as T
from tests.catalogue.reading import keyed, pixels, same
from vdata.datasets import clevr
from vdata.errors import DataError, DataWarning, DecodeError, ShardError
from vdata.tensors import Image, KeyPoints, Label
from vdata.testing import photo, png

COUNTS = {"train": 4, "val": 3, "test": 2}

load = partial(keyed, "clevr")


@pytest.fixture
def mine(fake_root, tmp_path):
    """(root, the folder of the extracted files), to change."""
    shutil.copytree(fake_root("clevr")[1], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "clevr/CLEVR_v1.0"


@pytest.fixture(scope="module")
def raw(fake_root):
    """Scenes and questions straight from the archive: (name, split) -> its rows."""
    with zipfile.ZipFile(fake_root("clevr")[0] / "CLEVR_v1.0.zip") as archive:
        read = {n: json.loads(archive.read(n)) for n in archive.namelist() if n.endswith(".json")}
    return {
        (part, n.split("_")[-2]): rows[part]
        for n, rows in read.items()
        for part in ("scenes", "questions")
        if part in rows
    }


@pytest.mark.parametrize("where", [0, 1], ids=["archive", "tree"])
@pytest.mark.parametrize("split", COUNTS)
def test_as_torchvision(split, where, fake_root):
    ours, theirs = (
        load(fake_root("clevr")[where], split),
        torchvision.datasets.CLEVRClassification(fake_root("clevr")[1], split),
    )
    assert len(ours) == len(theirs) == COUNTS[split]
    for (key, sample), path, (picture, label) in zip(ours.items(), theirs._image_files, theirs, strict=True):
        assert key == path.stem
        assert type(sample["image"]) is Image and torch.equal(sample["image"].plain(), pixels(picture))
        with Pillow.open(path) as opened:
            assert opened.mode == "RGBA"
        if label is None:
            assert set(sample) == {"__key__", "image"}
        else:
            assert int(sample["label"]) == label


@pytest.mark.parametrize("split", COUNTS)
def test_archive_and_tree_agree(split, fake_root):
    packed, extracted = (load(root, split, questions=True) for root in fake_root("clevr"))
    assert list(packed) == list(extracted)
    for key, sample in packed.items():
        same(sample, extracted[key])


def test_trap_the_label_is_the_number_of_objects(fake_root):
    samples = load(fake_root("clevr")[1], "train").values()
    assert [int(s["label"]) for s in samples] == [len(s["keypoints"]) for s in samples] == [3, 10, 6, 4]
    assert all(type(s["label"]) is Label and s["label"].categories is None for s in samples)
    with pytest.warns(DataWarning):
        pipe = vdata.load("clevr", root=fake_root("clevr")[1], strict=False)
    assert [s["__key__"] for s in pipe.filter(where={"label": [4, 10]})] == ["CLEVR_train_000001", "CLEVR_train_000003"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_objects(split, fake_root, raw):
    """Every value is that of the file; the scenes stand in the file in another order than the pictures."""
    scenes = raw["scenes", split]
    assert [s["image_filename"] for s in scenes] != sorted(s["image_filename"] for s in scenes)
    ours = load(fake_root("clevr")[0], split)
    for scene in scenes:
        sample, objects = ours[scene["image_filename"][:-4]], scene["objects"]
        points = sample["keypoints"]
        assert type(points) is KeyPoints and points.dtype == torch.float32 and points.canvas_size == (32, 48)
        assert points.tolist() == [o["pixel_coords"][:2] for o in objects]
        assert sample["depths"] == [o["pixel_coords"][2] for o in objects]
        assert sample["rotations"] == [o["rotation"] for o in objects]
        assert sample["positions"] == [o["3d_coords"] for o in objects]
        for field, name in (("shapes", "shape"), ("colours", "color"), ("materials", "material"), ("sizes", "size")):
            assert type(sample[field]) is Label and sample[field].dtype == torch.int64
            assert sample[field].name == [o[name] for o in objects]
        assert sample["relations"] == scene["relationships"] and sample["directions"] == scene["directions"]


def test_relations_are_what_positions_say(fake_root):
    for sample in load(fake_root("clevr")[1], "train").values():
        places = np.array(sample["positions"])
        for side, beside in sample["relations"].items():
            along = places @ np.array(sample["directions"][side])
            assert beside == [[j for j in range(len(places)) if along[j] - along[i] > 0.2] for i in range(len(places))]


@pytest.mark.parametrize("split", COUNTS)
def test_questions(split, fake_root, raw):
    ours = load(fake_root("clevr")[0], split, questions=True)
    for key, sample in ours.items():
        assert sample["questions"] == [q for q in raw["questions", split] if q["image_filename"] == f"{key}.png"]
    assert sum(len(s["questions"]) for s in ours.values()) == len(raw["questions", split]) > 0
    assert all(("answer" in q) == (split != "test") for s in ours.values() for q in s["questions"])
    assert split != "train" or ours["CLEVR_train_000003"]["questions"] == []


def test_no_questions_unless_asked(fake_root, mine):
    root, folder = mine
    shutil.rmtree(folder / "questions")
    assert all("questions" not in s for s in load(root, "train").values())
    with pytest.raises(DataError, match=r"questions/CLEVR_train_questions\.json"):
        vdata.load("clevr", root=root, strict=False, questions=True)


def test_a_scene_without_objects(mine):
    root, folder = mine
    edit(folder, lambda scene: scene.update(objects=[], relationships={"left": []}))
    sample = load(root, "train")["CLEVR_train_000000"]
    assert int(sample["label"]) == 0 and sample["keypoints"].shape == (0, 2) and sample["shapes"].shape == (0,)
    assert sample["shapes"].dtype == torch.int64 and sample["positions"] == []


def test_the_readmes_name_of_the_relations(mine):
    root, folder = mine
    edit(folder, lambda scene: scene.update(relations=scene.pop("relationships")))
    assert load(root, "train")["CLEVR_train_000000"]["relations"].keys() == {"left", "right", "front", "behind"}
    edit(folder, lambda scene: scene.pop("relations"))
    with pytest.raises(DataError, match=r"no relationships.*CLEVR_train_000000"):
        vdata.load("clevr", root=root, strict=False)


def edit(folder, change):
    """Change the scene of CLEVR_train_000000, which is the last of the file."""
    path = folder / "scenes/CLEVR_train_scenes.json"
    content = json.loads(path.read_text())
    assert content["scenes"][-1]["image_filename"] == "CLEVR_train_000000.png"
    change(content["scenes"][-1])
    path.write_text(json.dumps(content))


def test_a_picture_without_a_scene(mine):
    root, folder = mine
    (folder / "images/train/CLEVR_train_000004.png").write_bytes(png(photo(8, 8)))
    with pytest.raises(DataError, match=r"CLEVR_train_000004\.png has no scene in CLEVR_train_scenes\.json"):
        vdata.load("clevr", root=root, strict=False)


def test_a_scene_without_a_picture(mine):
    root, folder = mine
    (folder / "images/train/CLEVR_train_000002.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 4 samples lack a file: CLEVR_v1\.0/images/train/CLEVR_train_000002\.png"
    ):
        vdata.load("clevr", root=root)
    ours = load(root, "train")
    assert [int(s["label"]) for s in ours.values()] == [3, 10, 4]  # joined by name: nobody has another's label


def test_questions_about_a_picture_that_is_missing(mine):
    root, folder = mine
    (folder / "images/test/CLEVR_test_000001.png").unlink()
    assert list(load(root, "test")) == ["CLEVR_test_000000"]
    with pytest.raises(DataError, match=r"1 of 2 samples lack a file: .*CLEVR_test_000001\.png"):
        vdata.load("clevr", "test", root=root, questions=True)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda s: s["objects"][0].update(color="orange"), "an object is 'orange', not blue or .*CLEVR_train_000000"),
        (lambda s: s["objects"][0].pop("shape"), "missing required field `shape`"),
        (lambda s: s["objects"][0].update(pixel_coords=[1]), r"pixel_coords|length"),
        (lambda s: s.update(image_filename="CLEVR_train_000001.png"), "describes a picture twice"),
        (lambda s: s.pop("objects"), "missing required field `objects`"),
    ],
)
def test_scenes_that_do_not_fit(change, match, mine):
    root, folder = mine
    edit(folder, change)
    with pytest.raises(DataError, match=match):
        vdata.load("clevr", root=root, strict=False)


@pytest.mark.parametrize("field", ["relationships", "directions"])
@pytest.mark.parametrize("data", [b'"\xff"', b"9" * 5000, b"1e400"], ids=["no text", "5000 digits", "too large"])
def test_relations_that_no_sample_could_read(mine, field, data):
    root, folder = mine
    edit(folder, lambda scene: scene.update({field: "HERE"}))
    path = folder / "scenes/CLEVR_train_scenes.json"
    path.write_bytes(path.read_bytes().replace(b'"HERE"', data))
    name = {"relationships": "relations"}.get(field, field)
    with pytest.raises(DecodeError, match=f"not the JSON it should be.*key 'CLEVR_train_000000', field '{name}'"):
        vdata.load("clevr", root=root, strict=False)


@pytest.mark.parametrize(
    "old, new, match",
    [
        (b'"How many', b'"How \xff', "it is not the JSON it should be.*question 0"),
        (b'"image_filename"', b'"image"', r"question 0 \(counted from 0\) of .*_test_questions\.json is of no picture"),
        (b'"image_index": 1', b'"image_index": ' + b"9" * 5000, "it is not the JSON it should be.*question 0"),
    ],
)
def test_broken_questions(mine, old, new, match):
    root, folder = mine
    path = folder / "questions/CLEVR_test_questions.json"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(DecodeError, match=match):
        vdata.load("clevr", "test", root=root, strict=False, questions=True)


def test_what_goes_with_points_that_are_dropped(fake_root):
    """As the card's note says."""
    sample = T.CenterCrop(20)(load(fake_root("clevr")[1], "train")["CLEVR_train_000001"])
    together = T.Instances("keypoints", "shapes", "colours", "materials", "sizes")
    left = T.SanitizeKeyPoints(instances=together)(sample)
    assert 0 < len(left["keypoints"]) < 10 and len(left["positions"]) == int(left["label"]) == 10
    assert {len(left[name]) for name in together} == {len(left["keypoints"])}
    bare = T.SanitizeKeyPoints()(sample)
    assert len(bare["keypoints"]) == len(left["keypoints"]) and len(bare["shapes"]) == 10
    (note,) = [n for n in vdata.info("clevr").notes if "SanitizeKeyPoints" in n]
    assert all(f'"{name}"' in note for name in together)


def test_broken_files(fake_root, mine, tmp_path):
    root, folder = mine
    path = folder / "scenes/CLEVR_val_scenes.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(DecodeError, match=r"CLEVR_val_scenes\.json is not the JSON it should be"):
        vdata.load("clevr", "val", root=root)
    path.unlink()
    with pytest.raises(DataError, match=r"CLEVR_val_scenes\.json"):
        vdata.load("clevr", "val", root=root)
    cut = tmp_path / "cut"
    cut.mkdir()
    data = (fake_root("clevr")[0] / "CLEVR_v1.0.zip").read_bytes()
    (cut / "CLEVR_v1.0.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(ShardError, match=r"CLEVR_v1\.0\.zip"):
        vdata.load("clevr", "val", root=cut)


def test_points_move_with_the_picture(fake_root):
    sample = load(fake_root("clevr")[1], "train")["CLEVR_train_000001"]
    flipped = T.RandomHorizontalFlip(1.0)(sample)
    assert torch.equal(flipped["image"].plain(), sample["image"].plain().flip(-1))
    assert flipped["keypoints"].tolist() == [[48 - x, y] for x, y in sample["keypoints"].tolist()]
    assert flipped["positions"] == sample["positions"] and flipped["shapes"].name == sample["shapes"].name


def test_names_are_those_that_the_files_use():
    """Of the program that made the set: three shapes, eight colours, two materials, two sizes."""
    assert [len(c) for c in (clevr.SHAPES, clevr.COLOURS, clevr.MATERIALS, clevr.SIZES)] == [3, 8, 2, 2]
    assert vdata.info("clevr").classes == ()
