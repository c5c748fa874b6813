"""All that messages at the fence hold on PostgreSQL, taken in one statement: each is a way to the server and back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    Select,
    Table,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.sql.selectable import CTE

from engine.database.arrays import any_of
from engine.database.compiled import Compiled
from engine.database.engines import PREPARED_AT_ONCE
from engine.database.gate import SHORT, gate
from engine.database.sql import Id
from engine.database.tables import customers, endpoints

_ENDPOINT, _CUSTOMER = 1, 2


def hold_group(
    conn: Connection, endpoint_ids: Sequence[int], customer_ids: Sequence[int], *, wait: bool
) -> tuple[Collection[int], Collection[int]]:
    """Stand in the gate, then hold endpoints' rows and then guests', by their ids, until the transaction ends.

    Gives the ids of those that are held: with ``wait`` each is waited for, half a second at the most; without it those
    that nobody else holds. What is asked in the rest of the transaction is planned once, and not for its values: there
    are few, and each is looked up by its key. SQLite's ``BEGIN IMMEDIATE`` holds the whole database already.
    """
    if conn.dialect.name == "sqlite":
        return endpoint_ids, customer_ids
    raw: Any = conn.connection.driver_connection
    raw.prepare_threshold = PREPARED_AT_ONCE
    held: dict[int, list[int]] = {_ENDPOINT: [], _CUSTOMER: []}
    for row in _statement(wait).rows(conn, {"endpoints": endpoint_ids, "customers": customer_ids}):
        kind, number = tuple(row)
        if number is not None:
            held[kind].append(number)
    return held[_ENDPOINT], held[_CUSTOMER]


@cache
def _statement(wait: bool) -> Compiled:
    """SQL: each of the three is taken when the one before it was counted, so none is taken out of its turn."""
    settings = {"plan_cache_mode": "force_generic_plan"} | ({"lock_timeout": SHORT} if wait else {})
    set_so = [func.set_config(name, value, True).label(f"{name}_now") for name, value in settings.items()]
    passed = select(gate().label("gate"), *set_so).cte("gate").prefix_with("MATERIALIZED")
    inboxes = _locked(endpoints, "endpoints", after=passed, wait=wait)
    guests = _locked(customers, "customers", after=inboxes, wait=wait)
    return Compiled(
        union_all(
            select(literal(0, Integer), null()).select_from(passed),
            select(literal(_ENDPOINT, Integer), inboxes.c.id),
            select(literal(_CUSTOMER, Integer), guests.c.id),
        )
    )


def _locked(table: Table, name: str, *, after: CTE, wait: bool) -> CTE:
    key: Column[int] = table.c.id
    counted = select(func.count()).select_from(after).scalar_subquery()
    wanted = key == any_of(name, Id)
    # FOR NO KEY UPDATE: a row written elsewhere that only points at it does not wait and is not waited for.
    rows: Select[Any] = select(key).where(counted >= 0, wanted).order_by(key)
    return rows.with_for_update(key_share=True, skip_locked=not wait).cte(f"held_{name}").prefix_with("MATERIALIZED")
