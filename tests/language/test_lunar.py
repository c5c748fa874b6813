"""Lunar birthdays for 2024 to 2035 against a table of months that was published, not worked out by the library."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest

from engine.language.lunar import LunarDay, lunar_day, lunar_days
from engine.vocabulary.birthdays import lunar_keys

#: The common table of lunar years (after the Hong Kong Observatory's): a bit for each of the twelve months, the first
#: month first, set where it has 30 days; then the leap month, 0 for none. All leap months here have 29 days.
MONTHS = {
    2024: (0x4B6, 0), 2025: (0xA6E, 6), 2026: (0xA4E, 0), 2027: (0xD26, 0), 2028: (0xEA6, 5), 2029: (0xD53, 0),
    2030: (0x5AA, 0), 2031: (0x76A, 3), 2032: (0x96D, 0), 2033: (0x4AF, 11), 2034: (0x4AD, 0), 2035: (0xA4D, 0),
}  # fmt: skip
FIRST = date(2024, 2, 10)


def months() -> list[tuple[LunarDay, date, int]]:
    """Every month: its first day, by both calendars, and its length."""
    found, day = [], FIRST
    for year, (long, leap) in MONTHS.items():
        for month in range(1, 13):
            length = 30 if long & (1 << (12 - month)) else 29
            found.append((LunarDay(year, month, 1), day, length))
            day += timedelta(days=length)
            if month == leap:
                found.append((LunarDay(year, -month, 1), day, 29))
                day += timedelta(days=29)
    return found


def test_every_month_begins_and_ends_as_the_table_says() -> None:
    for first, day, length in months():
        assert lunar_day(day) == first
        assert lunar_day(day + timedelta(days=length - 1)) == first._replace(day=length)
        assert lunar_day(day + timedelta(days=length)).day == 1


def test_every_birthday_is_kept_once_in_each_lunar_year_and_on_its_day() -> None:
    kept: dict[date, set[tuple[int, int]]] = defaultdict(set)
    for (year, month, _), first, length in months():
        for day in range(1, 31) if month > 0 else ():
            kept[first + timedelta(days=min(day, length) - 1)].add((month * 100 + day, year))
    every = [FIRST + timedelta(days=number) for number in range((max(kept) - FIRST).days + 1)]
    assert {day: set(lunar_keys(day)) for day in every} == {day: kept[day] for day in every}
    seen = [key for day in every for key in lunar_keys(day)]
    assert len(seen) == len(set(seen)) == len(MONTHS) * 12 * 30


@pytest.mark.parametrize(
    ("born", "year", "kept"),
    [
        (630, 2025, date(2025, 7, 24)),  # the sixth month of 2025 has 30 days, and a leap month after it with 29
        (601, 2025, date(2025, 6, 25)),
        (1130, 2033, date(2033, 12, 21)),  # the leap month of 2033 is the eleventh
        (530, 2028, date(2028, 6, 22)),
        (1230, 2024, date(2025, 1, 28)),  # no 30th: New Year's Eve is the 29th
        (101, 2027, date(2027, 2, 6)),
    ],
)
def test_some_of_them_by_hand(born: int, year: int, kept: date) -> None:
    assert (born, year) in lunar_keys(kept)
    assert (born, year) not in lunar_keys(kept + timedelta(days=29))
    assert (born, year) not in lunar_keys(kept + timedelta(days=30))


def test_a_day_of_the_twelfth_month_comes_never_or_twice_in_some_years() -> None:
    assert lunar_days(2022, 12, 8) == (date(2022, 1, 10), date(2022, 12, 30))
    assert lunar_days(2023, 12, 8) == ()


def test_the_table_and_the_library_tell_the_same() -> None:
    """Of every first and last day of a month from 1980 to 2210, inside the table and on both sides of it."""
    from lunar_python import LunarYear, Solar

    for year in range(1980, 2210):
        for month in LunarYear.fromYear(year).getMonths():
            first: Solar = Solar.fromJulianDay(month.getFirstJulianDay())
            day = date(first.getYear(), first.getMonth(), first.getDay())
            told = LunarDay(month.getYear(), month.getMonth(), 1)
            assert lunar_day(day) == told
            assert lunar_day(day + timedelta(days=month.getDayCount() - 1)) == told._replace(day=month.getDayCount())
            if told.month > 0:
                assert day in lunar_days(day.year, told.month, 1)
