"""vdata's shards in the hands of others, and theirs in vdata's: webdataset, HuggingFace datasets, Ray; from a disk and over HTTP."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import webdataset

import vdata
from tests.faultserver import serve
from vdata.tensors import BoundingBoxes, Image, Label

ROOT = Path(__file__).parents[2]


def picture(number: int) -> Image:
    return Image(torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(number)))


def sample(number: int) -> dict:
    boxes = BoundingBoxes([[1.0, 2.0, 10.0 + number, 12.0]], format="XYXY", canvas_size=(20, 30))
    return {"__key__": f"a.b/{number:03d}", "image": picture(number), "label": Label(number % 3, categories=("x", "y", "z")), "boxes": boxes, "note": f"n° {number}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twelve samples in three shards, with keys that have dots and slashes."""
    place = tmp_path_factory.mktemp("packed")
    vdata.from_torch([sample(n) for n in range(12)]).pack(place, samples_per_shard=4, quiet=True)
    return place


@pytest.mark.parametrize("far", [False, True], ids=["disk", "http"])
def test_webdataset_reads_all_fields_of_ours(folder, far):
    with serve(folder) as server:
        base = server.url("") if far else f"{folder}/"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)  # it leaves files to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            loaded = list(webdataset.WebDataset(base + "shard-{000000..000002}.tar", shardshuffle=False).decode("torchrgb8"))
            gc.collect()
    assert len(loaded) == 12
    for number, got in enumerate(loaded):
        assert got["__key__"].replace("%2E", ".") == f"a.b/{number:03d}"
        assert torch.equal(got["image.png"], picture(number).plain())
        assert got["label.cls"] == number % 3
        assert got["note.txt"] == f"n° {number}"
        assert {name for name in got if not name.startswith("__")} == {"image.png", "label.cls", "note.txt", "boxes.json"}


def test_huggingface_datasets_reads_all_fields_of_ours(folder, tmp_path):
    """In a process of its own, for it reads its settings when it is imported."""
    script = (
        "import datasets, sys, numpy, hashlib\n"
        "found = datasets.load_dataset('webdataset', data_files={'train': sorted(sys.argv[1:])}, split='train', streaming=True)\n"
        "for row in found: print(row['__key__'], hashlib.sha256(numpy.asarray(row['image.png']).tobytes()).hexdigest(), row['label.cls'], row['note.txt'], sorted(row))\n"
    )
    quiet = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", script, *map(str, folder.glob("*.tar"))], env={**os.environ, **quiet}, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert len(lines) == 12, done.stderr[-2000:]
    from hashlib import sha256

    for number, line in enumerate(lines):
        pixels = picture(number).plain().permute(1, 2, 0).contiguous().numpy()
        assert line.startswith(f"a%2Eb/{number:03d} {sha256(pixels.tobytes()).hexdigest()} {number % 3} n° {number} "), line


@pytest.mark.parametrize("far", [False, True], ids=["disk", "http"])
def test_vdata_reads_shards_that_webdataset_and_tar_wrote(tmp_path, far):
    with webdataset.ShardWriter(str(tmp_path / "w-%06d.tar"), maxcount=5, verbose=0) as writer:
        for number in range(12):
            writer.write({"__key__": f"{number:04d}", "png": picture(number).plain().permute(1, 2, 0).numpy(), "cls": number, "json": {"n": number}})
    with tarfile.open(tmp_path / "w-000003.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(12, 15):
            data = io.BytesIO()
            PIL.Image.fromarray(picture(number).plain().permute(1, 2, 0).numpy()).save(data, "PNG")
            for suffix, body in (("png", data.getvalue()), ("cls", str(number).encode()), ("json", b'{"n": %d}' % number)):
                member = tarfile.TarInfo(f"./{number:04d}.{suffix}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    with serve(tmp_path) as server:
        base = server.url("") if far else f"{tmp_path}/"
        pipe = vdata.open(base + "w-{000000..000003}.tar", cache=False).rename(image="png", label="cls")
        assert len(pipe) == 15
        for number, got in enumerate(pipe):
            assert torch.equal(got["image"].plain(), picture(number).plain())
            assert int(got["label"]) == number
            assert got["json"] == {"n": number}
        assert np.array_equal(pipe[14]["image"].plain(), picture(14).plain())


class Squares(torch.utils.data.Dataset):
    """A map-style dataset of torch."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, number: int):
        return picture(number).plain(), number * number


def test_a_torch_dataset_in_and_out_again():
    pipe = vdata.from_torch(Squares()).shuffle(seed=3)
    seen = {int(s["label"]) for s in pipe}
    assert seen == {n * n for n in range(10)}
    loaded = torch.utils.data.DataLoader(pipe.batch(5), batch_size=None, num_workers=0)
    assert sorted(int(v) for batch in loaded for v in batch["label"]) == sorted(seen)
