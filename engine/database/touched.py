"""Whose facts were written since a moment, so that a rule that was evaluated then need look at nobody else.

Each writing of facts leaves one row: its tick, and the ids as one JSON list. A rule keeps the tick at which it was
evaluated (``rules.seen_tick``); what was written by who has that tick or a later one it may not have seen. On
PostgreSQL the tick is the transaction's number, and a rule keeps the lowest one that was still under way: an import
that commits later is not missed. SQLite has one writer at a time; there the last run's id will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    case,
    cast,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    true,
    update,
)

from engine.database.packed import json_elements, json_list
from engine.database.sql import greatest_of, oldest_under_way, writer
from engine.database.tables import customers, rules, runs, touched

#: More at once are everybody: such a list would be longer than what it spares.
MOST: Final = 100_000
#: So many guests, or this share of all of them, are looked at one by one; beyond that it is cheaper to look at all.
_FEW: Final = 20_000
_SHARE: Final = 20


def _last_run() -> ColumnElement[int]:
    return func.coalesce(select(func.max(runs.c.id)).scalar_subquery(), 0)


def _present_writer() -> ColumnElement[int]:
    """SQL: the tick of this transaction, and none that a rule takes for past.

    A database that was put back on another server has rules whose ticks lie ahead there, and may be reached before the
    next run finds that out.
    """
    known = func.coalesce(select(func.max(rules.c.seen_tick)).scalar_subquery(), 0)
    return greatest_of(writer(_last_run()), known)


_PRESENT: Final = select(oldest_under_way(_last_run()))
#: Of those who ordered lately nobody is looked at who asks for guests that stay away: they do not count.
_TO_LOOK_AT: Final = case((touched.c.since_day.is_(None), touched.c.guests), else_=0)
_LOG: Final = select(touched.c.tick, _TO_LOOK_AT, touched.c.customers.is_(None))


def touch(conn: Connection, ids: Sequence[int]) -> None:
    """Note that the facts of these customers are being written."""
    if ids:
        listed = json.dumps(list(ids), separators=(",", ":")) if len(ids) <= MOST else None
        conn.execute(insert(touched).values(tick=_present_writer(), guests=len(ids), customers=listed))


def touch_everybody(conn: Connection) -> None:
    """Note that all facts are being written."""
    conn.execute(insert(touched).values(tick=_present_writer(), guests=0, customers=None))


def touch_selected(
    conn: Connection, whose: Select[Any], asked: dict[str, Any], *, since: ColumnElement[int] | None = None
) -> None:
    """Note that the facts of the customers of a select of ids are being written.

    ``since``: SQL of a day; each of them will have an order of it or of a later one, or is noted once more.
    """
    day = null() if since is None else since
    who = whose.subquery("whose")
    counted = func.count(who.c[0])
    listed = case((counted <= MOST, json_list(who.c[0])), else_=null())
    made = select(_present_writer(), counted, listed, day).select_from(who).having(counted > 0)
    conn.execute(insert(touched).from_select(["tick", "guests", "customers", "since_day"], made), asked)


def touched_since(tick: ColumnElement[int], absent_since: int | None) -> Select[Any]:
    """SQL: the ids of the customers whose facts were written at ``tick`` or later, where that is not everybody.

    ``absent_since``: who ordered after that day does not matter.
    """
    matter = [] if absent_since is None else [or_(touched.c.since_day.is_(None), touched.c.since_day <= absent_since)]
    one = json_elements(touched.c.customers).table_valued("value", name="one")
    return (
        select(cast(one.c.value, BigInteger).label("customer_id"))
        .join_from(touched, one, true())
        .where(touched.c.tick >= tick, touched.c.customers.is_not(None), *matter)
    )


@dataclass(frozen=True)
class Log:
    """What has been written of late, read once for all rules of a run."""

    tick: int = 0  #: for a rule to keep that is evaluated from now on
    rows: Sequence[tuple[int, int, bool]] = ()  #: tick, how many guests, whether it is everybody
    enough: int = _FEW  #: so many may be looked at one by one

    def is_short(self, tick: int | None) -> bool:
        """Tell whether few enough have been touched since."""
        if tick is None or tick > self.tick:
            return False
        since = [(guests, everybody) for at, guests, everybody in self.rows if at >= tick]
        return not any(everybody for _, everybody in since) and sum(guests for guests, _ in since) <= self.enough


def read_log(conn: Connection, ticks: Iterable[int | None]) -> Log:
    """Give what has been written of late; first drop what none of the rules will ask about that have these ticks.

    A tick that lies ahead is of another server, from which the database was put back here: no rule keeps it. Nor does a
    rule keep one from before what is dropped: a run at a time far ahead or behind may drop what the next would ask for.
    """
    present = int(conn.scalar(_PRESENT) or 0)
    kept = [tick for tick in ticks if tick is not None]
    if any(tick > present for tick in kept):
        conn.execute(update(rules).where(rules.c.seen_tick > present).values(seen_tick=None))
    rows = [(tick, guests, bool(everybody)) for tick, guests, everybody in conn.execute(_LOG)]
    oldest = min((tick for tick in kept if tick <= present), default=present)
    if any(tick < oldest for tick, _, _ in rows):
        conn.execute(delete(touched).where(touched.c.tick < oldest))
        conn.execute(update(rules).where(rules.c.seen_tick < oldest).values(seen_tick=None))
    many = sum(guests for _, guests, _ in rows) > _FEW
    guests = conn.scalar(select(func.max(customers.c.id))) if many else 0
    return Log(present, rows, max(_FEW, (guests or 0) // _SHARE))
