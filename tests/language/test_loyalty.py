"""config/loyalty.yaml: ledgers and tiers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from engine.language.loyalty import Level, Loyalty, Tiers, load_loyalty
from engine.language.problems import to_text
from engine.language.times import Duration
from engine.starter.home import starter_files

YEAR = Duration(1, "years")


@pytest.fixture
def home(tmp_path):
    def write(text):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "loyalty.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def told(home: Path, currency: str = "USD") -> str:
    loyalty, problems = load_loyalty(home, currency)
    assert not loyalty.sound
    return to_text(problems)


def test_without_the_file_there_is_one_ledger_and_no_tier(tmp_path):
    loyalty, problems = load_loyalty(tmp_path, "USD")
    assert (loyalty, problems) == (Loyalty(), [])
    assert (list(loyalty.ledgers), loyalty.ledgers["points"].expires, loyalty.tiers) == (["points"], None, None)
    assert loyalty.multiple("gold") == 1


def test_ledgers_and_tiers_are_read_and_the_lowest_mark_comes_first(home):
    loyalty, problems = load_loyalty(
        home(
            "ledgers:\n  points:\n    expires: 1 year\n  stamps: {}\n  beans:\n    name: {en: beans, zh: 豆}\n"
            "tiers:\n  by: spend\n  within: 1 year\n  levels:\n"
            "    gold: {at: 500, multiple: 1.5, name: Gold}\n    silver: {at: 199.5, multiple: 1.25}\n"
        ),
        "USD",
    )
    assert problems == []
    assert loyalty.sound
    assert {key: each.expires for key, each in loyalty.ledgers.items()} == {
        "points": YEAR,
        "stamps": None,
        "beans": None,
    }
    assert loyalty.ledgers["beans"].name == {"en": "beans", "zh": "豆"}
    assert loyalty.tiers == Tiers(
        "spend",
        YEAR,
        (Level("silver", "silver", 19_950, Decimal("1.25")), Level("gold", "Gold", 50_000, Decimal("1.5"))),
    )
    assert [loyalty.multiple(key) for key in (None, "silver", "gold", "bronze")] == [
        1,
        Decimal("1.25"),
        Decimal("1.5"),
        1,
    ]


def test_visits_are_counted_as_they_are_and_yen_have_no_cents(home):
    text = "tiers:\n  by: {by}\n  within: 90 days\n  levels:\n    regular:\n      at: 12\n"
    assert load_loyalty(home(text.format(by="visits")), "USD")[0].tiers.levels[0].at == 12
    assert load_loyalty(home(text.format(by="spend")), "JPY")[0].tiers.levels[0].at == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "ledgers:\n  points:\n    expires: 3 hours\n",
            'loyalty.yaml:3:14: "expires" is 3 hours; it counts whole days',
        ),
        ("ledgers:\n  points:\n    expires: 0 days\n", '"expires" is 0 days; it counts whole days'),
        ("ledgers:\n  points:\n    valid: 1 year\n", 'did you mean "expires"?'),
        ("ledgers:\n  My Points: {}\n", 'did you mean "my-points"?'),
        ("tiers:\n  by: money\n  within: 1 year\n  levels:\n    gold:\n      at: 5\n", "loyalty.yaml:2:7"),
        ("tiers:\n  by: spend\n  levels:\n    gold:\n      at: 5\n", "within"),
        ("tiers:\n  by: spend\n  within: 1 year\n  levels:\n    gold:\n      from: 5\n", 'did you mean "at"?'),
        ("tiers:\n  by: visits\n  within: 1 year\n  levels:\n    gold:\n      at: 5.5\n", "visits are whole numbers"),
        ("tiers:\n  by: spend\n  within: 1 year\n  levels:\n    gold:\n      at: 5.555\n", "5.555 is too exact"),
        (
            "tiers:\n  by: spend\n  within: 1 year\n  levels:\n    silver:\n      at: 5\n    gold:\n      at: 5.00\n",
            'loyalty.yaml:8:11: "silver" and "gold" begin at the same mark',
        ),
        ("tiers:\n  by: spend\n  within: 2 hours\n  levels:\n    gold:\n      at: 5\n", "it counts whole days"),
        ("levels: {}\n", 'write it below "tiers:", indented'),
        ("- points\n", "loyalty.yaml:1:1"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(home, text, said):
    assert said in told(home(text))


def test_a_broken_part_is_left_out_and_the_rest_is_there(home):
    loyalty, _ = load_loyalty(home("ledgers:\n  stamps: {}\n  beans:\n    expires: soon\ntiers:\n  by: spend\n"), "USD")
    assert (list(loyalty.ledgers), loyalty.tiers, loyalty.sound) == (["points", "stamps"], None, False)


def test_a_file_with_another_ending_is_told(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "loyalty.yaml.txt").write_text("ledgers: {}\n")
    assert "loyalty.yaml.txt" in told(tmp_path)


def test_the_shipped_file_is_right_also_with_its_tiers_switched_on(home):
    text = (starter_files() / "config" / "loyalty.yaml").read_text(encoding="utf-8")
    loyalty, problems = load_loyalty(home(text), "USD")
    assert (problems, sorted(loyalty.ledgers), loyalty.tiers) == ([], ["points", "stamps"], None)
    head, _, block = text.partition("#tiers:")
    switched_on = f"{head}tiers:{block.replace(chr(10) + '#', chr(10))}"
    loyalty, problems = load_loyalty(home(switched_on), "USD")
    assert problems == []
    assert [(each.key, each.at, each.multiple) for each in loyalty.tiers.levels] == [
        ("silver", 20_000, Decimal("1.25")),
        ("gold", 50_000, Decimal("1.5")),
    ]
