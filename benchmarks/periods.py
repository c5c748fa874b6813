"""What lies within a period: looked up among the orders of each candidate, or read from a roll-up of each guest's days.

No bar: the two were measured to choose between them (docs/performance.md). The roll-up is made here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Select,
    Table,
    cast,
    func,
    insert,
    select,
    true,
)

from benchmarks.crowd import AS_OF, next_day
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair
from engine.database.counting import counts, net_total
from engine.database.sql import unindexed, upsert
from engine.database.tables import orders
from engine.evaluation.register import zones_in_use
from engine.language.problems import errors, to_text
from engine.language.yamlfile import parse
from engine.vocabulary.scope import Scope
from engine.vocabulary.validate import rule_from

_DAYS, _LEAST = 60, 3_000
_RULE: Final = f"""id: big-spender
trigger:
  every: month
conditions:
  spend:
    within: {_DAYS} days
    at_least: {_LEAST // 100}
actions:
  - email:
      template: reward-waiting
"""
#: Whoever was here last so many days ago: as many as a rule of absence asks of on one day.
_AGO: Final = 30

_totals = Table(
    "bench_totals",
    MetaData(),
    Column("customer_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("total", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the look-up beside the roll-up, of the guests of a day and of all, and what its upkeep costs."""
    for on in ground.databases:
        for name, of, few in (("few", f"whoever was here last {_AGO} days ago", True), ("all", "all guests", False)):
            yield Measure(
                f"period-{name}",
                f"spend within {_DAYS} days, {of}: looked up / from a roll-up",
                None,
                partial(_looked_up, ground, on, few=few),
                "a roll-up of each guest's days",
                database=on,
            )
        yield Measure(
            "period-upkeep",
            "a day's orders with such a roll-up kept up / without",
            None,
            partial(_kept_up, ground, on),
            "bare insert of the orders",
            database=on,
        )


def _asked(world: World, scope: Scope, enough: ColumnElement[bool], *, few: bool) -> Callable[[], Sequence[int]]:
    """Give a way to ask whose spend is enough, by id; the statement is put together once."""
    its = scope.facts.c
    lately = its.last_order_day == AS_OF.toordinal() - _AGO if few else true()
    asked = select(its.customer_id).select_from(scope.guest()).where(lately, enough).order_by(its.customer_id)
    statement = asked.add_cte(scope.days_table())

    def ask() -> Sequence[int]:
        with world.db.connect() as conn:
            return conn.scalars(statement).all()

    return ask


def _from_totals(scope: Scope) -> ColumnElement[bool]:
    """SQL: what the condition says, from the roll-up; the facts are asked first, as the condition does."""
    its, since = scope.facts.c, scope.day("bench", lambda today: type(today).fromordinal(today.toordinal() - _DAYS))
    t = _totals.c
    spent = select(func.coalesce(func.sum(t.total), 0)).where(t.customer_id == its.customer_id, t.day > since)
    sums = spent.correlate(scope.facts, scope.days).scalar_subquery()
    return (its.spend >= _LEAST) & (its.last_order_day > since) & (sums >= _LEAST)


def _days(since: ColumnElement[bool]) -> Select[Any]:
    """SQL: a guest, a day, and what was paid on it less what was given back; unindexed: SQLite would read all."""
    o = orders.c
    paid = cast(func.sum(net_total(orders, AS_OF)), BigInteger)
    mine = (o.customer_id.is_not(None), counts(orders, AS_OF), since)
    return select(o.customer_id, o.day, paid).where(*mine).group_by(unindexed(o.customer_id), o.day)


@contextmanager
def _rolled(world: World) -> Iterator[World]:
    with world.copy() as mine:
        with mine.db.begin() as conn:
            _totals.create(conn)
            conn.execute(insert(_totals).from_select(["customer_id", "day", "total"], _days(true())))
        with mine.db.begin() as conn:
            if conn.dialect.name == "postgresql":
                conn.exec_driver_sql(f"ANALYZE {_totals.name}")
        yield mine


@contextmanager
def _looked_up(ground: Ground, on: str, *, few: bool) -> Iterator[Pair]:
    world = ground.shared("rolled", ground.world(on), _rolled)
    document, problems = parse(_RULE, "rules/big-spender.yaml")
    assert document is not None, to_text(problems)
    rule, problems = rule_from(document, world.home.around)
    assert rule is not None, to_text(errors(problems))
    with world.db.connect() as conn:
        zones = zones_in_use(conn)
    scopes = [Scope(AS_OF, zones, world.home.config.day_starts) for _ in range(2)]
    looked_up = _asked(world, scopes[0], rule.conditions[0].sql(scopes[0]), few=few)
    rolled = _asked(world, scopes[1], _from_totals(scopes[1]), few=few)
    found = looked_up()

    def check() -> None:
        if rolled() != found or not found:
            raise Mismatch("the roll-up gives other guests, or none")

    yield Pair(ours=looked_up, opponent=rolled, check=check, note=f"{len(found):,} guests have spent enough.")


@contextmanager
def _kept_up(ground: Ground, on: str) -> Iterator[Pair]:
    world = ground.shared("rolled", ground.world(on), _rolled)
    rows = list(next_day(world.size))
    yield Pair(
        ours=lambda: _taken_in(world, rows, rolled=True),
        opponent=lambda: _taken_in(world, rows, rolled=False),
        note="In one transaction, which is rolled back.",
    )


def _taken_in(world: World, rows: Sequence[Mapping[str, Any]], *, rolled: bool) -> None:
    with world.db.connect() as conn, conn.begin() as transaction:
        last = conn.scalar(select(func.max(orders.c.id))) or 0
        conn.execute(insert(orders), list(rows))
        if rolled:
            made = upsert(conn, _totals).from_select(["customer_id", "day", "total"], _days(orders.c.id > last))
            more = _totals.c.total + made.excluded.total
            keys = ["customer_id", "day"]
            conn.execute(made.on_conflict_do_update(index_elements=keys, set_={"total": more}))
        transaction.rollback()
