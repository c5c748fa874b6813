"""Keeping ``customer_facts`` up when orders are only added: a third of the price of making the rows anew."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    Update,
    and_,
    bindparam,
    case,
    cast,
    func,
    not_,
    or_,
    select,
    update,
)

from engine.database.counting import gaps_of, nth_day, order_at, store_of
from engine.database.facts import recompute
from engine.database.sql import EpochSeconds, Id, greatest_of
from engine.database.tables import customer_facts, customers, orders
from engine.database.tiers import plan_of
from engine.database.touched import touch_selected


def apply_delta(conn: Connection, *, after_id: int, as_of: datetime) -> None:
    """Take the orders with an id above ``after_id``, all of them new, into the facts.

    A customer whose new orders all follow the last one known gets a delta. Where one lies further back or in the
    future, or is given back already, or where the facts do not stand at ``as_of``, the customer is recomputed.
    """
    if plan_of(conn) is not None:  # what gives a tier is read anew: a delta of the rest would spare nothing
        added = select(orders.c.customer_id).where(orders.c.id > after_id, orders.c.customer_id.is_not(None))
        recompute(conn, conn.scalars(added.distinct()).all(), as_of)
        return
    asked = {"after_id": after_id, "as_of": as_of}
    others, delta, added_to = _statements()
    touch_selected(conn, added_to, asked)
    # Recomputed rows end with their newest order, so that the delta below passes over them.
    recompute(conn, conn.scalars(others, asked).all(), as_of)
    conn.execute(delta, asked)


@cache
def _statements() -> tuple[Select[Any], Update, Select[Any]]:
    """Who is to be recomputed, the delta for all others, and whom it is for: built once."""
    as_of = bindparam("as_of", type_=EpochSeconds)
    f, added = customer_facts, _added(bindparam("after_id", type_=Id))
    others = select(added.c.customer_id).outerjoin(f, f.c.customer_id == added.c.customer_id)
    plain = _plain(added, as_of)
    delta = (
        update(f)
        .where(f.c.customer_id == added.c.customer_id, customers.c.id == f.c.customer_id, plain)
        .values(_grown(added, as_of))
    )
    o = orders.alias("newly")
    these = (o.c.id > bindparam("after_id", type_=Id), o.c.customer_id.is_not(None))
    added_to = select(o.c.customer_id).distinct().where(*these)
    return others.where(not_(plain)), delta, added_to


def _added(after_id: ColumnElement[int]) -> Subquery:
    o = orders.alias("o")
    # Grouping by the bare column would make SQLite walk the whole covering index (3.7 times slower, measured).
    customer = o.c.customer_id + 0
    return (
        select(
            customer.label("customer_id"),
            func.count().label("orders"),
            cast(func.sum(o.c.total), BigInteger).label("spend"),
            func.count(o.c.day.distinct()).label("days"),
            func.min(o.c.day).label("first_day"),
            func.max(o.c.day).label("last_day"),
            func.min(o.c.ordered_at).label("first_at"),
            func.max(o.c.ordered_at).label("last_at"),
            func.max(o.c.refunded_at).label("refunded_at"),
        )
        .where(o.c.id > after_id, o.c.customer_id.is_not(None))
        .group_by(customer)
        .subquery("added")
    )


def _plain(added: Subquery, as_of: ColumnElement[datetime]) -> ColumnElement[bool]:
    f = customer_facts.c
    return and_(
        f.customer_id.is_not(None),
        added.c.refunded_at.is_(None),
        added.c.last_at <= as_of,
        or_(f.last_order_at.is_(None), added.c.first_at > f.last_order_at),
        or_(f.stands_from.is_(None), f.stands_from <= as_of),
        or_(f.refresh_at.is_(None), f.refresh_at > as_of),
    )


def _grown(added: Subquery, as_of: ColumnElement[datetime]) -> dict[str, Any]:
    f, who = customer_facts.c, (customer_facts, customers, added)
    same_day = case((added.c.first_day == f.last_order_day, 1), else_=0)
    visits = f.visits + added.c.days - same_day
    first = order_at(who, f.customer_id, added.c.first_day, added.c.first_at, as_of, last=False)
    return {
        "orders": f.orders + added.c.orders,
        "visits": visits,
        "spend": f.spend + added.c.spend,
        "joined_at": func.coalesce(f.joined_at, added.c.first_at),
        "joined_day": func.coalesce(f.joined_day, added.c.first_day),
        "first_order_id": func.coalesce(f.first_order_id, first),
        "first_order_at": func.coalesce(f.first_order_at, added.c.first_at),
        "first_order_day": func.coalesce(f.first_order_day, added.c.first_day),
        "last_order_id": order_at(who, f.customer_id, added.c.last_day, added.c.last_at, as_of, last=True),
        "last_order_at": added.c.last_at,
        "last_order_day": added.c.last_day,
        "gaps": gaps_of(visits),
        "gap_days": cast(added.c.last_day - nth_day(who, f.customer_id, as_of), Integer),
        "store_id": store_of(who, f.customer_id, customers.c.store_id, added.c.last_day, as_of),
        "stands_from": greatest_of(func.coalesce(f.stands_from, 0), added.c.last_at),
    }
