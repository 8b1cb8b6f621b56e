"""Windows of many baseline JPEGs in one call: what a file says before its codes, which blocks a window needs, and the other loops."""

from __future__ import annotations

import numpy as np

from vdata.compiled import loop
from vdata.compiled._instructions import carray, pointer
from vdata.compiled.colour_planes import AT_ONCE, colour
from vdata.compiled.huffman import BITS, SKIP, read_blocks, read_table

U, INT, U8 = np.uint64, np.int64, np.uint8
TABLES = 8  # four of DC, four of AC
_BEGIN, _RESTART, _DOWN, _RIGHT, _PICKS, _ABOUT = 0, 1, 2, 3, 4, 10  # what `about` has where


def _order() -> np.ndarray:
    """Where in a block the number k + 1 of a scan lies: diagonal after diagonal, up and down in turn."""
    order = np.full(256, 64, np.uint8)
    places = sorted(((y, x) for y in range(8) for x in range(8)), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))
    order[1:65] = [8 * y + x for y, x in places]
    return order


_ORDER = _order()


def read(files: np.ndarray, asked: np.ndarray, planes: int) -> np.ndarray:
    """Read windows; int64 [n]: 0 where it is done, 1 of a file that is not for these loops, or not sound, or needs more than `planes` samples.

    files    int64 [n, 3]: address of a file's bytes, how many, and the address of 3 * height * width bytes for its pixels, red, green and blue
    asked    int64 [n, 8]: top, left, height and width of a window inside the picture (no one looks whether it is); the height and width
             that the header says; the byte from which on the file lists (uint32, big end first) where each row of MCUs begins, behind
             a marker, or 0; how many it lists
    """
    states = np.zeros(len(files), np.int64)
    tables = (
        np.zeros((TABLES, 1 << BITS), np.int32), np.zeros((TABLES, 1 << SKIP), np.uint16), np.zeros((TABLES, 18), np.int64),
        np.zeros((TABLES, 18), np.int64),
    )  # fmt: skip
    wide = int(asked[:, 3].max(initial=0))
    line = wide + 2 * 16  # samples of chroma in a row of `planes`, at most
    texts = np.zeros((4, TABLES, 272), np.uint8)
    wider = np.empty((2, 2 * line + AT_ONCE), np.uint8)
    last = np.empty(3 * (wide + AT_ONCE), np.uint8)
    read_windows(files, asked, texts, _ORDER, *tables, np.empty(planes + AT_ONCE, np.uint8), np.empty(line + 2, np.int16), wider[0], wider[1], last, states)
    return states


