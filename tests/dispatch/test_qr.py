"""The picture of a code: large enough for a scanner, with the quiet zone that it needs, and the code in it."""

from __future__ import annotations

import struct
import zlib

import segno
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dispatch import qr

CODE = "6536-M75W-SYZC-A"
QUIET, SIDE = 4, 8


def modules(png: bytes) -> list[list[bool]]:
    """Read a black-and-white PNG back as its modules, dark ones True; every point of a module must be alike."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        parts.setdefault(kind, b"")
        parts[kind] += png[at + 8 : at + 8 + length]
        at += length + 12
    width, height, depth = struct.unpack_from(">IIB", parts[b"IHDR"])
    assert (width, depth) == (height, 1)
    row = (width + 7) // 8
    lines, above = [], bytes(row)
    data = zlib.decompress(parts[b"IDAT"])
    for start in range(0, len(data), row + 1):
        raw = data[start + 1 : start + 1 + row]
        above = bytes((a + b) % 256 for a, b in zip(raw, above, strict=True)) if data[start] == 2 else raw
        lines.append(above)
    bits = [[not line[point // 8] >> (7 - point % 8) & 1 for point in range(width)] for line in lines]
    for line, first in zip(bits, (bits[place - place % SIDE] for place in range(height)), strict=True):
        assert line == first
    return [[line[point] for point in range(0, width, SIDE)] for line in bits[::SIDE]]


def test_the_picture_holds_the_code_and_a_quiet_zone_around_it():
    picture = modules(qr.png(CODE))
    inside = [line[QUIET:-QUIET] for line in picture[QUIET:-QUIET]]
    assert inside == [[bool(dark) for dark in line] for line in segno.make(CODE, error="m", micro=False).matrix]
    border = [*picture[:QUIET], *picture[-QUIET:], *(line[:QUIET] + line[-QUIET:] for line in picture)]
    assert not any(any(line) for line in border)


@settings(max_examples=60, deadline=None)
@given(
    st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", min_size=1, max_size=30) | st.text(min_size=1, max_size=9)
)
@example("A" * 25)
@example("0" * 16)
def test_what_we_put_together_is_what_the_library_draws(code):
    inside = [line[QUIET:-QUIET] for line in modules(qr.png(code))[QUIET:-QUIET]]
    assert inside == [[bool(dark) for dark in line] for line in segno.make(code, error="m", micro=False).matrix]


def test_two_codes_are_two_pictures():
    assert qr.png(CODE) != qr.png(CODE[:-1] + "B")
