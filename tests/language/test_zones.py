"""Clocks that are set forward and back, in zones that do it at different hours, and by different amounts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.times import business_day, parse_zone, start_of
from engine.language.zones import changes, first_instant, instants, wall
from tests.language.clocks import CHANGES, MINUTE, minutes_around

around = st.sampled_from(sorted(CHANGES))
offsets = st.integers(-2 * 24 * 60, 2 * 24 * 60)
minutes_of_day = st.integers(0, 24 * 4 - 1).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))


def on_the_wall(*parts):
    return datetime(*parts)  # noqa: DTZ001


@pytest.mark.parametrize("name", [name for name in CHANGES if "never" not in name])
def test_the_change_is_found_to_the_second(name):
    zone, at = ZoneInfo(CHANGES[name][0]), CHANGES[name][1]
    assert changes(at - timedelta(days=2), at + timedelta(days=2), zone) == [at]
    assert changes(at, at + timedelta(days=2), zone) == []
    assert changes(at - timedelta(seconds=1), at, zone) == [at]


def test_a_zone_without_summer_has_no_changes():
    assert changes(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), ZoneInfo("Asia/Shanghai")) == []


def test_a_skipped_time_is_never_shown_and_a_repeated_one_twice():
    zone = ZoneInfo("America/New_York")
    assert instants(on_the_wall(2026, 3, 8, 2, 30), zone) == []
    assert first_instant(on_the_wall(2026, 3, 8, 2, 30), zone) == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert instants(on_the_wall(2026, 11, 1, 1, 30), zone) == [
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),
    ]


@given(around, offsets)
def test_the_first_instant_is_the_first_minute_that_shows_the_time_or_a_later_one(name, offset):
    zone, minutes = minutes_around(name)
    target = wall(CHANGES[name][1], zone) + MINUTE * offset
    assert first_instant(target, zone) == next(at for at in minutes if wall(at, zone) >= target)


@given(around, minutes_of_day)
def test_business_days_begin_once_and_never_go_back(name, day_starts):
    zone, minutes = minutes_around(name, 2, 2)
    days = [business_day(at, zone, day_starts) for at in minutes]
    assert days == sorted(days)
    for at, day, before in zip(minutes[1:], days[1:], days, strict=False):
        if day != before:
            assert start_of(day, zone, day_starts) == at


def test_an_order_at_half_past_one_belongs_to_the_evening_before():
    zone = ZoneInfo("America/Chicago")
    four = time(4)
    assert business_day(datetime(2026, 5, 4, 6, 30, tzinfo=UTC), zone, four) == date(2026, 5, 3)
    assert business_day(datetime(2026, 5, 4, 9, tzinfo=UTC), zone, four) == date(2026, 5, 4)
    assert start_of(date(2026, 5, 4), zone, four) == datetime(2026, 5, 4, 9, tzinfo=UTC)


def test_a_day_that_begins_in_the_skipped_hour_begins_right_after():
    zone = ZoneInfo("Europe/Berlin")
    assert start_of(date(2026, 3, 29), zone, time(2, 30)) == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Chicago", "America/Chicago"),
        ("new york", "America/New_York"),
        ("America/New York", "America/New_York"),
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
    ],
)
def test_the_nearest_zone_is_named(text, near):
    with pytest.raises(ValueError, match="is not a time zone") as told:
        parse_zone(text)
    assert str(told.value).endswith(f'did you mean "{near}"?')


@pytest.mark.parametrize("text", ["CST", "EST", "../../etc/passwd", "", "America", "/etc/localtime", "\x00"])
def test_what_is_no_zone_is_told(text):
    with pytest.raises(ValueError, match="is not a time zone"):
        parse_zone(text)


def test_zones_are_read():
    assert parse_zone("Asia/Shanghai").key == "Asia/Shanghai"
    assert parse_zone("UTC").key == "UTC"
