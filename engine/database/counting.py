"""What counts at a moment, as SQL: orders after refunds, points left, and the look-ups that the facts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    ScalarSelect,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)

from engine.database.sql import EpochSeconds, alias_of
from engine.database.tables import endpoints, orders, points, points_uses, refunds, stores

AsOf = datetime | ColumnElement[Any]

#: How many gaps between visits tell a guest's rhythm.
RECENT_GAPS = 10
#: How many days of visits tell which store is the guest's.
STORE_DAYS = 180


def at(as_of: AsOf) -> ColumnElement[Any]:
    """``as_of`` as a bind (an expression passes)."""
    return literal(as_of, EpochSeconds()) if isinstance(as_of, datetime) else as_of


def _given_back(o: FromClause, as_of: AsOf) -> ScalarSelect[int]:
    r = alias_of(refunds, "given_back")
    return (
        select(cast(func.coalesce(func.sum(func.coalesce(r.c.amount, o.c.total)), 0), BigInteger))
        .where(r.c.order_id == o.c.id, r.c.refunded_at <= at(as_of))
        .correlate(o)
        .scalar_subquery()
    )


def _untouched(o: FromClause, as_of: AsOf) -> ColumnElement[bool]:
    return or_(o.c.refunded_at.is_(None), o.c.refunded_at > at(as_of))


def counts(o: FromClause, as_of: AsOf, *, of_some: bool = False) -> ColumnElement[bool]:
    """SQL: the order of ``o`` (``orders`` or an alias of it) counts at ``as_of``.

    ``of_some``: it says beside it whose orders are asked for, and they are not to be sought by their moment:
    PostgreSQL, as long as it has no statistics, takes those before now for fewer than those of some hundred guests.
    """
    ordered_at = o.c.ordered_at + 0 if of_some else o.c.ordered_at
    return and_(ordered_at <= at(as_of), or_(_untouched(o, as_of), _given_back(o, as_of) < o.c.total))


def net_total(o: FromClause, as_of: AsOf) -> ColumnElement[int]:
    """SQL: what was paid for the order of ``o`` less what was given back by ``as_of``, in minor units.

    Means something only where ``counts(o, as_of)``.
    """
    return case((_untouched(o, as_of), o.c.total), else_=o.c.total - _given_back(o, as_of))


def unused(lot: FromClause, as_of: AsOf) -> ColumnElement[int]:
    """What nobody has taken of ``lot`` by ``as_of``, whether it has expired or not; ``lot`` is no use."""
    u, use = points_uses.alias(), points.alias()
    used = (
        select(func.coalesce(func.sum(u.c.points), 0))
        .where(u.c.lot_id == lot.c.id, use.c.id == u.c.use_id, use.c.at <= at(as_of))
        .correlate(lot)
        .scalar_subquery()
    )
    return lot.c.points - used


def left_of(lot: FromClause, as_of: AsOf) -> ColumnElement[int]:
    """What ``lot`` still gives at ``as_of``: 0 once expired, before it was given, and for uses."""
    live = and_(lot.c.points > 0, lot.c.at <= at(as_of), or_(lot.c.expires_at.is_(None), lot.c.expires_at > at(as_of)))
    return case((live, unused(lot, as_of)), else_=0)


def points_balance(customer_id: ColumnElement[Any], as_of: AsOf, ledger: str = "points") -> ColumnElement[int]:
    """SQL: the customer's balance on ``ledger`` at ``as_of``; never below zero, 0 without entries."""
    lot = points.alias()
    return (
        select(cast(func.coalesce(func.sum(left_of(lot, as_of)), 0), Integer))
        .where(lot.c.customer_id == customer_id, lot.c.ledger == ledger)
        .correlate(customer_id.table)
        .scalar_subquery()
    )


# ---------------------------------------------------------------------------------------------------------------------
# Look-ups that the definition and the delta share. ``who``: the rows whose columns they are correlated with.


def nth_day(who: Sequence[FromClause], customer: ColumnElement[Any], as_of: AsOf) -> ScalarSelect[int]:
    """The visit before the last ten gaps, or the first visit when there are fewer."""
    o = orders.alias()
    recent = (
        select(o.c.day)
        .distinct()
        .where(o.c.customer_id == customer, counts(o, as_of))
        .order_by(o.c.day.desc())
        .limit(RECENT_GAPS + 1)
        .correlate(*who)
        .subquery()
    )
    return select(func.min(recent.c.day)).scalar_subquery()


def order_at(
    who: Sequence[FromClause],
    customer: ColumnElement[Any],
    day: ColumnElement[Any],
    moment: ColumnElement[Any],
    as_of: AsOf,
    *,
    last: bool,
) -> ScalarSelect[int]:
    """The first or last order of a known day and moment."""
    o = orders.alias()
    pick = func.max(o.c.id) if last else func.min(o.c.id)
    return (
        select(pick)
        # Adding nothing keeps SQLite from its index by time alone: a chain has hundreds of orders in one minute.
        .where(o.c.customer_id == customer, o.c.day == day, cast(o.c.ordered_at, BigInteger) + 0 == moment)
        .where(counts(o, as_of))
        .correlate(*who)
        .scalar_subquery()
    )


def store_of(
    who: Sequence[FromClause],
    customer: ColumnElement[Any],
    own: ColumnElement[Any],
    last_day: ColumnElement[Any],
    as_of: AsOf,
) -> ColumnElement[int | None]:
    """The guest's own store, else that of most visits lately (ties: the latest); none that was shut by then."""
    o, kept, visited = orders.alias(), stores.alias(), stores.alias()
    own_open = exists().where(
        kept.c.id == own, or_(kept.c.closed_on.is_(None), last_day.is_(None), kept.c.closed_on > last_day)
    )
    mostly = (
        select(o.c.store_id)
        .where(
            o.c.customer_id == customer,
            o.c.day > last_day - STORE_DAYS,
            o.c.day <= last_day,
            counts(o, as_of),
            visited.c.id == o.c.store_id,
            or_(visited.c.closed_on.is_(None), visited.c.closed_on > last_day),
        )
        .group_by(o.c.store_id)
        .order_by(func.count(o.c.day.distinct()).desc(), func.max(o.c.ordered_at).desc(), o.c.store_id.desc())
        .limit(1)
        .correlate(*who)
        .scalar_subquery()
    )
    return case((last_day.is_(None), own), (own_open.correlate(*who), own), else_=mostly)


def gaps_of(visits: ColumnElement[Any]) -> ColumnElement[int]:
    """How many of the last ten gaps exist."""
    return case((visits > RECENT_GAPS, RECENT_GAPS), (visits > 0, visits - 1), else_=0)


def country_of(
    who: Sequence[FromClause], sms_id: ColumnElement[Any], store_id: ColumnElement[Any]
) -> ColumnElement[str | None]:
    """Whose law holds for a guest: the phone number's country, else the own store's; NULL is the home's."""
    phone, shop = endpoints.alias(), stores.alias()
    return func.coalesce(
        select(phone.c.country).where(phone.c.id == sms_id).correlate(*who).scalar_subquery(),
        select(shop.c.country).where(shop.c.id == store_id).correlate(*who).scalar_subquery(),
    )
