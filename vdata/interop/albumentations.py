"""A transform of albumentations (the MIT versions, up to 2.0.8) as a step of a pipe.

    pipe.apply(Step(A.Compose([A.Affine(rotate=(-30, 30)), A.RandomBrightnessContrast()])), T.RandomHorizontalFlip())

albumentations works on numpy arrays [H, W, C] in a CPU's memory. Pictures and masks are handed over as views where their
dtype is one that it knows, and come back as views of what it made.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from typing import Any

# Its import asks the package index whether there is a newer version: in every worker process, and with a warning where there is no
# network. The environment decides, as it does for albumentations itself, where it says anything.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import numpy as np
import torch
from albumentations.core.type_definitions import Targets
from torch import Tensor

from vdata.interop._step import Foreign, made_of
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms import Info, same_size, value
from vdata.transforms._base import Leaves
from vdata.transforms._check import put
from vdata.transforms._corners import UPRIGHT
from vdata.transforms._instances import instances
from vdata.transforms.boxes import convert_bounding_box_format

# Those that move key points as they move pixels, to the last digit (the tests measure it). Its resizes move points as
# edges and pixels as centres, its distortions move them by an inverse that is not exact.
EXACT = (
    A.Affine, A.AtLeastOneBBoxRandomCrop, A.BBoxSafeRandomCrop, A.CenterCrop, A.CoarseDropout, A.ConstrainedCoarseDropout, A.Crop,
    A.CropNonEmptyMaskIfExists, A.D4, A.Erasing, A.GridDropout, A.HorizontalFlip, A.NoOp, A.Pad, A.PadIfNeeded, A.Perspective,
    A.PixelDropout, A.RandomCrop, A.RandomCropFromBorders, A.RandomRotate90, A.Rotate, A.SafeRotate,
    A.ShiftScaleRotate, A.SquareSymmetry, A.TimeReverse, A.Transpose, A.VerticalFlip, A.XYMasking,
)  # fmt: skip


@value
class Step(Foreign):
    """A transform or composition of albumentations, drawn for by key: `pipe.apply(Step(A.Affine(rotate=(-30, 30))))`.

    size         the canvas that it makes: None where that is known only once it has run (what draws by the canvas then
                 stands in an .apply of its own), "same", or (height, width)
    approximate  key points pass under transforms that move them by up to a pixel from where they move the picture (resizes,
                 elastic and other distortions) too; without it they raise NoKernelError there
    instances    the names of all leaves that have a row an object (`T.Instances`); None for the usual ones. albumentations drops
                 boxes that leave the canvas, and what describes the same objects is dropped with them

    It is seeded by `set_random_state`, with a seed that is a function of the key; no global generator takes part, and each
    thread works on a copy of the transform. So all parts of a composition draw from one generator, one after the other:
    `set_random_seed` would give each its own of the same seed, and two flips of p=0.5 would come together or not at all.

    Boxes are handed over as pascal_voc, filtered as the `bbox_params` of a Compose say (their format and label_fields are not
    used), and come back as float32 in their own format. Key points go to pixel centres (x - 1/2) and back; none is removed,
    and those that albumentations loses are NaN. Several frames must be of one size. New pixels of a mask are `fill_mask`,
    not its ignore_index.

    NoKernelError: flow, rotated boxes, boxes that leave the canvas (unless clip=True in bbox_params), pictures other than
    uint8 and float32, leaves on a device, targets that a transform does not have.

    >>> Step(A.HorizontalFlip(p=1.0))({"image": Image(torch.arange(3.0).reshape(1, 1, 3))})["image"].tolist()
    [[[2.0, 1.0, 0.0]]]
    >>> Step(A.HorizontalFlip(p=1.0))
    albumentations.Step(HorizontalFlip(p=1.0))
    """

    transform: Any
    size: Any = None
    approximate: bool = False
    instances: Any = None
    package = "albumentations"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.transform, A.BasicTransform | A.BaseCompose):
            raise ValueError(f"Step takes a transform or a Compose of albumentations, got {self.transform!r}")
        solid = [t for t in _parts(self.transform) if isinstance(t, A.Transform3D)]
        if solid:
            raise ValueError(f"Step takes transforms of pictures, got {solid[0]!r}, which moves volumes")
        put(self, instances=None if self.instances is None else instances(self.instances))

    def admit(self, name: str, leaf: TypedTensor) -> None:
        if isinstance(leaf, Label):
            return
        if leaf.device.type != "cpu":
            why = f"it lies on {leaf.device}, and albumentations works in a CPU's memory: put it before the move"
            raise self.refuse(name, leaf, why)
        if isinstance(leaf, (Image, Video)):
            if leaf.ndim != leaf._core or leaf.dtype not in (torch.uint8, torch.float32):
                why = f"albumentations takes [C, H, W] of uint8 or float32, not {leaf.dtype} {list(leaf.shape)}: put T.ToDtype before it"
                raise self.refuse(name, leaf, why)
            return
        moving = [t for t in _parts(self.transform) if isinstance(t, A.DualTransform)]
        if not moving:
            return  # it changes colours
        if isinstance(leaf, Flow):
            raise self.refuse(name, leaf, "albumentations has no type for it; vdata.transforms moves it")
        lacking = [t for t in moving if not _has_target(t, leaf)]
        if lacking:
            why = f"{type(lacking[0]).__name__} has no target for it; leave the field out with .select(...)"
            raise self.refuse(name, leaf, why)
        if isinstance(leaf, BoundingBoxes):
            self._admit_boxes(name, leaf)
        loose = [type(t).__name__ for t in moving if type(t) not in EXACT]
        if isinstance(leaf, KeyPoints) and loose and not self.approximate:
            why = (
                f"{', '.join(loose)} of albumentations moves key points to within pixels of what they lie on; say approximate=True if "
                "that is fine, or use vdata.transforms, which moves them exactly"
            )
            raise self.refuse(name, leaf, why)

    def _admit_boxes(self, name: str, leaf: BoundingBoxes) -> None:
        if leaf.format not in UPRIGHT or leaf.ndim != 2:
            why = f"albumentations moves upright boxes [N, 4], not {leaf.format} {list(leaf.shape)}; vdata.transforms moves all"
            raise self.refuse(name, leaf, why)
        height, width = leaf.canvas_size
        unit = _pascal(leaf) / torch.tensor([width, height, width, height])
        slack = 1e-5  # what albumentations itself forgives
        good = (unit > -slack).all(1) & (unit < 1 + slack).all(1) & (unit[:, :2] < unit[:, 2:]).all(1)
        if not bool(good.all()) and not _filters(self.transform).get("clip"):
            why = (
                f"{_pascal(leaf)[~good][0].tolist()} leaves the canvas {leaf.canvas_size} or is empty, which albumentations refuses: put "
                "T.ClampBoundingBoxes() and T.SanitizeBoundingBoxes() before it, or say "
                'A.Compose([...], bbox_params=A.BboxParams("pascal_voc", clip=True, filter_invalid_bboxes=True))'
            )
            raise self.refuse(name, leaf, why)

    def run(self, seed: int, leaves: Leaves) -> tuple[Leaves, dict[str, Tensor]]:
        moves = any(isinstance(t, A.DualTransform) for t in _parts(self.transform))
        handed = {n: v for n, v in leaves.items() if isinstance(v, (Image, Video)) or moves}
        handed = {n: v for n, v in handed.items() if not isinstance(v, Label)}
        if not handed:
            return {}, {}
        canvas = tuple(same_size(self, Info.of([leaves]))[0].tolist())
        keys = _keys(handed)
        arrays: dict[str, Any] = {keys[n]: self._array(n, v) for n, v in handed.items()}
        if not arrays.keys() & {"image", "images"}:  # nothing else tells albumentations how large the canvas is
            arrays["image"] = np.zeros((*canvas, 1), np.uint8)
        compose = self._compose(tuple(arrays))
        compose[0].set_random_state(np.random.default_rng(seed), random.Random(seed))
        out = compose(**arrays)
        size = _size(out["image"] if "image" in out else out["images"][0])
        back = {n: _leaf(v, out[keys[n]], size) for n, v in handed.items()}
        return back, {n: _rows(out[keys[n]]) for n, v in handed.items() if isinstance(v, BoundingBoxes)}

    def _compose(self, keys: tuple[str, ...]) -> A.Compose:
        """This thread's composition for leaves handed over under these keys."""
        made = made_of(self.transform)
        if keys not in made:
            boxes = A.BboxParams("pascal_voc", **_filters(self.transform)) if "bboxes" in keys else None
            points = A.KeypointParams("xy", remove_invisible=False) if "keypoints" in keys else None
            others = {k: k.rsplit("_", 1)[0] for k in keys if "_" in k}
            copied = copy.deepcopy(self.transform)
            made[keys] = A.Compose([copied], bbox_params=boxes, keypoint_params=points, additional_targets=others)
        return made[keys]

    def _array(self, name: str, leaf: TypedTensor) -> np.ndarray:
        """A leaf as albumentations takes it; boxes and points with their row in a last column."""
        plain = leaf.plain()
        if isinstance(leaf, (Image, Video)):
            return plain.movedim(-3, -1).numpy()
        if isinstance(leaf, Mask):
            plain = plain if plain.ndim == 2 else plain.reshape(-1, *plain.shape[-2:])
            return self._mask(name, leaf, plain if len(plain) else plain.new_zeros((1, *leaf.canvas)))
        points = _pascal(leaf) if isinstance(leaf, BoundingBoxes) else plain.float() - 0.5
        return torch.cat([points, torch.arange(len(points), dtype=torch.float32)[:, None]], 1).numpy()

    def _mask(self, name: str, leaf: Mask, plain: Tensor) -> np.ndarray:
        """A mask in a dtype that OpenCV moves and that holds all of its values."""
        if plain.dtype in (torch.uint8, torch.uint16, torch.float32):
            return plain.numpy()
        if plain.dtype == torch.bool:
            return plain.view(torch.uint8).numpy()
        for dtype in (torch.float32, torch.float64):
            cast = plain.to(dtype)
            if torch.equal(cast.to(plain.dtype), plain):
                return cast.numpy()
        raise self.refuse(name, leaf, "it holds numbers beyond 2**53, which no dtype that OpenCV moves can hold")


