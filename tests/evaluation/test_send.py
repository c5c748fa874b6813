"""``send``: when the messages of a rule go out, on each guest's own clock, and when they are too late."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from small_world import BERLIN, CHICAGO, Cafe, at

BIRTHDAY = "trigger:\n  birthday:\n"
NOW = at("2026-05-04 10:00")  # a Monday


def due(cafe: Cafe, send: str, now: datetime = NOW, trigger: str = BIRTHDAY) -> list[tuple[str, datetime]]:
    body = "".join(f"  {line}\n" for line in send.splitlines())
    cafe.verdicts(f"{trigger}send:\n{body}", now)
    return [(row.state, row.due_at) for row in cafe.dispatches]


def test_between_is_on_the_guests_own_clock(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    cafe.guest(birthday=504, zone=BERLIN)
    cafe.guest(birthday=504, zone="Pacific/Honolulu")
    found = due(cafe, "between: 11:00-12:00")
    assert found == [
        ("held", at("2026-05-04 11:00")),
        ("held", at("2026-05-05 11:00", BERLIN)),
        ("held", at("2026-05-04 11:00", "Pacific/Honolulu")),
    ]


@pytest.mark.parametrize(
    ("now", "goes"),
    [
        ("2026-05-04 10:59", "2026-05-04 11:00"),
        ("2026-05-04 11:00", "2026-05-04 11:00"),
        ("2026-05-04 11:59", "2026-05-04 11:59"),
        ("2026-05-04 12:00", "2026-05-05 11:00"),
    ],
)
def test_the_end_of_a_window_does_not_belong_to_it(cafe: Cafe, now: str, goes: str) -> None:
    cafe.guest(birthday=504)
    assert due(cafe, "between: 11:00-12:00", at(now)) == [("held", at(goes))]


def test_on_waits_for_its_weekday_and_expires_with_the_occasion(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    assert due(cafe, "on: [tue]") == [("held", at("2026-05-05 08:00"))]
    (row,) = cafe.dispatches
    assert row.expires_at == at("2026-05-06 04:00")


def test_a_weekday_after_the_occasion_is_too_late_unless_late_lets_it_wait(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    assert [state for state, _ in due(cafe, "on: [fri]")] == ["expired"]
    later = "id: later\ntrigger:\n  birthday:\n    late: 5 days\n"
    assert due(cafe, "on: [fri]", trigger=later)[1:] == [("held", at("2026-05-08 08:00"))]


@pytest.mark.parametrize(
    ("zone", "now", "window", "goes"),
    [
        (CHICAGO, "2026-03-07 12:00", "08:00-09:00", "2026-03-08 08:00"),
        (CHICAGO, "2026-10-31 12:00", "08:00-09:00", "2026-11-01 08:00"),
        (BERLIN, "2026-03-28 12:00", "08:00-09:00", "2026-03-29 08:00"),
        (BERLIN, "2026-10-24 12:00", "08:00-09:00", "2026-10-25 08:00"),
    ],
)
def test_a_window_keeps_its_hour_over_a_changed_clock(cafe: Cafe, zone: str, now: str, window: str, goes: str) -> None:
    moment = datetime.fromisoformat(now)
    cafe.guest(birthday=moment.month * 100 + moment.day, zone=zone)
    assert due(cafe, f"between: {window}", at(now, zone)) == [("held", at(goes, zone))]


def test_within_counts_from_when_it_is_due(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    due(cafe, "between: 12:00-13:00\nwithin: 3 hours")
    assert [row.expires_at for row in cafe.dispatches] == [at("2026-05-04 15:00")]
    due(cafe, "within: 1 day", trigger="id: days\ntrigger:\n  birthday:\n    late: 1 week\n")
    assert [row.expires_at for row in cafe.dispatches][1:] == [at("2026-05-05 10:00")]


def test_within_never_outlasts_the_occasion(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    due(cafe, "within: 1 week")
    assert [row.expires_at for row in cafe.dispatches] == [at("2026-05-06 04:00")]


def test_a_spread_ends_with_the_hours_and_begins_the_time_within_anew(cafe: Cafe) -> None:
    for _ in range(30):
        cafe.guest(birthday=504)
    found = due(cafe, "between: 11:00-11:30\nspread: 2 hours\nwithin: 1 hour")
    assert all(timedelta(0) <= goes - at("2026-05-04 11:00") < timedelta(minutes=30) for _, goes in found)
    assert len({goes for _, goes in found}) > 20
    assert all(row.expires_at - row.due_at >= timedelta(hours=1) for row in cafe.dispatches)


def test_a_festival_keeps_its_hours_too(cafe: Cafe) -> None:
    cafe.guest()
    cafe.guest(zone=BERLIN)
    festival = "trigger:\n  festival:\n    name: halloween\n    late: 1 day\n"
    found = due(cafe, "between: 09:00-10:00", at("2026-10-31 08:00"), festival)
    assert found[0] == ("held", at("2026-10-31 09:00"))
    assert found[1][0] == "expired"  # in Berlin it is 14:00, and at nine the next day it is over
