"""Compiled statements against the best hand-written ones, rule by rule and all together.

Ours is what the driver is given: every statement of a dry run that writes matches, dispatches or coupons, timed at the
cursor. The other side's statements go through the bare driver. Both are rolled back.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import event, func, select

from benchmarks.byhand import DISPATCH_COLUMNS, Moment, Written
from benchmarks.byhand_rules import written
from benchmarks.byhand_steps import statements
from benchmarks.crowd import AS_OF
from benchmarks.evaluation import NEXT, known, later
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair, at_most
from engine.database.tables import contents, matches, rule_versions, rules, runs, zones
from engine.evaluation.queue import offer_terms
from engine.evaluation.runner import Look, run_due

_INTO: Final = re.compile(r"INSERT INTO (\w+)")
#: What a run writes beside the outbox.
_BESIDE: Final = frozenset({"rules", "rule_versions", "contents", "runs", "audit", "customer_facts"})
_HAND: Final = "SQL by hand through the bare driver"
RULES: Final = (
    "low-rating", "birthday", "catering-thanks", "welcome", "second-visit", "tenth-visit", "first-lunch",
    "reward-waiting", "at-risk", "big-spender-quiet", "win-back", "long-lost",
)  # fmt: skip

Rows = dict[str, set[tuple[Any, ...]]]


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the total of the first run and of the next day's, and each rule of the first run."""
    for on in ground.databases:
        total = "compiled statements of the twelve rules, {}"
        yield Measure(
            "sql-first", total.format("first run"), at_most(1.3), partial(_first, ground, on, RULES), _HAND, database=on
        )
        yield Measure(
            "sql-daily", total.format("the next day"), at_most(1.3), partial(_daily, ground, on), _HAND, database=on
        )
        for rule in RULES:
            yield Measure(
                f"sql-rule-{rule}",
                f"compiled statements of {rule}, first run",
                at_most(1.5, over=0.05),
                partial(_first, ground, on, (rule,)),
                _HAND,
                database=on,
            )


@contextmanager
def _first(ground: Ground, on: str, names: Sequence[str]) -> Iterator[Pair]:
    yield from _pair(known(ground, on), AS_OF, names)


@contextmanager
def _daily(ground: Ground, on: str) -> Iterator[Pair]:
    yield from _pair(later(ground, on), NEXT, RULES)


def _pair(world: World, now: datetime, names: Sequence[str]) -> Iterator[Pair]:
    ours = Compiled(world, now, names)
    with closing(Bare(world, now, names, ours.held())) as bare:
        yield Pair(
            ours=ours.run,
            opponent=bare.run,
            check=lambda: same(ours.rows(), bare.rows()),
            note="Statements only, timed at the driver; both rolled back. Both have the same rows: verdicts, reasons, "
            "states, due times and coupons are compared.",
        )


def same(ours: Rows, others: Rows) -> None:
    """Raise ``Mismatch`` where the two have not written the same, with the first that one of them lacks."""
    for table, mine in ours.items():
        if mine != others[table]:
            lacks, more = sorted(mine - others[table], key=str)[:1], sorted(others[table] - mine, key=str)[:1]
            raise Mismatch(f"{table}: {len(mine)} and {len(others[table])} rows; only ours {lacks}, only theirs {more}")


def _rows(ask: Callable[[str], Iterable[Any]], run: int) -> Rows:
    """Everything of a run, by what it is and not by its numbers."""
    who = "m.rule_id, m.customer_id, m.occasion FROM matches m"
    of_run = f"WHERE m.run_id = {run}"
    columns = (
        "matched_at, closes, verdict, reason, email_block, sms_block, email_id, sms_id, store_id, order_id",
        "rating_id",
    )
    of_match = ", ".join(f"m.{name}" for name in ", ".join(columns).split(", "))
    columns_of_dispatch = DISPATCH_COLUMNS.replace("match_id, ", "").replace("rule_id, customer_id, ", "").split(", ")
    of_dispatch = ", ".join(f"d.{name}" for name in columns_of_dispatch)
    joined = "JOIN dispatches d ON d.match_id = m.id"
    asked = {
        "matches": f"SELECT {of_match}, {who} {of_run}",
        "dispatches": f"SELECT {of_dispatch}, {who} {joined} {of_run}",
        "coupons": f"SELECT k.offer, d.step, {who} {joined} JOIN coupons k ON k.dispatch_id = d.id {of_run}",
    }
    return {table: {tuple(row) for row in ask(statement)} for table, statement in asked.items()}


