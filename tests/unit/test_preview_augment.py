"""`vdata preview`: what is drawn, before and after augmentation, and how an augmentation is named. And `vdata doctor`."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.__main__ import main
from vdata.errors import PlanError
from vdata.field import Field
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask
from vdata.viz.augmented import PRESETS, augmentation, before_and_after
from vdata.viz.contact import sheet_of_groups
from vdata.viz.draw import _places, _shared, _tags
from vdata.viz.legend import class_colours, legend_of
from vdata.viz.picture import PAPER, beside
from vdata.viz.skeleton import skeleton_of

MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


def grey(height=60, width=80):
    return Image(torch.full((3, height, width), 128, dtype=torch.uint8))


def at(image, x, y):
    return tuple(image[:, int(y), int(x)].tolist())


# drawing


def test_a_skeleton_joins_labelled_points_in_their_objects_colour():
    points = KeyPoints([[[10.5, 30.5], [70.5, 30.5], [40.5, 5.5]]], canvas_size=(60, 80), visibility=[[2, 2, 0]])
    drawn = viz.draw_keypoints(grey(), points, radius=3, skeleton=[(0, 1), (1, 2), (0, 9)])
    assert at(drawn, 40, 30) == viz.colour(0)  # the middle of the line
    assert at(drawn, 55, 18) == (128,) * 3  # to a point that is not labelled goes none
    assert at(viz.draw_keypoints(grey(), points, radius=3), 40, 30) == (128,) * 3


def test_which_points_are_joined_is_said_by_the_field_or_known_of_cocos_person():
    person = KeyPoints(torch.zeros(1, 17, 2), canvas_size=(9, 9), swap=MIRROR)
    assert (5, 7) in skeleton_of(person) and all(max(edge) < 17 for edge in skeleton_of(person))
    other = KeyPoints(torch.zeros(1, 3, 2), canvas_size=(9, 9))
    assert skeleton_of(other) == ()
    assert skeleton_of(other, Field("KeyPoints", meta={"skeleton": [[0, 2]]})) == [(0, 2)]
    sample = {"image": grey(), "p": KeyPoints([[[10.5, 30.5], [70.5, 30.5]]], canvas_size=(60, 80))}
    plain = dict(viz.render(sample))["image"]
    joined = dict(viz.render(sample, fields={"p": Field("KeyPoints", meta={"skeleton": [[0, 1]]})}))["image"]
    assert at(plain, 40, 30) == (128,) * 3 and at(joined, 40, 30) == viz.colour(0)


def test_arrows_point_where_the_flow_goes_and_stand_only_where_it_is_known():
    flow = torch.full((2, 96, 96), float("nan"))
    flow[:, :48] = torch.tensor([4.0, 0.0]).reshape(2, 1, 1)
    drawn = viz.draw_arrows(grey(96, 96), flow, step=48)
    assert torch.equal(drawn[:, 50:], grey(96, 96)[:, 50:])
    dark = (drawn[0, :48].int() < 60).nonzero()
    assert len(dark) and abs(dark[:, 0].float().mean() - 24) < 1.5  # level
    left, right = ((drawn[0, :48, x : x + 12].int() < 60).any(1).sum() for x in (3, 33))
    assert right > left  # the head is thicker than the tail
    assert not torch.equal(viz.draw_arrows(grey(96, 96), -flow, step=48).plain(), drawn.plain())
    with pytest.raises(ValueError, match=r"\[2, H, W\]"):
        viz.draw_arrows(grey(), torch.zeros(3, 60, 80))


def test_names_of_boxes_do_not_lie_on_each_other_while_there_is_room():
    page = PIL.Image.new("RGB", (400, 300))
    polygons = torch.tensor([[[50.0, 60], [200, 60], [200, 200], [50, 200]]] * 4)
    tags = [box for box, _ in _tags(page, polygons, ["person", "dog", "bicycle", "car"], 14)]
    assert all(_shared(a, b) == 0 for i, a in enumerate(tags) for b in tags[:i])
    for corner in ([[-50.0, -50], [-10, -50], [-10, -10], [-50, -10]], [[395.0, 295], [500, 295], [500, 400], [395, 400]]):
        for left, top, right, bottom in _places(page, torch.tensor(corner), 80.0, 20.0):
            assert 0 <= left < right <= 400 and 0 <= top < bottom <= 300  # never clipped


@pytest.mark.parametrize("canvas", [(10, 10), (500, 400), (40, 4000), (4000, 40), (1, 5000), (5000, 1), (1, 1)])
def test_pictures_of_any_shape_can_be_seen_on_a_sheet(canvas):
    high, wide = beside(canvas, 160)
    assert 1 <= high <= 320 and 1 <= wide <= 960
    if 0.25 < canvas[1] / canvas[0] < 6:
        assert high == 160
    sheet = viz.sheet([{"__key__": "a", "image": grey(*canvas)}, {"__key__": "b", "image": grey(50, 60)}])
    assert sheet.shape[2] <= 1700


def test_many_pictures_of_a_sample_go_on_in_the_next_line():
    sample = {f"camera{i}": grey(100, 300) for i in range(8)}
    sheet = viz.sheet([sample], height=160)
    assert sheet.shape[2] <= 1648 and sheet.shape[1] > 2 * 160


def test_the_legend_names_the_classes_of_masks_in_their_colours():
    ids = torch.zeros(20, 20, dtype=torch.uint8)
    ids[5:] = 2
    ids[10:] = 9
    ids[15:] = 255
    mask = Mask(ids, categories=("background", "road", "sky"), ignore_index=255)
    assert class_colours([{"mask": mask}]) == {"mask 9": viz.colour(9), "sky": viz.colour(2)}
    assert class_colours([{"hidden": Mask(ids > 1)}]) == {"hidden": viz.colour(1)}
    assert class_colours([{"ids": Mask(torch.tensor([[70_000]]))}]) == {}
    assert legend_of([{"image": grey()}], 80, 1.0) is None
    with_it = viz.sheet([{"image": grey(20, 20), "mask": mask}])
    assert with_it.shape[1] > viz.sheet([{"image": grey(20, 20), "mask": mask}], legend=False).shape[1]
    assert (with_it.plain().movedim(0, -1) == torch.tensor(viz.colour(2))).all(-1).any()


def test_masks_are_seen_through_at_any_height():
    mask = Mask(torch.ones(600, 800, dtype=torch.uint8))
    image = Image(torch.stack([torch.arange(800).expand(600, 800) % 256] * 3).to(torch.uint8))
    shown = dict(viz.render({"image": image, "mask": mask}, height=120))["image"]
    assert shown.canvas == (120, 160)
    tint = torch.tensor(viz.colour(1)).float()
    blended = dict(viz.render({"image": grey(600, 800), "mask": mask}, height=120))["image"][:, 60, 80].float()
    torch.testing.assert_close(blended, 128 + 0.4 * (tint - 128), atol=1.0, rtol=0)
    assert len(shown[0].unique()) > 50  # the picture is still there


# before and after


def boxed(i):
    image = grey(40, 60)
    image[:, 10:20, 5:15] = 255
    return {"__key__": f"k{i}", "image": image, "boxes": BoundingBoxes([[5.0, 10, 15, 20]], format="XYXY", canvas_size=(40, 60)), "labels": Label([0], categories=("cat",))}


def test_before_and_after_are_the_sample_and_what_epochs_make_of_it():
    pipe = vdata.from_torch([boxed(i) for i in range(5)])
    groups = list(before_and_after(pipe, T.RandomHorizontalFlip(p=0.5), 3, draws=4))
    assert [len(g) for g in groups] == [5] * 3
    assert [s["__key__"] for s in groups[1]] == ["k1", *(f"k1 · augmented {n}" for n in range(1, 5))]
    augmented = pipe.apply(T.RandomHorizontalFlip(p=0.5))
    seen = set()
    for group in groups:
        assert group[0]["boxes"].tolist() == [[5, 10, 15, 20]]
        seen |= {tuple(s["boxes"][0].tolist()) for s in group[1:]}
    assert seen == {(5, 10, 15, 20), (45, 10, 55, 20)}  # some are mirrored, some not
    augmented.set_epoch(2)
    assert next(iter(augmented))["boxes"].tolist() == groups[0][3]["boxes"].tolist()  # what training would see


def test_a_group_of_single_pictures_is_a_row_and_one_of_several_is_rows():
    single = [{"__key__": "a", "image": grey(40, 40)}, {"__key__": "b", "image": grey(40, 40)}]
    flow = {"image1": grey(40, 40), "image2": grey(40, 40), "flow": Flow(torch.ones(2, 40, 40))}
    row, rows = sheet_of_groups([single] * 3, height=100), sheet_of_groups([[flow, flow]], height=100, legend=False)
    assert row.shape[2] < 300 and row.shape[1] > 300
    assert rows.shape[2] > 500 and rows.shape[1] > 200
    assert at(row, 0, 0) == PAPER


def test_augmentations_are_named_and_nothing_is_evaluated(tmp_path):
    assert augmentation("flip, Color") == T.Compose([PRESETS["flip"], PRESETS["color"]])
    (tmp_path / "mine.json").write_text(T.to_json(T.RandomRotation(10)))
    assert augmentation(str(tmp_path / "mine.json")) == T.RandomRotation(10)
    for text in ("flop", "T.RandomCrop(4)", "__import__('os')", "", "flip,,color"):
        with pytest.raises(PlanError, match="flip, crop"):
            augmentation(text)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("data", ["coco", "kitti_flow"])
def test_every_preset_moves_every_field(name, data):
    pipe = vdata.load(data, fake=True)
    for before, after in before_and_after(pipe, PRESETS[name], 2, draws=1):
        assert set(before) == set(after)
        viz.render(after, height=64)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def size_of(path):
    with PIL.Image.open(path) as image:
        return image.size


def test_the_command(tmp_path):
    plain, augmented, mine, batched = (str(tmp_path / f"{n}.png") for n in range(4))
    assert run("preview", "coco", "--fake", "-n", "2", "-o", plain).exit_code == 0
    out = run("preview", "coco", "--fake", "-n", "2", "--augment", "flip,rotate,color", "--draws", "2", "-o", augmented)
    assert out.exit_code == 0 and out.output.strip() == augmented
    assert size_of(augmented)[0] > size_of(plain)[0]
    script = tmp_path / "mine.py"
    script.write_text(
        "import vdata\nfrom vdata import transforms as T\nlist_ = [T.RandomHorizontalFlip(1.0)]\ndef made(): return T.RandomVerticalFlip(1.0)\nnumber = 3\n"
        "batches = vdata.load('cifar10', fake=True).batch(4)\n"
    )
    for name in ("list_", "made"):
        assert run("preview", "kitti_flow", "--fake", "-n", "1", "--augment", f"{script}:{name}", "--draws", "1", "-o", mine).exit_code == 0
    assert run("preview", f"{script}:batches", "-n", "6", "-o", batched).exit_code == 0 and len(np.array(PIL.Image.open(batched))) > 300
    for what, said in ((f"{script}:number", "should be a transform"), (f"{script}:absent", "defines no 'absent'"), ("flop", "no augmentation is called 'flop'")):
        out = run("preview", "coco", "--fake", "--augment", what, "-o", mine)
        assert out.exit_code != 0 and said in out.output and "Traceback" not in out.output
    assert "and should be a pipe" in run("preview", f"{script}:number", "-o", mine).output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal_and_nowhere_else(tmp_path, monkeypatch, capfd):
    for command in (("preview", "kitti_flow", "--fake", "-o", str(tmp_path / "p.png")), ("report", "kitti_flow", "--fake", "-o", str(tmp_path / "r.html"))):
        assert main(command, standalone_mode=False) is None
        assert capfd.readouterr().err == ""
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", terminal := Terminal())
            main(command, standalone_mode=False)
        assert command[0] in terminal.getvalue() and "3/" in terminal.getvalue()


# doctor


def test_the_doctor_says_what_a_bug_report_needs():
    out = run("doctor").output
    for said in ("vdata", "python", "torch", "numpy", "pillow", "libjpeg", "cores", "memory", "CUDA", "free on its disk", "fsspec", "webdataset", "torchdata", "OpenCV", "nvImageCodec"):
        assert said in out, said


def test_the_doctor_keeps_secrets(monkeypatch):
    monkeypatch.setenv("VDATA_CACHE", "https://me:hunter2@host/?token=hunter2")
    monkeypatch.setenv("VDATA_TOKEN", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    out = run("doctor").output
    assert "hunter2" not in out and "VDATA_TOKEN is set" in out and "AWS" not in out


def test_the_doctor_works_where_things_are_broken(tmp_path):
    """torch and Pillow that cannot be imported, a cache that is a file, a home that is not there."""
    broken = tmp_path / "broken"
    for name in ("torch", "PIL", "cv2"):
        (broken / name).mkdir(parents=True)
        (broken / name / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(broken), "VDATA_CACHE": str(tmp_path / "file"), "VDATA_HOME": str(tmp_path / "not" / "there")}
    done = subprocess.run([sys.executable, "-m", "vdata", "doctor"], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1].strip()}
    assert "libcudart.so.12" in lines["torch"] and "libcudart.so.12" in lines["pictures"]
    assert "is no folder" in lines["cache"] and "free on its disk" in lines["cache"]
    assert "cores" in lines["cpu"] and "click" in lines["needs"]
