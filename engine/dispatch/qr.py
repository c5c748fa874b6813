"""A code as a picture that a phone or a till's scanner reads."""

from __future__ import annotations

import io
from typing import Final

_QUIET: Final = 4  # modules of white around it, which scanners need
_SIDE: Final = 8  # points of a module's side


def png(code: str) -> bytes:
    """Draw ``code`` as a QR code: a black-and-white PNG."""
    import segno

    picture = io.BytesIO()
    segno.make(code, error="m", micro=False).save(picture, kind="png", scale=_SIDE, border=_QUIET)
    return picture.getvalue()
