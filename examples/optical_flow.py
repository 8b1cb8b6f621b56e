"""Train RAFT as it was trained: stage by stage, each on its own mix of data with its own augmentation (raft_recipe.py).

    python examples/optical_flow.py                                                  # tiny made-up files of the real sets: to see that it runs
    python examples/optical_flow.py --stage all --root /data --checkpoint raft.pt      # the real ones: /data/flying_chairs, /data/sintel, ...
    python examples/optical_flow.py --stage things --root /data --from raft-chairs.pt  # one stage, from the weights of the one before
    python examples/optical_flow.py --stage kitti --data s3://bucket/shards            # its recipe on other data with image1, image2 and flow

With --stage all every stage begins with the weights that the one before ended with. --checkpoint raft.pt is raft-chairs.pt, raft-things.pt, ...;
--resume goes on inside the stage that was stopped. Data for RAFT are at least 128 pixels high and wide, and so are its crops.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from raft_recipe import STAGES, Part, Stage, sequence_loss
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.models import optical_flow
from training import Training, begin, is_first, mean_over, parser

import vdata
from vdata import transforms as T
from vdata.metrics import endpoint_error, fl_all
from vdata.tensors import Flow

FRAMES = ("image1", "image2", "flow")
FLOATS = (T.ToDtype(torch.float32, scale=True), T.Normalize([0.5], [0.5]))  # RAFT looks at -1..1
LEAST = 128  # pixels of a side: RAFT halves its map of correlations, an eighth as high and wide, three times


def chosen(name: str, args: argparse.Namespace) -> Stage:
    """A stage, with what the command line says instead; with fakes small and short."""
    stage, processes = STAGES[name], torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    stage = stage._replace(crop=(LEAST, LEAST), batch=2, steps=10) if args.fake else stage._replace(batch=max(1, stage.batch // processes))
    if args.data:
        stage = stage._replace(parts=[Part(args.data, stage.parts[0].preset)])
    said = {"crop": args.crop, "lr": args.lr, "steps": args.steps, "batch": args.batch_size}
    return stage._replace(**{name: value for name, value in said.items() if value})


def pairs(args: argparse.Namespace, dataset: str, **options: Any) -> vdata.DataPipe:
    """The two frames and the flow of a dataset."""
    below = Path(args.root) / dataset if args.root else None
    return vdata.load(dataset, root=below, fake=args.fake, **options).select(*FRAMES)


def training_pipe(stage: Stage, args: argparse.Namespace) -> vdata.DataPipe:
    """The stage's mix. Each set is shuffled and augmented by rules of its own, for dense or scattered truth, and then mixed."""
    shuffled = [pairs(args, part.dataset, **part.options).shuffle(seed=0) for part in stage.parts]
    augmented = [pipe.apply(T.RAFTAugment.preset(part.preset, stage.crop), *FLOATS) for pipe, part in zip(shuffled, stage.parts, strict=True)]
    mixed = vdata.mix(augmented, [part.share for part in stage.parts], stop="all")
    # Scattered and dense flows differ in how they are read, not in their numbers: as plain tensors they make one batch.
    return mixed.apply(T.ToPureTensor()).batch(stage.batch, drop_last=True)


@torch.no_grad()
def evaluate(model: nn.Module, data: vdata.DataPipe, device: torch.device, updates: int, multiple: int = 8) -> dict[str, float]:
    """Of pairs of any size: the end-point error in pixels, and Fl in percent, over all known pixels of all pairs."""
    model.eval()
    pad = T.PadToMultiple(multiple, mode="kitti")
    errors, wrong = [], []
    for pair in data.apply(*FLOATS).batch(1).loader(device=device, uneven="exact"):
        info, padded, known = T.Info.of_batch(pair), pad(pair), pair["flow"].valid.plain()
        flow = Flow(model(padded["image1"], padded["image2"], num_flow_updates=updates)[-1])
        flow = pad.inverse({}, {"flow": flow}, info)["flow"]  # on the pair's own canvas again
        errors.append(endpoint_error(flow, pair["flow"], reduction="none")[known])
        wrong.append(fl_all(flow, pair["flow"], reduction="none")[known])
    return {"end-point error": mean_over(errors), "Fl": 100 * mean_over(wrong)}


class StageTraining(Training):
    """Training in one stage, with RAFT's loss, optimiser and schedule, and what it has come to on KITTI."""

    def __init__(self, model: nn.Module, stage: Stage, args: argparse.Namespace, device: torch.device):
        self.stage, self.args, self.device = stage, args, device
        optimizer = torch.optim.AdamW(model.parameters(), stage.lr, weight_decay=stage.decay)
        longer = stage.steps + 100  # than the stage, as in RAFT's code
        schedule = OneCycleLR(optimizer, stage.lr, longer, pct_start=0.05, cycle_momentum=False, anneal_strategy="linear")
        loader = training_pipe(stage, args).loader(args.workers, device=device)
        super().__init__(model, optimizer, loader, self.stage_loss, schedule=schedule, clip=1.0)

    def stage_loss(self, model: nn.Module, batch: vdata.Batch) -> Tensor:
        for norm in (part for part in model.modules() if self.stage.frozen and isinstance(part, nn.BatchNorm2d)):
            norm.eval()
        estimates = model(batch["image1"], batch["image2"], num_flow_updates=self.args.updates)
        return sequence_loss(estimates, batch["flow"], self.stage.gamma)

    def report(self) -> None:
        multiple = LEAST if self.args.fake else 8  # the fake pairs are smaller than RAFT can look at
        found = evaluate(self.model, pairs(self.args, "kitti_flow"), self.device, 2 * self.args.updates, multiple)
        seen = ", of which it has seen the flow" if any(part.dataset == "kitti_flow" for part in self.stage.parts) else ""
        if is_first():
            print(f"   KITTI{seen}:", ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__ or "", steps=0, batch_size=0, lr=0)  # 0: the stage's own
    options.add_argument("--stage", choices=[*STAGES, "all"], default="chairs")
    options.add_argument("--from", dest="start", type=Path, help="a checkpoint with whose weights the (first) stage begins")
    options.add_argument("--model", choices=["raft_small", "raft_large"], default="raft_small")
    options.add_argument("--crop", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="the stage's own without it")
    options.add_argument("--updates", type=int, default=12, help="how often RAFT corrects its estimate in training; twice as often in evaluation")
    args = options.parse_args(arguments)
    args.fake = not args.root and not args.data
    device = begin(args)
    model = getattr(optical_flow, args.model)(weights=None).to(device)
    if args.start:
        model.load_state_dict(torch.load(args.start, weights_only=True, map_location=device)["model"])
    names = list(STAGES) if args.stage == "all" else [args.stage]
    paths = {name: args.checkpoint and args.checkpoint.with_stem(f"{args.checkpoint.stem}-{name}") for name in names}
    for name, path in paths.items():
        stage = chosen(name, args)
        if is_first():
            print(f"{name}: {', '.join(f'{part.share:.1%} {part.dataset}' for part in stage.parts)}")
        training = StageTraining(model, stage, args, device)
        begun = args.stage != "all" or path is None or path.exists()
        training.fit(argparse.Namespace(**{**vars(args), "steps": stage.steps, "checkpoint": path, "resume": args.resume and begun}))
        if training.done < stage.steps:
            break
        if not args.data:
            training.report()


if __name__ == "__main__":
    main()
