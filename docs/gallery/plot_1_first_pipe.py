"""
A first pipe
============

From a name to batches. Nothing runs until a pipe is iterated; until then it is a value that prints what it will do.
"""

import torch

import vdata
from vdata import transforms as T
from vdata import viz

# %%
# A dataset by its name. ``fake=True`` makes tiny files in the real format on this machine, so that code can be tried before anything is downloaded; this one
# needs no files at all, since it is made of photographs that come with scikit-image. `vdata.list_datasets()` names them all.

data = vdata.load("moving_photos", size=(160, 224))
data

# %%
# A sample is a dict of typed tensors. It is made, or read, when it is asked for.

sample = data[8]
{name: value for name, value in sample.items() if name != "masks"}

# %%
# Anything that vdata knows can be looked at.

viz.sheet([data[8], data[4]], height=150)

# %%
# Verbs return new pipes. Printed, a pipe says which stages it has, which fields they change, and what it guarantees: that it is *elastic*, say, the same for any
# number of ranks and workers.

pipe = (
    data.select("image1", "boxes", "masks")
    .shuffle(seed=0)
    .apply(
        T.RandomResizedCrop((128, 128)),
        T.RandomHorizontalFlip(),
        T.ColorJitter(0.4, 0.4, 0.4),
        T.ToDtype(torch.float32, scale=True),
    )
    .batch(8, drop_last=True)
)
pipe

# %%
# `pipe.loader` says how to run it: with how many threads or processes, on which rank, to which device. None of that changes a sample.

loader = pipe.loader(workers=2)
batch = next(iter(loader))
loader.close()
batch

# %%
# The batch is what a training step gets: pictures stacked, objects `Ragged`, because each sample has its own number of them.

viz.sheet(batch.samples()[:6], columns=3, height=180)
