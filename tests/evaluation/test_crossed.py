"""Who can have become a candidate since the last time is all that a rule looks at, and it finds the same guests.

Random walks: time passes, orders come in (late ones and ones of days to come too), are given back, points run out,
guests join, rules are edited and paused, segments change. Each run is held against one that looks at everybody.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from small_world import BERLIN, CHICAGO, CONFIG, DAY_STARTS, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, delete, event, select, update

from engine.database.facts import rebuild, recompute
from engine.database.facts_delta import apply_delta
from engine.database.plans import read_whole
from engine.database.tables import customers, matches, orders, rules, touched
from engine.evaluation import runner
from engine.evaluation.compiler import Rows, compile_rule
from engine.language.rule import Rule
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope, Zone

BEGIN = at("2026-05-04 10:00")
SEGMENTS = (
    "best:\n  conditions:\n    any:\n      - tier: gold\n      - spend:\n          within: 60 days\n          at_least: 30\n",
    "best:\n  conditions:\n    visits:\n      at_least: 2\n",
)
TRIGGERS = (
    "lapsed:\n    after: {days} days\n    up_to: {more} days",
    "lapsed:\n    after: {days} days\n    up_to: {more} days\n    total:\n      at_least: 10",
    "at_risk:\n    times: {times}\n    min_visits: 3\n    at_least: {few} days\n    up_to: {more} days",
    "every:\n    period: week\n    on: {day}",
    "every: month",
    "on_date: 2026-05-{date:02}",
    "joined: {few} days",
    "ordered:\n    count: 2",
)
CONDITIONS = (
    "orders:\n    at_least: 2",
    "orders:\n    within: 30 days\n    at_least: 1",
    "visits:\n    within: 40 days\n    at_most: 2",
    "spend:\n    within: 60 days\n    at_least: 25",
    "points:\n    less_than: 100",
    "points:\n    at_least: 50",
    "segment: best",
    "none:\n    - segment: best",
    "none:\n    - orders:\n        within: 20 days\n        at_least: 1",
    "days_since_order:\n    at_least: 12",
    "tier: gold",
    "any:\n    - tier: gold\n    - city: Springfield",
    "average_order:\n    at_least: 12",
)


@dataclass
class Walk:
    """A café over some weeks, and rules that change."""

    dice: random.Random
    cafe: Cafe
    level: pytest.MonkeyPatch
    now: datetime = BEGIN
    guests: list[int] = field(default_factory=list)
    placed: list[tuple[int, int]] = field(default_factory=list)  #: order and guest
    written: list[str] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)
    home: Home = field(default_factory=lambda: home_of(CONFIG, SEGMENTS[0]))

    def a_rule(self, number: int) -> str:
        few = self.dice.randint(1, 8)
        days = {"days": few + self.dice.randint(0, 20), "few": few, "times": self.dice.choice((1, 1.5, 3))}
        days |= {"more": days["days"] + self.dice.randint(1, 25), "date": self.dice.randint(4, 31)}
        trigger = self.dice.choice(TRIGGERS).format(**days, day=self.dice.choice(("mon", "wed", "sun")))
        asked = self.dice.sample(CONDITIONS, self.dice.randint(0, 2))
        kinds = {each.split(":")[0]: each for each in asked}
        conditions = "conditions:\n" + "".join(f"  {each}\n" for each in kinds.values()) if kinds else ""
        return f"id: r{number}\ntrigger:\n  {trigger}\n{conditions}limits:\n  again_after: 1 day\n"

    def happens(self) -> None:
        """Something of the café's day is written, as importers write it."""
        what = self.dice.choice((
            self.joins, self.orders, self.orders, self.orders, self.late_order, self.gives_back, self.points,
            self.tier, self.edits, self.pauses, self.other_segment, self.moves,
        ))  # fmt: skip
        what()

    def joins(self) -> None:
        joined = self.now - timedelta(hours=self.dice.randint(-80, 200))
        zone = self.dice.choice((CHICAGO, BERLIN))
        self.guests.append(self.cafe.guest(zone=zone, joined=self.dice.choice((joined, None)), city="Springfield"))
        self.anew(self.guests[-1])

    def orders(self) -> None:
        """Orders of the last hours, taken in by the delta, one of them perhaps of a time to come."""
        with self.cafe.db.connect() as conn:
            last = conn.scalar(select(orders.c.id).order_by(orders.c.id.desc()).limit(1)) or 0
        for guest in self.dice.sample(self.guests, self.dice.randint(1, 3)):
            self.order(guest, self.now - timedelta(hours=self.dice.randint(-20, 30)))
        with self.cafe.db.begin() as conn:
            apply_delta(conn, after_id=last, as_of=self.now)

    def late_order(self) -> None:
        """An order of long ago is in a file only now."""
        guest = self.dice.choice(self.guests)
        self.order(guest, self.now - timedelta(hours=self.dice.randint(30, 1500)))
        self.anew(guest)

    def order(self, guest: int, when: datetime) -> None:
        self.placed.append((self.cafe.order(guest, when, self.dice.choice((500, 1000, 3000))), guest))

    def gives_back(self) -> None:
        if self.placed:
            order, guest = self.dice.choice(self.placed)
            self.cafe.refund(order, self.now + timedelta(hours=self.dice.randint(-40, 40)))
            self.anew(guest)

    def points(self) -> None:
        guest = self.dice.choice(self.guests)
        ends = self.now + timedelta(hours=self.dice.randint(1, 300))
        self.cafe.points(guest, self.now, self.dice.choice((40, 90, 200)), self.dice.choice((ends, None)))
        self.anew(guest)

    def tier(self) -> None:
        guest, tier = self.dice.choice(self.guests), self.dice.choice(("gold", "silver"))
        self.customer(guest, tier=tier, tier_key=tier)

    def moves(self) -> None:
        city = self.dice.choice(("springfield", "elsewhere"))
        self.customer(self.dice.choice(self.guests), city_key=city)

    def customer(self, guest: int, **values: Any) -> None:
        with self.cafe.db.begin() as conn:
            conn.execute(update(customers).where(customers.c.id == guest).values(**values))
        self.anew(guest)

    def anew(self, guest: int) -> None:
        with self.cafe.db.begin() as conn:
            recompute(conn, [guest], self.now)

    def edits(self) -> None:
        number = self.dice.randrange(len(self.written))
        self.written[number] = self.a_rule(number)

    def pauses(self) -> None:
        self.paused ^= {self.dice.randrange(len(self.written))}

    def other_segment(self) -> None:
        self.home = home_of(CONFIG, self.dice.choice(SEGMENTS))

    def made(self) -> tuple[Rule, ...]:
        read = [rule_of(text, self.home) for number, text in enumerate(self.written) if number not in self.paused]
        return tuple(read)

    def goes(self, steps: int, rules_at_once: int) -> None:
        for _ in range(12):
            self.joins()
        for guest in self.guests:
            for _ in range(self.dice.randint(0, 5)):
                self.order(guest, self.now - timedelta(hours=self.dice.randint(1, 1400)))
        with self.cafe.db.begin() as conn:
            rebuild(conn, self.now)
        self.written = [self.a_rule(number) for number in range(rules_at_once)]
        for step in range(steps):
            self.looks(f"step {step}")
            for _ in range(self.dice.randint(0, 5)):
                self.happens()
            self.now += self.dice.choice(
                (timedelta(minutes=15), timedelta(days=1), timedelta(days=1), timedelta(days=5))
            )

    def looks(self, about: str) -> None:
        """What a run decides is what one decides that looks at everybody."""
        made = self.made()
        with self.level.context() as patch:
            patch.setattr(runner._Evaluation, "_seen_tick", lambda *_: None)
            wanted = decided(self.cafe.db, self.home, made, self.now, dry_run=True)
        assert decided(self.cafe.db, self.home, made, self.now) == wanted, f"{about}, {self.now}: {self.written}"


def decided(db: Engine, home: Home, made: tuple[Rule, ...], now: datetime, **options: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}

    def look(conn: Any, run: int, _: Any) -> None:
        asked = select(rules.c.rule, matches).join(rules, rules.c.id == matches.c.rule_id)
        for row in conn.execute(asked.where(matches.c.run_id == run)):
            found[row.rule, row.customer_id, row.occasion] = (row.verdict, row.reason, row.closes)

    result = runner.run_due(db, replace(home, rules=made), now, look=look, **options)
    assert result.balanced, [(rule.rule, rule.problems, rule.bug) for rule in result.rules if rule.problems]
    return found


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
