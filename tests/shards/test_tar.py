"""The strict tar reader against Python's tarfile: the same members on good archives, an error where tarfile is silent."""

from __future__ import annotations

import io
import os
import struct
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdata.errors import ShardError, TruncatedShardError
from vdata.shards.tar import BLOCK, Member, members, samples


def make_tar(files: dict[str, bytes], format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def with_entry(info: tarfile.TarInfo, data: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def by_tarfile(data: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [Member(m.name, m.offset_data, m.size, m.offset) for m in tar if m.isreg()]


def patched(data: bytes, at: int, value: bytes, header: int = 0) -> bytes:
    """Change bytes of the header at `header` and put its checksum right."""
    block = bytearray(data[header : header + BLOCK])
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:header] + bytes(block) + data[header + BLOCK :]


FILES = {f"s/{i:04d}.{ext}": bytes([i]) * (200 * i + 3) for i in range(5) for ext in ("bin", "txt")}
GOOD = make_tar(FILES)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=150).filter(
            lambda n: n != ".."
        ),
        st.binary(max_size=1500),
        max_size=6,
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
@settings(max_examples=150, deadline=None)
def test_members_are_those_of_tarfile(files, format):
    data = make_tar(files, format)
    found = list(members(data, url="x.tar"))
    assert found == by_tarfile(data)
    assert {m.name: data[m.offset : m.offset + m.size] for m in found} == files


def test_long_ustar_names_use_the_prefix():
    data = make_tar({"d" * 90 + "/" + "f" * 90 + ".png": b"1"})
    assert list(members(data)) == by_tarfile(data)
    assert list(members(data))[0].size == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind):
    assert len(list(members(kind(GOOD)))) == len(FILES)


def test_base256_and_pax_sizes():
    data = patched(make_tar({"a.b": b"x" * 700}), 124, b"\x80" + (700).to_bytes(11, "big"))
    assert list(members(data)) == by_tarfile(data) == [Member("a.b", 512, 700, 0)]
    info = tarfile.TarInfo("a.b")
    info.size = 700
    info.pax_headers = {"size": "700", "comment": "x = y", "mtime": "1.5"}
    data = with_entry(info, b"x" * 700)
    assert list(members(data)) == by_tarfile(data)


def test_global_headers_and_directories_are_skipped():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", pax_headers={"comment": "from git"}) as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo("d/a.b")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    assert [m.name for m in members(out.getvalue())] == ["d/a.b"]
    assert list(members(make_tar({}))) == []
    old = patched(make_tar({"d/": b""}), 156, b"\0")  # before ustar, a directory was a file named with a slash
    assert list(members(old)) == by_tarfile(old) == []


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"S", b"K", b"V", b"M", b"A"])
def test_what_is_no_plain_file_is_refused_by_name_and_byte(kind):
    data = make_tar({"a.txt": b"1", "evil.txt": b""})
    with pytest.raises(ShardError, match=r"'evil.txt'") as caught:
        list(members(patched(data, 156, kind, header=1024), url="s3://u:pw@b/x.tar"))
    assert caught.value.where == {"url": "s3://***@b/x.tar", "byte": 1024}


def test_sparse_files_in_pax_clothes_are_refused():
    info = tarfile.TarInfo("a.bin")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    with pytest.raises(ShardError, match="sparse"):
        list(members(with_entry(info)))


@pytest.mark.parametrize("name", [b"/etc/passwd", b"../x.png", b"a/../../x.png", b"a/..", b"", b"\xff\xfe.png"])
def test_unsafe_names_are_refused(name):
    data = patched(make_tar({"a.png": b"1"}), 0, name.ljust(100, b"\0"))
    with pytest.raises(ShardError, match=r"unsafe name|not UTF-8"):
        list(members(data))


def test_unsafe_names_in_pax_headers_are_refused():
    for name in ("/etc/passwd", "a/../../x", "a\0b"):
        info = tarfile.TarInfo("a.png")
        info.pax_headers = {"path": name}
        with pytest.raises(ShardError, match="unsafe name"):
            list(members(with_entry(info)))


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"-0000000012\0", b"0000000_012\0", b"0000000009z\0", b"\x81" + bytes(11), b"0x000000012\0"]
)
def test_hostile_sizes_are_refused(size):
    with pytest.raises(ShardError, match="number"):
        list(members(patched(GOOD, 124, size)))


