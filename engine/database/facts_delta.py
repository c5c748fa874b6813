"""Keeping ``customer_facts`` up when orders are only added: a tenth of the price of making the rows anew.

What is new of each customer is summed up once, in a temporary table; a row that it only adds to takes it in by a merge
of the two, all others are made anew. Nothing here reads more of ``orders`` than the new rows, and of the others what an
index gives for one customer.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Integer,
    MetaData,
    Select,
    Subquery,
    Table,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.schema import CreateTable, DropTable

from engine.database.counting import RECENT_GAPS, STORE_DAYS, counts, gaps_of, nth_day, store_of
from engine.database.engines import room
from engine.database.facts import recompute_noted
from engine.database.noted import note, noted
from engine.database.sql import EpochSeconds, Id, greatest_of, least_of
from engine.database.tables import customer_facts, customers, orders, stores
from engine.database.tiers import TierPlan, plan_of
from engine.database.touched import touch_selected

#: One number for a moment and an order of that moment, so that one ``max`` finds the last order. An instant takes 31
#: bits until 2106 (32), and no import brings 2 thousand million orders.
_ROOM: Final = 2**31
_LATEST: Final = 2**32 - 1

#: So many bytes of memory a sort of what is new may take.
_TO_SORT: Final = 8 * 1024 * 1024
#: What is new of each customer.
_added = Table(
    "facts_added",
    MetaData(),
    Column("customer_id", Id, primary_key=True, autoincrement=False),
    Column("orders", Integer),
    Column("visits", Integer, comment="days with none of the orders known before"),
    Column("spend", BigInteger),
    Column("first_id", Id),
    Column("first_at", BigInteger),
    Column("first_day", Integer),
    Column("last_id", Id),
    Column("last_at", BigInteger),
    Column("last_day", Integer),
    Column("is_first", Boolean(create_constraint=False), comment="nothing that counts was known before"),
    Column("is_plain", Boolean(create_constraint=False), comment="the row of facts only has to take it in"),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


def apply_delta(conn: Connection, *, after_id: int, as_of: datetime) -> None:
    """Take the orders with an id above ``after_id``, all of them new, into the facts.

    A customer whose new orders all follow the last one known gets a delta. Where one lies further back or in the
    future, or is given back already, where the facts do not stand at ``as_of``, where the customer has had enough for a
    tier, or was noted by ``note``, the row is made anew.
    """
    statements = _statements(plan_of(conn))
    asked = {"after_id": after_id, "as_of": as_of}
    conn.execute(CreateTable(_added))
    with room(conn, _TO_SORT):  # all that is new; of an import of half a million orders that were 24 MB more
        conn.execute(statements.add, asked)
    note(conn, statements.others)
    conn.execute(statements.leave)
    recompute_noted(conn, as_of)
    touch_selected(conn, statements.these, asked, since=select(func.min(_added.c.last_day)).scalar_subquery())
    for step in statements.grow:
        conn.execute(step, asked)
    conn.execute(DropTable(_added))


class _Statements(NamedTuple):
    add: Insert
    others: Select[Any]
    leave: Delete
    these: Select[Any]
    grow: tuple[Update, ...]


@cache
def _statements(plan: TierPlan | None) -> _Statements:
    """Built once: see ``facts``."""
    as_of, a = bindparam("as_of", type_=EpochSeconds), _added.c
    return _Statements(
        insert(_added).from_select([column.name for column in _added.c], _sums(as_of, plan)),
        select(a.customer_id).where(a.is_plain.is_(False)),
        delete(_added).where(a.customer_id.in_(noted())),
        select(a.customer_id),
        (
            # An index is written anew for every column that an UPDATE names: so the few first-comers are by themselves.
            _of(a.is_first.is_(False)).values(_grown(as_of)),
            _of(a.is_first.is_(True)).values(_grown(as_of) | _begun()),
            _store_moves(as_of),
        ),
    )


def _of(who: ColumnElement[bool]) -> Update:
    # Adding nothing keeps SQLite from walking through the facts of everybody and looking for each among the few.
    return update(customer_facts).where(customer_facts.c.customer_id == _added.c.customer_id + 0, who)


# ---------------------------------------------------------------------------------------------------------------------
# What is new.


def _sums(as_of: ColumnElement[datetime], plan: TierPlan | None) -> Select[Any]:
    f, after_id = customer_facts, bindparam("after_id", type_=Id)
    new = _new(after_id)
    n, visits = new.c, _new_visits(new, as_of)
    is_plain = _plain(new, as_of)
    if plan is not None and plan.marks:  # whoever never had enough for the lowest level has none, and never changed
        worth = f.c.visits + visits if plan.by == "visits" else f.c.spend + n.spend
        is_plain = and_(is_plain, worth < plan.marks[0][1])
    return select(
        n.customer_id,
        n.orders,
        visits,
        n.spend,
        n.first.bitwise_and(_ROOM - 1) + after_id,
        n.first // _ROOM,
        n.first_day,
        n.last.bitwise_and(_ROOM - 1) + after_id,
        n.last // _ROOM,
        n.last_day,
        f.c.last_order_at.is_(None),
        func.coalesce(is_plain, false()),
    ).select_from(new.outerjoin(f, f.c.customer_id == n.customer_id))


def _new(after_id: ColumnElement[int]) -> Subquery:
    o = orders.alias("o")
    # Grouping by the bare column would make SQLite walk the whole covering index (3.7 times slower, measured).
    customer = o.c.customer_id + 0
    # What lies after 2106 is made anew as all that is to come; as it stands the number would not hold it.
    at = least_of(type_coerce(o.c.ordered_at, BigInteger), literal(_LATEST, BigInteger))
    moment = at * _ROOM + (o.c.id - after_id)
    return (
        select(
            customer.label("customer_id"),
            func.count().label("orders"),
            cast(func.sum(o.c.total), BigInteger).label("spend"),
            func.min(moment).label("first"),
            func.max(moment).label("last"),
            func.min(o.c.day).label("first_day"),
            func.max(o.c.day).label("last_day"),
            func.max(o.c.refunded_at).label("refunded_at"),
        )
        .where(o.c.id > after_id, o.c.customer_id.is_not(None))
        .group_by(customer)
        .subquery("new")
    )


def _plain(new: Subquery, as_of: ColumnElement[datetime]) -> ColumnElement[bool]:
    f, n = customer_facts.c, new.c
    return and_(
        n.refunded_at.is_(None),
        n.first >= 0,  # what comes before 1970 is taken apart in another way
        n.last // _ROOM <= type_coerce(as_of, BigInteger),
        or_(f.last_order_at.is_(None), n.first // _ROOM > type_coerce(f.last_order_at, BigInteger)),
        or_(f.last_order_day.is_(None), n.first_day >= f.last_order_day),
        or_(f.stands_from.is_(None), f.stands_from <= as_of),
        or_(f.refresh_at.is_(None), f.refresh_at > as_of),
        f.customer_id.is_not(None),
    )


def _new_visits(new: Subquery, as_of: ColumnElement[datetime]) -> ColumnElement[int]:
    """How many visits come to those known; the orders are looked at only where they are of several days."""
    f, n, o = customer_facts.c, new.c, orders.alias("of_days")
    several = (
        select(func.count(o.c.day.distinct()))
        .where(o.c.customer_id == n.customer_id, o.c.day > func.coalesce(f.last_order_day, 0), counts(o, as_of))
        .correlate(new, customer_facts)
        .scalar_subquery()
    )
    return case((n.first_day < n.last_day, several), (n.first_day == f.last_order_day, 0), else_=1)


# ---------------------------------------------------------------------------------------------------------------------
# The merge.


def _grown(as_of: ColumnElement[datetime]) -> dict[str, Any]:
    a, f = _added.c, customer_facts.c
    visits = f.visits + a.visits
    return {
        "orders": f.orders + a.orders,
        "visits": visits,
        "spend": f.spend + a.spend,
        "last_order_id": a.last_id,
        "last_order_at": a.last_at,
        "last_order_day": a.last_day,
        "gaps": gaps_of(visits),
        "gap_days": _gap_days(as_of),
        "stands_from": greatest_of(func.coalesce(f.stands_from, 0), a.last_at),
    }


def _begun() -> dict[str, Any]:
    a, f = _added.c, customer_facts.c
    return {
        "joined_at": func.coalesce(f.joined_at, a.first_at),
        "joined_day": func.coalesce(f.joined_day, a.first_day),
        "first_order_id": a.first_id,
        "first_order_at": a.first_at,
        "first_order_day": a.first_day,
    }


def _gap_days(as_of: ColumnElement[datetime]) -> ColumnElement[int]:
    """The last day less the one before the last ten gaps: known, or the next one, or looked for."""
    a, f, o = _added.c, customer_facts.c, orders.alias("next")
    who = (customer_facts, _added)
    next_day = (
        select(o.c.day)
        .where(o.c.customer_id == f.customer_id, o.c.day > f.last_order_day - f.gap_days, counts(o, as_of))
        .order_by(o.c.day)
        .limit(1)
        .correlate(*who)
        .scalar_subquery()
    )
    before = case(
        (f.visits + a.visits <= RECENT_GAPS + 1, func.coalesce(f.first_order_day, a.first_day)),
        (a.visits == 0, f.last_order_day - f.gap_days),
        (a.visits == 1, next_day),
        else_=nth_day(who, f.customer_id, as_of),
    )
    return cast(a.last_day - before, Integer)


def _store_moves(as_of: ColumnElement[datetime]) -> Update:
    """The store of most visits, of those who have no open one of their own and were lately at more than one."""
    a, f, c = _added.c, customer_facts.c, customers.c
    who = (customer_facts, customers, _added)
    own, here, shut, o = stores.alias("own"), stores.alias("here"), stores.alias("shut"), orders.alias("elsewhere")
    its_own = exists().where(own.c.id == c.store_id, or_(own.c.closed_on.is_(None), own.c.closed_on > a.last_day))
    still = exists().where(here.c.id == f.store_id, or_(here.c.closed_on.is_(None), here.c.closed_on > a.last_day))
    elsewhere = exists().where(
        o.c.customer_id == f.customer_id,
        o.c.day > a.last_day - STORE_DAYS,
        o.c.store_id.is_distinct_from(f.store_id),
    )
    # Asked once for all: where no store was ever shut, whoever has one of their own stays there.
    some_shut = exists().where(shut.c.closed_on.is_not(None))
    asked = and_(
        or_(c.store_id.is_(None), some_shut),
        not_(its_own.correlate(*who)),
        or_(not_(still.correlate(*who)), elsewhere.correlate(*who)),
    )
    now = store_of(who, f.customer_id, c.store_id, a.last_day, as_of)
    return (
        _of(true())
        .where(c.id == _added.c.customer_id + 0, asked, now.is_distinct_from(f.store_id))
        .values(store_id=now)
    )
