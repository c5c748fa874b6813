"""Who can have become a candidate since the last time is all that a rule looks at, and it finds the same guests.

Random walks: time passes, orders come in (late ones and ones of days to come too), are given back, points run out,
guests join, rules are edited and paused, segments change. Each run is held against one that looks at everybody.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from small_world import CHICAGO, DAY_STARTS, Cafe, rule_of
from sqlalchemy import Engine, delete, event, update
from walk import BEGIN, Walk, decided

from engine.database.facts import rebuild, recompute
from engine.database.plans import read_whole
from engine.database.tables import matches, rules, touched
from engine.evaluation import runner
from engine.evaluation.compiler import Rows, compile_rule
from engine.vocabulary.scope import Scope, Zone


@contextmanager
def statements(db: Engine) -> Iterator[list[bool]]:
    """For each rule that is evaluated whether it looks only at those who moved."""
    seen: list[bool] = []

    def saw(_conn: Any, _cursor: Any, statement: str, *_: object) -> None:
        if "INSERT INTO matches" in statement:
            seen.append(re.search(r"\bmoved AS MATERIALIZED", statement) is not None)

    event.listen(db, "before_cursor_execute", saw)
    yield seen
    event.remove(db, "before_cursor_execute", saw)


@pytest.mark.usefixtures("alone")
def test_a_run_that_looks_at_those_who_moved_decides_what_one_does_that_looks_at_everybody(
    db: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite = db.dialect.name == "sqlite"
    number = iter(range(1_000))

    @seed(11)
    @settings(max_examples=2 if sqlite else 1, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=True))
    def walk(dice: random.Random) -> None:
        with db.begin() as conn:
            for table in reversed(matches.metadata.sorted_tables):
                conn.execute(delete(table))
        cafe = Cafe(db)
        cafe._numbers = iter(range(next(number) * 10_000 + 1, 10**9))
        Walk(dice, cafe, monkeypatch).goes(6 if sqlite else 5, 6)

    with statements(db) as seen:
        walk()
    assert any(seen)


RULE = "trigger:\n  lapsed:\n    after: 10 days\n    up_to: 40 days\nconditions:\n  orders:\n    at_least: 2\n"


@pytest.fixture
def quiet(cafe: Cafe) -> tuple[Cafe, int]:
    """A guest of one visit, 20 days ago, at whom the rule has looked."""
    guest = cafe.guest()
    cafe.order(guest, BEGIN - timedelta(days=20))
    with cafe.db.begin() as conn:
        rebuild(conn, BEGIN)
    assert daily(cafe, RULE, BEGIN) == set()
    assert daily(cafe, RULE, BEGIN + timedelta(days=1)) == set()
    return cafe, guest


def daily(cafe: Cafe, rule: str, now: datetime) -> set[int]:
    found = decided(cafe.db, cafe.home, (rule_of(rule, cafe.home),), now)
    return {guest for _, guest, _ in found}


@pytest.mark.usefixtures("alone")
def test_an_order_of_long_ago_that_comes_in_late_is_not_lost(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    with statements(cafe.db) as seen:
        assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == {guest}
    assert seen == [True]


@pytest.mark.usefixtures("alone")
def test_of_whom_something_was_written_is_judged_by_the_day_of_the_own_last_visit(
    quiet: tuple[Cafe, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cafe, guest = quiet
    lately = cafe.guest()
    for days in (3, 4):
        cafe.order(lately, BEGIN - timedelta(days=days))
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest, lately], BEGIN)
    asked = cafe.db, cafe.home, (rule_of(RULE, cafe.home),), BEGIN + timedelta(days=2)
    with monkeypatch.context() as patch:
        patch.setattr(runner._Evaluation, "_seen_tick", lambda *_: None)
        wanted = decided(*asked, dry_run=True)
    with statements(cafe.db) as seen:
        assert decided(*asked) == wanted
    assert ({customer for _, customer, _ in wanted}, seen) == ({guest}, [True])


def test_what_an_import_commits_only_after_a_run_is_seen_by_the_next(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    if cafe.db.dialect.name == "sqlite":
        pytest.skip("it has one writer at a time")
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as importing:
        recompute(importing, [guest], BEGIN)
        cafe.guest()  # others write and commit meanwhile
        assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == set()
    assert daily(cafe, RULE, BEGIN + timedelta(days=3)) == {guest}


def test_it_is_found_by_the_note_alone(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
        conn.execute(delete(touched))
    assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == set()


@pytest.mark.usefixtures("alone")
def test_a_rule_that_was_edited_looks_at_everybody_once(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    edited = RULE.replace("at_least: 2", "at_least: 1")
    with statements(cafe.db) as seen:
        assert daily(cafe, edited, BEGIN + timedelta(days=2)) == {guest}
        assert daily(cafe, edited, BEGIN + timedelta(days=3)) == set()
    assert seen == [False, True]


def test_facts_that_were_all_made_anew_are_all_looked_at(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        rebuild(conn, BEGIN)
    with statements(cafe.db) as seen:
        assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == {guest}
    assert seen == [False]


@pytest.mark.usefixtures("alone")
def test_what_no_rule_asks_about_any_more_is_dropped(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    for day in (2, 3, 4):
        daily(cafe, RULE, BEGIN + timedelta(days=day))
    assert cafe.rows(touched) == []


def test_what_was_written_since_the_last_run_is_not_dropped_with_what_is_older(quiet: tuple[Cafe, int]) -> None:
    cafe, guest = quiet
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == set()
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    assert daily(cafe, RULE, BEGIN + timedelta(days=3)) == {guest}


@pytest.mark.parametrize("days", [-12, 0.5, 60], ids=["long ago", "before the last run", "far ahead"])
def test_a_run_at_another_time_takes_nothing_from_the_rules_that_it_does_not_ask(
    quiet: tuple[Cafe, int], days: float
) -> None:
    """For such a run the rule is not fresh, and what was noted for it may go: then it looks at everybody once."""
    cafe, guest = quiet
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    other = (rule_of(f"id: other\n{RULE}", cafe.home),)
    decided(cafe.db, cafe.home, other, BEGIN + timedelta(days=days), started_at=BEGIN + timedelta(days=1.5))
    assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == {guest}


def test_what_is_written_on_another_server_is_not_taken_for_older_than_it_is(quiet: tuple[Cafe, int]) -> None:
    """A database that was put back where ticks are lower: they reach those of its rules before the next run."""
    cafe, guest = quiet
    if cafe.db.dialect.name == "sqlite":
        pytest.skip("its ticks are of the database itself")
    with cafe.db.begin() as conn:
        conn.execute(update(rules).values(seen_tick=rules.c.seen_tick + 20))
    cafe.order(guest, BEGIN - timedelta(days=100))
    with cafe.db.begin() as conn:
        recompute(conn, [guest], BEGIN)
    for _ in range(40):
        with cafe.db.begin() as conn:
            conn.execute(update(rules).values(path=rules.c.path))
    assert daily(cafe, RULE, BEGIN + timedelta(days=2)) == {guest}


@pytest.mark.usefixtures("alone")
def test_a_rule_that_nobody_called_for_weeks_keeps_nothing(quiet: tuple[Cafe, int]) -> None:
    cafe, _ = quiet
    other = RULE.replace("10 days", "12 days")
    for day in (30, 60, 90):
        found = decided(cafe.db, cafe.home, (rule_of(f"id: other\n{other}", cafe.home),), BEGIN + timedelta(days=day))
        assert found == {}
    with cafe.db.begin() as conn:
        recompute(conn, [1], BEGIN)
    decided(cafe.db, cafe.home, (rule_of(f"id: other\n{other}", cafe.home),), BEGIN + timedelta(days=91))
    decided(cafe.db, cafe.home, (rule_of(f"id: other\n{other}", cafe.home),), BEGIN + timedelta(days=92))
    assert cafe.rows(touched) == []
    with statements(cafe.db) as seen:
        assert daily(cafe, RULE, BEGIN + timedelta(days=93)) == set()
    assert seen == [False]


def test_however_many_zones_there_are_those_who_moved_are_found_first(cafe: Cafe) -> None:
    if cafe.db.dialect.name == "postgresql":
        pytest.skip("with statistics of its tables it decides by them, and these are empty")
    rule, zones = rule_of(RULE, cafe.home), [Zone(number, ZoneInfo(CHICAGO)) for number in range(1, 401)]
    scope = Scope(BEGIN, zones, DAY_STARTS, watermark=BEGIN - timedelta(days=1), seen_tick=0)
    with cafe.db.connect() as conn:
        assert read_whole(conn, compile_rule(rule, scope, Rows(1, 1, 1))) == set()
