"""A linear map of all numbers of a picture, as whitening is."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from vdata.tensors import Image, Video
from vdata.transforms._base import value
from vdata.transforms._check import put
from vdata.transforms._info import Info
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric


@value
class LinearTransformation(Photometric):
    """(picture - mean_vector) @ transformation_matrix, the picture's C x H x W numbers as one row of D; of a clip each frame.

    transformation_matrix  floating [D, D]
    mean_vector            floating [D], of the same dtype and device; both are copied to the pictures' device

    Integer pictures become floats of the matrix's dtype, their levels as numbers (0..255).

    >>> LinearTransformation(2 * torch.eye(2), torch.ones(2))(Image(torch.tensor([[[1.0, 4.0]]]))).tolist()
    [[[0.0, 6.0]]]
    """

    transformation_matrix: Tensor
    mean_vector: Tensor
    rowwise = True

    def __post_init__(self) -> None:
        matrix, mean = self.transformation_matrix, self.mean_vector
        if matrix.ndim != 2 or mean.ndim != 1 or not matrix.shape[0] == matrix.shape[1] == len(mean):
            raise ValueError(
                f"transformation_matrix must be [D, D] and mean_vector [D], got {list(matrix.shape)} and {list(mean.shape)}"
            )
        if matrix.dtype != mean.dtype or matrix.device != mean.device or not matrix.is_floating_point():
            raise ValueError(
                "transformation_matrix and mean_vector must be floating and of one dtype and device, got "
                f"{matrix.dtype} on {matrix.device} and {mean.dtype} on {mean.device}"
            )
        put(self, _content=_digest(matrix, mean))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        """With a digest of the numbers: a pipe's state tells by what is printed whether it was saved by the same pipe."""
        dtype = str(self.mean_vector.dtype).removeprefix("torch.")
        return f"{type(self).__name__}({dtype} {list(self.transformation_matrix.shape)} {vars(self)['_content']})"

    def after(self, params: Params, info: Info) -> Info:
        pictures = {
            n: self._result(getattr(torch, d))
            for n, d in info.dtypes.items()
            if info.types.get(n) in ("Image", "Video")
        }
        return replace(info, dtypes={**info.dtypes, **{n: str(d).removeprefix("torch.") for n, d in pictures.items()}})

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        size, shape = len(self.mean_vector), image.shape
        if shape[-3:].numel() != size:
            raise ValueError(
                f"the matrix is for {size} numbers, but a picture of shape {list(shape[-3:])} has {shape[-3:].numel()}"
            )
        dtype = self._result(image.dtype)
        mean, matrix = (t.to(image.device, dtype) for t in (self.mean_vector, self.transformation_matrix))
        return image.like(torch.mm(image.plain().reshape(-1, size).to(dtype) - mean, matrix).reshape(shape))

    def _result(self, dtype: torch.dtype) -> torch.dtype:
        return torch.promote_types(dtype, self.mean_vector.dtype) if dtype.is_floating_point else self.mean_vector.dtype


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
