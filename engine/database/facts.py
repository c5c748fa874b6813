"""``customer_facts``: the one definition, and how it is kept up.

A row is what is true of one customer at any ``as_of`` with ``stands_from <= as_of < refresh_at``. An order counts when
it was placed by ``as_of`` and no full refund or void of it is known by then; a partial refund lowers its total. A visit
is a business day with at least one such order.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    union,
)

from engine.database.counting import (
    AsOf,
    at,
    country_of,
    counts,
    gaps_of,
    left_of,
    net_total,
    nth_day,
    order_at,
    points_balance,
    store_of,
)
from engine.database.sql import EpochSeconds, Id, greatest_of, least_of, upsert
from engine.database.tables import customer_facts, customers, orders, points, refunds, tier_changes
from engine.database.tiers import TierPlan, above_least, edges, plan_of, remember, stale, standing, write_changes
from engine.database.touched import touch, touch_everybody, touch_selected

__all__ = [
    "bring_to",
    "counts",
    "facts_select",
    "net_total",
    "points_balance",
    "rebuild",
    "recompute",
    "use_tiers",
]

#: Of whom: a select of customer ids, a bind of them (``expanding``), ids, or everybody.
Only = Select[Any] | BindParameter[Any] | Iterable[int] | None

_FAR = 2**62
_CHUNK = 2_000


def _in(column: ColumnElement[Any], only: Only) -> ColumnElement[bool]:
    if only is None:
        return true()
    return column.in_(only if isinstance(only, (Select, BindParameter)) else list(only))


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
    """One row a customer and day with an order, counting or not."""
    o = orders.alias("o")
    ok = counts(o, as_of)
    past, coming = _known(o, as_of)
    refunded = and_(o.c.ordered_at <= at(as_of), o.c.refunded_at <= at(as_of))
    return (
        select(
            o.c.customer_id,
            o.c.day,
            func.sum(case((ok, 1), else_=0)).label("orders"),
            func.sum(case((ok, net_total(o, as_of)), else_=0)).label("spend"),
            func.min(case((ok, o.c.ordered_at))).label("first_at"),
            func.max(case((ok, o.c.ordered_at))).label("last_at"),
            func.sum(case((refunded, 1), else_=0)).label("refunds"),
            func.max(past).label("past"),
            func.min(coming).label("coming"),
        )
        .where(o.c.customer_id.is_not(None), _in(o.c.customer_id, only))
        .group_by(o.c.customer_id, o.c.day)
        .cte("facts_days")
    )


def _history(as_of: AsOf, days: CTE) -> CTE:
    """One row a customer with an order."""
    day = case((days.c.orders > 0, days.c.day))
    per = (
        select(
            days.c.customer_id,
            cast(func.sum(days.c.orders), Integer).label("orders"),
            func.count(day).label("visits"),
            cast(func.sum(days.c.spend), BigInteger).label("spend"),
            cast(func.sum(days.c.refunds), Integer).label("refunds"),
            func.min(day).label("first_day"),
            func.max(day).label("last_day"),
            func.min(days.c.first_at).label("first_at"),
            func.max(days.c.last_at).label("last_at"),
            func.max(days.c.past).label("past"),
            func.min(days.c.coming).label("coming"),
        )
        .group_by(days.c.customer_id)
        .cte("per")
    )
    eleventh = case((per.c.visits > 1, nth_day((per,), per.c.customer_id, as_of)), else_=per.c.last_day)
    return select(
        *per.c,
        func.coalesce(per.c.last_day - eleventh, 0).label("gap_days"),
        order_at((per,), per.c.customer_id, per.c.first_day, per.c.first_at, as_of, last=False).label("first_id"),
        order_at((per,), per.c.customer_id, per.c.last_day, per.c.last_at, as_of, last=True).label("last_id"),
    ).cte("history")


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


def _of_orders(h: Any) -> dict[str, Any]:
    """The columns that are the history's own."""
    visits = func.coalesce(h.visits, 0)
    return {
        "orders": func.coalesce(h.orders, 0),
        "visits": visits,
        "spend": func.coalesce(h.spend, 0),
        "refunds": func.coalesce(h.refunds, 0),
        "first_order_id": h.first_id,
        "first_order_at": h.first_at,
        "first_order_day": h.first_day,
        "last_order_id": h.last_id,
        "last_order_at": h.last_at,
        "last_order_day": h.last_day,
        "gaps": gaps_of(visits),
        "gap_days": func.coalesce(h.gap_days, 0),
    }


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
    history, purse = _history(as_of, days), _purse(as_of, only)
    h = history.c
    last_day = h.last_day
    past = greatest_of(func.coalesce(h.past, 0), func.coalesce(purse.c.past, 0))
    joins = case((c.c.joined_at > at(as_of), c.c.joined_at), else_=literal(_FAR, BigInteger))
    coming = least_of(func.coalesce(h.coming, _FAR), func.coalesce(purse.c.coming, _FAR), joins)
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
        **_of_orders(h),
        "points": func.coalesce(purse.c.points, 0),
        "tier_key": c.c.tier_key,
        "tier_rests_on": cast(null(), Integer),
        "tier_fell_with": cast(null(), Integer),
        "country": country_of((c,), c.c.sms_id, c.c.store_id),
        "stands_from": type_coerce(func.nullif(past, 0), EpochSeconds()),
        "refresh_at": type_coerce(func.nullif(coming, _FAR), EpochSeconds()),
    }
    joined = c.outerjoin(history, h.customer_id == c.c.id).outerjoin(purse, purse.c.customer_id == c.c.id)
    if plan is not None:
        tier = standing(plan, days, edge_rows)
        joined = joined.outerjoin(tier.needed, tier.needed.c.customer_id == c.c.id)
        joined = joined.outerjoin(tier.edges, tier.edges.c.zone_id == c.c.zone_id)
        columns |= tier.columns
    return (
        select(*(columns[column.name].label(column.name) for column in customer_facts.c))
        .select_from(joined)
        .where(c.c.erased_at.is_(None), _in(c.c.id, only))
    )


