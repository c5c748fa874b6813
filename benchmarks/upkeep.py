"""Facts kept up with orders that come in, against the bare insert of the same orders; both are rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, insert, select

from benchmarks.crowd import AS_OF, ORDERS_A_GUEST
from benchmarks.ground import Ground, World
from benchmarks.measure import Bar, Measure, Mismatch, Pair, at_most
from engine.database.facts import recompute
from engine.database.facts_delta import apply_delta
from engine.database.tables import customer_facts, orders

#: Orders of a round, however many guests there are.
MOST = 100_000
_LATER = AS_OF + timedelta(days=2)
Upkeep = Callable[[Connection, int, int], object]


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the upkeep by deltas, for guests with one new order and with ten, and by recomputing who is touched."""
    ways: tuple[tuple[str, str, int, Upkeep, Bar | None], ...] = (
        ("facts-new", "facts kept up, ten new orders a guest", ORDERS_A_GUEST, _delta, at_most(1.3)),
        ("facts-one", "facts kept up, one new order a guest", 1, _delta, None),
        ("facts-corrections", "facts of ten corrected orders a guest", ORDERS_A_GUEST, _recomputed, at_most(2.5)),
    )
    for on in ground.databases:
        for name, title, each, upkeep, bar in ways:
            yield Measure(name, title, bar, partial(_pair, ground, on, each, upkeep), "bare insert of the orders", on)


def _delta(conn: Connection, after: int, guests: int) -> None:
    del guests
    apply_delta(conn, after_id=after, as_of=_LATER)


def _recomputed(conn: Connection, after: int, guests: int) -> None:
    """As an import does where a row changes what was known: the guest's facts are made anew from all orders."""
    del after
    recompute(conn, range(1, guests + 1), _LATER)


@contextmanager
def _pair(ground: Ground, on: str, each: int, upkeep: Upkeep) -> Iterator[Pair]:
    world = ground.world(on)
    guests = min(world.size, MOST // each)
    rows = [_row(guest, number) for number in range(each) for guest in range(1, guests + 1)]
    with world.db.connect() as conn:
        after = conn.scalar(select(func.max(orders.c.id))) or 0

    def write(then: Callable[[Connection], None] = lambda _: None) -> None:
        with world.db.connect() as conn, conn.begin() as transaction:
            conn.execute(insert(orders), rows)
            then(conn)
            transaction.rollback()

    def kept_up(conn: Connection) -> None:
        upkeep(conn, after, guests)

    def check() -> None:
        write(lambda conn: _compare(conn, kept_up, world))

    note = f"{len(rows):,} orders; the other writes the same and leaves the facts. Facts compared with a recomputation."
    yield Pair(ours=lambda: write(kept_up), opponent=write, check=check, note=note)


def _row(guest: int, number: int) -> dict[str, Any]:
    return {
        "source": "bench",
        "external_id": f"{guest}-{number}",
        "customer_id": guest,
        "store_id": 1,
        "ordered_at": AS_OF + timedelta(days=1, seconds=number),
        "day": AS_OF.toordinal() + 1,
        "total": 1250,
    }


def _compare(conn: Connection, kept_up: Callable[[Connection], None], world: World) -> None:
    """The facts of some guests must be what they are when they are made anew."""
    some = range(1, min(world.size, 500) + 1)
    asked = select(customer_facts).where(customer_facts.c.customer_id.in_(some)).order_by(customer_facts.c.customer_id)
    before = conn.execute(asked).all()
    kept_up(conn)
    after = conn.execute(asked).all()
    recompute(conn, some, _LATER)
    if after == before or after != conn.execute(asked).all():
        raise Mismatch("the facts that were kept up are not those that are made anew")
