"""torchvision's tv_tensors in and out without a copy, and `torchvision.transforms.v2` as a step of a pipe.

    pipe.apply(Step(v2.RandomRotation(30)), T.RandomHorizontalFlip())

torchvision has no type for flow or labels: a Flow becomes a plain tensor (NaN where unknown), a Label one of int64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import PIL.Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from vdata.batch import Batch, Ragged, each_tensor
from vdata.interop._seeded import Seeded
from vdata.interop._step import Foreign
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label, Mask, TypedTensor, Video
from vdata.transforms import value
from vdata.transforms._base import Leaves
from vdata.transforms._info import frame_of


def to_tv(value: Any) -> Any:
    """`value` with every typed tensor as torchvision's, in any dict, list, tuple, named tuple or `Batch`; memory is shared.

    Of a Batch the stacked leaves are converted and Ragged ones, for which torchvision has nothing, stay. What tv_tensors
    cannot hold (frame, visibility, swap, ignore_index, categories, the kind of a mask) is left out: `from_tv(moved,
    like=value)` puts it back.

    >>> type(to_tv(Image(torch.zeros(3, 2, 2)))).__module__
    'torchvision.tv_tensors._image'
    """
    return each_tensor(value, _to_tv)


def _to_tv(value: Any) -> Any:
    match value:
        case Image():
            return tv_tensors.Image(value.plain())
        case Video():
            return tv_tensors.Video(value.plain())
        case Mask():
            return tv_tensors.Mask(value.plain())
        case BoundingBoxes():
            box: dict[str, Any] = {
                "format": value.format,
                "canvas_size": value.canvas_size,
                "clamping_mode": value.clamping_mode,
            }
            return tv_tensors.BoundingBoxes(value.plain(), **box)
        case KeyPoints():
            return tv_tensors.KeyPoints(value.plain(), canvas_size=value.canvas_size)  # pyright: ignore[reportCallIssue]
        case TypedTensor():
            return value.plain()
    return value


def from_tv(value: Any, like: Any = None) -> Any:
    """`value` with every tv_tensor as vdata's; memory is shared.

    like  the value that `to_tv` was given: each leaf gets back from the one in the same place what tv_tensors cannot hold,
          and a plain tensor the type that it had. So `from_tv(to_tv(x), like=x)` is x, and loses nothing

    Raises ValueError where points have been dropped and their visibility cannot follow.

    >>> from_tv(tv_tensors.Mask(torch.zeros(2, 2)))
    Mask(float32 [2, 2], kind='semantic', [[0.0, 0.0], [0.0, 0.0]])
    >>> mask = Mask(torch.zeros(2, 2, dtype=torch.uint8), ignore_index=255)
    >>> from_tv(to_tv(mask), like=mask).ignore_index
    255
    """
    if like is None:
        return each_tensor(value, _from_tv)
    if isinstance(value, Mapping) and isinstance(like, Mapping):
        leaves = {n: from_tv(v, like.get(n)) for n, v in value.items()}
        return value.replace(leaves) if isinstance(value, Batch) else leaves
    if isinstance(value, (list, tuple)) and isinstance(like, (list, tuple)) and len(value) == len(like):
        parts = [from_tv(v, old) for v, old in zip(value, like, strict=True)]
        return type(value)(parts) if type(value) in (list, tuple) else type(value)(*parts)
    if isinstance(value, Tensor) and isinstance(like, TypedTensor):
        return _like(value, like)
    return from_tv(value)


def _from_tv(value: Any) -> Any:
    if isinstance(value, Ragged) or not isinstance(value, tv_tensors.TVTensor):
        return value
    plain = value.as_subclass(Tensor)
    match value:
        case tv_tensors.Image():
            return Image(plain)
        case tv_tensors.Video():
            return Video(plain)
        case tv_tensors.Mask():
            return Mask(plain)
        case tv_tensors.BoundingBoxes():
            box: dict[str, Any] = {"canvas_size": value.canvas_size, "clamping_mode": value.clamping_mode}
            return BoundingBoxes(plain, format=value.format.value, **box)
        case tv_tensors.KeyPoints():
            return KeyPoints(plain, canvas_size=value.canvas_size)
    return value


def _like(value: Tensor, old: TypedTensor) -> Any:
    """A leaf as vdata's, with what `old` carries and tv_tensors cannot hold."""
    new = _from_tv(value)
    if type(new) is Tensor:
        return old.like(new)
    if type(new) is not type(old):
        return new
    told = {n: getattr(new, n) for n in ("format", "canvas_size", "clamping_mode") if n in new.meta()}
    for name in old._rows:
        if (rows := getattr(old, name)) is not None and rows.shape != new.shape[: rows.ndim]:
            raise ValueError(
                f"{type(old).__name__} of shape {list(old.shape)} came back as {list(new.shape)}: their {name} cannot follow, for "
                "torchvision does not say which rows it kept"
            )
    return old.like(new.plain(), **told)


