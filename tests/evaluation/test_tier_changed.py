"""``tier_changed`` at its boundaries, with tiers worked out from orders and with those of the customers' file."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from small_world import BERLIN, CHICAGO, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, insert, select

from engine.database.tables import customer_facts, matches, tier_changes, tier_plan
from engine.evaluation.runner import run_due
from engine.language.loyalty import Level, Loyalty, Tiers
from engine.language.times import Duration

YEAR = Duration.parse("1 year")
LEVELS = (Level("silver", "Silver", 20_000), Level("gold", {"en": "Gold", "zh": "金"}, 50_000, Decimal("1.5")))
LOYALTY = Loyalty(tiers=Tiers("spend", YEAR, LEVELS))
NOW = at("2026-05-04 10:00")
GOLD = "trigger:\n  tier_changed: gold\n"


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db, home=replace(home_of(), loyalty=LOYALTY))


def fires_on(cafe: Cafe, rule: str, days: list[str]) -> list[str]:
    return [day for day in days if cafe.who(rule, at(f"{day} 10:00"))]


def test_a_rise_fires_on_its_day_and_for_a_week(cafe: Cafe):
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-04 09:00"), 50_000)
    assert cafe.who(GOLD, at("2026-05-04 08:59")) == set()
    assert cafe.who(GOLD, at("2026-05-04 09:00")) == {guest}
    assert cafe.who(GOLD, at("2026-05-11 03:59")) == {guest}
    assert cafe.who(GOLD, at("2026-05-11 04:00")) == set()
    assert cafe.who("trigger:\n  tier_changed: silver\n", NOW) == set()


@pytest.mark.parametrize(
    ("settings", "fires"),
    [
        ("to: gold", ["2026-05-04"]),
        ("from: silver", ["2026-05-04", "2027-05-04"]),
        ("to: silver", ["2026-05-01", "2027-05-01"]),
        ("direction: up", ["2026-05-01", "2026-05-04"]),
        ("direction: down", ["2027-05-01", "2027-05-04"]),
        ("to: silver\n    direction: down", ["2027-05-01"]),
        ("to:\n      is_not: gold", ["2026-05-01", "2027-05-01", "2027-05-04"]),
        ("from: '*'\n    to: '*'", ["2026-05-04", "2027-05-01"]),
    ],
)
def test_to_from_and_direction(cafe: Cafe, settings: str, fires: list[str]):
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-01 08:00"), 20_000)
    cafe.order(guest, at("2026-05-04 09:00"), 49_999)
    rule = f"trigger:\n  tier_changed:\n    {settings}\n    late: 1 day\n"
    # The first order leaves on 1 May 2027 (gold falls to silver), the second on the 4th.
    days = [
        "2026-05-01",
        "2026-05-02",
        "2026-05-04",
        "2026-05-05",
        "2027-04-30",
        "2027-05-01",
        "2027-05-02",
        "2027-05-04",
    ]
    assert fires_on(cafe, rule, days) == fires


def test_the_year_has_its_edges_in_the_guests_own_zone(cafe: Cafe):
    there, here = cafe.guest(zone=BERLIN), cafe.guest(zone=CHICAGO)
    for guest, zone in ((there, BERLIN), (here, CHICAGO)):
        cafe.order(guest, at("2025-05-04 12:00", zone), 50_000)
    rule = "trigger:\n  tier_changed:\n    direction: down\n"
    assert cafe.who(rule, at("2026-05-04 03:59", BERLIN)) == set()
    assert cafe.who(rule, at("2026-05-04 04:00", BERLIN)) == {there}
    assert cafe.who(rule, at("2026-05-04 04:00", CHICAGO)) == {there, here}


def test_what_nobody_looked_at_in_time_is_listed_as_expired(cafe: Cafe):
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-04 09:00"), 50_000)
    rule = rule_of(GOLD, cafe.home)
    cafe.run(rule, now=at("2026-05-03 10:00"), only="r")
    cafe.run(rule, now=at("2026-06-03 10:00"), only="r")
    assert [(row.verdict, row.reason, row.occasion) for row in cafe.matches] == [("refused", "expired", 20260504)]


def test_a_change_that_older_orders_or_a_refund_put_on_another_day_is_told_once(cafe: Cafe):
    guest, rule = cafe.guest(), rule_of(GOLD, cafe.home)
    last = cafe.order(guest, at("2026-05-02 09:00"), 50_000)
    assert cafe.verdicts(rule, at("2026-05-02 10:00")) == {guest: ("act", None)}
    cafe.order(guest, at("2026-05-01 09:00"), 50_000)  # a till's file came late
    assert cafe.verdicts(rule, at("2026-05-03 10:00")) == {}
    cafe.order(guest, at("2026-04-30 09:00"), 20_000)  # now it has two steps
    assert cafe.verdicts(rule, at("2026-05-04 10:00")) == {}
    cafe.refund(last, at("2026-05-04 11:00"))
    assert cafe.verdicts(rule, at("2026-05-04 12:00")) == {}
    assert [row.occasion for row in cafe.matches] == [20260502]


def test_two_changes_of_which_one_has_moved_have_occasions_of_their_own(cafe: Cafe):
    guest, rule = cafe.guest(), rule_of("trigger:\n  tier_changed:\n    direction: up\n", cafe.home)
    cafe.order(guest, at("2026-05-03 09:00"), 20_000)
    assert cafe.verdicts(rule, at("2026-05-03 10:00")) == {guest: ("act", None)}
    cafe.order(guest, at("2026-05-02 09:00"), 20_000)
    cafe.order(guest, at("2026-05-03 09:30"), 20_000)  # silver the day before, and gold on this day
    assert cafe.verdicts(rule, at("2026-05-03 11:00")) == {guest: ("act", None)}
    assert cafe.verdicts(rule, at("2026-05-04 11:00")) == {}
    assert sorted(row.occasion for row in cafe.matches) == [20260503, 20260504]


def test_a_run_works_the_tiers_out_and_a_dry_run_leaves_no_trace(cafe: Cafe):
    guest = cafe.guest(tier="Imported")
    cafe.order(guest, at("2026-05-04 09:00"), 50_000)
    rule = rule_of(GOLD, cafe.home)
    home = replace(cafe.home, rules=(rule,))
    cafe.run(now=at("2026-05-04 09:30"))  # facts, without a rule
    cafe_without = Cafe(cafe.db)
    cafe_without.run(now=NOW)
    assert cafe.fact(guest, "tier_key") == "imported"
    for _ in range(2):
        assert run_due(cafe.db, home, NOW, only="r", dry_run=True).rules[0].matched == 1
    assert (cafe.fact(guest, "tier_key"), cafe.rows(tier_plan), cafe.rows(matches)) == ("imported", [], [])
    assert run_due(cafe.db, home, NOW, only="r").rules[0].matched == 1
    assert (cafe.fact(guest, "tier_key"), len(cafe.rows(tier_plan))) == ("gold", 1)


def test_a_loyalty_file_with_a_mistake_leaves_the_tiers_as_they_stand(cafe: Cafe):
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-04 09:00"), 50_000)
    cafe.run(now=NOW)
    broken = replace(cafe.home, loyalty=Loyalty(sound=False))
    run_due(cafe.db, broken, NOW + timedelta(hours=1))
    assert cafe.fact(guest, "tier_key") == "gold"


def test_tiers_of_the_customers_file_fire_too_and_have_no_direction(db: Engine):
    cafe = Cafe(db)
    guest = cafe.guest(tier="Gold")
    change = {"day": date(2026, 5, 2).toordinal(), "from_key": None, "to_key": "gold", "kind": "none"}
    with db.begin() as conn:
        conn.execute(insert(tier_changes).values(customer_id=guest, **change))
    assert cafe.who(GOLD, NOW) == {guest}
    assert cafe.who("trigger:\n  tier_changed: Gold\nconditions:\n  tier: GOLD\n", NOW) == {guest}
    assert cafe.who("trigger:\n  tier_changed:\n    from: gold\n", NOW) == set()
    with db.begin() as conn:
        assert conn.scalar(select(customer_facts.c.tier_rests_on)) is None
