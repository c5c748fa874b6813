"""Which birthdays fire on which day: leap days, and the lunar calendar."""

from __future__ import annotations

import calendar as gregorian
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import CTE

from engine.database.packed import values_cte
from engine.language.lunar import lunar_day
from engine.language.times import Duration
from engine.vocabulary.occasions import firing_days
from engine.vocabulary.scope import Scope

LeapDay = Literal["feb28", "mar1"]


def open_birthdays(scope: Scope, days_before: int, leap_day: LeapDay, late: Duration) -> CTE:
    """Give the table of open birthdays: ``(zone_id, key, lunar, year, closes, expired)``; key is month * 100 + day."""
    rows: list[tuple[int, ...]] = []
    for zone in scope.zones:
        for day, expired in firing_days(scope, zone, late.after):
            birthday = day + timedelta(days=days_before)
            end = (int(scope.start(late.after(day), zone).timestamp()), int(expired))
            rows.extend((zone.id, key, 0, birthday.year, *end) for key in solar_keys(birthday, leap_day))
            rows.extend((zone.id, key, 1, year, *end) for key, year in lunar_keys(birthday))
    return values_cte("open_birthdays", ("zone_id", "key", "lunar", "year", "closes", "expired"), rows)


def solar_keys(day: date, leap_day: LeapDay) -> Iterator[int]:
    """Give the months and days whose birthday is kept on ``day``: its own, and 29 February in common years."""
    yield day.month * 100 + day.day
    kept_on = (2, 28) if leap_day == "feb28" else (3, 1)
    if (day.month, day.day) == kept_on and not gregorian.isleap(day.year):
        yield 229


def lunar_keys(day: date) -> tuple[tuple[int, int], ...]:
    """Give the lunar months and days whose birthday is kept on ``day``, with the lunar year.

    A birthday on the 30th is kept on the 29th where the month has no 30th. It is kept in the month of its number and
    never in a leap month: so it is with a guest who was born in one, also in a year that has that leap month again.
    """
    lunar = lunar_day(day)
    if lunar.month < 0:
        return ()
    own = (lunar.month * 100 + lunar.day, lunar.year)
    if lunar.day == 29 and lunar_day(day + timedelta(days=1)).day == 1:  # noqa: PLR2004 (the short month's end)
        return own, (lunar.month * 100 + 30, lunar.year)
    return (own,)
