"""COCO's mean average precision of found objects, by pycocotools, over all processes."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Literal

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor


def as_coco(objects: dict[str, Tensor], **more: Tensor) -> list[dict[str, Any]]:
    """Objects as COCO writes them."""
    x1, y1, x2, y2 = objects["boxes"].unbind(-1)
    columns = {"bbox": torch.stack([x1, y1, x2 - x1, y2 - y1], -1), "area": (x2 - x1) * (y2 - y1), "category_id": objects["labels"], **more}
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def average_precision(seen: list[tuple[list[Any], list[Any]]], kind: Literal["bbox", "keypoints"]) -> float:
    """Of (true, found) objects a picture, by pycocotools; 0 where nothing was found."""
    true, found = ([{**one, "image_id": i} for i, pair in enumerate(seen) for one in pair[side]] for side in (0, 1))
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks
        coco: Any = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(seen))],
            "categories": [{"id": c} for c in sorted({one["category_id"] for one in [*true, *found]})],
            "annotations": [{"id": n + 1, **one} for n, one in enumerate(true)],
        }
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0])


def gathered(items: list[Any]) -> list[Any]:
    """Those of all processes."""
    if not torch.distributed.is_initialized():
        return items
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, items)
    return [item for part in parts for item in part]
