"""Looking at samples: flow in colour, boxes, masks and key points on their images, contact sheets.

    from vdata import viz
    viz.save(viz.sheet(pipe[i] for i in range(8)), "sheet.png")

Every function takes vdata's types or plain tensors and returns a new uint8 `Image`; only `warp` keeps its dtype.
Pillow draws; nothing else is needed. Coordinates are continuous: pixel (i, j) has its centre at (j + 1/2, i + 1/2).
"""

from vdata.viz.contact import render, sheet
from vdata.viz.draw import draw_boxes, draw_keypoints, draw_masks
from vdata.viz.flow import flow_legend, flow_to_image, warp
from vdata.viz.picture import colour, picture, save

__all__ = [
    "colour", "draw_boxes", "draw_keypoints", "draw_masks", "flow_legend", "flow_to_image", "picture", "render", "save",
    "sheet", "warp",
]  # fmt: skip
