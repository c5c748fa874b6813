"""``enters``: in the segment now, and not when the rule was checked last."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import CONFIG, Cafe, at, home_of
from sqlalchemy import insert

from engine.database.tables import tags
from engine.language.loyalty import Level, Loyalty, Tiers
from engine.language.times import Duration

NOW = at("2026-05-04 10:00")
DAY = timedelta(days=1)
ACT = ("act", None)
SEGMENTS = """
regulars:
  conditions:
    visits:
      within: 30 days
      at_least: 2
quiet:
  conditions:
    days_since_order:
      at_least: 10
vips:
  conditions:
    any:
      - tag: vip
      - segment: regulars
savers:
  conditions:
    points:
      at_least: 100
golds:
  conditions:
    tier: gold
newcomers:
  conditions:
    orders:
      at_most: 1
"""


@pytest.fixture
def cafe(cafe: Cafe) -> Cafe:
    cafe.home = home_of(CONFIG, SEGMENTS)
    return cafe


def enters(segment: str, *more: str) -> str:
    return f"id: {segment}\ntrigger:\n  enters:\n    segment: {segment}\n" + "".join(f"    {line}\n" for line in more)


def test_who_comes_in_between_two_checks_is_found_and_nobody_at_the_first(cafe: Cafe) -> None:
    inside, comes, outside = (cafe.guest() for _ in range(3))
    for guest in (inside, comes, outside):
        cafe.order(guest, NOW - 2 * DAY)
    cafe.order(inside, NOW - DAY)
    assert cafe.verdicts("trigger:\n  enters: regulars\n", NOW) == {}
    cafe.order(comes, NOW + DAY)
    cafe.order(inside, NOW + DAY)
    assert cafe.verdicts("trigger:\n  enters: regulars\n", NOW + DAY) == {comes: ACT}
    assert cafe.verdicts("trigger:\n  enters: regulars\n", NOW + 2 * DAY) == {}
    (match,) = cafe.matches
    assert (match.occasion, match.closes) == (20260505, at("2026-05-07 04:00"))


def test_who_leaves_and_comes_back_enters_again_on_another_day(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), enters("regulars", "late: 1 day")
    cafe.verdicts(rule, NOW)
    for day in (1, 2):
        cafe.order(guest, NOW + day * DAY)
    assert cafe.verdicts(rule, NOW + 2 * DAY) == {guest: ACT}
    gone, back = NOW + 40 * DAY, NOW + 41 * DAY
    assert cafe.verdicts(rule, gone) == {}
    for hours in (-24, 0):
        cafe.order(guest, back + timedelta(hours=hours))
    assert cafe.verdicts(rule, back) == {guest: ACT}
    assert [row.occasion for row in cafe.matches] == [20260506, 20260614]


def test_time_alone_brings_guests_in_and_a_pause_loses_none(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), enters("quiet")
    cafe.order(guest, NOW - 5 * DAY)
    assert cafe.verdicts(rule, NOW) == cafe.verdicts(rule, NOW + 4 * DAY) == {}
    assert cafe.verdicts(rule, NOW + 9 * DAY) == {guest: ACT}


def test_points_orders_and_refunds_are_as_they_were_then(cafe: Cafe) -> None:
    guest, saver = cafe.guest(), cafe.guest()
    orders = [cafe.order(guest, NOW - day * DAY) for day in (1, 2, 3)]
    cafe.refund(orders[0], NOW + DAY)
    cafe.points(saver, NOW - DAY, 99)
    assert cafe.verdicts(enters("regulars"), NOW) == cafe.verdicts(enters("savers"), NOW) == {}
    cafe.refund(orders[1], NOW + DAY)
    cafe.points(saver, NOW + DAY, 1)
    assert cafe.verdicts(enters("regulars"), NOW + DAY) == {}
    assert cafe.verdicts(enters("savers"), NOW + DAY) == {saver: ACT}


def test_a_tag_counts_from_when_it_was_put_on(cafe: Cafe) -> None:
    always, lately = cafe.guest(tagged=("vip",)), cafe.guest()
    assert cafe.verdicts(enters("vips"), NOW) == {}
    with cafe.db.begin() as conn:
        conn.execute(insert(tags).values(customer_id=lately, tag="vip", at=NOW + DAY))
    assert cafe.verdicts(enters("vips"), NOW + 2 * DAY) == {lately: ACT}
    assert always not in {row.customer_id for row in cafe.matches}


def test_a_new_guest_was_in_no_segment_before(cafe: Cafe) -> None:
    cafe.guest()
    assert cafe.verdicts(enters("newcomers"), NOW) == {}
    joined = cafe.guest(joined=NOW + DAY)
    assert cafe.verdicts(enters("newcomers"), NOW + DAY) == {joined: ACT}


def test_the_same_moment_again_or_an_earlier_one_finds_nobody(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), enters("regulars")
    cafe.verdicts(rule, NOW)
    for day in (0, 1):
        cafe.order(guest, NOW - day * DAY)
    assert cafe.verdicts(rule, NOW) == {}
    assert cafe.who(rule, NOW - DAY) == set()


@pytest.mark.parametrize(("by", "gold"), [("visits", 3), ("spend", 3000)])
def test_a_tier_that_is_worked_out_is_as_it_was_then(cafe: Cafe, by: str, gold: int) -> None:
    tiers = Tiers(by, Duration.parse("30 days"), (Level("silver", "Silver", 1), Level("gold", "Gold", gold)))
    cafe.home = replace(cafe.home, loyalty=Loyalty(tiers=tiers))
    inside, comes, rule = cafe.guest(tier="silver"), cafe.guest(tier="gold"), enters("golds")
    for day in (1, 2, 3):
        cafe.order(inside, NOW - day * DAY, 1000)
    for day in (1, 2):
        cafe.order(comes, NOW - day * DAY, 1000)
    assert cafe.verdicts(rule, NOW) == cafe.verdicts(rule, NOW + DAY) == {}
    cafe.order(comes, NOW + 2 * DAY, 1000)
    assert cafe.verdicts(rule, NOW + 2 * DAY) == {comes: ACT}
    assert cafe.verdicts(rule, NOW + 3 * DAY) == {}
    assert cafe.verdicts(rule, NOW + 26 * DAY) == {}
    for day in (27, 28, 29):  # gold then by orders that count no more, and now by these
        cafe.order(inside, NOW + day * DAY, 1000)
    assert cafe.verdicts(rule, NOW + 30 * DAY) == {}
    assert cafe.verdicts(rule, NOW + 70 * DAY) == {}
    for day in (71, 72, 73):
        cafe.order(inside, NOW + day * DAY, 1000)
    assert cafe.verdicts(rule, NOW + 73 * DAY) == {inside: ACT}
