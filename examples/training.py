"""What every training example shares: its arguments, one process or several, steps, checkpoints, the end of the run.

    python examples/classification.py --steps 200                              # one process
    torchrun --nproc-per-node 2 examples/classification.py --steps 200         # several: each its share of the same order
    python examples/classification.py --checkpoint mine.pt --resume            # goes on from mine.pt, with any number of processes
"""

from __future__ import annotations

import argparse
import atexit
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import vdata
from vdata.progress import progress


def parser(doc: str, *, steps: int, batch_size: int, lr: float) -> argparse.ArgumentParser:
    """The arguments that all examples have; one adds its own."""
    out = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--data", help="a name of the catalogue, a folder or the URL of shards; without it little data is made here")
    out.add_argument("--root", help="where the catalogue's files lie")
    out.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    out.add_argument("--steps", type=int, default=steps)
    out.add_argument("--batch-size", type=int, default=batch_size, help="samples a step in each process")
    out.add_argument("--workers", type=int, help="threads that make batches in each process; as many as cores without it")
    out.add_argument("--lr", type=float, default=lr)
    out.add_argument("--checkpoint", type=Path, help="where to save")
    out.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    out.add_argument("--stop", type=int, help="stop after this step, as if the machine had gone down")
    out.add_argument("--resume", action="store_true", help="go on from --checkpoint")
    return out


def begin(args: argparse.Namespace, seed: int = 0) -> torch.device:
    """The device of this process; joins the others where torchrun started several. Models are made the same everywhere."""
    if "RANK" in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if args.device.startswith("cuda") else "gloo")
        atexit.register(_leave)
    torch.manual_seed(seed)
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if args.device == "cuda" else args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process speaks and saves for all."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def warm_and_cosine(optimizer: torch.optim.Optimizer, steps: int, warm: int = 10) -> torch.optim.lr_scheduler.LambdaLR:
    """The rate rises for `warm` steps and falls along half a cosine to nothing at the last."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))
    )


def average(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a model and its buffers."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


class Training:
    """A model that learns from a loader.

    loss(model, batch) -> the loss of a batch, or a dict of losses that are added up (as torchvision's detectors give)
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: vdata.Loader, loss: Callable[[nn.Module, vdata.Batch], Any], *,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None, ema: AveragedModel | None = None, clip: float | None = None,
    ):  # fmt: skip
        self.model, self.optimizer, self.loader, self.loss = model, optimizer, loader, loss
        self.schedule, self.ema, self.clip = schedule, ema, clip
        self.done = 0
        self.score: float | None = None  # what it came to, where it was judged
        self.recent: list[float] = []  # losses of the latest steps

    def fit(self, args: argparse.Namespace) -> None:
        """Steps up to `args.steps`, with checkpoints; says at the end how long it waited for data. Afterwards the model is the same everywhere."""
        if args.resume:
            if args.checkpoint is None:
                raise SystemExit("--resume needs --checkpoint")
            self.restore(args.checkpoint)
        if is_first():
            print(f"{self.done} of {args.steps} steps done, {self.loader}")
        ends = {args.stop, args.steps}
        for step in self.steps(args.steps):
            if args.checkpoint is not None and (step % args.every == 0 or step in ends) and is_first():
                self.save(args.checkpoint)
                print(f"   {args.checkpoint}: step {step}, {self.loader}")
            if step == args.stop:
                break
        self.loader.close()
        if is_first():
            said = self.loader.stats()
            print(f"{said['rate']:.0f} samples a second, {said['headspace']:.0f} if data were free; what limits: {said['bottleneck']}")
        if torch.distributed.is_initialized():
            for buffer in (b for part in (self.model, self.ema) if part is not None for b in part.buffers()):
                torch.distributed.broadcast(buffer, 0)  # until here the statistics of batch norms are each process's own
            torch.distributed.barrier()

    def steps(self, total: int) -> Iterator[int]:
        """The number of steps done, after each."""
        parallel = DistributedDataParallel(self.model) if torch.distributed.is_initialized() else self.model
        self.model.train()
        with progress("train", total, unit="steps") as bar:
            bar.update(self.done)
            for step, batch in zip(range(self.done + 1, total + 1), endless(self.loader), strict=False):
                torch.manual_seed(int(vdata.Key.of(*batch.at[0]).bits[0]))  # dropout too goes on as it would have gone on
                loss = _total(self.loss(parallel, batch))
                self.optimizer.zero_grad()
                loss.backward()
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
                self.optimizer.step()
                if self.schedule is not None:
                    self.schedule.step()
                if self.ema is not None:
                    self.ema.update_parameters(self.model)
                self.done, self.recent = step, [*self.recent[-24:], loss.item()]
                bar.set_postfix_str(f"loss {self.mean:.3f}")
                bar.update(1)
                if is_first() and (step % 25 == 0 or step == total):
                    bar.write(f"   step {step:4} of {total}   loss {self.mean:.3f}")
                yield step

    @property
    def mean(self) -> float:
        """The mean loss of the latest steps."""
        return sum(self.recent) / max(1, len(self.recent))

    def save(self, path: Path) -> None:
        """A checkpoint, written beside its place and then moved there: a crash leaves the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        parts = {name: part_.state_dict() for name, part_ in self._parts().items()}
        torch.save({**parts, "step": self.done}, part)
        os.replace(part, path)

    def restore(self, path: Path) -> None:
        """Everything as it was saved: the loader's position is that of the whole run, whatever the number of processes."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.done = state["step"]

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "loader": self.loader, "schedule": self.schedule, "ema": self.ema}
        return {name: part for name, part in parts.items() if part is not None}


def endless(loader: vdata.Loader) -> Iterator[vdata.Batch]:
    """Batches, epoch after epoch."""
    if not len(loader):
        raise SystemExit("there are too few samples for a single batch: give a smaller --batch-size")
    while True:
        yield from loader


def mean_over(values: Iterable[Tensor]) -> float:
    """The mean of per-sample values of all processes; nan where there are none."""
    held = [v.flatten() for v in values]
    here = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() and torch.distributed.is_initialized() else "cpu"
    flat = torch.cat(held).double() if held else torch.zeros(0, dtype=torch.float64, device=here)  # a process without samples joins in
    sums = torch.stack([flat.sum(), torch.tensor(float(flat.numel()), dtype=torch.float64, device=flat.device)])
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1])


def _total(loss: Any) -> Tensor:
    return torch.stack(list(loss.values())).sum() if isinstance(loss, dict) else loss
