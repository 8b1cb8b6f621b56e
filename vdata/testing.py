"""Made-up data in the real on-disk formats, to test pipelines without downloads.

`vdata.load("sintel", fake=True)` reads some; `fake_files("sintel", folder)` writes it, for `root=folder`. The rest is what
the datasets' own `fake` functions are made of: photographs that look like some, and archives.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow

from vdata import codecs
from vdata.tensors import Flow, Image

__all__ = ["fake_files", "flow", "gzip_file", "jpeg", "photo", "png", "pfm", "ppm", "tar_file", "zip_file"]


def fake_files(name: str, folder: str | os.PathLike[str]) -> Path:
    """Write a dataset's fake files into a folder, archives as they are downloaded: load(name, root=folder, strict=False).

    >>> import tempfile
    >>> root = fake_files("eurosat", tempfile.mkdtemp())
    >>> [path.name for path in root.iterdir()]
    ['EuroSAT.zip']
    """
    from vdata.catalog import module_of

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    module_of(name).fake(folder)
    return folder


def photo(height: int, width: int, *seed: int, channels: int = 3) -> Image:
    """A smooth picture, uint8 [channels, height, width], another one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (1, channels, 6, 6)).astype(np.float32)
    fine = torch.nn.functional.interpolate(torch.from_numpy(coarse), (height, width), mode="bilinear")
    return Image(fine[0].to(torch.uint8))


def flow(height: int, width: int, *seed: int, most: float = 10.0) -> Flow:
    """A random flow that KITTI's encoding keeps exactly: multiples of 1/64 pixel, float32 [2, height, width]."""
    drawn = np.random.default_rng(seed).integers(-int(most * 64), int(most * 64) + 1, (2, height, width))
    return Flow(torch.from_numpy(drawn.astype(np.float32) / 64))


def png(picture: torch.Tensor) -> bytes:
    """PNG bytes: of an Image with 1, 3 or 4 channels, of a Mask, 8 or 16 bits."""
    return codecs.encode(picture)[1]


def jpeg(picture: torch.Tensor, quality: int = 90) -> bytes:
    """JPEG bytes of a grey or RGB Image, uint8."""
    pixels = picture.movedim(0, -1).numpy()
    out = io.BytesIO()
    Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()


def ppm(picture: Image) -> bytes:
    """PPM bytes (P6) of an RGB Image, uint8."""
    return b"P6\n%d %d\n255\n" % picture.canvas[::-1] + picture.movedim(0, -1).numpy().tobytes()


def pfm(values: np.ndarray) -> bytes:
    """PFM bytes of float32 [H, W] or [H, W, 3], little-endian, the bottom row first, as FlyingThings3D has them."""
    kind, (height, width) = (b"PF" if values.ndim == 3 else b"Pf"), values.shape[:2]
    return b"%s\n%d %d\n-1.0\n" % (kind, width, height) + np.ascontiguousarray(values[::-1], "<f4").tobytes()


def zip_file(path: str | os.PathLike[str], members: Mapping[str, bytes]) -> None:
    """A zip with its folders as members, as zip writes them, and stored or deflated by what the member is."""
    packed = (".txt", ".csv", ".json", ".xml", ".flo", ".ppm")
    with zipfile.ZipFile(path, "w") as archive:
        for folder in _folders(members):
            archive.writestr(folder + "/", b"")
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if name.endswith(packed) else zipfile.ZIP_STORED)


def tar_file(path: str | os.PathLike[str], members: Mapping[str, bytes]) -> None:
    """A tar with its folders as members; compressed as its name says: .tar, .tar.gz, .tgz, .tar.bz2.

    Members come in the reverse order of the mapping: nobody may count on the order of an archive.
    """
    name = os.fspath(path)
    mode = "w:gz" if name.endswith("gz") else "w:bz2" if name.endswith("bz2") else "w"
    with tarfile.open(name, mode) as archive:  # type: ignore[call-overload]
        for folder in _folders(members):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for member, data in reversed(list(members.items())):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def gzip_file(path: str | os.PathLike[str], data: bytes) -> None:
    """A single file, gzipped."""
    Path(path).write_bytes(gzip.compress(data, mtime=0))


def _folders(members: Mapping[str, bytes]) -> list[str]:
    parents = {parent.as_posix() for name in members for parent in Path(name).parents} - {"."}
    return sorted(parents)
