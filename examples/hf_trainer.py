"""vdata in the Trainer of transformers: pipes are its datasets, as they are. One process reads for all; each sample comes once.

    python examples/hf_trainer.py                                                     # from which photograph is this tile?
    python examples/hf_trainer.py --data imagenet --root /data/imagenet --steps 100000 --batch-size 256
    torchrun --nproc-per-node 2 examples/hf_trainer.py --checkpoint mine --stop 30
    torchrun --nproc-per-node 2 examples/hf_trainer.py --checkpoint mine --resume     # from step 30, in the middle of an epoch
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

import classification_small as small
import torch
from classification import datasets
from training import parser
from transformers import EvalPrediction, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification, set_seed

import vdata
from vdata import transforms as T


def renamed(sample: dict) -> dict:
    """What the model's forward calls them: the Trainer hands on nothing else."""
    return {"pixel_values": sample["image"].plain(), "labels": int(sample["label"])}


def accuracy(predicted: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(-1) == predicted.label_ids).mean()), "pictures": len(predicted.label_ids)}


def whole_steps(pipe: vdata.DataPipe, processes: int) -> vdata.DataPipe:
    """Without the tail that processes cannot share: Accelerate would fill it up with samples that it has used already."""
    return pipe.take(len(pipe) // processes * processes)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    options = parser(__doc__ or "", steps=60, batch_size=32, lr=2e-3)
    options.add_argument("--val", default="val", help="the split to evaluate on; of a folder or shards, the other folder or URL")
    args = options.parse_args(arguments)
    set_seed(0)
    train, held_out, classes = datasets(args)
    size, floats = 224 if args.data else small.SIDE, T.ToDtype(torch.float32, scale=True)
    train = whole_steps(train.shuffle(seed=0), int(os.environ.get("WORLD_SIZE", 1)))
    train = train.apply(T.RandomResizedCrop(size), T.TrivialAugmentWide(), floats).map(renamed)
    held_out = held_out.apply(T.Resize(size), T.CenterCrop(size), floats).map(renamed)
    few = {} if args.data else {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96, "patch_size": 8}
    model = ViTForImageClassification(ViTConfig(image_size=size, num_labels=classes, **few))

    trainer = Trainer(
        model,
        TrainingArguments(
            str(args.checkpoint or tempfile.mkdtemp()), max_steps=args.stop or args.steps, per_device_train_batch_size=args.batch_size,
            per_device_eval_batch_size=args.batch_size, learning_rate=args.lr, lr_scheduler_type="constant", use_cpu=not args.device.startswith("cuda"),
            dataloader_num_workers=2 if args.workers is None else args.workers, save_strategy="steps" if args.checkpoint else "no",
            save_steps=args.stop or args.every, logging_steps=20, report_to=[], disable_tqdm=True,
        ),
        train_dataset=train, eval_dataset=held_out, compute_metrics=accuracy,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=args.resume)  # reads again, and leaves out, what the epoch had before the checkpoint
    found = trainer.evaluate()
    if trainer.is_world_process_zero():
        print(f"{trainer.state.global_step} steps, {found['eval_accuracy']:.1%} of the {found['eval_pictures']} pictures that were held out are recognised")
    return found


if __name__ == "__main__":
    main()
