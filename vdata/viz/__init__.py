"""Looking at samples: flow in colour and as arrows, boxes, masks and key points on their images, contact sheets.

    from vdata import viz
    viz.save(viz.sheet(pipe[i] for i in range(8)), "sheet.png")

Every function takes vdata's types or plain tensors and returns a new uint8 `Image`; only `warp` keeps its dtype.
Pillow draws; nothing else is needed. Coordinates are continuous: pixel (i, j) has its centre at (j + 1/2, i + 1/2).
"""

from vdata.viz.arrows import draw_arrows
from vdata.viz.contact import sheet, sheet_of_groups
from vdata.viz.draw import draw_boxes, draw_keypoints, draw_masks
from vdata.viz.flow import flow_legend, flow_to_image, warp
from vdata.viz.picture import colour, picture, save
from vdata.viz.sample import render

__all__ = [
    "colour", "draw_arrows", "draw_boxes", "draw_keypoints", "draw_masks", "flow_legend", "flow_to_image", "picture", "render", "save",
    "sheet", "sheet_of_groups", "warp",
]  # fmt: skip
