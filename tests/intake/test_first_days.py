"""The first files of a till, of which PostgreSQL has no statistics yet: nothing is gone through for each batch of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.intake.conftest import Home, csv

GUESTS = 240
#: Of each table whose rows a file may name, what must be compared where its rows are sought by an index.
SOUGHT_BY = {
    "customers": ("external_id", "email_id", "sms_id", " id ", "(id "),
    "customer_facts": ("customer_id",),
    "endpoints": ("hash", "(id "),
    "orders": ("external_id", "customer_id", "(id "),
    "points": ("external_id", "customer_id", "(id "),
    "refunds": ("external_id", "order_id", "(id "),
    "ratings": ("external_id", "customer_id"),
    "consents": ("endpoint_id",),
}

CUSTOMERS = csv(
    "customer_id,name,email,phone,email_consent",
    *(f"C{n},Guest {n},g{n}@example.com,+1312555{n:04d},yes" for n in range(GUESTS)),
)
RECEIPTS = csv(
    "Date,Receipt number,Receipt type,Total collected,Customer name,Customer contacts,Store",
    *(f"2026-04-{1 + n % 28:02d} 10:00,1-{n},Sale,{n}.50,Loy {n},l{n}@example.com,Mill Lane" for n in range(GUESTS)),
)
DEARER = RECEIPTS.replace(".50,", ".75,")
LISTED = csv(
    "Customer ID,Customer name,Email,Phone,City,Points balance",
    *(f"L{n},Loy {n},l{n}@example.com,,Springfield,0" for n in range(GUESTS)),
)
SQUARE = "Date,Time,Total Collected,Transaction ID,Event Type,Location,Customer ID,Customer Name"
SALES = csv(SQUARE, *(f"2026-04-01,10:00:00,${n}.50,T{n},Payment,Mill Lane,Q{n},Sq {n}" for n in range(GUESTS)))
BACK = csv(SQUARE, *(f"2026-04-02,11:00:00,${n}.25,B{n},Refund,Mill Lane,Q{n},Sq {n}" for n in range(GUESTS)))
RATINGS = csv(
    "rating_id,customer_id,order_id,rated_at,score", *(f"R{n},C{n},,2026-03-01 20:00,2" for n in range(GUESTS))
)
POINTS = csv("entry_id,customer_id,at,points", *(f"P{n},C{n},2026-03-01 09:00,100" for n in range(GUESTS)))


@contextmanager
def gone_through(db: Engine) -> Iterator[set[str]]:
    """Give what is read without being sought, with the statement that reads it."""
    found: set[str] = set()

    def look(conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if many or not statement.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE")) or asks_once(statement):
            return
        asked = conn.connection.driver_connection.cursor()
        asked.execute("SET LOCAL enable_sort = off")  # as where there is so much that an index in its order lures
        asked.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        (told,) = asked.fetchall()[0][0]
        found.update(f"{line}: {statement[:200]}" for line in unsought(told["Plan"]))

    event.listen(db, "before_cursor_execute", look)
    yield found
    event.remove(db, "before_cursor_execute", look)


def asks_once(statement: str) -> bool:
    """Tell of what is asked once for a whole file: all that is new, the last id, whether there is an erased guest."""
    return any(
        sign in statement
        for sign in ("facts_added", "max(orders.id)", "refunds.order_id IS NULL", "EXISTS (SELECT * \nFROM customers")
    )


def unsought(node: Mapping[str, Any]) -> Iterator[str]:
    table = node.get("Relation Name", "")
    bound = node.get("Index Cond") or node.get("Recheck Cond") or ""
    read = node["Node Type"].endswith("Scan") and node["Node Type"] != "Bitmap Index Scan"
    if read and table in SOUGHT_BY and not any(name in bound for name in SOUGHT_BY[table]):
        yield f"{node['Node Type']} of {table} by {bound or 'nothing'}"
    for inner in node.get("Plans", ()):
        yield from unsought(inner)


def test_a_till_without_statistics_is_not_gone_through(home: Home) -> None:
    if home.db.dialect.name != "postgresql":
        pytest.skip("SQLite keeps no statistics of its own")
    home.take(CUSTOMERS)
    home.take(POINTS)
    with home.db.begin() as conn:
        conn.exec_driver_sql("ANALYZE")  # now it knows of one source, and of no order
    with gone_through(home.db) as found:
        for text in (RECEIPTS, DEARER, LISTED, LISTED, CUSTOMERS, SALES, BACK, RATINGS, RATINGS, POINTS):
            report = home.take(text)
            assert (report.rows, report.refused) == (GUESTS, 0)
    assert found == set()
