"""
Boxes, masks and flow move together
===================================

A transform draws once for a sample and moves every field by its type. Optical flow is a type: its vectors turn and scale with the picture.
"""

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.tensors import BoundingBoxes

# %%
# Two frames, the flow between them, and on the first frame boxes and the masks of the same objects.

sample = vdata.load("moving_photos", size=(220, 300))[8]
del sample["occlusion"]
viz.sheet([sample], height=190)

# %%
# Mirrored, turned, sheared, cropped. The fourth picture is the check: the second frame, warped by the *moved* flow, must look like the first. Where the content of the first
# frame lies outside the second, or was never there, the flow is unknown (NaN) and drawn dark.

geometry = T.Compose([
    T.RandomHorizontalFlip(1.0),
    T.RandomAffine(25, scale=(0.9, 1.2), shear=10, interpolation="bilinear"),
    T.RandomCrop((180, 240)),
])  # fmt: skip
viz.sheet([geometry(sample, key=T.Key.of(0, 0, i)) for i in range(3)], height=150)

# %%
# Draws are values. They are a function of a key (seed, epoch, position), known before any pixel is decoded, and can be printed, kept as JSON, and replayed.

info = T.Info.of([sample])
params = geometry.draw(T.Key.of(0, 0, 1), info)
params

# %%

moved = geometry.apply(T.row(params, 0), sample)
again = geometry.apply(T.row(T.params_from_json(T.params_to_json(params)), 0), sample)
assert bool((again["image1"] == moved["image1"]).all())
viz.sheet([moved], height=150)

# %%
# And inverted: what a network found on the augmented picture, on the canvas of the original.

boxes = BoundingBoxes(again["boxes"].plain(), format="XYXY", canvas_size=(180, 240), frame="image1")
back = geometry.inverse(params, {"boxes": boxes}, info)
viz.draw_boxes(sample["image1"], back["boxes"])

# %%
# Colours may differ between the frames, as exposure does, and blocks of the second may be hidden, as objects do: RAFT's augmentation, whole.

raft = T.RAFTAugment((160, 224), -0.2, 0.5)
viz.sheet([raft(sample, key=T.Key.of(0, 0, i)) for i in range(3)], height=150)
