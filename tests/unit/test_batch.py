"""`Batch`, `Ragged` and `collate`: many samples as one, types and metadata kept."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

import vdata
from vdata.batch import Batch, Ragged, collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask


def boxes(count, canvas=(8, 9)):
    return BoundingBoxes(torch.arange(4.0 * count).reshape(count, 4), format="XYXY", canvas_size=canvas)


def sample(index, size=(8, 9), objects=2):
    return {
        "__key__": f"k{index}",
        "image": Image(torch.full((3, *size), index, dtype=torch.uint8)),
        "label": Label(index % 2, categories=("cat", "dog")),
        "boxes": boxes(objects, size),
        "labels": Label(torch.arange(objects), categories=("a", "b", "c", "d")),
        "masks": Mask(torch.zeros(objects, *size, dtype=torch.bool), kind="instance"),
        "mask": Mask(torch.full(size, index), ignore_index=255),
        "points": KeyPoints(torch.zeros(objects, 5, 2), canvas_size=size, visibility=torch.full((objects, 5), index)),
        "flow": Flow(torch.full((2, *size), float(index)), views=("image", "next")),
        "number": index, "real": index / 2, "flag": index % 2 == 0, "array": np.full(3, index, np.float32), "tensor": torch.full((2,), index),
    }  # fmt: skip


def test_equal_samples_stack_with_type_and_metadata():
    batch = collate([sample(i) for i in range(3)])
    assert isinstance(batch, Batch) and isinstance(batch, dict) and batch.size == 3 and batch["__key__"] == ["k0", "k1", "k2"]
    assert type(batch["image"]) is Image and batch["image"].shape == (3, 3, 8, 9) and batch["image"].dtype == torch.uint8
    assert type(batch["mask"]) is Mask and batch["mask"].ignore_index == 255 and batch["mask"].kind == "semantic"
    assert type(batch["flow"]) is Flow and batch["flow"].views == ("image", "next") and batch["flow"].target_size == (8, 9)
    assert type(batch["label"]) is Label and batch["label"].name == ["cat", "dog", "cat"]
    assert batch["number"].dtype == torch.int64 and batch["real"].dtype == torch.float64 and batch["flag"].dtype == torch.bool
    assert batch["number"].tolist() == [0, 1, 2] and batch["real"].tolist() == [0, 0.5, 1]
    assert batch["array"].shape == (3, 3) and batch["array"].dtype == torch.float32 and batch["tensor"].shape == (3, 2)


def test_numbers_collate_as_torch_does():
    values = [{"i": 1, "f": 0.5, "b": True, "n": np.float32(2), "t": torch.tensor(3)}, {"i": 2, "f": 1.5, "b": False, "n": np.float32(4), "t": torch.tensor(5)}]
    ours, theirs = collate(values), default_collate(values)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype, name


@pytest.mark.parametrize("counts", [(2, 2), (1, 3), (0, 2), (0, 0)])
def test_lists_of_objects_are_ragged_whatever_their_numbers(counts):
    batch = collate([sample(i, objects=n) for i, n in enumerate(counts)])
    for name, kind in (("boxes", BoundingBoxes), ("labels", Label), ("masks", Mask), ("points", KeyPoints)):
        ragged = batch[name]
        assert isinstance(ragged, Ragged) and len(ragged) == 2 and ragged.type is kind
        assert ragged.offsets.tolist() == [0, counts[0], sum(counts)]
        for i, n in enumerate(counts):
            want = sample(i, objects=n)[name]
            assert type(ragged[i]) is kind and torch.equal(ragged[i].plain(), want.plain())
            assert {k: v for k, v in ragged[i].meta().items() if k != "visibility"} == {k: v for k, v in want.meta().items() if k != "visibility"}
    assert torch.equal(batch["points"][1].visibility, torch.ones(counts[1], 5, dtype=torch.int64))
    assert batch["boxes"].values.shape == (sum(counts), 4)


def test_pictures_of_unequal_sizes_are_a_list_of_pictures():
    batch = collate([sample(0), sample(1, (5, 7))])
    images = batch["image"]
    assert isinstance(images, Ragged) and [tuple(i.shape) for i in images] == [(3, 8, 9), (3, 5, 7)]
    assert all(type(i) is Image for i in images) and images[-1].unique().tolist() == [1]
    assert "Ragged(2 x Image" in repr(batch)
    for outside in (2, -3):
        with pytest.raises(IndexError):
            images[outside]


def test_leaves_of_different_metadata_are_not_torn_apart():
    batch = collate([{"m": Mask(torch.zeros(4, 4), ignore_index=0)}, {"m": Mask(torch.zeros(4, 4), ignore_index=1)}])
    assert [m.ignore_index for m in batch["m"]] == [0, 1]
    labels = collate([{"l": Label(0, categories=("a",))}, {"l": Label(0, categories=("b",))}])
    assert [x.name for x in labels["l"]] == ["a", "b"]


def test_a_batch_has_memory_of_its_own():
    samples = [sample(i) for i in range(1)]
    batch = collate(samples)
    for name in ("image", "mask", "flow", "tensor", "array"):
        batch[name].zero_().add_(7)
    batch["boxes"].values.fill_(7)
    assert samples[0]["image"].unique().tolist() == [0] and samples[0]["array"].tolist() == [0, 0, 0]
    assert samples[0]["boxes"].flatten().tolist() == list(range(8))


def test_samples_come_back():
    parts = [sample(i, objects=i) for i in range(3)]
    for want, have in zip(parts, collate(parts).samples(), strict=True):
        assert list(want) == list(have)
        for name, value in want.items():
            if isinstance(value, torch.Tensor):
                assert type(have[name]) is type(value) and torch.equal(torch.as_tensor(have[name]).float(), torch.as_tensor(value).float()), name
            else:
                assert np.all(np.asarray(have[name]) == np.asarray(value)), name


def test_what_does_not_fit_raises_and_says_which_field():
    with pytest.raises(ValueError, match=r"'extra'.*'k0'.*'k1'"):
        collate([sample(0), {**sample(1), "extra": 1}])
    with pytest.raises(ValueError, match="at least one"):
        collate([])
    for odd in ([torch.zeros(2), Image(torch.zeros(1, 1, 2))], [torch.zeros(2), torch.zeros(2, dtype=torch.int64)], [torch.zeros(2), None],
                [None, torch.zeros(2)], [torch.zeros(2), 1.0], [1.0, torch.zeros(2)], [np.zeros(2), None]):  # fmt: skip
        with pytest.raises(TypeError, match="'odd'"):
            collate([{"odd": v} for v in odd])
    with pytest.raises(TypeError, match="'odd'"):
        collate([{"odd": np.array(["a"])}, {"odd": np.array(["b"])}])


def test_what_has_no_tensor_stays_a_list():
    batch = collate([{"s": "a", "n": None, "d": {"x": 1}, "l": [1, 2], "big": 2**70}, {"s": "b", "n": None, "d": {"x": 2}, "l": [], "big": 1}])
    assert batch["s"] == ["a", "b"] and batch["n"] == [None, None] and batch["d"][1] == {"x": 2} and batch["l"] == [[1, 2], []]
    assert batch["big"] == [2**70, 1]


def same(a, b):
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(a["boxes"], b["boxes"], strict=True)) and torch.equal(a["image"], b["image"])


def test_batches_and_raggeds_survive_pickling_copying_and_torch_save():
    batch = collate([sample(i, objects=i) for i in range(3)], at=[(0, 5), (0, 6), (0, 7)])
    for again in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), copy.copy(batch)):
        assert type(again) is Batch and again.size == 3 and again.at == batch.at and list(again) == list(batch) and same(again, batch)
        assert type(again["image"]) is Image and again["boxes"].type is BoundingBoxes
    assert copy.deepcopy(batch)["image"].data_ptr() != batch["image"].data_ptr()
    file = io.BytesIO()
    torch.save(batch, file)
    file.seek(0)
    again = torch.load(file, weights_only=True)
    assert type(again) is Batch and again.at == batch.at and same(again, batch)


def test_moving_and_replacing():
    batch = collate([sample(i, objects=i) for i in range(2)], at=[(1, 0), (1, 1)])
    moved = batch.to("meta")
    assert type(moved) is Batch and moved.at == batch.at and moved["image"].device.type == "meta" and type(moved["image"]) is Image
    assert moved["boxes"].values.device.type == "meta" and moved["__key__"] == batch["__key__"]
    ragged = batch["boxes"].to(torch.float64)
    assert ragged.values.dtype == torch.float64 and ragged.offsets.dtype == torch.int64 and ragged[1].format == "XYXY"
    other = batch.replace({"x": 1})
    assert type(other) is Batch and dict(other) == {"x": 1} and other.size == 2 and other.at == batch.at
    assert type(batch.copy()) is Batch and type(batch | {"x": 1}) is Batch


def test_ragged_refuses_a_mixture():
    with pytest.raises(TypeError, match="one type and dtype"):
        Ragged.of([torch.zeros(2), torch.zeros(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match="one type and dtype"):
        Ragged.of([boxes(1), torch.zeros(1, 4)])


def test_ragged_layouts():
    rows = Ragged.of([torch.zeros(2, 3), torch.ones(0, 3), torch.ones(1, 3)])
    assert rows.values.shape == (3, 3) and rows.offsets.tolist() == [0, 2, 2, 3] and rows[1].shape == (0, 3)
    flat = Ragged.of([torch.zeros(2, 3), torch.ones(3, 2)])
    assert flat.values.shape == (12,) and [tuple(t.shape) for t in flat] == [(2, 3), (3, 2)]
    scalars = Ragged.of([torch.tensor(1), torch.tensor(2)])
    assert [int(t) for t in scalars] == [1, 2]


def test_tuples_and_custom_collates_in_a_pipe():
    pipe = vdata.from_torch([{"image": Image(torch.zeros(3, 2, 2)), "label": i} for i in range(4)])
    images, labels = pipe.to_tuple("image", "label").batch(3)[0]
    assert type(images) is Image and images.shape == (3, 3, 2, 2) and labels.tolist() == [0, 1, 2]
    assert pipe.batch(2, collate_fn=lambda s: [x["label"] for x in s])[1] == [2, 3]
    assert type(pipe.batch(2).to_tuple("image", "label")[0][0]) is Image
    with pytest.raises(ValueError, match="collate_fn"):
        pipe.map(lambda s: s["label"]).batch(2)[0]


def test_other_libraries_may_make_a_batch_anew():
    """transformers and accelerate move what they do not know by type(batch)({...})."""
    batch = collate([{"x": torch.zeros(2), "name": "a"}, {"x": torch.ones(2), "name": "b"}])
    assert type(batch)(dict(batch)).size == 2
    assert Batch({"boxes": Ragged.of([torch.zeros(1, 4), torch.zeros(0, 4), torch.zeros(2, 4)])}).size == 3
