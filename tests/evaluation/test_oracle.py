"""Random cafés, random rules, a series of moments: SQLite, PostgreSQL and the oracle in plain Python decide the same.

``REGULARS_FUZZ=200 pytest tests/evaluation/test_oracle.py`` looks at that many cafés instead of a few.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from oracle import Seen, decide
from oracle_world import Match, World
from random_cafes import SEGMENTS, Dice, a_condition, a_rule, a_world, moments, store_world
from small_world import CONFIG, DAY_STARTS, home_of, rule_of
from sqlalchemy import Engine, select

from engine.database.facts import rebuild
from engine.database.tables import matches, rules
from engine.evaluation.register import zones_in_use
from engine.evaluation.runner import run_due
from engine.language.keys import make_key
from engine.language.times import Schedule
from engine.language.yamlfile import parse
from engine.starter.home import starter_files
from engine.vocabulary.conditions import all_hold
from engine.vocabulary.home import Home, load_home
from engine.vocabulary.scope import Scope

WORLDS = int(os.environ.get("REGULARS_FUZZ", "3"))
RULES, CONDITIONS = 10, 60


def decided(db: Engine, run: int) -> dict[tuple[str, int, int], tuple[str, str | None, datetime]]:
    asked = (
        select(
            rules.c.rule,
            matches.c.customer_id,
            matches.c.occasion,
            matches.c.verdict,
            matches.c.reason,
            matches.c.closes,
        )
        .join(rules, rules.c.id == matches.c.rule_id)
        .where(matches.c.run_id == run)
    )
    with db.connect() as conn:
        return {
            (rule, who, what): (verdict, why, closes) for rule, who, what, verdict, why, closes in conn.execute(asked)
        }


def compare(db: Engine, home: Home, world: World, written: Sequence[dict[str, Any]], dice: Dice) -> int:
    """Run the home's rules at a series of moments beside the oracle; gives how many matches there were."""
    with db.begin() as conn:
        store_world(conn, world)
    past: list[Match] = []
    watermark: datetime | None = None
    for now in moments(dice):
        with db.begin() as conn:
            rebuild(conn, now)
        result = run_due(db, home, now)
        assert result.balanced
        assert result.run is not None
        expected = [match for rule in written for match in decide(world, rule, now, past, watermark)]
        wanted = {(m.rule, m.guest, m.occasion): (m.verdict, m.reason, m.closes) for m in expected}
        found = decided(db, result.run)
        keys = {key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}
        differing = {key: (found.get(key), wanted.get(key)) for key in keys}
        shown = {key[0]: rule for rule in written for key in keys if key[0] == rule["id"]}
        assert not keys, f"at {now} (last {watermark}): database, oracle: {differing}\n{json.dumps(shown)}"
        past.extend(expected)
        watermark = now
    return len(past)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_database_and_plain_python_decide_the_same(db: Engine, seed: int) -> None:
    dice = Dice(seed)
    world, written = a_world(dice), [a_rule(dice, number) for number in range(RULES)]
    exclude = f"exclude: {json.dumps(world.exclude)}\n" if world.exclude else ""
    home = home_of(CONFIG + exclude, json.dumps(SEGMENTS))
    home = replace(home, rules=tuple(rule_of(json.dumps(rule, indent=1), home) for rule in written))
    assert compare(db, home, world, written, dice) > 0


@pytest.mark.parametrize("seed", range(200, 200 + WORLDS))
def test_random_conditions_hold_for_the_same_guests(db: Engine, seed: int) -> None:
    dice = Dice(seed)
    world, asked = a_world(dice), [dict([a_condition(dice)]) for _ in range(CONDITIONS)]
    home = home_of(segments=json.dumps(SEGMENTS))
    rule = {"id": "r", "trigger": {"birthday": None}, "actions": [{"email": "hello"}]}
    made = [rule_of(json.dumps({**rule, "conditions": each}, indent=1), home).conditions for each in asked]
    with db.begin() as conn:
        store_world(conn, world)
    for now in moments(dice)[1::2]:
        with db.begin() as conn:
            rebuild(conn, now)
            for conditions, each in zip(made, asked, strict=True):
                scope = Scope(now, zones_in_use(conn), DAY_STARTS, home.segments)
                met = select(scope.facts.c.customer_id).select_from(scope.guest()).where(all_hold(conditions, scope))
                found = set(conn.scalars(met.add_cte(scope.days_table())))
                wanted = {guest.id for guest in world.guests if Seen(world, guest, now).meets(each)}
                assert found == wanted, f"at {now}: {json.dumps(each)}"


@pytest.mark.parametrize("seed", range(100, 100 + (WORLDS + 1) // 3))
def test_the_shipped_rules_decide_the_same_in_the_database_and_in_plain_python(
    db: Engine, seed: int, tmp_path: Path
) -> None:
    for folder in ("config", "rules", "templates"):
        shutil.copytree(starter_files() / folder, tmp_path / "home" / folder)
    make_key(tmp_path / "home")
    home = load_home(tmp_path / "home", {})
    assert len(home.rules) == 12
    # Fresh data and schedules are shown elsewhere: here every rule looks at every moment.
    often = tuple(replace(rule, schedule=Schedule.parse("every 15 minutes")) for rule in home.rules)
    home = replace(home, rules=often, config=replace(home.config, fresh=None))
    dice = Dice(seed)
    world = a_world(dice)
    document, _ = parse((home.root / "config/segments.yaml").read_text(encoding="utf-8"), "segments.yaml")
    assert document is not None
    world.segments, world.exclude = document.data, {"any": [{"tag": ["staff", "friend"]}]}
    assert compare(db, home, world, [dict(rule.body) for rule in often], dice) > 0


def test_the_random_cafes_see_every_trigger_and_every_verdict() -> None:
    """A comparison of nothing with nothing would prove nothing."""
    words, verdicts = set(), set()
    for seed in range(5):
        dice = Dice(seed)
        world, written = a_world(dice), [a_rule(dice, number) for number in range(RULES)]
        past: list[Match] = []
        last = None
        for now in moments(dice):
            for rule in written:
                found = decide(world, rule, now, past, last)
                past.extend(found)
                words |= {word for word in rule["trigger"] if found}
                verdicts |= {(match.verdict, match.reason) for match in found}
            last = now
    assert words == {"lapsed", "at_risk", "birthday", "joined", "ordered", "low_rating"}
    reasons = ("expired", "again_too_soon", "excluded", "no_endpoint", "suppressed", "no_consent", "duplicate_endpoint")
    assert verdicts == {("act", None), ("control", None), *(("refused", reason) for reason in reasons)}
