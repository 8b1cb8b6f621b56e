"""What notebooks show of pipes, cards and batches: whole, true, and unhurt by hostile text; and nothing is read for it."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

import vdata
from tests.pages import Page
from vdata import transforms as T
from vdata.encoded import Encoded
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask
from vdata.viz.html import Markup, element, escaped, image_uri, joined

HOSTILE = [
    "</td></table><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "<!-- ", "]]>", "&lt;b&gt;", "\x00\x1b[31m\u202egnp.exe",
    "http://evil.example/x.png", "</style><svg/onload=alert(1)>", "${alert(1)}{{7*7}}", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_text_wherever_it_stands(text):
    page = Page(joined(element("p", text, title=text, data_n=text), text))
    assert [tag for tag, _ in page.elements] == ["p"]
    shown = re.sub("[\x00\x1b\u202e\ud800]", "\ufffd", text)
    assert page.elements[0][1] == {"title": shown, "data-n": shown}
    assert page.words[0] == shown
    element("p", text).encode()  # fit to be written to a file


def test_markup_is_not_escaped_twice_and_none_is_nothing():
    inner = element("b", "a & b")
    assert escaped(inner) is inner
    assert element("p", inner, None, 3, class_="x", hidden=True, title=None, open=False) == '<p class="x" hidden><b>a &amp; b</b>3</p>'
    assert isinstance(inner, Markup)
    for name in ("onclick", "on_load", "a b"):
        with pytest.raises(ValueError, match="attribute"):
            element("p", **{name: "x"})


def test_a_picture_inside_the_page_is_the_picture():
    import base64
    import io

    import PIL.Image

    image = Image(torch.randint(0, 256, (3, 8, 9), dtype=torch.uint8))
    uri = image_uri(image)
    kind, data = re.fullmatch(r"data:image/(jpeg|png);base64,([A-Za-z0-9+/=]+)", uri).groups()
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as found:
        assert found.size == (9, 8) and found.format.lower() == kind


def nothing_is_read(i):
    raise AssertionError(f"sample {i} was read")


def test_a_pipe_shows_its_plan_and_reads_nothing():
    pipe = read(Computed("far <away>", 100, nothing_is_read)).shuffle(seed=7).map(dict).apply(T.RandomHorizontalFlip()).batch(8)
    page = Page(pipe._repr_html_())
    for said in ("far <away>", "shuffle", "seed=7", "RandomHorizontalFlip()", "13 batches of 8", "elastic", "exact resume"):
        assert said in page.text, said
    assert page.asks_nobody()
    names = [text for text in page.words if text.strip() in ("read", "shuffle", "map", "apply", "batch")]
    assert names == ["read", "shuffle", "map", "apply", "batch"]


def test_what_a_pipe_does_not_promise_is_said_and_fields_are_shown_where_they_change():
    pipe = vdata.load("kitti_flow", fake=True).select("image1", "flow")
    page = Page(pipe._repr_html_())
    assert "image1 Image uint8 [3, H, W]" in page.text and "objects" in page.text
    stream = vdata.from_iterable([{"x": 1}])
    assert "not elastic" in Page(stream._repr_html_()).text
    both = Page(vdata.concat(pipe, pipe)._repr_html_())
    assert both.text.count("kitti_flow") == 2 and "concat" in both.text


def test_a_card_shows_facts_fields_licence_and_citation():
    card = vdata.info("coco")
    page = Page(card._repr_html_())
    for said in (card.title, card.licence, card.citation, "train (118,287)", "KeyPoints float32 [N, 17, 2]?", "80: person", "13 files"):
        assert said in page.text, said
    assert page.asks_nobody()


def test_a_hostile_card_is_text():
    card = dataclasses.replace(vdata.info("coco"), title=HOSTILE[0], licence=HOSTILE[1], citation=HOSTILE[8], notes=tuple(HOSTILE))
    page = Page(card._repr_html_())
    assert page.scripts == [] and page.asks_nobody()
    assert {tag for tag, _ in page.elements} <= {"style", "div", "span", "table", "thead", "tbody", "tr", "th", "td", "code", "b", "details", "summary"}


def sample(i, text="a"):
    boxes = BoundingBoxes(torch.tensor([[2.0, 3, 20, 20], [5, 5, 9, 30]])[: i % 3], format="XYXY", canvas_size=(32, 48))
    return {
        "__key__": f"{text}{i}", "image": Image(torch.full((3, 32, 48), i, dtype=torch.uint8)), "boxes": boxes,
        "labels": Label(torch.zeros(len(boxes), dtype=torch.int64), categories=(text, "b")), "said": text, "n": i,
        "mask": Mask(torch.ones(32, 48, dtype=torch.uint8), categories=("x", text)),
        "points": KeyPoints(torch.rand(1, 2) * 30, canvas_size=(32, 48)),
    }  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_batch_shows_pictures_types_and_shapes_and_hostile_text_as_text(text):
    batch = next(iter(vdata.from_torch([sample(i, text) for i in range(10)]).batch(10)))
    page = Page(batch._repr_html_())
    pictures = [a for tag, a in page.elements if tag == "img"]
    assert len(pictures) == 8 and "the first 8 shown" in page.text  # of ten
    for said in ("Batch of 10", "Image uint8 [10, 3, 32, 48]", "Ragged of BoundingBoxes float32", "Tensor int64 [10]", "list of 10"):
        assert said in page.text, said
    assert page.asks_nobody() and page.scripts == []


def test_a_batch_that_does_not_go_together_is_shown_all_the_same():
    batch = vdata.Batch(
        {"image": Image(torch.zeros(2, 3, 8, 8)), "mask": Mask(torch.zeros(2, 4, 4, dtype=torch.uint8)), "odd": {"a": torch.zeros(3)}, "one": torch.zeros(())}, 2
    )
    text = Page(batch._repr_html_()).text
    assert "'mask' lies on a canvas" in text and "odd dict" in text and "Tensor float32 []" in text
    raw = vdata.Batch({"image": [Encoded(b"x", "Image")], "__key__": ["k"]}, 1)
    assert "not decoded" in Page(raw._repr_html_()).text


def test_a_batch_of_flow_has_one_line_a_sample():
    one = {"image1": Image(torch.zeros(3, 16, 16)), "image2": Image(torch.zeros(3, 16, 16)), "flow": Flow(torch.zeros(2, 16, 16))}
    page = Page(next(iter(vdata.from_torch([one, one]).batch(2)))._repr_html_())
    assert sum(a.get("class") == "row" for _, a in page.elements) == 2
    assert sum(tag == "img" for tag, _ in page.elements) == 2 * 5


def test_credentials_are_not_shown():
    pipe = read(Computed("https://me:secret@host/a.tar?X-Amz-Signature=abc", 1, nothing_is_read))
    html = pipe._repr_html_()
    assert "secret" not in html and "abc" not in html