@loop
def read_windows(files, asked, texts, order, codes, passes, limits, firsts, planes, line, blue, red, last, states):
    """What `read` says; texts uint8 [4, TABLES, 272]: 0. The other arrays are written over."""
    zero, one, four = U(0), U(1), U(4)
    counts, symbols, kept, steps = texts[0], texts[1], texts[2], np.zeros((4, 64), np.int16)
    about, state, window, inner, chroma = np.zeros(_ABOUT, np.int64), np.zeros(1, np.int64), np.zeros(6, np.int64), np.zeros(6, np.int64), np.zeros(4, np.int64)
    scales, block, before = np.zeros(192, np.int16), np.zeros(72, np.int16), np.zeros(3, np.int64)
    starts, strides, finer, built = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(2, np.int64), np.zeros(TABLES, np.int64)
    for f in range(U(files.shape[0])):
        data = carray(pointer(files[f, zero]), (files[f, one],), U8)
        states[f], state[zero] = 1, 0
        read_header(data, asked[f, four], asked[f, U(5)], order, about, counts, symbols, steps, scales, state)
        if state[zero]:
            continue
        for pick in range(_PICKS, _ABOUT):
            t = U(about[U(pick)])
            same = built[t] == 1
            for j in range(U(272)):
                now = counts[t, j] if j < 16 else symbols[t, j - U(16)]
                same = same and kept[t, j] == now
                kept[t, j] = now
            if not same:
                read_table(counts, symbols, t, codes, passes, limits, firsts, state)
                built[t] = 1 - state[zero]
            if state[zero]:
                break
        top, left, high, wide = asked[f, zero], asked[f, one], asked[f, U(2)], asked[f, U(3)]
        down, right = about[U(_DOWN)], about[U(_RIGHT)]
        rows, columns = -(-asked[f, four] // down), -(-asked[f, U(5)] // right)
        if state[zero] or (right > 1 and columns < 3):  # libjpeg repeats the samples of so few
            continue
        # Chroma between its samples is made with those beside them.
        window[zero], window[one] = max(top // down - (down > 1), 0) // 8, min((top + high - 1) // down + (down > 1), rows - 1) // 8
        window[U(2)], window[U(3)] = max(left // right - (right > 1), 0) // 8, min((left + wide - 1) // right + (right > 1), columns - 1) // 8
        window[four] = INT(window[one] == (rows - 1) // 8)
        height, width = 8 * (window[one] - window[zero] + 1), 8 * (window[U(3)] - window[U(2)] + 1)
        strides[zero], strides[one], strides[U(2)] = width * right, width, width
        starts[one] = height * down * width * right
        starts[U(2)] = starts[one] + height * width
        if starts[U(2)] + height * width + AT_ONCE > planes.size or width + 2 > line.size:
            continue
        parts, p = np.empty((2 + down * right, 7), np.int64), zero
        for c in range(U(3)):
            tall, broad = (down, right) if c == zero else (1, 1)
            for y in range(tall):
                for x in range(broad):
                    parts[p, zero], parts[p, one], parts[p, U(2)] = c, about[U(_PICKS) + U(2) * c], about[U(_PICKS + 1) + U(2) * c]
                    parts[p, U(3)] = starts[c] + 8 * (y * strides[c] + x)
                    parts[p, four], parts[p, U(5)], parts[p, U(6)] = 8 * tall * strides[c], 8 * broad, strides[c]
                    p += one
        across, begin = -(-asked[f, U(5)] // (8 * right)), about[U(_BEGIN)]
        row, start, count, lists = 0, begin, asked[f, U(7)], asked[f, U(6)]
        good = lists > 0 and about[U(_RESTART)] == across and count == -(-rows // 8) and lists + 4 * count <= begin
        behind = begin - 1
        while good and row < count:  # a tool that wrote the file anew may have moved its rows
            listed = 0
            for j in range(4):
                listed = listed << 8 | INT(data[U(lists + 4 * row + j)])
            good = behind < listed < data.size and (row == 0 or (data[U(listed - 2)] == 255 and data[U(listed - 1)] == 0xD0 + ((row - 1) & 7)))
            behind = listed
            if row == window[zero]:
                start = listed
            row += 1
        window[U(5)], begin = (window[zero], start) if good else (0, begin)
        block[:] = 0
        before[:] = 0
        read_blocks(
            data, begin, data.size, about[U(_RESTART)], across, window, parts, codes, passes, limits, firsts, symbols, order, scales, block,
            before, planes, state,
        )  # fmt: skip
        if state[zero]:
            continue
        chroma[zero], chroma[one], chroma[U(2)], chroma[U(3)] = 8 * window[zero], 8 * window[U(2)], rows, columns
        inner[zero], inner[one] = top - chroma[zero] * down, left - chroma[one] * right
        inner[U(2)], inner[U(3)], inner[four], inner[U(5)] = high, wide, top, left
        finer[zero], finer[one] = down, right
        out = carray(pointer(files[f, U(2)]), (3 * high * wide,), U8)
        colour(planes, starts, strides, finer, inner, chroma, line, blue, red, last, out)
        states[f] = 0


@loop
def read_header(data, height, width, order, about, counts, symbols, steps, scales, state):
    """What stands before the codes of a file `height` x `width`: `about` as named above, counts and symbols of its Huffman tables,
    `scales` int16 [192], what numbers of each component are multiplied by. state int64 [1]: 1 where it is not for these loops."""
    state[U(0)] = 1
    defined, frame, about[U(_RESTART)] = 0, INT(0), 0
    at, size = INT(2), INT(data.size)
    while at + 4 <= size:
        marker, length = INT(data[U(at + 1)]), INT(data[U(at + 2)]) << 8 | INT(data[U(at + 3)])
        inside, end = at + 4, at + 2 + length
        if data[U(at)] != 0xFF or marker < 0xC0 or 0xD0 <= marker <= 0xD9 or marker == 0xFF or length < 2 or end > size:
            return
        if marker == 0xDB:
            while inside < end:
                which = INT(data[U(inside)])
                if which > 3 or inside + 65 > end:  # steps of 16 bits, or none
                    return
                for k in range(64):
                    steps[U(which), U(order[U(k + 1)])] = data[U(inside + 1 + k)]
                defined |= 1 << which
                inside += 65
        elif marker == 0xC4:
            while inside < end:
                which, many = INT(data[U(inside)]), 0
                if which & 0xEC or inside + 17 > end:
                    return
                t = U((which >> 4) * 4 + (which & 3))
                for n in range(16):
                    counts[t, U(n)] = data[U(inside + 1 + n)]
                    many += INT(data[U(inside + 1 + n)])
                inside += 17
                if many > 256 or inside + many > end:
                    return
                for n in range(256):
                    symbols[t, U(n)] = data[U(inside + n)] if n < many else 0
                defined |= 16 << INT(t)
                inside += many
        elif marker == 0xC0 or marker == 0xC1:
            if frame or length != 17 or data[U(inside)] != 8 or data[U(inside + 5)] != 3:
                return
            if (INT(data[U(inside + 1)]) << 8 | INT(data[U(inside + 2)])) != height or (INT(data[U(inside + 3)]) << 8 | INT(data[U(inside + 4)])) != width:
                return
            frame = inside + 6
        elif marker == 0xDD:
            if length != 4:
                return
            about[U(_RESTART)] = INT(data[U(inside)]) << 8 | INT(data[U(inside + 1)])
        elif marker == 0xDA:
            break
        elif (marker == 0xEE and frame) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):  # other colours than the header said; other ways of coding
            return
        at = end
    if not frame or max(height, width) > 65500 or at + 14 > size or data[U(at + 2)] or data[U(at + 3)] != 12 or data[U(at + 4)] != 3 or data[U(at + 12)] != 63 or data[U(at + 11)] or data[U(at + 13)]:
        return
    about[U(_DOWN)], about[U(_RIGHT)] = INT(data[U(frame + 1)]) & 15, INT(data[U(frame + 1)]) >> 4
    about[U(_BEGIN)] = at + 14
    down, right = about[U(_DOWN)], about[U(_RIGHT)]
    if not 1 <= down <= right <= 2 or data[U(frame + 4)] != 0x11 or data[U(frame + 7)] != 0x11:
        return
    for c in range(3):
        named, pick, use = data[U(frame + 3 * c)], INT(data[U(at + 6 + 2 * c)]), INT(data[U(frame + 3 * c + 2)])
        dc, ac = pick >> 4, pick & 15
        if named != data[U(at + 5 + 2 * c)] or dc > 3 or ac > 3 or use > 3 or not defined >> use & defined >> (4 + dc) & defined >> (8 + ac) & 1:
            return
        about[U(_PICKS + 2 * c)], about[U(_PICKS + 2 * c + 1)] = dc, 4 + ac
        for k in range(64):
            scales[U(64 * c + k)] = steps[U(use), U(k)]
    state[U(0)] = 0
