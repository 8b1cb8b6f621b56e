"""What holds for every dataset of the catalogue, whatever it is: its card, its fields, its archives and its tree."""

import pickle
import warnings

import pytest
import torch

import vdata
from vdata.catalog import module_of
from vdata.errors import DataError, DataWarning, NoIndexError
from vdata.field import Field
from vdata.listing import Dataset
from vdata.plan import Read
from vdata.source import Source
from vdata.tensors import TypedTensor

NAMES = vdata.list_datasets()
WITH_FILES = [n for n in NAMES if vdata.info(n).archives]
KINDS = {"int", "float", "str", "json", "bytes", "tensor", "bool"}


def settings_of(name):
    """(split, options): every split, and every value of every option, one at a time."""
    card = vdata.info(name)
    for split in card.splits:
        yield split, {}
        for option, about in card.options.items():
            yield from ((split, {option: value}) for value in about.choices if value != about.default)


def possible(name, split, options):
    """A few options are for one split only, and say so."""
    try:
        vdata.load(name, split, fake=True, **options)
    except vdata.errors.PlanError as error:
        assert "only" in str(error)
        return False
    return True


CASES = [(name, split, options) for name in WITH_FILES for split, options in settings_of(name) if possible(name, split, options)]
IDS = [f"{n}-{s}" + "".join(f"-{k}={v}" for k, v in o.items()) for n, s, o in CASES]


