"""Optical flow made visible: the Middlebury colour wheel, its legend, and the second frame warped back to the first."""

from __future__ import annotations

import math

import PIL.Image
import torch
import torch.nn.functional as F
from PIL import ImageDraw
from torch import Tensor

from vdata.tensors import Flow, Image, TypedTensor
from vdata.viz.picture import INK, PAPER, UNKNOWN, font, from_pil, to_pil

# The wheel, from red and round again: each arc has so many steps, in which one channel rises from 0 or falls from 255.
_RED, _GREEN, _BLUE = 0, 1, 2
_ARCS = (
    (15, _RED, _GREEN, "rises"),  # red to yellow
    (6, _GREEN, _RED, "falls"),  # yellow to green
    (4, _GREEN, _BLUE, "rises"),  # green to cyan
    (11, _BLUE, _GREEN, "falls"),  # cyan to blue
    (13, _BLUE, _RED, "rises"),  # blue to magenta
    (6, _RED, _BLUE, "falls"),  # magenta to red
)


def _wheel() -> Tensor:
    """The 55 colours of the wheel, float [55, 3] in 0..1."""
    arcs = []
    for steps, full, moving, way in _ARCS:
        ramp = torch.arange(steps).mul(255).div(steps, rounding_mode="floor")
        arc = torch.zeros(steps, 3)
        arc[:, full] = 255
        arc[:, moving] = (ramp if way == "rises" else 255 - ramp).float()
        arcs.append(arc)
    return torch.cat(arcs) / 255


def flow_to_image(flow: Tensor, max_magnitude: float | None = None) -> Image:
    """A flow in colours: the hue is the direction, the saturation the magnitude. uint8 [..., 3, H, W].

    flow           `Flow` or tensor, [..., 2, H, W]; unknown pixels (not finite) are shown in dark grey
    max_magnitude  the magnitude in pixels of a full colour; the flow's own greatest where None (that of the whole
                   batch, so that its pictures compare). Longer vectors are shown darkened, as Middlebury does.

    Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011.

    >>> flow_to_image(torch.tensor([1.0, 0.0]).reshape(2, 1, 1)).flatten().tolist()  # to the right: red
    [255, 0, 0]
    """
    data = (flow.plain() if isinstance(flow, TypedTensor) else flow).detach()
    if data.ndim < 3 or data.shape[-3] != 2:
        raise ValueError(f"a flow is [..., 2, H, W], got shape {list(data.shape)}")
    known = data.isfinite().all(-3, keepdim=True)
    data = torch.where(known, data.to(torch.promote_types(data.dtype, torch.float32)), 0)
    unit = greatest_magnitude(data) if max_magnitude is None else float(max_magnitude)
    coloured = _coloured(data / (unit + torch.finfo(data.dtype).eps))
    unknown = torch.tensor(UNKNOWN, dtype=torch.uint8, device=data.device).reshape(3, 1, 1)
    return Image(torch.where(known, coloured, unknown))


def greatest_magnitude(flow: Tensor) -> float:
    """The length in pixels of the longest known vector; 0.0 where none is known."""
    data = flow.fill(0) if isinstance(flow, Flow) else flow
    return float(torch.linalg.vector_norm(data, dim=-3).max()) if data.numel() else 0.0