def _parts(transform: Any) -> Iterator[Any]:
    """The transforms that a composition is made of."""
    if isinstance(transform, A.BaseCompose):
        for child in transform.transforms:
            yield from _parts(child)
    else:
        yield transform


def _filters(transform: Any) -> dict[str, Any]:
    """Which boxes a Compose keeps, as its bbox_params say."""
    processors = transform.processors if isinstance(transform, A.Compose) else {}
    said = vars(processors["bboxes"].params) if "bboxes" in processors else {}
    return {n: v for n, v in said.items() if n not in ("format", "label_fields")}


def _keys(leaves: Leaves) -> dict[str, str]:
    """The names under which leaves are handed over: of each kind the first is what albumentations calls it."""
    seen: dict[str, int] = {}
    keys = {}
    for name, leaf in leaves.items():
        target = _target(leaf)
        count = seen[target] = seen.get(target, -1) + 1
        keys[name] = f"{target}_{count}" if count else target
    return keys


def _has_target(transform: A.DualTransform, leaf: TypedTensor) -> bool:
    """Whether a transform says that it moves leaves of this type: its base class has a method for every target."""
    said = transform._targets if isinstance(transform._targets, tuple) else (transform._targets,)
    return {Mask: Targets.MASK, BoundingBoxes: Targets.BBOXES, KeyPoints: Targets.KEYPOINTS}[type(leaf)] in said


