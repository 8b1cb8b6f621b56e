"""Transforms v2: torchvision's names, arguments and defaults; image, video, boxes, masks, key points and flow together.

    from vdata import transforms as T
    augment = T.Compose([T.RandomResizedCrop((320, 896)), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4)])
    sample = augment(sample)                        # draws from torch's generator: torch.manual_seed governs it
    sample = augment(sample, key=Key.of(0, 1, 4711))    # exact: seed 0, epoch 1, position 4711
    batch = augment(batch)                          # a draw for each sample, as if it were alone

A transform plans, then applies. `draw(key, info)` gives params for B samples, plain values with B as first dimension;
`apply(row(params, b), sample)` moves one sample. Params are printed, saved (`params_to_json`) and replayed:

>>> flip = RandomHorizontalFlip()
>>> params = flip.draw(Key.of(0, 1, [7, 8, 9]), Info.of([{"image": Image(torch.zeros(1, 2, 2))}] * 3))
>>> params_from_json(params_to_json(row(params, 1))) == row(params, 1)
True

A transform of one's own is a verb and a frozen dataclass (`vdata/transforms/flip.py` is the shortest). A verb that
moves the canvas says where points go and how a raster follows; boxes, key points and flow vectors are derived:

    @T.spatial
    def shift(inpt, by): "Move right by whole pixels."

    @shift.map
    def _(size, by): return T.Map((1, 0, by, 0, 1, 0), size)

    @shift.pixels
    def _(x, fill, by): return T.cut(x, 0, -by, *x.shape[-2:], fill)

    @T.value
    class RandomShift(T.Geometric):
        most: int
        op = shift
        def draw(self, key, info): return {"by": key.integers(-self.most, self.most + 1)}
        def place(self, params, size): return params
"""

from __future__ import annotations

import difflib
from typing import Any

from vdata.key import Key
from vdata.transforms import functional
from vdata.transforms._base import Transform, same_size, value
from vdata.transforms._bent import Bent
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._instances import Instances
from vdata.transforms._json import from_json, to_json
from vdata.transforms._map import Map, Projective
from vdata.transforms._mixing import Mixing
from vdata.transforms._op import Op, SpatialOp, op, spatial
from vdata.transforms._params import Params, params_from_json, params_to_json, row
from vdata.transforms._photometric import Photometric
from vdata.transforms._pixels import cut
from vdata.transforms._warp import How
from vdata.transforms.affine import RandomAffine
from vdata.transforms.asymmetric import AsymmetricColorJitter
from vdata.transforms.augmix import AugMix
from vdata.transforms.auto_augment import AutoAugment, AutoAugmentPolicy
from vdata.transforms.blur import GaussianBlur
from vdata.transforms.boxes import ConvertBoundingBoxFormat
from vdata.transforms.channels import RandomChannelPermutation
from vdata.transforms.choice import RandomApply, RandomChoice, RandomOrder
from vdata.transforms.clamp import ClampBoundingBoxes, ClampKeyPoints, SetClampingMode
from vdata.transforms.color import ColorJitter
from vdata.transforms.container import Compose, Identity, Lambda
from vdata.transforms.convert import ConvertImageDtype, PILToTensor, ToPILImage, ToTensor
from vdata.transforms.copy_paste import SimpleCopyPaste
from vdata.transforms.crop import CenterCrop, RandomCrop
from vdata.transforms.cutmix import CutMix
from vdata.transforms.dihedral import RandomDihedral, RandomRotate90, RandomTranspose
from vdata.transforms.distort import RandomPhotometricDistort
from vdata.transforms.dropout import CoarseDropout
from vdata.transforms.dtype import Normalize, ToDtype, ToImage, ToPureTensor
from vdata.transforms.elastic import ElasticTransform
from vdata.transforms.erase import RandomErasing
from vdata.transforms.eraser import RandomFlowErasing
from vdata.transforms.five_crop import FiveCrop, TenCrop
from vdata.transforms.fixed_size_crop import FixedSizeCrop
from vdata.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from vdata.transforms.grayscale import RGB, Grayscale, RandomGrayscale
from vdata.transforms.grid_distortion import GridDistortion
from vdata.transforms.histogram import RandomAutocontrast, RandomEqualize
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.iou_crop import RandomIoUCrop
from vdata.transforms.jpeg import JPEG
from vdata.transforms.letterbox import Letterbox
from vdata.transforms.levels import RandomInvert, RandomPosterize, RandomSolarize
from vdata.transforms.longest import ResizeLongest
from vdata.transforms.mixup import MixUp
from vdata.transforms.mosaic import Mosaic
from vdata.transforms.motion_blur import MotionBlur
from vdata.transforms.noise import GaussianNoise
from vdata.transforms.occlusion import MarkOcclusion
from vdata.transforms.pad import Pad
from vdata.transforms.pad_to_multiple import PadToMultiple
from vdata.transforms.perspective import RandomPerspective
from vdata.transforms.presets import ToChannelsFirst, from_weights
from vdata.transforms.query import (
    check_type,
    get_bounding_boxes,
    get_keypoints,
    has_all,
    has_any,
    query_chw,
    query_size,
)
from vdata.transforms.raft import RAFTAugment
from vdata.transforms.rand_augment import RandAugment
from vdata.transforms.random_resize import RandomResize, RandomShortestSize, ScaleJitter
from vdata.transforms.relative_motion import RandomRelativeMotion
from vdata.transforms.resize import Resize
from vdata.transforms.resize_and_crop import RandomResizeAndCrop
from vdata.transforms.resized_crop import RandomResizedCrop
from vdata.transforms.rotate import RandomRotation
from vdata.transforms.sanitize import SanitizeBoundingBoxes, SanitizeKeyPoints
from vdata.transforms.sharpness import RandomAdjustSharpness
from vdata.transforms.stereo import RandomStereoFlip
from vdata.transforms.swap_frames import RandomSwapFrames
from vdata.transforms.temporal import UniformTemporalSubsample
from vdata.transforms.trivial_augment import TrivialAugmentWide
from vdata.transforms.whiten import LinearTransformation
from vdata.transforms.zoom_out import RandomZoomOut