def _coloured(unit: Tensor) -> Tensor:
    """Vectors of the unit disc [..., 2, H, W] as uint8 [..., 3, H, W]."""
    wheel = _wheel().to(unit)
    u, v = unit.unbind(-3)
    turn = (torch.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    below = turn.floor()
    share = (turn - below).unsqueeze(-1)
    below = below.long()
    hue = torch.lerp(wheel[below], wheel[(below + 1) % len(wheel)], share).movedim(-1, -3)
    length = torch.linalg.vector_norm(unit, dim=-3, keepdim=True)
    inside = length <= 1 + 1e-5  # the longest vector over its own length may be a rounding more than 1
    return (255 * torch.where(inside, 1 - length.clamp(max=1) * (1 - hue), 0.75 * hue)).floor().to(torch.uint8)


def flow_legend(size: int, max_magnitude: float) -> Image:
    """The colour wheel as a disc, and under it the magnitude at its edge ("12.3 px"): uint8 [3, more than size, size].

    >>> flow_legend(64, 12.3).shape[-1]
    64
    """
    type_size = max(10, round(size * 0.16))
    fine = size * 4  # painted larger and shrunk: a smooth edge
    axis = (torch.arange(fine) + 0.5) / fine * 2 - 1
    disc = torch.stack([axis.expand(fine, fine), axis.unsqueeze(1).expand(fine, fine)])
    inside = torch.linalg.vector_norm(disc, dim=0) <= 1
    paper = torch.tensor(PAPER, dtype=torch.uint8).reshape(3, 1, 1)
    wheel = to_pil(torch.where(inside, _coloured(disc), paper)).resize((size, size), PIL.Image.Resampling.BOX)
    page = PIL.Image.new("RGB", (size, size + type_size * 3 // 2), PAPER)
    page.paste(wheel)
    ImageDraw.Draw(page).text((size / 2, page.height), f"{max_magnitude:.1f} px", INK, font(type_size), anchor="md")
    return from_pil(page)


def warp(image2: Tensor, flow: Tensor) -> Image:
    """The second frame as the first would see it: `image2` sampled at x + f(x), bilinearly. Keeps image2's dtype.

    image2  [C, H2, W2] or [B, C, H2, W2]
    flow    [2, H, W] or [B, 2, H, W], in pixels of image2

    Returns [..., C, H, W]: zero where the flow is unknown or x + f(x) lies outside the canvas [0, W2] x [0, H2].
    Computed in double precision: a flow of whole pixels moves values exactly. Raises ValueError where the shapes do
    not fit, or where a `Flow` was made for a second frame of another size.

    >>> warp(torch.tensor([[[10, 20, 30]]]), torch.tensor([1.0, 0.0]).reshape(2, 1, 1).expand(2, 1, 3)).tolist()
    [[[20, 30, 0]]]
    """
    image = image2.plain() if isinstance(image2, TypedTensor) else image2
    field = flow.plain() if isinstance(flow, TypedTensor) else flow
    if image.ndim not in (3, 4) or image.shape[:-3] != field.shape[:-3] or field.shape[-3:-2] != (2,):
        shapes = f"image2 {list(image.shape)} and flow {list(field.shape)}"
        raise ValueError(f"[C, H, W] is warped by [2, H, W], [B, C, H, W] by [B, 2, H, W]: got {shapes}")
    size = (image.shape[-2], image.shape[-1])
    if isinstance(flow, Flow) and flow.target_size != size:
        raise ValueError(f"this flow points into a frame of (height, width) {flow.target_size}, image2 has {size}")
    seen, places = _landing(field.double().reshape(-1, 2, *field.shape[-2:]), size)
    values = image.reshape(-1, *image.shape[-3:]).double()
    values = F.grid_sample(values, places, mode="bilinear", padding_mode="border", align_corners=False)
    values = torch.where(seen.unsqueeze(1), values, 0).reshape(*image.shape[:-2], *field.shape[-2:])
    return Image((values if image.is_floating_point() else values.round()).to(image.dtype))


def _landing(field: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where the first frame's pixels lie in the second: bool [B, H, W] if at all, and [B, H, W, 2] in -1..1 there."""
    height, width = field.shape[-2:]
    own = torch.stack([
        (torch.arange(width, device=field.device) + 0.5).expand(height, width),
        (torch.arange(height, device=field.device) + 0.5).unsqueeze(1).expand(height, width),
    ])  # fmt: skip
    extent = torch.tensor([size[1], size[0]], dtype=field.dtype, device=field.device)
    places = (own + field).movedim(1, -1) / extent
    seen = ((places >= 0) & (places <= 1)).all(-1)  # NaN is not
    return seen, torch.where(seen.unsqueeze(-1), places * 2 - 1, 0)
