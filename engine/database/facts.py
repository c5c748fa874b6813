"""Keeping ``customer_facts`` up: rows made anew by their definition, in pages of customers.

However many there are to do, no more than one page of ids is held; the others stand in a temporary table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Delete,
    Select,
    bindparam,
    delete,
    or_,
    select,
    union_all,
)

from engine.database.counting import counts, net_total, points_balance
from engine.database.facts_definition import Keys, Listed, facts_select
from engine.database.facts_tables import beyond_last_order
from engine.database.noted import PAGE, note, take_noted
from engine.database.packed import IdList, one_of
from engine.database.planning import by_list
from engine.database.sql import EpochSeconds, Id, one_importer, upsert
from engine.database.tables import customer_facts, customers, orders, tier_changes
from engine.database.tiers import TierPlan, above_least, edges, plan_of, remember, stale, write_changes
from engine.database.touched import MOST, touch, touch_everybody

__all__ = [
    "bring_to",
    "counts",
    "facts_select",
    "net_total",
    "points_balance",
    "rebuild",
    "recompute",
    "recompute_noted",
    "use_tiers",
]

# Built once: to build the definition takes as long as to recompute a hundred customers by it.
_AS_OF = bindparam("as_of", type_=EpochSeconds)
_NAMES = [column.name for column in customer_facts.c]


def recompute(conn: Connection, ids: Iterable[int], as_of: datetime) -> None:
    """Make the facts of these customers what they are at ``as_of``."""
    rest = iter(ids)
    _recompute_pages(conn, iter(lambda: list(islice(rest, PAGE)), []), as_of)


def recompute_noted(conn: Connection, as_of: datetime) -> int:
    """Make the facts of all whom ``note`` noted what they are at ``as_of``, and forget them; gives how many."""
    return _recompute_pages(conn, take_noted(conn), as_of)


def _recompute_pages(conn: Connection, pages: Iterable[Sequence[int]], as_of: datetime) -> int:
    plan = plan_of(conn)
    asked, these, done = {"as_of": as_of, **edges(conn, plan, as_of)}, _these(plan), 0
    with by_list(conn):
        for page in pages:
            if done + len(page) <= MOST:
                touch(conn, page)
            elif done <= MOST:  # so many are everybody, once
                touch_everybody(conn)
            _make_anew(conn, these, {"ids": page, **asked})
            if plan is not None:
                write_changes(conn, plan, page, as_of)
            done += len(page)
    return done


def bring_to(conn: Connection, as_of: datetime) -> int:
    """Recompute every row that is not right at ``as_of``. Returns how many that were.

    A dry run is rolled back, so the facts may stand at any moment for the length of a transaction.
    """
    plan = plan_of(conn)
    asked = {"as_of": as_of, **edges(conn, plan, as_of)}
    wrong = _wrong(plan)
    some = conn.scalars(wrong.limit(PAGE), asked).all()
    if not some:  # on most days, and at every step of the dispatch
        return 0
    if len(some) < PAGE:
        recompute(conn, sorted(set(some)), as_of)
        return len(set(some))
    note(conn, wrong, **asked)
    return recompute_noted(conn, as_of)


def rebuild(conn: Connection, as_of: datetime) -> None:
    """Throw all facts away and make them anew, when no import is under way."""
    plan, c = plan_of(conn), customers.c.id
    asked = {"as_of": as_of, **edges(conn, plan, as_of)}
    # Of a range PostgreSQL takes one in two hundred for all that there is, as long as it has no statistics.
    by_ids = conn.dialect.name == "postgresql"
    fill = customer_facts.insert().from_select(_NAMES, _these(plan).facts if by_ids else _range(plan))
    one_importer(conn)  # what an import under way adds to rows that are thrown away would be in none
    touch_everybody(conn)
    conn.execute(delete(customer_facts))
    some, last = select(c).order_by(c).limit(PAGE), -1
    with by_list(conn):
        while ids := conn.scalars(some.where(c > last)).all():
            conn.execute(fill, {**({"ids": ids} if by_ids else {"low": ids[0], "high": ids[-1]}), **asked})
            last = ids[-1]
    if plan is not None:
        _all_changes(conn, plan, as_of)


def _all_changes(conn: Connection, plan: TierPlan, as_of: datetime) -> None:
    conn.execute(delete(tier_changes).where(tier_changes.c.customer_id.not_in(select(customer_facts.c.customer_id))))
    f, last = customer_facts.c.customer_id, -1
    some = select(f).where(above_least(plan)).order_by(f).limit(PAGE)
    while ids := conn.scalars(some.where(f > last)).all():
        write_changes(conn, plan, ids, as_of)
        last = ids[-1]


def use_tiers(conn: Connection, plan: TierPlan | None, as_of: datetime) -> None:
    """Let tiers be worked out by ``plan``, or by the customers' files; all of them anew where it is another plan."""
    if remember(conn, plan):
        rebuild(conn, as_of)


class _Upkeep(NamedTuple):
    theirs: Select[Any]
    erased: Delete
    facts: Select[Any]


@cache
def _these(plan: TierPlan | None) -> _Upkeep:
    ids = bindparam("ids", type_=IdList())
    c, f = customers.c, customer_facts.c
    erased = select(c.id).where(one_of(c.id, ids), c.erased_at.is_not(None))
    theirs = select(f.customer_id).where(one_of(f.customer_id, ids)).order_by(f.customer_id)
    return _Upkeep(
        theirs.with_for_update(key_share=True),
        delete(customer_facts).where(f.customer_id.in_(erased)),
        facts_select(_AS_OF, Listed(ids), plan),
    )


@cache
def _range(plan: TierPlan | None) -> Select[Any]:
    return facts_select(_AS_OF, Keys(bindparam("low", type_=Id), bindparam("high", type_=Id)), plan)


@cache
def _wrong(plan: TierPlan | None) -> Select[Any]:
    """SQL: of whom the facts are not right at ``as_of``: each part is a range of an index; some may come twice."""
    f, o = customer_facts, orders
    due = select(f.c.customer_id).where(f.c.refresh_at <= _AS_OF)
    # A row stands from its last order on, and only where something else came later the index of the rest knows it.
    ahead = f.c.stands_from > _AS_OF
    others = select(f.c.customer_id).where(ahead, beyond_last_order(f))
    ordered = select(f.c.customer_id).join(o, o.c.customer_id == f.c.customer_id).where(o.c.ordered_at > _AS_OF, ahead)
    parts = [due, others, ordered]
    if plan is not None:
        parts.append(stale())
    return select(union_all(*parts).subquery("wrong").c.customer_id)


def _make_anew(conn: Connection, upkeep: _Upkeep, asked: dict[str, Any]) -> None:
    # In order: of two workers who bring the same rows to now neither waits for the other's. And first: whoever had to
    # wait for a row must look at its orders afterwards, or would write what was true before.
    if conn.dialect.name == "postgresql":
        conn.execute(upkeep.theirs, asked).all()
    conn.execute(upkeep.erased, asked)
    fresh = upsert(conn, customer_facts).from_select(
        _NAMES, upkeep.facts.order_by(upkeep.facts.selected_columns.customer_id)
    )
    told = [name for name in _NAMES if name != "customer_id"]
    conn.execute(
        fresh.on_conflict_do_update(
            index_elements=[customer_facts.c.customer_id],
            set_={name: fresh.excluded[name] for name in told},
            # A row that is right already is not written: each of its indexes would have to be.
            where=or_(*(customer_facts.c[name].is_distinct_from(fresh.excluded[name]) for name in told)),
        ),
        asked,
    )
