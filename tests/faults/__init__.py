"""Faults that are injected on purpose, and what became of every message afterwards: `make faults`.

Run as `python -m tests.faults`, or a part of it by pytest; either way `dispatch.world` and the like are found.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parents[1])
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)
