"""Detection and segmentation: a picture with ten boxes and ten masks through one chain of six transforms, on one core, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np
from cases._counted import counted
from cases._scenes import photographs, picture

TITLE = "640 x 480 picture, 10 boxes, 10 masks: ScaleJitter, RandomCrop 448, RandomAffine, flip, ColorJitter, Sanitize; uint8, linear without antialias, one core"
UNIT = "samples"
MUST = {"albumentations": 1.3, "torchvision": 4.0}
STRETCH = {"albumentations": 2.2, "torchvision": 7.0}
NOTES = {
    "albumentations": "2.0.8; pads a small picture in its middle only as far as the crop needs (the others on both sides); hue in 8 bits; looks at boxes after "
    "every transform; masks of dropped boxes are taken out afterwards by their index; gives the picture as a view [3, H, W] of [H, W, 3]",
    "torchvision": "v2 on tv_tensors; its contrast and hue as vdata's",
    "vdata": "in a pipe, draws keyed by position",
    "vdata fused": "the same with fuse=True: scale, crop, affine and flip read pixels once, so the picture is not blurred twice",
}
HEIGHT, WIDTH, CROP, OBJECTS = 480, 640, 448, 10
PARTS = 12
SCALE = (0.5, 2.0)
AFFINE: dict[str, Any] = {"degrees": 10, "translate": (0.1, 0.1), "scale": (0.9, 1.1), "shear": (-5, 5)}
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def prepare(folder: Path, photos: Path | None, quick: bool) -> None:
    def make(place: Path) -> None:
        rng, sources = np.random.default_rng(0), photographs(photos)
        boxes, masks = (np.stack(part) for part in zip(*(_objects(rng) for _ in range(16))))
        with place.open("wb") as file:
            np.savez(file, images=[picture(HEIGHT, WIDTH, rng, sources) for _ in boxes], boxes=boxes, masks=masks)

    data.once(folder / "d1.npz", make)


def _objects(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses: boxes float32 [N, 4] of two corners, masks bool [N, H, W]."""
    middle = rng.uniform((80, 80), (WIDTH - 80, HEIGHT - 80), (OBJECTS, 2))
    half = rng.uniform(15, 80, (OBJECTS, 2))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = ((x - middle[:, 0, None, None]) / half[:, 0, None, None]) ** 2 + ((y - middle[:, 1, None, None]) / half[:, 1, None, None]) ** 2 < 1
    return np.concatenate([middle - half, middle + half], 1).astype(np.float32), masks


def _arrays(folder: Path) -> tuple[np.ndarray, ...]:
    """Pictures uint8 [N, H, W, 3], boxes float32 [N, 10, 4], masks bool [N, 10, H, W]."""
    with np.load(folder / "d1.npz") as kept:
        return kept["images"], kept["boxes"], kept["masks"]


def _tensors(folder: Path) -> Iterator[tuple[Any, ...]]:
    """The same as tensors, pictures [3, H, W]."""
    import torch

    for image, boxes, masks in zip(*_arrays(folder)):
        yield torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(boxes), torch.from_numpy(masks)


def _count(quick: bool) -> int:
    return PARTS if quick else 16 * PARTS


def delivered(folder: Path, count: int, fuse: bool = False) -> Iterator[dict[str, Any]]:
    """vdata's samples."""
    import torch

    import vdata
    from vdata import transforms as T
    from vdata.tensors import BoundingBoxes, Image, Label, Mask

    torch.set_num_threads(1)
    samples = [
        {
            "image": Image(image),
            "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=(HEIGHT, WIDTH)),
            "masks": Mask(masks, kind="instance"),
            "labels": Label(torch.arange(OBJECTS)),
        }
        for image, boxes, masks in _tensors(folder)
    ]
    yield from vdata.from_torch(samples).repeat().take(count).apply(
        T.ScaleJitter((HEIGHT, WIDTH), SCALE, antialias=False),
        T.RandomCrop(CROP, pad_if_needed=True),
        T.RandomAffine(**AFFINE, interpolation="bilinear"),
        T.RandomHorizontalFlip(),
        T.ColorJitter(**JITTER),
        T.SanitizeBoundingBoxes(),
        fuse=fuse,
    )


def ours(folder: Path, quick: bool) -> Iterator[int]:
    return counted(delivered(folder, _count(quick)), _count(quick) // PARTS)


def fused(folder: Path, quick: bool) -> Iterator[int]:
    return counted(delivered(folder, _count(quick), fuse=True), _count(quick) // PARTS)


def albumentations(folder: Path, quick: bool) -> Iterator[int]:
    return counted(_albumentations(folder, _count(quick)), _count(quick) // PARTS)


def _albumentations(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    import albumentations as A
    import cv2

    cv2.setNumThreads(0)
    chain = A.Compose(
        [
            A.RandomScale((SCALE[0] - 1, SCALE[1] - 1), p=1),
            A.RandomCrop(CROP, CROP, pad_if_needed=True),
            A.Affine(
                rotate=(-AFFINE["degrees"], AFFINE["degrees"]),
                translate_percent=(-AFFINE["translate"][0], AFFINE["translate"][0]),
                scale=AFFINE["scale"],
                keep_ratio=True,
                shear={"x": AFFINE["shear"], "y": (0, 0)},
                p=1,
            ),
            A.HorizontalFlip(),
            A.ColorJitter(**JITTER, p=1),
            A.ToTensorV2(),
        ],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["index"], min_area=1, min_width=1, min_height=1),
        seed=0,
    )
    images, boxes, masks = _arrays(folder)
    index = np.arange(OBJECTS)
    for n in range(count):
        at = n % len(images)
        out = chain(image=images[at], bboxes=boxes[at], masks=masks[at].view(np.uint8), index=index)
        yield {**out, "masks": out["masks"][out["index"].astype(int)]}


def torchvision(folder: Path, quick: bool) -> Iterator[int]:
    return counted(_torchvision(folder, _count(quick)), _count(quick) // PARTS)


def _torchvision(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    torch.manual_seed(0)
    chain = v2.Compose(
        [
            v2.ScaleJitter((WIDTH, HEIGHT), SCALE, antialias=False),  # its target is (width, height)
            v2.RandomCrop(CROP, pad_if_needed=True),
            v2.RandomAffine(**AFFINE, interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(**JITTER),
            v2.SanitizeBoundingBoxes(labels_getter=lambda sample: (sample["labels"], sample["masks"])),
        ]
    )
    samples = [
        {
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(HEIGHT, WIDTH)),  # type: ignore[call-overload]
            "masks": tv_tensors.Mask(masks),
            "labels": torch.arange(OBJECTS),
        }
        for image, boxes, masks in _tensors(folder)
    ]
    for n in range(count):
        yield chain(samples[n % len(samples)])


def CHECK(folder: Path) -> None:
    """All deliver a picture of the crop's size and as many masks as boxes; and as many objects as each other, to a third."""
    kept = []
    for sample in (delivered, _albumentations, _torchvision):
        outs = list(sample(folder, 16))
        boxes = [out["boxes" if "boxes" in out else "bboxes"] for out in outs]
        for out, found in zip(outs, boxes):
            assert tuple(out["image"].shape) == (3, CROP, CROP) and str(out["image"].dtype) == "torch.uint8"
            assert tuple(out["masks"].shape) == (len(found), CROP, CROP)
        kept.append(sum(map(len, boxes)))
    assert max(kept) < 1.33 * min(kept), f"objects left of {16 * OBJECTS}: {kept}"


PEERS = {"vdata": ours, "vdata fused": fused, "albumentations": albumentations, "torchvision": torchvision}
