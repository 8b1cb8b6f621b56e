"""AutoAugment (Cubuk et al., arXiv 1805.09501): the policies that were found for three datasets."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import value
from vdata.transforms._check import put
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._policy import IDENTITY, RAND, named
from vdata.transforms._policy_steps import Policy


class AutoAugmentPolicy(enum.Enum):
    """The dataset that a policy was found for. Made from its value, its name or torchvision's member.

    >>> AutoAugmentPolicy("cifar10") is AutoAugmentPolicy.CIFAR10
    True
    """

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"

    @classmethod
    def _missing_(cls, value: Any) -> AutoAugmentPolicy | None:
        wanted = value.name if isinstance(value, enum.Enum) else value
        return next((m for m in cls if isinstance(wanted, str) and m.value == wanted.lower()), None)

    def __repr__(self) -> str:
        return repr(self.value)


# A line is a sub-policy: two times an op, its probability in tenths and its magnitude bin (0 where it has none).
_IMAGENET = """
    Posterize    4 8  Rotate       6 9
    Solarize     6 5  AutoContrast 6 0
    Equalize     8 0  Equalize     6 0
    Posterize    6 7  Posterize    6 6
    Equalize     4 0  Solarize     2 4
    Equalize     4 0  Rotate       8 8
    Solarize     6 3  Equalize     6 0
    Posterize    8 5  Equalize    10 0
    Rotate       2 3  Solarize     6 8
    Equalize     6 0  Posterize    4 6
    Rotate       8 8  Color        4 0
    Rotate       4 9  Equalize     6 0
    Equalize     0 0  Equalize     8 0
    Invert       6 0  Equalize    10 0
    Color        6 4  Contrast    10 8
    Rotate       8 8  Color       10 2
    Color        8 8  Solarize     8 7
    Sharpness    4 7  Invert       6 0
    ShearX       6 5  Equalize    10 0
    Color        4 0  Equalize     6 0
    Equalize     4 0  Solarize     2 4
    Solarize     6 5  AutoContrast 6 0
    Invert       6 0  Equalize    10 0
    Color        6 4  Contrast    10 8
    Equalize     8 0  Equalize     6 0
"""
_CIFAR10 = """
    Invert       1 0  Contrast     2 6
    Rotate       7 2  TranslateX   3 9
    Sharpness    8 1  Sharpness    9 3
    ShearY       5 8  TranslateY   7 9
    AutoContrast 5 0  Equalize     9 0
    ShearY       2 7  Posterize    3 7
    Color        4 3  Brightness   6 7
    Sharpness    3 9  Brightness   7 9
    Equalize     6 0  Equalize     5 0
    Contrast     6 7  Sharpness    6 5
    Color        7 7  TranslateX   5 8
    Equalize     3 0  AutoContrast 4 0
    TranslateY   4 3  Sharpness    2 6
    Brightness   9 6  Color        2 8
    Solarize     5 2  Invert       0 0
    Equalize     2 0  AutoContrast 6 0
    Equalize     2 0  Equalize     6 0
    Color        9 9  Equalize     6 0
    AutoContrast 8 0  Solarize     2 8
    Brightness   1 3  Color        7 0
    Solarize     4 5  AutoContrast 9 0
    TranslateY   9 9  TranslateY   7 9
    AutoContrast 9 0  Solarize     8 3
    Equalize     8 0  Invert       1 0
    TranslateY   7 9  AutoContrast 9 0
"""
_SVHN = """
    ShearX       9 4  Invert       2 0
    ShearY       9 8  Invert       7 0
    Equalize     6 0  Solarize     6 6
    Invert       9 0  Equalize     6 0
    Equalize     6 0  Rotate       9 3
    ShearX       9 4  AutoContrast 8 0
    ShearY       9 8  Invert       4 0
    ShearY       9 5  Solarize     2 6
    Invert       9 0  AutoContrast 8 0
    Equalize     6 0  Rotate       9 3
    ShearX       9 4  Solarize     3 3
    ShearY       8 8  Invert       7 0
    Equalize     9 0  TranslateY   6 6
    Invert       9 0  Equalize     6 0
    Contrast     3 3  Rotate       8 4
    Invert       8 0  TranslateY   0 2
    ShearY       7 6  Solarize     4 8
    Invert       6 0  Rotate       8 4
    ShearY       3 7  TranslateX   9 3
    ShearX       1 6  Invert       6 0
    Solarize     7 2  TranslateY   6 7
    ShearY       8 4  Invert       8 0
    ShearX       7 9  TranslateY   8 3
    ShearY       8 5  AutoContrast 7 0
    ShearX       7 2  Invert       1 0
"""


def _parsed(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ops int64 [25, 2], their probabilities and their magnitudes."""
    words = np.array(text.split()).reshape(-1, 2, 3)
    op = named(*words[..., 0].ravel()).reshape(words.shape[:2])
    return op, words[..., 1].astype(np.int64) / 10, words[..., 2].astype(np.int64)


_POLICIES = {
    AutoAugmentPolicy.IMAGENET: _parsed(_IMAGENET),
    AutoAugmentPolicy.CIFAR10: _parsed(_CIFAR10),
    AutoAugmentPolicy.SVHN: _parsed(_SVHN),
}


@value
class AutoAugment(Policy):
    """One of the 25 sub-policies of a policy: two ops, each done with its own probability, with its own strength.

    policy         an AutoAugmentPolicy or its value, as "imagenet"
    interpolation  how pictures are read under geometric ops
    fill           new pixels, as in `functional.pad`; None is 0 for pictures
    geometric      whether ops that move the canvas (shear, translate, rotate) are done; else they are Identity

    Geometry moves boxes, masks, key points and flows along; all pictures of a sample get the same ops.

    >>> AutoAugment("cifar10")(Image(torch.zeros(3, 8, 8, dtype=torch.uint8))).shape
    torch.Size([3, 8, 8])
    """

    policy: Any = AutoAugmentPolicy.IMAGENET
    interpolation: Any = "nearest"
    fill: Any = None
    geometric: bool = True
    space = RAND
    bins = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        put(self, policy=AutoAugmentPolicy(self.policy))

    def draw(self, key: Key, info: Info) -> Params:
        ops, probabilities, magnitudes = _POLICIES[self.policy]
        which = key.fold("policy").integers(0, len(ops))
        apply = key.fold("apply").uniform(0, 1, 2) < probabilities[which]
        return self.plan(key, np.where(apply, ops[which], IDENTITY), magnitudes[which])
