"""Schedules, business days and hours at every change of the clock, in every zone that there is, from 2024 to 2028.

What is expected is read off the clock on the wall, minute by minute; nothing of the engine's own arithmetic is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from engine.language.hours import ClockRange, Hours, next_slot
from engine.language.schedules import Schedule
from engine.language.zones import business_day, changes, start_of

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FROM, UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
WEEKDAYS = ("mondays", "tuesdays", "wednesdays", "thursdays", "fridays", "saturdays", "sundays")


@dataclass(frozen=True)
class Change:
    """One change of the clock: its instant, and what hangs on the wall just before and at it."""

    at: datetime
    before: datetime
    after: datetime
    zone: str

    @property
    def skipped_or_repeated(self) -> tuple[datetime, datetime]:
        return min(self.before, self.after), max(self.before, self.after)


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def changes_of(name: str) -> list[Change]:
    zone, found, day = ZoneInfo(name), [], FROM
    while day < UNTIL:
        following = day + DAY
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            low, high = day, following
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(Change(high, shown(low, zone) + timedelta(seconds=1), shown(high, zone), name))
        day = following
    return found


@cache
def all_changes() -> dict[str, list[Change]]:
    """By zone, each under every name that it has."""
    return {name: changes_of(name) for name in sorted(available_timezones())}


def different(*, in_more_than_the_date: bool = False) -> list[Change]:
    """One of each kind: zones that change at one instant by one amount behave alike there."""
    kinds: dict[object, Change] = {}
    for change in (each for mine in all_changes().values() for each in mine):
        by_clock = (change.before.time(), change.after - change.before)
        kinds.setdefault(by_clock if in_more_than_the_date else (change.at, *by_clock), change)
    return sorted(kinds.values(), key=lambda change: (change.at, change.zone))


def minutes(change: Change, before: timedelta, after: timedelta) -> list[tuple[datetime, datetime]]:
    """Each minute around a change, with what the clock shows."""
    zone, start = ZoneInfo(change.zone), change.at - before
    every = (start + MINUTE * number for number in range((before + after) // MINUTE))
    return [(at, shown(at, zone)) for at in every]


def slots(schedule: Schedule, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Walk forwards, and back by another way; both must see the same."""
    found, at = [], start
    while (at := schedule.next(at, zone)) < end:
        found.append(at)
    back, until = [], end - timedelta(seconds=1)
    while (slot := schedule.latest(start, until, zone)) is not None:
        back.append(slot)
        until = slot - timedelta(seconds=1)
    assert back[::-1] == found
    return found


def fixed(clock: time, around: list[tuple[datetime, datetime]], keep: object = None) -> list[datetime]:
    """When a fixed time comes on each date: the first minute that shows it, or a later one where it is skipped."""
    day, last, found = around[0][1].date(), around[-1][1].date(), []
    while day <= last:
        target = datetime.combine(day, clock)
        comes = next((at for at, wall in around if wall >= target), None)
        if comes is not None and target > around[0][1] and keep in {None, day}:
            found.append(comes)
        day += DAY
    return found


def test_there_is_something_to_test() -> None:
    assert len(all_changes()) > 590
    assert sum(bool(mine) for mine in all_changes().values()) > 150
    assert len(different()) > 100
    sizes = {change.after - change.before for change in different()}
    assert {timedelta(hours=1), -timedelta(hours=1), timedelta(minutes=30), timedelta(hours=2)} <= sizes


def test_every_change_is_found_to_the_second() -> None:
    for change in different():
        zone = ZoneInfo(change.zone)
        assert changes(change.at - 2 * DAY, change.at + 2 * DAY, zone) == [change.at], change


def test_a_fixed_time_comes_once_a_day_a_week_and_a_month() -> None:
    for change in different():
        zone, (low, high) = ZoneInfo(change.zone), change.skipped_or_repeated
        around = minutes(change, timedelta(hours=30), timedelta(hours=30))
        start, end = around[0][0], around[-1][0]
        middle = low + (high - low) / 2
        for wall in {low - MINUTE, low, middle, high - MINUTE, high}:
            told = (change, wall)
            clock = wall.time()
            expected = [at for at in fixed(clock, around) if start < at < end]
            assert slots(Schedule.parse(f"daily at {clock:%H:%M}"), zone, start, end) == expected, told
        clock, day = middle.time(), middle.date()
        once = [at for at in fixed(clock, around, day) if start < at < end]
        assert len(once) == 1
        for text in (
            f"{WEEKDAYS[day.weekday()]} at {clock:%H:%M}",
            f"monthly on {day.day} at {clock:%H:%M}",
            f"{clock.minute} {clock.hour} {day.day} {day.month} *",
        ):
            assert slots(Schedule.parse(text), zone, start, end) == once, (change, text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("every 15 minutes", lambda wall: wall.minute % 15 == 0),
        ("every 2 hours", lambda wall: wall.minute == 0 and wall.hour % 2 == 0),
        ("*/20 * * * *", lambda wall: wall.minute % 20 == 0),
        ("10,40 * * * *", lambda wall: wall.minute in {10, 40}),
    ],
)
def test_every_few_minutes_goes_on_through_every_change(text: str, is_one: object) -> None:
    schedule = Schedule.parse(text)
    for change in different(in_more_than_the_date=True):
        around = minutes(change, timedelta(hours=4), timedelta(hours=4))
        expected = [at for at, wall in around[1:-1] if is_one(wall)]  # type: ignore[operator]
        assert slots(schedule, ZoneInfo(change.zone), around[0][0], around[-1][0]) == expected, change


def test_business_days_begin_once_and_never_go_back() -> None:
    for change in different():
        zone, (low, high) = ZoneInfo(change.zone), change.skipped_or_repeated
        around = minutes(change, timedelta(hours=5), timedelta(hours=26))
        for starts in {time(0), time(4), low.time(), (low + (high - low) / 2).time()}:
            looked = around[:: 60 if starts == time(4) else 15]
            days = [business_day(at, zone, starts) for at, _ in looked]
            assert days == sorted(days), (change, starts)
            for day in set(days):
                begins = start_of(day, zone, starts)
                assert business_day(begins, zone, starts) == day, (change, starts)
                assert business_day(begins - timedelta(seconds=1), zone, starts) == day - DAY, (change, starts)


def test_the_next_opening_is_the_first_minute_that_is_open() -> None:
    for change in different(in_more_than_the_date=True):
        zone, (low, high) = ZoneInfo(change.zone), change.skipped_or_repeated
        around = minutes(change, timedelta(hours=5), timedelta(hours=54))
        middle = low + (high - low) / 2
        for opens, closes in (
            (time(8), time(21)),
            (low.time(), middle.time()),
            (middle.time(), (high + DAY / 24).time()),
        ):
            opened = ClockRange.parse(f"{opens:%H:%M}-{closes:%H:%M}")
            for at, _ in around[: 10 * 60 : 37]:
                expected = next(
                    later for later, wall in around if later >= at and opened.holds(wall.hour * 60 + wall.minute)
                )
                assert next_slot(at, zone, Hours((opened,) * 7)) == expected, (change, opened, at)


def test_the_years_have_no_two_changes_in_one_day() -> None:
    for mine in all_changes().values():
        assert all(later.at - earlier.at > 3 * DAY for earlier, later in pairwise(mine))
