"""Edges that once were wrong: each of these lost data, drew twice alike, or failed where it should have worked."""

import http.server
import os
import threading

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow

import vdata
from vdata import transforms as T
from vdata.batch import Ragged, collate
from vdata.encoded import Encoded
from vdata.errors import PlanError, ShardError
from vdata.source import Computed
from vdata.start import read
from vdata.tensors import BoundingBoxes, Flow, Image, KeyPoints, Label


def numbers(n=8):
    return vdata.from_torch([{"x": i} for i in range(n)])


def png(value, size=(6, 8)):
    from io import BytesIO

    out = BytesIO()
    Pillow.fromarray(np.full((*size, 3), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


def pictures(n=8, broken=()):
    def make(i):
        data = png(i)
        return {"__key__": f"{i:03d}", "image": Encoded(data[:40] if i in broken else data, "Image", "png"), "k": i}

    return read(Computed("pictures", n, make))


# -- packing ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["same", "relative", "dotted", "link", "inside", "around"])
def test_pack_never_removes_what_it_reads(tmp_path, monkeypatch, spelling):
    folder = tmp_path / "a" / "set"
    numbers().pack(str(folder))
    monkeypatch.chdir(tmp_path)
    os.symlink(folder, tmp_path / "link")
    url = {"same": str(folder), "relative": "a/set", "dotted": f"{tmp_path}/a/./set/", "link": str(tmp_path / "link"),
           "inside": str(folder / "deeper"), "around": str(tmp_path / "a")}[spelling]  # fmt: skip
    with pytest.raises(PlanError, match="reads from"):
        vdata.open(str(folder)).pack(url, overwrite=True)
    assert len(vdata.open(str(folder))) == 8


def test_pack_in_memory_never_removes_what_it_reads():
    numbers().pack("memory://edges/set")
    with pytest.raises(PlanError, match="reads from"):
        vdata.open("memory://edges/set").pack("memory:///edges/set", overwrite=True)


def test_pack_skips_what_is_broken_and_keeps_the_bytes(tmp_path):
    pipe = pictures(6, broken={2}).decode(on_error="skip")
    with pytest.warns(UserWarning, match=r"left out 1 broken samples.*'002'"):
        packed = pipe.pack(str(tmp_path))
    assert [s["k"] for s in packed] == [0, 1, 3, 4, 5]
    assert packed.plan.source.read(0)["image"].data == png(0)
    with pytest.raises(Exception, match="002"):
        pictures(6, broken={2}).decode().apply(T.CenterCrop(2)).pack(str(tmp_path / "b"))


# -- decode and crop -------------------------------------------------------------------------------------------------------


def test_torchvision_datasets_of_pil_images_are_cropped_first():
    data = torchvision.datasets.FakeData(4, (3, 20, 24), 3)
    for batch in vdata.from_torch(data).apply(T.CenterCrop(16), T.RandomHorizontalFlip()).batch(2):
        assert type(batch["image"]) is Image
        assert batch["image"].shape == (2, 3, 16, 16)


def test_nested_samples_and_nested_compositions():
    nested = vdata.from_torch([{"a": {"image": Image(torch.zeros(3, 8, 8))}, "b": [Image(torch.zeros(1, 8, 8))]}])
    out = nested.apply(T.CenterCrop(4))[0]
    assert out["a"]["image"].shape == (3, 4, 4)
    assert out["b"][0].shape == (1, 4, 4)
    inner = pictures(2).select("image").apply(T.Compose([T.CenterCrop(4)]), T.RandomHorizontalFlip(1.0))
    assert inner[1]["image"].shape == (3, 4, 4)
    five = pictures(2).select("image").apply(T.CenterCrop(6), T.FiveCrop(2), T.RandomHorizontalFlip(1.0))[0]
    assert [s["image"].shape for s in five] == [(3, 2, 2)] * 5


# -- draws -----------------------------------------------------------------------------------------------------------------


class Stamped(T.Photometric):
    """Writes its draw into the picture: what key a sample had can be read from it."""

    def draw(self, key, info):
        return {"n": key.integers(0, 2**30)}

    def change(self, params, image):
        return image.like(torch.full((1, 1, 1), params["n"], dtype=torch.int64))


Stamped = T.value(Stamped)


@pytest.mark.parametrize(
    "pick",
    [
        lambda p: p.filter(where=lambda c: c["k"] >= 4),
        lambda p: p.filter(where=lambda c: c["k"] >= 4).take(5),
        lambda p: p.shuffle(seed=1),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_substitute_is_keyed_at_the_place_of_the_broken_one(tmp_path, pick, rank):
    pictures(12).pack(str(tmp_path / "whole"))
    drawn = []
    for damage in (False, True):
        pipe = vdata.open(str(tmp_path / "whole"))
        if damage:
            place = pipe.plan.source.manifest.members(6)["image"]
            shard = tmp_path / "whole" / "shard-000000.tar"
            data = bytearray(shard.read_bytes())
            data[place.byte + 30] ^= 1
            shard.write_bytes(data)
            pipe = vdata.open(str(tmp_path / "whole"))
        pipe = pick(pipe).decode(on_error="skip").apply(Stamped()).batch(2)
        with pipe.loader(mode="inline", rank=rank, world_size=2) as loader:
            drawn.append([n for b in loader for n in b["image"].flatten().tolist()])
    assert drawn[0] == drawn[1]


def test_one_draw_never_moves_a_whole_batch():
    for pipe in (pictures().batch(4).to_tuple("image"), pictures().batch(4, collate_fn=list), pictures().batch(4).enumerate()):
        with pytest.raises(PlanError, match="by one draw"):
            list(pipe.apply(T.RandomHorizontalFlip()))
    assert len(list(pictures().to_tuple("image").apply(T.RandomHorizontalFlip()))) == 8


# -- plans -----------------------------------------------------------------------------------------------------------------


def test_zip_does_not_tear_pairs():
    with pytest.raises(PlanError, match="after zip"):
        vdata.zip(pictures().select("image").decode(on_error="skip"), numbers())
    both = vdata.zip(pictures(8, broken={5}).select("image"), numbers()).decode(on_error="skip")
    assert [(int(s["image"][0, 0, 0]), s["x"]) for s in both][5] == (6, 6)


def test_an_indexed_filter_needs_every_position():
    for again in ({"where": {"k": 1}}, {"fn": bool, "scan": True}):
        with pytest.raises(PlanError, match="every position"):
            pictures().filter(bool).filter(**again)


def test_where_has_one_digest_however_it_is_written():
    states = [pictures().filter(where={"k": w}).loader(workers=0).state_dict()["digest"] for w in ({0, 8}, {8, 0}, [8, 0], (0, 8), np.array([0, 8, 8]))]
    assert len(set(states)) == 1
    many = [np.arange(5000), np.arange(5000) + (np.arange(5000) == 2500)]
    assert len({pictures().filter(where={"k": w}).loader(workers=0).state_dict()["digest"] for w in many}) == 2


def test_endless_pipes_stand_last():
    with pytest.raises(PlanError, match="never reached"):
        vdata.concat(numbers().repeat(), numbers())
    assert len(list(vdata.concat(numbers(2), numbers(1).repeat()).take(5))) == 5


def test_what_pipes_of_a_concat_do_not_share_is_not_printed_as_shared(tmp_path):
    for name, classes in (("a", "ab"), ("b", "xy")):
        vdata.from_torch([{"label": Label(0, categories=tuple(classes))}]).pack(str(tmp_path / name))
    both = vdata.concat(vdata.open(str(tmp_path / "a")), vdata.open(str(tmp_path / "b")))
    assert both.plan.fields["label"].meta == {}
    assert both.plan.fields["label"].type == "Label"


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_of_a_stream_get_equally_many(world):
    items = [{"x": i} for i in range(11)]
    shares = [[b["x"].tolist() for b in vdata.from_iterable(items).batch(2).loader(workers=0, rank=r, world_size=world)] for r in range(world)]
    assert len({sum(map(len, share)) for share in shares}) == 1
    seen = sorted(x for share in shares for b in share for x in b)
    assert seen == list(range(11 - 11 % world))
    exact = [len(list(vdata.from_iterable(items).loader(workers=0, rank=r, world_size=world, uneven="exact"))) for r in range(world)]
    assert sum(exact) == 11
    with pytest.raises(PlanError, match="needs an index"):
        list(vdata.from_iterable(items).loader(workers=0, rank=0, world_size=world, uneven="pad"))


def test_streams_and_caches_are_refused_by_processes():
    with pytest.raises(PlanError, match="is a stream"):
        vdata.from_iterable([{"x": 1}]).loader(mode="process")
    with pytest.raises(PlanError, match="keeps nothing"):
        numbers().cache().loader(mode="process")


# -- caches ----------------------------------------------------------------------------------------------------------------


def test_a_cache_lives_with_its_pipe():
    made = []

    def make(i):
        made.append(i)
        return {"__key__": str(i), "x": i}

    pipe = read(Computed("made", 4, make, digest="made")).cache()
    for _ in range(3):
        loader = pipe.batch(2).loader(workers=2)
        assert sorted(x for b in loader for x in b["x"].tolist()) == [0, 1, 2, 3]
    loader = pipe.batch(2).loader(workers=2)
    loader.load_state_dict({**loader.state_dict(), "position": 2})
    list(loader)
    assert sorted(made) == [0, 1, 2, 3]


def test_cached_batches_are_those_of_their_rank_and_of_where_an_epoch_goes_on():
    def pipe_of():
        return read(Computed("numbers", 12, lambda i: {"x": i})).batch(3)

    def xs(loader):
        return [batch["x"].tolist() for batch in loader]

    cached, plain = pipe_of().cache(), pipe_of()
    first = cached.loader(mode="inline")
    items = iter(first)
    next(items)
    state = first.state_dict()
    del items
    for pipe in (cached, pipe_of().cache()):  # with batches kept already, and with none
        loader = pipe.loader(workers=2)
        loader.load_state_dict(state)
        assert xs(loader) == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
        assert xs(loader) == xs(plain) == xs(loader)
        for rank in range(2):
            assert xs(pipe.loader(mode="inline", rank=rank, world_size=2)) == xs(plain.loader(mode="inline", rank=rank, world_size=2))



def test_a_cache_of_batches_gives_batches_and_reports_a_substitute_once():
    pipe = pictures(4, broken={1}).decode(on_error="skip").batch(2).cache()
    loader = pipe.loader(workers=0)
    for _ in range(2):
        assert all(type(b) is vdata.Batch for b in loader)
    assert len(loader.stats()["substituted"]) == 1
    flips = pipe.apply(T.RandomHorizontalFlip())
    assert all(b.size == 2 for b in flips)


# -- batches ---------------------------------------------------------------------------------------------------------------


def test_a_dtype_changes_only_the_values_of_a_ragged():
    boxes = Ragged.of([torch.zeros(n, 4) for n in (3000, 3001, 0)])
    half = boxes.to(torch.float16)
    assert half.offsets.tolist() == [0, 3000, 6001, 6001]
    assert half[1].shape == (3001, 4)
    points = Ragged.of([KeyPoints(torch.zeros(n, 2), canvas_size=(4, 4), visibility=torch.ones(n, dtype=torch.uint8)) for n in (1, 2)])
    assert points.to(torch.float16)[1].visibility.dtype == torch.uint8
    flows = Ragged.of([Flow(torch.zeros(2, n, 3)) for n in (2, 4)])
    assert flows.to(torch.float64)[1].shape == (2, 4, 3)
    with pytest.raises(TypeError, match="moves pixels"):
        flows.to(torch.float16)
    assert flows.to(torch.float16, force=True).values.dtype == torch.float16


def test_tensors_in_nested_fields_move_too():
    batch = collate([{"t": {"x": torch.zeros(2)}, "l": [torch.zeros(1)]}] * 2)
    assert batch.to("meta")["t"][1]["x"].device.type == "meta"
    assert batch.to("meta")["l"][0][0].device.type == "meta"


def test_integers_do_not_become_floats():
    assert collate([{"x": -1}, {"x": 2**63}])["x"] == [-1, 2**63]
    assert collate([{"x": 1}, {"x": 2.5}])["x"].tolist() == [1.0, 2.5]


def test_rows_keep_their_type_in_a_loop():
    boxes = BoundingBoxes([[1.0, 2, 3, 4], [2, 3, 4, 5]], format="XYXY", canvas_size=(9, 9))
    assert [type(b) for b in boxes] == [BoundingBoxes] * 2
    assert not hasattr(Label(1), "name")


def test_validity_on_another_device():
    assert Flow(torch.zeros(2, 2, 2, device="meta"), valid=torch.ones(2, 2)).device.type == "meta"


def test_a_batch_that_could_not_be_moved_was_not_delivered(monkeypatch):
    from vdata.run import loader as module

    loader = numbers().batch(2).loader(workers=0, device="cpu")
    items = iter(loader)
    next(items)
    monkeypatch.setattr(module, "to_device", lambda *a: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        next(items)
    assert loader.state_dict()["position"] == 2


# -- places ----------------------------------------------------------------------------------------------------------------


def test_a_signed_url_is_in_no_error():
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for path in ("a.tar", "folder"):
            with pytest.raises((vdata.errors.RemoteError, vdata.errors.UnknownDatasetError)) as caught:
                vdata.open(f"http://127.0.0.1:{server.server_port}/{path}?X-Amz-Signature=TOPSECRET")
            assert "TOPSECRET" not in str(caught.value) + repr(caught.value)
            assert caught.value.__cause__ is None
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_paths_are_taken(tmp_path):
    numbers().pack(tmp_path / "set")
    assert len(vdata.load(tmp_path / "set")) == 8
    assert len(vdata.open(tmp_path / "set")) == 8


def test_the_environment_of_a_launcher_is_whole(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("RANK", "x")):
        with monkeypatch.context() as patch, pytest.raises(PlanError, match="set both"):
            patch.setenv(name, value)
            numbers().loader()
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(PlanError, match="process 1 of 2"):
        numbers().loader()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [s["x"] for s in numbers().loader(workers=0)] == [1, 3, 5, 7]


def test_a_name_that_is_not_there_says_which_is_near():
    with pytest.raises(AttributeError, match="did you mean RandomHorizontalFlip"):
        T.RandomHorizontalFilp
    with pytest.raises(AttributeError, match="has no Quux: it has "):
        T.Quux


def test_a_where_that_is_no_dict_says_so():
    with pytest.raises(PlanError, match="dict of wanted column values"):
        numbers().filter(where="label")


def test_an_epoch_is_not_negative():
    for wrong in (-1, True):
        with pytest.raises(PlanError, match="at least 0"):
            numbers().loader().set_epoch(wrong)


def test_links_do_not_multiply_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(png(1))
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    assert len(vdata.from_folder(tmp_path)) == 1
    os.mkfifo(tmp_path / "a" / "2.png")
    os.symlink("/dev/zero", tmp_path / "a" / "3.png")
    with pytest.raises(vdata.errors.DataError, match=r"no file.*a/[23]"):
        vdata.from_folder(tmp_path)


def test_a_member_never_replaces_the_key(tmp_path):
    import io
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.__key__", "a.txt"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(ShardError, match="__key__"):
        vdata.open(tmp_path / "a.tar")


def test_lists_are_taken_apart_like_tuples():
    assert vdata.from_torch([[1.0, 3]])[0] == {"__key__": "00000000", "image": 1.0, "label": 3}


def test_a_forked_child_does_not_wait_for_threads_that_it_has_not():
    items = iter(numbers(100).batch(2).loader(workers=2))
    next(items)
    child = os.fork()
    if child == 0:
        try:
            list(items)
        except PlanError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
