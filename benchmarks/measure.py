"""What a measure is: two ways to do the same work, the bar that ours is held to, and how it is timed."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Literal

ROUNDS: Final = 5

#: One call is timed; one that gives a float has measured itself.
Work = Callable[[], object]


class Mismatch(Exception):  # noqa: N818 (a finding, not a failure of the program)
    """The two sides do not do the same work: their times say nothing."""


class Skipped(Exception):  # noqa: N818 (no failure either)
    """What this measure needs is not on this machine."""


@dataclass(frozen=True)
class Bar:
    """What ours is held to. ``plus`` is granted on top; what stays below ``over`` meets it. In the unit's own."""

    kind: Literal["at most", "faster", "grows"]
    value: float
    plus: float = 0.0
    over: float = 0.0

    def figure(self, ours: float, opponent: float) -> float:
        """Give what is compared with the bar, of one round."""
        if self.kind == "faster":
            return opponent / ours
        if self.kind == "grows":
            return math.log10(ours / opponent)
        return ours / opponent if opponent and self.value else math.inf  # a limit of its own is no ratio

    def met(self, ours: list[float], opponent: list[float]) -> bool:
        """Tell whether the median of the rounds keeps to it."""
        pairs = list(zip(ours, opponent, strict=True))
        if self.kind == "faster":
            return statistics.median(self.figure(*pair) for pair in pairs) >= self.value
        if self.kind == "grows":
            return statistics.median(self.figure(*pair) for pair in pairs) <= self.value
        if statistics.median(ours) < self.over:
            return True
        return statistics.median(mine - self.plus - self.value * other for mine, other in pairs) <= 0

    def said(self, unit: str) -> str:
        """Say it, as in ``<= 0.15x + 180 ms``."""
        if self.kind == "faster":
            return f">= {self.value:g}x as fast"
        if self.kind == "grows":
            return f"exponent <= {self.value:g}"
        if not self.value:
            return f"<= {_amount(self.plus, unit)}"
        plus = f" + {_amount(self.plus, unit)}" if self.plus else ""
        return f"<= {self.value:g}x{plus}" + (f" over {_amount(self.over, unit)}" if self.over else "")


def _amount(value: float, unit: str) -> str:
    return f"{value * 1000:.0f} ms" if unit == "s" and value < 1 else f"{value:g} {unit}"


def at_most(value: float, *, plus: float = 0.0, over: float = 0.0) -> Bar:
    """Ours takes at most so many times what the opponent takes, and ``plus``; less than ``over`` is never too much."""
    return Bar("at most", value, plus, over)


def faster(value: float) -> Bar:
    """Ours is at least so many times as fast as the opponent."""
    return Bar("faster", value)


def grows(value: float) -> Bar:
    """Ours is the same work as the opponent's, on ten times the data: the exponent of the growth is at most this."""
    return Bar("grows", value)


def _nothing() -> None:
    """Do nothing."""


@dataclass
class Pair:
    """The two sides, ready to be called. What the fields are for stands in ``benchmarks/__init__.py``."""

    ours: Work
    opponent: Work
    check: Callable[[], None] = _nothing
    restore: Callable[[], None] = _nothing
    opponent_times: float = 1.0
    note: str = ""


@dataclass(frozen=True)
class Measure:
    """One line of the table."""

    id: str
    name: str
    bar: Bar | None
    prepare: Callable[[], AbstractContextManager[Pair]]
    opponent: str
    database: str = ""  #: sqlite or postgresql, where it is measured on one
    unit: Literal["s", "MB"] = "s"
    rounds: int = ROUNDS

    @property
    def key(self) -> str:
        """What it stands under in the results of one size."""
        return f"{self.id}@{self.database}" if self.database else self.id


@dataclass
class Result:
    """What was measured, each round's figure of both sides, or why not."""

    measure: Measure
    ours: list[float] = field(default_factory=list)
    opponent: list[float] = field(default_factory=list)
    note: str = ""
    skipped: str = ""
    wrong: str = ""

    @property
    def figure(self) -> float:
        """The median of the rounds' own ratios, in the direction of the bar (it / opponent without one)."""
        bar = self.measure.bar or at_most(1)
        return statistics.median(bar.figure(*pair) for pair in zip(self.ours, self.opponent, strict=True))

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, ``WRONG`` (the sides differ), ``skipped``, or nothing where there is no bar."""
        if self.wrong:
            return "WRONG"
        if self.skipped:
            return "skipped"
        if self.measure.bar is None:
            return ""
        return "met" if self.measure.bar.met(self.ours, self.opponent) else "MISSED"


def measured(measure: Measure, rounds: int | None = None) -> Result:
    """Prepare, check, warm up, and time the two in turn; each round begins with the other side."""
    result = Result(measure)
    try:
        with measure.prepare() as pair:
            result.note = pair.note
            pair.check()
            for work in (pair.ours, pair.opponent):
                _timed(work, pair)
            for number in range(rounds or measure.rounds):
                if number % 2:
                    theirs, mine = _timed(pair.opponent, pair), _timed(pair.ours, pair)
                else:
                    mine, theirs = _timed(pair.ours, pair), _timed(pair.opponent, pair)
                result.ours.append(mine)
                result.opponent.append(theirs * pair.opponent_times)
    except Skipped as why:
        return Result(measure, skipped=str(why))
    except Mismatch as why:
        return Result(measure, wrong=str(why))
    return result


def _timed(work: Work, pair: Pair) -> float:
    begun = time.perf_counter()
    given = work()
    took = time.perf_counter() - begun
    pair.restore()
    return given if isinstance(given, float) else took
