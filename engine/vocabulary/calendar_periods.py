"""Calendar periods in a guest's zone: months, quarters and years, worked out in Python as a small table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final, Literal

from sqlalchemy import CTE

from engine.database.packed import values_cte
from engine.language.times import business_day
from engine.vocabulary.scope import Scope

Per = Literal["month", "quarter", "year"]

#: How many months each has.
PER: Final[dict[Per, int]] = {"month": 1, "quarter": 3, "year": 12}
_COLUMNS = ("zone_id", "number", "first_day", "next_day", "begins", "ends")


def number_of(day: date, per: Per) -> int:
    """Give the number of the period that holds ``day``: yyyymm, yyyyq or yyyy."""
    if per == "year":
        return day.year
    return day.year * 100 + day.month if per == "month" else day.year * 10 + (day.month + 2) // 3


def first_of(day: date, per: Per) -> date:
    """Give the first day of the period that holds ``day``."""
    return date(day.year, (day.month - 1) // PER[per] * PER[per] + 1, 1)


def next_first(day: date, per: Per) -> date:
    """Give the first day of the period after the one that holds ``day``."""
    months = first_of(day, per).month - 1 + PER[per]
    return date(day.year + months // 12, months % 12 + 1, 1)


def open_periods(scope: Scope, per: Per, since: datetime) -> CTE:
    """Give the table ``periods`` of all periods from that of ``since`` to today's, zone by zone.

    ``first_day`` and ``next_day`` are days, ``begins`` and ``ends`` the instants at which those days begin.
    """
    return values_cte("periods", _COLUMNS, list(_rows(scope, per, since)))


def _rows(scope: Scope, per: Per, since: datetime) -> Iterator[tuple[int, ...]]:
    for zone in scope.zones:
        first = first_of(business_day(since, zone.info, scope.day_starts), per)
        while first <= scope.today_in(zone):
            following = next_first(first, per)
            begins, ends = (int(scope.start(day, zone).timestamp()) for day in (first, following))
            yield zone.id, number_of(first, per), first.toordinal(), following.toordinal(), begins, ends
            first = following
