"""Train classifiers of torchvision by the recipes that made the second generation of its weights: a table of them, and one pipe.

    python examples/classification.py --model convnext_tiny      # from which photograph is this tile? A ConvNeXt of few blocks, in seconds
    python examples/classification.py --data imagenet --root /data/imagenet --steps 750000 --batch-size 1024
    torchrun --nproc-per-node 8 examples/classification.py --data s3://bucket/train --val s3://bucket/val --model swin_t --checkpoint swin.pt
    torchrun --nproc-per-node 4 examples/classification.py ... --checkpoint swin.pt --resume      # goes on from there, with any number of processes
The recipes: https://github.com/pytorch/vision/tree/main/references/classification, but for repeated augmentation.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import classification_small as small
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision import models
from training import Training, average, begin, is_first, mean_over, parser, warm_and_cosine

import vdata
from vdata import transforms as T

SGD = partial(torch.optim.SGD, momentum=0.9)
AUGMENT = {"trivial": T.TrivialAugmentWide(), "rand": T.RandAugment(), "auto": T.AutoAugment(), "augmix": T.AugMix(), "none": T.Identity()}


class Recipe(NamedTuple):
    """How models of a family are trained; `small(size, classes)` is one of the family with few blocks."""

    small: Callable[[int, int], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float  # for 1,024 pictures a step; it goes with the root of their number
    decay: float  # of weights; biases and norms have none
    crop: float = 176 / 224  # trained on smaller pictures than evaluated on, since things look larger there (FixRes, arXiv 1906.06423)
    augment: str = "trivial"
    mixup: float = 0.2
    erase: float = 0.1
    smoothing: float = 0.1
    clip: float | None = None


RECIPES = {  # by how a model's name begins; others are trained as ResNets are
    "vit": Recipe(small.vit, torch.optim.AdamW, 1.5e-3, 0.3, crop=1.0, augment="rand", erase=0.0, smoothing=0.11, clip=1.0),
    "convnext": Recipe(small.conv_next, torch.optim.AdamW, 1e-3, 0.05),
    "swin": Recipe(small.swin, torch.optim.AdamW, 1e-3, 0.05, crop=1.0, mixup=0.8, erase=0.25, clip=5.0),
    "efficientnet_v2": Recipe(small.efficient_net, SGD, 0.5, 2e-5, crop=300 / 384),
    "regnet": Recipe(small.reg_net, SGD, 0.5, 2e-5),
    "resnet": Recipe(small.res_net, SGD, 0.5, 2e-5),
}


def evaluation_preset(model: str, size: int | None) -> T.Compose:
    """What the model's published accuracy was measured with; for pictures of another size in the same proportion."""
    resize, crop, *floats = T.from_weights(models.get_model_weights(model)["DEFAULT"]).transforms
    size = size or crop.size[0]
    return T.Compose([replace(resize, size=round(resize.size * size / crop.size[0])), T.CenterCrop(size), *floats])


def training_pipe(data: vdata.DataPipe, recipe: Recipe, augment: T.Transform, preset: T.Compose, batch_size: int) -> vdata.DataPipe:
    """The recipe's augmentation, but for what mixes pictures; they are read and normalised as in evaluation."""
    resize, crop, *floats = preset.transforms
    cut = T.RandomResizedCrop(round(crop.size[0] * recipe.crop), interpolation=resize.interpolation)
    pipe = data.shuffle(seed=0).apply(cut, T.RandomHorizontalFlip(), augment, *floats, T.RandomErasing(recipe.erase))
    return pipe.batch(batch_size, drop_last=True)


def mixed_loss(model: nn.Module, batch: vdata.Batch, mix: T.Transform, smoothing: float) -> Tensor:
    """Cross entropy of pictures that are mixed within the batch, where it lies (in a pipe, mixing before `.batch` makes each twice).

    How depends on their places in the epoch alone: a run that is resumed does what it would have done.
    """
    batch = mix(batch, key=vdata.Key.of(0, batch.at[0][0], [position for _, position in batch.at]))
    with torch.autocast(batch["image"].device.type, torch.bfloat16, enabled=batch["image"].is_cuda):
        return cross_entropy(model(batch["image"]), batch["label"], label_smoothing=smoothing)


