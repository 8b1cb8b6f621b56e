"""Any member of a compressed tar at once, and any part of a compressed file, without unpacking them.

`build` reads an archive once from start to end and writes an index: where one can enter it, which members it has,
and a checksum of every 64 KiB of its content. `SeekTar` and `SeekFile` read with it. They hold no file open and
share no decoder: threads and forked processes may read at will.

    seek.build("images.tar.gz")                          # once: images.tar.gz.seek
    seek.SeekTar("images.tar.gz").read("train/000.jpg")  # some milliseconds

    points.py     the bits at which one can enter a gzip or a bzip2, and reading from there
    index.py      the index as a file
    making.py     one pass over an archive
    reading.py    members and parts of them
"""

from vdata.seek.index import index_of
from vdata.seek.making import build
from vdata.seek.reading import SeekFile, SeekTar, opened

__all__ = ["SeekFile", "SeekTar", "build", "index_of", "opened"]
