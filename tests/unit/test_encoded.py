"""Files that are read when somebody asks for their bytes."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import time

import pytest
import torch

import vdata
from vdata.encoded import Encoded
from vdata.errors import DataError, DecodeError
from vdata.files import Layers, Tree
from vdata.meter import Meter


class Reads:
    """Counts the files below a folder that are opened."""

    def __init__(self):
        self.names, self.watching = [], True
        sys.addaudithook(self._seen)

    def _seen(self, event, arguments):
        if event == "open" and self.watching and isinstance(arguments[0], str):
            self.names.append(arguments[0])

    def of(self, folder, work):
        self.names.clear()
        out = work()
        return out, sorted(name.rpartition("/")[2] for name in self.names if name.startswith(str(folder)))


@pytest.fixture
def reads():
    watched = Reads()
    yield watched
    watched.watching = False  # a hook cannot be taken away


def test_bytes_are_read_once_when_they_are_asked_for():
    calls = []
    made = Encoded.later(lambda: calls.append(1) or b"P5 1 1 255 \x07", "Image", "pgm", where={"key": "k"})
    assert repr(made) == "Encoded(Image, not read yet)" and not calls
    assert made.suffix == "pgm" and made.where == {"key": "k"} and not calls
    assert made.data == b"P5 1 1 255 \x07" == made.data and len(calls) == 1
    assert repr(made) == "Encoded(Image, 12 bytes)"
    assert made == Encoded(b"P5 1 1 255 \x07", "Image", "pgm", where={"key": "k"})
    with pytest.raises(AttributeError, match="no 'pixels'"):
        made.pixels


def test_it_travels_with_its_bytes():
    for away in (lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy):
        made = Encoded.later(lambda: b"abc", "bytes", orient=False)
        assert away(made).data == b"abc" and not away(made).orient


def test_another_meta_reads_nothing():
    calls = []
    made = Encoded.later(lambda: calls.append(1) or b"abc", "Flow", "flo", meta={"views": ("a", "b")}, orient=False)
    other = made.like({"views": ("c", "d")})
    assert other.meta == {"views": ("c", "d")} and (other.type, other.suffix, other.orient) == ("Flow", "flo", False) and not calls
    assert other.data == b"abc" == made.data and len(calls) == 1
    assert repr(made.like({})) == "Encoded(Flow, 3 bytes)"


def test_what_cannot_be_read_says_which_it_was_and_can_be_asked_again():
    tries = []

    def read():
        tries.append(1)
        if len(tries) < 2:
            raise DataError("gone", url="file:x")
        return b"here"

    made = Encoded.later(read, "Image", where={"url": "other", "key": "k", "field": "image"})
    with pytest.raises(DataError, match="gone") as caught:
        made.data
    assert caught.value.where == {"url": "file:x", "key": "k", "field": "image"}
    assert made.data == b"here"


def test_threads_that_ask_at_once_all_get_them():
    for _ in range(20):
        made, got = Encoded.later(lambda: time.sleep(0.001) or b"x"), []
        threads = [threading.Thread(target=lambda made=made, got=got: got.append(made.data)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert got == [b"x"] * 4


def test_reading_counts_as_reading():
    meter = Meter()
    meter.watch(lambda: Encoded.later(lambda: time.sleep(0.01) or b"x").data)()
    assert meter.seconds["read"] >= 0.01


def test_only_selected_fields_are_read(monkeypatch):
    names, read = [], Layers.read

    def noted(self, path, *part):
        names.append(path)
        return read(self, path, *part)

    monkeypatch.setattr(Layers, "read", noted)
    pipe = vdata.load("flying_things3d", fake=True)
    whole = pipe[0]
    assert len(names) == 4
    names.clear()
    some = next(iter(pipe.select("image1", "flow").loader(workers=1)))
    assert torch.equal(some["image1"], whole["image1"]) and torch.equal(some["flow"], whole["flow"]) and names
    assert all("frames_cleanpass" in name or "into_future" in name for name in names)
    names.clear()
    assert pipe.select("scene")[0]["scene"] == "A/0000" and not names
    renamed = pipe.rename(first="image1", forward="flow").select("forward")
    assert torch.equal(renamed[0]["forward"], whole["flow"]) and renamed[0]["forward"].views == ("first", "image2")
    assert names and all("into_future" in name for name in names)


def test_labels_are_looked_at_without_pictures(reads, tmp_path):
    from PIL import Image

    for n in range(6):
        (tmp_path / f"class{n % 2}").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (n, n, n)).save(tmp_path / f"class{n % 2}/{n}.png")
    pipe = vdata.from_folder(tmp_path)
    labels, files = reads.of(tmp_path, lambda: [int(s["label"]) for s in pipe.select("label")])
    assert labels == [0, 0, 0, 1, 1, 1] and files == []
    kept, files = reads.of(tmp_path, lambda: list(pipe.filter(where={"label": 1})))
    assert len(kept) == 3 and files == ["1.png", "3.png", "5.png"]


def test_a_file_that_is_gone_is_named_when_it_is_decoded(tmp_path):
    from PIL import Image

    for n in range(3):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n}.png")
    pipe = vdata.from_folder(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match="cannot read the picture: No such file") as caught:
        list(pipe)
    assert caught.value.where["key"] == "1" and caught.value.where["url"].endswith("1.png")
    skipping = pipe.decode(on_error="skip").loader(workers=2)
    assert len(list(skipping)) == 3 and [entry["key"] for entry in skipping.stats()["substituted"]] == ["1"]


def test_bytes_that_are_no_picture_are_still_a_decode_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    tree = Tree(str(tmp_path))
    with pytest.raises(DecodeError):
        vdata.codecs.decode(Encoded.later(lambda: tree.read("a.png"), "Image"))
