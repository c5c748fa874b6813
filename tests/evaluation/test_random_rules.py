"""Random rule files by hypothesis: never a traceback, never SQL that a database refuses, the same guests everywhere.

``REGULARS_FUZZ_SECONDS=300`` looks for that long, ``REGULARS_FUZZ_SEED=7`` elsewhere; without them a few seconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import oracle_triggers
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from oracle import decide, is_active, knows
from oracle_conditions import know
from oracle_world import Guest, World
from random_cafes import SEGMENTS, START, ZONES, Dice, a_world, cafe_config, home_of_cafe
from random_rules import PLAIN, Draft, a_rule, drafts, read, settings_of, settings_that_are, words_of
from small_world import home_of
from sqlalchemy import Connection, Engine, select
from store_cafe import store_world

from engine.database.engines import open_db
from engine.database.facts import rebuild, use_tiers
from engine.database.tables import matches, rules
from engine.evaluation.runner import run_due
from engine.language.rule import Rule
from engine.vocabulary.actions import ACTIONS
from engine.vocabulary.conditions import CONDITIONS
from engine.vocabulary.home import Home
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.triggers import TRIGGERS

SECONDS = float(os.environ.get("REGULARS_FUZZ_SECONDS", "10"))
FIRST = int(os.environ.get("REGULARS_FUZZ_SEED", "0"))
RULES, EXAMPLES = 5, 12

Drawn = Sequence[tuple[dict[str, Any], Rule]]
Decided = dict[tuple[str, int, int], tuple[str, str | None, datetime]]


def decided(db: Engine, home: Home, drawn: Drawn, now: datetime) -> Decided:
    """What the rules decide, leaving no trace."""
    found: Decided = {}

    def look(conn: Connection, run: int, _: Any) -> None:
        asked = select(rules.c.rule, matches).join(rules, rules.c.id == matches.c.rule_id)
        for row in conn.execute(asked.where(matches.c.run_id == run)):
            found[row.rule, row.customer_id, row.occasion] = (row.verdict, row.reason, row.closes)

    result = run_due(db, replace(home, rules=tuple(rule for _, rule in drawn)), now, dry_run=True, look=look)
    assert result.balanced, [(rule.rule, rule.problems, rule.bug) for rule in result.rules if rule.problems]
    return found


def expected(world: World, drawn: Drawn, now: datetime) -> Decided:
    """What the oracle says of those rules whose words it knows."""
    owner = Guest(0, ZONES[1], None, None)
    found = [
        match for data, _ in drawn if knows(data) and is_active(data, now, owner)
        for match in decide(world, data, now, (), None)
    ]  # fmt: skip
    return {(match.rule, match.guest, match.occasion): (match.verdict, match.reason, match.closes) for match in found}


@contextmanager
def two_databases(request: pytest.FixtureRequest, folder: Path, number: int) -> Iterator[list[Engine]]:
    """An empty database on SQLite, and one on PostgreSQL where it is installed."""
    file = folder / f"{number}.db"
    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), file)
    server = request.getfixturevalue("postgres_server")
    name = server.create(server.migrated)
    dbs = [open_db(f"sqlite:///{file}"), open_db(server.url(name))]
    yield dbs
    for db in dbs:
        db.dispose()
    server.drop(name)
    file.unlink()


def test_random_rules_decide_the_same_on_both_databases_and_in_plain_python(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    until = time.monotonic() + SECONDS
    for number in count(FIRST):
        dice = Dice(number)
        world, now = a_world(dice), START + timedelta(days=dice.randrange(40, 130), hours=dice.randrange(24))
        home = home_of_cafe(world)
        with two_databases(request, tmp_path, number) as dbs:
            for db in dbs:
                with db.begin() as conn:
                    store_world(conn, world)
                    use_tiers(conn, home.tier_plan, now)
                    rebuild(conn, now)
            look_at(dbs, home, world, now, number=number, until=until)
        if time.monotonic() > until:
            break


def look_at(dbs: list[Engine], home: Home, world: World, now: datetime, *, number: int, until: float) -> None:
    """Let hypothesis write rules for one café."""

    @seed(number)
    @settings(max_examples=EXAMPLES, database=None, derandomize=False, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=True))  # else hypothesis keeps book of thousands of throws a file
    def look(chance: random.Random) -> None:
        drawn = [a_rule(chance, home.around, each) for each in range(RULES)]
        if time.monotonic() > until:
            return
        wanted = expected(world, drawn, now)
        answers = [decided(db, home, drawn, now) for db in dbs]
        known = {data["id"] for data, _ in drawn if knows(data)}
        for answer in answers:
            compare(answer, answers[0], drawn, f"at {now}: this database, SQLite")
            compare(
                {key: value for key, value in answer.items() if key[0] in known}, wanted, drawn, f"at {now}: {number}"
            )

    look()


def compare(found: Decided, wanted: Decided, drawn: Drawn, about: str) -> None:
    keys = {key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}
    shown = [json.dumps(data, ensure_ascii=False) for data, _ in drawn if data["id"] in {key[0] for key in keys}]
    assert not keys, "\n".join([about, *shown, *(f"{k}: {found.get(k)}, {wanted.get(k)}" for k in sorted(keys)[:9])])


def test_every_word_and_every_setting_of_the_vocabulary_is_drawn() -> None:
    """A word that nobody ever draws would be compared with nothing; the names that it needs stand in random_rules."""
    home = home_of(cafe_config(None), json.dumps(SEGMENTS))
    words, settings_of_words = {*TRIGGERS, *CONDITIONS, *ACTIONS}, settings_that_are(rule_schema())
    dice = random.Random(1)
    for data, rule in islice(drafts(dice, home.around), 1200):
        words -= words_of(data) if rule is not None else set()
        if not words:
            break
    for _ in range(1500 if words else 0):
        data = {**PLAIN, "conditions": Draft(dice).conditions()}
        words -= words_of(data) if read(data, home.around)[0] is not None else set()
        if not words:
            break
    for _ in range(6000):
        settings_of_words -= settings_of(Draft(dice).rule())
        if not settings_of_words:
            break
    assert not words, "never drawn in a file that is right"
    assert not settings_of_words, "never drawn"


def test_the_oracle_knows_every_word() -> None:
    """What it does not know is not compared with it."""
    assert set(TRIGGERS) == set(oracle_triggers.TRIGGERS)
    asked = {word: None for word in CONDITIONS if word not in {"any", "all", "none", "attribute.<name>"}}
    assert know(asked)
