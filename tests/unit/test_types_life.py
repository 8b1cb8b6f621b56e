"""The whole life of typed tensors in a batch: collated, pinned, shared, sent to workers, saved, copied, taken apart; never changed."""

import copy
import pickle

import pytest
import torch

import vdata
from vdata import Key
from vdata import transforms as T
from vdata.batch import Batch, Ragged, collate
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video


def sample(n=2, size=(6, 8)):
    return {
        "image": Image(torch.rand(3, *size)), "video": Video(torch.rand(2, 3, *size)), "mask": Mask(torch.ones(size, dtype=torch.int64), ignore_index=255, categories=("a", "b")),
        "masks": Mask(torch.rand(n, *size) > 0.5, kind="instance", frame="image"), "flow": Flow(torch.rand(2, *size), sparse=True, views=("image", "other")),
        "boxes": BoundingBoxes(torch.rand(n, 4), format="XYWH", canvas_size=size, frame="image", clamping_mode=None),
        "points": KeyPoints(torch.rand(n, 3, 2), canvas_size=size, frame="image", visibility=torch.ones(n, 3), swap=(1, 0, 2)), "label": Label(1, categories=("x", "y")),
    }  # fmt: skip


def same(a, b):
    if isinstance(a, Ragged):
        return isinstance(b, Ragged) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if type(a) is not type(b) or a.dtype != b.dtype or not torch.equal(torch.as_tensor(a.plain()), torch.as_tensor(b.plain())):
        return False
    rows = lambda t: {n: v.tolist() if isinstance(v, torch.Tensor) else v for n, v in t.meta().items()}
    return rows(a) == rows(b)


LIVES = {
    "pickle": lambda v: pickle.loads(pickle.dumps(v)), "deepcopy": copy.deepcopy, "copy": copy.copy, "to float64 and back": lambda v: v.to(torch.float64).to(torch.float32),
    "cpu": lambda v: v.cpu(), "contiguous": lambda v: v.contiguous(), "clone": lambda v: v.clone(), "detach": lambda v: v.detach(), "share": lambda v: v.clone().share_memory_(),
    "stack and take": lambda v: torch.stack([v, v])[1], "iterate": lambda v: next(iter(torch.stack([v, v]))),
}  # fmt: skip


@pytest.mark.parametrize("life", list(LIVES))
@pytest.mark.parametrize("name", list(sample()))
def test_a_typed_tensor_stays_what_it_is(life, name):
    leaf = sample()[name]
    if "float64" in life and not leaf.is_floating_point():
        leaf = leaf.to(torch.int64)
        assert same(leaf.to(torch.int32).to(torch.int64), leaf)
        return
    assert same(LIVES[life](leaf), leaf)


@pytest.mark.parametrize("counts", [(2, 2), (2, 0, 3), (0, 0)])
def test_a_batch_and_back(counts, tmp_path):
    torch.manual_seed(0)
    samples = [sample(n) for n in counts]
    batch = collate(samples)
    torch.save(batch, tmp_path / "batch.pt")
    for again in (batch, pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), torch.load(tmp_path / "batch.pt", weights_only=True), batch.to("cpu")):
        assert isinstance(again, Batch) and again.size == len(counts)
        for one, want in zip(again.samples(), samples, strict=True):
            assert all(same(one[n], want[n]) for n in want)


@pytest.mark.parametrize("t", [
    T.RandomHorizontalFlip(1), T.RandomCrop(4), T.Resize(4), T.ColorJitter(0.5), T.Pad(1), T.CenterCrop(4), T.RandomResizedCrop(4), T.RandomInvert(1), T.Normalize((0.5,), (0.5,)),
    T.Compose([T.RandomVerticalFlip(1), T.RandomCrop(5), T.RandomSolarize(0.5)], fuse=True), T.ToDtype(torch.float64),
], ids=repr)  # fmt: skip
def test_a_batch_that_the_user_holds_never_changes(t):
    """Transforms may share memory with what they are given; they never write there."""
    batch = collate([sample(2), sample(1)])
    held = copy.deepcopy(batch)
    out = t(batch, key=Key.of(0, 0, [1, 2]))
    t(out, key=Key.of(0, 0, [3, 4])) if out["image"].shape[-1] > 4 else None
    for one, want in zip(batch.samples(), held.samples(), strict=True):
        assert all(same(one[n], want[n]) for n in want)


def test_workers_send_them_whole():
    pipe = vdata.from_torch([sample(n) for n in (2, 0, 1, 3)]).apply(T.RandomHorizontalFlip(1)).batch(2)
    inline, process = list(pipe.loader(mode="inline")), list(pipe.loader(mode="process", workers=2))
    for a, b in zip(inline, process, strict=True):
        assert all(same(x[n], y[n]) for x, y in zip(a.samples(), b.samples(), strict=True) for n in ("image", "masks", "flow", "boxes", "points", "label"))
