"""Between PIL images, numpy arrays and tensors."""

from __future__ import annotations

import warnings
from dataclasses import field, replace
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from vdata.errors import NoKernelError
from vdata.tensors import Image, TypedTensor, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms.dtype import ToDtype, channels_last, rescaled

# Pillow's names for pictures of so many channels; the first is meant where none is given.
_MODES = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}
_GREY = {torch.uint8: "L", torch.uint16: "I;16", torch.int32: "I", torch.float32: "F", torch.bool: "1"}


def to_image(inpt: Any) -> Image:
    """An Image of a PIL image, a numpy array [..., H, W, C] or [H, W], or a tensor [..., C, H, W] or [H, W].

    Values and dtype stay; an array is copied. Raises TypeError for what is no picture, and ValueError for an array that
    looks as if its channels came first.

    >>> to_image(np.zeros((4, 6, 3), np.uint8)).shape
    torch.Size([3, 4, 6])
    """
    if isinstance(inpt, PIL.Image.Image) or type(inpt) in (Tensor, Image):
        return inpt if isinstance(inpt, Image) else Image(inpt)
    if not isinstance(inpt, np.ndarray):
        remedy = ": wrap its .plain() where its numbers are meant as a picture" if isinstance(inpt, TypedTensor) else ""
        raise TypeError(f"a picture is a PIL image, a numpy array or a tensor, not a {type(inpt).__name__}{remedy}")
    channels_last(inpt)
    array = torch.from_numpy(np.array(inpt, inpt.dtype.newbyteorder("="), order="C"))
    return Image(array.movedim(-1, -3).contiguous() if array.ndim > 2 else array)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a plain tensor [C, H, W] of its own dtype and values (a palette's are indices).

    >>> pil_to_tensor(PIL.Image.new("RGB", (6, 4))).shape
    torch.Size([3, 4, 6])
    """
    if not isinstance(pic, PIL.Image.Image):
        raise TypeError(f"pil_to_tensor takes a PIL image, not a {type(pic).__name__}")
    return Image(pic).plain()


def to_tensor(inpt: Any) -> Tensor:
    """Deprecated, as in torchvision: write `to_dtype(to_image(inpt), torch.float32, scale=True)`.

    A PIL image or numpy picture as a plain tensor [C, H, W], floating in 0..1 where it is uint8 or bool.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     to_tensor(PIL.Image.new("L", (1, 1), 255)).tolist()
    [[[1.0]]]
    """
    if not isinstance(inpt, (PIL.Image.Image, np.ndarray)):
        raise TypeError(f"to_tensor takes a PIL image or a numpy array, not a {type(inpt).__name__}")
    new = "to_dtype(to_image(inpt), torch.float32, scale=True)"
    warnings.warn(f"to_tensor(inpt) is deprecated: write {new}", DeprecationWarning, stacklevel=2)
    return _floating(to_image(inpt)).plain()


def _floating(image: Image) -> Image:
    """Bytes and bool in 0..1; other dtypes as they are."""
    scaled = image.dtype in (torch.uint8, torch.bool)
    return image.like(rescaled(image.plain(), torch.get_default_dtype())) if scaled else image


def to_pil_image(pic: Any, mode: str | None = None) -> PIL.Image.Image:
    """A PIL image of a tensor [C, H, W] or [H, W], or of a numpy array [H, W, C] or [H, W].

    mode  what the channels mean: for one L (uint8), I;16 (uint16), I (int32), F (float32) or 1 (bool); for two LA; for
          three RGB, YCbCr or HSV; for four RGBA, CMYK or RGBX. None is the first of these (of one channel by its dtype).
          Nothing is converted.

    Floating pictures become uint8 as by `to_dtype(..., torch.uint8, scale=True)`, values beyond 0..1 black and white
    (torchvision's wrap round), unless the mode is F.

    >>> to_pil_image(torch.zeros(3, 4, 6)).size
    (6, 4)
    """
    if not isinstance(pic, (Tensor, np.ndarray)):
        raise TypeError(f"to_pil_image takes a tensor or a numpy array, not a {type(pic).__name__}")
    x = to_image(pic.plain() if isinstance(pic, TypedTensor) else pic).plain().detach().cpu()
    if x.ndim != 3 or x.shape[0] not in (1, 2, 3, 4):
        raise ValueError(f"a PIL image has one to four channels, [C, H, W] or [H, W], got shape {list(pic.shape)}")
    if x.is_floating_point():
        x = x.float() if mode == "F" else rescaled(x, torch.uint8)
    return _to_pil(x, _mode(x, mode))


def _mode(x: Tensor, mode: str | None) -> str:
    """Pillow's name for what x [C, H, W] is."""
    dtype = str(x.dtype).removeprefix("torch.")
    if x.shape[0] == 1:
        if x.dtype not in _GREY:
            known = ", ".join(str(d).removeprefix("torch.") for d in _GREY)
            raise TypeError(f"Pillow has no grey pictures of {dtype}, only of {known}: cast it to one of these")
        allowed = (_GREY[x.dtype],)
    else:
        if x.dtype != torch.uint8:
            raise TypeError(
                f"Pillow has no pictures of {x.shape[0]} channels of {dtype}: use ToDtype(torch.uint8, scale=True)"
            )
        allowed = _MODES[x.shape[0]]
    if mode is not None and mode not in allowed:
        raise ValueError(f"{x.shape[0]} channels of {dtype} are of mode {' or '.join(allowed)}, not {mode!r}")
    return mode or allowed[0]


def _to_pil(x: Tensor, mode: str) -> PIL.Image.Image:
    array = x.movedim(0, -1).contiguous().numpy()
    data = np.packbits(array[..., 0], axis=1) if mode == "1" else array
    return PIL.Image.frombytes(mode, (x.shape[2], x.shape[1]), data.tobytes())


class _Entering(Transform):
    """Takes in what no type explains but is a picture: PIL images, and arrays of at most four channels or alone."""

    def converted(self, leaf: Any) -> Any:
        """A PIL image or array as this transform's own kind of picture."""
        return to_image(leaf)

    def enter(self, leaves: Leaves) -> Leaves:
        new = {n: self.converted(v) if _is_foreign(v, alone=n == "") else v for n, v in leaves.items()}
        return super().enter(new if any(new[n] is not v for n, v in leaves.items()) else leaves)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        return {n: self.converted(v) if _is_foreign(v) else v for n, v in sample.items()}


def _is_foreign(leaf: Any, alone: bool = False) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.ndim == 3 and leaf.shape[-1] <= 4 if not alone else leaf.ndim in (2, 3)
    return isinstance(leaf, PIL.Image.Image)


@value
class PILToTensor(_Entering):
    """PIL images become Images of their own dtype and values; all else stays.

    An Image is a tensor that knows what it is, so that what follows can move it (`ToPureTensor` at the end makes it
    plain). Numpy pictures [H, W, C] are taken too.

    >>> PILToTensor()(PIL.Image.new("RGB", (6, 4))).shape
    torch.Size([3, 4, 6])
    """


@value
class ToTensor(_Entering):
    """Deprecated, as in torchvision: write `Compose([ToImage(), ToDtype(torch.float32, scale=True)])`.

    PIL images and numpy pictures become floating Images in 0..1 where they are uint8 or bool; other dtypes keep their
    values, and tensors stay as they are.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     to_tensor = ToTensor()
    >>> to_tensor(PIL.Image.new("L", (1, 1), 255)).tolist()
    [[[1.0]]]
    """

    def __post_init__(self) -> None:
        _deprecated("ToTensor()", "Compose([ToImage(), ToDtype(torch.float32, scale=True)])")

    def converted(self, leaf: Any) -> Image:
        return _floating(to_image(leaf))


@value
class ConvertImageDtype(ToDtype):
    """Deprecated, as in torchvision: write `ToDtype(dtype, scale=True)`, which this is.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     convert = ConvertImageDtype(torch.float32)
    >>> convert(Image(torch.full((1, 1, 1), 255, dtype=torch.uint8))).tolist()
    [[[1.0]]]
    """

    dtype: Any = torch.float32
    scale: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _deprecated("ConvertImageDtype(dtype)", "ToDtype(dtype, scale=True)")


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated: write {new}", DeprecationWarning, stacklevel=4)  # where it was called


@value
class ToPILImage(_Entering):
    """Images (and numpy pictures) become PIL images, last in a list; labels stay. `mode` as in `to_pil_image`.

    A clip raises NoKernelError: Pillow has no type for it.

    >>> ToPILImage()(torch.zeros(3, 4, 6)).size
    (6, 4)
    """

    mode: str | None = None
    stacks = False

    def after(self, params: Params, info: Info) -> Info:
        gone = {n for n, kind in info.types.items() if kind == "Image"}
        kept = lambda known: {n: v for n, v in known.items() if n not in gone}
        return replace(
            info,
            types=kept(info.types),
            dtypes=kept(info.dtypes),
            channels=kept(info.channels),
            counts=kept(info.counts),
        )

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return sample  # nothing has moved

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        clips = [n for n, v in sample.items() if isinstance(v, Video)]
        if clips:
            raise NoKernelError(
                f"{self} met {clips[0]!r}, a Video: Pillow has single pictures only, so take its frames apart"
            )
        sample = super().apply(params, sample)
        return {n: to_pil_image(v, self.mode) if isinstance(v, Image) else v for n, v in sample.items()}