# ---------------------------------------------------------------------------------------------------------------------
# Upkeep.


# Built once: to build the definition takes as long as to recompute a hundred customers by it.
_AS_OF = bindparam("as_of", type_=EpochSeconds)
_NAMES = [column.name for column in customer_facts.c]


def recompute(conn: Connection, ids: Iterable[int], as_of: datetime) -> None:
    """Make the facts of these customers what they are at ``as_of``."""
    plan, rest = plan_of(conn), iter(ids)
    asked = {"as_of": as_of, **edges(conn, plan, as_of)}
    while chunk := list(islice(rest, _CHUNK)):
        touch(conn, chunk)
        _make_anew(conn, _these(plan), {"ids": chunk, **asked})
        if plan is not None:
            write_changes(conn, plan, chunk, as_of)


def bring_to(conn: Connection, as_of: datetime) -> int:
    """Recompute every row that is not right at ``as_of``. Returns how many that were.

    A dry run is rolled back, so the facts may stand at any moment for the length of a transaction.
    """
    plan = plan_of(conn)
    asked = {"as_of": as_of, **edges(conn, plan, as_of)}
    stale = _stale(plan)
    if plan is not None:  # their changes are worked out in Python
        found = 0
        while ids := conn.scalars(stale.customers.limit(_CHUNK), asked).all():
            recompute(conn, ids, as_of)
            found += len(ids)
        return found
    found = conn.execute(stale.customers.with_only_columns(func.count()), asked).scalar_one()
    if found:
        touch_selected(conn, stale.customers, asked)
        _make_anew(conn, stale, asked)
    return int(found)


def rebuild(conn: Connection, as_of: datetime) -> None:
    """Throw all facts away and make them anew."""
    plan = plan_of(conn)
    touch_everybody(conn)
    conn.execute(delete(customer_facts))
    conn.execute(customer_facts.insert().from_select(_NAMES, facts_select(as_of, plan=plan)), edges(conn, plan, as_of))
    if plan is not None:
        conn.execute(
            delete(tier_changes).where(tier_changes.c.customer_id.not_in(select(customer_facts.c.customer_id)))
        )
        f, last = customer_facts.c.customer_id, 0
        some = select(f).where(above_least(plan)).order_by(f).limit(_CHUNK)
        while ids := conn.scalars(some.where(f > last)).all():
            write_changes(conn, plan, ids, as_of)
            last = ids[-1]


def use_tiers(conn: Connection, plan: TierPlan | None, as_of: datetime) -> None:
    """Let tiers be worked out by ``plan``, or by the customers' files; all of them anew where it is another plan."""
    if remember(conn, plan):
        rebuild(conn, as_of)


class _Upkeep(NamedTuple):
    customers: Any  #: a bind or a select of ids
    erased: Delete
    facts: Select[Any]


def _upkeep(of: Select[Any] | BindParameter[Any], plan: TierPlan | None) -> _Upkeep:
    f = customer_facts.c
    erased = exists().where(customers.c.id == f.customer_id, customers.c.erased_at.is_not(None))
    return _Upkeep(of, delete(customer_facts).where(_in(f.customer_id, of), erased), facts_select(_AS_OF, of, plan))


@cache
def _these(plan: TierPlan | None) -> _Upkeep:
    return _upkeep(bindparam("ids", expanding=True, type_=Id), plan)


@cache
def _stale(plan: TierPlan | None) -> _Upkeep:
    f = customer_facts.alias("stale")
    moved = select(f.c.customer_id).where(or_(f.c.stands_from > _AS_OF, f.c.refresh_at <= _AS_OF))
    if plan is None:
        return _upkeep(moved, None)
    both = union(moved, stale()).subquery("stale_rows")
    return _upkeep(select(both.c.customer_id), plan)


def _make_anew(conn: Connection, upkeep: _Upkeep, asked: dict[str, Any]) -> None:
    conn.execute(upkeep.erased, asked)
    fresh = upsert(conn, customer_facts).from_select(_NAMES, upkeep.facts)
    conn.execute(
        fresh.on_conflict_do_update(
            index_elements=[customer_facts.c.customer_id],
            set_={name: fresh.excluded[name] for name in _NAMES if name != "customer_id"},
        ),
        asked,
    )
