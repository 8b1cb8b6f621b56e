"""See the canvas from another place: a homography."""

from __future__ import annotations

from typing import Any

import numpy as np

from vdata.key import Key
from vdata.transforms._base import Params, value
from vdata.transforms._check import fill_value, probability, put
from vdata.transforms._geometric import Geometric
from vdata.transforms._info import Info
from vdata.transforms._map import Projective
from vdata.transforms._op import spatial
from vdata.transforms._warp import How
from vdata.transforms.interpolation import InterpolationMode
from vdata.transforms.pad import fill_by_type
from vdata.transforms.rotate import reading

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
    return reading(interpolation)


perspective.clamps()


@value
class RandomPerspective(Geometric):
    """With probability `p`, each corner drawn inwards by up to half of `distortion_scale` of the canvas; whole pixels, as torchvision.

    Each frame of a sample is seen from the same place, in shares of its own size. Corners that would span no quadrangle
    without a dent (from a scale of 2/3 on they may) are drawn half as far; what lies beyond the horizon is new.

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
        put(self, interpolation=reading(self.interpolation).mode, fill=fill_value(self.fill))

    def draw(self, key: Key, info: Info) -> Params:
        return {"apply": key.fold("apply").bernoulli(self.p), "inwards": key.fold("inwards").uniform(0, 1, 4, 2)}

    def chosen(self, params: Params) -> Any:
        return params["apply"]

    def place(self, params: Params, size: tuple[int, int]) -> dict[str, Any]:
        start, end = self.corners(np.asarray(params["inwards"]), size)
        points = {"startpoints": start.tolist(), "endpoints": end if end.ndim == 3 else end.tolist()}
        return {**points, "interpolation": self.interpolation, "fill": fill_by_type(self.fill)}

    def corners(self, inwards: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Where the corners were, [4, 2], and are, [(B,) 4, 2], for draws in [0, 1) of how far inwards they go."""
        last = np.maximum(np.array([size[1], size[0]]) - 1, 1)
        most = (self.distortion_scale * (np.array([size[1], size[0]]) // 2)).astype(np.int64)
        start = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * last
        steps = np.floor(inwards * (most + 1))
        whole = start + _INWARDS * steps
        return start, np.where(np.asarray(_bulges(whole))[..., None, None], whole, start + _INWARDS * (steps // 2))

    def canvas(self, params: Params, sizes: np.ndarray) -> np.ndarray:
        return sizes


_INWARDS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def _bulges(points: np.ndarray) -> Any:
    """Whether quadrangles [..., 4, 2], in order clockwise, have no dent and no three corners on a line: [...]."""
    sides = np.roll(points, -1, -2) - points
    after = np.roll(sides, -1, -2)
    return np.all(sides[..., 0] * after[..., 1] > sides[..., 1] * after[..., 0], -1)
