"""Bridges: torchdata nodes, webdataset pipelines, torchvision's tv_tensors."""

import pytest
import torch
import torchdata.nodes as nodes
import webdataset
from torchvision import tv_tensors
from torchvision.transforms import v2

import vdata
from vdata.interop.torchdata import from_node, to_node
from vdata.interop.torchvision import from_tv, to_tv
from vdata.interop.webdataset import from_webdataset, to_webdataset
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, Video

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


def pipe():
    return vdata.from_torch([{"x": i} for i in range(9)]).shuffle(seed=2).batch(2)


def numbers(batches):
    return [b["x"].tolist() for b in batches]


def test_a_pipe_is_a_node_and_advances_its_epoch():
    reference = pipe()
    first, second = numbers(reference), numbers(reference)
    loader = nodes.Loader(nodes.Prefetcher(to_node(pipe()), prefetch_factor=2))
    assert numbers(loader) == first
    assert numbers(loader) == second


def test_a_node_resumes_exactly():
    whole = numbers(pipe())
    for stop in range(len(whole)):
        loader = nodes.Loader(to_node(pipe()))
        items = iter(loader)
        head = [next(items)["x"].tolist() for _ in range(stop)]
        state = loader.state_dict()
        again = nodes.Loader(to_node(pipe()))
        again.load_state_dict(state)
        assert head + numbers(again) == whole


def test_a_node_is_a_pipe():
    back = from_node(to_node(vdata.from_torch([{"x": i} for i in range(4)])))
    assert [s["x"] for s in back.map(dict)] == [0, 1, 2, 3]
    assert [s["x"] for s in back] == [0, 1, 2, 3]


def test_to_webdataset_feeds_their_pipeline():
    image = Image(torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8))
    theirs = to_webdataset(vdata.from_torch([{"image": image, "label": Label(2)}]))
    (sample,) = list(theirs.compose(webdataset.decode("torchrgb8"), webdataset.to_tuple("image.png", "label.cls")))
    assert torch.equal(torch.as_tensor(sample[0]), image.plain())
    assert sample[1] == 2


def test_from_webdataset_is_a_stream():
    stream = from_webdataset(webdataset.DataPipeline(lambda: iter([{"__key__": str(i), "cls": i} for i in range(5)])))
    assert [b["cls"].tolist() for b in stream.batch(2)] == [[0, 1], [2, 3], [4]]
    with pytest.raises(TypeError, match="no length"):
        len(stream)


def test_tv_tensors_and_back():
    sample = {
        "image": Image(torch.rand(3, 6, 8)),
        "nested": [(Mask(torch.randint(0, 9, (6, 8), dtype=torch.uint8)),)],
        "boxes": BoundingBoxes([[1.0, 2, 3, 4]], format="XYXY", canvas_size=(6, 8)),
        "points": KeyPoints([[1.0, 2.0]], canvas_size=(6, 8)),
        "label": Label(3),
        "flow": Flow(torch.rand(2, 6, 8)),
        "name": "a",
    }
    theirs = to_tv(sample)
    assert isinstance(theirs["boxes"], tv_tensors.BoundingBoxes)
    assert type(theirs["flow"]) is torch.Tensor
    flipped = from_tv(v2.RandomHorizontalFlip(1.0)({n: theirs[n] for n in ("image", "nested", "boxes")}))
    ours = vdata.transforms.RandomHorizontalFlip(1.0)({n: sample[n] for n in ("image", "nested", "boxes")})
    assert torch.equal(flipped["image"], ours["image"])
    assert torch.equal(flipped["boxes"], ours["boxes"])
    assert flipped["boxes"].canvas_size == (6, 8)
    assert torch.equal(flipped["nested"][0][0], ours["nested"][0][0])
    assert type(from_tv(theirs["points"])) is KeyPoints
    assert type(from_tv(to_tv(Video(torch.rand(2, 3, 6, 8))))) is Video
