"""Whose clock a guest lives by: the own zone, else the own store's, else that of most visits, else the home's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select, update

from engine.database.planning import by_index, one_by_one
from engine.database.tables import customer_facts, customers, orders, stores
from engine.intake import values
from engine.intake.desk import CHUNK, Desk, chunks


def follow_stores(desk: Desk) -> None:
    """Let guests without a zone or store of their own live by the clock of the store that they visit."""
    clocks = {store.zone_id for store in desk.stores.values()} | {desk.home_zone}
    if len(clocks) == 1:
        return
    desk.make_facts()
    c, f = customers.c, customer_facts.c
    moved = (
        select(c.id, stores.c.zone_id)
        .join(customer_facts, f.customer_id == c.id)
        .join(stores, stores.c.id == func.coalesce(c.store_id, f.store_id))
        .where(c.own_zone.is_(False), c.zone_id != stores.c.zone_id)
    )
    any_moved = False
    for page in _pages(desk.conn, moved):
        _move(desk, page)
        any_moved = True
    if not any_moved:
        return
    # By another clock orders fall on other days, and another store may be that of most visits. Who would be moved back
    # at once lives by the clock of the lower number, at each import the same.
    desk.make_facts()
    for page in _pages(desk.conn, moved.where(stores.c.zone_id < c.zone_id)):
        _move(desk, page)


def _pages(conn: Connection, moved: Select[Any]) -> Iterator[dict[int, int]]:
    """Yield who is to move and to which zone, some at a time, each page where the one before ended."""
    page = moved.order_by(customers.c.id).limit(CHUNK)
    found = conn.execute(page).all()
    while found:
        yield {row.id: row.zone_id for row in found}
        if len(found) < CHUNK:
            return
        with one_by_one(conn):  # so many are likely to go on; to join all of them first would be to do it for each page
            found = conn.execute(page.where(customers.c.id > found[-1].id)).all()


def _move(desk: Desk, zones: Mapping[int, int]) -> None:
    """Let guests live by the clocks of these zones."""
    write = update(customers).where(customers.c.id == bindparam("its_id")).values(zone_id=bindparam("its_zone"))
    desk.conn.execute(write, [{"its_id": number, "its_zone": zone_id} for number, zone_id in zones.items()])
    with by_index(desk.conn):
        move_days(desk, zones)


def move_days(desk: Desk, customer_ids: Iterable[int]) -> None:
    """Work out the business days of these guests' orders anew: their zone is another one."""
    starts, conn = desk.config.day_starts, desk.conn
    for chunk in chunks(customer_ids, CHUNK):
        desk.touch(chunk)
        theirs = (
            select(orders.c.id, orders.c.day, orders.c.ordered_at, customers.c.zone_id)
            .join(customers, customers.c.id == orders.c.customer_id)
            .where(customers.c.id.in_(chunk))
        )
        days = [
            {"its_id": row.id, "its_day": day}
            for row in conn.execute(theirs).all()
            if (day := values.day_of(int(row.ordered_at.timestamp()), desk.zone(row.zone_id), starts)) != row.day
        ]
        if days:
            conn.execute(
                update(orders).where(orders.c.id == bindparam("its_id")).values(day=bindparam("its_day")), days
            )
        joined = select(customers.c.id, customers.c.joined_at, customers.c.zone_id)
        firsts = [
            {"its_id": row.id, "its_day": values.day_of(int(row.joined_at.timestamp()), desk.zone(row.zone_id), starts)}
            for row in conn.execute(joined.where(customers.c.id.in_(chunk), customers.c.joined_at.is_not(None))).all()
        ]
        if firsts:
            write = update(customers).where(customers.c.id == bindparam("its_id"))
            conn.execute(write.values(joined_day=bindparam("its_day")), firsts)


def move_store(desk: Desk, store_id: int, zone_id: int) -> None:
    """Work out anew what the orders of a store have by its clock, and its walk-ins by its day: its zone is another."""
    zone, starts = desk.zone(zone_id), desk.config.day_starts
    theirs = select(orders.c.id, orders.c.ordered_at, orders.c.day, orders.c.customer_id)
    write = update(orders).where(orders.c.id == bindparam("its_id"))
    write = write.values(day=bindparam("its_day"), clock=bindparam("its_clock"))
    for chunk in chunks(desk.conn.execute(theirs.where(orders.c.store_id == store_id)).all(), CHUNK):
        rows = []
        for row in chunk:
            seconds = int(row.ordered_at.timestamp())
            day = row.day if row.customer_id else values.day_of(seconds, zone, starts)
            rows.append({"its_id": row.id, "its_day": day, "its_clock": values.week_clock(seconds, zone, starts)})
        desk.conn.execute(write, rows)
