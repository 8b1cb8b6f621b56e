"""`vdata.report` over sets made by hand: every number on the page is counted again here, and every broken sample is named."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

import vdata
from tests.pages import Page
from vdata.__main__ import main
from vdata.encoded import Encoded
from vdata.errors import PlanError
from vdata.reporting import report
from vdata.reporting.faults import faults_of
from vdata.reporting.histogram import Histogram
from vdata.reporting.reading import chosen
from vdata.reporting.tallies import SECTORS, Tally
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video
from vdata.testing import photo

HOSTILE = "</title></script><script>alert(1)</script><img src=//x onerror=alert(1)> http://evil.example"
NAN = float("nan")


def boxes(rows, canvas=(40, 60), kind="XYXY"):
    return BoundingBoxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, 4), format=kind, canvas_size=canvas)


def made(i, n_boxes=2, key=None):
    """Sample i of a good set: 40 x 60 (or 60 x 40 where i is odd), two boxes, three points, a mask."""
    canvas = (40, 60) if i % 2 == 0 else (60, 40)
    found = boxes([[5, 5, 15, 25], [10, 10, 20, 20]][:n_boxes], canvas)
    mask = torch.zeros(canvas, dtype=torch.uint8)
    mask[:10] = 1
    visible = torch.tensor([[2, 1, 0]] * n_boxes)
    return {
        "__key__": key or f"s{i}", "image": photo(*canvas, i), "boxes": found, "labels": Label(torch.tensor([0, 2][:n_boxes]), categories=("cat", "dog", "emu")),
        "label": Label(i % 2, categories=("even", "odd")), "mask": Mask(mask, categories=("background", "sky")),
        "points": KeyPoints(torch.full((n_boxes, 3, 2), 8.0), canvas_size=canvas, visibility=visible), "weight": i / 2,
    }  # fmt: skip


def fact(page, name):
    """What stands before a name in the line beneath a chart."""
    found = re.findall(rf"([\d.,]+(?: (?:x|of) [\d,]+)?)%? {re.escape(name)}", page.text)
    assert found, f"{name!r} is not on the page"
    return found


def test_the_numbers_on_the_page_are_those_of_the_set():
    made_of = [made(i) for i in range(6)]
    found = report(vdata.from_torch(made_of), quiet=True)
    page = Page(found.html)
    assert found.looked == 6 and not found.bad and "nothing wrong" in str(found)
    pixels = torch.cat([s["image"].plain().reshape(3, -1) for s in made_of], 1).double() / 255
    for word, values in (("mean", pixels.mean(1)), ("std", pixels.std(1, correction=0))):
        assert f"{', '.join(f'{v:.4f}' for v in values.tolist())} {word}" in page.text
    assert fact(page, "boxes")[0] == "12" and "2.00 an image" in page.text and "0 images without" in page.text
    assert "12 small" in page.text and "0 medium" in page.text
    assert "12 labels" in page.text and "2 of 3 classes seen" in page.text and "1 classes not seen dog" in page.text
    assert "cat 6 · 50.0%" in page.text and "emu 6 · 50.0%" in page.text and "odd 3 · 50.0%" in page.text
    assert "3 landscape" in page.text and "3 portrait" in page.text and "2 sizes" in page.text
    sky = (3 * 600 + 3 * 400) / (6 * 2400)
    assert f"sky {sky:.1%} · in 6" in page.text
    assert "12 not labelled" in page.text and "12 hidden" in page.text and "12 visible" in page.text
    assert "0 to 2.5" in page.text  # weights


def test_the_page_stands_by_itself_and_hostile_text_is_text(tmp_path):
    samples = [{**made(i, key=f"{HOSTILE}{i}"), HOSTILE: HOSTILE, "labels": Label([0, 1], categories=(HOSTILE, "b"))} for i in range(3)]
    samples[1]["boxes"] = boxes([[0, 0, 99, 5], [1, 1, 1, 1]], (60, 40))
    path = report(vdata.from_torch(samples), title=HOSTILE, quiet=True).save(tmp_path / "page.html")
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.asks_nobody() and len(page.scripts) == 1
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    script = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{script}'" in policy
    assert HOSTILE in page.text
    plain = report(vdata.from_torch([made(0)]), quiet=True).html
    assert "http:" not in plain and "https:" not in plain and "//" not in re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+|'sha256-[^']+'", "", plain)


def test_pictures_of_the_gallery_are_inside_the_page():
    page = Page(report(vdata.from_torch([made(i) for i in range(9)]), gallery=3, quiet=True).html)
    pictures = [a["src"] for tag, a in page.elements if tag == "img" and a.get("src")]
    assert len(pictures) == 3
    for uri in pictures:
        with PIL.Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert image.height == 320
    titles = [a["title"] for tag, a in page.elements if tag == "button"]
    assert [t.split(" ")[0] for t in titles] == ["s0", "s3", "s6"]  # evenly


def png(value, size=(6, 8)):
    out = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 256, (*size, 3)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def files(i, broken=(3,)):
    data = png(i)
    return {"__key__": f"f{i}", "image": Encoded(data[:40] if i in broken else data, "Image", "png", where={"url": f"pictures/{i}.png"})}


def test_a_broken_sample_is_named_and_the_others_are_counted():
    found = report(read(Computed("files", 8, files)), quiet=True)
    assert found.looked == 8 and found.kinds == {"cannot be read": 1}
    (bad,) = found.bad
    assert bad.key == "f3" and bad.place == "pictures/3.png" and bad.reason
    text = Page(found.html).text
    assert "f3" in text and "pictures/3.png" in text and bad.reason in text


def test_a_rotten_shard_is_named(tmp_path):
    vdata.from_torch([made(i) for i in range(8)]).pack(tmp_path, samples_per_shard=4, quiet=True)
    shard = sorted(tmp_path.glob("*.tar"))[1]
    data = bytearray(shard.read_bytes())
    data[520] ^= 255
    shard.write_bytes(data)
    found = report(str(tmp_path), quiet=True)
    assert found.looked == 8 and found.kinds == {"cannot be read": 1}
    assert found.bad[0].place == shard.name and found.bad[0].key == "s4" and "written" in found.bad[0].reason


def test_samples_of_shards_have_their_shard_also_where_they_can_be_read(tmp_path):
    twin = {**made(1), "__key__": "twin"}
    vdata.from_torch([made(0), made(1), twin]).pack(tmp_path, samples_per_shard=2, quiet=True)
    (bad,) = report(vdata.open(tmp_path), quiet=True).bad
    assert (bad.key, bad.place, bad.kind, bad.reason) == ("twin", "shard-000001.tar", "duplicate", "the same pixels as s1")


class Raising:
    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 2:
            raise KeyError("no such <person>")
        return made(i)


def test_what_a_dataset_of_the_users_raises_is_on_the_page_and_a_mistake_in_the_plan_is_raised():
    found = report(vdata.from_torch(Raising()), quiet=True)
    assert found.kinds == {"cannot be read": 1} and "no such <person>" in Page(found.html).text
    with pytest.raises(PlanError, match="dicts"):
        report(vdata.from_torch([made(0)]).to_tuple("image"), quiet=True)
    with pytest.raises(PlanError, match="endless"):
        report(vdata.from_torch([made(0)]).repeat(), samples=None, quiet=True)
    with pytest.raises(PlanError, match="at least 1"):
        report(vdata.from_torch([made(0)]), samples=0, quiet=True)


def test_batches_are_taken_apart_and_streams_are_read_past_broken_files():
    pipe = vdata.from_torch([made(i) for i in range(6)]).batch(4)
    assert report(pipe, quiet=True).looked == 6
    stream = vdata.from_iterable([files(i) for i in range(8)])
    found = report(stream, quiet=True)
    assert found.looked == 8 and [b.key for b in found.bad] == ["f3"] and "a whole stream" not in str(found)
    assert report(stream, samples=None, quiet=True).looked == 8
    assert report(stream, samples=2, quiet=True).looked == 2
    filtered = report(read(Computed("files", 8, files)).filter(has_a_picture), quiet=True)
    assert filtered.looked == 8 and [b.key for b in filtered.bad] == ["f3"]


def has_a_picture(sample):
    return "image" in sample


def ends_badly():
    yield from (made(i) for i in range(3))
    raise vdata.errors.DataError("the tar ends here", shard="a.tar", key="k3")


def test_where_a_stream_ends_badly_the_page_says_so():
    found = report(vdata.from_iterable(ends_badly), quiet=True)
    assert found.looked == 4 and found.bad[0].place == "a.tar" and found.bad[0].key == "k3"
    assert "not looked at" in Page(found.html).text


@pytest.mark.parametrize("count, samples", [(10, 3), (1000, 7), (5, 5), (5, 9), (1, 1), (0, 3)])
def test_samples_are_chosen_in_equal_steps(count, samples):
    picked = list(chosen(count, samples))
    assert len(picked) == len(set(picked)) == min(count, samples) and picked == sorted(picked)
    assert all(0 <= p < count for p in picked)
    if len(picked) > 1:
        steps = np.diff(picked)
        assert steps.max() - steps.min() <= 1
    assert list(chosen(count, None)) == list(range(count))


FAULTS = {
    "empty picture": {"image": Image(torch.zeros(3, 0, 5, dtype=torch.uint8))},
    "one colour": {"image": Image(torch.full((3, 5, 5), 9, dtype=torch.uint8))},
    "not finite": {"image": Image(torch.tensor([[[0.0, NAN]]]))},
    "box outside": {"boxes": boxes([[5, 5, 61.5, 9]])},
    "box without area": {"boxes": boxes([[5, 5, 5, 9]])},
    "point outside": {"points": KeyPoints([[99.0, 3.0]], canvas_size=(40, 60))},
    "empty mask": {"masks": Mask(torch.zeros(2, 4, 4, dtype=torch.bool), kind="instance")},
    "unknown flow": {"flow": Flow(torch.full((2, 4, 4), NAN))},
    "label without category": {"label": Label([0, 5], categories=("a", "b"))},
    "labels and boxes differ": {"boxes": boxes([[1, 1, 2, 2]]), "labels": Label([0, 1])},
    "another canvas": {"image": photo(4, 4, 0), "mask": Mask(torch.zeros(5, 4, dtype=torch.uint8))},
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_found_and_nothing_else(kind):
    assert [fault.kind for fault in faults_of(FAULTS[kind])] == [kind]


@pytest.mark.parametrize(
    "value",
    [
        boxes([[5, 5, 9, 3]]), boxes([[9, 5, 5, 9]]), boxes([[5, 5, -3, 4]], kind="XYWH"), boxes([[5, 5, 3, -4]], kind="CXCYWH"),
    ],
)  # fmt: skip
def test_boxes_the_wrong_way_round_have_no_area(value):
    assert {fault.kind for fault in faults_of({"b": value})} == {"box without area"}


def test_what_is_right_has_no_fault():
    good = [
        made(0), {"boxes": boxes([])}, {"boxes": boxes([[-1.0, 0, 60.9, 40]])},  # rounding of annotations
        {"points": KeyPoints([[NAN, 900.0]], canvas_size=(4, 4), visibility=[0])}, {"image": Image(torch.zeros(3, 1, 1))},
        {"masks": Mask(torch.zeros(0, 4, 4, dtype=torch.bool), kind="instance")}, {"flow": Flow(torch.tensor([1.0, NAN, 1, NAN]).reshape(2, 1, 2))},
        {"boxes": BoundingBoxes([[20.0, 20, 10, 5, 45]], format="CXCYWHR", canvas_size=(40, 60))}, {"n": 3, "s": "x", "t": torch.arange(3)},
        {"left": photo(4, 4, 0), "right": photo(8, 8, 0), "mask": Mask(torch.zeros(8, 8, dtype=torch.uint8), frame="right")},
    ]  # fmt: skip
    assert [faults_of(sample) for sample in good] == [[]] * len(good)


def test_flow_is_counted_by_length_and_direction():
    flow = torch.full((2, 4, 8), NAN)
    flow[:, 0] = torch.tensor([3.0, 4.0])[:, None]  # 8 vectors of 5 pixels, to the right and down
    flow[:, 1] = torch.tensor([-2.0, 0.0])[:, None]  # 8 of 2 pixels to the left
    flow[:, 2] = 0  # 8 that stand still
    tally = Tally()
    tally.add({"flow": Flow(flow)})
    seen = tally.flows["flow"]
    assert (seen.pixels, seen.known, seen.longest) == (32, 24, 5.0) and seen.total == 8 * 5 + 8 * 2
    expected = np.zeros(SECTORS)
    expected[round(math.atan2(4, 3) / (2 * math.pi) * SECTORS)] = 8
    expected[SECTORS // 2] = 8
    assert seen.directions.tolist() == expected.tolist()
    page = Page(report(vdata.from_torch([{"flow": Flow(flow)}]), quiet=True).html)
    assert "2.33 pixels, mean" in page.text and "5 pixels, longest" in page.text and "25.0% of all pixels unknown" in page.text


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.bfloat16])
def test_mean_and_deviation_of_channels_for_every_type(dtype):
    whole = {torch.uint8: 255, torch.uint16: 65535}.get(dtype)
    drawn = torch.rand(4, 3, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = [Image((x * whole).round().to(torch.int64).to(dtype) if whole else x.to(dtype)) for x in drawn]
    tally = Tally()
    for image in images:
        tally.add({"image": image})
    values = torch.stack([i.plain().double() for i in images]) / (whole or 1)
    (channels,) = tally.channels.values()
    np.testing.assert_allclose(channels.mean, values.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(channels.std, values.std((0, 2, 3), correction=0), rtol=1e-9)
    assert channels.levels[0].total == values[:, 0].numel()


def test_clips_ids_and_what_has_no_picture_are_counted_too():
    clip = Video(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))
    samples = [{"clip": clip, "segments": Label(torch.arange(i * 5000, (i + 1) * 5000)), "text": "hello"} for i in range(3)]
    found = report(vdata.from_torch(samples), quiet=True)
    text = Page(found.html).text
    assert "frames a clip" in text and "hello" in text and "segments: how often" not in text  # 15,000 ids are no classes
    assert found.kinds == {"duplicate": 2}
    assert Page(report(vdata.from_torch([{"n": 1}, {"n": 5}]), quiet=True).html).text.count("1 to 5") == 1
    assert report(vdata.from_torch([]), quiet=True).looked == 0


def test_values_beyond_the_edges_are_counted_at_the_ends():
    held = Histogram(np.array([0.0, 1, 2, 3]))
    held.add(np.array([-9.0, 0.5, 1.0, 2.999, 3.0, 99.0, NAN]))
    assert held.counts.tolist() == [2, 1, 3] and held.total == 6


def test_memory_does_not_grow_with_samples():
    """A hundred pictures of 3 MB, all at once, would take 300 MB."""
    import resource

    def big(i):
        return {"__key__": str(i), "image": Image(torch.full((3, 1000, 1000), i % 251, dtype=torch.uint8))}

    report(read(Computed("big", 5, big)), quiet=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert report(read(Computed("big", 100, big)), gallery=2, quiet=True).looked == 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def run(*arguments):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_the_command(tmp_path):
    page = tmp_path / "coco.html"
    out = run("report", "coco", "--fake", "-o", str(page))
    assert out.exit_code == 0 and "3 samples looked at" in out.output and str(page) in out.output
    text = Page(page.read_text()).text
    assert vdata.info("coco").licence in text and "toothbrush" in text
    script = tmp_path / "mine.py"
    script.write_text("import vdata\n\ndef pipe():\n    return vdata.load('kitti_flow', fake=True).batch(2)\n")
    out = run("report", f"{script}:pipe", "-n", "2", "--gallery", "1", "--title", "Mine", "-o", str(page))
    assert out.exit_code == 0 and "2 samples looked at of 3, in equal steps" in out.output
    assert "Mine" in Page(page.read_text()).text
    assert run("report", f"{script}:absent").exit_code != 0
