"""vdata in a loop of Accelerate: its loader goes in as it is, beside what Accelerate prepares, and into Accelerate's own checkpoints.

    python examples/accelerate_loop.py                                                # from which photograph is this tile?
    accelerate launch --num_processes 8 examples/accelerate_loop.py --data imagenet --root /data/imagenet --steps 100000
    torchrun --nproc-per-node 2 examples/accelerate_loop.py --checkpoint mine --stop 30
    python examples/accelerate_loop.py --checkpoint mine --resume                     # from step 30, in the middle of an epoch
"""

from __future__ import annotations

from collections.abc import Sequence

import classification_small as small
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from classification import datasets
from torch.nn.functional import cross_entropy
from torchvision.models import convnext_tiny
from training import endless, parser, warm_and_cosine

from vdata import transforms as T


def main(arguments: Sequence[str] | None = None) -> float:
    options = parser(__doc__ or "", steps=60, batch_size=32, lr=2e-3)
    options.add_argument("--val", default="val", help="the split to evaluate on; of a folder or shards, the other folder or URL")
    args = options.parse_args(arguments)
    accelerator = Accelerator(cpu=not args.device.startswith("cuda"))
    set_seed(0)

    train, held_out, classes = datasets(args)
    size, floats = 176 if args.data else small.SIDE, T.ToDtype(torch.float32, scale=True)
    train = train.shuffle(seed=0).apply(T.RandomResizedCrop(size), T.TrivialAugmentWide(), floats).batch(args.batch_size, drop_last=True)
    held_out = held_out.apply(T.Resize(size), T.CenterCrop(size), floats).batch(args.batch_size)
    loader = train.loader(args.workers, device=accelerator.device)  # made after Accelerator(): it deals each process its share
    model = convnext_tiny(num_classes=classes) if args.data else small.conv_next(size, classes)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr)
    schedule = warm_and_cosine(optimizer, args.steps)
    model, optimizer = accelerator.prepare(model, optimizer)

    accelerator.register_for_checkpointing(loader, schedule)
    if args.resume:
        accelerator.load_state(args.checkpoint)
    for done, batch in zip(range(schedule.last_epoch + 1, (args.stop or args.steps) + 1), endless(loader), strict=False):
        loss = cross_entropy(model(batch["image"]), batch["label"])
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        schedule.step()
        if done % 20 == 0:
            accelerator.print(f"   step {done:4}   loss {accelerator.reduce(loss.detach(), 'mean').item():.3f}")
        if args.checkpoint and (done % args.every == 0 or done == args.stop):
            accelerator.save_state(args.checkpoint)

    model.eval()
    right = torch.zeros(2, device=accelerator.device)  # summed up at the end, since a process may have a batch more than another
    with torch.no_grad():
        for batch in held_out.loader(args.workers, device=accelerator.device, uneven="exact"):
            hits = model(batch["image"]).argmax(1) == batch["label"].plain()
            right += torch.stack([hits.sum(), torch.tensor(len(hits), device=hits.device)])
    hits, count = accelerator.reduce(right).tolist()
    accelerator.print(f"{schedule.last_epoch} steps, {hits / count:.1%} of the {count:.0f} pictures that were held out are recognised")
    return hits / count


if __name__ == "__main__":
    main()
    Accelerator().end_training()
