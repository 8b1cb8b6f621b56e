"""One rank of a training that reads shards from a bucket: python rank.py URL FOLDER STEPS. Started by test_whole_walk.py, under RANK and WORLD_SIZE."""

import datetime
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from flow_net import FlowNet  # noqa: E402
from train_flow import flow_loss  # noqa: E402
from training import Training  # noqa: E402

import vdata  # noqa: E402
from vdata import transforms as T  # noqa: E402


def main(url: str, folder: Path, steps: int) -> None:
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = FlowNet()
    pipe = (
        vdata.open(url, cache=folder / "cache")
        .shuffle(seed=0)
        .apply(T.RandomCrop((32, 64), pad_if_needed=True), T.RandomHorizontalFlip(), T.ToDtype(torch.float32, scale=True))
        .batch(1, drop_last=True)
    )
    keys: list[str] = []

    def loss(model: torch.nn.Module, batch: vdata.Batch) -> torch.Tensor:
        keys[:] = batch["__key__"]
        return flow_loss(model, batch)

    training = Training(model, torch.optim.AdamW(model.parameters()), pipe.loader(workers=2), loss)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        training.restore(checkpoint)
    with open(folder / f"log-{rank}-of-{world}.jsonl", "a") as log:
        for step in training.steps(steps):
            weight = sum(float(p.detach().double().sum()) for p in model.parameters())
            log.write(json.dumps([step, keys, training.loader.epoch, weight]) + "\n")
            log.flush()
            if rank == 0:
                training.save(checkpoint)
            dist.barrier()
    training.loader.close()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
