"""Baseline JPEGs read: Huffman codes to blocks to planes of samples, a window of them (ITU-T T.81, annex F).

What lies outside the window is passed over, several codes at once. Of anything that a sound file has not (a code that is none, a block
of more than 64 numbers, an end before the last block, markers elsewhere) nothing is made: `state` says so, and a library that knows what
to say of it reads the file.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from vdata.compiled import loop, numba
from vdata.compiled._instructions import Instruction
from vdata.compiled.cosines import pixels_of

U, INT = np.uint64, np.int64
BITS = 11  # codes, with the number behind them, that one look into a table tells
SKIP = 11  # bits that are looked at where nothing is wanted, BITS or more
PASS = 18  # the most that one such look passes over: the number behind the last code need not be seen
END = 128  # how far a code moves that ends its block
_BITS, _SKIP, _LOOK, _SKIM = U(BITS), U(SKIP), U(64 - BITS), U(64 - SKIP)
_0, _1, _3, _4, _5, _6, _8, _15, _16, _31, _32, _48, _56, _63, _64 = (U(n) for n in (0, 1, 3, 4, 5, 6, 8, 15, 16, 31, 32, 48, 56, 63, 64))
_END = U(END)


_ONES, _HIGH, _EVERY = (U(n * 0x0101010101010101) for n in (1, 0x80, 0xFF))


def _load(b: Any, data: Any, at: Any) -> Any:
    from llvmlite import ir

    word = b.load(b.bitcast(b.gep(data, [at]), ir.IntType(64).as_pointer()), align=1)
    return b.bswap(word) if sys.byteorder == "little" else word


eight_bytes: Any = Instruction(_load, lambda data, at: numba().types.uint64)  # data[at:at + 8] as one number


@loop
def read_table(counts, symbols, t, codes, passes, limits, firsts, state):
    """Table `t` (the first four are of DC) for codes of `counts` uint8 [tables, 16] (how many of each length) and `symbols` uint8 [tables, 256], by what comes next.

    codes    int32 [tables, 2**BITS]: number << 16 | how far it moves << 8 | bits; with 32 set, bits of the number << 16 and of its code
             alone; 32 alone: a longer code
    passes   uint16 [tables, 2**SKIP], of AC: how far the codes that fit move << 6 | 32 if they end the block | bits, with the numbers; 0 where none fits
    limits   int64 [tables, 18], firsts int64 [tables, 18]: the first 16 bits that are no code of a length any more; a symbol's place less its code
    state    int64 [1]: 1 where there are no such codes
    """
    code, place, lengths = 0, 0, np.zeros(1 << BITS, np.uint8)  # of codes, in bits
    for j in range(U(1 << BITS)):
        codes[t, j] = 32
    for n in range(1, 17):
        firsts[t, U(n)] = place - code
        many = INT(counts[t, U(n - 1)])
        if (many and code + many >= 1 << n) or place + many > 256:  # a code of ones alone is none
            state[_0] = 1
            return
        for _ in range(many):
            symbol = INT(symbols[t, U(place)])
            place += 1
            if symbol > 15 and t < U(4):
                state[_0] = 1
                return
            size, run = symbol & 15, symbol >> 4
            moves = run + 1 if size or run == 15 else END
            if n <= BITS:
                left = BITS - n
                begin = code << left
                for j in range(1 << left):
                    if size <= left:
                        number = j >> (left - size)
                        if number < (1 << size) >> 1:
                            number -= (1 << size) - 1
                        codes[t, U(begin + j)] = number << 16 | moves << 8 | (n + size)
                    else:
                        codes[t, U(begin + j)] = size << 16 | moves << 8 | 32 | n
                    lengths[U(begin + j)] = n
            code += 1
        limits[t, U(n)] = code << (16 - n)
        code <<= 1
    limits[t, U(17)] = 1 << 16
    if t < U(4):  # of DC every number is wanted
        return
    for ahead in range(1 << SKIP):
        bits, moved, ends = 0, 0, 0
        while True:
            at = U(((ahead << bits) & ((1 << SKIP) - 1)) >> (SKIP - BITS))
            entry = INT(codes[t, at])
            moves, more, length = (entry >> 8) & 255, entry & 31, INT(lengths[at])
            if entry & 32:
                more += entry >> 16
            if entry == 32 or bits + length > SKIP or bits + more > PASS or (moves != END and moved + moves > 63):
                break
            bits += more
            if moves == END:
                ends = 32
                break
            moved += moves
        passes[t, U(ahead)] = moved << 6 | ends | bits


@loop
def read_blocks(data, at, end, restart, across, window, parts, codes, passes, limits, firsts, symbols, order, steps, block, before, planes, state):
    """The samples of the blocks in `window`.

    data     uint8, a scan from `at` on, `end` behind the file's last byte; restart: MCUs between markers, or 0; across: MCUs in a row
    window   int64 [6]: first row of MCUs, last one, first column, last one; 1 if the last row is the picture's: then its end has to
             follow; the row that begins at `at`, behind a marker if it is not 0
    parts    int64 [blocks of an MCU, 7]: component, its tables for DC and for AC; where in `planes` it begins, how far that is
             to the next row of MCUs, to the next MCU, and to the next row of samples
    codes, passes, limits, firsts, symbols   as `read_table` has them
    order    uint8 [256]: where in a block the number k + 1 of a scan lies; 64 or more for k that is none
    steps    int16 [components * 64]: what numbers are multiplied by
    block    int16 [72], before int64 [components]: 0; planes uint8: written. state int64 [1]: 1 where the file is not sound
    """
    ahead, bits, padded, left, mark = _0, _0, _0, U(restart), U(window[_5])
    at, end = U(at), U(end)
    top, bottom, west, east, last = window[_0], window[_1], window[U(2)], window[_3], window[_4]
    for row in range(window[_5], bottom + 1):
        for column in range(across):
            if row == bottom and column > east and not last:
                return
            if restart > 0:
                if left == _0:
                    # The bits left are those that fill the last byte, and a marker follows; it forgets all before it.
                    if bits - padded > U(7) or at + _1 >= end or data[at] != 255 or U(data[at + _1]) != U(0xD0) + (mark & U(7)):
                        state[_0] = 1
                        return
                    at, ahead, bits, padded, left, mark = at + U(2), _0, _0, _0, U(restart), mark + _1
                    for c in range(U(before.size)):
                        before[c] = 0
                left -= _1
            wanted = row >= top and west <= column and column <= east
            for p in range(U(parts.shape[0])):
                component, dc, ac = U(parts[p, _0]), U(parts[p, _1]), U(parts[p, U(2)])
                k, alone = _0, False
                while k < _64:
                    # 56 bits ahead, by 8 bytes if none is 0xFF: in its complement, less 1 in each byte, such a byte sets its highest bit.
                    word = eight_bytes(data, at) if at + _8 <= end else _EVERY
                    if (_EVERY - word - _ONES) & word & _HIGH == _0:
                        ahead |= word >> bits
                        at += (_63 - bits) >> _3
                        bits |= _56
                    while bits < _56:
                        byte = _0
                        if at < end and data[at] != 255:
                            byte, at = U(data[at]), at + _1
                        elif at + _1 < end and data[at + _1] == 0:
                            byte, at = U(255), at + U(2)
                        else:  # a marker, or the end: zeros, which nobody may come to need
                            padded += _8
                        ahead |= byte << (_56 - bits)
                        bits += _8
                    if k == _0 or alone:
                        table = ac if alone else dc
                        entry = INT(codes[table, ahead >> _LOOK])
                        n, moves, number = U(entry & 31), U((entry >> 8) & 255), entry >> 16
                        if entry & 32:
                            if entry == 32:
                                next16 = INT(ahead >> _48)
                                n = U(BITS + 1)
                                while next16 >= limits[table, n] and n <= _16:
                                    n += _1
                                if n > _16:
                                    state[_0] = 1
                                    return
                                symbol = U(symbols[table, U(firsts[table, n] + (next16 >> INT(_16 - n))) & U(255)])
                                number = INT(symbol & _15)
                                moves = (symbol >> _4) + _1 if number > 0 or symbol >> _4 == _15 else _END
                            ahead <<= n
                            bits -= n
                            n = U(number)
                            number = INT((ahead >> _1) >> (_63 - n))
                            if number < (1 << INT(n)) >> 1:
                                number -= (1 << INT(n)) - 1
                        ahead <<= n
                        bits -= n
                        place = U(order[k + moves])
                        if not alone:
                            before[component] += number
                            number, place, moves = before[component], _0, _1
                        if wanted:
                            block[place] = number
                        k += moves
                        alone = False
                    elif wanted:
                        for _ in range(56 // BITS):
                            entry = INT(codes[ac, ahead >> _LOOK])
                            if entry & 32:
                                alone = True
                                break
                            n = U(entry & 31)
                            ahead <<= n
                            bits -= n
                            k += U((entry >> 8) & 255)
                            block[U(order[k])] = entry >> 16
                            if k >= _64:
                                break
                    else:
                        for _ in range(56 // PASS):
                            group = U(passes[ac, ahead >> _SKIM])
                            n, moved = group & _31, k + (group >> _6)
                            if n == _0 or moved >= _64:
                                alone = True
                                break
                            ahead <<= n
                            bits -= n
                            k = moved
                            if group & _32:
                                k = _END
                                break
                if (k != _64 and k < _END) or bits < padded:
                    state[_0] = 1
                    return
                if wanted:
                    place = parts[p, _3] + (row - top) * parts[p, _4] + (column - west) * parts[p, _5]
                    if not pixels_of(block, steps, component << _6, planes, U(place), U(parts[p, _6])):
                        state[_0] = 1
                        return
    if last and (bits - padded > U(7) or at + _1 >= end or data[at] != 255 or data[at + _1] != 0xD9):
        state[_0] = 1
