"""``referred``: the guest who brought a friend is found when the friend has ordered."""

from __future__ import annotations

from datetime import timedelta

from small_world import Cafe, at
from sqlalchemy import select, update

from engine.database.tables import customers

NOW = at("2026-05-04 10:00")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
RULE = "trigger:\n  referred:\n"


def friend_of(cafe: Cafe, guest: int, **values: object) -> int:
    with cafe.db.begin() as conn:
        name = conn.scalar(select(customers.c.external_id).where(customers.c.id == guest))
    return cafe.guest(referred_by=name, **values)


def test_the_friends_first_order_fires_for_seven_days(cafe: Cafe) -> None:
    guests = {age: cafe.guest() for age in (-SECOND, 0 * DAY, 7 * DAY - SECOND, 7 * DAY)}
    friends = {age: friend_of(cafe, guest) for age, guest in guests.items()}
    for age, friend in friends.items():
        cafe.order(friend, NOW - age)
    friend_of(cafe, cafe.guest())  # who never ordered
    cafe.order(cafe.guest(referred_by="nobody"), NOW)
    cafe.order(None, NOW)
    assert cafe.who(RULE, NOW) == {guests[0 * DAY], guests[7 * DAY - SECOND]}
    cafe.verdicts(RULE, NOW)
    assert {(row.occasion, row.friend_id) for row in cafe.matches} == {
        (friends[age], friends[age]) for age in (0 * DAY, 7 * DAY - SECOND)
    }


def test_each_friend_is_an_occasion_and_a_later_order_is_none(cafe: Cafe) -> None:
    guest = cafe.guest()
    first, second = friend_of(cafe, guest), friend_of(cafe, guest)
    for friend in (first, second):
        cafe.order(friend, NOW - DAY)
    cafe.verdicts(RULE, NOW)
    cafe.order(first, NOW + DAY)
    assert cafe.verdicts(RULE, NOW + DAY) == {}
    assert {row.friend_id for row in cafe.matches} == {first, second}


def test_the_third_order_and_only_orders_that_count(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), f"{RULE}    orders: 3\n"
    friend = friend_of(cafe, guest)
    orders = [cafe.order(friend, NOW - DAY) for _ in range(3)]  # three in one second
    assert cafe.who(rule, NOW) == {guest}
    cafe.refund(orders[0], NOW)
    assert cafe.who(rule, NOW) == set()
    cafe.order(friend, NOW)
    assert cafe.who(rule, NOW) == {guest}
    assert cafe.who("trigger:\n  referred: 4\n", NOW) == set()


def test_nobody_brings_oneself_or_a_guest_of_another_till(cafe: Cafe) -> None:
    alone, other = cafe.guest(), cafe.guest()
    stranger = friend_of(cafe, other)
    with cafe.db.begin() as conn:
        own = select(customers.c.external_id).where(customers.c.id == alone).scalar_subquery()
        conn.execute(update(customers).where(customers.c.id == alone).values(referred_by=own))
        conn.execute(update(customers).where(customers.c.id == stranger).values(source="till"))
    for guest in (alone, stranger):
        cafe.order(guest, NOW)
    assert cafe.who(RULE, NOW) == set()


def test_what_closed_in_a_pause_is_listed_once(cafe: Cafe) -> None:
    guest = cafe.guest()
    friend = friend_of(cafe, guest)
    assert cafe.verdicts(RULE, NOW) == {}
    cafe.order(friend, NOW + DAY)
    late = NOW + 9 * DAY
    assert cafe.verdicts(RULE, late) == {guest: ("refused", "expired")}
    assert cafe.verdicts(RULE, late + DAY) == {}
