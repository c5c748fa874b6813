"""Which lot of points a use took from: soonest to expire first, worked out anew from a customer's whole ledger.

Entries are replayed in the order of their time, so that the balance at any moment rests on nothing that came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Select, delete, func, insert, literal, or_, select, union_all

from engine.database.tables import customers, points, points_uses

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger: a lot where ``points`` is positive, a use where it is negative."""

    id: int
    at: datetime
    points: int
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """``points`` (positive) that the entry ``use_id`` took out of ``lot_id``."""

    use_id: int
    lot_id: int
    points: int


def allocate(entries: Iterable[Entry]) -> Iterator[Use]:
    """Give every use its lots. A use beyond what is there takes what is there: a balance never falls below zero."""
    left: dict[Entry, int] = {}
    for entry in sorted(entries, key=lambda each: (each.at, each.points < 0, each.id)):
        if entry.points > 0:
            left[entry] = entry.points
            continue
        wanted = -entry.points
        live = [lot for lot in left if lot.expires_at is None or lot.expires_at > entry.at]
        for lot in sorted(live, key=_soonest):
            taken = min(wanted, left[lot])
            if taken:
                yield Use(entry.id, lot.id, taken)
            wanted -= taken
            left[lot] -= taken
            if not left[lot]:
                del left[lot]


def _soonest(lot: Entry) -> tuple[bool, float, datetime, int]:
    return (lot.expires_at is None, lot.expires_at.timestamp() if lot.expires_at else 0.0, lot.at, lot.id)


def movements(as_of: ColumnElement[Any], customer_ids: Select[Any]) -> CTE:
    """Everything by ``as_of`` that moved these guests' balances: ``movements(customer_id, at, kind, id, points)``.

    ``kind``: 0 what was left of a lot that ran out, 1 a lot, 2 a use; in this order within one second, each lot beside
    the uses that took from it. The sum so far is the balance. A lot that had run out before it was given moves nothing.
    """
    lot, use, u, spent = points.alias("lot"), points.alias("use"), points_uses.alias("u"), points_uses.alias("spent")
    lives = or_(lot.c.expires_at.is_(None), lot.c.expires_at > lot.c.at)
    whose = (lot.c.points > 0, lot.c.ledger == "points", lot.c.customer_id.in_(customer_ids), lives)
    used = func.coalesce(select(func.sum(spent.c.points)).where(spent.c.lot_id == lot.c.id).scalar_subquery(), 0)

    def moved(at: ColumnElement[Any], kind: int, number: ColumnElement[Any], by: ColumnElement[Any]) -> Select[Any]:
        columns = (at.label("at"), literal(kind).label("kind"), number.label("id"), by.label("points"))
        return select(lot.c.customer_id, *columns).where(*whose, at <= as_of)

    taken = lot.join(u, u.c.lot_id == lot.c.id).join(use, use.c.id == u.c.use_id)
    return union_all(
        moved(lot.c.expires_at, 0, lot.c.id, -(lot.c.points - used)),
        moved(lot.c.at, 1, lot.c.id, lot.c.points),
        moved(use.c.at, 2, use.c.id, -u.c.points).select_from(taken),
    ).cte("movements")


def settle(conn: Connection, customer_ids: Iterable[int]) -> None:
    """Write ``points_uses`` of these customers anew, for every ledger."""
    ids = iter(customer_ids)
    while chunk := list(islice(ids, _CHUNK)):
        # Two that settle one ledger at once would both write what it lacks.
        conn.execute(
            select(customers.c.id)
            .where(customers.c.id.in_(chunk))
            .order_by(customers.c.id)
            .with_for_update(key_share=True)
        )
        mine = select(points.c.id).where(points.c.customer_id.in_(chunk))
        conn.execute(delete(points_uses).where(points_uses.c.use_id.in_(mine)))
        found = conn.execute(
            select(
                points.c.customer_id, points.c.ledger, points.c.id, points.c.at, points.c.points, points.c.expires_at
            )
            .where(points.c.customer_id.in_(chunk))
            .order_by(points.c.customer_id, points.c.ledger)
        )
        rows = [
            {"use_id": use.use_id, "lot_id": use.lot_id, "points": use.points}
            for _, entries in groupby(found, key=lambda row: (row.customer_id, row.ledger))
            for use in allocate(Entry(row.id, row.at, row.points, row.expires_at) for row in entries)
        ]
        if rows:
            conn.execute(insert(points_uses), rows)
