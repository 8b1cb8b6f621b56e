"""pack and open: every type comes back as it was, equal input gives equal bytes, webdataset reads it, flipped bits are found."""

import io
import pickle
import random

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image as Pillow

import vdata
from vdata.encoded import Encoded
from vdata.errors import ChecksumError, DataError, PlanError, ShardError
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video

# webdataset leaves its files to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


def sample(i):
    generator = torch.Generator().manual_seed(i)
    integers = lambda high, *shape, dtype=torch.uint8: torch.randint(0, high, shape, generator=generator).to(dtype)
    flow = torch.randn(2, 5, 7, generator=generator)
    flow[:, 0, i % 7] = torch.nan
    return {
        "__key__": f"s.{i:03d}",
        "grey": Image(integers(256, 1, 5, 7)),
        "colour": Image(integers(256, 3, 5, 7)),
        "deep": Image(integers(65536, 3, 5, 7, dtype=torch.int32).to(torch.uint16)),
        "real": Image(torch.rand(3, 5, 7, generator=generator)),
        "clip": Video(integers(256, 2, 3, 4, 4)),
        "flow": Flow(flow, views=("colour", "grey"), sparse=True),
        "semantic": Mask(integers(9, 5, 7), ignore_index=255, frame="colour"),
        "wide": Mask(integers(2**40, 5, 7, dtype=torch.int64), frame="colour"),
        "instances": Mask(integers(2, i % 3, 5, 7, dtype=torch.bool), kind="instance", frame="colour"),
        "boxes": BoundingBoxes(torch.rand(i % 3, 4, generator=generator), format="XYXY", canvas_size=(5, 7 + i), frame="colour"),
        "turned": BoundingBoxes(torch.rand(1, 5, generator=generator), format="CXCYWHR", canvas_size=(5, 7), frame="colour"),
        "points": KeyPoints(torch.rand(2, 3, 2, generator=generator), canvas_size=(5, 7), visibility=integers(3, 2, 3), frame="colour"),
        "label": Label(i % 2, categories=("cat", "dog")),
        "labels": Label(integers(2, i % 3, dtype=torch.int64)),
        "number": i,
        "ratio": i / 3,
        "caption": f"näme {i}",
        "extra": {"a": [1, None, "x"], "b": {"c": i}},
        "raw": bytes([i, 255]),
        "array": torch.rand(2, 2, generator=generator, dtype=torch.float64),
    }


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return folder, vdata.from_torch([sample(i) for i in range(7)]).pack(str(folder), samples_per_shard=3)


def same(a, b):
    assert type(a) is type(b), (type(a), type(b))
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(torch.nan_to_num(a.double() if a.dtype != torch.uint16 else a.to(torch.int32).double(), 7.5),
                           torch.nan_to_num(b.double() if b.dtype != torch.uint16 else b.to(torch.int32).double(), 7.5))  # fmt: skip
    if isinstance(a, TypedTensor):
        assert {n: v for n, v in a.meta().items() if n not in a._rows} == {n: v for n, v in b.meta().items() if n not in b._rows}
        for name in a._rows:
            assert torch.equal(getattr(a, name), getattr(b, name))
    elif not isinstance(a, torch.Tensor):
        assert a == b


def test_every_type_comes_back_as_it_was(packed):
    _, pipe = packed
    assert len(pipe) == 7
    for i in range(7):
        expected, got = sample(i), pipe[i]
        assert list(got) == list(expected) or set(got) == set(expected)
        for name, value in expected.items():
            same(value, got[name])


def test_the_schema_is_known_before_reading(packed):
    _, pipe = packed
    text = str(pipe)
    for line in ("flow: Flow", "boxes: BoundingBoxes", "caption: str", "number: int"):
        assert line in text


def test_equal_input_gives_equal_bytes(packed, tmp_path):
    folder, _ = packed
    vdata.from_torch([sample(i) for i in range(7)]).pack(str(tmp_path), samples_per_shard=3)
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(p.name for p in tmp_path.iterdir())
    assert all((folder / n).read_bytes() == (tmp_path / n).read_bytes() for n in names)
    assert vdata.open(str(tmp_path)).plan.source.digest == vdata.open(str(folder)).plan.source.digest


def test_columns_become_an_index(packed):
    _, pipe = packed
    assert [s["number"] for s in pipe.filter(where={"label": 1})] == [1, 3, 5]
    assert len(pipe.filter(where=lambda c: c["ratio"] > 1)) == 3


