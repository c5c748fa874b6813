"""The twelve shipped rules, guards included, against one bare scan of the orders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy import func, select

from benchmarks.crowd import AS_OF
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair, at_most
from engine.database.tables import matches, orders
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due

DAY = timedelta(days=1)
RULES = 12


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the first run, the next day's, and a second one on the same day."""
    for database in ground.databases:
        yield Measure(
            id="first",
            name="first run of the twelve rules / a bare scan of orders",
            bar=at_most(1.2),
            prepare=partial(_first, ground, database),
            opponent="bare scan",
            database=database,
        )
        yield Measure(
            id="daily",
            name="the next day's run / a bare scan of orders",
            bar=at_most(0.15, plus=0.015 * RULES),
            prepare=partial(_daily, ground, database),
            opponent="bare scan",
            database=database,
        )


def scan(world: World) -> None:
    """Read every order once: how many, their sum, the newest day."""
    with world.db.connect() as conn:
        conn.execute(select(func.count(), func.sum(orders.c.total), func.max(orders.c.day))).one()


@contextmanager
def _first(ground: Ground, database: str) -> Iterator[Pair]:
    world = ground.world(database)

    def check() -> None:
        _sound(run_due(world.db, world.home, AS_OF, dry_run=True))

    yield Pair(
        ours=lambda: run_due(world.db, world.home, AS_OF, dry_run=True), opponent=lambda: scan(world), check=check
    )


@contextmanager
def _daily(ground: Ground, database: str) -> Iterator[Pair]:
    with ground.world(database).copy() as world:
        _sound(run_due(world.db, world.home, AS_OF))
        with world.db.connect() as conn:
            before = conn.scalar(select(func.count()).select_from(matches))

        def day() -> None:
            run_due(world.db, world.home, AS_OF + DAY, dry_run=True)

        def check() -> None:
            _sound(run_due(world.db, world.home, AS_OF + DAY, dry_run=True))
            with world.db.connect() as conn:
                if conn.scalar(select(func.count()).select_from(matches)) != before:
                    raise Mismatch("a dry run has written matches")

        yield Pair(ours=day, opponent=lambda: scan(world), check=check)


def _sound(result: RunResult) -> None:
    problems = [problem for rule in result.rules for problem in rule.problems]
    if not result.balanced or problems:
        raise Mismatch(f"a run that does not balance says nothing: {problems}")
