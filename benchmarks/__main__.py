"""``make bench``: ratios taken in one run, each measure next to its opponent, the two in turn, medians of five.

Only ratios count: machines are noisy. ``make bench SIZE=100000`` takes that many guests, with ten orders each.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, func, select

from benchmarks.crowd import AS_OF, fill
from benchmarks.pieces import facts_upkeep, mail_parts, start_up
from engine.database.engines import open_db
from engine.database.migrations import migrate
from engine.database.tables import matches, orders
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_due
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due
from engine.starter.home import HomeAnswers, create_home
from engine.vocabulary.home import Home, load_home

ROUNDS = 5


def main(arguments: list[str]) -> int:
    """Measure, print, and give 0."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="guests, with ten orders each")
    size = parser.parse_args(arguments).size
    print(f"{platform.platform()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print(f"{os.cpu_count()} processors; {size:,} guests; medians of {ROUNDS}, the two in turn\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "home"
        create_home(root, answers=HomeAnswers())
        home = load_home(root, os.environ)
        db = open_db(home.config.database_url)
        migrate(db)
        count = fill(db, home, size)
        print(f"{count:,} orders in SQLite\n")
        print(f"{'measure':<58}{'ratio':>8}{'it':>10}{'opponent':>10}")
        print_ratio("facts kept up for an order of each guest / its insert", *facts_upkeep(db, size, 1))
        print_ratio("facts kept up for ten orders of each guest / the insert", *facts_upkeep(db, size // 10, 10))
        print_ratio("a mail's parts / by the standard library", *mail_parts())
        print_ratio("regulars --help / a bare Python", *start_up())
        _evaluation(db, home)
        _sending(db, home, root)
    return 0


def _evaluation(db: Engine, home: Home) -> None:
    """The twelve shipped rules, guards included, against one bare scan of the orders."""

    def scan() -> None:
        with db.connect() as conn:
            conn.execute(select(func.count(), func.sum(orders.c.total), func.max(orders.c.day))).one()

    def first() -> RunResult:
        return run_due(db, home, AS_OF, dry_run=True)

    result = first()
    assert result.balanced, "a benchmark of a wrong run says nothing"
    print_ratio("first run of the twelve rules / a bare scan of orders", first, scan)
    run_due(db, home, AS_OF)
    with db.connect() as conn:
        before = conn.scalar(select(func.count()).select_from(matches))

    def again() -> None:
        for rule in home.rules:
            run_due(db, home, AS_OF, only=rule.id, dry_run=True)

    def next_day() -> None:
        run_due(db, home, AS_OF + timedelta(days=1), dry_run=True)

    print_ratio("the run of the next day / a bare scan of orders", next_day, scan)
    print_ratio("every rule forced again / a bare scan of orders", again, scan)
    with db.connect() as conn:
        assert conn.scalar(select(func.count()).select_from(matches)) == before, "dry runs write nothing"


def _sending(db: Engine, home: Home, root: Path) -> None:
    """The whole dispatch into files, each fence and outcome committed to disk, against writing the same bytes."""
    with db.begin() as conn:
        approve(conn, None, name="bench", now=AS_OF, mode=home.config.approvals)
    desk = open_desk(db, home, now=lambda: AS_OF + timedelta(minutes=1))
    begun, worked = time.perf_counter(), time.process_time()
    try:
        summary = send_due(desk)
    finally:
        desk.carriers.close()
    took, worked = time.perf_counter() - begun, time.process_time() - worked
    files = sorted((root / "outbox").rglob("*~*"))
    bodies = [file.read_bytes() for file in files]
    copies = root / "copies"
    copies.mkdir()
    begun = time.perf_counter()
    for number, body in enumerate(bodies):
        with (copies / str(number)).open("wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
    bare = time.perf_counter() - begun
    sent = summary.states["sent"]
    print(f"\n{sent:,} dispatches sent, {len(files):,} of them messages, in {took:.2f} s: {sent / took:,.0f} a second")
    print(f"of that the processor worked {worked:.2f} s: {worked / len(files) * 1000:.1f} ms a message")
    print(f"the same bytes written and synced to bare files: {bare:.2f} s, ratio {took / bare:.1f}")


def print_ratio(name: str, measure: Callable[[], object], opponent: Callable[[], object]) -> None:
    """Time the two in turn and print the median of the ratios pair by pair, and both medians."""
    ours, theirs = [], []
    measure(), opponent()
    for _ in range(ROUNDS):
        ours.append(_seconds(measure))
        theirs.append(_seconds(opponent))
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    print(f"{name:<58}{ratio:>7.2f}x{statistics.median(ours):>9.3f}s{statistics.median(theirs):>9.3f}s")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
