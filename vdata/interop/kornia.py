"""A transform of kornia.augmentation as a step of a pipe.

pipe.apply(T.ToDtype(torch.float32, scale=True), Step(K.RandomAffine(30.0)), T.RandomHorizontalFlip())
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import kornia.augmentation as K
import torch
from kornia.augmentation.auto.operations.base import OperationBase
from kornia.augmentation.container.base import ImageSequentialBase
from torch import Tensor

from vdata.interop._seeded import Seeded
from vdata.interop._step import Foreign, made_of
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms import Info, same_size, value
from vdata.transforms._base import Leaves
from vdata.transforms._corners import corners, from_corners


@value
class Step(Foreign):
    """A transform or sequence of `kornia.augmentation`, drawn for by key: `pipe.apply(Step(K.RandomAffine(30.0)))`.

    size  the canvas that it makes: None where that is known only once it has run (what draws by the canvas then stands in
          an .apply of its own), "same", or (height, width)

    A sample is drawn for as after `torch.manual_seed(seed)`, with a seed that is a function of the key; torch's default
    generators are neither read nor written (`_seeded.Seeded`). kornia keeps what it drew in the module, so each thread works
    on a copy of it. Samples of a batch are moved one by one, each as if it were alone; pictures may lie on a device.

    Pictures must be float32 or float64 (`T.ToDtype(torch.float32, scale=True)`), all of one size; frames and those of a
    clip are moved alike. Masks keep their dtype; their new pixels are 0, not their ignore_index. Key points go to kornia's pixel
    centres (x - 1/2) and back. Boxes do not go through kornia's own, which end at the centre of the last pixel: their four
    corners are moved as points, and the hull is taken, as vdata's own transforms do. They are not cut to the canvas.

    NoKernelError: flow, unless only colours change; boxes and key points under what bends (RandomElasticTransform, RandomThinPlateSpline, RandomFisheye:
    kornia would leave them where they are), masks under the last two, and all but pictures under what is no augmentation.

    >>> Step(K.RandomHorizontalFlip(p=1.0))({"image": Image(torch.arange(3.0).reshape(1, 1, 3))})["image"].tolist()
    [[[2.0, 1.0, 0.0]]]
    >>> Step(K.RandomHorizontalFlip(p=1.0))
    kornia.Step(RandomHorizontalFlip(p=1.0, p_batch=1.0, same_on_batch=False))
    """

    transform: Any
    size: Any = None
    package = "kornia"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.transform, K.AugmentationBase2D | ImageSequentialBase):
            raise ValueError(
                f"Step takes a two-dimensional augmentation of kornia or a sequence of them, got {self.transform!r}"
            )
        others = K.MixAugmentationBaseV2 | K.AugmentationBase3D | K.VideoSequential
        odd = [type(m).__name__ for m in _parts(self.transform) if isinstance(m, others)]
        if odd:
            raise ValueError(
                f"{odd[0]} mixes samples or moves volumes or clips: a step moves the pictures of one sample"
            )

    def admit(self, name: str, leaf: TypedTensor) -> None:
        if isinstance(leaf, Label):
            return
        if isinstance(leaf, Flow):
            if all(isinstance(m, K.IntensityAugmentationBase2D) for m in _parts(self.transform)):
                return  # colours move nothing
            raise self.refuse(name, leaf, "kornia has no type for it; vdata.transforms moves it")
        if isinstance(leaf, (Image, Video)):
            if leaf.ndim != leaf._core or leaf.dtype not in (torch.float32, torch.float64):
                why = f"kornia takes [C, H, W] of float32, not {leaf.dtype} {list(leaf.shape)}: put T.ToDtype(torch.float32, scale=True) before it"
                raise self.refuse(name, leaf, why)
            return
        rigid = K.RigidAffineAugmentationBase2D
        known = (rigid, K.RandomElasticTransform) if isinstance(leaf, Mask) else rigid
        lost = [type(m).__name__ for m in _parts(self.transform) if not isinstance(m, known)]
        if lost:
            why = f"{', '.join(lost)} of kornia has no kernel for it; vdata.transforms moves it, or leave the field out with .select(...)"
            raise self.refuse(name, leaf, why)

    def run(self, seed: int, leaves: Leaves) -> tuple[Leaves, dict[str, Tensor]]:
        handed = {n: v for n, v in leaves.items() if not isinstance(v, (Label, Flow))}
        pictures = [v for v in handed.values() if isinstance(v, (Image, Video))]
        if not handed:
            return {}, {}
        same_size(self, Info.of([leaves]))
        if not pictures:
            raise self.refuse(*next(iter(handed.items())), "kornia draws by a picture, and the sample has none")
        parts = {n: _parts_of(v, pictures[0]) for n, v in handed.items()}
        keys = [_key(handed[n]) for n, own in parts.items() for _ in own]
        with Seeded(seed):
            moved = self._sequence()(*[p for own in parts.values() for p in own], data_keys=keys)
        each = iter(moved if len(keys) > 1 else [moved])
        taken = {n: [next(each) for _ in own] for n, own in parts.items()}
        size = next(taken[n][0].shape[-2:] for n, v in handed.items() if isinstance(v, (Image, Video)))
        return {n: _leaf(v, taken[n], (int(size[0]), int(size[1]))) for n, v in handed.items()}, {}

    def _sequence(self) -> K.AugmentationSequential:
        """This thread's copy, which takes leaves of several types."""
        made = made_of(self.transform)
        if not made:
            copied = copy.deepcopy(self.transform)
            made[""] = copied if isinstance(copied, K.AugmentationSequential) else K.AugmentationSequential(copied)
        return made[""]


