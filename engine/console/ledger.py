"""The months of the ledger: made ahead, forgotten when they are long over, and shown (`regulars months`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from engine.console.exits import NotNowError
from engine.console.page import Column, Page
from engine.console.session import Session
from engine.database.complaints import passes
from engine.database.gate import brief, one_run
from engine.database.months import analyze, following, make_months, may_make, month_of, partitions
from engine.database.retention import Forgotten, forget
from engine.database.tables import dispatches, forgotten_months
from engine.evaluation.clock import last_believed
from engine.evaluation.results import RunResult
from engine.intake.report import ImportReport

#: From so many new rows on the planner is told, instead of waiting until it finds out.
MANY: Final = 20_000


@contextmanager
def sole_run(session: Session) -> Iterator[None]:
    """Hold the database's lock of runs; raise ``NotNowError`` while a run of another machine has it."""
    with one_run(session.db) as free:
        if not free:
            raise NotNowError(
                "Another run is evaluating this database on another machine, so this one does nothing. It is not "
                "needed to wait for it: the next run takes up what is left, and `regulars dispatch` may send meanwhile."
            )
        yield


def make_ready(session: Session, *moments: datetime) -> None:
    """Make the partitions of these moments' months and of those to come; what must wait, the next run does."""
    try:
        for at in sorted(set(moments)):
            with session.db.begin() as conn:
                brief(conn)
                make_months(conn, at)
    except OperationalError as error:
        if not passes(error):
            raise


def sure_time(session: Session, now: datetime) -> datetime:
    """Give the time by which things may be old: now, or that of the last run whose clock was believed, if earlier.

    A clock that nothing vouches for must not say what is old. Without a run there is nothing that could be.
    """
    with session.look() as conn:
        return min(now, last_believed(conn) or now)


def forget_old(session: Session, now: datetime) -> list[Forgotten]:
    """Forget the ledger of the months that `data: keep` lets go; where a lock is in the way, the next run does it."""
    keep = session.home.config.keep
    if keep is None:
        return []
    until = keep.before(sure_time(session, now).astimezone(session.zone).date())
    gone: list[Forgotten] = []
    try:
        gone.extend(forget(session.db, datetime(until.year, until.month, 1, tzinfo=now.tzinfo), now))
    except OperationalError as error:
        if not passes(error):
            raise
    return gone


def tell_planner(session: Session, imports: Sequence[ImportReport], result: RunResult | None = None) -> None:
    """Let PostgreSQL look at what has grown by much: by itself it does so later, and never at a partitioned table."""
    names: list[str] = []
    if sum(each.new + each.changed for each in imports) >= MANY:
        names += ["customers", "endpoints", "consents", "orders", "ratings", "customer_facts"]
    if result is not None and sum(result.queued.values()) >= MANY:
        names += ["matches", "dispatches"]
    if names:
        with session.db.begin() as conn:
            analyze(conn, *names)


def months(session: Session, shape: str) -> str:
    """Do what is to be done, and give the months as they then are."""
    now = session.clock()
    make_ready(session, now)
    gone = forget_old(session, now)
    rows, page = list(_rows(session)), Page()
    if shape == "json":
        page.json_lines(rows)
        return page.text
    if rows:
        head = [Column("month"), Column("steps", right=True), Column("kept in"), Column("forgotten")]
        page.table(head, [[row["month"], f"{row['steps']:,}", row["kept_in"], row["forgotten"] or ""] for row in rows])
    else:
        page.line("Nothing was decided yet.")
    for each in gone:
        page.line(f"{_written(each.month)}: {each.dispatches:,} steps are forgotten now.")
    with session.look() as conn:
        if conn.dialect.name == "postgresql":
            if not may_make(conn):
                page.line("This role may not make or drop months: let the owner of the tables call `regulars months`.")
            elif following(month_of(now)) not in partitions(conn):
                page.line("The next month has no partition yet: something holds the tables. Call this again.")
    return page.text


def _rows(session: Session) -> Iterator[dict[str, Any]]:
    d, f = dispatches.c, forgotten_months.c
    with session.look() as conn:
        own = set(partitions(conn))
        counted = conn.execute(select(d.month, func.count()).group_by(d.month))
        steps = {month: int(count) for month, count in counted}
        forgotten = {row.month: row for row in conn.execute(select(f.month, f.at, f.dispatches))}
        plain = "table" if conn.dialect.name == "sqlite" else "default"
    for month in sorted({*steps, *own, *forgotten}):
        gone = forgotten.get(month)
        here = "partition" if month in own else plain if month in steps else ""
        yield {
            "month": _written(month),
            "steps": steps.get(month, 0 if gone is None else gone.dispatches),
            "kept_in": here,
            "forgotten": None if gone is None else gone.at.astimezone(session.zone).date().isoformat(),
        }


def _written(month: int) -> str:
    return f"{month // 100}-{month % 100:02}"
