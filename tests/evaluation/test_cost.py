"""What a dry run says its SMS would cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from small_world import CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import update

from engine.console import cost
from engine.console.cost import Costs, cost_report
from engine.console.page import Page
from engine.database.tables import endpoints

NOW = at("2026-05-04 10:00")
PRICES = "sms:\n  prices:\n    US: 0.0079\n    CN: 0.05\n"
RULE = "id: r\npurpose: service\nbecause: a test of what it costs\ntrigger:\n  birthday:\nactions:\n"
TEXT = "  - sms: hello\n"
GIFT = "  - coupon: treat\n  - sms: gift\n"


def costs_of(cafe: Cafe, rule: str, config: str = CONFIG + PRICES) -> Costs:
    home = home_of(config)
    made = rule_of(rule, home)
    cafe.home = replace(home, rules=(made,))
    costs = Costs(cafe.home, NOW)
    before = cafe.counts()
    cafe.run(made, now=NOW, dry_run=True, look=costs.look)
    assert cafe.counts() == before
    return costs


def guest(cafe: Cafe, number: int, country: str | None = None) -> None:
    cafe.guest(birthday=504, sms=f"+1312555{number:04}")
    if country is not None:
        with cafe.db.begin() as conn:
            mine = endpoints.c.address == f"+1312555{number:04}"
            conn.execute(update(endpoints).where(mine).values(country=country))


def test_each_country_has_its_price_and_one_without_a_known_country_is_the_homes(cafe: Cafe) -> None:
    for number, country in enumerate(("US", "CN", "CN", None), start=1):
        guest(cafe, number, country)
    assert costs_of(cafe, RULE + TEXT).to_json() == {
        "currency": "USD",
        "emails": 0,
        "sms": 4,
        "segments": 4,
        "estimated": False,
        "cost": "0.12",
        "countries": [
            {"country": "CN", "sms": 2, "segments": 2, "cost": "0.10"},
            {"country": "US", "sms": 2, "segments": 2, "cost": "0.02"},
        ],
    }


def test_segments_are_counted_with_a_code_as_it_would_be_and_nothing_of_it_stays(cafe: Cafe) -> None:
    guest(cafe, 1)
    costs = costs_of(cafe, RULE + GIFT)
    assert (costs.messages, costs.segments, costs.cost) == (1, 1, Decimal("0.0079"))


def test_without_a_price_the_cost_is_not_known_and_the_report_says_where_it_belongs(cafe: Cafe) -> None:
    guest(cafe, 1, "CN")
    guest(cafe, 2, "FR")
    costs = costs_of(cafe, RULE + TEXT)
    assert costs.cost is None
    page = Page()
    cost_report(page, costs)
    assert "2 SMS, billed as 2." in page.text
    assert "sms: prices" in page.text
    assert "no price" in page.text
    with_default = costs_of(cafe, RULE + TEXT, CONFIG + PRICES + "    default: 0.1\n")
    assert with_default.cost == Decimal("0.15")


def test_of_many_some_are_written_out_and_it_says_so(cafe: Cafe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MOST", 3)
    for number in range(1, 11):
        guest(cafe, number)
    costs = costs_of(cafe, RULE + TEXT)
    assert (costs.messages, costs.segments, costs.estimated) == (10, 10, True)
    page = Page()
    cost_report(page, costs)
    assert "about 0.08 USD" in page.text


def test_emails_are_counted_and_a_run_without_sms_says_nothing(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    costs = costs_of(cafe, f"{RULE}  - email: hello\n")
    assert (costs.emails, costs.messages, costs.cost) == (1, 0, Decimal(0))
    page = Page()
    cost_report(page, costs)
    assert page.text == ""
