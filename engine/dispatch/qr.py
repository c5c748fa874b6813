"""A code as a picture that a phone or a till's scanner reads.

The codes that we draw ourselves fit the smallest symbol (version 1, 21 by 21 modules), and a home sends many of them.
They are put together here: a symbol is a sum, modulo 2, of what each of its bits turns dark. Only what all of them have
in common is taken from ``segno``, which draws every other code.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

_QUIET: Final = 4  # modules of white around it, which scanners need
_SIDE: Final = 8  # points of a module's side: one byte of a black-and-white row
_SIZE: Final = 21  # modules of a side
_WIDTH: Final = _SIZE + 2 * _QUIET
_LETTERS: Final = {letter: value for value, letter in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")}
_CODEWORDS: Final = 26
_FOR_DATA: Final = {"L": 19, "M": 16, "Q": 13, "H": 9}  #: of the codewords; the others correct errors
_ALL: Final = (1 << _SIZE * _SIZE) - 1
_MOST: Final = 1 << 30  # a penalty that no symbol has


@lru_cache(maxsize=64)  # an offer may have one code for all its guests
def png(code: str) -> bytes:
    """Draw ``code`` as a QR code: a black-and-white PNG."""
    import segno

    shape = _shape(len(code)) if set(code) <= _LETTERS.keys() and not code.isdigit() else None
    if shape is not None:
        return _picture(_symbol(code, shape))
    picture = io.BytesIO()
    segno.make(code, error="m", micro=False).save(picture, kind="png", scale=_SIDE, border=_QUIET)
    return picture.getvalue()


@dataclass(frozen=True)
class _Shape:
    """What all symbols of codes of one length have in common."""

    codewords: int  #: of data
    masked: tuple[int, ...]  #: for each of the eight masks, the symbol without any data


@cache
def _shape(length: int) -> _Shape | None:
    """Give the shape for codes of so many letters; None where they do not fit the smallest symbol."""
    import segno

    code = "A" * length
    symbols = (
        [segno.make(code, error="m", micro=False, mask=mask) for mask in range(8)] if 0 < length < _CODEWORDS else []
    )
    if not symbols or symbols[0].version != 1 or symbols[0].error not in _FOR_DATA:
        return None
    codewords = _FOR_DATA[symbols[0].error]
    data = _placed(_corrected(_data(code, codewords), codewords))
    rows = ["".join("1" if dark else "0" for line in symbol.matrix for dark in line) for symbol in symbols]
    return _Shape(codewords, tuple(int(row, 2) ^ data for row in rows))


def _symbol(code: str, shape: _Shape) -> int:
    """Give the modules, dark ones 1, under the mask that ISO/IEC 18004 finds the easiest to scan."""
    data = _placed(_corrected(_data(code, shape.codewords), shape.codewords))
    best, least = 0, _MOST
    for masked in shape.masked:
        penalty = _penalty(data ^ masked, least)
        if penalty < least:
            best, least = data ^ masked, penalty
    return best


def _data(code: str, codewords: int) -> bytes:
    """Give the codewords of the text: alphanumeric, two letters in eleven bits; then the end, and the filling."""
    bits, size = 0b0010 << 9 | len(code), 4 + 9
    values = [_LETTERS[letter] for letter in code]
    for one, two in zip(values[::2], values[1::2], strict=False):
        bits, size = bits << 11 | one * 45 + two, size + 11
    if len(values) % 2:
        bits, size = bits << 6 | values[-1], size + 6
    end = min(4, 8 * codewords - size)
    bits, size = bits << end, size + end
    bits <<= -size % 8
    data = bits.to_bytes((size + 7) // 8)
    return data + (b"\xec\x11" * codewords)[: codewords - len(data)]


def _corrected(data: bytes, codewords: int) -> bytes:
    """Give data and the codewords that correct it: the rest of a division in GF(256)."""
    count = _CODEWORDS - codewords
    steps, rest, keep = _steps(count), 0, (1 << 8 * (count - 1)) - 1
    for each in data:
        rest = (rest & keep) << 8 ^ steps[each ^ rest >> 8 * (count - 1)]
    return data + rest.to_bytes(count)


@cache
def _steps(count: int) -> tuple[int, ...]:
    """Give for each byte its product with the generator polynomial for so many correcting codewords."""
    powers, logs, value = [0] * 510, [0] * 256, 1
    for power in range(255):
        powers[power] = powers[power + 255] = value
        logs[value] = power
        value = value << 1 ^ (0x11D if value & 0x80 else 0)

    def product(one: int, two: int) -> int:
        return powers[logs[one] + logs[two]] if one and two else 0

    generator = [1]
    for power in range(count):
        shifted = [*generator, 0]
        generator = [a ^ product(b, powers[power]) for a, b in zip(shifted, [0, *generator], strict=True)]
    return tuple(int.from_bytes(bytes(product(byte, factor) for factor in generator[1:])) for byte in range(256))


def _placed(codewords: bytes) -> int:
    """Give the modules that the codewords turn dark."""
    symbol = 0
    for codeword, (high, low) in zip(codewords, _halves(), strict=True):
        symbol |= high[codeword >> 4] | low[codeword & 15]
    return symbol


@cache
def _halves() -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Give for each codeword the modules that each value of its upper and of its lower four bits turns dark."""
    places = _places()

    def dark(first: int) -> tuple[int, ...]:
        return tuple(sum(places[first + bit] for bit in range(4) if value & 8 >> bit) for value in range(16))

    return tuple((dark(8 * number), dark(8 * number + 4)) for number in range(_CODEWORDS))


