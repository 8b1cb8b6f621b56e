"""From photographs to a trained optical-flow network in about a minute and a half, on a CPU, without a download.

Two sets that need no files but scikit-image's are packed into shards and streamed back, shuffled, augmented, batched.
A small network trains on them, is interrupted in the middle of an epoch, and goes on with exactly the batches that
it would have seen. What it has learnt is measured on motions that it never saw, and drawn: demo/preview.png.

    python examples/demo.py [--steps 300] [--out demo] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from train_flow import DEVICE, FRAMES, PHOTOS, evaluate, new_training, no_motion, training_pipe
from training import Training

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.metrics import endpoint_error
from vdata.progress import progress
from vdata.tensors import Flow, Image

SIZE = PHOTOS["size"]  # the motorcycle shrinks to it, about a quarter, and its disparities from 60 pixels to 15
FLOATS = T.ToDtype(torch.float32, scale=True)
seconds: dict[str, float] = {}


@contextmanager
def phase(title: str) -> Iterator[None]:
    print(f"\n{len(seconds) + 1}. {title}", flush=True)
    start = time.perf_counter()
    yield
    seconds[title] = time.perf_counter() - start


def left_half(sample: dict[str, Any]) -> dict[str, Any]:
    return _half(sample, left=0)


def right_half(sample: dict[str, Any]) -> dict[str, Any]:
    return _half(sample, left=SIZE[1] // 2)


def _half(sample: dict[str, Any], left: int) -> dict[str, Any]:
    return {**sample, **{n: T.functional.crop(sample[n], 0, left, SIZE[0], SIZE[1] // 2) for n in FRAMES}}


def look() -> None:
    """What the data are, asked of the data."""
    flow = vdata.load("motorcycle")[0]["flow"]
    unknown = int((~flow.valid.plain()).sum())
    print(f"   motorcycle: a real stereo pair, {flow.shape[-1]} x {flow.shape[-2]}; flow = (-disparity, 0), up to {flow.fill(0).abs().max():.0f} px")
    print(f"   {unknown:,} of {flow[0].numel():,} pixels have no measured disparity: they are NaN, here and in training")
    print(f"   moving_photos: {vdata.info('moving_photos').title.lower()}, with exact flow and occlusions")


def pack(out: Path, length: int) -> None:
    photos = vdata.load("moving_photos", length=length, **PHOTOS).select(*FRAMES)
    motorcycle = vdata.load("motorcycle").apply(T.Resize(SIZE)).map(left_half)
    for name, pipe in {"photos": photos, "motorcycle": motorcycle}.items():
        packed = pipe.pack(str(out / name), samples_per_shard=64, overwrite=True)
        shards = sorted((out / name).glob("*.tar"))
        print(f"   {out / name}: {len(packed)} samples in {len(shards)} shards, {sum(s.stat().st_size for s in shards) / 1e6:.1f} MB")


def shards(out: Path) -> vdata.DataPipe:
    """All that is trained on: six pairs of moving photographs to one piece of the motorcycle."""
    photos, motorcycle = vdata.open(str(out / "photos")), vdata.open(str(out / "motorcycle"))
    return vdata.concat(photos, motorcycle.repeat(len(photos) // 6))


def stream(out: Path) -> None:
    """One epoch, for the sake of looking at it."""
    pipe = training_pipe(shards(out))
    print("   " + str(pipe).replace("\n", "\n   "))
    start, known, frames = time.perf_counter(), 0.0, 0
    with pipe.loader() as loader, progress("stream", len(loader), unit="batches") as bar:
        for batch in loader:
            known += float(batch["flow"].valid.plain().float().mean()) / len(loader)
            frames += 2 * batch.size
            bar.update(1)
    print(f"   a batch: image1 and image2 {list(batch['image1'].shape)}, flow {list(batch['flow'].shape)}")
    print(f"   an epoch: {frames / (time.perf_counter() - start):.0f} frames a second; the flow is known at {known:.1%} of the pixels")


def same(a: vdata.Batch, b: vdata.Batch) -> bool:
    """Keys, pixels and flow, bit for bit (as integers, since NaN is not equal to itself)."""
    bits = lambda batch, name: batch[name].plain().cpu().contiguous().view(torch.int32)
    return a["__key__"] == b["__key__"] and all(torch.equal(bits(a, n), bits(b, n)) for n in FRAMES)


def train_on(out: Path, steps: int) -> Training:
    """Training at its beginning."""
    return new_training(training_pipe(shards(out)).loader(device=DEVICE), steps)


def next_batches(training: Training, count: int = 3) -> list[vdata.Batch]:
    """A list that fills with the next batches that are learnt from."""
    seen: list[vdata.Batch] = []
    loss = training.loss

    def watched(model: torch.nn.Module, batch: vdata.Batch) -> torch.Tensor:
        if len(seen) < count:
            seen.append(batch)
        return loss(model, batch)

    training.loss = watched
    return seen


def unseen(length: int) -> dict[str, list[dict[str, Any]]]:
    """Motions that are never trained on: others of the same photographs, and the disparities of the other half.

    The motorcycle's left picture is one of those photographs: what it shows has been seen, how it moves has not.
    """
    photos = vdata.load("moving_photos", split="val", length=length, **PHOTOS).select(*FRAMES)
    motorcycle = vdata.load("motorcycle").apply(T.Resize(SIZE))
    return {
        "moving photographs": list(photos.apply(FLOATS)),
        "motorcycle, right half": list(motorcycle.map(right_half).apply(FLOATS)),
    }


def preview(model: torch.nn.Module, samples: dict[str, dict[str, Any]]) -> Image:
    """A line a sample: frames, the second moved back by the prediction, the error; the true and the predicted flow."""
    lines = []
    for name, sample in samples.items():
        first, second, truth = (sample[n] for n in FRAMES)
        with torch.no_grad():
            flow = Flow(model(first[None], second[None])[0])
        error, still = endpoint_error(flow, truth), endpoint_error(torch.zeros_like(flow), truth)
        pictures = dict(viz.render({"image1": first, "image2": second, "flow": flow}))
        lines.append({
            "__key__": f"{name}: mean end-point error {error:.2f} px; of no motion {still:.2f} px",
            "first frame": first,
            "second frame": second,
            "second, moved back as predicted": pictures["image2 warped"],
            "error: white 0, red 4 px or more": heat(endpoint_error(flow, truth, reduction="none") / 4),
            "true flow": truth,
            "predicted flow": flow,
        })  # fmt: skip
    return viz.sheet(lines, height=160)


def heat(values: torch.Tensor) -> Image:
    """White for 0 to red for 1 and more; dark grey where unknown."""
    level = values.clamp(0, 1)
    colours = torch.stack([1 - 0.15 * level, 1 - 0.9 * level, 1 - 0.85 * level])
    return Image(torch.where(values.isnan(), 0.23, colours))


def main() -> None:
    parser = argparse.ArgumentParser(description="Pack, stream, train, interrupt, resume, and draw what was learnt.")
    parser.add_argument("--steps", type=int, default=300, help="of training, at least 10")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where shards, checkpoint and picture go")
    parser.add_argument("--quick", action="store_true", help="little data and 24 steps: to see that it runs")
    args = parser.parse_args()
    steps, length, held = (24, 48, 4) if args.quick else (max(10, args.steps), 240, 24)
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
        training, expected = train_on(args.out, steps), []
        before = {name: evaluate(training.model, samples) for name, samples in tests.items()}
        wrong = steps // 2 if steps // 2 % len(training.loader) else steps // 2 + 1
        for step in training.steps(steps):
            if step == wrong:
                training.save(checkpoint)
                print(f"   stopped after step {wrong}, {training.loader}: saved to {checkpoint}")
                expected = next_batches(training)  # what this run would have trained on next: it goes on for that long
            if step == wrong + 3:
                break
        training.loader.close()

    with phase("Start over from the checkpoint, and train on"):
        training = train_on(args.out, steps)
        training.restore(checkpoint)
        resumed = next_batches(training)
        for _ in training.steps(steps):
            pass
        training.loader.close()
        if len(resumed) != len(expected) or not all(map(same, expected, resumed)):
            sys.exit("demo: the resumed pipe does not give the batches that the interrupted one would have given")
        print(f"   its first {sum(b.size for b in resumed)} samples were those that the stopped run would have seen: same keys, same pixels, bit for bit")

    with phase("Measure on motions that it never saw, and draw"):
        after = {name: evaluate(training.model, samples) for name, samples in tests.items()}
        print("   mean end-point error in px   no motion   untrained   trained")
        for name, samples in tests.items():
            print(f"   {name:<27}  {evaluate(no_motion, samples):9.2f}   {before[name]:9.2f}   {after[name]:7.2f}")
        whole = vdata.load("motorcycle").apply(T.Resize(SIZE), FLOATS)[0]
        shown = {"the motorcycle (its left half was trained on)": whole}
        shown |= {f"moving photographs, {s['__key__']}": s for s in tests["moving photographs"][:4]}
        viz.save(preview(training.model.cpu(), shown), args.out / "preview.png")

    print("\nSeconds: " + ", ".join(f"{n}. {s:.1f}" for n, s in enumerate(seconds.values(), 1)) + f"; {sum(seconds.values()):.0f} in all")
    print(f"The picture: {(args.out / 'preview.png').resolve()}")
    worse = [name for name in tests if after[name] >= before[name]]
    if worse:
        sys.exit(f"demo: training did not lower the end-point error on {' and '.join(worse)}")


if __name__ == "__main__":
    main()