def _parts(module: Any) -> Iterator[Any]:
    """The augmentations that a sequence is made of."""
    if isinstance(module, ImageSequentialBase) and not isinstance(module, K.PatchSequential | K.VideoSequential):
        for child in module.children():
            yield from _parts(child)
    else:
        yield module.op if isinstance(module, OperationBase) else module


def _key(leaf: TypedTensor) -> str:
    return "input" if isinstance(leaf, (Image, Video)) else "mask" if isinstance(leaf, Mask) else "keypoints"


def _parts_of(leaf: Any, picture: TypedTensor) -> list[Tensor]:
    """What kornia gets of a leaf, a batch of one each: frames, masks as channels, points at pixel centres."""
    plain = leaf.plain()
    if isinstance(leaf, (Image, Video)):
        return list(plain.reshape(-1, 1, *plain.shape[-3:]))
    if isinstance(leaf, Mask):
        return [plain.reshape(1, -1, *leaf.canvas) if plain.numel() else plain.new_zeros((1, 1, *leaf.canvas))]
    points = corners(plain, leaf.format) if isinstance(leaf, BoundingBoxes) else plain
    return [points.reshape(1, -1, 2).to(picture.dtype) - 0.5]


def _leaf(old: Any, moved: list[Tensor], size: tuple[int, int]) -> TypedTensor:
    """What kornia made of a leaf, as its type."""
    if isinstance(old, (Image, Video)):
        return old.like(torch.cat(moved).reshape(*old.shape[:-3], *moved[0].shape[-3:]))
    if isinstance(old, Mask):
        return old.like(moved[0][0][: old.shape[:-2].numel()].reshape(*old.shape[:-2], *size))
    points = moved[0][0] + 0.5
    if isinstance(old, KeyPoints):
        return old.like(points.to(old.dtype).reshape(old.shape), canvas_size=size)
    turned = points.reshape(*old.shape[:-1], 4, 2)
    across, down = turned[..., 1, :] - turned[..., 0, :], turned[..., 3, :] - turned[..., 0, :]
    mirrored = across[..., 0] * down[..., 1] < across[..., 1] * down[..., 0]
    turned = torch.where(mirrored[..., None, None], turned[..., [1, 0, 3, 2], :], turned)  # clockwise again
    return old.like(from_corners(turned, old.format).to(old.dtype), canvas_size=size)
