from __future__ import annotations

import io
import struct
import zlib

import pytest
import segno

from engine.dispatch import qr


def chunks(png: bytes) -> dict[bytes, bytes]:
    """The parts of a PNG by name, their check sums checked."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        found[kind] = data
        at += length + 12
    assert list(found)[-1] == b"IEND"
    return found


def points(png: bytes) -> list[bytes]:
    """The lines of a picture, a bit a point; a line may be written as its difference from the one above."""
    head, data = chunks(png)[b"IHDR"], zlib.decompress(chunks(png)[b"IDAT"])
    width, height, *kind = struct.unpack(">IIBBBBB", head)
    assert kind == [1, 0, 0, 0, 0]
    lines = [bytes(width // 8)]
    for at in range(0, len(data), width // 8 + 1):
        above = lines[-1] if data[at] == 2 else bytes(width // 8)
        lines.append(bytes((a + b) % 256 for a, b in zip(data[at + 1 : at + 1 + width // 8], above, strict=True)))
    assert len(lines) == height + 1
    return lines[1:]


@pytest.mark.parametrize("code", ["6536-M75W-SYZC-A", "A", "x" * 300])
def test_the_picture_is_point_for_point_the_librarys_own(code):
    theirs = io.BytesIO()
    segno.make(code, error="m", micro=False).save(theirs, kind="png", scale=8, border=4)
    assert points(qr.png(code)) == points(theirs.getvalue())
