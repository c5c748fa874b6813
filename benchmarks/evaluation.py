"""The twelve shipped rules, guards included, into the committed outbox, against one bare scan of the orders.

``first``: nothing was ever run. ``daily``: the next day, with its orders in, after a first run that was approved.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import func, insert, select, update

from benchmarks.crowd import AS_OF, next_day
from benchmarks.ground import Ground, World
from benchmarks.limits import ROOT, environment
from benchmarks.measure import Measure, Mismatch, Pair, at_most, grows
from benchmarks.undo import Undo
from engine.database.facts import bring_to
from engine.database.facts_delta import apply_delta
from engine.database.tables import orders, rules
from engine.dispatch import health
from engine.dispatch.approve import approve
from engine.evaluation.abreast import MOST
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due

NEXT: Final = AS_OF + timedelta(days=1)
RULES: Final = 12
_WORKERS: Final = min(MOST, max(2, os.cpu_count() or 1))
_SCAN: Final = "bare scan: count, sum and newest day of all orders"
_DAILY: Final = at_most(0.15, plus=0.015 * RULES)


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the first run, the next day's, the second one of a day, and how they grow."""
    for on in ground.databases:
        for workers in (1, _WORKERS) if on == "postgresql" else (1,):
            yield from _runs(ground, on, workers)
        yield Measure(
            "second",
            "a second run of that day",
            at_most(1.1),
            partial(_second, ground, on),
            "the first of it",
            database=on,
        )
        yield Measure(
            "first-growth",
            "first run: growth from a tenth of the guests",
            grows(1.15),
            partial(_growth, ground, on, daily=False),
            "a tenth of the guests",
            database=on,
        )
        yield Measure(
            "daily-growth",
            "the next day's run: growth from a tenth of the guests",
            grows(1.15),
            partial(_growth, ground, on, daily=True),
            "a tenth of the guests",
            database=on,
        )


def _runs(ground: Ground, on: str, workers: int) -> Iterator[Measure]:
    kinds = (
        ("first", "first run of the twelve rules", at_most(1.2), _first),
        ("daily", "the next day's run", _DAILY, _daily),
        ("daily-command", "the next day's `regulars run`, from the command line", _DAILY, _command),
    )
    by, told = ("-workers", ", a worker for each processor") if workers > 1 else ("", "")
    for kind, name, bar, pair in kinds:
        yield Measure(f"{kind}{by}", f"{name}{told}", bar, partial(pair, ground, on, workers), _SCAN, database=on)


def scan(world: World) -> None:
    """Read every order once: how many, their sum, the newest day."""
    with world.db.connect() as conn:
        conn.execute(select(func.count(), func.sum(orders.c.total), func.max(orders.c.day))).one()


def run(world: World, *, daily: bool = False, workers: int = 1) -> RunResult:
    """Evaluate and commit; ``Mismatch`` where it does not balance or a rule fails."""
    result = run_due(world.db, world.home, NEXT if daily else AS_OF, workers=workers)
    problems = [problem for rule in result.rules for problem in rule.problems]
    if not result.balanced or problems or len(result.rules) != RULES:
        raise Mismatch(f"a run that does not balance says nothing: {problems}")
    return result


@contextmanager
def a_day_later(world: World) -> Iterator[World]:
    """Give a copy in which the first run is done and approved, and the orders of the next day are in."""
    with world.copy() as mine:
        run(mine)
        with mine.db.begin() as conn:
            approve(conn, None, name="bench", now=AS_OF, mode=mine.home.config.approvals)
            health.stop(conn, by="bench", now=AS_OF)  # to evaluate is measured here, to send elsewhere
        with mine.db.begin() as conn:
            last = conn.scalar(select(func.max(orders.c.id))) or 0
            conn.execute(insert(orders), list(next_day(mine.size)))
            apply_delta(conn, after_id=last, as_of=NEXT)
            bring_to(conn, NEXT)
        yield mine


@contextmanager
def _known(world: World) -> Iterator[World]:
    with world.copy() as mine:
        undo = Undo(mine)
        run(mine)
        undo()
        yield mine


def known(ground: Ground, on: str, size: int | None = None) -> World:
    """Give a world that nothing was ever run in, but that has its rules' rows; leave it so."""
    return ground.shared("known", ground.world(on, size), _known)


def later(ground: Ground, on: str, size: int | None = None) -> World:
    """Give the world of the next day (``a_day_later``); leave it so."""
    return ground.shared("later", ground.world(on, size), a_day_later)


@contextmanager
def _first(ground: Ground, on: str, workers: int) -> Iterator[Pair]:
    world = known(ground, on)
    undo = Undo(world)
    yield Pair(ours=lambda: run(world, workers=workers), opponent=lambda: scan(world), restore=undo)


@contextmanager
def _daily(ground: Ground, on: str, workers: int) -> Iterator[Pair]:
    world = later(ground, on)
    undo = Undo(world)

    def check() -> None:
        run(world, daily=True)
        alone = undo.added()
        undo()
        run(world, daily=True, workers=workers)
        if not alone or undo.added() != alone:
            raise Mismatch(f"the day's run has added {alone} rows, by {workers} workers {undo.added()}")
        undo()

    yield Pair(
        ours=lambda: run(world, daily=True, workers=workers), opponent=lambda: scan(world), check=check, restore=undo
    )


@contextmanager
def _command(ground: Ground, on: str, workers: int) -> Iterator[Pair]:
    world = later(ground, on)
    undo = Undo(world)
    words = (
        "--home",
        str(world.root),
        "run",
        "--as-of",
        NEXT.isoformat(),
        "--format",
        "json",
        "--workers",
        str(workers),
    )

    def command() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment(),
        )
        if '"balanced": true' not in done.stdout:
            raise Mismatch(f"`regulars run` ended with {done.returncode}: {done.stderr.strip()[-300:]}")

    def check() -> None:
        run(world, daily=True)
        inside = undo.added()
        undo()
        command()
        if undo.added() != inside:
            raise Mismatch(f"`regulars run` added {undo.added()} rows, the run inside the program {inside}")
        undo()

    yield Pair(
        ours=command,
        opponent=lambda: scan(world),
        check=check,
        restore=undo,
        note="The whole command: Python's start, the home read, evaluation, commits, the report. Nothing is sent: the "
        "red button is pressed.",
    )


@contextmanager
def _second(ground: Ground, on: str) -> Iterator[Pair]:
    """Ours begins where the day's run has committed; both have the same rules due."""
    world = later(ground, on)
    before = Undo(world)

    def again() -> float:
        run(world, daily=True)
        with world.db.begin() as conn:
            conn.execute(update(rules).values(watermark=AS_OF))
        begun = time.perf_counter()
        run(world, daily=True)
        return time.perf_counter() - begun

    def check() -> None:
        run(world, daily=True)
        once = before.added()
        before()
        again()
        if before.added() != once:
            raise Mismatch(f"the second run has added {before.added() - once} rows")
        before()

    yield Pair(ours=again, opponent=lambda: run(world, daily=True), check=check, restore=before)


@contextmanager
def _growth(ground: Ground, on: str, *, daily: bool) -> Iterator[Pair]:
    given = later if daily else known
    large, small = given(ground, on), given(ground, on, ground.size // 10)
    undo_large, undo_small = Undo(large), Undo(small)

    def restore() -> None:
        undo_large()
        undo_small()

    yield Pair(
        ours=lambda: run(large, daily=daily),
        opponent=lambda: run(small, daily=daily),
        restore=restore,
        note="Ten times the guests have ten times as many open occasions." if daily else "",
    )
