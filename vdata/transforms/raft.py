"""The augmentation that RAFT is trained with, and most of what came after it.

Source of the rules and numbers: Teed and Deng, "RAFT", ECCV 2020 (arXiv 2003.12039), core/utils/augmentor.py and
core/datasets.py of its release.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

from vdata.batch import Batch, Ragged
from vdata.key import Key
from vdata.tensors import Flow, Image, Video
from vdata.transforms._base import Leaves, Transform, value
from vdata.transforms._check import probability, put, size_pair
from vdata.transforms._info import Info, second_frame
from vdata.transforms._pairs import remade
from vdata.transforms._params import Params
from vdata.transforms.asymmetric import AsymmetricColorJitter
from vdata.transforms.container import Compose
from vdata.transforms.eraser import RandomFlowErasing
from vdata.transforms.resize_and_crop import RandomResizeAndCrop


class _Stage(NamedTuple):
    crop_size: tuple[int, int]
    min_scale: float
    max_scale: float
    do_flip: bool
    sparse: bool


_STAGES = {
    "chairs": _Stage((368, 496), -0.1, 1.0, True, False),
    "things": _Stage((400, 720), -0.4, 0.8, True, False),
    "sintel": _Stage((368, 768), -0.2, 0.6, True, False),  # Sintel, and FlyingThings in the mix with it
    "sintel/kitti": _Stage((368, 768), -0.3, 0.5, True, True),  # KITTI in the mix for Sintel
    "sintel/hd1k": _Stage((368, 768), -0.5, 0.2, True, True),
    "hd1k": _Stage((368, 768), -0.5, 0.2, True, True),  # which RAFT uses nowhere else
    "kitti": _Stage((288, 960), -0.2, 0.4, False, True),  # fine-tuning on KITTI
}


@value
class RAFTAugment(Transform):
    """RAFT's augmentation of two frames and their flow: colours, an eraser on the second frame, then scale, mirror and crop.

    crop_size   (height, width)
    min_scale   scales are 2^u with u drawn evenly between this
    max_scale   and this
    do_flip     whether frames are mirrored: left and right half the time, top and bottom one time in ten (never if sparse)
    sparse      the rules for scattered ground truth (KITTI, HD1K): colours change less and always alike in both frames,
                scales keep the shape, crops favour the borders; flows are read by nearest pixel and marked as sparse
    jitter      (brightness, contrast, saturation, hue) as in `ColorJitter`; None: RAFT's
    asymmetric  how often each frame gets colours of its own; None: RAFT's, 0.2, or never if sparse
    erase       how often one or two rectangles of the second frame are erased
    occlusion   a mask that then says so, as in `RandomFlowErasing`

    It is `Compose([AsymmetricColorJitter(...), RandomFlowErasing(...), RandomResizeAndCrop(...)])`, and all that lies on the
    frames follows: further flows, masks, boxes, points. A dense flow that says that it is sparse is read as one under any
    rules. What a crop pushes out of the second frame is not marked: put `MarkOcclusion()` behind it.

    Unlike RAFT's code: draws are functions of the key, not of a worker's number; a sparse flow keeps its first row and
    column, and its density under enlargement; the flow is scaled by the ratio of the sizes in whole pixels, as the frames
    are; the last place of a crop is drawn like the others; a frame too small for the crop is enlarged, not an error; frames
    are never changed in place.

    >>> flow = Flow(torch.zeros(2, 64, 96))
    >>> sample = {"image1": Image(torch.rand(3, 64, 96)), "image2": Image(torch.rand(3, 64, 96)), "flow": flow}
    >>> {n: list(v.shape) for n, v in RAFTAugment((48, 64))(sample).items()}
    {'image1': [3, 48, 64], 'image2': [3, 48, 64], 'flow': [2, 48, 64]}
    """

    crop_size: Any
    min_scale: float = -0.2
    max_scale: float = 0.5
    do_flip: bool = True
    sparse: bool = False
    jitter: Any = None
    asymmetric: float | None = None
    erase: float = 0.5
    occlusion: str | None = "occlusion"
    moves = True

    def __post_init__(self) -> None:
        put(self, crop_size=size_pair(self.crop_size, "crop_size"))
        if self.jitter is not None:
            if len(self.jitter) != 4:
                raise ValueError(f"jitter is (brightness, contrast, saturation, hue), got {self.jitter!r}")
            put(self, jitter=tuple(self.jitter))
        if self.asymmetric is not None:
            probability(self.asymmetric, "asymmetric")
        _ = self.parts  # raises here for what is wrong with the other arguments

    @classmethod
    def preset(cls, stage: str, crop_size: Any = None) -> RAFTAugment:
        """As RAFT was trained in a stage, with its crop unless another is given.

        "chairs", "things", "sintel" (with FlyingThings in the mix), "kitti" (fine-tuning); of the mix for Sintel also
        "sintel/kitti" and "sintel/hd1k", which has "hd1k" as a second name. Numbers are those of the code: for chairs the
        paper's supplement has scales from 2^-0.2, the code from 2^-0.1.

        >>> RAFTAugment.preset("kitti")
        RAFTAugment((288, 960), max_scale=0.4, do_flip=False, sparse=True)
        """
        if stage not in _STAGES:
            raise ValueError(f"stage is one of {', '.join(map(repr, _STAGES))}, got {stage!r}")
        chosen = _STAGES[stage]
        return cls(chosen.crop_size if crop_size is None else crop_size, *chosen[1:])

    @cached_property
    def parts(self) -> Compose:
        """The three transforms that it is."""
        jitter = (
            self.jitter
            if self.jitter is not None
            else (0.3, 0.3, 0.3, 0.3 / 3.14)
            if self.sparse
            else (0.4, 0.4, 0.4, 0.5 / 3.14)
        )
        alone = self.asymmetric if self.asymmetric is not None else 0.0 if self.sparse else 0.2
        upend = 0.1 if self.do_flip and not self.sparse else 0.0
        spatial = RandomResizeAndCrop(
            self.crop_size, self.min_scale, self.max_scale, stretch_prob=0.0 if self.sparse else 0.8,
            h_flip_prob=0.5 if self.do_flip else 0.0, v_flip_prob=upend,
            room=1 if self.sparse else 8, overhang=(50, 0, 50, 20) if self.sparse else 0,
        )  # fmt: skip
        return Compose(
            [AsymmetricColorJitter(*jitter, p=alone), RandomFlowErasing(self.erase, occlusion=self.occlusion), spatial]
        )

    def draw(self, key: Key, info: Info) -> Params:
        return self.parts.draw(key, info)

    def after(self, params: Params, info: Info) -> Info:
        return self.parts.after(params, info)

    def apply(self, params: Params, sample: Leaves) -> Any:
        """The parts in turn; colours that the crop does not show, and whose mean the eraser does not take, are left out."""
        (jitter, colours), (eraser, erased), (spatial, window) = self.parts.steps(params)
        sample = self._told(sample)
        whole = second_frame(sample) if eraser.chosen(erased) else None
        pictures = {n: v.canvas for n, v in sample.items() if isinstance(v, (Image, Video)) and n != whole}
        windows = {size: spatial.seen(window, size) for size in set(pictures.values())}
        seen = {n: windows[size] for n, size in pictures.items()}
        return spatial.apply(window, eraser.apply(erased, jitter.apply_seen(colours, sample, seen)))

    def apply_chosen(self, params: Params, batch: Batch) -> Any:
        return self.parts.apply_rows(params, batch.replace(self._told(batch)))

    def inverse(self, params: Params, sample: Leaves, info: Info) -> Leaves:
        return self.parts.inverse(params, sample, info)

    def _told(self, leaves: Any) -> Leaves:
        """The leaves of a sample or batch, flows marked as sparse where the transform says so."""
        if not self.sparse:
            return dict(leaves)
        return {n: remade(v, sparse=True) if _is_flow(v) else v for n, v in leaves.items()}


def _is_flow(leaf: Any) -> bool:
    return isinstance(leaf, Flow) or (isinstance(leaf, Ragged) and issubclass(leaf.type, Flow))
