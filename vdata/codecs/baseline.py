"""Windows of baseline JPEGs by loops of our own, where numba is installed (`pip install "vdata-vision[turbo]"`).

Nearly all photographs are such files (sequential, 8 bits, Huffman, three components in one scan, chroma whole or half). Most of a
library's time goes into codes outside the window; these loops pass over several of them at once. Pixels are libjpeg-turbo's, to the
bit. Everything else, and everything that is not sound, is left to a library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vdata.codecs.header import ROWS, Header, Window
from vdata.compiled import Beside
from vdata.compiled.jpeg import read

_MOST = 1 << 24  # samples in the planes of one window: larger ones are left to a library, which needs no planes
_AROUND = 2 * 16 + 2 * 16  # pixels that the blocks of a window may stand over on both sides: whole blocks, with their neighbours

Asked = tuple[bytes | memoryview, Header, Window]


def windows(asked: Sequence[Asked]) -> list[np.ndarray | None]:
    """uint8 [3, h, w] of a window (top, left, height, width) of each JPEG in its stored frame.

    None for those that are not for these loops, and for all until the loops are compiled, which is done beside other work.
    """
    if not asked or not _loops.ready(sum(head.height * head.width for _, head, _ in asked), lambda: [(bytes(asked[0][0]), *asked[0][1:])]):
        return [None] * len(asked)
    return read_windows(asked)


def read_windows(asked: Sequence[Asked]) -> list[np.ndarray | None]:
    """`windows`, whether compiled or not."""
    files, wanted, outs, most = [], [], [], 0
    sources = [np.frombuffer(data, np.uint8) for data, _, _ in asked]
    for source, (_, head, window) in zip(sources, asked, strict=True):
        out = np.empty((3, window[2], window[3]), np.uint8)
        outs.append(out)
        files.append((_address(source), source.size, _address(out)))
        wanted.append((*window, head.height, head.width, *(_listed(source, head.listed) if head.listed else (0, 0))))
        samples = 3 * (window[2] + _AROUND) * (window[3] + _AROUND)
        most = max(most, samples if samples <= _MOST else 0)
    states = read(np.array(files, np.int64).reshape(-1, 3), np.array(wanted, np.int64).reshape(-1, 8), most)
    return [None if state else out for state, out in zip(states.tolist(), outs, strict=True)]


def _listed(source: np.ndarray, at: int) -> tuple[int, int]:
    """Where a file lists its rows, and how many it lists; see rows.py."""
    length = int(source[at - 2]) << 8 | int(source[at - 1])
    return at + len(ROWS), (length - 2 - len(ROWS)) // 4


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


_loops = Beside(read_windows)
