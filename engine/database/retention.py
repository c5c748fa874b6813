"""Forgetting the ledger of months that are long over: dropped on PostgreSQL, deleted in pages on SQLite.

Only a month in which all is done goes, with its trail and its reports; what a month was is written down first, so that
`verify` knows that it is gone on purpose. Matches stay, the memory that nothing goes twice; so do coupons, which guests
hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, delete, func, not_, or_, select

from engine.database.gate import brief
from engine.database.months import drop_month, ends, is_month, may_make, month_of, partitions
from engine.database.sql import upsert
from engine.database.tables import (
    audit,
    budget_uses,
    delivery_events,
    dispatches,
    forgotten_months,
    payloads,
    runs,
)

#: So many dispatches are deleted with one transaction.
PAGE = 1_000
#: Of a month's moves nothing is to come; as ``states.FINAL``, which is of a room above this one.
DONE = ("sent", "uncertain", "rejected", "blocked", "expired", "cancelled", "dead")
_MARK = forgotten_months.c


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A month that went, and how many dispatches with it."""

    month: int
    dispatches: int


def horizon(conn: Connection) -> datetime | None:
    """Give the instant before which the ledger was forgotten on purpose; None: nothing was."""
    last = conn.scalar(select(func.max(_MARK.month)))
    return None if last is None else ends(last)


def is_due(conn: Connection, until: datetime) -> bool:
    """Tell whether there may be something to forget of the months that ended by ``until``; two short questions."""
    last = _last_before(until)
    if conn.scalar(select(_MARK.month).where(_MARK.month == last, _MARK.finished_at.is_not(None))) is not None:
        return False
    first = conn.scalar(select(runs.c.as_of).order_by(runs.c.id).limit(1))
    return first is not None and month_of(first) <= last


def forget(db: Engine, until: datetime, now: datetime) -> Iterator[Forgotten]:
    """Forget what ended by ``until``, month by month, each in transactions of its own; gives what went.

    A month with a step that is not done, or was done later, stays whole. On PostgreSQL only the owner of the tables
    may; for another role nothing happens.
    """
    last = _last_before(until)
    with db.connect() as conn:
        postgresql = conn.dialect.name == "postgresql"
        if not is_due(conn, until) or (postgresql and not may_make(conn)):
            return
        months, stayed = _months(conn, last), False
    for month in months:
        with db.connect() as conn:
            ready = _is_done(conn, month, until)
        if ready:
            yield Forgotten(month, _forget_on_postgresql(db, month, now) if postgresql else _forget(db, month, now))
        stayed |= not ready
    if not stayed:
        with db.begin() as conn:
            _mark(conn, last, 0, now)
            _finish(conn, last, until, now)


def _last_before(until: datetime) -> int:
    """Give the last month that ended by an instant."""
    this = month_of(until)
    return this - 1 if this % 100 > 1 else (this // 100 - 1) * 100 + 12


def _months(conn: Connection, last: int) -> list[int]:
    """Give the months up to ``last`` of which there is something."""
    found = {each for each in partitions(conn) if each <= last}
    for its in (dispatches, audit):  # on PostgreSQL beside them what stands in the partition by default
        found |= set(conn.scalars(select(its.c.month).where(its.c.month <= last).distinct()))
    return sorted(found)


def _is_done(conn: Connection, month: int, until: datetime) -> bool:
    d = dispatches.c
    to_come = or_(not_(d.state.in_(DONE)), d.finished_at.is_(None), d.finished_at > until)
    kept = select(payloads.c.dispatch_id).where(payloads.c.dispatch_id == d.id).exists()
    return conn.scalar(select(d.id).where(is_month(d.month, month), or_(to_come, kept)).limit(1)) is None


def _mark(conn: Connection, month: int, count: int, now: datetime) -> None:
    row = upsert(conn, forgotten_months).values(month=month, at=now, dispatches=count)
    conn.execute(row.on_conflict_do_nothing(index_elements=["month"]))


def _finish(conn: Connection, month: int, until: datetime, now: datetime) -> None:
    conn.execute(forgotten_months.update().where(_MARK.month == month).values(finished_at=now))
    # Of what is forgotten no budget can be counted anew.
    conn.execute(delete(budget_uses).where(budget_uses.c.begins < until, budget_uses.c.ends <= now))


def _count(conn: Connection, month: int) -> int:
    return int(conn.scalar(select(func.count()).where(is_month(dispatches.c.month, month))) or 0)


def _forget_on_postgresql(db: Engine, month: int, now: datetime) -> int:
    with db.begin() as conn:
        brief(conn)
        count = _count(conn, month)
        _mark(conn, month, count, now)
        if month in partitions(conn):
            drop_month(conn, month)
        for its in (delivery_events, audit, dispatches):  # what no partition of its own was made for
            conn.execute(delete(its).where(is_month(its.c.month, month)))
        _finish(conn, month, ends(month), now)
    return count


def _forget(db: Engine, month: int, now: datetime) -> int:
    with db.begin() as conn:
        count = _count(conn, month)
        _mark(conn, month, count, now)
    of_page = {its: its.c.dispatch_id for its in (delivery_events, audit)}
    for page in _pages(db, dispatches, month):
        with db.begin() as conn:
            for its, dispatch_id in of_page.items():
                conn.execute(delete(its).where(dispatch_id.in_(page)))
            conn.execute(delete(dispatches).where(dispatches.c.id.in_(page)))
    for its in of_page:  # what is of no dispatch
        for page in _pages(db, its, month):
            with db.begin() as conn:
                conn.execute(delete(its).where(its.c.id.in_(page)))
    with db.begin() as conn:
        _finish(conn, month, ends(month), now)
    return count


def _pages(db: Engine, its: Table, month: int) -> Iterator[list[int]]:
    after: int = 0
    while True:
        where: ColumnElement[bool] = and_(its.c.month == month, its.c.id > after)
        with db.connect() as conn:
            page = list(conn.scalars(select(its.c.id).where(where).order_by(its.c.id).limit(PAGE)))
        if not page:
            return
        yield page
        after = page[-1]
