"""vdata in PyTorch Lightning: a LightningDataModule whose loaders deal to the processes and go on exactly from Lightning's own checkpoints.

    python examples/lightning_data.py                                                 # from which photograph is this tile?
    python examples/lightning_data.py --data imagenet --root /data/imagenet --steps 100000 --batch-size 256
    torchrun --nproc-per-node 2 examples/lightning_data.py --checkpoint mine.ckpt --stop 30
    python examples/lightning_data.py --checkpoint mine.ckpt --resume                 # from step 30, in the middle of an epoch
"""

from __future__ import annotations

import argparse
import os

import classification_small as small
import lightning.pytorch as pl
import torch
from classification import datasets
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn.functional import cross_entropy
from torchvision.models import convnext_tiny
from training import parser

import vdata
from vdata import transforms as T


class Pictures(pl.LightningDataModule):
    def __init__(self, train: vdata.DataPipe, held_out: vdata.DataPipe, size: int, args: argparse.Namespace):
        super().__init__()
        floats, self.workers = T.ToDtype(torch.float32, scale=True), args.workers
        self.train = train.shuffle(seed=0).apply(T.RandomResizedCrop(size), T.TrivialAugmentWide(), floats).batch(args.batch_size, drop_last=True)
        self.held_out = held_out.apply(T.Resize(size), T.CenterCrop(size), floats).batch(args.batch_size)

    def train_dataloader(self) -> vdata.Loader:
        loader = self.train.loader(self.workers)  # made here, where the processes know each other: each gets its share
        loader.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # Lightning restores loaders in the middle of an epoch only
        return loader

    def val_dataloader(self) -> vdata.Loader:
        return self.held_out.loader(self.workers, uneven="exact")  # each picture once, though a process may have a batch more than another


class Classifier(pl.LightningModule):
    def __init__(self, model: torch.nn.Module, lr: float):
        super().__init__()
        self.model, self.lr = model, lr

    def training_step(self, batch: vdata.Batch, _: int) -> torch.Tensor:
        return cross_entropy(self.model(batch["image"]), batch["label"])

    def validation_step(self, batch: vdata.Batch, _: int) -> None:
        right = (self.model(batch["image"]).argmax(1) == batch["label"].plain()).float()
        self.log("accuracy", right.mean(), batch_size=len(right), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), self.lr)


def main(arguments: list[str] | None = None) -> pl.Trainer:
    options = parser(__doc__ or "", steps=60, batch_size=32, lr=2e-3)
    options.add_argument("--val", default="val", help="the split to evaluate on; of a folder or shards, the other folder or URL")
    args = options.parse_args(arguments)
    pl.seed_everything(0)
    train, held_out, classes = datasets(args)
    size = 176 if args.data else small.SIDE
    model = convnext_tiny(num_classes=classes) if args.data else small.conv_next(size, classes)
    local, nodes = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    save = [ModelCheckpoint(args.checkpoint.parent, args.checkpoint.stem, every_n_train_steps=args.stop or args.every, enable_version_counter=False)] if args.checkpoint else []
    trainer = pl.Trainer(
        accelerator="gpu" if args.device.startswith("cuda") else "cpu", devices=local, num_nodes=nodes, max_steps=args.stop or args.steps,
        callbacks=save, enable_checkpointing=bool(save), logger=False, enable_progress_bar=False, num_sanity_val_steps=0,
    )  # fmt: skip
    module, data = Classifier(model, args.lr), Pictures(train, held_out, size, args)
    trainer.fit(module, datamodule=data, ckpt_path=args.checkpoint if args.resume else None)
    trainer.validate(module, datamodule=data, verbose=trainer.is_global_zero)
    return trainer


if __name__ == "__main__":
    main()
