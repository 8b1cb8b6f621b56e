"""One verb per op, for typed tensors: `functional.resize(flow, 256)`. A plain tensor is taken as an image.

Verbs that move the canvas take one more argument for a Flow, `target`: their arguments for its second frame, where that
is moved otherwise than the first.

>>> resize(BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(8, 8)), 4).tolist()
[[0.0, 0.0, 2.0, 2.0]]
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch

from vdata.transforms._op import Op
from vdata.transforms.affine import affine
from vdata.transforms.blur import gaussian_blur
from vdata.transforms.boxes import convert_bounding_box_format
from vdata.transforms.channels import permute_channels
from vdata.transforms.clamp import clamp_bounding_boxes, clamp_keypoints
from vdata.transforms.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, rgb_to_grayscale
from vdata.transforms.convert import pil_to_tensor, to_image, to_pil_image, to_tensor
from vdata.transforms.crop import center_crop, crop, padded_crop
from vdata.transforms.dihedral import dihedral, rot90, transpose
from vdata.transforms.dtype import normalize, to_dtype
from vdata.transforms.elastic import elastic
from vdata.transforms.erase import erase
from vdata.transforms.five_crop import five_crop, ten_crop
from vdata.transforms.flip import horizontal_flip, vertical_flip
from vdata.transforms.gamma import adjust_gamma
from vdata.transforms.grayscale import grayscale_to_rgb
from vdata.transforms.grid_distortion import grid_distortion
from vdata.transforms.histogram import autocontrast, equalize
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.jpeg import jpeg
from vdata.transforms.letterbox import letterbox
from vdata.transforms.levels import invert, posterize, solarize
from vdata.transforms.motion_blur import motion_blur
from vdata.transforms.noise import gaussian_noise
from vdata.transforms.occlusion import forward_backward_occlusion, out_of_frame
from vdata.transforms.pad import pad
from vdata.transforms.perspective import perspective
from vdata.transforms.query import get_dimensions, get_num_channels, get_num_frames, get_size
from vdata.transforms.resize import resize
from vdata.transforms.resize_and_crop import resize_and_crop
from vdata.transforms.resized_crop import resized_crop
from vdata.transforms.rotate import rotate
from vdata.transforms.sanitize import sanitize_bounding_boxes, sanitize_keypoints
from vdata.transforms.sharpness import adjust_sharpness
from vdata.transforms.stereo import disparity_to_flow, flow_to_disparity
from vdata.transforms.temporal import uniform_temporal_subsample


def convert_image_dtype(image: Any, dtype: torch.dtype = torch.float32) -> Any:
    """`to_dtype` with scale=True, under torchvision's older name.

    >>> convert_image_dtype(Image(torch.full((1, 1, 1), 255, dtype=torch.uint8))).tolist()
    [[[1.0]]]
    """
    return to_dtype(image, dtype, scale=True)


def register_kernel(functional: Op, tv_tensor_cls: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the kernel of a verb for one's own typed tensor, under torchvision's name; here also `@verb.on(Type)`.

    >>> class Depth(Image):
    ...     pass
    >>> @register_kernel(invert, Depth)
    ... def _(depth):
    ...     return -depth.plain()
    >>> invert(Depth.make(torch.ones(1, 1, 1), {})).tolist()
    [[[-1.0]]]
    """
    return functional.on(tv_tensor_cls)


def get_image_size(inpt: Any) -> list[int]:
    """[width, height], in torchvision's older order; `get_size` is [height, width].

    >>> get_image_size(Image(torch.zeros(3, 4, 6)))
    [6, 4]
    """
    return get_size(inpt)[::-1]


elastic_transform = elastic
hflip, vflip = horizontal_flip, vertical_flip
to_grayscale = rgb_to_grayscale
get_image_num_channels = get_num_channels

__all__ = [
    "convert_image_dtype",
    "elastic_transform",
    "get_image_size",
    "register_kernel",
    "get_image_num_channels",
    "gaussian_blur",
    "motion_blur",
    "gaussian_noise",
    "jpeg",
    "erase",
    "uniform_temporal_subsample",
    "to_image",
    "to_pil_image",
    "pil_to_tensor",
    "to_tensor",
    "get_size",
    "get_dimensions",
    "get_num_channels",
    "get_num_frames",
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "clamp_bounding_boxes",
    "clamp_keypoints",
    "convert_bounding_box_format",
    "crop",
    "dihedral",
    "disparity_to_flow",
    "elastic",
    "equalize",
    "five_crop",
    "flow_to_disparity",
    "forward_backward_occlusion",
    "grayscale_to_rgb",
    "grid_distortion",
    "hflip",
    "horizontal_flip",
    "invert",
    "letterbox",
    "normalize",
    "out_of_frame",
    "pad",
    "padded_crop",
    "permute_channels",
    "perspective",
    "posterize",
    "resize",
    "resize_and_crop",
    "resized_crop",
    "rgb_to_grayscale",
    "rot90",
    "rotate",
    "sanitize_bounding_boxes",
    "sanitize_keypoints",
    "solarize",
    "ten_crop",
    "to_dtype",
    "to_grayscale",
    "transpose",
    "vertical_flip",
    "vflip",
]


_SUFFIXES = ("_bounding_boxes", "_keypoints", "_image", "_video", "_mask")


def __getattr__(name: str) -> Any:
    """A name that is not here says which is near; torchvision's kernels (`resize_mask`) are their verb."""
    if name.startswith("_"):
        raise AttributeError(name)
    verbs = [name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name.removesuffix(s) in __all__]
    near = difflib.get_close_matches(name, __all__, 1)
    hint = f": did you mean {near[0]}?" if near else ""
    hint = f": {verbs[0]} finds the kernel by the type of its input" if verbs else hint
    raise AttributeError(f"vdata.transforms.functional has no {name}{hint}")
