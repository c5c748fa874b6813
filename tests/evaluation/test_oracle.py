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
from oracle import decide, is_active, knows
from oracle_conditions import know, meets
from oracle_seen import Seen
from oracle_world import Guest, Match, World
from random_cafes import START, ZONES, Dice, a_world, home_of_cafe, moments
from random_rules import PLAIN, Draft, a_rule, read
from small_world import DAY_STARTS
from sqlalchemy import Engine, delete, select
from store_cafe import store_world

from engine.database.facts import rebuild, use_tiers
from engine.database.tables import matches, rules, tier_changes
from engine.evaluation.permission import implied_terms
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
        use_tiers(conn, home.tier_plan, START)
    past: list[Match] = []
    watermarks: dict[str, datetime] = {}
    owner = Guest(0, ZONES[1], None, None)
    for now in moments(dice):
        with db.begin() as conn:
            if (
                world.plan
            ):  # the oracle calls each change after its day; one that a refund moved keeps its name elsewhere
                conn.execute(delete(tier_changes))
            rebuild(conn, now)
        result = run_due(db, home, now, workers=3)  # on PostgreSQL three at a time
        assert result.balanced, [
            (rule.rule, rule.problems, rule.bug) for rule in result.rules if rule.problems or not rule.balanced
        ]
        assert result.run is not None
        due = [rule for rule in written if is_active(rule, now, owner)]
        expected = [match for rule in due for match in decide(world, rule, now, past, watermarks.get(rule["id"]))]
        wanted = {(m.rule, m.guest, m.occasion): (m.verdict, m.reason, m.closes) for m in expected}
        found = decided(db, result.run)
        keys = {key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}
        differing = {key: (found.get(key), wanted.get(key)) for key in keys}
        shown = {key[0]: rule for rule in written for key in keys if key[0] == rule["id"]}
        assert not keys, f"at {now} (last {watermarks}): database, oracle: {differing}\n{json.dumps(shown)}"
        past.extend(expected)
        watermarks |= {rule["id"]: now for rule in due}
    return len(past)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_database_and_plain_python_decide_the_same(db: Engine, seed: int) -> None:
    dice = Dice(seed)
    world = a_world(dice)
    home = home_of_cafe(world)
    drawn = [a_rule(dice, home.around, number) for number in range(RULES)]
    drawn = [each for each in drawn if knows(each[0])]
    home = replace(home, rules=tuple(rule for _, rule in drawn))
    assert compare(db, home, world, [data for data, _ in drawn], dice) > 0


@pytest.mark.parametrize("seed", range(200, 200 + WORLDS))
def test_random_conditions_hold_for_the_same_guests(db: Engine, seed: int) -> None:
    dice = Dice(seed)
    world = a_world(dice)
    home = home_of_cafe(world)
    asked = [Draft(dice).conditions() for _ in range(CONDITIONS)]
    drawn = [(each, read({**PLAIN, "conditions": each}, home.around)[0]) for each in asked]
    with db.begin() as conn:
        store_world(conn, world)
        use_tiers(conn, home.tier_plan, START)
    for now in moments(dice)[1::2]:
        with db.begin() as conn:
            rebuild(conn, now)
            for each, made in drawn:
                if made is None or not know(each):
                    continue
                implied = implied_terms(home.config, now)
                scope = Scope(now, zones_in_use(conn), DAY_STARTS, home.segments, implied=implied)
                met = (
                    select(scope.facts.c.customer_id).select_from(scope.guest()).where(all_hold(made.conditions, scope))
                )
                found = set(conn.scalars(met.add_cte(scope.days_table())))
                wanted = {guest.id for guest in world.guests if meets(Seen(world, guest, now), each)}
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
    world.plan, world.country = None, home.config.business.country
    world.segments, world.exclude = document.data, {"any": [{"tag": ["staff", "friend"]}]}
    assert compare(db, home, world, [dict(rule.body) for rule in often], dice) > 0
