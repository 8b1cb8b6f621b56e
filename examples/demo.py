"""From photographs to a trained optical-flow network in about a minute and a half, on a CPU, without a download.

Two sets that need no files but scikit-image's are packed into shards and streamed back, shuffled, augmented, batched.
A small network trains on them, is interrupted in the middle of an epoch, and goes on with exactly the batches that
it would have seen. What it has learnt is measured on data that it never saw, and drawn: demo/preview.png.

    python examples/demo.py [--steps 300] [--out demo] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from train_flow import FRAMES, PHOTOS, endless, evaluate, new_training, no_motion, restore, save, train, training_pipe

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.metrics import endpoint_error
from vdata.tensors import Flow, Image

MOTORCYCLE = (128, 190)  # about a quarter of 500 x 741: its disparities, up to 60 pixels, shrink to 15
FLOATS = T.ToDtype(torch.float32, scale=True)
seconds: dict[str, float] = {}


@contextmanager
def phase(title: str) -> Iterator[None]:
    print(f"\n{len(seconds) + 1}. {title}", flush=True)
    start = time.perf_counter()
    yield
    seconds[title] = time.perf_counter() - start


def left_half(sample: dict[str, Any]) -> dict[str, Any]:
    return _cropped(sample, 0, MOTORCYCLE[1] // 2)


def right_half(sample: dict[str, Any]) -> dict[str, Any]:
    return _cropped(sample, MOTORCYCLE[1] // 2, MOTORCYCLE[1] - MOTORCYCLE[1] // 2)


def _cropped(sample: dict[str, Any], left: int, width: int) -> dict[str, Any]:
    return {**sample, **{n: T.functional.crop(sample[n], 0, left, MOTORCYCLE[0], width) for n in FRAMES}}


def look() -> None:
    """What the data are, asked of the data."""
    flow = vdata.load("motorcycle")[0]["flow"]
    unknown = int((~flow.valid.plain()).sum())
    print(f"   motorcycle: a real stereo pair, {flow.shape[-1]} x {flow.shape[-2]}; flow = (-disparity, 0), up to {flow.fill(0).abs().max():.0f} px")
    print(f"   {unknown:,} of {flow[0].numel():,} pixels have no measured disparity: they are NaN, here and in training")
    print(f"   moving_photos: {vdata.info('moving_photos').title.lower()}, with exact flow and occlusions")


def pack(out: Path, length: int) -> None:
    photos = vdata.load("moving_photos", length=length, **PHOTOS).select(*FRAMES)
    motorcycle = vdata.load("motorcycle").decode().apply(T.Resize(MOTORCYCLE)).map(left_half)
    for name, pipe in {"photos": photos, "motorcycle": motorcycle}.items():
        packed = pipe.pack(str(out / name), samples_per_shard=64, overwrite=True)
        shards = sorted((out / name).glob("*.tar"))
        print(f"   {out / name}: {len(packed)} samples in {len(shards)} shards, {sum(s.stat().st_size for s in shards) / 1e6:.1f} MB")


def shards(out: Path) -> vdata.DataPipe:
    """All that is trained on: six pairs of moving photographs to one piece of the motorcycle."""
    photos, motorcycle = vdata.open(str(out / "photos")), vdata.open(str(out / "motorcycle"))
    return vdata.concat(photos, motorcycle.repeat(len(photos) // 6))


def stream(out: Path) -> None:
    pipe = training_pipe(shards(out))
    print("   " + str(pipe).replace("\n", "\n   "))
    with pipe.loader() as loader:
        batch = next(iter(loader))
    print(f"   first batch: image1 {tuple(batch['image1'].shape)}, flow {tuple(batch['flow'].shape)}, {batch['flow'].valid.plain().float().mean():.1%} of it known")


def same(a: vdata.Batch, b: vdata.Batch) -> bool:
    """Keys, pixels and flow, bit for bit (as integers, since NaN is not equal to itself)."""
    bits = lambda batch, name: batch[name].plain().cpu().contiguous().view(torch.int32)
    return a["__key__"] == b["__key__"] and all(torch.equal(bits(a, n), bits(b, n)) for n in FRAMES)


def unseen(length: int) -> dict[str, list[dict[str, Any]]]:
    """Samples that are never trained on: other motions of the photographs, and the other half of the motorcycle."""
    photos = vdata.load("moving_photos", split="val", length=length, **PHOTOS).select(*FRAMES)
    motorcycle = vdata.load("motorcycle").apply(T.Resize(MOTORCYCLE))
    return {
        "moving photographs": list(photos.apply(FLOATS)),
        "motorcycle, right half": list(motorcycle.map(right_half).apply(FLOATS)),
    }


def preview(model: torch.nn.Module, samples: list[dict[str, Any]]) -> Image:
    """A line a sample: frames, true and predicted flow, the second frame warped by the prediction, the error."""
    lines = []
    for sample in samples:
        first, second, truth = (sample[n] for n in FRAMES)
        with torch.no_grad():
            flow = model(first[None], second[None])[0]
        error, still = endpoint_error(flow, truth), endpoint_error(torch.zeros_like(flow), truth)
        lines.append({
            "__key__": f"{sample['__key__']}: mean end-point error {error:.2f} px, without motion {still:.2f} px",
            "first frame": first,
            "second frame": second,
            "true flow": truth,
            "predicted flow": Flow(flow),
            "second frame, moved back by the prediction": viz.warp(second, flow),
            "error: white 0, red 4 px or more": heat(endpoint_error(flow, truth, reduction="none") / 4),
        })  # fmt: skip
    return viz.sheet(lines, height=2 * MOTORCYCLE[0])


def heat(values: torch.Tensor) -> Image:
    """White for 0 to red for 1 and more; dark grey where unknown."""
    level = values.clamp(0, 1)
    colours = torch.stack([1 - 0.15 * level, 1 - 0.9 * level, 1 - 0.85 * level])
    return Image(torch.where(values.isnan(), 0.23, colours))


def main() -> None:
    parser = argparse.ArgumentParser(description="Pack, stream, train, interrupt, resume, and draw what was learnt.")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--quick", action="store_true", help="little data and 30 steps: to see that it runs")
    args = parser.parse_args()
    steps, length, held = (30, 48, 4) if args.quick else (args.steps, 240, 24)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"

    with phase("Look at the data"):
        look()
    with phase("Pack them into tar shards"):
        pack(args.out, length)
    with phase("Stream them back: shuffled, augmented, in batches"):
        stream(args.out)

    with phase("Train, until something goes wrong in the middle of an epoch"):
        tests = unseen(held)
        model, optimizer, loader = new_training(shards(args.out))
        before = {name: evaluate(model, samples) for name, samples in tests.items()}
        batches = endless(loader)
        for step in train(model, optimizer, batches, 0, steps):
            if step == steps // 2:
                break
        save(checkpoint, model, optimizer, loader, step)
        print(f"   stopped after step {step}, at {loader}: saved to {checkpoint}")
        expected = list(islice(batches, 3))  # what would have come next
        loader.close()

    with phase("Start over from the checkpoint, and train on"):
        model, optimizer, loader = new_training(shards(args.out))
        step = restore(checkpoint, model, optimizer, loader)
        resumed = list(islice(endless(loader), 3))
        if not all(map(same, expected, resumed)):
            sys.exit("demo: the resumed pipe does not give the batches that the interrupted one would have given")
        print(f"   the next 3 batches are those of the run that was stopped: {sum(b.size for b in resumed)} keys and all pixels, bit for bit")
        step = restore(checkpoint, model, optimizer, loader)
        for step in train(model, optimizer, endless(loader), step, steps):
            pass
        loader.close()

    with phase("Measure on what it never saw, and draw"):
        print("   mean end-point error in px    no motion   untrained   trained")
        after = {name: evaluate(model, samples) for name, samples in tests.items()}
        for name, samples in tests.items():
            print(f"   {name:<28}  {evaluate(no_motion, samples):9.2f}   {before[name]:9.2f}   {after[name]:7.2f}")
        whole = list(vdata.load("motorcycle").apply(T.Resize(MOTORCYCLE), FLOATS))
        viz.save(preview(model, [*whole, *tests["moving photographs"][:4]]), args.out / "preview.png")

    print("\nSeconds: " + ", ".join(f"{n}. {s:.1f}" for n, s in enumerate(seconds.values(), 1)) + f"; {sum(seconds.values()):.0f} in all")
    print(f"The picture: {(args.out / 'preview.png').resolve()}")
    worse = [name for name in tests if after[name] >= before[name]]
    if worse:
        sys.exit(f"demo: training did not lower the end-point error on {' and '.join(worse)}")


if __name__ == "__main__":
    main()
