"""``validate --cost``: which rules read much, by the home's own data."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_world import CONFIG, Cafe, home_of, write_home
from sqlalchemy import Engine, select

from engine.console import checking, efforts
from engine.database.facts import rebuild
from engine.database.plans import read_whole
from engine.database.tables import orders

NOW = datetime(2026, 5, 4, 15, tzinfo=UTC)
MESSAGE = "actions:\n  - email: hello\n"
LONG = "id: r\ntrigger:\n  lapsed:\n    after: 20 days\n    up_to: 3 years\n"
SHORT = LONG.replace("3 years", "25 days")
RANKED = SHORT + "conditions:\n  rank:\n    of: visits\n    within: 1 year\n    top: 10%\n"
MONTHLY = "id: r\ntrigger:\n  every: month\nconditions:\n  orders:\n    at_least: 2\n"
FESTIVE = "id: r\ntrigger:\n  festival: mothers-day\n"

WHOLE = """\
rules/r.yaml:3:3: warning: each check of this rule looks at 40 of 40 guests [reads-guests]
  3 |   lapsed:
    |   ^~~~~~
  with an "up_to" nearer to its beginning those who left long ago are left alone

1 warning.
"""


@pytest.fixture
def root(db: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of forty guests, of whom one lapses a day."""
    monkeypatch.setattr(efforts, "_FEW", 1)
    cafe = Cafe(db)
    for number in range(40):
        cafe.order(cafe.guest(), NOW - timedelta(days=21 + number))
    with db.begin() as conn:
        rebuild(conn, NOW)
    url = db.url.render_as_string(hide_password=False)
    return write_home(tmp_path / "home", config=f"{CONFIG}database: {url}\n")


def told(root: Path, rule: str) -> list[tuple[str, str, str]]:
    (root / "rules").mkdir(exist_ok=True)
    (root / "rules" / "r.yaml").write_text(rule + MESSAGE)
    found = checking.check(root, [], {}, NOW.date(), cost_at=NOW)
    return [(each.code, str(each.message), str(each.hint)) for each in found]


def test_a_rule_that_looks_at_all_guests_is_told_with_how_many_and_the_cure(root: Path) -> None:
    told(root, LONG)
    found = checking.check(root, [], {}, NOW.date(), cost_at=NOW)
    assert checking.printed(found, "text") == WHOLE
    assert json.loads(checking.printed(found, "json")) == {
        "path": "rules/r.yaml",
        "line": 3,
        "column": 3,
        "severity": "warning",
        "code": "reads-guests",
        "message": "each check of this rule looks at 40 of 40 guests",
        "hint": 'with an "up_to" nearer to its beginning those who left long ago are left alone',
    }


@pytest.mark.parametrize("rule", [SHORT, MONTHLY], ids=["few days", "conditions that no day can fulfil"])
def test_of_a_rule_that_looks_at_few_nothing_is_told(root: Path, rule: str) -> None:
    assert told(root, rule) == []


def test_a_rank_looks_at_everybody(root: Path) -> None:
    looks = (
        "looks at 40 of 40 guests",
        '"rank" compares all guests: "schedule" makes it rarer, such as mondays at 09:00',
    )
    assert told(root, RANKED) == [("reads-guests", f"each check of this rule {looks[0]}", looks[1])]


def test_a_condition_that_a_day_can_fulfil_is_asked_of_everybody_each_time(root: Path) -> None:
    monthly = MONTHLY.replace("at_least: 2", "within: 30 days\n    at_most: 2")
    cure = (
        "with conditions that no passing day can fulfil it looks at all guests on one day only: orders, visits, "
        'spend and points, with "within" only "at_least"'
    )
    assert told(root, monthly) == [("reads-guests", "each check of this rule looks at 40 of 40 guests", cure)]


def test_a_festival_is_for_all(root: Path) -> None:
    cure = '"schedule" makes it rarer: mondays at 09:00; or take a trigger that waits for something to happen'
    assert [each[2] for each in told(root, FESTIVE) if each[0] == "reads-guests"] in ([cure], [])


def test_without_being_asked_nobody_is_warned(root: Path) -> None:
    told(root, LONG)
    assert checking.check(root, [], {}, NOW.date()) == []


def test_an_empty_database_tells_nothing_yet(tmp_path: Path) -> None:
    root = write_home(tmp_path / "home")
    said = "what a rule costs cannot be told yet: the database has no guests"
    cure = "import the customers' and the till's files first: `regulars import FILE`"
    assert told(root, LONG) == [("no-cost", said, cure)]


def test_all_orders_are_told_by_their_plan(db: Engine) -> None:
    with db.connect() as conn:
        assert read_whole(conn, select(orders.c.total)) == {"orders"}
        assert read_whole(conn, select(orders.c.total).where(orders.c.id == 1)) == set()


def test_a_home_with_problems_has_those_told_first(tmp_path: Path) -> None:
    root = write_home(tmp_path / "home", config="business: {}\n")
    assert efforts.costs(root, {}, NOW) == []
    assert home_of().problems == ()