__all__ = [
    # geometry
    "RandomAffine",
    "RandomDihedral",
    "RandomRotate90",
    "RandomTranspose",
    "ElasticTransform",
    "FixedSizeCrop",
    "GridDistortion",
    "Letterbox",
    "ResizeLongest",
    "PadToMultiple",
    "RandomPerspective",
    "RandomResize",
    "RandomShortestSize",
    "ScaleJitter",
    "RandomRotation",
    "RandomZoomOut",
    "CenterCrop",
    "FiveCrop",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    # boxes, key points and objects
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "RandomIoUCrop",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
    "SetClampingMode",
    # pairs of frames
    "AsymmetricColorJitter",
    "MarkOcclusion",
    "RAFTAugment",
    "RandomFlowErasing",
    "RandomRelativeMotion",
    "RandomResizeAndCrop",
    "RandomStereoFlip",
    "RandomSwapFrames",
    # several samples as one
    "CutMix",
    "MixUp",
    "Mosaic",
    "SimpleCopyPaste",
    # colour
    "CoarseDropout",
    "GaussianBlur",
    "GaussianNoise",
    "JPEG",
    "MotionBlur",
    "RandomErasing",
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "RandAugment",
    "TrivialAugmentWide",
    "ColorJitter",
    "Grayscale",
    "LinearTransformation",
    "Normalize",
    "RGB",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPhotometricDistort",
    "RandomPosterize",
    "RandomSolarize",
    # types and dtypes
    "ConvertImageDtype",
    "PILToTensor",
    "ToPILImage",
    "ToTensor",
    "UniformTemporalSubsample",
    "ConvertBoundingBoxFormat",
    "ToDtype",
    "ToChannelsFirst",
    "ToImage",
    "ToPureTensor",
    # several as one
    "Compose",
    "Identity",
    "Lambda",
    "RandomApply",
    "RandomChoice",
    "RandomOrder",
    # verbs and their words
    "Instances",
    "InterpolationMode",
    "functional",
    # what a model was evaluated with
    "from_weights",
    # pipelines as JSON
    "from_json",
    "to_json",
    # questions to a sample
    "check_type",
    "get_bounding_boxes",
    "get_keypoints",
    "has_all",
    "has_any",
    "query_chw",
    "query_size",
    # params: what was drawn
    "Params",
    "params_from_json",
    "params_to_json",
    "row",
    # for transforms of one's own
    "Bent",
    "Geometric",
    "How",
    "Info",
    "Key",
    "Map",
    "Mixing",
    "Op",
    "Photometric",
    "Projective",
    "SpatialOp",
    "Transform",
    "cut",
    "op",
    "same_size",
    "spatial",
    "value",
]


def __getattr__(name: str) -> Any:
    """A name that is not here says which is near."""
    if name.startswith("_"):
        raise AttributeError(name)
    near = difflib.get_close_matches(name, __all__, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(n for n in __all__ if n[0].isupper())}"
    raise AttributeError(f"vdata.transforms has no {name}: {hint}")
