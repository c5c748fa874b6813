"""Schedules: their words, and their slots where the clock is set forward or back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.times import Schedule
from engine.language.zones import wall
from tests.language.clocks import CHANGES, minutes_around

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


def slots(text, zone, start, end):
    schedule, found, at = Schedule.parse(text), [], start
    while (at := schedule.next(at, zone)) <= end:
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("text", "cron", "sentence"),
    [
        ("daily at 10:00", "0 10 * * *", "every day at 10:00"),
        ("Daily  at 07:30", "30 7 * * *", "every day at 07:30"),
        ("mondays at 09:00", "0 9 * * 1", "every Monday at 09:00"),
        ("sundays at 09:00", "0 9 * * 7", "every Sunday at 09:00"),
        ("weekdays at 09:00", "0 9 * * 1-5", "Monday to Friday at 09:00"),
        ("every 15 minutes", "*/15 * * * *", "every 15 minutes"),
        ("every 1 minute", "* * * * *", "every minute"),
        ("every 2 hours", "0 */2 * * *", "every 2 hours"),
        ("every 1 hour", "0 * * * *", "every hour"),
        ("monthly on 1 at 08:00", "0 8 1 * *", "on day 1 of each month at 08:00"),
        ("monthly on 30 at 08:00", "0 8 30,28-31 * *", "on day 30 of each month, else its last, at 08:00"),
        ("0 10 * * mon-fri", "0 10 * * mon-fri", 'by the cron line "0 10 * * mon-fri"'),
        ("0 10 1 JAN *", "0 10 1 jan *", 'by the cron line "0 10 1 jan *"'),
        ("*/5 8-20 * * *", "*/5 8-20 * * *", 'by the cron line "*/5 8-20 * * *"'),
    ],
)
def test_a_schedule_is_read_and_said_in_english(text, cron, sentence):
    schedule = Schedule.parse(text)
    assert (schedule.text, schedule.cron, schedule.sentence) == (text, cron, sentence)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dayly at 10:00", 'did you mean "daily at 10:00"'),
        ("daily", 'did you mean "daily at 10:00"'),
        ("monday at 9:00", 'did you mean "mondays at 09:00"'),
        ("every monday at 9am", 'did you mean "mondays at 09:00"'),
        ("every day at 9", 'did you mean "daily at 09:00"'),
        ("every hour", 'did you mean "every 1 hour"'),
        ("every 15 min", 'did you mean "every 15 minutes"'),
        ("monthly at 08:00", 'did you mean "monthly on 1 at 08:00"'),
        ("daily at 10", '"10" is not a time of day .* did you mean "10:00"'),
        ("every 7 minutes", "does not divide an hour evenly; every 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 minutes do"),
        ("every 5 hours", "does not divide a day evenly"),
        ("every 0 minutes", "does not divide an hour evenly"),
        ("monthly on 0 at 08:00", "1 to 31 do"),
        ("monthly on 32 at 08:00", "1 to 31 do"),
        ("0 8 31 2 *", "for a day that never comes"),
        ("0 8 30 feb *", "for a day that never comes"),
        ("0 25 * * *", "is not a cron line; its five parts are"),
        ("0 10 * * foo", '"foo" is no day of the week'),
        ("0 10 ? * mon", r'"\?" is no day of the month'),
        ("* * * * H", '"h" is no day of the week'),
        ("0 0 10 * * *", "is not a schedule such as"),
        ("@daily", "is not a schedule such as"),
        ("hello", "is not a schedule such as"),
        ("", "is not a schedule such as"),
    ],
)
def test_what_is_no_schedule_is_told_with_the_nearest(text, said):
    with pytest.raises(ValueError, match=said):
        Schedule.parse(text)


@given(st.text(max_size=30) | st.text(st.sampled_from("0123456789*/-, atdeilymonthvrus:"), max_size=24))
def test_no_text_makes_the_parser_do_more_than_explain(text):
    try:
        said = Schedule.parse(text).sentence
    except ValueError as error:
        said = str(error)
    assert said


def test_a_leap_day_comes_every_four_years():
    schedule = Schedule.parse("0 8 29 2 *")
    assert schedule.next(datetime(2026, 1, 1, tzinfo=UTC), BERLIN) == datetime(2028, 2, 29, 7, tzinfo=UTC)
    assert schedule.latest(None, datetime(2026, 1, 1, tzinfo=UTC), BERLIN) == datetime(2024, 2, 29, 7, tzinfo=UTC)


def test_monthly_on_31_comes_every_month():
    found = slots(
        "monthly on 31 at 08:00", ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    )
    assert [(at.month, at.day) for at in found] == [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30)]
    found = slots(
        "monthly on 29 at 08:00", ZoneInfo("UTC"), datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 4, 1, tzinfo=UTC)
    )
    assert [(at.month, at.day) for at in found] == [(1, 29), (2, 29), (3, 29)]


def test_a_fixed_time_in_the_repeated_hour_comes_once():
    found = slots("daily at 01:30", NEW_YORK, datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 2, 23, tzinfo=UTC))
    assert found == [
        datetime(2026, 10, 31, 5, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
        datetime(2026, 11, 2, 6, 30, tzinfo=UTC),
    ]


def test_a_fixed_time_in_the_skipped_hour_comes_once_right_after():
    found = slots("daily at 02:30", BERLIN, datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, 23, tzinfo=UTC))
    assert found == [
        datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
    ]


def test_every_quarter_of_an_hour_goes_on_through_the_repeated_hour():
    start = datetime(2026, 11, 1, 4, 59, tzinfo=UTC)
    found = slots("every 15 minutes", NEW_YORK, start, start + timedelta(hours=4))
    assert [after - before for before, after in pairwise(found)] == [timedelta(minutes=15)] * 15


def test_the_latest_slot_is_later_than_the_last_evaluation():
    daily = Schedule.parse("daily at 10:00")
    ten = datetime(2026, 5, 4, 8, tzinfo=UTC)
    assert daily.latest(None, ten, BERLIN) == ten
    assert daily.latest(ten - timedelta(seconds=1), ten, BERLIN) == ten
    assert daily.latest(ten, ten + timedelta(hours=23), BERLIN) is None
    assert daily.latest(ten, ten + timedelta(days=30), BERLIN) == ten + timedelta(days=30)
    assert daily.latest(None, ten - timedelta(seconds=1), BERLIN) == ten - timedelta(days=1)
    assert daily.next(ten, BERLIN) == ten + timedelta(days=1)


@pytest.mark.parametrize("text", ["0 10 * * *", "30 23 * * 1-5", "0 0 * * 7", "59 23 * * 3"])
@given(st.timedeltas(timedelta(0), timedelta(days=20_000)), st.sampled_from([None, 0]), st.booleans())
def test_a_fixed_time_is_what_croniter_finds(text, later, second, forward):
    at = datetime(2005, 1, 1, tzinfo=UTC).replace(tzinfo=None) + later
    at = at if second is None else at.replace(hour=10, minute=0, second=second, microsecond=0)
    schedule, times = Schedule.parse(text), croniter(text, at + timedelta(seconds=-1 if forward else 1))
    found = [*islice(schedule._walls(at, forward=forward), 9)]
    assert found == [(times.get_next if forward else times.get_prev)(datetime) for _ in range(9)]


def test_only_another_schedule_needs_croniter(monkeypatch):
    monkeypatch.setitem(sys.modules, "croniter", None)
    ten = datetime(2026, 5, 4, 8, tzinfo=UTC)
    assert Schedule.parse("weekdays at 10:00").latest(None, ten, BERLIN) == ten
    with pytest.raises(ImportError):
        Schedule.parse("monthly on 4 at 10:00").latest(None, ten, BERLIN)


@cache
def plain_slots(kind, name):
    """Find slots by looking at the clock on the wall each minute."""
    zone, minutes = minutes_around(name)
    walls = [wall(at, zone) for at in minutes]
    if kind == "every 15 minutes":
        return [at for at, shown in zip(minutes, walls, strict=True) if shown.minute % 15 == 0]
    if kind == "every 2 hours":
        return [at for at, shown in zip(minutes, walls, strict=True) if shown.minute == 0 and shown.hour % 2 == 0]
    hour, minute = map(int, kind.removeprefix("daily at ").split(":"))
    found, day = [], walls[0].replace(hour=hour, minute=minute)
    while day <= max(walls):
        later = next((at for at, shown in zip(minutes, walls, strict=True) if shown >= day), None)
        if later is not None and day > walls[0]:
            found.append(later)
        day += timedelta(days=1)
    return sorted(set(found))


@given(
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from(["every 15 minutes", "every 2 hours"])
    | st.integers(0, 47).map(lambda half: f"daily at {half // 2:02}:{half % 2 * 30:02}"),
    st.integers(-1440, 1440) | st.integers(-150, 150),
    st.integers(0, 2000),
)
@settings(max_examples=400, deadline=None)
def test_slots_are_what_the_clock_on_the_wall_shows(name, kind, offset, gap):
    zone_name, change = CHANGES[name]
    schedule, zone = Schedule.parse(kind), ZoneInfo(zone_name)
    expected = plain_slots(kind, name)
    at = change + timedelta(minutes=offset)
    after = at - timedelta(minutes=gap)
    assert schedule.next(at, zone) == min(slot for slot in expected if slot > at)
    assert schedule.latest(after, at, zone) == max((slot for slot in expected if after < slot <= at), default=None)
