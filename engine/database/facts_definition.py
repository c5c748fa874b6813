"""``customer_facts``: the one definition. How it is kept up: ``facts``, ``facts_delta``.

A row is what is true of one customer at any ``as_of`` with ``stands_from <= as_of < refresh_at``. An order counts when
it was placed by ``as_of`` and no full refund or void of it is known by then; a partial refund lowers its total. A visit
is a business day with at least one such order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)

from engine.database.counting import (
    RECENT_GAPS,
    AsOf,
    at,
    country_of,
    counts,
    gaps_of,
    left_of,
    net_total,
    nth_day,
    order_at,
    store_of,
)
from engine.database.packed import one_of
from engine.database.sql import EpochSeconds, greatest_of, least_of
from engine.database.tables import customer_facts, customers, orders, points, refunds
from engine.database.tiers import TierPlan, standing


class Keys(NamedTuple):
    """All customers from one id to another."""

    low: ColumnElement[int]
    high: ColumnElement[int]


class Listed(NamedTuple):
    """Those whose ids are in a bind (``packed.IdList``)."""

    ids: ColumnElement[Sequence[int]]


#: Of whom: a select of customer ids, a list, a range, ids, or everybody.
Only = Select[Any] | Listed | Keys | Iterable[int] | None

_FAR = 2**62


def _in(column: ColumnElement[Any], only: Only) -> ColumnElement[bool]:
    if (
        only is None
    ):  # beside a list this would lead SQLite through the index of everybody (fifty times slower, measured)
        return column.is_not(None)
    if isinstance(only, Keys):
        return column.between(only.low, only.high)
    if isinstance(only, Listed):
        return one_of(column, only.ids)
    return column.in_(only if isinstance(only, Select) else list(only))


def _known(o: FromClause, as_of: AsOf) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """The latest moment of an order and its refunds that is past at ``as_of``, and the earliest to come."""
    r = refunds.alias()
    of_it = select(r.c.refunded_at).where(r.c.order_id == o.c.id).correlate(o)
    past_refund = of_it.where(r.c.refunded_at <= at(as_of)).with_only_columns(func.max(r.c.refunded_at))
    next_refund = of_it.where(r.c.refunded_at > at(as_of)).with_only_columns(func.min(r.c.refunded_at))
    never, far = literal(0, BigInteger), literal(_FAR, BigInteger)
    refund_past = case((o.c.refunded_at.is_(None), never), else_=func.coalesce(past_refund.scalar_subquery(), 0))
    refund_next = case((o.c.refunded_at.is_(None), far), else_=func.coalesce(next_refund.scalar_subquery(), _FAR))
    past = greatest_of(case((o.c.ordered_at <= at(as_of), o.c.ordered_at), else_=never), refund_past)
    coming = least_of(case((o.c.ordered_at > at(as_of), o.c.ordered_at), else_=far), refund_next)
    return past, coming


def _days(as_of: AsOf, only: Only) -> CTE:
    """One row a customer and visit."""
    o = orders.alias("o")
    return (
        select(
            o.c.customer_id,
            o.c.day,
            func.count().label("orders"),
            func.sum(net_total(o, as_of)).label("spend"),
            func.min(o.c.ordered_at).label("first_at"),
            func.max(o.c.ordered_at).label("last_at"),
        )
        # Asked once a row: within the sums it would be asked by each of them, which takes twice as long (measured).
        .where(_in(o.c.customer_id, only), counts(o, as_of, of_some=True))
        .group_by(o.c.customer_id, o.c.day)
        .cte("facts_days")
    )


def _history(as_of: AsOf, days: CTE) -> CTE:
    """One row a customer with a visit."""
    per = (
        select(
            days.c.customer_id,
            cast(func.sum(days.c.orders), Integer).label("orders"),
            func.count().label("visits"),
            cast(func.sum(days.c.spend), BigInteger).label("spend"),
            func.min(days.c.day).label("first_day"),
            func.max(days.c.day).label("last_day"),
            func.min(days.c.first_at).label("first_at"),
            func.max(days.c.last_at).label("last_at"),
        )
        .group_by(days.c.customer_id)
        .cte("per")
    )
    eleventh = nth_day((per,), per.c.customer_id, as_of)
    before = case((per.c.visits > RECENT_GAPS + 1, eleventh), else_=per.c.first_day)
    return select(
        *per.c,
        (per.c.last_day - before).label("gap_days"),
        order_at((per,), per.c.customer_id, per.c.first_day, per.c.first_at, as_of, last=False).label("first_id"),
        order_at((per,), per.c.customer_id, per.c.last_day, per.c.last_at, as_of, last=True).label("last_id"),
    ).cte("history")


def _odd(as_of: AsOf, only: Only) -> CTE:
    """One row a customer with orders that are given back, or yet to come: the few whose moments are not their days'."""
    o = orders.alias("odd_one")
    past, coming = _known(o, as_of)
    refunded = and_(o.c.ordered_at <= at(as_of), o.c.refunded_at <= at(as_of))
    return (
        select(
            o.c.customer_id,
            cast(func.sum(case((refunded, 1), else_=0)), Integer).label("refunds"),
            func.max(past).label("past"),
            func.min(coming).label("coming"),
        )
        .where(_in(o.c.customer_id, only))
        .where(or_(o.c.refunded_at.is_not(None), o.c.ordered_at > at(as_of)))
        .group_by(o.c.customer_id)
        .cte("odd")
    )


