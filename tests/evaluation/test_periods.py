"""What fires by the calendar alone: on one date, and once in every period."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from earlier import event
from random_rules import read
from small_world import BERLIN, CHICAGO, Cafe, at

from engine.vocabulary.periods import Every

ON_DATE = "trigger:\n  on_date: 2026-12-31\n"


def test_a_date_is_open_that_day_and_the_next_for_everybody_once(cafe: Cafe) -> None:
    guest, other = cafe.guest(), cafe.guest(tagged=("vegan",))
    moments = ["2026-12-31 03:59", "2026-12-31 04:00", "2027-01-02 03:59", "2027-01-02 04:00"]
    assert [cafe.who(ON_DATE, at(moment)) for moment in moments] == [set(), {guest, other}, {guest, other}, set()]
    vegans = f"{ON_DATE}conditions:\n  tag: vegan\n"
    assert cafe.verdicts(vegans, at("2026-12-31 10:00")) == {other: ("act", None)}
    assert cafe.verdicts(vegans, at("2027-01-01 10:00")) == {}
    assert [(match.occasion, match.closes) for match in cafe.matches] == [(20261231, at("2027-01-02 04:00"))]


def test_a_date_begins_on_each_guests_own_clock(cafe: Cafe) -> None:
    here, there = cafe.guest(), cafe.guest(zone="Pacific/Auckland")
    assert cafe.who(ON_DATE, at("2026-12-31 04:00", "Pacific/Auckland")) == {there}
    assert cafe.who(ON_DATE, at("2026-12-31 04:00")) == {here, there}
    assert cafe.who(ON_DATE, at("2027-01-02 04:00", "Pacific/Auckland")) == {here}


def test_a_date_missed_in_a_pause_is_listed_once_and_one_before_the_first_run_never(cafe: Cafe) -> None:
    guest = cafe.guest()
    assert cafe.verdicts(ON_DATE, at("2026-12-01 10:00")) == {}
    assert cafe.verdicts(ON_DATE, at("2027-02-01 10:00")) == {guest: ("refused", "expired")}
    assert cafe.verdicts(ON_DATE, at("2027-02-02 10:00")) == {}
    assert cafe.verdicts(f"id: new\n{ON_DATE}", at("2027-02-02 10:00")) == {}


def test_a_date_stays_open_as_long_as_late_says(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  on_date:\n    date: 2026-12-31\n    late: 1 month\n"
    days = ["2026-12-30 12:00", "2026-12-31 12:00", "2027-01-30 12:00", "2027-01-31 12:00"]
    assert [cafe.who(rule, at(day)) == {guest} for day in days] == [False, True, True, False]


# -- every -------------------------------------------------------------------------------------------------------------


def fired(cafe: Cafe, rule: str, days: list[str]) -> list[int]:
    """Run on each of the days and give the occasions."""
    for day in days:
        cafe.verdicts(rule, at(f"{day} 12:00"))
    return [match.occasion for match in cafe.matches if match.verdict == "act"]


@pytest.mark.parametrize(
    ("settings", "days", "occasions"),
    [
        ("period: day", ["2026-05-04", "2026-05-04", "2026-05-05"], [20260504, 20260505]),
        ("period: week", ["2026-05-06", "2026-05-10", "2026-05-11"], [20260504, 20260511]),
        ("period: week\n    on: fri", ["2026-05-06", "2026-05-07", "2026-05-08"], [20260427, 20260504]),
        ("period: month", ["2026-05-04", "2026-05-31", "2026-06-01"], [20260501, 20260601]),
        ("period: month\n    on: 31", ["2026-02-27", "2026-02-28", "2026-03-30", "2026-03-31"],
         [20260101, 20260201, 20260301]),
        ("period: month\n    on: 29", ["2024-02-28", "2024-02-29", "2024-03-28"], [20240101, 20240201]),
        ("period: quarter", ["2025-12-31", "2026-01-01", "2026-03-31", "2026-04-01"], [20251001, 20260101, 20260401]),
        ("period: quarter\n    on: 15", ["2026-01-14", "2026-01-15"], [20251001, 20260101]),
        ("period: year", ["2025-12-31", "2026-01-01"], [20250101, 20260101]),
        ("period: year\n    on: 02-29", ["2024-02-28", "2024-02-29", "2025-02-27", "2025-02-28"],
         [20230101, 20240101, 20250101]),
    ],
)  # fmt: skip
def test_a_period_fires_once_and_from_its_day_on(
    cafe: Cafe, settings: str, days: list[str], occasions: list[int]
) -> None:
    cafe.guest(joined=at("2020-01-01 12:00"))
    assert fired(cafe, f"trigger:\n  every:\n    {settings}\n", days) == occasions


def test_periods_follow_one_another_without_a_gap() -> None:
    for period, days in {
        "day": [0],
        "week": range(7),
        "month": range(1, 32),
        "quarter": (1, 28, 29, 30, 31),
        "year": (101, 228, 229, 301, 1231),
    }.items():
        for on in days:
            every = Every(period, on, None)
            day, last = every._latest(date(2023, 12, 31)), date(2029, 1, 2)
            while day < last:
                following = every._next(day)
                assert [every._latest(each) for each in (day, following - timedelta(days=1))] == [day, day]
                assert every._latest(following) == following
                day = following


def test_who_joins_later_waits_for_the_next(cafe: Cafe) -> None:
    before, on, after = (cafe.guest(joined=at(f"2026-05-{day} 12:00")) for day in ("03", "04", "06"))
    unknown, rule = cafe.guest(), "trigger:\n  every: week\n"
    assert cafe.who(rule, at("2026-05-06 13:00")) == {before, unknown}
    assert cafe.who(rule, at("2026-05-11 13:00")) == {before, on, after, unknown}


@pytest.mark.parametrize("zone", [CHICAGO, BERLIN])
@pytest.mark.parametrize("sunday", ["2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25"])
def test_a_period_begins_on_time_around_a_changed_clock(cafe: Cafe, zone: str, sunday: str) -> None:
    guest = cafe.guest(zone=zone, joined=at("2020-01-01 12:00"))
    rule = "trigger:\n  every:\n    period: week\n    on: sun\n    late: 1 day\n"
    opens, closes = at(f"{sunday} 04:00", zone), at(f"{date.fromisoformat(sunday) + timedelta(days=1)} 04:00", zone)
    minute = timedelta(minutes=1)
    found = [cafe.who(rule, moment) == {guest} for moment in (opens - minute, opens, closes - minute, closes)]
    assert found == [False, True, True, False]


def test_late_ends_a_period_early_and_never_later_than_the_next(cafe: Cafe) -> None:
    cafe.guest(joined=at("2020-01-01 12:00"))
    rule = "trigger:\n  every:\n    period: month\n    on: 10\n    late: {late}\n"
    assert cafe.who(rule.format(late="3 days"), at("2026-05-12 12:00"))
    assert not cafe.who(rule.format(late="3 days"), at("2026-05-13 12:00"))
    trigger = {"every": {"period": "month", "on": 10, "late": "3 months"}}
    longer, problems = read({"id": "r", "trigger": trigger, "actions": [{"email": "hello"}]}, cafe.home.around)
    assert longer is not None
    assert [problem.code for problem in problems] == ["late-overlaps"]
    cafe.verdicts(longer, at("2026-06-09 12:00"))
    assert [match.closes for match in cafe.matches] == [at("2026-06-10 04:00")]


def test_periods_missed_in_a_pause_are_listed_once_and_the_open_one_is_sent(cafe: Cafe) -> None:
    old, new = cafe.guest(joined=at("2020-01-01 12:00")), cafe.guest(joined=at("2026-05-20 12:00"))
    rule = "trigger:\n  every: month\n"
    assert cafe.verdicts(rule, at("2026-03-05 12:00")) == {old: ("act", None)}
    cafe.verdicts(rule, at("2026-06-15 12:00"))
    assert {(match.customer_id, match.occasion, match.reason) for match in cafe.matches[1:]} == {
        (old, 20260401, "expired"),
        (old, 20260501, "expired"),
        (old, 20260601, None),
        (new, 20260601, None),
    }
    assert cafe.verdicts(rule, at("2026-06-16 12:00")) == {}


@pytest.mark.parametrize(
    ("before", "after", "edited"),
    [
        ("period: month\n    on: 1", "period: month\n    on: 3", "2026-05-05"),
        ("period: week", "period: week\n    on: wed", "2026-05-06"),
        ("period: quarter", "period: quarter\n    on: 20", "2026-04-21"),
        ("period: year", "period: year\n    on: 12-06", "2026-12-06"),
    ],
)
def test_another_day_begins_no_other_period(cafe: Cafe, before: str, after: str, edited: str) -> None:
    guest, now = cafe.guest(joined=at("2020-01-01 12:00")), at(f"{edited} 12:00")
    rule = "id: same\ntrigger:\n  every:\n    {settings}\n"
    assert cafe.verdicts(rule.format(settings=before), now - timedelta(days=1)) == {guest: ("act", None)}
    assert cafe.verdicts(rule.format(settings=after), now) == {}


@pytest.mark.parametrize("trigger", ["on_date: 2026-05-04", "every: day", "birthday:", "event: rain"])
def test_who_joins_later_is_not_there_yet(cafe: Cafe, trigger: str) -> None:
    now = at("2026-05-04 10:00")
    event(cafe, None, now, "rain")
    cafe.guest(joined=now + timedelta(days=30), birthday=504)
    there = cafe.guest(joined=now - timedelta(days=30), birthday=504)
    orders = cafe.guest(joined=now + timedelta(days=30), birthday=504)
    cafe.order(orders, now - timedelta(hours=1))
    later = {orders} if trigger != "every: day" else set()
    assert cafe.who(f"trigger:\n  {trigger}\n", now) == {there, *later}
