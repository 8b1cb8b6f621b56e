"""One of two processes that train inside another library: torchrun --nproc-per-node 2 frameworks.py LIBRARY FOLDER. Started by test_frameworks.py.

What each process saw goes to FOLDER/rank-R.json: {case: [for each epoch [for each step [numbers of samples]]]}.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import vdata  # noqa: E402
from vdata.errors import PlanError  # noqa: E402
from vdata.tensors import Image, Label  # noqa: E402

COUNT, BATCH = 41, 4
CLASSES = tuple(map(str, range(COUNT)))
RANK, WORLD = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE"))
Seen = dict[str, Any]
EXAMPLE = ["--device", "cpu", "--steps", "9", "--batch-size", "8", "--workers", "2"]


def numbers(count: int = COUNT) -> vdata.DataPipe:
    return vdata.from_torch([{"x": torch.tensor([float(i)]), "labels": i} for i in range(count)]).shuffle(seed=0)


def listed(values: Any) -> list[int]:
    return [int(v) for v in torch.as_tensor(values).flatten()]


def documented(section: str, **names: Any) -> dict[str, Any]:
    """Runs the block of a section of docs/frameworks.md; returns its names."""
    part = (ROOT / "docs/frameworks.md").read_text().split(f"## {section}\n")[1]
    names = {"train": numbers(), "held_out": numbers(), "W": WORLD, "rank": RANK, "__name__": "page", **names}
    exec(compile(part.split("```python\n")[1].split("```")[0], section, "exec"), names)
    return names


def refusal(run: Any) -> str:
    try:
        run()
    except PlanError as error:
        return str(error)
    return "nothing was refused"


# -- torch alone ---------------------------------------------------------------------------------------------------------


def ddp(seen: Seen, folder: Path) -> None:
    """Every rule for samples that do not divide, in training and in evaluation; and pipes that are not dealt."""
    from torch.distributed.algorithms.join import Join

    dist.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    for uneven in ("drop", "pad", "exact"):
        loader = numbers().batch(BATCH).loader(workers=2, uneven=uneven)
        epochs = seen[uneven] = []
        for _ in range(2):
            epochs.append([])
            with Join([model], enable=uneven == "exact"):  # a rank that is done answers for the others' steps
                for batch in loader:
                    model(batch["x"]).sum().backward()
                    epochs[-1].append(listed(batch["labels"]))
    model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))).eval()
    held_out = numbers().batch(BATCH).loader(workers=2, uneven="exact")
    with torch.no_grad():  # ranks have unequally many batches, and a model with buffers
        seen["evaluation"] = [[listed(batch["labels"]) for batch in held_out if model(batch["x"]).isfinite().all()]]
    seen["bare"] = refusal(lambda: list(DataLoader(numbers().batch(BATCH), batch_size=None)))
    seen["bare in workers"] = refusal(lambda: list(DataLoader(numbers().batch(BATCH), batch_size=None, num_workers=1)))
    documented("torch", model=nn.parallel.DistributedDataParallel(nn.Linear(1, 1)))
    with warnings.catch_warnings(record=True) as told:
        next(iter(numbers()))  # a look at one sample, or a loop that forgot to deal: nobody can tell
    seen["by hand"] = str(told[0].message)
    whole = DataLoader(numbers().shard(1, 0).batch(BATCH), batch_size=None)
    seen["all on each"] = [[listed(batch["labels"]) for batch in whole]]


def leg(seen: Seen, folder: Path) -> None:
    """A run of DDP that goes on from FOLDER/state.json, whatever the number of processes was, and stops after three steps."""
    dist.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    loader = numbers().batch(BATCH).loader(workers=2)
    state = folder / "state.json"
    if state.exists():
        loader.load_state_dict(json.loads(state.read_text()))
    seen["steps"] = []
    for _, batch in zip(range(3), loader, strict=False):
        model(batch["x"]).sum().backward()
        seen["steps"].append([loader.state_dict()["epoch"], listed(batch["labels"])])
    dist.barrier()
    if RANK == 0:
        state.write_text(json.dumps(loader.state_dict()))
    loader.close()


# -- PyTorch Lightning ---------------------------------------------------------------------------------------------------


def lightning(seen: Seen, folder: Path) -> None:
    import lightning.pytorch as pl
    import lightning_data

    class Counted(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.trained, self.validated = nn.Linear(1, 1), {}, {}

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            self.trained.setdefault(self.current_epoch, []).append(listed(batch["labels"]))
            return self.layer(batch["x"]).square().mean()

        def validation_step(self, batch: Any, _: int) -> None:
            self.validated.setdefault(self.current_epoch, []).append(listed(batch["labels"]))
            self.log("loss", self.layer(batch["x"]).square().mean(), batch_size=len(batch["labels"]), sync_dist=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 1e-6)

    class Numbers(pl.LightningDataModule):
        def train_dataloader(self) -> vdata.Loader:
            return numbers().batch(BATCH).loader(workers=2)

        def val_dataloader(self) -> vdata.Loader:
            return numbers().batch(BATCH).loader(workers=2, uneven="exact")

    quiet = {"accelerator": "cpu", "devices": WORLD, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0}

    def trainer() -> pl.Trainer:
        return pl.Trainer(max_epochs=2, **quiet)

    counted, early = Counted(), numbers().batch(BATCH).loader(workers=2)
    trainer().fit(counted, datamodule=Numbers())
    seen["train"], seen["evaluation"] = list(counted.trained.values()), list(counted.validated.values())
    seen["bare"] = refusal(lambda: trainer().fit(Counted(), DataLoader(numbers().batch(BATCH), batch_size=None)))
    seen["pipe"] = refusal(lambda: trainer().fit(Counted(), numbers().batch(BATCH)))
    seen["early"] = repr(early)  # made before there was a group: torchrun's environment says the rank

    counted = Counted()
    documented("Lightning", pl=pl, module=counted, quiet=quiet)
    seen["documented"] = [list(counted.validated.values())[0]]
    lightning_data.small.conv_next = steady
    through, _, resumed = (lightning_data.main([*EXAMPLE, *more]) for more in interrupted(folder / "lightning.ckpt", 5))
    assert through.lightning_module is not None and resumed.lightning_module is not None
    seen["resumed"] = same(through.lightning_module.model, resumed.lightning_module.model)


# -- Accelerate ----------------------------------------------------------------------------------------------------------


def accelerate(seen: Seen, folder: Path) -> None:
    import accelerate_loop
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(numbers().batch(BATCH).loader(workers=2))
    seen["train"] = [[listed(batch["labels"]) for batch in loader] for _ in range(2)]
    plain = numbers().take(COUNT // WORLD * WORLD).to_tuple("x", "labels")
    prepared = accelerator.prepare(DataLoader(plain, batch_size=BATCH, num_workers=2))  # one process reads, all get their part
    seen["dispatched"] = [[listed(labels) for _, labels in prepared] for _ in range(2)]
    prepared = accelerator.prepare(DataLoader(numbers().to_tuple("x", "labels"), batch_size=BATCH, num_workers=2))
    gathered = [listed(accelerator.gather_for_metrics(labels)) for _, labels in prepared]
    seen["evaluation"] = [gathered if RANK == 0 else []]
    seen["bare"] = refusal(lambda: list(DataLoader(numbers().batch(BATCH), batch_size=None)))
    model = nn.Linear(1, 1)
    names = documented("Accelerate", accelerator=accelerator, model=model, optimizer=torch.optim.SGD(model.parameters(), 1e-6), DataLoader=DataLoader)
    seen["documented"] = [[listed(part) for part in names["labels"]] if RANK == 0 else []]
    through, _, resumed = (accelerate_loop.main([*EXAMPLE, *more]) for more in interrupted(folder / "accelerate", 5))
    seen["resumed"] = through == resumed


# -- the Trainer of transformers -------------------------------------------------------------------------------------------


class Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps = nn.Linear(1, 1), []

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.steps.append(listed(labels))
        out = self.layer(x)
        return {"loss": out.square().mean(), "logits": out}


def fields(batch: vdata.Batch) -> dict[str, Any]:
    return {name: batch[name] for name in ("x", "labels")}


def transformers(seen: Seen, folder: Path) -> None:
    import hf_trainer
    from transformers import Trainer, TrainingArguments

    class Dealt(Trainer):
        def get_train_dataloader(self) -> Any:
            return self.train_dataset.batch(BATCH).map(fields).loader(workers=2)

    def fit(kind: type[Trainer], pipe: vdata.DataPipe, resume: bool = False) -> tuple[Trainer, list[list[list[int]]]]:
        arguments = TrainingArguments(
            str(folder / kind.__name__), per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, num_train_epochs=2, use_cpu=True, report_to=[],
            save_strategy="steps", save_steps=3, disable_tqdm=True, dataloader_num_workers=2, learning_rate=1e-6, logging_strategy="no",
        )  # fmt: skip
        model = Recorder()
        trainer = kind(model, arguments, train_dataset=pipe)
        trainer.train(resume_from_checkpoint=str(folder / kind.__name__ / "checkpoint-3") if resume else None)
        half = len(model.steps) // 2
        return trainer, [model.steps] if resume else [model.steps[:half], model.steps[half:]]

    even = numbers(COUNT // WORLD * WORLD)
    trainer, seen["train"] = fit(Trainer, even)
    found = trainer.predict(numbers())
    seen["evaluation"] = [[listed(found.label_ids)] if RANK == 0 else []]
    seen["rest"] = fit(Trainer, even, resume=True)[1]
    seen["dealt"] = fit(Dealt, numbers())[1]
    names = documented("The Trainer of transformers", Trainer=Trainer, model=Recorder(), arguments=trainer.args, fields=fields)
    assert len(names["Dealt"](Recorder(), trainer.args, train_dataset=numbers()).get_train_dataloader()) == 5
    found = hf_trainer.main([*EXAMPLE, "--checkpoint", str(folder / "example")])
    seen["accuracy"] = found["eval_accuracy"]


# -- timm ----------------------------------------------------------------------------------------------------------------


def picture(sample: dict[str, Any]) -> dict[str, Any]:
    return {"image": Image(torch.full((3, 8, 8), sample["labels"], dtype=torch.uint8)), "label": Label(sample["labels"], categories=CLASSES)}


def timm(seen: Seen, folder: Path) -> None:
    import timm_train
    from timm.data import create_loader
    from timm.data.loader import PrefetchLoader

    dist.init_process_group("gloo")
    cpu, pictures = torch.device("cpu"), numbers().map(picture)
    how = {"input_size": (3, 8, 8), "batch_size": BATCH, "device": cpu, "num_workers": 2, "distributed": True}
    train = timm_train.share(pictures, even=True).to_tuple("image", "label")
    loader = create_loader(train, is_training=True, no_aug=True, mean=(0, 0, 0), std=(1 / 255,) * 3, **how)
    seen["train"] = []
    for epoch in range(2):
        train.set_epoch(epoch)
        steps = list(loader)
        assert all(torch.equal(images[:, 0, 0, 0].long(), labels.plain()) for images, labels in steps)  # normalised on the way, and together with its label
        seen["train"].append([listed(labels) for _, labels in steps])
    seen["evaluation"] = [[listed(labels) for _, labels in create_loader(timm_train.share(pictures, even=False).to_tuple("image", "label"), **how)]]
    loader = PrefetchLoader(pictures.batch(BATCH).to_tuple("image", "label").loader(workers=2), device=cpu)
    seen["dealt"] = [[listed(labels) for _, labels in loader] for _ in range(2)]
    seen["bare"] = refusal(lambda: list(create_loader(pictures.to_tuple("image", "label"), is_training=True, **how)))

    documented("timm", create_loader=create_loader, PrefetchLoader=PrefetchLoader, device=cpu, train=pictures)
    through, _, resumed = (timm_train.main([*EXAMPLE, "--batch-size", "32", *more]) for more in interrupted(folder / "timm.pt", 6))
    seen["resumed"] = through == resumed


def interrupted(checkpoint: Path, stop: int) -> list[list[str]]:
    """The arguments of a run from end to end, of one that stops, and of one that goes on from there."""
    kept = ["--checkpoint", str(checkpoint)]
    return [[], [*kept, "--stop", str(stop)], [*kept, "--resume"]]


def steady(size: int, classes: int) -> nn.Module:
    """A model that draws nothing, for Lightning does not restore random states."""
    return nn.Sequential(nn.AvgPool2d(size // 8), nn.Flatten(), nn.Linear(192, classes))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seen: Seen = {}
    folder = Path(sys.argv[2])
    {"ddp": ddp, "leg": leg, "lightning": lightning, "accelerate": accelerate, "transformers": transformers, "timm": timm}[sys.argv[1]](seen, folder)
    (folder / f"rank-{RANK}.json").write_text(json.dumps(seen))
    if dist.is_initialized():
        dist.destroy_process_group()
