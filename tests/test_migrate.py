"""Every row of the migration guides runs: the old call and the new one on the same small data, agreeing as the row says."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterable, Mapping
from numbers import Number
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from tests.naming import hugging_face_has_its_name
from vdata.tensors import TypedTensor

PAGES = Path(__file__).parents[1] / "docs" / "migrate"
NEEDS = {"torchvision": "torchvision", "webdataset": "webdataset", "hf_datasets": "datasets", "datapipes": "torch"}
ROW = re.compile(r"^\| `(.+)` \| `(.+)` \| ([a-z ]+) \|$", re.M)


def rows():
    """(page, number of the row, old, new, agreement)"""
    return [(page, i, *found) for page in NEEDS for i, found in enumerate(ROW.findall((PAGES / f"{page}.md").read_text()))]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """page -> what its python blocks define, made once, in a folder of its own."""
    made = {}

    def of(page):
        if page not in made:
            hugging_face_has_its_name()
            folder = tmp_path_factory.mktemp(page)
            made[page] = ({"__name__": page}, folder)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                for block in re.findall(r"^```python\n(.*?)^```", (PAGES / f"{page}.md").read_text(), re.S | re.M):
                    exec(compile(block, f"{page}.md", "exec"), made[page][0])
        return made[page]

    return of


@pytest.mark.parametrize(("page", "number", "old", "new", "agreement"), rows(), ids=[f"{page}-{number}" for page, number, *_ in rows()])
def test_old_and_new_agree(page, number, old, new, agreement, names, monkeypatch):
    if importlib.util.find_spec(NEEDS[page]) is None:
        pytest.skip(f"{NEEDS[page]} is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of children of a fork that were not read to the end, and the like
        scope, folder = names(page)
        monkeypatch.chdir(folder)
        ours = listed(eval(new, scope))
        if agreement == "new alone":
            compile(old, page, "eval")
            return
        theirs = listed(eval(old, scope))
    CHECKS[agreement](theirs, ours)


def test_every_line_of_a_table_is_a_row():
    """A row that the pattern does not see would not be run."""
    for page in NEEDS:
        text = (PAGES / f"{page}.md").read_text()
        lines = [line for line in text.splitlines() if line.startswith("| `")]
        assert len(lines) == len(ROW.findall(text)) > 15, page


def test_a_disagreement_is_seen():
    with pytest.raises(AssertionError):
        CHECKS["the same"](listed([{"x": 1}]), listed([{"x": 2}]))
    with pytest.raises(AssertionError):
        CHECKS["same items"](listed([1, 2, 2]), listed([1, 2, 1]))
    with pytest.raises(AssertionError):
        CHECKS["same shapes"](listed([torch.zeros(2)]), listed([torch.zeros(3)]))
    with pytest.raises(AssertionError):
        CHECKS["a rounding"](torch.zeros(2, 2), torch.full((2, 2), 1e-5))


def listed(value):
    """Anything as nested lists and dicts of plain tensors and numbers, whichever library it comes from; names that begin with __ are no data."""
    if isinstance(value, PIL.Image.Image):
        value = np.asarray(value)
        value = torch.from_numpy(value.copy()) if value.ndim == 2 else torch.from_numpy(value.copy()).permute(2, 0, 1)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value) if value.dtype.kind in "biuf" else value.tolist()
    if isinstance(value, TypedTensor):
        value = value.plain()
    if isinstance(value, torch.Tensor):
        value = value.as_subclass(torch.Tensor)
        return value.tolist() if value.ndim < 2 else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {n: listed(v) for n, v in value.items() if not str(n).startswith("__")}
    if isinstance(value, (str, bytes, Number)) or value is None:
        return value
    if hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, (list, tuple)) and not hasattr(value, "__iter__"):
        return [listed(value[i]) for i in range(len(value))]  # torch's map-style datasets
    if isinstance(value, Iterable) or hasattr(value, "__getitem__"):
        return [listed(v) for v in value]
    raise TypeError(f"what is {value!r}?")


def same(old, new, equal=torch.equal):
    if isinstance(old, torch.Tensor):
        assert isinstance(new, torch.Tensor) and old.shape == new.shape and old.dtype == new.dtype, (old, new)
        assert equal(old, new)
    elif isinstance(old, dict):
        assert old.keys() == new.keys()
        for name in old:
            same(old[name], new[name], equal)
    elif isinstance(old, list):
        assert isinstance(new, list) and len(old) == len(new), (old, new)
        for a, b in zip(old, new):
            same(a, b, equal)
    else:
        assert old == new


def same_items(old, new):
    assert sorted(map(repr, old)) == sorted(map(repr, new))


def same_shapes(old, new):
    assert shapes(old) == shapes(new)


def shapes(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, dict):
        return {n: shapes(v) for n, v in value.items()}
    return [shapes(v) for v in value] if isinstance(value, list) else type(value)


def to_a_rounding(old, new):
    same(old, new, lambda a, b: torch.allclose(a, b, rtol=0, atol=1e-6))


CHECKS = {"the same": same, "same items": same_items, "same shapes": same_shapes, "a rounding": to_a_rounding, "a number": same}
