"""The detectors that `detection.py` and `keypoints.py` train: torchvision's, and DETR of transformers, with random weights.

A model takes a list of pictures, float [3, H, W] in 0..1, and while it trains a list of targets, one dict a picture: boxes (XYXY, in
pixels), labels, masks or key points. It gives a dict of losses then, and otherwise a dict a picture: boxes, labels, scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torchvision import ops
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from vdata.transforms import functional as F

IOU_LOSSES = {"giou": ops.generalized_box_iou_loss, "diou": ops.distance_box_iou_loss, "ciou": ops.complete_box_iou_loss}


def pyramid(args: argparse.Namespace, layers: tuple[int, ...] = (1, 2, 3, 4), extra: Any = None) -> BackboneWithFPN:
    """A ResNet's layers as maps of `args.width` channels. Normalised by groups: a GPU holds few large pictures."""
    body: Any = torchvision.models.get_model(args.backbone, weights=None, norm_layer=partial(nn.GroupNorm, 32))
    channels = [body.fc.in_features // 2 ** (4 - n) for n in layers]
    return BackboneWithFPN(body, {f"layer{n}": str(n - layers[0]) for n in layers}, channels, args.width, extra)


def one_stage_pyramid(args: argparse.Namespace) -> BackboneWithFPN:
    return pyramid(args, (2, 3, 4), LastLevelP6P7(args.width, args.width))


def fcos(classes: int, args: argparse.Namespace) -> nn.Module:
    head = FCOSHead(args.width, 1, classes)
    head.box_loss = IOU_LOSSES[args.box_loss]
    return detection.FCOS(one_stage_pyramid(args), classes, args.size, args.size, head=head, score_thresh=0.05)


class FCOSHead(detection.fcos.FCOSHead):
    """torchvision's, whose loss of boxes is always GIoU, with another."""

    box_loss: Callable[..., Tensor]

    def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any, matched_idxs: Any) -> dict[str, Tensor]:
        losses = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        found = self.box_coder.decode(head_outputs["bbox_regression"], torch.stack(anchors))[torch.stack(matched_idxs) >= 0]
        true = torch.cat([t["boxes"][matched[matched >= 0]] for t, matched in zip(targets, matched_idxs, strict=True)])
        return {**losses, "bbox_regression": self.box_loss(found, true, reduction="sum") / max(1, len(true))}


def retinanet(classes: int, args: argparse.Namespace) -> nn.Module:
    model = detection.RetinaNet(one_stage_pyramid(args), classes, args.size, args.size)
    model.head.regression_head._loss_type = args.box_loss  # as torchvision's own retinanet_resnet50_fpn_v2 chooses it
    return model


def rcnn(kind: type[nn.Module], classes: int, args: argparse.Namespace, **more: Any) -> nn.Module:
    regions = {"box_batch_size_per_image": args.regions, "rpn_post_nms_top_n_train": 4 * args.regions, "rpn_post_nms_top_n_test": 2 * args.regions}
    return kind(pyramid(args), classes + 1, min_size=args.size, max_size=args.size, **regions, **more)


class Detr(nn.Module):
    """DETR of transformers, called as torchvision's detectors are. Its boxes are (cx, cy, w, h) in parts of the picture."""

    def __init__(self, classes: int, args: argparse.Namespace):
        from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

        super().__init__()
        resnet = {"resnet18": {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]}, "resnet50": {}}[args.backbone]
        depth = 6 if args.width >= 256 else 2  # as in the paper at its width
        config = DetrConfig(
            backbone_config=ResNetConfig(**resnet), auxiliary_loss=True, d_model=args.width, encoder_layers=depth, decoder_layers=depth,
            encoder_ffn_dim=8 * args.width, decoder_ffn_dim=8 * args.width,
        )  # fmt: skip
        config.num_labels = classes
        self.detr = DetrForObjectDetection(config)
        self.detr.model.unfreeze_backbone()  # it is frozen for weights that had been trained

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        pixels = F.normalize(torch.stack(images), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        sides = torch.tensor([*pixels.shape[:1:-1]] * 2, device=pixels.device)
        parts = [{"class_labels": t["labels"], "boxes": ops.box_convert(t["boxes"], "xyxy", "cxcywh") / sides} for t in targets or ()]
        out = self.detr(pixels, labels=parts or None)
        if targets is not None:
            return {"loss": out.loss}  # of classes, L1 and GIoU, after each layer of the decoder
        scores, labels = out.logits.softmax(-1)[..., :-1].max(-1)
        boxes = ops.box_convert(out.pred_boxes, "cxcywh", "xyxy") * sides
        return [{"boxes": b, "labels": c, "scores": s} for b, c, s in zip(boxes, labels, scores, strict=True)]


class Kind(NamedTuple):
    build: Callable[[int, argparse.Namespace], nn.Module]
    box_losses: tuple[str, ...]  # that it can have, the usual one first
    first_class: int = 0  # 1 where class 0 is the background


MODELS = {
    "fcos": Kind(fcos, ("giou", "diou", "ciou")),
    "retinanet": Kind(retinanet, ("l1", "giou", "diou", "ciou")),
    "faster_rcnn": Kind(partial(rcnn, detection.FasterRCNN), ("l1",), first_class=1),
    "mask_rcnn": Kind(partial(rcnn, detection.MaskRCNN), ("l1",), first_class=1),
    "detr": Kind(Detr, ("giou",)),
}

BOX_LOSSES = "; ".join(f"{name}: {', '.join(kind.box_losses)}" for name, kind in MODELS.items())