def loaded(name, split, options, root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # fakes have fewer samples than the card says
        return vdata.load(name, split, root=root, strict=False, **options)


def same(a, b):
    if isinstance(a, torch.Tensor):
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        left, right = (t.plain() if isinstance(t, TypedTensor) else t for t in (a, b))
        assert torch.equal(torch.nan_to_num(left.double(), 7e9), torch.nan_to_num(right.double(), 7e9))
        if isinstance(a, TypedTensor):
            same(a.meta(), b.meta())
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            same(a[name], b[name])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b and type(a) is type(b)


def fits(value, field: Field):
    """The value is what its field says."""
    if field.type in KINDS:
        return
    assert type(value).__name__ == field.type
    assert not field.dtype or str(value.dtype) == f"torch.{field.dtype}"
    if field.shape:
        assert value.ndim == len(field.shape), (value.shape, field.shape)
        sizes: dict[str, int] = {}
        for size, wanted in zip(value.shape, field.shape, strict=True):
            assert size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
    meta = value.meta()
    assert {n: v for n, v in field.meta.items() if n in meta} == {n: meta[n] for n in field.meta if n in meta}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_it_must(name):
    card = vdata.info(name)
    assert card.name == name and card.splits and card.fields
    for part in (card.title, card.task, card.home, card.licence, card.citation):
        assert part and part in str(card)
    assert set(card.unsure) | set(card.absent) <= set(card.splits)
    assert {f for fields in card.absent.values() for f in fields} <= set(card.fields)
    for option in card.options.values():
        assert not option.choices or option.default in option.choices
    for archive in card.archives:
        assert archive.urls or archive.manual, archive.name
        assert all(url.startswith(("http://", "https://")) for url in archive.urls)
        assert len(archive.sha256) in (0, 64) and len(archive.md5) in (0, 32)
        assert set(archive.when) <= set(card.options) | {"split"}
        for option, values in archive.when.items():
            assert set(values) <= (set(card.splits) if option == "split" else set(card.options[option].choices))
        if archive.name.endswith((".zip", ".tar", "tar.gz", ".tgz", ".bz2")):
            assert archive.tree, f"{archive.name}: what shows that it was extracted?"
    names = [a.name for a in card.archives]
    assert len(names) == len(set(names))
    for field in card.fields.values():
        assert field.type in KINDS | {"Image", "Video", "BoundingBoxes", "KeyPoints", "Mask", "Flow", "Label"}


@pytest.mark.parametrize("name, split, options", CASES, ids=IDS)
def test_archives_and_tree_give_what_the_card_says(name, split, options, fake_root):
    archives, tree = fake_root(name)
    packed, extracted = (loaded(name, split, options, root) for root in (archives, tree))
    by_key = {s["__key__"]: s for s in extracted}
    assert len(extracted) == len(by_key) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a stream counts when it is read
        samples = list(packed)
    if isinstance(packed.plan.source, Source):
        assert [s["__key__"] for s in samples] == list(by_key)
    assert {s["__key__"] for s in samples} == set(by_key)
    fields = extracted.plan.source.fields
    for sample in samples:
        assert set(sample) == {"__key__", *fields}, set(sample) ^ {"__key__", *fields}
        for field, value in sample.items():
            if field != "__key__":
                fits(value, fields[field])
        same(sample, by_key[sample["__key__"]])


@pytest.mark.parametrize("name", WITH_FILES)
def test_what_is_packed_comes_back_to_the_bit(name, fake_root, tmp_path):
    for split in vdata.info(name).splits:
        pipe = loaded(name, split, {}, fake_root(name)[1])
        packed = {s["__key__"]: s for s in pipe.pack(str(tmp_path / split))}
        for sample in pipe:
            same(sample, packed.pop(sample["__key__"]))
        assert not packed


@pytest.mark.parametrize("name", WITH_FILES)
def test_workers_read_the_same(name, fake_root):
    split = next(iter(vdata.info(name).splits))
    pipe = loaded(name, split, {}, fake_root(name)[1])
    for sample, again in zip(pipe, pickle.loads(pickle.dumps(pipe)), strict=True):
        same(sample, again)
    with pipe.shuffle(seed=1).loader(workers=2, mode="process") as loader:
        assert {s["__key__"] for s in loader} == {s["__key__"] for s in pipe}


@pytest.mark.parametrize("name", WITH_FILES)
def test_fewer_samples_than_published_are_an_error(name, fake_root):
    card, (_, tree) = vdata.info(name), fake_root(name)
    for split in card.splits:
        count = _published(name, split)
        if count is None:
            continue
        if split in card.unsure:
            with pytest.warns(DataWarning, match=f"should have {count:,}"):
                vdata.load(name, split, root=tree)
        else:
            with pytest.raises(DataError, match=f"should have {count:,}.*strict=False"):
                vdata.load(name, split, root=tree)


def _published(name, split):
    return Dataset(lambda: module_of(name)).count(split, {n: o.default for n, o in vdata.info(name).options.items()})


@pytest.mark.parametrize("name", NAMES)
def test_pipelines_can_be_tried_on_fakes(name):
    """fake=True gives any sample at once, whatever the real archive is: it shuffles, and it has a length."""
    for split in vdata.info(name).splits:
        pipe = vdata.load(name, split, fake=True).take(3)
        assert {s["__key__"] for s in pipe.shuffle(seed=0)} == {pipe[i]["__key__"] for i in range(len(pipe))}


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_missing_set_says_what_to_put_where(name, tmp_path):
    card = vdata.info(name)
    with pytest.raises(vdata.errors.UnknownDatasetError) as caught:
        vdata.load(name, next(iter(card.splits)), root=tmp_path)
    text = str(caught.value)
    assert str(tmp_path) in text
    assert any(a.name in text for a in card.archives)


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_shuffled_stream_says_how_to_get_an_index(name, fake_root):
    for split in vdata.info(name).splits:
        pipe = loaded(name, split, {}, fake_root(name)[0])
        if isinstance(pipe.plan, Read) and not isinstance(pipe.plan.source, Source):
            assert f"vdata index {name}" in str(pipe)
            with pytest.raises(NoIndexError, match=f"vdata index {name}"):
                pipe[0]
            with pytest.raises(vdata.errors.PlanError, match=f"vdata index {name}"):
                list(pipe.shuffle(seed=0))
