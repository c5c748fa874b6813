from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dates import UndecidedDateError, order_of, parse_moment


@pytest.mark.parametrize(
    ("text", "order", "moment"),
    [
        ("2026-05-03", None, "2026-05-03T00:00"),
        ("2026-05-03 10:15", None, "2026-05-03T10:15"),
        ("2026-05-03T10:15:30Z", None, "2026-05-03T10:15:30+00:00"),
        ("2026-05-03 1:33 PM", None, "2026-05-03T13:33"),
        ("2026-5-3", None, "2026-05-03T00:00"),
        ("2026/5/3 7:05", None, "2026-05-03T07:05"),
        ("7/28/26 1:33 PM", "month-first", "2026-07-28T13:33"),
        ("12/1/26 12:05 AM", "month-first", "2026-12-01T00:05"),
        ("01/10/2026 23:50", "day-first", "2026-10-01T23:50"),
        ("01/10/2026, 11:50 p.m.", "day-first", "2026-10-01T23:50"),
        ("03.04.2026", None, "2026-04-03T00:00"),
        ("3/3/26", None, "2026-03-03T00:00"),
        ("05/03/2026 10:00 +02:00", "month-first", "2026-05-03T10:00+02:00"),
        ("'2026-05-03", None, "2026-05-03T00:00"),
    ],
)
def test_dates_are_read_as_tills_print_them(text: str, order: str | None, moment: str):
    assert parse_moment(text, order) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("text", "order", "said"),
    [
        ("yesterday", None, "is not a date such as 2026-05-03"),
        ("46150", None, "is a spreadsheet's number of a day: format the column as a date"),
        ("46150.75", None, "is a spreadsheet's number of a day: format the column as a date"),
        ("", None, "is not a date"),
        ("13/13/2026", "day-first", "a day that does not exist"),
        ("2026-02-30", None, "a day that does not exist"),
        ("1/1/26 13:00 PM", "day-first", "a time of day that does not exist"),
        ("1/1/26 noon", "day-first", "is not a time"),
        ("1620000000", None, "is not a date"),
    ],
)
def test_what_is_no_date_is_refused_in_words(text: str, order: str | None, said: str):
    with pytest.raises(ValueError, match=said):
        parse_moment(text, order)


def test_a_date_with_two_meanings_is_not_guessed():
    with pytest.raises(UndecidedDateError, match="may be two dates"):
        parse_moment("3/4/26", None)


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["3/4/26", "4/5/26", "28/7/26"], "day-first"),
        (["3/4/26", "7/28/26"], "month-first"),
        (["12/12/26", "3/3/2026 13:00"], None),
        (["3.4.26"], "day-first"),
        (["25-3-2026", "3-4-2026"], "day-first"),
        (["2026-05-13", "2026/5/3", "soon"], None),
        ([], None),
    ],
)
def test_the_order_of_day_and_month_is_decided_by_the_whole_file(dates: list[str], order: str | None):
    assert order_of(dates) == order


@pytest.mark.parametrize("dates", [["3/4/26", "12/12/26"], ["2026-05-13", "3/4/26", "5/6/26"]])
def test_dates_of_which_none_decides_are_not_guessed(dates: list[str]):
    with pytest.raises(UndecidedDateError, match=r"^3/4/26$"):
        order_of(dates)


@given(
    st.integers(0, 60 * 24 * 365 * 60).map(
        lambda minutes: datetime.fromisoformat("2000-01-01") + timedelta(minutes=minutes)
    )
)
def test_a_moment_written_in_either_order_is_itself(at: datetime):
    for order, pattern in (("day-first", "%d/%m/%Y %H:%M"), ("month-first", "%m/%d/%y %I:%M %p")):
        text = at.strftime(pattern)
        assert parse_moment(text, order) == at


@given(st.text(max_size=20))
def test_any_text_is_a_moment_or_refused(text: str):
    with suppress(ValueError):
        assert parse_moment(text, "day-first").year > 0
