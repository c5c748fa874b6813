"""``expiring``: what runs out soon is one match, re-asked while its journey is under way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from small_world import BERLIN, Cafe, at, rule_of
from sqlalchemy import insert, update

from engine.database.facts import rebuild
from engine.database.ledger import settle
from engine.database.months import month_of
from engine.database.tables import coupons, dispatches
from engine.evaluation.expiring import what_expires
from engine.evaluation.stop import why_stopped

NOW = at("2026-05-04 10:00")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
POINTS = "trigger:\n  expiring: points\n"
COUPON = "trigger:\n  expiring: coupon\n"


def ends(day: str) -> datetime:
    """The end of a business day in Chicago: what runs out then is good for the whole of it."""
    return at(f"{day} 04:00") + DAY


def lot(cafe: Cafe, guest: int, number: int, expires: datetime | None) -> int:
    return cafe.points(guest, NOW - 90 * DAY, number, expires)


def use(cafe: Cafe, guest: int, when: datetime, number: int) -> None:
    cafe.points(guest, when, -number)
    with cafe.db.begin() as conn:
        settle(conn, [guest])


def coupon(cafe: Cafe, guest: int, until: datetime | None, *, offer: str = "treat", **values: Any) -> int:
    """A coupon that was issued by some rule."""
    source = cafe.rating(guest, NOW - 80 * DAY, 5)
    cafe.verdicts(f"id: source{source}\ntrigger:\n  rated:\n    within: 200 days\n", NOW - 70 * DAY)
    issued = _step_of(cafe, guest)
    with cafe.db.begin() as conn:
        step = conn.execute(insert(dispatches).values(issued)).inserted_primary_key[0]
        row = {"code": f"CODE{step}", "issued_at": NOW - 60 * DAY, "terms": {"name": "A treat"}, **values}
        made = conn.execute(
            insert(coupons).values(dispatch_id=step, customer_id=guest, offer=offer, valid_until=until, **row)
        )
        return int(made.inserted_primary_key[0])


def _step_of(cafe: Cafe, guest: int) -> dict[str, Any]:
    match = next(row for row in cafe.matches if row.customer_id == guest)
    taken = [row.step for row in cafe.dispatches if row.match_id == match.id]
    return {
        "month": month_of(match.matched_at), "match_id": match.id, "step": max(taken, default=0) + 1,
        "rule_id": match.rule_id, "customer_id": guest, "channel": "coupon", "purpose": "marketing", "state": "sent", "due_at": NOW, "expires_at": NOW,
    }  # fmt: skip


def spoken_of(cafe: Cafe, rule: str, guest: int, *, matched: datetime, now: datetime) -> tuple[str | None, Any]:
    """Why the journey stops, and what a template would read."""
    with cafe.db.begin() as conn:
        rebuild(conn, now)
        asked: dict[str, Any] = {"customer_id": guest, "matched_at": matched, "as_of": now}
        made = rule_of(rule, cafe.home)
        return why_stopped(conn, cafe.home, made, **asked), what_expires(conn, cafe.home, made, **asked)


# -- who ---------------------------------------------------------------------------------------------------------------


def test_points_are_found_from_seven_days_before_their_last_day_until_they_run_out(cafe: Cafe) -> None:
    guests = {day: cafe.guest() for day in ("2026-05-03", "2026-05-04", "2026-05-11", "2026-05-12")}
    for day, guest in guests.items():
        lot(cafe, guest, 10, ends(day))
    lot(cafe, cafe.guest(), 10, None)
    cafe.guest()
    assert cafe.who(POINTS, NOW) == {guests["2026-05-04"], guests["2026-05-11"]}
    last = ends("2026-05-04")
    assert guests["2026-05-04"] in cafe.who(POINTS, last - SECOND)
    assert guests["2026-05-04"] not in cafe.who(POINTS, last)


def test_the_last_day_is_that_of_the_guests_own_zone(cafe: Cafe) -> None:
    here, there = cafe.guest(), cafe.guest(zone=BERLIN)
    for guest in (here, there):
        lot(cafe, guest, 10, ends("2026-05-11"))  # in Berlin that is the 12th
    assert cafe.who(POINTS, NOW) == {here}
    assert cafe.who(POINTS, NOW + DAY) == {here, there}


def test_hours_count_exactly(cafe: Cafe) -> None:
    inside, beyond = cafe.guest(), cafe.guest()
    lot(cafe, inside, 10, NOW + timedelta(hours=3))
    lot(cafe, beyond, 10, NOW + timedelta(hours=3) + SECOND)
    assert cafe.who("trigger:\n  expiring:\n    what: points\n    within: 3 hours\n", NOW) == {inside}


def test_only_what_is_left_counts_and_lots_are_added_up(cafe: Cafe) -> None:
    rule = f"{POINTS[:-8]}\n    what: points\n    at_least: 50\n"
    enough, used_up, too_few, later = (cafe.guest() for _ in range(4))
    for guest in (enough, used_up):
        lot(cafe, guest, 30, ends("2026-05-06"))
        lot(cafe, guest, 20, ends("2026-05-08"))
    use(cafe, used_up, NOW, 1)
    lot(cafe, too_few, 49, ends("2026-05-06"))
    lot(cafe, later, 49, ends("2026-05-06"))
    lot(cafe, later, 1, ends("2026-06-06"))
    assert cafe.who(rule, NOW) == {enough}
    assert cafe.who(rule, NOW - DAY) == {enough, used_up}


def test_several_at_once_are_one_match_about_the_first_that_closes_with_it(cafe: Cafe) -> None:
    guest = cafe.guest()
    lot(cafe, guest, 5, ends("2026-05-09"))
    first = lot(cafe, guest, 5, ends("2026-05-06"))
    lot(cafe, guest, 5, ends("2026-05-06"))
    cafe.verdicts(POINTS, NOW)
    (match,) = cafe.matches
    assert (match.occasion, match.closes) == (first, ends("2026-05-06"))
    assert cafe.verdicts(POINTS, NOW + DAY) == {}
    # What was told of is not told again when the first is gone; what comes after that time is.
    assert cafe.verdicts(POINTS, ends("2026-05-06")) == {guest: ("refused", "again_too_soon")}
    lot(cafe, guest, 5, ends("2026-05-18"))
    assert cafe.verdicts(POINTS, NOW + 7 * DAY) == {guest: ("act", None)}


def test_coupons_are_found_unless_redeemed_taken_back_or_not_yet_drawn(cafe: Cafe) -> None:
    until = ends("2026-05-06")
    held, redeemed, taken_back, undrawn, endless, other = (cafe.guest() for _ in range(6))
    number = coupon(cafe, held, until)
    coupon(cafe, redeemed, until, redeemed_at=NOW)
    coupon(cafe, taken_back, until, revoked_at=NOW)
    coupon(cafe, undrawn, until, code=None)
    coupon(cafe, endless, None)
    coupon(cafe, other, until, offer="cake")
    assert cafe.who(COUPON, NOW) == {held, other}
    assert cafe.who("trigger:\n  expiring:\n    what: coupon\n    offer: treat\n", NOW) == {held}
    assert redeemed in cafe.who(COUPON, NOW - SECOND)
    cafe.verdicts(COUPON, NOW)
    assert number in {row.occasion for row in cafe.matches}


# -- what is left ------------------------------------------------------------------------------------------------------


def test_a_template_has_the_list_and_the_sum_of_what_is_left(cafe: Cafe) -> None:
    guest = cafe.guest()
    lot(cafe, guest, 30, ends("2026-05-08"))
    lot(cafe, guest, 10, ends("2026-05-06"))
    lot(cafe, guest, 99, ends("2026-05-12"))
    nothing = {"name": None, "code": None, "qr": None}
    reason, left = spoken_of(cafe, POINTS, guest, matched=NOW, now=NOW)
    assert reason is None
    assert (left["what"], left["total"], left["day"]) == ("points", 40, "2026-05-06")
    assert left["items"] == [
        nothing | {"amount": 10, "day": "2026-05-06"},
        nothing | {"amount": 30, "day": "2026-05-08"},
    ]
    use(cafe, guest, NOW + DAY, 15)
    _, left = spoken_of(cafe, POINTS, guest, matched=NOW, now=NOW + DAY)
    assert (left["total"], left["day"], len(left["items"])) == (25, "2026-05-08", 1)


def test_a_coupon_in_the_list_has_its_name_and_code(cafe: Cafe) -> None:
    guest = cafe.guest()
    coupon(cafe, guest, ends("2026-05-06"), code="K7QM2XRT9BWNH")
    reason, left = spoken_of(cafe, COUPON, guest, matched=NOW, now=NOW)
    code = "K7QM-2XRT-9BWN-H"
    assert reason is None
    assert left["items"] == [{"name": "A treat", "amount": 1, "day": "2026-05-06", "code": code, "qr": code}]


@pytest.mark.parametrize(("used", "reason"), [(9, None), (10, None), (11, "used"), (40, "used")])
def test_a_journey_ends_when_too_little_is_left(cafe: Cafe, used: int, reason: str | None) -> None:
    guest = cafe.guest()
    lot(cafe, guest, 40, ends("2026-05-08"))
    lot(cafe, guest, 500, ends("2026-07-08"))
    use(cafe, guest, NOW + DAY, used)
    rule = "trigger:\n  expiring:\n    what: points\n    at_least: 30\n"
    assert spoken_of(cafe, rule, guest, matched=NOW, now=NOW)[0] is None
    assert spoken_of(cafe, rule, guest, matched=NOW, now=NOW + DAY)[0] == reason


def test_a_journey_ends_when_the_coupon_is_redeemed(cafe: Cafe) -> None:
    guest = cafe.guest()
    number = coupon(cafe, guest, ends("2026-05-08"))
    with cafe.db.begin() as conn:
        conn.execute(update(coupons).where(coupons.c.id == number).values(redeemed_at=NOW + DAY))
    assert spoken_of(cafe, COUPON, guest, matched=NOW, now=NOW)[0] is None
    assert spoken_of(cafe, COUPON, guest, matched=NOW, now=NOW + DAY)[0] == "used"


def test_a_rule_of_another_trigger_has_nothing_that_expires(cafe: Cafe) -> None:
    guest = cafe.guest()
    assert spoken_of(cafe, "trigger:\n  birthday:\n", guest, matched=NOW, now=NOW) == (None, None)


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_what_came_near_and_ran_out_in_a_pause_is_listed_once(cafe: Cafe) -> None:
    near, unseen, open_still, used_up = (cafe.guest() for _ in range(4))
    lot(cafe, near, 10, ends("2026-05-11"))  # open before the pause
    for day in ("2026-05-12", "2026-05-13"):
        lot(cafe, unseen, 10, ends(day))
        lot(cafe, used_up, 10, ends(day))
    lot(cafe, open_still, 10, ends("2026-05-20"))
    assert cafe.verdicts(POINTS, NOW) == {near: ("act", None)}
    use(cafe, used_up, NOW + 2 * DAY, 20)
    after = at("2026-05-15 10:00")
    assert cafe.verdicts(POINTS, after) == {unseen: ("refused", "expired"), open_still: ("act", None)}
    assert cafe.verdicts(POINTS, after + DAY) == {}
