"""The lunar calendar of China: which solar day a lunar one is, and the other way round.

Its day is that of Beijing. A month is known by its number; a leap month bears that of the one before it, negative.
The months of all years that a rule can speak of stand in a table: lunar-python, from which it comes and which knows all
other years, takes a tenth of a second to load, and every run with a birthday rule asks.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from functools import cache, lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

#: Qingming and the winter solstice fall on one of these days, by month and first day.
_TERMS: Final[dict[str, tuple[int, int]]] = {"清明": (4, 3), "冬至": (12, 20)}
_SPREAD: Final = 4
#: The first lunar year of the table, and its first day.
_FIRST_YEAR, _FIRST_DAY = 1985, date(1985, 2, 20)
#: Five hexadecimal digits a year: which month has a leap month after it (0: none) above thirteen bits, one for each
#: month in turn, the first month's highest, set where it has 30 days.
_YEARS: Final = (
    "00d4a00da80d5b40156c012ae0a92f0092e00c9606d4a01d4a10d6500b580156c0b26d0125c0192c09a9501a9401b4a04b55"
    "00ad40f55b004ba0125a0b92b0152a01694096aa015aa12ab500974014b60ca5700a560152608e9500d54015aa049b50096c"
    "0d4ae0149c01a4c0bd2601aa600b5406d6a012da1695d0095a0149a0da4b01a4a01aa40bb54016b400ada0495b009360f497"
    "014960154a0b6a500da4015b406ab60126e1092f0092e00c960cd4a01d4a00d640956c0155c0125c0792e0192c0fa9501a94"
    "01b4a0ab5500ad4014da08a5d00a5a1152b0152a016940d6aa015aa00ab4094ba014b600a560752700d260ee5300d54015aa"
    "0a9b50096c014ae08a4e01a2c11d2601aa401b540cd6a00ada0095c0949d0145a01a2a05b2501aa40fb52016b400aba0a95b"
    "009360149609a4b0154a136a500da4015ac0cab60126e0092e08c9700a9600d4a06da500d540f56a0155a00a5c0b92e0152c"
    "01a9409d4a01b2a16b5500ad4014da0ca5d00a5a0151a0ba9501654016aa04ad500ab40f4ba014b600a560b51700d1600e52"
    "096aa00d6a165b50096c014ae0ca2e01a2c01d160ad5201b5200b6a0656d0055c0f45d0145a01a2a0da95016a401ad208b5a"
    "00ab61455b008b6014560d52b0152a016940b6aa015aa00ab6064b7008ae0ec5700a5600d2a0cd9500b540156a08a6d0095c"
    "014ae04a5601a540dd2a01aaa00b540b56a014da0095c074ab0149a0fa4b01652016aa0cad5005b4012ba0895b0093613497"
    "00c96"
)
_DIGITS, _BITS, _SHORT = 5, 13, 29


class LunarDay(NamedTuple):
    """A day of the lunar calendar; the month is negative where it is a leap month."""

    year: int
    month: int
    day: int


@lru_cache(maxsize=2000)
def lunar_day(day: date) -> LunarDay:
    """Give the lunar day of a solar one."""
    starts = _new_years()
    if not starts[0] <= day.toordinal() < starts[-1]:
        lunar = _solar(day).getLunar()
        return LunarDay(lunar.getYear(), lunar.getMonth(), lunar.getDay())
    at = bisect_right(starts, day.toordinal()) - 1
    left = day.toordinal() - starts[at]
    for month, length in _months(_FIRST_YEAR + at):
        if left < length:
            return LunarDay(_FIRST_YEAR + at, month, left + 1)
        left -= length
    raise AssertionError(day)  # the months of a year end where the next one begins


@cache
def lunar_days(year: int, month: int, day: int) -> tuple[date, ...]:
    """Give the days of a solar year on which that lunar day falls: none, one or two. Leap months do not count."""
    found = (_solar_day(lunar_year, month, day) for lunar_year in (year - 1, year))
    return tuple(each for each in found if each.year == year)


def _solar_day(year: int, month: int, day: int) -> date:
    at = year - _FIRST_YEAR
    if not 0 <= at < len(_new_years()) - 1:
        from lunar_python import Lunar

        solar: Any = Lunar.fromYmd(year, month, day).getSolar()
        return date(solar.getYear(), solar.getMonth(), solar.getDay())
    months = _months(year)
    before = sum(length for _, length in months[: [number for number, _ in months].index(month)])
    return date.fromordinal(_new_years()[at] + before + day - 1)


@cache
def _months(year: int) -> tuple[tuple[int, int], ...]:
    """Give the months of a lunar year of the table in turn, each with its length."""
    at = (year - _FIRST_YEAR) * _DIGITS
    code = int(_YEARS[at : at + _DIGITS], 16)
    numbers = [*range(1, 13)]
    if leap := code >> _BITS:
        numbers.insert(leap, -leap)
    return tuple((number, _SHORT + (code >> (_BITS - 1 - place) & 1)) for place, number in enumerate(numbers))


@cache
def _new_years() -> tuple[int, ...]:
    """Give the first day of each lunar year of the table, and of the one after the last, as ordinals."""
    years = range(_FIRST_YEAR, _FIRST_YEAR + len(_YEARS) // _DIGITS)
    lengths = (sum(length for _, length in _months(year)) for year in years)
    return tuple(accumulate(lengths, initial=_FIRST_DAY.toordinal()))


@cache
def solar_term(year: int, name: str) -> tuple[date, ...]:
    """Give the day of a solar term in a year: 清明 or 冬至 (``KeyError`` for others)."""
    month, first = _TERMS[name]
    days = (date(year, month, first + offset) for offset in range(_SPREAD))
    return tuple(day for day in days if _solar(day).getLunar().getJieQi() == name)


def _solar(day: date) -> Any:
    from lunar_python import Solar

    return Solar.fromYmd(day.year, day.month, day.day)
