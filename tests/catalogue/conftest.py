"""Fake files of a dataset, and what is left when they are extracted as torchvision does."""

import bz2
import gzip
import io
import tarfile
import zipfile

import pytest

import vdata
from vdata.testing import fake_files


def _members(data, nested):
    """(name, bytes) of an archive's files."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from ((i.filename, archive.read(i)) for i in archive.infolist() if not i.is_dir())
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            if entry.isreg():
                content = archive.extractfile(entry).read()
                if nested and entry.name.endswith(".tar"):
                    yield from ((f"{entry.name[:-4]}/{n}", d) for n, d in _members(content, False))
                else:
                    yield entry.name, content


def _plain(name, data):
    """What a downloaded file holds: {name: bytes}, or None for an archive."""
    if name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2")):
        return None
    for suffix, unpack in ((".gz", gzip.decompress), (".bz2", bz2.decompress)):
        if name.endswith(suffix):
            return {name.removesuffix(suffix): unpack(data)}
    return {name: data}


def extract(card, archives, target):
    """Unpack the files in `archives` below `target/<card.folder>`, under the names of the extracted layout."""
    known = {n: a for a in card.archives for n in (a.name, a.name.removesuffix(".bz2"))}  # bunzip2 may have been there
    for path in sorted(archives.iterdir()):
        archive, data = known[path.name], path.read_bytes()
        content = _plain(path.name, data)
        if content is None:
            content = {
                archive.into + name.removeprefix("./").removeprefix(archive.strip): d
                for name, d in _members(data, archive.nested)
            }
        for name, inner in content.items():
            if name.endswith(".gz"):  # EMNIST: an archive of gzipped files
                name, inner = name.removesuffix(".gz"), gzip.decompress(inner)
            out = target / card.folder / name
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(inner)
    return target


@pytest.fixture(scope="session")
def fake_root(tmp_path_factory):
    """name -> the folder with its archives, and the one with its extracted tree; written once."""
    made = {}

    def roots(name):
        if name not in made:
            archives = fake_files(name, tmp_path_factory.mktemp(name) / "archives")
            made[name] = archives, extract(vdata.info(name), archives, archives.parent / "extracted")
        return made[name]

    return roots
