"""Lengths of time, clock times, dates and shares: what is read, and what is said of the rest."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.times import Duration, clock, parse_clock, parse_date, parse_share

calendar_durations = st.builds(
    Duration,
    st.integers(0, 400),
    st.sampled_from(["days", "weeks", "months", "years"]),
).filter(lambda duration: duration.unit != "years" or duration.amount <= 100)
days = st.dates(date(2000, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90 days", Duration(90, "days")),
        ("1 day", Duration(1, "days")),
        ("1 days", Duration(1, "days")),
        ("2 week", Duration(2, "weeks")),
        ("3  months", Duration(3, "months")),
        (" 1 year ", Duration(1, "years")),
        ("3 hours", Duration(3, "hours")),
        ("15 minutes", Duration(15, "minutes")),
        ("0 days", Duration(0, "days")),
        ("08 hours", Duration(8, "hours")),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, duration):
    assert Duration.parse(text) == duration


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("90", "90 days"),
        ("90d", "90 days"),
        ("3 moths", "3 months"),
        ("two weeks", "2 weeks"),
        ("a year", "1 year"),
        ("3 Days", "3 days"),
        ("90天", "90 days"),
        ("3个月", "3 months"),
        ("2 wks", "2 weeks"),
        ("15min", "15 minutes"),
        ("1_day", "1 day"),
    ],
)
def test_a_near_miss_is_told_with_the_right_spelling(text, near):
    with pytest.raises(ValueError, match="is not a duration such as 90 days") as told:
        Duration.parse(text)
    assert str(told.value).endswith(f' - did you mean "{near}"?')


@pytest.mark.parametrize(
    "text", ["", "days", "-3 days", "1.5 years", "half a year", "soon", "３ days", "9999999999 days"]
)
def test_what_is_no_duration_is_told_without_a_guess(text):
    with pytest.raises(ValueError, match="is not a duration") as told:
        Duration.parse(text)
    assert "did you mean" not in str(told.value)


def test_a_century_is_the_most():
    with pytest.raises(ValueError, match="is too long: 100 years is the most"):
        Duration.parse("101 years")
    assert Duration.parse("100 years").after(date(2100, 2, 28)) == date(2200, 2, 28)


@given(
    st.builds(Duration, st.integers(0, 100), st.sampled_from(["minutes", "hours", "days", "weeks", "months", "years"]))
)
def test_a_duration_is_written_as_it_is_read(duration):
    assert Duration.parse(str(duration)) == duration


def test_a_guest_of_1_march_has_lapsed_90_days_on_30_may():
    assert Duration.parse("90 days").after(date(2026, 3, 1)) == date(2026, 5, 30)


@pytest.mark.parametrize(
    ("text", "day", "after", "before"),
    [
        ("1 month", date(2026, 1, 31), date(2026, 2, 28), date(2025, 12, 31)),
        ("1 month", date(2024, 1, 31), date(2024, 2, 29), date(2023, 12, 31)),
        ("1 month", date(2026, 3, 31), date(2026, 4, 30), date(2026, 2, 28)),
        ("1 year", date(2024, 2, 29), date(2025, 2, 28), date(2023, 2, 28)),
        ("13 months", date(2025, 12, 15), date(2027, 1, 15), date(2024, 11, 15)),
        ("2 weeks", date(2026, 12, 25), date(2027, 1, 8), date(2026, 12, 11)),
    ],
)
def test_months_keep_the_day_or_take_the_last(text, day, after, before):
    duration = Duration.parse(text)
    assert duration.after(day) == after
    assert duration.before(day) == before


def test_on_28_february_one_month_is_over_for_31_january():
    assert Duration.parse("1 month").latest(date(2026, 2, 28)) == date(2026, 1, 31)
    assert Duration.parse("1 month").latest(date(2026, 2, 27)) == date(2026, 1, 27)


@given(calendar_durations, days)
def test_latest_is_the_last_day_for_which_it_is_over(duration, today):
    latest = duration.latest(today)
    assert duration.after(latest) <= today < duration.after(latest + timedelta(days=1))


@given(calendar_durations, days)
def test_a_later_day_never_ends_earlier(duration, day):
    assert duration.after(day) <= duration.after(day + timedelta(days=1))


@given(st.builds(Duration, st.integers(0, 400), st.sampled_from(["days", "weeks"])), days)
def test_days_and_weeks_go_back_as_they_came(duration, day):
    assert duration.before(duration.after(day)) == day
    assert duration.after(day) - day == timedelta(days=duration.days())
    assert duration.latest(day) == duration.before(day)


def test_exact_and_calendar_lengths_are_not_mixed_up():
    assert Duration.parse("90 minutes").delta() == timedelta(minutes=90)
    assert Duration.parse("36 hours").delta() == timedelta(hours=36)
    assert not Duration.parse("36 hours").is_calendar
    assert Duration.parse("1 month").days() is None
    with pytest.raises(ValueError, match="1 day counts calendar days"):
        Duration.parse("1 day").delta()
    with pytest.raises(ValueError, match="3 hours counts exact time"):
        Duration.parse("3 hours").after(date(2026, 1, 1))


@given(st.integers(0, 1439))
def test_a_clock_time_is_written_as_it_is_read(minutes):
    assert parse_clock(clock(minutes)) == minutes


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("9:00", "09:00"),
        ("10am", "10:00"),
        ("9.30 pm", "21:30"),
        ("12 am", "00:00"),
        ("10：00", "10:00"),
        ("930", "09:30"),
    ],
)
def test_other_clocks_are_told_with_the_right_spelling(text, near):
    with pytest.raises(ValueError, match=f'did you mean "{near}"'):
        parse_clock(text)


@pytest.mark.parametrize("text", ["24:00", "10:60", "noon", "", "13pm", "10:00:00"])
def test_what_is_no_time_of_day_is_told(text):
    with pytest.raises(ValueError, match="is not a time of day such as 09:30"):
        parse_clock(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-02-30", "2026-02 has no day 30"),
        ("2026-02-29", "2026-02 has no day 29"),
        ("2026-13-01", "there is no month 13"),
        ("4.5.2026", "is not a date such as 2026-05-04"),
        ("2026-5-4", "is not a date such as 2026-05-04"),
        ("0026-05-04", "is no date of our time"),
        ("2026-05-00", "has no day 0"),
    ],
)
def test_days_that_no_calendar_has_are_told(text, said):
    with pytest.raises(ValueError, match=said):
        parse_date(text)


def test_a_leap_day_is_a_date():
    assert parse_date("2028-02-29") == date(2028, 2, 29)


@pytest.mark.parametrize(("text", "share"), [("10%", 1000), ("0%", 0), ("100%", 10_000), ("2.5%", 250), ("0.25 %", 25)])
def test_a_share_is_in_hundredths_of_a_percent(text, share):
    assert parse_share(text) == share


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10", 'did you mean "10%"'),
        ("10 percent", 'did you mean "10%"'),
        ("101%", "100% is the most"),
        ("a few", "is not a share"),
        ("-1%", "is not a share"),
        ("1.234%", "is not a share"),
    ],
)
def test_what_is_no_share_is_told(text, said):
    with pytest.raises(ValueError, match=said):
        parse_share(text)
