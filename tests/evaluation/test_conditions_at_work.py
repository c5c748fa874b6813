"""Conditions on small data at their edges: periods, filters, money, refunds, points, and what nobody knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from small_world import BERLIN, Cafe, at, home_of

NOW = at("2026-05-31 12:00")
LUNCH, COFFEE = (("Soup", "Lunch"),), (("Latte", "Coffee"),)


def test_within_is_the_days_after_and_before_leaves_out_the_last_ones(cafe: Cafe) -> None:
    by_age = {}
    for days in (0, 29, 30, 31, 89, 90, 91):
        by_age[days] = cafe.guest()
        cafe.order(by_age[days], NOW - timedelta(days=days))
    ages = {guest: days for days, guest in by_age.items()}

    def aged(condition: str) -> list[int]:
        return sorted(ages[guest] for guest in cafe.meets(condition, NOW))

    assert aged("orders:\n  within: 90 days\n  at_least: 1") == [0, 29, 30, 31, 89]
    assert aged("orders:\n  before: 30 days\n  at_least: 1") == [30, 31, 89, 90, 91]
    assert aged("orders:\n  within: 90 days\n  before: 30 days\n  at_least: 1") == [30, 31, 89]
    assert aged("orders:\n  since: 2026-05-01\n  at_least: 1") == [0, 29, 30]
    assert aged("orders:\n  within: 720 hours\n  at_least: 1") == [0, 29]
    assert aged("orders:\n  within: 3 months\n  at_least: 1") == [0, 29, 30, 31, 89, 90, 91]
    assert aged("days_since_order: 30") == [30]
    assert aged("days_since_order:\n  between: [30, 89]") == [30, 31, 89]


def test_the_last_of_february_is_a_month_before_the_31st_of_march(cafe: Cafe) -> None:
    out, inside = cafe.guest(), cafe.guest()
    cafe.order(out, at("2026-02-28 12:00"))
    cafe.order(inside, at("2026-03-01 12:00"))
    assert cafe.meets("visits:\n  within: 1 month\n  at_least: 1", at("2026-03-31 12:00")) == {inside}


def test_days_are_those_of_the_guests_zone(cafe: Cafe) -> None:
    berlin = cafe.guest(zone=BERLIN)
    cafe.order(berlin, at("2026-05-30 23:00", BERLIN))
    condition = "days_since_order: 0"
    assert cafe.meets(condition, at("2026-05-31 03:59", BERLIN)) == {berlin}
    assert cafe.meets(condition, at("2026-05-31 04:00", BERLIN)) == set()


def test_orders_count_each_and_visits_the_days(cafe: Cafe) -> None:
    guest = cafe.guest()
    for moment in ("2026-05-04 08:00", "2026-05-04 19:00", "2026-05-05 03:00", "2026-05-05 04:00"):
        cafe.order(guest, at(moment))
    assert cafe.meets("orders: 4", NOW) == {guest}
    assert cafe.meets("visits: 2", NOW) == {guest}
    assert cafe.meets("visits:\n  within: 27 days\n  equals: 2", NOW) == set()
    assert cafe.meets("visits:\n  within: 27 days\n  equals: 1", NOW) == {guest}


def test_spend_is_in_currency_after_refunds(cafe: Cafe) -> None:
    guest = cafe.guest()
    order = cafe.order(guest, at("2026-05-04 08:00"), 4999)
    cafe.order(guest, at("2026-05-04 09:00"), 1)
    for condition in ("spend: 50", "spend:\n  at_least: 50", "spend:\n  within: 1 year\n  between: [49.99, 50]"):
        assert cafe.meets(condition, NOW) == {guest}
    cafe.refund(order, at("2026-05-10 08:00"), 2500)
    assert cafe.meets("spend: 25", NOW) == {guest}
    assert cafe.meets("spend:\n  within: 1 year\n  equals: 25", NOW) == {guest}
    assert cafe.meets("spend: 50", at("2026-05-10 07:59")) == {guest}
    cafe.refund(order, at("2026-05-11 08:00"))
    assert cafe.meets("spend: 0.01\norders: 1", NOW) == {guest}


def test_counts_and_sums_of_nothing_are_0_and_other_facts_fail_all_but_is_not(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(None, NOW)
    for condition in (
        "orders: 0",
        "visits:\n  less_than: 1",
        "spend:\n  at_most: 0",
        "points: 0",
        "orders:\n  within: 1 day\n  equals: 0",
        "spend:\n  within: 1 day\n  equals: 0",
        "days_since_order:\n  is_not: 3",
        "days_since_order:\n  within: 5 days\n  none_of: [1, 2]",
        "tier:\n  is_not: gold",
        "city:\n  none_of: [Rome]",
        "store:\n  is_not: Mill Lane",
        "language:\n  is_not: en",
        "tag:\n  none_of: [staff]",
        "none:\n  - tier: gold\n  - days_since_order:\n      at_most: 10\n  - store: Mill Lane",
    ):
        assert cafe.meets(condition, NOW) == {guest}, condition
    for condition in (
        "days_since_order:\n  at_most: 1000",
        "days_since_order:\n  at_least: 0",
        "days_since_order:\n  within: 5 days\n  at_least: 0",
        "tier: '*'",
        "city: Rome",
        "store: '*'",
        "language: en",
        "tag: staff",
        "any:\n  - tier: gold\n  - city: Rome",
    ):
        assert cafe.meets(condition, NOW) == set(), condition


def test_of_products_nothing_is_known_for_who_has_no_items(cafe: Cafe) -> None:
    unknown, coffee, lunch, gave_back = (cafe.guest() for _ in range(4))
    cafe.order(unknown, NOW - timedelta(days=1))
    cafe.order(unknown, NOW + timedelta(days=1), items=LUNCH)  # lies ahead
    cafe.order(coffee, NOW - timedelta(days=1), items=COFFEE)
    cafe.order(lunch, NOW - timedelta(days=1), items=LUNCH)
    cafe.refund(cafe.order(gave_back, NOW - timedelta(days=2), items=LUNCH), NOW - timedelta(days=1))
    cases = {
        "orders:\n  category: lunch\n  equals: 0": {coffee},
        "orders:\n  category: lunch\n  less_than: 5": {coffee, lunch},
        "orders:\n  category: lunch\n  at_least: 1": {lunch},
        "orders:\n  category: lunch\n  is_not: 1": {unknown, coffee, gave_back},
        "orders:\n  category: lunch\n  is_not: 0": {unknown, lunch, gave_back},
        "spend:\n  product: soup\n  at_most: 0": {coffee},
        "none:\n  - orders:\n      category: lunch\n      at_least: 1": {unknown, coffee, gave_back},
    }
    assert {condition: cafe.meets(condition, NOW) for condition in cases} == cases


def test_case_and_outer_blanks_do_not_count_and_a_star_is_anything(cafe: Cafe) -> None:
    guest = cafe.guest(tier="Gold", city="São  Paulo", tagged=("Vegetarian",))
    cafe.order(guest, NOW, items=(("Oat 100% Latte_XL", "Heiße Getränke"),), channel="Dine-In")
    for condition in (
        "tier: ' GOLD '",
        "tier: [silver, gold]",
        "tier: g*d",
        "city: SÃO PAULO",
        "tag: vegetarian",
        "tag: [x, 'VEGE*']",
        "orders:\n  product: oat 100% latte_xl\n  equals: 1",
        "orders:\n  product: '*100%*'\n  equals: 1",
        "orders:\n  product: '*latte_x*'\n  equals: 1",
        "orders:\n  category: HEISSE GETRÄNKE\n  channel: DINE-in\n  equals: 1",
    ):
        assert cafe.meets(condition, NOW) == {guest}, condition
    for condition in (
        "orders:\n  product: '*100_*'\n  at_least: 1",
        "tier: gol",
        "orders:\n  channel: dine\n  at_least: 1",
    ):
        assert cafe.meets(condition, NOW) == set(), condition


def test_a_store_is_known_by_its_name_and_its_id(cafe: Cafe) -> None:
    mill, quay = cafe.store("Mill Lane", key="S-1"), cafe.store("Quay", key="S-2")
    at_mill, at_quay, nowhere = cafe.guest(), cafe.guest(), cafe.guest()
    cafe.order(at_mill, NOW, store=mill)
    cafe.order(at_quay, NOW, store=quay)
    cafe.order(nowhere, NOW)
    for name in ("mill LANE", "s-1", "S-1", "[nothing, Mill*]"):
        assert cafe.meets(f"store: {name}", NOW) == {at_mill}, name
        assert cafe.meets(f"orders:\n  store: {name}\n  at_least: 1", NOW) == {at_mill}, name
    assert cafe.meets("store: S-*", NOW) == {at_mill, at_quay}
    others = {at_quay, nowhere}
    assert cafe.meets("store:\n  is_not: S-1", NOW) == others
    assert cafe.meets("orders:\n  store:\n    is_not: S-1\n  at_least: 1", NOW) == others
    assert cafe.meets("orders:\n  store:\n    none_of: [mill lane, elsewhere]\n  at_least: 1", NOW) == others


def test_one_item_is_all_that_is_wanted_and_none_is_what_is_not(cafe: Cafe) -> None:
    both, same, plain, partly = (cafe.guest() for _ in range(4))
    cafe.order(both, NOW, items=(("Soup", "Lunch"), ("Latte", "Coffee")))
    cafe.order(same, NOW, items=(("Latte", "Lunch"),))
    cafe.order(plain, NOW)  # of whose items nothing is known
    cafe.order(partly, NOW)
    cafe.order(partly, NOW, items=(("Soup", "Lunch"), ("Latte", "Coffee")))
    wanted = "orders:\n  product: latte\n  category: lunch\n  at_least: 1"
    assert cafe.meets(wanted, NOW) == {same}
    assert cafe.meets("orders:\n  product:\n    is_not: soup\n  at_least: 1", NOW) == {same, partly}
    assert cafe.meets("orders:\n  category:\n    none_of: [coffee, tea]\n  equals: 1", NOW) == {same, partly}
    mixed = "orders:\n  category: lunch\n  product:\n    is_not: latte\n  at_least: 1"
    assert cafe.meets(mixed, NOW) == set()


def test_a_language_stands_for_its_variants(cafe: Cafe) -> None:
    plain, hans, german = cafe.guest(language="zh"), cafe.guest(language="zh-Hans"), cafe.guest(language="de")
    assert cafe.meets("language: ZH", NOW) == {plain, hans}
    assert cafe.meets("language: zh-hans", NOW) == {hans}
    assert cafe.meets("language:\n  is_not: zh", NOW) == {german}


def test_points_expire_at_their_moment(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.points(guest, at("2026-05-01 12:00"), 100, expires=NOW)
    cafe.points(guest, at("2026-05-02 12:00"), 50)
    assert cafe.meets("points:\n  at_least: 150", NOW - timedelta(seconds=1)) == {guest}
    assert cafe.meets("points: 50", NOW) == {guest}
    assert cafe.meets("points: 100", at("2026-05-02 11:59")) == {guest}


def test_reachable_is_address_consent_and_no_suppression(cafe: Cafe) -> None:
    cafe.endpoint("email", "no@example.com", consent=False)
    by = {
        "email": cafe.guest(),
        "sms": cafe.guest(email=None, sms="+1"),
        "both": cafe.guest(sms="+2"),
        "none": cafe.guest(email="no@example.com"),
        "nothing": cafe.guest(email=None),
    }
    cafe.suppress(cafe.endpoint("sms", "+3"), NOW)
    by["stopped"] = cafe.guest(email=None, sms="+3")
    names = {guest: name for name, guest in by.items()}

    def reached(how: str) -> set[str]:
        return {names[guest] for guest in cafe.meets(f"reachable: {how}", NOW)}

    assert reached("email") == {"email", "both"}
    assert reached("sms") == {"sms", "both"}
    assert reached("any") == {"email", "sms", "both"}
    assert reached("none") == {"none", "nothing", "stopped"}


def test_segments_groups_and_their_depth(cafe: Cafe) -> None:
    cafe.home = home_of(
        segments="gold:\n  conditions:\n    tier: gold\nbest:\n  conditions:\n    segment: gold\n    orders: 1\n"
    )
    gold, best, other = cafe.guest(tier="gold"), cafe.guest(tier="GOLD"), cafe.guest()
    cafe.order(best, NOW)
    cafe.order(other, NOW)
    assert cafe.meets("segment: best", NOW) == {best}
    assert cafe.meets("none:\n  - segment: best\n  - tag: x", NOW) == {gold, other}
    assert cafe.meets("any:\n  - segment: best\n  - all:\n      - tier: gold\n      - orders: 0", NOW) == {gold, best}
    assert cafe.meets("any:\n  - tier: gold\n    orders: 1\n  - tag: x", NOW) == {best}


@pytest.mark.parametrize(
    ("test", "numbers"),
    [
        ("at_least: 2", {2, 3}),
        ("at_most: 2", {0, 1, 2}),
        ("more_than: 1.5", {2, 3}),
        ("less_than: 2", {0, 1}),
        ("equals: 2", {2}),
        ("is_not: 2", {0, 1, 3}),
        ("between: [1, 2]", {1, 2}),
        ("one_of: [1, 2.5, 3]", {1, 3}),
        ("none_of: [1, 2.5, 3]", {0, 2}),
        ("at_least: 1\n  at_most: 2", {1, 2}),
    ],
)
def test_tests_in_words(cafe: Cafe, test: str, numbers: set[int]) -> None:
    counts = {}
    for number in range(4):
        guest = cafe.guest()
        counts[guest] = number
        for each in range(number):
            cafe.order(guest, NOW - timedelta(days=each))
    for period in ("", "  within: 90 days\n"):
        met = cafe.meets(f"orders:\n{period}  {test}", NOW)
        assert {counts[guest] for guest in met} == numbers


def test_the_largest_number_that_may_be_written_is_no_trouble(cafe: Cafe) -> None:
    guest = cafe.guest()
    for word in ("orders", "visits", "spend", "points", "days_since_order"):
        assert cafe.meets(f"{word}:\n  at_least: 1000000000", NOW) == set()
        assert cafe.meets(f"{word}:\n  none_of: [1000000000, 0.5]", NOW) == {guest}
