"""What classification.py is tried out with: photographs that scikit-image brings, and models of each family with few blocks."""

from __future__ import annotations

import skimage.data
import torch
from torch import nn
from torchvision import models
from torchvision.models import convnext, efficientnet, regnet, resnet

import vdata
from vdata.tensors import Image, Label

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")
SIDE = 64


def photographs(held_out: bool) -> vdata.DataPipe:
    """Tiles of photographs, labelled by which one they are from; every fourth tile is held out."""
    samples = []
    for number, name in enumerate(PHOTOS):
        pixels = torch.from_numpy(getattr(skimage.data, name)()).movedim(-1, 0)[:, :512, :512]
        tiles = pixels.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).movedim(0, 2)  # [rows, columns, 3, SIDE, SIDE]
        for i, j in torch.cartesian_prod(*map(torch.arange, tiles.shape[:2])).tolist():
            if ((i + 2 * j) % 4 == 0) == held_out:
                samples.append({"image": Image(tiles[i, j].contiguous()), "label": Label(number, categories=PHOTOS)})
    return vdata.from_torch(samples)


def vit(size: int, classes: int) -> nn.Module:
    return models.VisionTransformer(size, size // 8, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=96, num_classes=classes)


def conv_next(size: int, classes: int) -> nn.Module:
    return models.ConvNeXt([convnext.CNBlockConfig(24, 48, 1), convnext.CNBlockConfig(48, None, 1)], 0.1, num_classes=classes)


def swin(size: int, classes: int) -> nn.Module:
    return models.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4], stochastic_depth_prob=0.1, num_classes=classes)


def efficient_net(size: int, classes: int) -> nn.Module:
    blocks = [efficientnet.FusedMBConvConfig(2, 3, 2, 16, 24, 1), efficientnet.MBConvConfig(2, 3, 2, 24, 32, 1)]
    return models.EfficientNet(blocks, 0.1, last_channel=64, num_classes=classes)


def reg_net(size: int, classes: int) -> nn.Module:
    return models.RegNet(regnet.BlockParams.from_init_params(depth=4, w_0=16, w_a=8.0, w_m=2.0, group_width=8), classes)


def res_net(size: int, classes: int) -> nn.Module:
    return models.ResNet(resnet.Bottleneck, [1, 1, 1, 1], classes, width_per_group=16)
