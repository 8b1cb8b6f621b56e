"""One verb per op, for typed tensors: `functional.resize(flow, 256)`. A plain tensor is taken as an image.

Verbs that move the canvas take one more argument for a Flow, `target`: their arguments for its second frame, where that
is moved otherwise than the first.

>>> resize(BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(8, 8)), 4).tolist()
[[0.0, 0.0, 2.0, 2.0]]
"""

from __future__ import annotations

from vdata.transforms.boxes import convert_bounding_box_format
from vdata.transforms.channels import permute_channels
from vdata.transforms.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, rgb_to_grayscale
from vdata.transforms.crop import center_crop, crop, padded_crop
from vdata.transforms.dtype import normalize, to_dtype
from vdata.transforms.five_crop import five_crop, ten_crop
from vdata.transforms.flip import horizontal_flip, vertical_flip
from vdata.transforms.gamma import adjust_gamma
from vdata.transforms.grayscale import grayscale_to_rgb
from vdata.transforms.histogram import autocontrast, equalize
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.levels import invert, posterize, solarize
from vdata.transforms.pad import pad
from vdata.transforms.resize import resize
from vdata.transforms.resized_crop import resized_crop
from vdata.transforms.sharpness import adjust_sharpness

hflip, vflip = horizontal_flip, vertical_flip
to_grayscale = rgb_to_grayscale

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "center_crop",
    "convert_bounding_box_format",
    "crop",
    "equalize",
    "five_crop",
    "grayscale_to_rgb",
    "hflip",
    "horizontal_flip",
    "invert",
    "normalize",
    "pad",
    "padded_crop",
    "permute_channels",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "solarize",
    "ten_crop",
    "to_dtype",
    "to_grayscale",
    "vertical_flip",
    "vflip",
]
