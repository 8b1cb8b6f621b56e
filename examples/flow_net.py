"""A small optical-flow network: shared features, their correlation, a few convolutions; about 280,000 parameters.

It follows the plan of larger ones (Dosovitskiy et al., "FlowNet", ICCV 2015; Sun et al., "PWC-Net", CVPR 2018; the
upsampling of Teed and Deng, "RAFT", ECCV 2020) and learns something worth looking at in a minute on two cores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4  # features are a quarter as high and wide as the frames
RADIUS = 4  # and are compared up to 4 places away: 16 pixels of the frames
SIDE = 2 * RADIUS + 1


class FlowNet(nn.Module):
    """Two frames, float [B, 3, H, W] in 0..1, to the flow between them, [B, 2, H, W] in pixels (u right, v down).

    >>> frames = torch.rand(2, 1, 3, 30, 50)
    >>> FlowNet()(*frames).shape
    torch.Size([1, 2, 30, 50])
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *convolution(3, 32, size=5, stride=2), *convolution(32, 48, stride=2), *convolution(48, 48),
            nn.Conv2d(48, 48, 3, padding=1),
        )  # fmt: skip
        self.sharpness = nn.Parameter(torch.tensor(3.0))
        self.read = nn.Sequential(*convolution(SIDE**2 + 2 + 48, 64))
        self.look_around = nn.Sequential(  # at half the size, so that a plain wall learns from its surroundings
            *convolution(64, 64, stride=2), *convolution(64, 64, dilation=2), *convolution(64, 64, dilation=4)
        )
        self.decide = nn.Sequential(*convolution(64, 64))
        self.correct = nn.Conv2d(64, 2, 3, padding=1)
        self.blend = nn.Conv2d(64, 9 * STRIDE**2, 1)
        nn.init.zeros_(self.correct.weight)  # so that training begins with the best match

    def forward(self, image1: Tensor, image2: Tensor) -> Tensor:
        height, width = image1.shape[-2:]
        frames = torch.cat([image1, image2]) * 2 - 1
        frames = F.pad(frames, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        first, second = F.instance_norm(self.features(frames)).chunk(2)
        similar = correlation(first, second)
        match = best_match(similar * self.sharpness.exp())
        near = self.read(torch.cat([similar, match, first], 1))
        around = F.interpolate(self.look_around(near), near.shape[-2:], mode="bilinear")
        hidden = self.decide(near + around)
        flow = upsampled(match + self.correct(hidden), self.blend(hidden))
        return flow[..., :height, :width]


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2 * dilation, dilation), nn.LeakyReLU(0.1)]


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """The cosine between the features at each place and at its neighbours in the other frame: [B, SIDE^2, h, w]."""
    height, width = first.shape[-2:]
    first, second = F.normalize(first, dim=1), F.pad(F.normalize(second, dim=1), [RADIUS] * 4)
    moved = [second[..., y : y + height, x : x + width] for y in range(SIDE) for x in range(SIDE)]
    return torch.stack([(first * other).sum(1) for other in moved], 1)


def best_match(similar: Tensor) -> Tensor:
    """The mean displacement, neighbours weighted by their similarity: [B, 2, h, w], in places."""
    steps = torch.arange(-RADIUS, RADIUS + 1.0, device=similar.device)
    offsets = torch.stack([steps.repeat(SIDE), steps.repeat_interleave(SIDE)])
    return torch.einsum("kn,bnhw->bkhw", offsets, similar.softmax(1))


def upsampled(flow: Tensor, blend: Tensor) -> Tensor:
    """Each pixel as a learned blend of the nine vectors around it, so that the edges of motion stay sharp."""
    batch, _, height, width = flow.shape
    weights = blend.view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
    around = F.unfold(F.pad(flow * STRIDE, [1] * 4, mode="replicate"), 3).view(batch, 2, 9, 1, 1, height, width)
    fine = (weights * around).sum(2)  # [B, 2, STRIDE, STRIDE, h, w]
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, height * STRIDE, width * STRIDE)
