"""What tests of single datasets share: fake samples by key, pictures of torchvision's, and whether two samples are the same."""

import numpy as np
import pytest
import torch

import vdata
from vdata.errors import DataWarning


def keyed(name, root, split, **options):
    """The fake samples, fewer than the card says: {key: sample}."""
    with pytest.warns(DataWarning):
        samples = list(vdata.load(name, split, root=root, strict=False, **options))
    by_key = {s["__key__"]: s for s in samples}
    assert len(by_key) == len(samples) > 0
    return by_key


def pixels(picture):
    """A PIL picture as [C, H, W]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.plain(), theirs[name].plain()) and value.meta() == theirs[name].meta()
        else:
            assert value == theirs[name]