class Compiled:
    """Our side: a dry run, its writing statements timed where the driver is called."""

    def __init__(self, world: World, now: datetime, names: Sequence[str]) -> None:
        self._world, self._now = world, now
        self._only = names[0] if len(names) == 1 else None
        self._seconds, self._begun = 0.0, 0.0

    def run(self, look: Look | None = None) -> float:
        """Give the seconds of the statements that write."""
        self._seconds = 0.0
        event.listen(self._world.db, "before_cursor_execute", self._before)
        event.listen(self._world.db, "after_cursor_execute", self._after)
        try:
            run_due(self._world.db, self._world.home, self._now, only=self._only, dry_run=True, look=look)
        finally:
            event.remove(self._world.db, "before_cursor_execute", self._before)
            event.remove(self._world.db, "after_cursor_execute", self._after)
        return self._seconds

    def held(self) -> dict[str, str | None]:
        """Give why each rule's messages wait, by rule."""
        result = run_due(self._world.db, self._world.home, self._now, only=self._only, dry_run=True)
        return {rule.rule: rule.held for rule in result.rules}

    def rows(self) -> Rows:
        """Give what it writes."""
        found: list[Rows] = []
        self.run(lambda conn, run, _: found.append(_rows(conn.exec_driver_sql, run)))
        return found[0]

    def matched(self) -> set[tuple[Any, ...]]:
        """Give who is matched: (rule, guest, occasion, verdict, reason)."""
        found: set[tuple[Any, ...]] = set()
        columns = (rules.c.rule, matches.c.customer_id, matches.c.occasion, matches.c.verdict, matches.c.reason)
        asked = select(*columns).join(rules, rules.c.id == matches.c.rule_id)
        self.run(lambda conn, run, _: found.update(map(tuple, conn.execute(asked.where(matches.c.run_id == run)))))
        return found

    def _before(self, *_: object) -> None:
        self._begun = time.perf_counter()

    def _after(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        written = _INTO.search(statement)
        if written and written[1] not in _BESIDE:
            self._seconds += time.perf_counter() - self._begun


class Bare:
    """The statements by hand, through the bare driver."""

    def __init__(self, world: World, now: datetime, names: Sequence[str], held: Mapping[str, str | None]) -> None:
        self._conn = connected(world)
        self._at = int(now.timestamp())
        with world.db.connect() as conn:
            places = {row.id: ZoneInfo(row.name) for row in conn.execute(select(zones))}
            known = {row.rule: row.id for row in conn.execute(select(rules.c.rule, rules.c.id))}
            versions = {row.rule_id: row.id for row in conn.execute(select(rule_versions).order_by(rule_versions.c.id))}
            bodies = {row.template: row.id for row in conn.execute(select(contents.c.template, contents.c.id))}
            self._run = (conn.scalar(select(func.max(runs.c.id))) or 0) + 1_000
        moment = Moment(now, places, sqlite=world.name == "sqlite")
        by_id = {rule.id: rule for rule in written(moment)}
        self._statements: list[str] = []
        for name in names:
            rule, rows = by_id[name], (known[name], versions.get(known[name], 0), self._run)
            self._statements += statements(rule, moment, rows, (bodies, held[name], _terms(world, rule)))

    def run(self) -> float:
        """Give the seconds of the statements."""
        return self._rolled_back(lambda: None)

    def rows(self) -> Rows:
        """Give what they write."""
        found: list[Rows] = []
        self._rolled_back(lambda: found.append(_rows(self._conn.execute, self._run)))
        return found[0]

    def close(self) -> None:
        """Close the connection."""
        self._conn.close()

    def _rolled_back(self, then: Callable[[], object]) -> float:
        self._conn.execute("BEGIN IMMEDIATE" if isinstance(self._conn, sqlite3.Connection) else "BEGIN")
        try:
            row = f"{self._run}, {self._at}, {self._at}, '-', 0"
            self._conn.execute(f"INSERT INTO runs (id, as_of, started_at, host, pid) VALUES ({row})")
            begun = time.perf_counter()
            for statement in self._statements:
                self._conn.execute(statement)
            took = time.perf_counter() - begun
            then()
        finally:
            self._conn.execute("ROLLBACK")
        return took


def _terms(world: World, rule: Written) -> str:
    """Give what the coupon promises, as JSON."""
    if rule.coupon is None:
        return ""
    step = next(step.settings for each in world.home.rules if each.id == rule.id for step in each.steps)
    return json.dumps(offer_terms(world.home.offers[rule.coupon[1]], step), ensure_ascii=False)


def connected(world: World) -> Any:
    """The bare driver, with the settings that ``open_db`` gives."""
    if world.name == "sqlite":
        conn = sqlite3.connect(world.url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
        for pragma in ("foreign_keys = ON", "secure_delete = ON", "synchronous = FULL"):
            conn.execute(f"PRAGMA {pragma}")
        return conn
    import psycopg

    return psycopg.connect(world.url, autocommit=True, options="-c jit=off -c timezone=UTC")