@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\x80" + b"\xff" * 11, b"\x80\0\0\0" + struct.pack(">Q", 2**64 - 512)]
)
def test_huge_sizes_end_past_the_end(size):
    with pytest.raises(TruncatedShardError, match="expected at least"):
        list(members(patched(GOOD, 124, size)))


@pytest.mark.parametrize(
    "record",
    [b"9999 path=x\n", b"0 path=x\n", b"-5 path=x\n", b"12 path=abcd", b"path=x\n", b"8 pathx\n", b"\n", b"\xb2 p=x\n"],
)
def test_broken_pax_records_are_refused(record):
    data = patched(make_tar({"pax": record, "a.png": b""}), 156, b"x")
    with pytest.raises(ShardError, match="pax"):
        list(members(data))


@pytest.mark.parametrize("size", [b"-1", b"1e3", b"", b"9" * 30, "١".encode()])
def test_broken_pax_sizes_are_refused(size):
    body = b" size=" + size + b"\n"
    record = b"%d" % (len(body) + 2) + body
    with pytest.raises(ShardError, match="pax"):
        list(members(patched(make_tar({"pax": record, "a.png": b""}), 156, b"x")))


def test_an_extended_header_is_bounded_and_needs_its_member():
    with pytest.raises(ShardError, match="extended header of"):
        list(members(patched(make_tar({"l": b"n" * (2 << 20), "a": b""}), 156, b"L")))
    with pytest.raises(TruncatedShardError, match="without its member"):
        list(members(patched(make_tar({"l": b"name"}), 156, b"L")))


def test_a_page_of_html_is_no_tar():
    with pytest.raises(ShardError, match=r"not a tar header.*reports an error"):
        list(members(b"<html>404</html>" * 100, url="x.tar"))


# --- where tarfile is silent -------------------------------------------------------------------------------------