@value
class Step(Foreign):
    """A transform of `torchvision.transforms.v2`, drawn for by key: `pipe.apply(Step(v2.RandomRotation(30)))`.

    size         the canvas that it makes: None where that is known only once it has run (what draws by the canvas then
                 stands in an .apply of its own), "same", or (height, width)
    approximate  key points pass too, by torchvision's rules, which mix two conventions: its flips take W - 1 - x where ours
                 take W - x, its rotations and resizes are as ours. Without it they raise NoKernelError

    A sample is drawn for as after `torch.manual_seed(seed)`, with a seed that is a function of the key; torch's default
    generators are neither read nor written (`_seeded.Seeded`), so steps run in many threads beside a training loop that draws.

    Images, clips, masks and boxes follow torchvision, with its fills (new pixels of a mask are 0, or what `fill` says,
    not its ignore_index). Flow raises NoKernelError; so does what comes back as no tensor (FiveCrop). Leaves of one frame that
    come back on different canvases raise PlanError: torchvision passes what it has no kernel for, and its
    `expand=True` makes canvases for boxes that can be a pixel away from the picture's. Integer boxes become float32, for
    torchvision would cut them off. Labels are handed over where there is a picture, so that SanitizeBoundingBoxes finds them
    (without one it would take the first for a picture).

    >>> Step(v2.RandomHorizontalFlip(1.0))(BoundingBoxes([[0.0, 0, 2, 4]], format="XYXY", canvas_size=(4, 10))).tolist()
    [[8.0, 0.0, 10.0, 4.0]]
    >>> Step(v2.RandomRotation(30))
    torchvision.Step(RandomRotation(degrees=[-30.0, 30.0], interpolation=nearest, expand=False, fill=0))
    """

    transform: Any
    size: Any = None
    approximate: bool = False
    package = "torchvision"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.transform, v2.Transform):
            raise ValueError(f"Step takes a transform of torchvision.transforms.v2, got {self.transform!r}")

    def admit(self, name: str, leaf: TypedTensor) -> None:
        if isinstance(leaf, Flow):
            why = "torchvision has no type for it; vdata.transforms moves it under the same names"
            raise self.refuse(name, leaf, why)
        if isinstance(leaf, KeyPoints) and not self.approximate:
            why = (
                "torchvision flips key points to W - 1 - x and turns them as if they were edges; say approximate=True if half a pixel to a "
                "pixel is fine, or use vdata.transforms, which moves them exactly under the same names"
            )
            raise self.refuse(name, leaf, why)

    def run(self, seed: int, leaves: Leaves) -> tuple[Leaves, dict[str, Tensor]]:
        pictured = any(isinstance(v, (Image, Video)) for v in leaves.values())
        handed = {n: v for n, v in leaves.items() if pictured or not isinstance(v, Label)}
        with Seeded(seed):
            moved = self.transform(to_tv(handed))
        back = {n: self._typed(n, handed[n], moved.get(n)) for n in handed}
        return {n: _placed(n, v, back) for n, v in back.items()}, {}

    def _typed(self, name: str, old: TypedTensor, new: Any) -> TypedTensor:
        if isinstance(new, PIL.Image.Image):
            return Image(new)
        if not isinstance(new, Tensor):
            raise self.refuse(name, old, f"it came back as {type(new).__name__}: a step makes one sample of one")
        return from_tv(new, like=old)


def _placed(name: str, leaf: TypedTensor, leaves: Leaves) -> TypedTensor:
    """No boxes or points lie on the canvas of their picture, which torchvision forgets to tell them."""
    if not isinstance(leaf, (BoundingBoxes, KeyPoints)) or leaf.numel():
        return leaf
    picture = leaves.get(frame_of(name, leaf, leaves))
    return leaf.like(leaf.plain(), canvas_size=picture.canvas) if isinstance(picture, (Image, Video)) else leaf