@cache
def _places() -> tuple[int, ...]:
    """Give the module of each bit, in the order of the zigzag from the right: two columns up, two down."""
    found = []
    for number, right in enumerate((20, 18, 16, 14, 12, 10, 8, 5, 3, 1)):  # the column of timing is left out
        rows = range(_SIZE) if number % 2 else reversed(range(_SIZE))
        found += [(row, column) for row in rows for column in (right, right - 1)]
    free = [(row, column) for row, column in found if not _is_fixed(row, column)]
    return tuple(1 << _SIZE * _SIZE - 1 - (row * _SIZE + column) for row, column in free)


def _is_fixed(row: int, column: int) -> bool:
    """Tell whether a module is part of a finder, of the format or of the timing."""
    near = 9  # a finder, its white line and the format beside it
    return (row < near and (column < near or column >= _SIZE - 8)) or (row >= _SIZE - 8 and column < near) or row == 6  # noqa: PLR2004 (the row of timing)


# ---------------------------------------------------------------------------------------------------------------------
# The eight masks are compared by ISO/IEC 18004, 7.8.3. A symbol is one number, its first module the highest bit, so
# each rule looks at all modules at once: ``step`` is 1 along the rows and a row's length along the columns.


@cache
def _from(first: int, last: int, *, across: bool) -> int:
    """Give the modules of these columns, or rows, both inclusive."""
    kept = [place for place in range(_SIZE * _SIZE) if first <= (place % _SIZE if across else place // _SIZE) <= last]
    return sum(1 << _SIZE * _SIZE - 1 - place for place in kept)


@cache
def _bounds(across: bool) -> tuple[int, int, int]:
    """Give the modules with one more, with four more and with six more behind them."""
    one, four, six = (_from(0, _SIZE - 1 - reach, across=across) for reach in (1, 4, 6))
    return one, four, six


@cache
def _format() -> int:
    """Give the modules of the format: they are not compared, for they come after the mask."""
    places = [*((8, each) for each in range(_SIZE)), *((each, 8) for each in range(_SIZE))]
    mine = {(row, column) for row, column in places if row != 6 != column and not 8 < max(row, column) < _SIZE - 8}  # noqa: PLR2004 (the timing, and what lies between the finders)
    return sum(1 << _SIZE * _SIZE - 1 - (row * _SIZE + column) for row, column in mine)


def _penalty(symbol: int, least: int = _MOST) -> int:
    """Give the penalty; one that reaches ``least`` is not counted to its end."""
    symbol &= ~_format()
    total = 10 * int(abs(symbol.bit_count() * 100 / (_SIZE * _SIZE) - 50) / 5)
    alike = []
    for step, across in ((1, True), (_SIZE, False)):
        one, four, _ = _bounds(across)
        same = ~(symbol ^ symbol << step) & one
        alike.append(same)
        five = same & same << step & same << 2 * step & same << 3 * step & four
        total += five.bit_count() + 2 * (five & ~(five >> step)).bit_count()
    across_, down = alike
    total += 3 * (across_ & across_ << _SIZE & down & down << 1).bit_count()
    for step, across in ((1, True), (_SIZE, False)):
        if total >= least:
            break
        total += 40 * _finders(symbol, step, _bounds(across)[2], across=across)
    return total


def _finders(symbol: int, step: int, six: int, *, across: bool) -> int:
    """Count what looks like a finder, 1011101, with four light modules before or behind it; outside all is light."""
    dark, light = symbol, symbol ^ _ALL
    like = dark & light << step & dark << 2 * step & dark << 3 * step & dark << 4 * step & light << 5 * step
    like &= dark << 6 * step & six
    if not like:
        return 0
    before = behind = _ALL
    for place, (first, last) in enumerate(_edges(across), start=1):
        before &= light >> place * step | first
        behind &= light << (6 + place) * step | last
    found = like & (before | behind)
    return (found & ~(found >> 4 * step) & ~(found >> 6 * step)).bit_count()


@cache
def _edges(across: bool) -> tuple[tuple[int, int], ...]:
    """Give the modules that have fewer than 1, 2, 3 and 4 before them, and behind what looks like a finder there."""
    return tuple(
        (_from(0, place - 1, across=across), _from(_SIZE - 6 - place, _SIZE - 1, across=across))
        for place in range(1, 5)
    )


# ---------------------------------------------------------------------------------------------------------------------
# The picture.


def _picture(symbol: int) -> bytes:
    """Give the PNG: a module is a byte of its row, and the rows below repeat the one above."""
    modules = f"{symbol:0{_SIZE * _SIZE}b}".encode().translate(bytes.maketrans(b"01", b"\xff\x00"))
    white, again = b"\xff" * _QUIET, (b"\x02" + bytes(_WIDTH)) * (_SIDE - 1)
    border = (b"\x00" + b"\xff" * _WIDTH + again) * _QUIET
    rows = (modules[start : start + _SIZE] for start in range(0, _SIZE * _SIZE, _SIZE))
    points = b"".join((border, *(b"\x00" + white + row + white + again for row in rows), border))
    head = struct.pack(">IIBBBBB", _WIDTH * _SIDE, _WIDTH * _SIDE, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(points, 3)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