@torch.no_grad()
def accuracy(model: nn.Module, loader: vdata.Loader) -> float:
    """The share of pictures that are recognised, over all processes."""
    model.eval()
    return mean_over(model(batch["image"]).argmax(1) == batch["label"].plain() for batch in loader)


def datasets(args: argparse.Namespace) -> tuple[vdata.DataPipe, vdata.DataPipe, int]:
    """What to train on, what to evaluate on, and how many classes there are."""
    if args.data is None:
        return small.photographs(held_out=False), small.photographs(held_out=True), len(small.PHOTOS)
    train = vdata.load(args.data, root=args.root)
    held_out = vdata.load(args.data, args.val, root=args.root) if args.data in vdata.list_datasets() else vdata.load(args.val)
    categories = (train.plan.fields or {})["label"].meta.get("categories") or range(1000)  # ImageNet's have no single names
    return train.select("image", "label"), held_out.select("image", "label"), len(categories)


def main(arguments: Sequence[str] | None = None) -> Training:
    options = parser(__doc__ or "", steps=200, batch_size=32, lr=0)  # 0: the recipe's
    names = models.list_models(module=models, exclude=["googlenet", "inception*"])  # which have losses of their own
    options.add_argument("--model", choices=names, default="resnet50", metavar="NAME", help="of torchvision.models")
    options.add_argument("--small", action=argparse.BooleanOptionalAction, help="few blocks, and pictures of 64 pixels; the default without --data")
    options.add_argument("--size", type=int, help="pixels of a picture's side in evaluation")
    options.add_argument("--augment", choices=AUGMENT, help="instead of the recipe's")
    options.add_argument("--val", default="val", help="the split to evaluate on; of a folder or shards, the other folder or URL")
    args = options.parse_args(arguments)
    device = begin(args)
    recipe = next((r for family, r in RECIPES.items() if args.model.startswith(family)), RECIPES["resnet"])
    few_blocks = args.data is None if args.small is None else args.small
    preset = evaluation_preset(args.model, args.size or (small.SIDE if few_blocks else None))
    train, held_out, classes = datasets(args)
    side = preset.transforms[1].size[0]
    given = {"num_classes": classes} | ({"image_size": side} if args.model.startswith("vit") else {})
    model = (recipe.small(side, classes) if few_blocks else models.get_model(args.model, weights=None, **given)).to(device)
    flat, deep = ([p for p in model.parameters() if (p.ndim > 1) == wanted] for wanted in (False, True))
    lr = args.lr or recipe.lr * (args.batch_size * int(os.environ.get("WORLD_SIZE", 1)) / 1024) ** 0.5
    optimizer = recipe.optimizer([{"params": flat, "weight_decay": 0.0}, {"params": deep}], lr=lr, weight_decay=recipe.decay)
    mix = T.RandomChoice([T.MixUp(alpha=recipe.mixup, num_classes=classes), T.CutMix(num_classes=classes)])
    pipe = training_pipe(train, recipe, AUGMENT[args.augment or recipe.augment], preset, args.batch_size)
    training = Training(
        model, optimizer, pipe.loader(args.workers, device=device), partial(mixed_loss, mix=mix, smoothing=recipe.smoothing), clip=recipe.clip,
        schedule=warm_and_cosine(optimizer, args.steps, 1 + args.steps // 20),
        ema=average(model, max(0.0, 1 - 25 / args.steps)),  # over about the last 4 % of the steps
    )  # fmt: skip
    training.fit(args)
    if training.done == args.steps:
        judged_by = held_out.apply(preset).batch(args.batch_size).loader(args.workers, device=device, uneven="exact")
        training.score = accuracy(training.ema or model, judged_by)
        if is_first():
            print(f"   {training.score:.1%} of the pictures that were held out are recognised")
    return training


if __name__ == "__main__":
    main()