def _target(leaf: TypedTensor) -> str:
    """albumentations' name for what a leaf is."""
    if isinstance(leaf, Mask):
        return "mask" if leaf.ndim == 2 else "masks"
    return {Image: "image", Video: "images", BoundingBoxes: "bboxes", KeyPoints: "keypoints"}[type(leaf)]


def _pascal(boxes: BoundingBoxes) -> Tensor:
    return convert_bounding_box_format(boxes, new_format="XYXY").float().as_subclass(Tensor)


def _size(picture: Any) -> tuple[int, int]:
    height, width = picture.shape[-2:] if isinstance(picture, Tensor) else picture.shape[:2]
    return int(height), int(width)


def _rows(moved: np.ndarray) -> Tensor:
    """The rows, as they were, of the boxes or points that are left."""
    return torch.from_numpy(moved[:, -1].astype(np.int64)) if moved.size else torch.zeros(0, dtype=torch.int64)


def _leaf(old: Any, moved: Any, size: tuple[int, int]) -> TypedTensor:
    """What albumentations made of a leaf, as its type; points that it lost have no place, which is NaN."""
    if isinstance(old, (Image, Video)):
        if isinstance(moved, Tensor):  # ToTensorV2 has put the channels first
            return old.like(moved)
        pixels = torch.from_numpy(moved)
        return old.like((pixels if pixels.ndim == old.ndim else pixels[..., None]).movedim(-1, -3))
    if isinstance(old, Mask):
        ids = torch.as_tensor(moved).to(old.dtype)
        return old.like(ids[: len(old)].reshape(*old.shape[:-2], *size) if old.ndim > 2 else ids)
    if isinstance(old, BoundingBoxes):
        boxes = torch.as_tensor(moved[:, :4], dtype=torch.float32)
        back = BoundingBoxes(boxes, format="XYXY", canvas_size=size)
        return old.like(convert_bounding_box_format(back, new_format=old.format).as_subclass(Tensor), canvas_size=size)
    points = torch.full(old.shape, torch.nan, dtype=torch.float32)
    points[_rows(moved)] = torch.as_tensor(moved[:, :2], dtype=torch.float32) + 0.5
    return old.like(points, canvas_size=size)
