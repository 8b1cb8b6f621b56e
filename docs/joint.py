"""Draw docs/joint.png: one augmentation moves both frames, boxes, masks and flow of a real stereo pair together.

    python docs/joint.py
"""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import torch
from PIL import ImageDraw
from skimage.measure import label
from skimage.morphology import closing, footprint_rectangle

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.tensors import BoundingBoxes, Label, Mask
from vdata.viz.picture import GREY, HAIRLINE, INK, font, to_pil

OUT = Path(__file__).with_name("joint.png")
AUGMENT = T.Compose([
    T.RandomHorizontalFlip(1.0),
    T.RandomAffine((-8, -8), translate=(0.02, 0.02), scale=(0.98, 0.98), interpolation="bilinear"),
    T.AsymmetricColorJitter(0.3, 0.3, 0.3, 0.03, p=1.0),
    T.CenterCrop((416, 660)),
])  # fmt: skip
SCALE = 64.0  # pixels of a full colour, in all pictures of flow
WIDTH, GAP, MARGIN, HEAD, FOOT = 540, 14, 20, 40, 32


def sample() -> dict[str, object]:
    """The motorcycle of Middlebury; what stands nearer than the floor behind it is an object, and so is the bench."""
    found = vdata.load("motorcycle")[0]
    nearness = -found["flow"].fill(0)[0]  # the disparity; 0 where it is unknown
    rows = torch.arange(nearness.shape[0]).unsqueeze(1)
    columns = torch.arange(nearness.shape[1])
    floor = floor_at(nearness)
    motorcycle = (nearness > 37) & (nearness > floor + 1.2) & (rows < 452) & (columns > 88) & (columns < 688)
    bench = (nearness > 14) & (nearness < 30) & (nearness > floor + 1.2) & (rows > 100) & (rows < 306) & (columns > 40) & (columns < 286)
    masks = torch.stack([largest(bench), largest(motorcycle)])
    canvas = tuple(nearness.shape)
    return {
        **found,
        "boxes": BoundingBoxes([box(m) for m in masks], format="XYXY", canvas_size=canvas, frame="image1"),
        "labels": Label([0, 1], categories=("bench", "motorcycle")),
        "masks": Mask(masks, kind="instance", frame="image1"),
    }


def floor_at(nearness: torch.Tensor) -> torch.Tensor:
    """The floor's disparity in each row: a plane, fitted in front of the wheels, where nothing stands."""
    rows = torch.arange(470, nearness.shape[0])
    seen = nearness[470:, 150:450].median(1).values
    slope = (seen[-1] - seen[0]) / (rows[-1] - rows[0])
    return (seen[0] + slope * (torch.arange(nearness.shape[0]) - rows[0])).unsqueeze(1)


def largest(mask: torch.Tensor) -> torch.Tensor:
    """The largest piece of a mask, its cracks closed."""
    pieces = label(closing(mask.numpy(), footprint_rectangle((7, 7))))
    sizes = torch.from_numpy(pieces).flatten().bincount()
    sizes[0] = 0
    return torch.from_numpy(pieces == int(sizes.argmax()))


def box(mask: torch.Tensor) -> tuple[float, float, float, float]:
    """The tight box of a mask, in continuous coordinates."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def row(found: dict[str, object]) -> list[PIL.Image.Image]:
    """First frame with what lies on it, second frame, flow."""
    flow = found["flow"]
    arrows = viz.draw_arrows(viz.flow_to_image(flow, SCALE), flow, max_magnitude=SCALE)
    first = dict(viz.render({n: v for n, v in found.items() if n not in ("image2", "flow")}))["image1"]
    return [to_pil(p) for p in (first, found["image2"], arrows)]


def fitted(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), PIL.Image.Resampling.LANCZOS)


def with_wheel(picture: PIL.Image.Image) -> PIL.Image.Image:
    """What the colours mean, on a card in the corner."""
    wheel = to_pil(viz.flow_legend(88, SCALE)).crop((0, 0, 88, 88))
    disc = PIL.Image.new("L", (352, 352))
    ImageDraw.Draw(disc).ellipse((0, 0, 351, 351), fill=255)
    rim = PIL.Image.new("L", (400, 400))
    ImageDraw.Draw(rim).ellipse((0, 0, 399, 399), fill=255)
    at = (16, picture.height - 116)
    picture.paste("white", at, rim.resize((100, 100), PIL.Image.Resampling.LANCZOS))
    picture.paste(wheel, (at[0] + 6, at[1] + 6), disc.resize((88, 88), PIL.Image.Resampling.LANCZOS))
    return picture


def page(before: dict[str, object], after: dict[str, object]) -> PIL.Image.Image:
    lines = [[fitted(p) for p in row(s)] for s in (before, after)]
    with_wheel(lines[0][2])
    heights = [line[0].height for line in lines]
    out = PIL.Image.new("RGB", (2 * MARGIN + 3 * WIDTH + 2 * GAP, 2 * MARGIN + sum(heights) + 2 * HEAD + 2 * FOOT + 8), "white")
    draw = ImageDraw.Draw(out)
    titles = ("as it is read", "T.Compose([RandomHorizontalFlip, RandomAffine, AsymmetricColorJitter, CenterCrop])(sample)")
    names = ("image1, boxes, labels, masks", "image2", "flow: the hue is its direction, dark is unknown")
    top = MARGIN
    for line, title in zip(lines, titles):
        draw.text((MARGIN, top + 25), title, INK, font(22), anchor="ls")
        top += HEAD
        for i, (picture, name) in enumerate(zip(line, names)):
            left = MARGIN + i * (WIDTH + GAP)
            out.paste(picture, (left, top))
            draw.rectangle((left - 1, top - 1, left + WIDTH, top + picture.height), outline=HAIRLINE)
            draw.text((left, top + picture.height + 20), name, GREY, font(17), anchor="ls")
        top += line[0].height + FOOT + 8
    return out


def main() -> None:
    before = sample()
    after = AUGMENT(before, key=T.Key.of(0, 0, 3))
    out = page(before, after)
    few = out.quantize(256, PIL.Image.Quantize.MAXCOVERAGE)  # all hues of the wheel, and a third of the bytes
    out.quantize(palette=few, dither=PIL.Image.Dither.FLOYDSTEINBERG).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
