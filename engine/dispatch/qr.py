"""A code as a picture that a phone or a till's scanner reads."""

from __future__ import annotations

import struct
import zlib
from typing import Final

_QUIET: Final = 4  # modules of white around it, which scanners need
_SIDE: Final = 8  # points of a module's side: a byte of a black-and-white PNG is one module wide
_WHITE: Final = b"\xff"
_AS_POINTS: Final = bytes.maketrans(b"\0\1", b"\xff\0")


def png(code: str) -> bytes:
    """Draw ``code`` as a QR code: a black-and-white PNG."""
    import segno

    modules = segno.make(code, error="m", micro=False).matrix
    quiet = [b"\0" + _WHITE * (len(modules) + 2 * _QUIET)] * _QUIET
    edge = _WHITE * _QUIET
    lines = [*quiet, *(b"\0" + edge + bytes(row).translate(_AS_POINTS) + edge for row in modules), *quiet]
    side = len(lines) * _SIDE
    about = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit a point, shades of grey, not interlaced
    points = zlib.compress(b"".join(line * _SIDE for line in lines))
    chunks = ((b"IHDR", about), (b"IDAT", points), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
