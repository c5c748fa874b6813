"""config/offers.yaml: what a coupon can be."""

from __future__ import annotations

import pytest

from engine.language.offers import load_offers
from engine.language.problems import to_text
from engine.language.times import Duration


@pytest.fixture
def home(tmp_path):
    def write(text):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "offers.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_the_three_kinds_are_read(home):
    offers, problems = load_offers(
        home(
            "twenty-percent:\n  name: 20% off\n  percent: 20%\n  valid: 14 days\n  minimum_spend: 12.5\n"
            "  stores: [mill-lane, 007, 7]\n  till: WIN 20\n"
            "five-off:\n  name: {en: 5 off, zh: 减五元}\n  amount: 5\n"
            "free-drink:\n  name: A drink\n  item: a drink of your choice\n"
        ),
        "USD",
    )
    assert problems == []
    percent, amount, item = offers["twenty-percent"], offers["five-off"], offers["free-drink"]
    assert (percent.kind, percent.value, percent.valid, percent.minimum_spend) == (
        "percent",
        2000,
        Duration(14, "days"),
        1250,
    )
    assert (percent.stores, percent.till, percent.key) == (("mill-lane", "007", "7"), "WIN 20", "twenty-percent")
    assert (amount.kind, amount.value, amount.name, amount.valid) == (
        "amount",
        500,
        {"en": "5 off", "zh": "减五元"},
        None,
    )
    assert (item.kind, item.value, item.item, item.stores) == ("item", None, "a drink of your choice", ())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: {name: x}\n", "which-offer"),
        ("a: {name: x, percent: 5%, item: y}\n", "which-offer"),
        ("a: {percent: 5%}\n", "missing-key"),
        ("a: {name: x, percent: 5}\n", "wrong-type"),
        ("a: {name: x, percent: 0%}\n", "too-small"),
        ("a: {name: x, amount: 0}\n", "too-small"),
        ("a: {name: x, amount: 1.005}\n", "bad-money"),
        ("a: {name: x, amount: $5}\n", "wrong-type"),
        ("a: {name: x, item: y, valid: 2 hours}\n", "too-small"),
        ("a: {name: x, item: y, valid: 0 days}\n", "too-small"),
        ("a: {name: x, item: y, discount: 3}\n", "unknown-key"),
        ("a: {name: {englisch: x}, item: y}\n", "bad-name"),
        ("a: {name: x, item: y, stores: []}\n", "empty"),
        ("Big Offer: {name: x, item: y}\n", "bad-name"),
        ("a:\n", "empty"),
    ],
)
def test_a_broken_offer_is_told_and_the_others_stay(home, text, code):
    offers, problems = load_offers(home(text + "good: {name: x, item: y}\n"), "USD")
    assert [p.code for p in problems] == [code], to_text(problems)
    assert problems[0].line == 1
    assert "good" in offers
    assert "a" not in offers


def test_two_offers_of_one_discount_of_the_till_cannot_be_told_apart(home):
    text = "a: {name: x, item: y, till: Free Drink}\nb: {name: x, item: y, till: free  drink}\n"
    offers, (problem,) = load_offers(home(text), "USD")
    assert (problem.code, problem.line) == ("same-till", 2)
    assert list(offers) == ["a"]


def test_amounts_follow_the_currency(home):
    offers, _ = load_offers(home("a: {name: x, amount: 500}\n"), "JPY")
    assert offers["a"].value == 500


def test_a_home_without_the_file_has_no_offers(tmp_path):
    assert load_offers(tmp_path, "USD") == ({}, [])


def test_a_file_that_is_no_yaml_is_told(home):
    offers, problems = load_offers(home("a: [\n"), "USD")
    assert offers == {}
    assert [p.code for p in problems] == ["unclosed-bracket"]
