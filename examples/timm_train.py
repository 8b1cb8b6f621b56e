"""vdata in timm: a pipe is the dataset of `timm.data.create_loader`, which batches, and normalises on the device.

    python examples/timm_train.py                                                     # from which photograph is this tile?
    python examples/timm_train.py --model vit_small_patch16_224 --data imagenet --root /data/imagenet --steps 100000 --batch-size 256
    torchrun --nproc-per-node 2 examples/timm_train.py --checkpoint mine.pt --stop 30
    python examples/timm_train.py --checkpoint mine.pt --resume                       # with the epoch that comes next
timm's own augmentation is not applied to a pipe: what is done to a picture is what the pipe says.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import classification_small as small
import timm
import torch
from classification import datasets
from timm.data import create_loader
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from training import begin, is_first, mean_over, parser

import vdata
from vdata import transforms as T

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def share(pipe: vdata.DataPipe, even: bool) -> vdata.DataPipe:
    """This process's part, for timm does not deal: equally many samples for each where they are trained on, else each once."""
    return (pipe.take(len(pipe) // WORLD * WORLD) if even else pipe).shard(WORLD, RANK)


def main(arguments: Sequence[str] | None = None) -> float:
    options = parser(__doc__ or "", steps=60, batch_size=32, lr=2e-3)
    options.add_argument("--model", default="test_convnext", help="a name of timm; a very small ConvNeXt if you do not say")
    options.add_argument("--val", default="val", help="the split to evaluate on; of a folder or shards, the other folder or URL")
    args = options.parse_args(arguments)
    device = begin(args)
    train, held_out, classes = datasets(args)
    size = 224 if args.data else small.SIDE
    train = share(train.shuffle(seed=0), even=True).apply(T.RandomResizedCrop(size), T.TrivialAugmentWide()).to_tuple("image", "label")
    held_out = share(held_out, even=False).apply(T.Resize(size), T.CenterCrop(size)).to_tuple("image", "label")
    how = {"input_size": (3, size, size), "batch_size": args.batch_size, "device": device, "distributed": WORLD > 1, "num_workers": 2 if args.workers is None else args.workers}
    loader = create_loader(train, is_training=True, no_aug=True, **how)
    model = timm.create_model(args.model, num_classes=classes).to(device)
    parallel = DistributedDataParallel(model) if WORLD > 1 else model
    optimizer = torch.optim.AdamW(model.parameters(), args.lr)
    done, epoch, end = 0, 0, args.stop or args.steps
    if args.resume:
        saved = torch.load(args.checkpoint, weights_only=True, map_location="cpu")
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done, epoch = saved["done"], saved["epoch"]
    while done < end:
        train.set_epoch(epoch)  # as timm's train.py does
        for pictures, labels in loader:
            loss = cross_entropy(parallel(pictures), labels.plain())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done == end:
                break
        else:
            epoch += 1
            if is_first() and args.checkpoint:
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done, "epoch": epoch}, args.checkpoint)

    model.eval()
    with torch.no_grad():
        right = mean_over(model(pictures).argmax(1) == labels.plain() for pictures, labels in create_loader(held_out, **how))
    if is_first():
        print(f"{done} steps, {right:.1%} of the pictures that were held out are recognised")
    return right


if __name__ == "__main__":
    main()
