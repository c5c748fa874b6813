"""``event``: whom an event is for, which events are meant, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from random_rules import read
from small_world import BERLIN, Cafe, at

from engine.intake.events import record_event

NOW = at("2026-05-04 10:00")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
NUMBERS = count(1)
TASTING = "trigger:\n  event: tasting\n"


def happen(
    cafe: Cafe, name: str, when: datetime, guest: int | None = None, store: int | None = None, **data: str
) -> None:
    with cafe.db.begin() as conn:
        record_event(
            conn, f"e{next(NUMBERS)}", name=name, customer_id=guest, store_id=store, at=when, data=data
        )  # fmt: skip


def event(**settings: Any) -> str:
    return "trigger:\n  event:\n" + "".join(f"    {word}: {value}\n" for word, value in settings.items())


def test_an_event_of_the_guest_fires_for_three_days_whatever_its_capitals(cafe: Cafe) -> None:
    guests = {age: cafe.guest() for age in (-SECOND, 0 * DAY, 3 * DAY - SECOND, 3 * DAY)}
    for age, guest in guests.items():
        happen(cafe, " TASTING ", NOW - age, guest)
    happen(cafe, "tastings", NOW, cafe.guest())
    cafe.guest()
    assert cafe.who(TASTING, NOW) == {guests[0 * DAY], guests[3 * DAY - SECOND]}
    assert cafe.who(event(name="tasting", late="1 day"), NOW) == {guests[0 * DAY]}


def test_without_a_guest_it_is_for_all_of_the_store_and_without_a_store_for_all(cafe: Cafe) -> None:
    here, there = cafe.store("Here"), cafe.store("There")
    at_here, at_there, nowhere = cafe.guest(store_id=here), cafe.guest(store_id=there), cafe.guest()
    happen(cafe, "rain", NOW, store=here)
    happen(cafe, "snow", NOW)
    happen(cafe, "hail", NOW, guest=nowhere, store=here)
    assert cafe.who(event(name="rain"), NOW) == {at_here}
    assert cafe.who(event(name="snow"), NOW) == {at_here, at_there, nowhere}
    assert cafe.who(event(name="hail"), NOW) == {nowhere}
    assert cafe.who(event(name="[rain, hail]"), NOW) == {at_here, nowhere}
    cafe.verdicts(event(name="rain"), NOW)
    (match,) = cafe.matches
    assert (match.store_id, match.event_id) == (here, match.occasion)


def test_each_event_is_an_occasion_for_each_guest_and_once(cafe: Cafe) -> None:
    guests = {cafe.guest(), cafe.guest()}
    for _ in range(2):
        happen(cafe, "rain", NOW)
    cafe.verdicts(event(name="rain"), NOW)
    assert len(cafe.matches) == 4
    assert {row.customer_id for row in cafe.matches} == guests
    assert cafe.verdicts(event(name="rain"), NOW + DAY) == {}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("drink: espresso", {"a"}),
        ("drink: [Espresso, latte]", {"a", "b"}),
        ("drink:\n          is_not: espresso", {"b", "c"}),
        ("cups: 2", {"a"}),
        ("cups:\n          at_least: 2", {"a", "b"}),
        ("cups:\n          less_than: 2.5", {"a"}),
        ("cups:\n          between: [2, 11]", {"a", "b"}),
        ("cups:\n          more_than: 0\n        drink: lat*", {"b"}),
        ("code: 7", set()),
        ('code: "007"', {"a"}),
        ("code:\n          at_least: 7", set()),
        ("nothing: here", set()),
    ],
)
def test_what_is_known_of_an_event_is_compared_as_text_or_number(cafe: Cafe, where: str, found: set[str]) -> None:
    guests = {name: cafe.guest() for name in "abc"}
    happen(cafe, "tasting", NOW, guests["a"], drink="Espresso", cups="2", code="007")
    happen(cafe, "tasting", NOW, guests["b"], drink="Latte", cups="10.50")
    happen(cafe, "tasting", NOW, guests["c"], cups="several")
    rule = f"trigger:\n  event:\n    name: tasting\n    where:\n        {where}\n"
    assert cafe.who(rule, NOW) == {guests[name] for name in found}


def test_days_ago_are_the_guests_own_and_hours_exact(cafe: Cafe) -> None:
    night = at("2026-05-02 22:00")  # the 3rd of May, 05:00 in Berlin
    here, there = cafe.guest(), cafe.guest(zone=BERLIN)
    for guest in (here, there):
        happen(cafe, "tasting", night, guest)
    daily = event(name="tasting", ago="2 days", late="1 day")
    assert cafe.who(daily, at("2026-05-04 04:00") - SECOND) == set()
    assert cafe.who(daily, at("2026-05-04 10:00")) == {here}
    assert cafe.who(daily, at("2026-05-05 03:00")) == {here, there}
    assert cafe.who(daily, at("2026-05-05 04:00")) == {there}
    hourly = event(name="tasting", ago="3 hours", late="1 hour")
    assert cafe.who(hourly, night + timedelta(hours=3) - SECOND) == set()
    assert cafe.who(hourly, night + timedelta(hours=3)) == {here, there}
    assert cafe.who(hourly, night + timedelta(hours=4)) == set()


@pytest.mark.parametrize("rule", [TASTING, event(name="tasting", ago="1 day")])
def test_what_happened_and_closed_in_a_pause_is_listed_once(cafe: Cafe, rule: str) -> None:
    guest = cafe.guest()
    assert cafe.verdicts(rule, NOW) == {}
    happen(cafe, "tasting", NOW + DAY, guest)
    late = NOW + 9 * DAY
    assert cafe.verdicts(rule, late) == {guest: ("refused", "expired")}
    assert cafe.verdicts(rule, late + DAY) == {}


@pytest.mark.parametrize("late", ["90 minutes", "6 hours", "2 days", "1 week", "1 month", "1 year"])
@pytest.mark.parametrize("ago", ["0 minutes", "30 minutes", "5 hours", "0 days", "1 day", "1 month"])
@pytest.mark.parametrize("word", ["event", "ordered"])
def test_whatever_is_taken_can_be_evaluated(cafe: Cafe, word: str, ago: str, late: str) -> None:
    settings = {"ago": ago, "late": late, **({"name": "rain"} if word == "event" else {})}
    rule, problems = read({"id": "r", "trigger": {word: settings}, "actions": [{"email": "hello"}]}, cafe.home.around)
    days = ago.endswith(("days", "day", "month"))
    right = late.endswith(("days", "week", *(("month", "year") if days else ("minutes", "hours"))))
    assert (rule is not None) == right, problems
    if rule is not None:
        assert [each.problems for each in cafe.run(rule, now=NOW).rules] == [()]
