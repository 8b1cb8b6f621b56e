"""See the canvas from another place: a homography."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, same_size, value
from vdata.transforms._check import fill_value, probability, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Projective
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode, tensor_mode
from vdata.transforms.pad import fill_by_type

BILINEAR = InterpolationMode.BILINEAR


@spatial
def perspective(
    inpt: Any, startpoints: Any, endpoints: Any, interpolation: Any = BILINEAR, fill: Any = None, coefficients: Any = None
) -> Any:
    """The homography that takes four points (x, y) `startpoints` to `endpoints`; the canvas keeps its size.

    coefficients  instead of the points (then None): torchvision's eight numbers, which lead from the new canvas to the old one,
                  x = (a x' + b y' + c) / (g x' + h y' + 1), y = (d x' + e y' + f) / (g x' + h y' + 1)

    Boxes become the hull of their moved corners, cut to the canvas. Points behind the camera become NaN and lose their label.
    Points may be [4, 2], or [R, 4, 2] for rows.

    >>> corners = [[0, 0], [8, 0], [8, 8], [0, 8]]
    >>> perspective(KeyPoints([[4.0, 4.0]], canvas_size=(8, 8)), corners, [[0, 0], [4, 0], [4, 8], [0, 8]]).tolist()
    [[2.0, 4.0]]
    """


@perspective.map
def _(size: tuple[int, int], startpoints: Any, endpoints: Any, coefficients: Any, **_: Any) -> Projective:
    if (coefficients is None) == (startpoints is None or endpoints is None):
        raise ValueError("perspective takes startpoints and endpoints, or coefficients with both of them None")
    numbers = homography(endpoints, startpoints) if coefficients is None else np.asarray(coefficients, np.float64)
    if numbers.shape[-1] != 8:
        raise ValueError(f"perspective has eight coefficients, got {numbers.shape[-1]}")
    rows = [*np.moveaxis(numbers, -1, 0), 1.0]
    forth = Projective(tuple(r if np.ndim(r) else float(r) for r in rows), size).inverse(size).matrix
    # A homography is given up to a sign: that by which the middle of the old canvas lies before the camera.
    depth = forth[6] * size[1] / 2 + forth[7] * size[0] / 2 + forth[8]
    return Projective(tuple(v * np.sign(depth) for v in forth), size)


def homography(before: Any, after: Any) -> np.ndarray:
    """The eight numbers of the homography that takes four points to four others: float64 [8], or [R, 8]."""
    source, target = (np.asarray(p, np.float64) for p in (before, after))
    source, target = np.broadcast_arrays(source, target)
    if source.shape[-2:] != (4, 2):
        raise ValueError(f"a homography is given by four points (x, y), got shape {list(source.shape)}")
    (x, y), (u, v) = np.moveaxis(source, -1, 0), np.moveaxis(target, -1, 0)
    one, nought = np.ones_like(x), np.zeros_like(x)
    across = np.stack([x, y, one, nought, nought, nought, -u * x, -u * y], -1)
    down = np.stack([nought, nought, nought, x, y, one, -v * x, -v * y], -1)
    system = np.concatenate([across, down], -2)
    try:
        return np.linalg.solve(system, np.concatenate([u, v], -1)[..., None])[..., 0]
    except np.linalg.LinAlgError as error:
        raise ValueError("these four points span no quadrangle (three of them lie on a line), so there is no homography") from error


@perspective.reads
def _(interpolation: Any, **_: Any) -> How:
    return How(interpolation)


perspective.clamps()


@value
class RandomPerspective(Geometric):
    """With probability `p`, each corner drawn inwards by up to half of `distortion_scale` of the canvas; whole pixels, as torchvision.

    All frames of a sample are of one size, and seen from one place.

    >>> RandomPerspective(p=1.0)(Image(torch.zeros(3, 16, 16))).shape
    torch.Size([3, 16, 16])
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: Any = BILINEAR
    fill: Any = 0
    op = perspective

    def __post_init__(self) -> None:
        probability(self.distortion_scale, "distortion_scale")
        probability(self.p)
        put(self, interpolation=tensor_mode(self.interpolation), fill=fill_value(self.fill))

    def draw(self, key: Key, info: Info) -> Params:
        sizes = same_size(self, info)
        most = (self.distortion_scale * (sizes // 2)).astype(np.int64)  # (down, right)
        room = np.repeat(most[:, ::-1], 4, 0).reshape(-1) + 1
        inwards = (key.fold("corners").uniform(0, 1, 4, 2) * room.reshape(-1, 4, 2)).astype(np.int64)
        return {"apply": key.fold("apply").bernoulli(self.p), "inwards": inwards}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        right, bottom = size[1] - 1, size[0] - 1
        start = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])
        end = start + np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.asarray(params["inwards"])
        points = {"startpoints": start.tolist(), "endpoints": end if end.ndim == 3 else end.tolist()}
        return {**points, "interpolation": self.interpolation, "fill": fill_by_type(self.fill)}
