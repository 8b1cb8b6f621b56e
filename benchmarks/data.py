"""What the cases read: photo-like JPEGs, in tars and as files. Made once in a folder, in a part of it that gets its name when it is whole."""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 128  # of the cases over photographs


def count(quick: bool) -> int:
    """How many pictures: whole batches, two of which pass before the clock starts."""
    return (4 if quick else 16) * BATCH


def once(place: Path, make: Callable[[Path], None]) -> Path:
    """`place`, made by `make` (a folder or a file) if it is not there: one that was interrupted is made again."""
    if not place.exists():
        unfinished = place.with_name(f"{place.name}.{os.getpid()}.partial")
        place.parent.mkdir(parents=True, exist_ok=True)
        make(unfinished)
        unfinished.rename(place)
    return place


@functools.cache
def photographs(photos: Path | None) -> list[bytes]:
    """JPEG files: those of a folder as they are, else cuts of the photographs that scikit-image brings, 500 x 400 at quality 92."""
    if photos is not None:
        found = [path.read_bytes() for path in sorted(photos.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg")]
        if not found:
            raise FileNotFoundError(f"no .jpg in {photos}: --photos takes a folder of photographs")
        return found
    import skimage.data

    wholes = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field")]
    left, right, _ = skimage.data.stereo_motorcycle()
    rng = np.random.default_rng(0)
    return [_cut(whole, rng) for whole, _ in itertools.product([*wholes, left, right], range(12))]


def _cut(whole: np.ndarray, rng: np.random.Generator) -> bytes:
    """Most of a photograph, upright or lying, with a little grain: enlarged pictures alone would be too smooth."""
    from PIL import Image

    width, height = (500, 400) if rng.random() < 0.75 else (400, 500)
    scale = min(whole.shape[1] / width, whole.shape[0] / height) * rng.uniform(0.7, 1)
    w, h = scale * width, scale * height
    x, y = rng.uniform(0, whole.shape[1] - w), rng.uniform(0, whole.shape[0] - h)
    cut = Image.fromarray(whole).resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    grainy = np.asarray(cut) + rng.normal(0, 6, (height, width, 1))
    out = io.BytesIO()
    Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=92)
    return out.getvalue()


def tars(folder: Path, name: str = "tars") -> list[str]:
    """Those that `jpeg_tars` has made, or, in another folder, `packed`."""
    return sorted(str(path) for path in (folder / name).glob("*.tar"))


def jpeg_tars(folder: Path, photos: Path | None, quick: bool) -> None:
    """As tar and webdataset write them: 000000.jpg, 000001.jpg, ... in four tars. The photographs come again and again under new names."""

    def make(place: Path) -> None:
        place.mkdir()
        files = photographs(photos)
        for n, names in enumerate(np.array_split(np.arange(count(quick)), 4)):
            with tarfile.open(place / f"{n:03d}.tar", "w") as tar:
                for name in names:
                    member = tarfile.TarInfo(f"{name:06d}.jpg")
                    member.size = len(files[name % len(files)])
                    tar.addfile(member, io.BytesIO(files[name % len(files)]))

    once(folder / "tars", make)


def jpeg_files(folder: Path, photos: Path | None, quick: bool) -> None:
    """The same pictures under the same names, each a file, for who reads no tars."""

    def make(place: Path) -> None:
        place.mkdir()
        files = photographs(photos)
        for name in range(count(quick)):
            (place / f"{name:06d}.jpg").write_bytes(files[name % len(files)])

    once(folder / "files", make)


def files(folder: Path) -> list[Path]:
    """The files that `jpeg_files` has made."""
    return sorted((folder / "files").glob("*.jpg"))


def dali_indexes(folder: Path, name: str = "tars") -> list[str]:
    """DALI's index files of these tars; elsewhere than the tars, where vdata would find and use them."""
    return sorted(str(path) for path in (folder / f"dali-{name}").glob("*.idx"))


def index_for_dali(folder: Path, name: str = "tars") -> None:
    """Made by DALI's own tool, if DALI is there."""
    if importlib.util.find_spec("nvidia.dali") is None:
        return
    from wds2idx import IndexCreator

    def make(place: Path) -> None:
        place.mkdir()
        for path in tars(folder, name):
            with IndexCreator(path, str(place / f"{Path(path).stem}.idx"), verbose=False) as creator:
                creator.create_index()

    once(folder / f"dali-{name}", make)


def packed(folder: Path, name: str, **options: Any) -> None:
    """The tars packed anew by vdata, into the folder `name`."""
    import vdata

    def make(place: Path) -> None:
        vdata.open(tars(folder)).pack(str(place), quiet=True, **options)

    once(folder / name, make)


def size(place: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
