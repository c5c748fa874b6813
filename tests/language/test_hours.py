"""When messages may go out: compared, minute by minute, with a plain reading of the same words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine.language.times import DAYS, ClockRange, Hours, clock, is_open, next_slot, parse_weekdays, windows_meet
from engine.language.zones import wall
from tests.language.clocks import CHANGES

EMAIL = Hours.parse("08:00-21:00")
SMS = Hours.parse({"weekdays": "10:00-18:00", "sat": "10:00-17:00", "sun": "12:00-17:00"})
CHICAGO = ZoneInfo("America/Chicago")
MONDAY = datetime(2026, 5, 4)  # noqa: DTZ001 - a clock on a wall
ALL_DAY = ClockRange(0, 24 * 60)

quarters = st.integers(0, 95).map(lambda number: number * 15)
ranges = (
    st.tuples(quarters, quarters.map(lambda end: end or 24 * 60))
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: ClockRange(*pair))
)
weeks = st.lists(st.none() | ranges, min_size=7, max_size=7).filter(any).map(lambda week: Hours(tuple(week)))
weekdays = st.frozensets(st.integers(0, 6), min_size=1)


def plainly_open(local, week):
    """Read the words again: a range that starts today, or one of yesterday that passes midnight."""
    minute = local.hour * 60 + local.minute
    today, yesterday = week[local.weekday()], week[(local.weekday() - 1) % 7]
    if today and today.start < today.end and today.start <= minute < today.end:
        return True
    if today and today.end < today.start <= minute:
        return True
    return bool(yesterday and yesterday.end < yesterday.start and minute < yesterday.end)


def window(between, on):
    return tuple((between or ALL_DAY) if on is None or day in on else None for day in range(7))


@pytest.mark.parametrize("text", ["08:00-21:00", "00:00-24:00", "22:00-02:00", "22:00-24:00"])
def test_a_range_is_written_as_it_is_read(text):
    assert str(ClockRange.parse(text)) == text


def test_midnight_as_an_end_is_the_end_of_the_day():
    assert ClockRange.parse("20:00-00:00") == ClockRange.parse("20:00-24:00")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8-21", 'did you mean "08:00"'),
        ("08:00 - 21:00", 'did you mean "08:00-21:00"'),
        ("08:00–21:00", 'did you mean "08:00-21:00"'),
        ("08:00 to 21:00", 'did you mean "08:00-21:00"'),
        ("08:00", "is not a range of hours such as 08:00-21:00"),
        ("08:00-08:00", "the whole day is 00:00-24:00"),
        ("24:00-08:00", "is not a time of day"),
        ("08:00-12:00-14:00", "is not a range of hours"),
        ("", "is not a range of hours"),
    ],
)
def test_what_is_no_range_is_told(text, said):
    with pytest.raises(ValueError, match=said):
        ClockRange.parse(text)


def test_a_single_day_goes_before_its_group_and_the_unnamed_are_closed():
    hours = Hours.parse({"weekdays": "10:00-18:00", "wed": "closed", "fri": "10:00-22:00"})
    assert [str(day) if day else None for day in hours.week] == [
        "10:00-18:00", "10:00-18:00", None, "10:00-18:00", "10:00-22:00", None, None,
    ]  # fmt: skip
    assert str(hours) == "mon 10:00-18:00, tue 10:00-18:00, thu 10:00-18:00, fri 10:00-22:00"
    assert str(EMAIL) == "08:00-21:00"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"weekday": "10:00-18:00"}, 'did you mean "weekdays"'),
        ({"Monday": "10:00-18:00"}, '"Monday" is no day; .* did you mean "mon"'),
        ({"mon": "closed"}, "no day of the week is open"),
        ({}, "no day of the week is open"),
        ({"mon": "10-18"}, "is not a time of day"),
    ],
)
def test_what_are_no_hours_is_told(setting, said):
    with pytest.raises(ValueError, match=said):
        Hours.parse(setting)


def test_weekdays_are_read_and_the_nearest_named():
    assert parse_weekdays(["tue", "weekend"]) == {1, 5, 6}
    assert parse_weekdays(DAYS) == set(range(7))
    with pytest.raises(ValueError, match=r'"tuesday" is no day; .* did you mean "tue"'):
        parse_weekdays(["mon", "tuesday"])


@given(ranges, st.integers(0, 1439))
def test_a_range_holds_its_start_and_not_its_end(opened, minute):
    assert opened.holds(opened.start)
    assert opened == ALL_DAY or not opened.holds(opened.end % 1440)
    assert opened.holds(minute) == plainly_open(MONDAY + timedelta(minutes=minute), (opened,) * 7)


@given(weeks, st.integers(0, 7 * 1440 - 1))
def test_hours_are_open_when_the_words_say_so(hours, minute):
    local = MONDAY + timedelta(minutes=minute)
    assert hours.open_at(local) == plainly_open(local, hours.week)


@given(weeks, st.none() | ranges, st.none() | weekdays)
@settings(max_examples=40)
def test_windows_meet_when_some_minute_of_a_week_is_in_both(hours, between, on):
    minutes = (MONDAY + timedelta(minutes=number) for number in range(7 * 1440))
    meets = any(plainly_open(at, hours.week) and plainly_open(at, window(between, on)) for at in minutes)
    assert windows_meet(hours, between, on) == meets


@pytest.mark.parametrize(
    ("at", "hours", "between", "on", "slot"),
    [
        # Monday 4 May 2026, Chicago is five hours behind UTC.
        ((4, 15, 0), EMAIL, None, None, (4, 15, 0)),  # 10:00: at once
        ((4, 12, 59), EMAIL, None, None, (4, 13, 0)),  # 07:59: at eight
        ((5, 2, 0), EMAIL, None, None, (5, 13, 0)),  # 21:00 is shut: tomorrow at eight
        ((4, 15, 0), EMAIL, "18:00-19:00", None, (4, 23, 0)),
        ((4, 15, 0), EMAIL, None, "wed", (6, 13, 0)),
        ((4, 15, 0), EMAIL, "10:00-12:00", "mon", (4, 15, 0)),
        ((4, 17, 0), EMAIL, "10:00-12:00", "mon", (11, 15, 0)),  # a week later
        ((9, 22, 0), SMS, None, None, (10, 17, 0)),  # Saturday 17:00 is shut: Sunday at noon
        ((10, 22, 0), SMS, None, None, (11, 15, 0)),
        ((4, 15, 0), EMAIL, "20:00-02:00", "fri", (9, 1, 0)),  # 20:00 on Friday
        ((9, 1, 59), EMAIL, "20:00-02:00", "fri", (9, 1, 59)),
        ((9, 2, 0), EMAIL, "20:00-02:00", "fri", (16, 1, 0)),
    ],
)
def test_the_next_slot_is_the_first_moment_inside_all(at, hours, between, on, slot):
    found = next_slot(
        datetime(2026, 5, *at, tzinfo=UTC),
        CHICAGO,
        hours,
        ClockRange.parse(between) if between else None,
        parse_weekdays([on]) if on else None,
    )
    assert found == datetime(2026, 5, *slot, tzinfo=UTC)


def test_hours_that_lie_in_the_skipped_hour_wait_a_week():
    hours = Hours.parse({"sun": "02:15-02:45"})
    saturday = datetime(2026, 3, 7, 12, tzinfo=UTC)
    assert next_slot(saturday, ZoneInfo("America/New_York"), hours) == datetime(2026, 3, 15, 6, 15, tzinfo=UTC)


def test_a_range_that_begins_in_the_skipped_hour_begins_right_after():
    hours = Hours.parse("02:15-12:00")
    night = datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert next_slot(night, ZoneInfo("America/New_York"), hours) == datetime(2026, 3, 8, 7, tzinfo=UTC)


def test_a_range_in_the_repeated_hour_opens_again():
    hours = Hours.parse({"sun": "01:00-01:30"})
    between_the_two = datetime(2026, 11, 1, 5, 45, tzinfo=UTC)
    assert next_slot(between_the_two, ZoneInfo("America/New_York"), hours) == datetime(2026, 11, 1, 6, tzinfo=UTC)


def test_windows_that_never_meet_are_an_error():
    with pytest.raises(ValueError, match="never meet"):
        next_slot(datetime(2026, 5, 4, tzinfo=UTC), CHICAGO, EMAIL, ClockRange.parse("22:00-23:00"))
    assert not windows_meet(EMAIL, ClockRange.parse("22:00-23:00"))


def test_a_slot_is_exact_to_the_second():
    at = datetime(2026, 5, 4, 15, 0, 30, 5, tzinfo=UTC)
    assert next_slot(at, CHICAGO, EMAIL) == at
    assert next_slot(at.astimezone(CHICAGO), CHICAGO, EMAIL).tzinfo is UTC


@given(
    st.sampled_from(sorted(CHANGES)),
    st.integers(-3 * 1440, 2 * 1440),
    weeks,
    st.none() | ranges,
    st.none() | weekdays,
)
@example("Apia without 30 December 2011", -600, Hours.parse({"fri": "10:00-12:00"}), None, None)
@settings(max_examples=120, deadline=None)
def test_the_next_slot_is_the_first_open_minute_whatever_the_clock_does(name, offset, hours, between, on):
    zone_name, change = CHANGES[name]
    zone = ZoneInfo(zone_name)
    at = change + timedelta(minutes=offset)
    assume(windows_meet(hours, between, on))
    shut = window(between, on)
    for number in range(15 * 1440):
        moment = at + timedelta(minutes=number)
        local = wall(moment, zone)
        if plainly_open(local, hours.week) and plainly_open(local, shut):
            assert next_slot(at, zone, hours, between, on) == moment
            assert is_open(moment, zone, hours, between, on)
            return
        if number == 0:
            assert not is_open(moment, zone, hours, between, on)


def test_clock_writes_the_end_of_the_day():
    assert clock(24 * 60) == "24:00"
