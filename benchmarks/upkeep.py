"""The facts' upkeep next to the bare writing of the same orders: new ones, and corrections of some that are known.

Both sides write as the importer does, in batches of its size, and commit; what is new is taken out again, outside the
timing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from benchmarks.crowd import AS_OF, ORDERS_A_GUEST
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair, at_most
from engine.database.bulk import insert_many
from engine.database.engines import room, without_foreign_keys
from engine.database.facts import facts_select, recompute
from engine.database.facts_delta import apply_delta
from engine.database.tables import customer_facts, orders
from engine.intake.desk import BATCH
from engine.intake.importer import ROOM

#: So many orders are new, or corrected; of fewer where the crowd is smaller.
_MOST: Final = 50_000
_NOW: Final = AS_OF + timedelta(days=2)
_NEW: Final = ("source", "external_id", "customer_id", "store_id", "ordered_at", "day", "clock", "total")
_CORRECTED: Final = ("customer_id", "store_id", "ordered_at", "day", "clock", "total", "channel", "coupon", "server")

Upkeep = Callable[[Connection], None]


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the measures of the upkeep."""
    for database in ground.databases:
        for name, each, told in (("one", 1, "one new order"), ("new", ORDERS_A_GUEST, "ten new orders")):
            yield Measure(
                id=f"facts-{name}",
                name=f"facts kept up, {told} a guest",
                bar=at_most(1.3),
                prepare=partial(_new_orders, ground, database, each),
                opponent="bare insert of the orders",
                database=database,
            )
        yield Measure(
            id="facts-corrections",
            name="facts made anew, one order a guest corrected",
            bar=at_most(2.5),
            prepare=partial(_corrections, ground, database),
            opponent="bare update of the orders",
            database=database,
        )


@contextmanager
def _new_orders(ground: Ground, database: str, each: int) -> Iterator[Pair]:
    """``each`` orders of so many guests, in the order of time and not of the guests."""
    with ground.world(database).copy() as world:
        guests = random.Random(each).sample(range(1, world.size + 1), min(world.size, _MOST) // each)
        with world.db.connect() as conn:
            after = conn.scalar(select(func.max(orders.c.id))) or 0
        at, day = int(AS_OF.timestamp()), AS_OF.toordinal() + 1
        rows = [
            ("bench", f"{guest}-{number}", guest, 1, at + 86_400 + number * 60, day, 600, 1250)
            for number in range(each)
            for guest in guests
        ]

        def written(then: Upkeep) -> None:
            with world.db.begin() as conn, room(conn, ROOM):
                for first in range(0, len(rows), BATCH):
                    insert_many(conn, orders, _NEW, rows[first : first + BATCH])
                then(conn)

        def taken_out() -> None:
            # Nothing points at these orders; to have it looked for takes minutes, as not all that may has an index.
            with without_foreign_keys(world.db) as conn, conn.begin():
                if database == "postgresql":
                    conn.exec_driver_sql("SET LOCAL session_replication_role = replica")
                conn.execute(delete(orders).where(orders.c.id > after))
                recompute(conn, guests, _NOW)

        yield _pair(world, written, lambda conn: apply_delta(conn, after_id=after, as_of=_NOW), taken_out)


@contextmanager
def _corrections(ground: Ground, database: str) -> Iterator[Pair]:
    """One order of each of many guests costs more than it did."""
    with ground.world(database).copy() as world:
        guests = sorted(random.Random(2).sample(range(1, world.size + 1), min(world.size, _MOST) // 2))
        o, latest = orders.c, customer_facts.c.last_order_id
        with world.db.connect() as conn:
            last = select(latest).where(customer_facts.c.customer_id == o.customer_id).scalar_subquery()
            chosen = select(o.id, *(o[name] for name in _CORRECTED)).where(o.id == last)
            of_guest = {row["customer_id"]: dict(row) for row in conn.execute(chosen).mappings()}
        guests = [guest for guest in guests if guest in of_guest]  # some have never been in
        rows = [{f"its_{name}": value for name, value in of_guest[guest].items()} for guest in guests]
        random.Random(3).shuffle(rows)
        write = update(orders).where(o.id == bindparam("its_id"))
        write = write.values({name: bindparam(f"its_{name}") for name in _CORRECTED})

        def written(then: Upkeep) -> None:
            for row in rows:
                row["its_total"] += 1
            with world.db.begin() as conn, room(conn, ROOM):
                for first in range(0, len(rows), BATCH):
                    conn.execute(write, rows[first : first + BATCH])
                then(conn)

        yield _pair(world, written, lambda conn: recompute(conn, guests, _NOW), lambda: None)


def _pair(world: World, written: Callable[[Upkeep], None], upkeep: Upkeep, restore: Callable[[], None]) -> Pair:
    def check() -> None:
        """Rows that were kept up are what their definition says."""
        written(upkeep)
        some = list(range(1, world.size, max(1, world.size // 1_000)))
        kept = select(customer_facts).where(customer_facts.c.customer_id.in_(some))
        with world.db.connect() as conn:
            if _by_id(conn, kept) != _by_id(conn, facts_select(_NOW, some)):
                raise Mismatch("the facts that were kept up are not what the orders say")
        restore()

    def bare(_: Connection) -> None:
        """Keep nothing up."""

    return Pair(ours=lambda: written(upkeep), opponent=lambda: written(bare), check=check, restore=restore)


def _by_id(conn: Connection, rows: Any) -> dict[int, dict[str, Any]]:
    return {row["customer_id"]: dict(row) for row in conn.execute(rows).mappings()}
