"""AugMix (Hendrycks et al., arXiv 1912.02781)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vdata.batch import Batch, Ragged
from vdata.errors import NoKernelError
from vdata.key import Key
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Mask, Video
from vdata.transforms._base import Leaves, value
from vdata.transforms._check import put, whole
from vdata.transforms._colour import precise, redo
from vdata.transforms._draws import beta, dirichlet
from vdata.transforms._info import Info
from vdata.transforms._lift import lifted
from vdata.transforms._params import Params
from vdata.transforms._photometric import Photometric
from vdata.transforms._pixels import cast_rounded
from vdata.transforms._policy import FACTORS, GEOMETRIC, IDENTITY, MIX, OPS, named, reading, strengths
from vdata.transforms._policy_steps import geometry, recoloured, verb_of
from vdata.transforms.pad import fill_by_type

BINS = 10
_ALL = named(*OPS[1:-1])  # all but Identity and Invert
_PARTIAL = np.setdiff1d(_ALL, named(*FACTORS))
_SPATIAL = (BoundingBoxes, Flow, KeyPoints, Mask)


@value
class AugMix(Photometric):
    """The picture mixed with `mixture_width` others, each made of it by a chain of random ops, by random shares.

    severity       of 10 bins of strength, how many are drawn from: 1 to 10
    mixture_width  how many chains
    chain_depth    how many ops a chain has; below 1, each chain draws 1 to 3
    alpha          shares are Dirichlet(alpha, ..., alpha), the picture's own is Beta(alpha, alpha)
    all_ops        with brightness, contrast, colour and sharpness, which the paper leaves out
    interpolation  how pictures are read under geometric ops
    fill           new pixels, as in `functional.pad`; None is 0
    geometric      whether chains shear, translate and rotate. A mixture lies in several places at once, and boxes, masks,
                   key points and flows cannot: None does so where a sample has pictures only, False never, True always
                   and raises NoKernelError where a sample has such leaves

    All pictures of a sample get the same chains and shares. Integers are rounded. Params: "op" (places in `ops`),
    "magnitude" (bins) and "sign", int64 [B, mixture_width, depth]; "weights", float64 [B, 1 + mixture_width].

    >>> AugMix()(Image(torch.zeros(3, 8, 8, dtype=torch.uint8))).shape
    torch.Size([3, 8, 8])
    """

    severity: int = 3
    mixture_width: int = 3
    chain_depth: int = -1
    alpha: float = 1.0
    all_ops: bool = True
    interpolation: Any = "bilinear"
    fill: Any = None
    geometric: bool | None = None
    ops = OPS
    rowwise = True

    def __post_init__(self) -> None:
        reading(self)
        put(self, severity=whole(self.severity, "severity"), mixture_width=whole(self.mixture_width, "mixture_width"))
        if self.severity > BINS:
            raise ValueError(f"severity must be at most {BINS}, got {self.severity}")
        if not self.alpha > 0:
            raise ValueError(f"alpha must be above 0, got {self.alpha!r}")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("size",) if self.geometric is False else ("size", "meta")

    def draw(self, key: Key, info: Info) -> Params:
        names = {kind.__name__ for kind in _SPATIAL}
        spatial = [name for name, kind in info.types.items() if kind in names]
        if spatial and self.geometric:
            raise self._torn(spatial[0], info.types[spatial[0]])
        pool = _ALL if self.all_ops else _PARTIAL
        if spatial or self.geometric is False:
            pool = pool[~GEOMETRIC[pool]]
        return {**self._chains(key, pool), "weights": self._weights(key)}

    def _chains(self, key: Key, pool: np.ndarray) -> Params:
        depth = self.chain_depth if self.chain_depth > 0 else 3
        shape = (self.mixture_width, depth)
        op = pool[key.fold("op").integers(0, len(pool), *shape)]
        if self.chain_depth < 1:
            lengths = key.fold("depth").integers(1, depth + 1, self.mixture_width)
            op = np.where(np.arange(depth) < lengths[..., None], op, IDENTITY)
        return strengths(key, op, key.fold("magnitude").integers(0, self.severity, *shape))

    def _weights(self, key: Key) -> np.ndarray:
        own = beta(key.fold("own"), self.alpha, self.alpha)[:, None]
        return np.concatenate([own, (1 - own) * dirichlet(key.fold("shares"), (self.alpha,) * self.mixture_width)], 1)

    def apply(self, params: Params, sample: Leaves) -> Leaves:
        self._check(params, {n: type(v) for n, v in sample.items()})
        return super().apply(params, sample)

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        self._check(params, {n: v.type if isinstance(v, Ragged) else type(v) for n, v in batch.items()})
        return super().apply_chosen(params, batch)

    def _check(self, params: Params, kinds: Mapping[str, type]) -> None:
        """Params may have been drawn for samples of pictures only."""
        torn = next((n for n, kind in kinds.items() if issubclass(kind, _SPATIAL)), None)
        if torn is not None and GEOMETRIC[np.asarray(params["op"])].any():
            raise self._torn(torn, kinds[torn].__name__)

    def _torn(self, name: str, kind: str) -> NoKernelError:
        return NoKernelError(
            f"{self} mixes pictures that were moved in several ways, and {name!r}, a {kind}, can follow but one: "
            "set geometric=None (colours only beside such leaves) or geometric=False, and draw params anew"
        )

    def change(self, params: Params, image: Image | Video) -> Image | Video:
        if isinstance(params["op"], np.ndarray):
            return self._mixed(params, image)
        one = {n: np.array([v]) for n, v in params.items()}
        return self._mixed(one, image.like(image.plain()[None]))[0]

    def _mixed(self, params: Params, image: Image | Video) -> Image | Video:
        x, weights = image.plain(), params["weights"]
        wide = precise(x.dtype)
        mix = x.to(wide) * lifted(weights[:, 0], x, wide)
        for chain in range(weights.shape[1] - 1):
            moved = self._through({n: params[n][:, chain] for n in ("op", "magnitude", "sign")}, image)
            mix += moved.plain().to(wide) * lifted(weights[:, chain + 1], x, wide)
        return image.like(cast_rounded(mix, x.dtype))

    def _through(self, chain: Params, image: Image | Video) -> Image | Video:
        """B pictures, each through its own chain: in each step, each op does the rows whose turn it is."""
        image = image.clone()
        for turn in range(chain["op"].shape[1]):
            op, magnitude, sign = (chain[n][:, turn] for n in ("op", "magnitude", "sign"))
            for i in np.unique(op):
                if i != IDENTITY:
                    amount = MIX.amounts(OPS[i], BINS, image.canvas)[magnitude] * sign
                    redo(image, op == i, self._verb(OPS[i]), amount)
        return image

    def _verb(self, name: str) -> Callable[[Any, np.ndarray], Any]:
        if not GEOMETRIC[OPS.index(name)]:
            return lambda image, amount: recoloured(name, image, amount)
        how = {"interpolation": self.interpolation, "fill": fill_by_type(self.fill)}
        return lambda image, amount: verb_of(name)(image, **geometry(name, amount), **how)