def end_of_data(data: bytes) -> int:
    last = by_tarfile(data)[-1]
    return last.offset + -(-last.size // BLOCK) * BLOCK


def read_or_error(data: bytes):
    try:
        return list(samples(members(data, url="x.tar"), "x.tar"))
    except ShardError as error:
        return error


@pytest.mark.parametrize(
    "data", [GOOD, make_tar({"n" * 130 + f"{i}.txt": b"x" * 600 for i in range(4)}, tarfile.PAX_FORMAT)]
)
def test_a_cut_anywhere_is_an_error_or_leaves_everything(data):
    whole, needed = read_or_error(data), end_of_data(data) + 2 * BLOCK
    for cut in {*range(0, len(data), BLOCK), *range(0, needed + 100, 97), needed - 1, needed, needed + 1, 1, 511, 513}:
        result = read_or_error(data[:cut])
        if cut >= needed:
            assert result == whole
        else:
            assert isinstance(result, TruncatedShardError), cut
            assert (
                "expected" in str(result)
                and "got" in str(result)
                and "byte" in result.where
                and result.where["url"] == "x.tar"
            )


def test_where_tarfile_loses_members_without_a_word():
    border, inside = by_tarfile(GOOD)[4].header, by_tarfile(GOOD)[4].header + 100
    flipped = bytearray(GOOD)
    flipped[border + 3] ^= 1
    for broken in (GOOD[:border], GOOD[:inside], bytes(flipped)):
        assert len(by_tarfile(broken)) == 4  # of 10, and no error
        assert isinstance(read_or_error(broken), ShardError)


def test_a_flipped_bit_in_any_header_is_an_error_or_harmless():
    data = make_tar({"a.txt": b"1", "n" * 130 + ".txt": b"x" * 10}, tarfile.PAX_FORMAT)
    heads = [at for at in range(0, end_of_data(data), BLOCK) if data[at + 257 : at + 262] == b"ustar"]
    assert len(heads) == 3  # a plain one, a pax header, and its member's
    whole, harmless = read_or_error(data), 0
    for head in heads:
        for bit in range(BLOCK * 8):
            flipped = bytearray(data)
            flipped[head + bit // 8] ^= 1 << bit % 8
            result = read_or_error(bytes(flipped))
            harmless += result == whole
            assert isinstance(result, ShardError) or result == whole, (head, bit)
    assert harmless <= 10 * len(heads)  # the byte after the checksum's NUL, and a leading zero that becomes a space


@given(st.integers(0, 8 * (len(GOOD) - end_of_data(GOOD)) - 1))
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_after_the_end_is_an_error(bit):
    flipped = bytearray(GOOD)
    flipped[end_of_data(GOOD) + bit // 8] ^= 1 << bit % 8
    assert isinstance(read_or_error(bytes(flipped)), ShardError)


def test_two_archives_in_one_file_are_not_half_read():
    assert len(by_tarfile(GOOD + GOOD)) == len(FILES)
    with pytest.raises(TruncatedShardError, match="more data"):
        list(members(GOOD + GOOD))


@pytest.mark.parametrize("data", [b"", b"\0", bytes(511), bytes(512), bytes(1023)])
def test_no_file_is_shorter_than_an_end_mark(data):
    with pytest.raises(TruncatedShardError):
        list(members(data))


@given(st.binary(max_size=2000), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_garbage_raises_shard_errors_only(garbage, blocks):
    read_or_error(garbage)
    read_or_error(GOOD[: blocks * BLOCK] + garbage)


@given(st.binary(min_size=1, max_size=100), st.integers(0, BLOCK - 1))
@settings(max_examples=200, deadline=None)
def test_hostile_headers_with_a_right_checksum_raise_shard_errors_only(value, at):
    read_or_error(patched(GOOD, min(at, BLOCK - len(value)), value))


# --- samples -----------------------------------------------------------------------------------------------------


def grouped(*names: str) -> dict[str, list[str]]:
    found = samples([Member(name, BLOCK * i + BLOCK, 0, BLOCK * i) for i, name in enumerate(names)], "x.tar")
    return {key: list(parts) for key, parts in found}


def test_samples_by_the_webdataset_rule():
    from webdataset.tariterators import base_plus_ext

    names = ["./a.b/1.PNG", "./a.b/1.seg.png", "c/2.jpg", "c/2.Cls", "3..txt"]
    assert grouped(*names) == {"./a.b/1": ["png", "seg.png"], "c/2": ["jpg", "cls"], "3": [".txt"]}
    for name in names:
        key, extension = base_plus_ext(name)
        assert grouped(name) == {key: [extension.lower()]}


def test_notes_about_the_shard_belong_to_no_sample():
    assert grouped("__meta__", "__meta__/x", "1.a", "__key__.b") == {"1": ["a"], "__key__": ["b"]}


@pytest.mark.parametrize("name", ["README", "a.b/c", "a/.hidden", "._1.jpg", "1.", ".jpg"])
def test_a_member_of_no_sample_is_an_error(name):
    with pytest.raises(ShardError, match="belongs to no sample") as caught:
        grouped("1.a", name)
    assert caught.value.where == {"url": "x.tar", "byte": BLOCK}


def test_an_extension_twice_is_an_error_that_names_both_places():
    with pytest.raises(ShardError, match="at byte 0 and at byte 1024"):
        grouped("1.jpg", "1.txt", "1.JPG")


def test_a_sample_in_two_pieces_is_an_error_that_names_both_places():
    with pytest.raises(ShardError, match="at byte 512 and again at byte 1536") as caught:
        grouped("1.jpg", "2.jpg", "3.jpg", "2.txt")
    assert caught.value.where == {"url": "x.tar", "key": "2", "byte": 1536}


def test_a_torn_last_sample_is_not_handed_out():
    data = make_tar({"1.jpg": b"a", "1.txt": b"b", "2.jpg": b"c", "2.txt": b"d"})
    seen = []
    with pytest.raises(TruncatedShardError):
        for key, _ in samples(members(data[: by_tarfile(data)[3].header])):
            seen.append(key)
    assert seen == ["1"]


def test_a_mapped_file_is_let_go(tmp_path):
    import mmap

    path = tmp_path / "x.tar"
    path.write_bytes(GOOD)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert len(list(members(data))) == len(FILES)
    assert os.path.getsize(path) == len(GOOD)
