"""Kernels beside torchvision's on the same input: milliseconds each, the median of interleaved rounds.

    python benchmarks/transforms.py                 # one picture, uint8 [3, 512, 512]; then a batch of 64 of [3, 96, 96]
    python benchmarks/transforms.py --json out.json

torchvision has no parameters a sample: beside a batch under B draws stands a loop of its kernels over the samples, and the
stacking of what they give. One thread, unless --threads says otherwise.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from vdata.tensors import BoundingBoxes, Image, KeyPoints, Mask
from vdata.transforms import functional as F

Call = Callable[[], object]


def one_picture() -> dict[str, tuple[Call, Call]]:
    """name -> (vdata, torchvision): kernels on one picture, its mask, boxes and points."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (3, 512, 512), generator=g, dtype=torch.uint8)
    m = torch.randint(0, 20, (512, 512), generator=g, dtype=torch.uint8)
    b = torch.rand(20, 4, generator=g) * 200 + torch.tensor([0.0, 0, 200, 200])
    p = torch.rand(40, 2, generator=g) * 500
    ours, theirs = Image(x), tv_tensors.Image(x)
    mask, their_mask = Mask(m), tv_tensors.Mask(m)
    boxes, their_boxes = BoundingBoxes(b, format="XYXY", canvas_size=(512, 512)), tv_tensors.BoundingBoxes(b, format="XYXY", canvas_size=(512, 512))
    points, their_points = KeyPoints(p, canvas_size=(512, 512)), tv_tensors.KeyPoints(p, canvas_size=(512, 512))
    start, end = [[0, 0], [511, 0], [511, 511], [0, 511]], [[20, 30], [490, 10], [500, 480], [5, 505]]
    move = torch.nn.functional.interpolate(torch.randn(1, 2, 8, 8, generator=g) * 0.02, (512, 512), mode="bicubic").permute(0, 2, 3, 1).contiguous()
    verbs = {
        "horizontal_flip": (), "vertical_flip": (), "crop": (30, 40, 400, 300), "pad": ([10, 20],), "resize": ([224, 224],), "resized_crop": (30, 40, 400, 300, [224, 224]),
        "rotate": (30.0, "bilinear"), "affine": (20.0, [10, 20], 1.1, [5.0, 3.0], "bilinear"), "perspective": (start, end, "bilinear"), "elastic": (move, "bilinear"),
    }  # fmt: skip
    interpolations = {"bilinear": tvf.InterpolationMode.BILINEAR}
    calls: dict[str, tuple[Call, Call]] = {}
    for name, arguments in verbs.items():
        mine, other = getattr(F, name), getattr(tvf, name)
        given = tuple(interpolations.get(a, a) if isinstance(a, str) else a for a in arguments)
        for kind, leaf, their in (("image", ours, theirs), ("mask", mask, their_mask), ("boxes", boxes, their_boxes), ("points", points, their_points)):
            calls[f"{name} {kind}"] = (lambda f=mine, v=leaf, a=arguments: f(v, *a), lambda f=other, v=their, a=given: f(v, *a))
    colours = {
        "adjust_brightness": (1.3,), "adjust_contrast": (1.3,), "adjust_saturation": (1.3,), "adjust_hue": (0.1,), "adjust_gamma": (1.2,), "adjust_sharpness": (2.0,), "autocontrast": (),
        "equalize": (), "invert": (), "posterize": (3,), "solarize": (128,), "rgb_to_grayscale": (), "gaussian_blur": ([5, 5], [1.5, 1.5]), "jpeg": (60,), "erase": (10, 20, 100, 80, torch.zeros(3, 1, 1, dtype=torch.uint8)),
    }  # fmt: skip
    for name, arguments in colours.items():
        mine, other = getattr(F, name), getattr(tvf, name)
        calls[f"{name} image"] = (lambda f=mine, a=arguments: f(ours, *a), lambda f=other, a=arguments: f(theirs, *a))
    return calls


def batches() -> dict[str, tuple[Call, Call]]:
    """name -> (vdata, torchvision in a loop): 64 pictures under 64 draws."""
    g = torch.Generator().manual_seed(0)
    n, side = 64, 96
    x = torch.randint(0, 256, (n, 3, side, side), generator=g, dtype=torch.uint8)
    r = np.random.default_rng(0)
    top, left, size = r.integers(0, 16, n), r.integers(0, 16, n), r.integers(40, 80, n)
    angle, factor = r.uniform(-30, 30, n), r.uniform(0.6, 1.4, n)
    batch = Image(x)
    bilinear = tvf.InterpolationMode.BILINEAR

    def loop(one: Callable[[int], torch.Tensor]) -> Call:
        return lambda: torch.stack([one(b) for b in range(n)])

    return {
        "crop": (lambda: F.crop(batch, top, left, 80, 80), loop(lambda b: tvf.crop(x[b], int(top[b]), int(left[b]), 80, 80))),
        "resized_crop": (lambda: F.resized_crop(batch, top, left, size, size, (64, 64)), loop(lambda b: tvf.resized_crop(x[b], int(top[b]), int(left[b]), int(size[b]), int(size[b]), [64, 64]))),
        "rotate": (lambda: F.rotate(batch, angle, "bilinear"), loop(lambda b: tvf.rotate(x[b], float(angle[b]), bilinear))),
        "brightness": (lambda: F.adjust_brightness(batch, factor), loop(lambda b: tvf.adjust_brightness(x[b], float(factor[b])))),
        "contrast": (lambda: F.adjust_contrast(batch, factor), loop(lambda b: tvf.adjust_contrast(x[b], float(factor[b])))),
        "sharpness": (lambda: F.adjust_sharpness(batch, factor), loop(lambda b: tvf.adjust_sharpness(x[b], float(factor[b])))),
    }  # fmt: skip


def measured(calls: dict[str, tuple[Call, Call]], rounds: int) -> dict[str, dict[str, float]]:
    """name -> the median milliseconds of both, interleaved; how much of torchvision's time vdata takes."""
    table = {}
    for name, pair in calls.items():
        once = [_time(c, 1) for c in pair]  # warms up, and says how often a round repeats it
        repeats = max(1, min(200, int(0.02 / max(*once, 1e-6))))
        times = [[_time(c, repeats) for c in pair] for _ in range(rounds)]
        mine, other = (1e3 * statistics.median(t[i] for t in times) for i in (0, 1))
        table[name] = {"vdata": mine, "torchvision": other, "ratio": mine / other}
    return table


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="write the numbers here too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {"one picture, uint8 [3, 512, 512]": measured(one_picture(), options.rounds), "64 pictures, uint8 [3, 96, 96], 64 draws": measured(batches(), options.rounds)}
    for title, table in results.items():
        print(f"\n{title}\n{'':28}{'vdata ms':>10}{'torchvision ms':>16}{'ratio':>8}")
        for name, line in table.items():
            print(f"{name:28}{line['vdata']:10.3f}{line['torchvision']:16.3f}{line['ratio']:8.2f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
