"""Names that doctests may use: vdata, torch, T and the seven types; and three small functions of a sample."""

import os
import tempfile

import pytest

# Nothing that a test reads stays in the machine's cache, and nothing comes from there.
os.environ["VDATA_CACHE"] = tempfile.mkdtemp(prefix="vdata-cache-")


def even(sample):
    return sample["x"] % 2 == 0


def halve(sample):
    return {**sample, "x": sample["x"] // 2}


def count_up(sample):
    return ({"x": i} for i in range(sample["x"]))


@pytest.fixture(autouse=True)
def names_for_doctests(doctest_namespace):
    import torch

    import vdata
    from vdata import tensors, transforms

    doctest_namespace.update(tensors.TYPES, vdata=vdata, torch=torch, T=transforms, even=even, halve=halve, count_up=count_up)
