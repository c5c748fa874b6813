"""The lunar calendar of China, by lunar-python: which solar day a lunar one is, and the other way round.

Its day is that of Beijing. A month is known by its number; a leap month bears that of the one before it, negative.
"""

from __future__ import annotations

from datetime import date
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

#: Qingming and the winter solstice fall on one of these days, by month and first day.
_TERMS: Final[dict[str, tuple[int, int]]] = {"清明": (4, 3), "冬至": (12, 20)}
_SPREAD: Final = 4


class LunarDay(NamedTuple):
    """A day of the lunar calendar; the month is negative where it is a leap month."""

    year: int
    month: int
    day: int


@lru_cache(maxsize=2000)
def lunar_day(day: date) -> LunarDay:
    """Give the lunar day of a solar one; it takes a part of a millisecond, so it is kept."""
    lunar = _solar(day).getLunar()
    return LunarDay(lunar.getYear(), lunar.getMonth(), lunar.getDay())


@cache
def lunar_days(year: int, month: int, day: int) -> tuple[date, ...]:
    """Give the days of a solar year on which that lunar day falls: none, one or two. Leap months do not count."""
    from lunar_python import Lunar

    found = []
    for lunar_year in (year - 1, year):
        solar: Any = Lunar.fromYmd(lunar_year, month, day).getSolar()
        found.append(date(solar.getYear(), solar.getMonth(), solar.getDay()))
    return tuple(each for each in found if each.year == year)


@cache
def solar_term(year: int, name: str) -> tuple[date, ...]:
    """Give the day of a solar term in a year: 清明 or 冬至 (``KeyError`` for others)."""
    month, first = _TERMS[name]
    days = (date(year, month, first + offset) for offset in range(_SPREAD))
    return tuple(day for day in days if _solar(day).getLunar().getJieQi() == name)


def _solar(day: date) -> Any:
    from lunar_python import Solar

    return Solar.fromYmd(day.year, day.month, day.day)
