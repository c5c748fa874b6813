"""Birthdays and festivals, in plain Python."""

from __future__ import annotations

import calendar
from datetime import date
from functools import cache


@cache
def birthday_in(year: int, month: int, day: int, *, lunar: bool, leap: str | None) -> date:
    if not lunar:
        if (month, day) == (2, 29) and not calendar.isleap(year):
            return date(year, 3, 1) if leap == "mar1" else date(year, 2, 28)
        return date(year, month, day)
    from lunar_python import Lunar, LunarMonth

    days: int = LunarMonth.fromYm(year, month).getDayCount()
    solar = Lunar.fromYmd(year, month, min(day, days)).getSolar()
    return date(solar.getYear(), solar.getMonth(), solar.getDay())


#: Published dates (month, day) by year; a name without a country is the same everywhere.
_PUBLISHED: dict[str, dict[int, tuple[int, int]]] = {
    "lunar-new-year": {2024: (2, 10), 2025: (1, 29), 2026: (2, 17), 2027: (2, 6), 2028: (1, 26), 2029: (2, 13)},
    "mid-autumn": {2024: (9, 17), 2025: (10, 6), 2026: (9, 25), 2027: (9, 15), 2028: (10, 3), 2029: (9, 22)},
    "dragon-boat": {2024: (6, 10), 2025: (5, 31), 2026: (6, 19), 2027: (6, 9), 2028: (5, 28), 2029: (6, 16)},
    "easter": {2024: (3, 31), 2025: (4, 20), 2026: (4, 5), 2027: (3, 28), 2028: (4, 16), 2029: (4, 1)},
}
_FIXED = {"christmas": (12, 25), "new-year": (1, 1), "valentines-day": (2, 14), "halloween": (10, 31)}


def festival_in(name: str, country: str, year: int) -> date | None:
    """The day of a festival in a country; None where it is not known here."""
    if name in _FIXED:
        return date(year, *_FIXED[name])
    if name in _PUBLISHED:
        found = _PUBLISHED[name].get(year)
        return date(year, *found) if found else None
    return None
