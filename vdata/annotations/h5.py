"""Rows of HDF5 files, through h5py.

A file may name other files (external links, external and virtual datasets) or objects of its own: only plain arrays
of numbers that lie in the file itself are read, and no more of them at once than a sample can have.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from vdata.errors import DataError, DecodeError, MissingPackageError, VdataError
from vdata.files import MAX_MEMBER, Files

_MOST_OPEN = 8
_open: dict[tuple[int, str, str], tuple[Any, BinaryIO]] = {}  # process, files, path -> HDF5 over a file; the latest
_locks: dict[int, threading.Lock] = {}  # of each process: another thread may hold it while this one is forked


def h5_shape(files: Files, path: str, name: str) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a dataset in the file; DecodeError where it is no HDF5, or lacks it.

    The file is opened anew: whoever asks what it holds wants to know what it holds now.
    """
    with _dataset(files, path, name, anew=True) as found:
        return tuple(found.shape), found.dtype.name


def h5_rows(files: Files, path: str, name: str, rows: slice | int) -> np.ndarray:
    """Some rows of a dataset in the file: only their bytes are read. DecodeError where it has no such row."""
    with _dataset(files, path, name) as found:
        count = 1 if isinstance(rows, int) else len(range(*rows.indices(found.shape[0])))
        largest = max(count * math.prod(found.shape[1:]), math.prod(found.chunks or (0,))) * found.dtype.itemsize
        if largest > MAX_MEMBER:
            raise DecodeError(f"{name} of {path} says that {count} rows of it have {largest} bytes", url=files.url)
        return np.asarray(found[rows])


@contextmanager
def _dataset(files: Files, path: str, name: str, anew: bool = False) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError(f"{path} is read by h5py: pip install 'vdata-vision[datasets]'") from error
    at = (os.getpid(), files.url, path)
    with _locks.setdefault(os.getpid(), threading.Lock()):  # h5py's own is not around Python file objects
        if anew and at in _open:
            _close(at)
        try:
            if at not in _open:
                _open_file(h5py, at, files.open(path))
            yield _array(h5py, _open[at][0], path, name)
        except DataError as error:
            raise error.at(url=files.url) from None
        except VdataError:  # some of them are ValueErrors too
            raise
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
            if at in _open:
                _close(at)
            raise DecodeError(f"{path} is no readable HDF5 file: {error}", url=files.url) from error


def _open_file(h5py: Any, at: tuple[int, str, str], raw: BinaryIO) -> None:
    while len(_open) >= _MOST_OPEN:
        _close(next(iter(_open)))
    try:
        _open[at] = h5py.File(raw, "r"), raw
    except BaseException:
        raw.close()
        raise


def _close(at: tuple[int, str, str]) -> None:
    file, raw = _open.pop(at)
    file.close()
    raw.close()


@atexit.register
def _close_all() -> None:
    """While Python still runs: HDF5 closes its files when the process ends, and would ask file objects that are gone."""
    while _open:
        _close(next(iter(_open)))


def _array(h5py: Any, file: Any, path: str, name: str) -> Any:
    """The dataset of this name, if it is an array of numbers in the file itself."""
    if name not in file:
        raise DecodeError(f"{path} has no dataset {name!r}; it has {', '.join(file) or 'none'}")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DecodeError(f"{name} of {path} is a link to somewhere else, which is not followed")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biuf" or not found.shape:
        raise DecodeError(f"{name} of {path} is no array of numbers")
    if found.external or found.is_virtual:
        raise DecodeError(f"{name} of {path} lies in other files, which are not opened")
    return found
