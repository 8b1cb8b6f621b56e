"""
Flow: datasets and metrics
==========================

Seven sets of optical flow under one type, and the numbers that papers print.
"""

import torch

import vdata
from vdata import transforms as T
from vdata import viz
from vdata.metrics import endpoint_error, flow_metrics

vdata.list_datasets("optical flow")

# %%
# A `Flow` is float32 [2, H, W], in pixels, NaN where nobody knows. KITTI's is sparse, Sintel's has occlusions, FlyingThings3D's goes both ways; here is a real pair, Middlebury's
# motorcycle, whose disparity was measured.

real = vdata.load("motorcycle")[0]
print(real["flow"], f"known at {real['flow'].valid.plain().float().mean():.1%} of the pixels")
viz.sheet([real], height=220)

# %%
# Resized, the vectors shrink with the picture; unknown stays unknown, and nothing is blended into it.

small = T.Resize((125, 185))(real)
print(f"{real['flow'].fill(0).abs().max():.1f} px -> {small['flow'].fill(0).abs().max():.1f} px")

# %%
# The end-point error counts known pixels only, and so does its gradient: no mask to carry, no NaN in the weights.

target = small["flow"]
prediction = torch.zeros(2, 125, 185, requires_grad=True)
loss = endpoint_error(prediction, target)
loss.backward()
print(f"{loss.item():.2f} px; gradients finite: {bool(prediction.grad.isfinite().all())}")

# %%
# What is printed of a network, at once.

guess = torch.stack([torch.full((125, 185), -9.0), torch.zeros(125, 185)])
{name: round(value.item(), 3) for name, value in flow_metrics(guess, target).items()}

# %%
# Several sets as one, each with its share, elastic and resumed exactly as any pipe: the schedules of RAFT and its children.

frames = ("image1", "image2", "flow")
few = vdata.load("moving_photos", size=(96, 128)).select(*frames)
many = vdata.load("moving_photos", size=(96, 128), seed=1, objects=(3, 6)).select(*frames)
mixed = vdata.mix([few.shuffle(), many.shuffle()], weights=[0.7, 0.3], stop="all")
mixed.apply(T.RAFTAugment((64, 96), -0.1, 0.4)).batch(4)
