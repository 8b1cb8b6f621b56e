"""Which of an object's key points lines join."""

from __future__ import annotations

from vdata.field import Field
from vdata.tensors import KeyPoints
from vdata.viz.draw import Edges

# COCO's person (Lin et al., "Microsoft COCO", ECCV 2014; the `skeleton` of its key point files, here numbered from 0):
# legs, hips and trunk, shoulders and arms, face.
_PERSON: Edges = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
_PERSON_MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


def skeleton_of(points: KeyPoints, field: Field | None = None) -> Edges:
    """The pairs that the field's declaration names as "skeleton"; those of COCO's person where the points mirror as his do,
    which packed shards and files of one's own keep; else none."""
    told = field.meta.get("skeleton") if field is not None else None
    if told:
        return [(int(a), int(b)) for a, b in told]
    return _PERSON if points.swap == _PERSON_MIRRORED else ()
