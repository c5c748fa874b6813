"""What the upkeep of a few guests' facts costs follows those few: no statement walks through everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert

from engine.database.facts import bring_to, rebuild, recompute, recompute_noted, use_tiers
from engine.database.facts_delta import apply_delta
from engine.database.noted import note
from engine.database.tables import customers, orders, zones
from engine.database.tiers import TierPlan
from engine.language.times import Duration
from tests.plans import walks

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LARGE = ("customer_facts", "orders")
GUESTS, EACH = 400, 3


def order(guest: int, number: int, at: datetime) -> dict[str, Any]:
    day = at.date().toordinal()
    return {
        "source": "t", "external_id": f"{guest}-{number}", "customer_id": guest, "ordered_at": at, "day": day,
        "total": 900,
    }  # fmt: skip


def fill(conn: Connection, *, analysed: bool = True) -> None:
    conn.execute(insert(zones).values(id=1, name="UTC"))
    guests = range(1, GUESTS + 1)
    conn.execute(
        insert(customers),
        [{"id": n, "source": "t", "external_id": str(n), "zone_id": 1, "attributes": {}} for n in guests],
    )
    long_ago = NOW - timedelta(days=500)
    conn.execute(insert(orders), [order(n, k, long_ago + timedelta(days=n + k)) for n in guests for k in range(EACH)])
    analysed &= conn.dialect.name == "postgresql"
    if analysed:  # as small as this it would be read whole; asked is if there is another way
        for way in ("seqscan", "mergejoin", "hashjoin"):
            conn.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    rebuild(conn, NOW)
    if analysed:
        conn.exec_driver_sql("ANALYZE")


def new_orders(conn: Connection) -> None:
    rows = [order(n, 100 + k, NOW - timedelta(days=2 - k)) for n in range(1, 6) for k in range(2)]
    rows.append(order(6, 100, NOW - timedelta(days=900)))  # far back: made anew
    conn.execute(insert(orders), rows)
    apply_delta(conn, after_id=GUESTS * EACH, as_of=NOW)


def noted(conn: Connection) -> None:
    note(conn, [3, 1, 2])
    recompute_noted(conn, NOW)


TASKS: dict[str, Callable[[Connection], object]] = {
    "new orders": new_orders,
    "corrections": lambda conn: recompute(conn, [1, 2, 3], NOW),
    "noted": noted,
    "the tick": lambda conn: bring_to(conn, NOW + timedelta(days=1)),
}
PLAN = TierPlan("spend", Duration.parse("1 year"), (("silver", 20_000),), time(4))


@pytest.mark.parametrize("plan", [None, PLAN], ids=["tiers of the files", "tiers by a plan"])
def test_the_upkeep_of_a_few_walks_through_nothing(db: Engine, plan: TierPlan | None) -> None:
    with db.connect() as conn, conn.begin() as transaction:
        fill(conn)
        use_tiers(conn, plan, NOW)
        for task in TASKS.values():
            with walks(conn, LARGE) as found:
                task(conn)
            assert found == []
        transaction.rollback()


def test_a_walk_is_seen(db: Engine) -> None:
    with db.connect() as conn, conn.begin() as transaction:
        fill(conn)
        with walks(conn, LARGE) as found:
            conn.execute(orders.select().where(orders.c.clock > 0)).all()
        assert len(found) == 1
        transaction.rollback()


def most_loops(node: Mapping[str, Any]) -> int:
    return max([node["Actual Loops"], *map(most_loops, node.get("Plans", ()))])


def test_without_statistics_a_rebuild_looks_at_each_guest_once(db: Engine) -> None:
    if db.dialect.name != "postgresql":
        pytest.skip("SQLite keeps no statistics of its own")
    loops = []

    def look(conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if "INSERT INTO customer_facts" in statement:
            asked = conn.connection.driver_connection.cursor()
            asked.execute("SAVEPOINT looked")
            asked.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            loops.append(most_loops(asked.fetchall()[0][0][0]["Plan"]))
            asked.execute("ROLLBACK TO looked")

    with db.connect() as conn, conn.begin() as transaction:
        fill(conn, analysed=False)
        event.listen(conn, "before_cursor_execute", look)
        use_tiers(conn, PLAN, NOW)
        transaction.rollback()
    assert len(loops) == 1
    assert loops[0] <= GUESTS * EACH  # once for each order, at the most
