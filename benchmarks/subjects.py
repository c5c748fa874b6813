"""Every subject of the table, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from benchmarks import engines, evaluation, handmade, importing, limits, periods, sending, upkeep, written
from benchmarks.ground import Ground
from benchmarks.measure import Measure

SUBJECTS: Final[Mapping[str, Callable[[Ground], Iterator[Measure]]]] = {
    "evaluation": evaluation.measures,
    "written": written.measures,
    "handmade": handmade.measures,
    "engines": engines.measures,
    "periods": periods.measures,
    "importing": importing.measures,
    "upkeep": upkeep.measures,
    "sending": sending.measures,
    "limits": limits.measures,
}


def all_measures(ground: Ground) -> Iterator[Measure]:
    """Give every measure for this ground."""
    for measures in SUBJECTS.values():
        yield from measures(ground)
