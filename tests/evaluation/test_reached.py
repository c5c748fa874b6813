"""``reached``: with which order or lot of points a total crosses its mark, how often, and when it is too late."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from random_rules import read
from small_world import BERLIN, CONFIG, Cafe, at, home_of

from engine.database.ledger import settle

NOW = at("2026-05-04 10:00")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def reached(**settings: object) -> str:
    return "trigger:\n  reached:\n" + "".join(f"    {word}: {value}\n" for word, value in settings.items())


def ordered(cafe: Cafe, *ages: timedelta, total: int = 1000) -> tuple[int, list[int]]:
    guest = cafe.guest()
    return guest, [cafe.order(guest, NOW - age, total) for age in ages]


def fired(cafe: Cafe) -> list[tuple[int, int | None, str]]:
    return [(row.occasion, row.order_id, row.verdict) for row in cafe.matches]


def used(cafe: Cafe, guest: int, when: datetime, number: int) -> None:
    cafe.points(guest, when, -number)
    with cafe.db.begin() as conn:
        settle(conn, [guest])


def test_the_order_with_which_the_mark_is_reached_fires_for_seven_days(cafe: Cafe) -> None:
    crossed = {age: ordered(cafe, 90 * DAY, 60 * DAY, age)[0] for age in (-SECOND, 0 * DAY, 7 * DAY - SECOND, 7 * DAY)}
    ordered(cafe, 90 * DAY, 0 * DAY)
    ordered(cafe, 90 * DAY, 60 * DAY, 30 * DAY, 0 * DAY)
    cafe.guest()
    cafe.order(None, NOW)
    assert cafe.who(reached(orders=3), NOW) == {crossed[0 * DAY], crossed[7 * DAY - SECOND]}
    assert cafe.who("trigger:\n  reached: 3\n", NOW) == cafe.who(reached(orders=3), NOW)
    assert cafe.who(reached(orders=3, late="1 day"), NOW) == {crossed[0 * DAY]}


def test_the_first_order_of_all_reaches_one(cafe: Cafe) -> None:
    guest, (order,) = ordered(cafe, 0 * DAY)
    assert cafe.verdicts(reached(orders=1), NOW) == {guest: ("act", None)}
    assert fired(cafe) == [(10**18 + 10**7, order, "act")]
    again = NOW + 30 * DAY
    cafe.order(guest, again)
    assert cafe.verdicts(reached(orders=1), again) == {}


def test_a_visit_is_a_day_and_its_first_order_fires(cafe: Cafe) -> None:
    guest, orders = ordered(cafe, 9 * DAY, 9 * DAY - SECOND, 2 * SECOND, SECOND)
    assert cafe.verdicts(reached(visits=2), NOW) == {guest: ("act", None)}
    assert fired(cafe) == [(2 * 10**18 + 2 * 10**7, orders[2], "act")]


def test_spend_is_what_was_paid_less_what_was_given_back(cafe: Cafe) -> None:
    exactly, (_, second) = ordered(cafe, 9 * DAY, DAY, total=2500)
    below, orders = ordered(cafe, 9 * DAY, DAY, total=2500)
    cafe.refund(orders[0], NOW - 8 * DAY, 1)
    assert cafe.verdicts(reached(spend=50), NOW) == {exactly: ("act", None)}
    assert fired(cafe) == [(3 * 10**18 + 5000 * 10**7, second, "act")]
    cafe.order(below, NOW, 1)
    assert cafe.verdicts(reached(spend=50), NOW) == {below: ("act", None)}


def test_an_order_given_back_leaves_the_mark_to_the_next_one_and_fires_no_second_time(cafe: Cafe) -> None:
    guest, (_, second) = ordered(cafe, 9 * DAY, DAY)
    assert cafe.verdicts(reached(orders=2), NOW) == {guest: ("act", None)}
    cafe.refund(second, NOW + DAY)
    cafe.order(guest, NOW + 2 * DAY)
    assert cafe.verdicts(reached(orders=2), NOW + 2 * DAY) == {}
    other, (_, gone) = ordered(cafe, 9 * DAY, DAY)
    cafe.refund(gone, NOW)
    assert cafe.verdicts(reached(orders=2), NOW + 3 * DAY) == {}
    cafe.order(other, NOW + 4 * DAY)
    assert cafe.verdicts(reached(orders=2), NOW + 4 * DAY) == {other: ("act", None)}


def test_each_multiple_fires_once_and_one_order_over_several_is_one(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), reached(spend=100, every="true")
    marks = []
    for day, total in enumerate((9_000, 26_000, 4_999, 1)):  # 90, 350, 399.99, 400
        cafe.order(guest, NOW + day * DAY, total)
        cafe.verdicts(rule, NOW + day * DAY)
        marks.append([row.occasion % 10**18 // 10**7 for row in cafe.matches])
    assert marks == [[], [10_000], [10_000], [10_000, 40_000]]


@pytest.mark.parametrize("mark", [{"orders": 2}, {"visits": 2}, {"spend": 20}], ids=["orders", "visits", "spend"])
def test_a_mark_that_was_reached_some_days_ago_is_found_whatever_came_since(cafe: Cafe, mark: dict[str, int]) -> None:
    guest, orders = ordered(cafe, 90 * DAY, 3 * DAY, 2 * DAY, DAY)
    assert cafe.verdicts(reached(**mark), NOW) == {guest: ("act", None)}
    assert [order for _, order, _ in fired(cafe)] == [orders[1]]


@pytest.mark.parametrize("mark", [{"orders": 3, "every": "true"}, {"orders": 2, "per": "month"}], ids=["every", "per"])
def test_of_who_came_long_before_the_next_multiple_and_this_months_mark_are_found(
    cafe: Cafe, mark: dict[str, object]
) -> None:
    guest, _ = ordered(cafe, *(age * DAY for age in (90, 80, 70, 60, 1, 0)))
    assert cafe.who(reached(**mark), NOW) == {guest}


def test_a_period_counts_from_nothing_in_the_guests_own_zone(cafe: Cafe) -> None:
    first = at("2026-05-01 04:00")  # when the day begins in Chicago; in Berlin it is 11:00
    guests = {zone: cafe.guest(zone=zone) for zone in ("America/Chicago", BERLIN)}
    for guest in guests.values():
        for when in (first - 2 * SECOND, first - SECOND, first):
            cafe.order(guest, when)
    now = first + timedelta(hours=1)
    assert cafe.who(reached(orders=3, per="month"), now) == {guests[BERLIN]}
    assert cafe.who(reached(orders=2, per="month"), now) == {*guests.values()}
    assert cafe.who(reached(orders=3, per="quarter"), now) == {guests[BERLIN], guests["America/Chicago"]}
    cafe.verdicts(reached(orders=3, per="quarter"), now)
    assert {row.occasion for row in cafe.matches} == {10**18 + 3 * 10**7 + 20262}


@pytest.mark.parametrize(("per", "periods"), [("month", [202512, 202601]), ("year", [2025, 2026])])
def test_the_same_mark_fires_again_in_the_next_period(cafe: Cafe, per: str, periods: list[int]) -> None:
    guest, rule = cafe.guest(), reached(visits=2, per=per)
    for day in ("2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03"):
        cafe.order(guest, at(f"{day} 12:00"))
        cafe.verdicts(rule, at(f"{day} 13:00"))
    assert [row.occasion % 10**7 for row in cafe.matches] == periods


def test_only_orders_of_the_kind_are_counted(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, NOW - 9 * DAY, items=(("Latte", "Coffee"),))
    cafe.order(guest, NOW, items=(("Soup", "Lunch"),))
    assert cafe.who(reached(orders=2), NOW) == {guest}
    assert cafe.who(reached(orders=2, category="Coffee"), NOW) == set()
    assert cafe.who(reached(orders=1, category="Lunch"), NOW) == {guest}


# -- points ------------------------------------------------------------------------------------------------------------


def test_the_lot_that_lifts_the_balance_to_the_mark_fires(cafe: Cafe) -> None:
    one, several, used_up, ran_out, spare = (cafe.guest() for _ in range(5))
    cafe.points(one, NOW, 100)
    for minute in range(3):
        cafe.points(several, NOW - minute * timedelta(minutes=1), 40)
    cafe.points(used_up, NOW - 2 * DAY, 60)
    used(cafe, used_up, NOW - DAY, 1)
    cafe.points(used_up, NOW, 40)
    cafe.points(ran_out, NOW - 2 * DAY, 60, expires=NOW)
    cafe.points(ran_out, NOW, 40)
    cafe.points(spare, NOW, 500, expires=NOW)
    assert cafe.who(reached(points=100), NOW) == {one, several}
    cafe.verdicts(reached(points=100), NOW)
    assert {(row.customer_id, row.occasion, row.order_id) for row in cafe.matches} == {
        (guest, 4 * 10**18 + 100 * 10**7, None) for guest in (one, several)
    }


def test_points_that_fall_and_rise_again_fire_once_in_a_period(cafe: Cafe) -> None:
    guest = cafe.guest()
    for day, points in enumerate((100, -100, 120)):
        (cafe.points if points > 0 else lambda *given: used(cafe, *given))(guest, NOW + day * DAY, abs(points))
    rule, monthly = f"id: for-good\n{reached(points=100)}", f"id: monthly\n{reached(points=100, per='month')}"
    assert cafe.verdicts(rule, NOW) == {guest: ("act", None)}
    assert cafe.verdicts(monthly, NOW) == {guest: ("act", None)}
    assert cafe.verdicts(rule, NOW + 2 * DAY) == cafe.verdicts(monthly, NOW + 2 * DAY) == {}
    june = at("2026-06-02 10:00")
    used(cafe, guest, june - DAY, 120)
    cafe.points(guest, june, 100)
    assert cafe.verdicts(rule, june) == {}
    assert cafe.verdicts(monthly, june) == {guest: ("act", None)}


def test_of_two_crossings_before_the_rule_looked_the_last_one_counts(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.points(guest, NOW - 60 * DAY, 100)
    used(cafe, guest, NOW - 50 * DAY, 90)
    assert cafe.who(reached(points=100), NOW) == set()
    cafe.points(guest, NOW - DAY, 90)
    assert cafe.who(reached(points=100), NOW) == {guest}


def test_a_balance_that_stands_above_the_mark_does_not_cross_it(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.points(guest, NOW - 60 * DAY, 100)
    cafe.points(guest, NOW, 50)
    assert cafe.who(reached(points=100), NOW) == set()
    assert cafe.who(reached(points=50, every="true"), NOW) == {guest}
    assert cafe.who(reached(points=100, per="month"), NOW) == set()


# -- pauses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", ["orders", "points"])
def test_what_was_reached_and_closed_in_a_pause_is_listed_once(cafe: Cafe, fact: str) -> None:
    rule, guest = reached(**{fact: 1}), cafe.guest()
    assert cafe.verdicts(rule, NOW) == {}
    cafe.order(guest, NOW + DAY)
    cafe.points(guest, NOW + DAY, 1)
    late = NOW + 9 * DAY
    assert cafe.verdicts(rule, late) == {guest: ("refused", "expired")}
    assert cafe.verdicts(rule, late + DAY) == {}


@pytest.mark.parametrize(
    "step", [{"points": {"add": 1, "per": "order"}}, {"webhook": {"to": "app", "values": ["order.total"]}}]
)
def test_a_balance_is_reached_with_no_order_that_could_be_counted_or_told(step: dict[str, object]) -> None:
    home = home_of(f"{CONFIG}webhooks:\n  app:\n    connector: file\n")
    actions = [{"email": "hello"}, step]
    for trigger, said in (({"points": 100}, ["no-order"]), ({"orders": 10}, [])):
        problems = read({"id": "r", "trigger": {"reached": trigger}, "actions": actions}, home.around)[1]
        assert [problem.code for problem in problems] == said


def test_what_expires_is_told_only_where_it_does() -> None:
    home = home_of(f"{CONFIG}webhooks:\n  app:\n    connector: file\n")
    actions = [{"webhook": {"to": "app", "values": ["expiring.total"]}}]
    for trigger, said in (({"birthday": None}, ["no-expiring"]), ({"expiring": "points"}, [])):
        problems = read({"id": "r", "trigger": trigger, "actions": actions}, home.around)[1]
        assert [problem.code for problem in problems] == said
