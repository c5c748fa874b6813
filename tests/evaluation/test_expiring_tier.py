"""``expiring: tier`` at its boundaries: the day on which it opens, the day on which the tier falls, and spending in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import BERLIN, CHICAGO, Cafe, at, home_of, rule_of
from sqlalchemy import Engine

from engine.database.facts import bring_to
from engine.database.tiers import Shortfall, shortfall
from engine.evaluation.stop import why_stopped
from engine.language.loyalty import Level, Loyalty, Tiers
from engine.language.times import Duration

LEVELS = (Level("silver", "Silver", 20_000), Level("gold", "Gold", 50_000))
RULE = "trigger:\n  expiring:\n    what: tier\n    within: 7 days\n"


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db, home=replace(home_of(), loyalty=Loyalty(tiers=Tiers("spend", Duration.parse("1 year"), LEVELS))))


def test_it_is_open_from_seven_days_before_the_last_day_until_the_tier_falls(cafe: Cafe):
    guest = cafe.guest()
    cafe.order(guest, at("2025-05-14 12:00"), 50_000)  # 13 May 2026 is the last day of gold
    assert cafe.who(RULE, at("2026-05-06 03:59")) == set()
    assert cafe.who(RULE, at("2026-05-06 04:00")) == {guest}
    assert cafe.who(RULE, at("2026-05-14 03:59")) == {guest}
    assert cafe.who(RULE, at("2026-05-14 04:00")) == set()


def test_each_zone_has_its_own_days_and_the_occasion_is_the_day_of_the_fall(cafe: Cafe):
    there, here = cafe.guest(zone=BERLIN), cafe.guest(zone=CHICAGO)
    for guest, zone in ((there, BERLIN), (here, CHICAGO)):
        cafe.order(guest, at("2025-05-14 12:00", zone), 50_000)
    assert cafe.who(RULE, at("2026-05-06 04:00", BERLIN)) == {there}
    cafe.run(RULE, now=at("2026-05-06 04:00"), only="r")
    assert [(row.customer_id, row.occasion, row.verdict) for row in cafe.matches] == [
        (there, 20260514, "act"),
        (here, 20260514, "act"),
    ]
    assert [row.closes for row in cafe.matches] == [at("2026-05-14 04:00", BERLIN), at("2026-05-14 04:00", CHICAGO)]


@pytest.mark.parametrize(("bought", "falls"), [("2024-02-29", "2025-03-01"), ("2024-02-28", "2025-02-28")])
def test_the_leap_day_leaves_on_the_first_of_march(cafe: Cafe, bought: str, falls: str):
    guest = cafe.guest()
    cafe.order(guest, at(f"{bought} 12:00"), 50_000)
    fall = at(f"{falls} 04:00")
    assert cafe.who(RULE, fall - timedelta(days=8)) == {guest}
    assert cafe.who(RULE, fall - timedelta(seconds=1)) == {guest}
    assert cafe.who(RULE, fall) == set()


def test_what_is_missing_counts_what_stays_in_the_period(cafe: Cafe):
    guest = cafe.guest()
    cafe.order(guest, at("2025-05-14 12:00"), 40_000)
    later = cafe.order(guest, at("2025-09-01 12:00"), 15_000)
    now = at("2026-05-10 10:00")
    cafe.run(now=now)
    with cafe.db.begin() as conn:
        found = shortfall(conn, cafe.home.tier_plan, guest, now)
    day = at("2026-05-14 12:00").toordinal()
    assert found == Shortfall("gold", day, None, 35_000)
    cafe.refund(later, at("2026-05-09 12:00"), 10_000)
    cafe.run(now=now)
    with cafe.db.begin() as conn:
        assert shortfall(conn, cafe.home.tier_plan, guest, now) == Shortfall("silver", day, None, 15_000)


def test_who_spends_enough_in_time_is_no_longer_spoken_of_and_the_journey_ends(cafe: Cafe):
    guest, rule = cafe.guest(), rule_of(RULE, cafe.home)
    cafe.order(guest, at("2025-05-14 12:00"), 50_000)
    matched, later = at("2026-05-07 10:00"), at("2026-05-08 10:00")

    def ends(now) -> str | None:
        cafe.run(now=now)
        with cafe.db.begin() as conn:
            bring_to(conn, now)
            return why_stopped(conn, cafe.home, rule, customer_id=guest, matched_at=matched, as_of=now)

    assert cafe.who(RULE, matched) == {guest}
    assert ends(later) is None
    cafe.order(guest, at("2026-05-07 12:00"), 49_999)
    assert ends(later) is None
    cafe.order(guest, at("2026-05-07 13:00"), 1)
    assert ends(later) == "used"
    assert cafe.who(RULE, later) == set()


def test_a_fall_that_came_between_two_runs_is_listed(cafe: Cafe):
    guest, rule = cafe.guest(), rule_of(RULE, cafe.home)
    cafe.order(guest, at("2025-05-14 12:00"), 50_000)
    cafe.run(rule, now=at("2026-05-05 10:00"), only="r")
    assert cafe.matches == []
    cafe.run(rule, now=at("2026-05-20 10:00"), only="r")
    assert [(row.verdict, row.reason, row.occasion) for row in cafe.matches] == [("refused", "expired", 20260514)]


def test_one_that_was_spoken_of_is_not_listed_again_when_it_has_fallen(cafe: Cafe):
    guest, rule = cafe.guest(), rule_of(RULE, cafe.home)
    cafe.order(guest, at("2025-05-14 12:00"), 50_000)
    cafe.run(rule, now=at("2026-05-07 10:00"), only="r")
    cafe.run(rule, now=at("2026-05-20 10:00"), only="r")
    assert [(row.verdict, row.occasion) for row in cafe.matches] == [("act", 20260514)]
