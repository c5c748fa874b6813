"""How seldom the collector of garbage looks: it goes through what every statement and every command leaves behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: So many new objects are looked through at once: at Python's own 700 a tenth of a short command is that.
SELDOM: Final = 50_000


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the collector look seldom; then as before."""
    before = gc.get_threshold()
    gc.set_threshold(max(SELDOM, before[0]) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