def test_webdataset_reads_what_we_write(packed):
    folder, _ = packed
    urls = sorted(str(p) for p in folder.glob("*.tar"))
    theirs = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert [s["__key__"] for s in theirs] == [f"s%2E{i:03d}" for i in range(7)]
    for i, s in enumerate(theirs):
        assert np.array_equal(np.asarray(s["colour.png"]), sample(i)["colour"].permute(1, 2, 0).numpy())
        assert s["label.cls"] == i % 2
        assert s["extra.json"] == sample(i)["extra"]


def jpeg(seed, size=(40, 30), **options):
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Shards that the webdataset library wrote."""
    folder = tmp_path_factory.mktemp("theirs")
    with webdataset.ShardWriter(str(folder / "data-%06d.tar"), maxcount=4, verbose=0) as sink:
        for i in range(10):
            sink.write({"__key__": f"train/{i:04d}", "jpg": jpeg(i), "cls": i % 3, "json": {"n": i}, "seg.png": Pillow.fromarray(np.full((30, 40), i, np.uint8))})
    return folder


@pytest.mark.parametrize("how", ["folder", "braces", "list", "one"])
def test_webdataset_shards_open(theirs, how):
    url = {
        "folder": str(theirs),
        "braces": str(theirs / "data-{000000..000002}.tar"),
        "list": [str(p) for p in sorted(theirs.glob("*.tar"))],
        "one": str(theirs / "data-000001.tar"),
    }[how]
    pipe = vdata.open(url)
    numbers = range(4, 8) if how == "one" else range(10)
    assert len(pipe) == len(numbers)
    oracle = webdataset.WebDataset(sorted(str(p) for p in theirs.glob("*.tar")), shardshuffle=False).decode("torchrgb8")
    expected = [s for s in oracle if int(s["__key__"].split("/")[1]) in numbers]
    for ours, their in zip(pipe, expected, strict=True):
        assert ours["__key__"] == their["__key__"]
        assert type(ours["jpg"]) is Image
        assert torch.equal(ours["jpg"].plain(), torch.as_tensor(np.array(Pillow.open(io.BytesIO(jpeg(ours["json"]["n"]))))).permute(2, 0, 1))
        assert ours["cls"] == their["cls"]
        assert ours["json"] == their["json"]
        assert ours["seg.png"].shape == (3, 30, 40)
    renamed = pipe.rename(image="jpg").to_tuple("image", "cls")
    assert isinstance(renamed[0], tuple)
    assert sorted(s[1] for s in pipe.shuffle(seed=1).to_tuple("jpg cls")) == sorted(n % 3 for n in numbers)


def test_bytes_are_passed_through_undecoded(tmp_path):
    """What no stage needs decoded is written as it came: a JPEG stays the same JPEG."""
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.jpg").write_bytes(jpeg(i))
    vdata.from_folder(str(tmp_path / "in"), labels=False).pack(str(tmp_path / "out"))
    inside = list(webdataset.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False))
    assert [s["image.jpg"] for s in inside] == [jpeg(i) for i in range(3)]


def test_orientation_survives(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = jpeg(1, exif=exif.tobytes())
    turned = Encoded(data, "Image", "jpg", orient=True)
    kept = Encoded(data, "Image", "jpg", orient=False)
    a = vdata.from_torch([{"image": turned}]).pack("memory://orient/a")
    b = vdata.from_torch([{"image": kept}]).pack("memory://orient/b")
    assert a[0]["image"].shape == (3, 40, 30)
    assert b[0]["image"].shape == (3, 30, 40)


def test_every_flipped_bit_is_found_or_harmless(packed, tmp_path):
    """Over a whole packed set: any one flipped bit raises, or changes nothing that is delivered."""
    folder, pipe = packed
    whole = {p.name: p.read_bytes() for p in folder.iterdir()}
    expected = [pickle.dumps({n: v for n, v in s.items() if not isinstance(v, torch.Tensor)}) for s in pipe]
    images = [s["colour"] for s in pipe]
    generator = random.Random(0)
    raised = 0
    for _ in range(150):
        name = generator.choice(sorted(whole))
        data = bytearray(whole[name])
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        for other, original in whole.items():
            (tmp_path / other).write_bytes(data if other == name else original)
        try:
            got = list(vdata.open(str(tmp_path)))
        except DataError as error:
            raised += 1
            assert str(tmp_path) in str(error) or "url" in error.where, error
            continue
        assert [pickle.dumps({n: v for n, v in s.items() if not isinstance(v, torch.Tensor)}) for s in got] == expected
        assert all(torch.equal(a, s["colour"]) for a, s in zip(images, got, strict=True))
    assert raised > 40  # most bits of a tar this small are padding


def test_every_cut_is_found(packed, tmp_path):
    folder, _ = packed
    whole = {p.name: p.read_bytes() for p in folder.iterdir()}
    shard = "shard-000001.tar"
    for cut in [*range(0, len(whole[shard]), 512 * 7), len(whole[shard]) - 1]:
        for name, data in whole.items():
            (tmp_path / name).write_bytes(data[:cut] if name == shard else data)
        try:
            got = [s["number"] for s in vdata.open(str(tmp_path))]
        except ShardError:
            continue
        assert got == list(range(7)), f"cut at {cut} lost samples in silence"


def test_a_broken_record_says_where(packed, tmp_path):
    folder, pipe = packed
    for p in folder.iterdir():
        (tmp_path / p.name).write_bytes(p.read_bytes())
    place = pipe.plan.source.manifest.members(4)["colour"]
    shard = tmp_path / "shard-000001.tar"
    data = bytearray(shard.read_bytes())
    data[place.byte + 40] ^= 4
    shard.write_bytes(data)
    with pytest.raises(ChecksumError) as caught:
        list(vdata.open(str(tmp_path)))
    text = str(caught.value)
    for word in ("shard-000001.tar", "s.004", "colour", f"byte {place.byte}", str(tmp_path)):
        assert word in text
    loader = vdata.open(str(tmp_path)).decode(on_error="skip").loader(workers=2)
    assert len(list(loader)) == 7
    (entry,) = loader.stats()["substituted"]
    assert entry["position"] == 4
    assert entry["key"] == "s.004"
    assert entry["field"] == "colour"


def test_what_cannot_be_packed_says_so(tmp_path):
    with pytest.raises(PlanError, match=r"before \.batch"):
        vdata.from_torch([{"x": 1}]).batch(1).pack(str(tmp_path / "a"))
    with pytest.raises(PlanError, match="dict samples"):
        vdata.from_torch([{"x": 1}]).to_tuple("x").pack(str(tmp_path / "b"))
    with pytest.raises(PlanError, match="one type"):
        vdata.from_torch([{"x": 1}, {"x": "one"}]).pack(str(tmp_path / "c"))
    with pytest.raises(PlanError, match="cannot be written"):
        vdata.from_torch([{"x": object()}]).pack(str(tmp_path / "d"))
    with pytest.raises(PlanError, match="empty"):
        vdata.from_torch([]).pack(str(tmp_path / "e"))
    with pytest.raises(ShardError, match="key"):
        vdata.from_torch([{"__key__": "a", "x": 1}, {"__key__": "a", "x": 2}]).pack(str(tmp_path / "f"))
    assert not any((tmp_path / x / "manifest.json").exists() for x in "abcdef")
    vdata.from_torch([{"x": 1}]).pack(str(tmp_path / "g"))
    with pytest.raises(VdataErrors, match="overwrite"):
        vdata.from_torch([{"x": 1}]).pack(str(tmp_path / "g"))
    with pytest.raises(PlanError, match="reads from"):
        vdata.open(str(tmp_path / "g")).pack(str(tmp_path / "g"), overwrite=True)
    assert vdata.from_torch([{"x": 5}]).pack(str(tmp_path / "g"), overwrite=True)[0]["x"] == 5


VdataErrors = (PlanError, ShardError)


def test_files_of_anybodys_tars_keep_their_names(tmp_path):
    """So that other readers of the packed tars find the extensions that they found before."""
    import tarfile

    (tmp_path / "a").mkdir()
    with tarfile.open(tmp_path / "a/a.tar", "w") as tar:
        for name, data in (("x.cls", b"3"), ("x.txt", b"there")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    vdata.open(tmp_path / "a").pack(tmp_path / "b")
    (shard,) = (tmp_path / "b").glob("*.tar")
    with tarfile.open(shard) as tar:
        assert sorted(tar.getnames()) == ["x.cls", "x.txt"]
    (sample,) = webdataset.WebDataset(str(shard), shardshuffle=False)
    assert (sample["cls"], sample["txt"]) == (b"3", b"there")
    assert vdata.open(tmp_path / "b")[0]["txt"] == "there"