def _purse(as_of: AsOf, only: Only) -> CTE:
    """One row a customer with points."""
    p = points.alias("p")
    expires = case((p.c.points > 0, p.c.expires_at))
    past, coming = literal(0, BigInteger), literal(_FAR, BigInteger)
    return (
        select(
            p.c.customer_id,
            cast(func.sum(left_of(p, as_of)), Integer).label("points"),
            func.max(
                greatest_of(
                    case((p.c.at <= at(as_of), p.c.at), else_=past), case((expires <= at(as_of), expires), else_=past)
                )
            ).label("past"),
            func.min(
                least_of(
                    case((p.c.at > at(as_of), p.c.at), else_=coming),
                    case((expires > at(as_of), expires), else_=coming),
                )
            ).label("coming"),
        )
        .where(p.c.ledger == "points", _in(p.c.customer_id, only))
        .group_by(p.c.customer_id)
        .cte("purse")
    )


def _of_orders(h: Any, odd: Any) -> dict[str, Any]:
    """The columns that are the history's own."""
    visits = func.coalesce(h.visits, 0)
    return {
        "orders": func.coalesce(h.orders, 0),
        "visits": visits,
        "spend": func.coalesce(h.spend, 0),
        "refunds": func.coalesce(odd.refunds, 0),
        "first_order_id": h.first_id,
        "first_order_at": h.first_at,
        "first_order_day": h.first_day,
        "last_order_id": h.last_id,
        "last_order_at": h.last_at,
        "last_order_day": h.last_day,
        "gaps": gaps_of(visits),
        "gap_days": func.coalesce(h.gap_days, 0),
    }


def _not_erased(c: FromClause) -> ColumnElement[bool]:
    # Without statistics PostgreSQL takes what IS NULL for one row in two hundred, and what is less for one in three:
    # for a handful of guests it would work out the history of all of the page once for each of them.
    return func.coalesce(type_coerce(c.c.erased_at, BigInteger), 0) <= 0


def facts_select(
    as_of: AsOf, only: Only = None, plan: TierPlan | None = None, edge_rows: BindParameter[str] | None = None
) -> Select[Any]:
    """The rows of ``customer_facts`` at ``as_of``, its columns by name and in order.

    ``only``: whose; None for every customer. Erased customers have no row. ``plan``: by what tiers are worked out; then
    the statement wants the bind that ``tiers.edges`` gives, or carries ``edge_rows`` (``tiers.edges_on``). Without a
    plan they are those of the customers' files.
    """
    c = customers.alias("c")
    days = _days(as_of, only)
    history, odd, purse = _history(as_of, days), _odd(as_of, only), _purse(as_of, only)
    h = history.c
    last_day = h.last_day
    last_at = func.coalesce(type_coerce(h.last_at, BigInteger), 0)
    past = greatest_of(last_at, func.coalesce(odd.c.past, 0), func.coalesce(purse.c.past, 0))
    joins = case((c.c.joined_at > at(as_of), c.c.joined_at), else_=literal(_FAR, BigInteger))
    coming = least_of(func.coalesce(odd.c.coming, _FAR), func.coalesce(purse.c.coming, _FAR), joins)
    columns: dict[str, Any] = {
        "customer_id": c.c.id,
        "zone_id": c.c.zone_id,
        "store_id": store_of((c, history), c.c.id, c.c.store_id, last_day, as_of),
        "email_id": c.c.email_id,
        "sms_id": c.c.sms_id,
        "birthday_md": c.c.birthday_md,
        "birthday_calendar": c.c.birthday_calendar,
        "joined_at": func.coalesce(c.c.joined_at, h.first_at),
        "joined_day": case((c.c.joined_at.is_(None), h.first_day), else_=c.c.joined_day),
        **_of_orders(h, odd.c),
        "points": func.coalesce(purse.c.points, 0),
        "tier_key": c.c.tier_key,
        "tier_rests_on": cast(null(), Integer),
        "tier_fell_with": cast(null(), Integer),
        "country": country_of((c,), c.c.sms_id, c.c.store_id),
        "stands_from": type_coerce(func.nullif(past, 0), EpochSeconds()),
        "refresh_at": type_coerce(func.nullif(coming, _FAR), EpochSeconds()),
    }
    joined: FromClause = c
    for part in (history, odd, purse):
        joined = joined.outerjoin(part, part.c.customer_id == c.c.id)
    if plan is not None:
        tier = standing(plan, days, edge_rows)
        joined = joined.outerjoin(tier.needed, tier.needed.c.customer_id == c.c.id)
        joined = joined.outerjoin(tier.edges, tier.edges.c.zone_id == c.c.zone_id)
        columns |= tier.columns
    return (
        select(*(columns[column.name].label(column.name) for column in customer_facts.c))
        .select_from(joined)
        .where(_not_erased(c), _in(c.c.id, only))
    )
