"""
Batches: stacked, ragged, mixed
===============================

One class does a sample or a batch, and samples may be made of several.
"""

import torch

import vdata
from vdata import transforms as T
from vdata import viz

photos = vdata.load("moving_photos", size=(160, 200))
data = photos.select("image1", "boxes", "masks").rename(image="image1")

# %%
# Equal shapes stack. Objects are `Ragged`, always, so that code which works on one batch works on the next: one buffer, offsets, and a list's face.

batch = data.batch(4)[0]
print(batch)
batch["boxes"].values.shape, batch["boxes"].offsets.tolist(), batch["boxes"][1].shape

# %%
# Written before or after ``.batch``, a transform gives each sample the same draw, its own; behind it all go through one kernel.

augment = T.RandomAffine(30, scale=(0.7, 1.1), interpolation="bilinear")
before, after = data.apply(augment).batch(4)[0], data.batch(4).apply(augment)[0]
apart = (before["image"].plain().int() - after["image"].plain().int()).abs().max()
print(f"at most {int(apart)} grey levels between the two")
viz.sheet(after.samples(), columns=4, height=150)

# %%
# Pictures of different sizes make a ragged batch, which `FixedSizeCrop`, `Letterbox` or `PadToMultiple` brings to one size.

sizes = data.apply(T.RandomShortestSize([90, 120, 150]))
print([list(image.shape) for image in sizes.batch(3)[0]["image"]])
boxed = sizes.apply(T.Letterbox((160, 200), fill=114)).batch(3)[0]
viz.sheet(boxed.samples(), columns=3, height=150)

# %%
# Several samples as one. Before ``.batch`` the partners are other positions of the epoch, which the sample's key chooses: the same for any number of ranks.

mosaic = data.shuffle(seed=0).apply(T.Mosaic(200))
viz.sheet([mosaic[i] for i in range(3)], columns=3, height=200)

# %%

pasted = data.shuffle(seed=0).apply(T.SimpleCopyPaste())
viz.sheet([pasted[i] for i in range(3)], columns=3, height=160)

# %%
# MixUp and CutMix give soft labels, one row a sample, for a cross entropy.

labelled = vdata.load("eurosat", fake=True).shuffle(seed=0).apply(T.ToDtype(torch.float32, scale=True))
mixed = labelled.batch(4).apply(T.MixUp(num_classes=10))[0]
print(mixed["label"].shape, mixed["label"][0])
