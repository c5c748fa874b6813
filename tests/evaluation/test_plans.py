"""What a trigger costs follows the guests who match: how the databases go about it, on a filled database.

A whole table that holds all guests, or all that they ever did, may be read only where the trigger speaks of everybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

import pytest
from small_world import CHICAGO, CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, Table, event, insert

from engine.database.tables import (
    coupons,
    customer_facts,
    customers,
    dispatches,
    endpoints,
    events,
    matches,
    order_items,
    orders,
    points,
    points_uses,
    ratings,
    refunds,
    tier_changes,
)
from engine.vocabulary.reference import sections

NOW = at("2026-05-04 10:00")
LARGE = (
    customer_facts, customers, endpoints, orders, order_items, refunds, points, points_uses, ratings, events,
    coupons, tier_changes, matches, dispatches,
)  # fmt: skip
#: Triggers that fire for all guests alike, so that all are read; and one that asks who belongs to a segment.
OF_EVERYBODY = {"festival", "on_date", "every", "enters"}
EXAMPLES = {
    entry.word: entry.example for section in sections() for entry in section.entries if section.name == "triggers"
}
MORE = {
    "event of days ago": "event:\n  name: tasting\n  ago: 2 days",
    "event of everywhere": "event: rain",
    "coupons": "expiring:\n  what: coupon\n  within: 14 days",
    "visits": "reached:\n  visits: 10",
    "orders": "reached:\n  orders: 10\n  every: true",
    "points": "reached:\n  points: 100",
    "joined": "joined: 3 days",
}
PLANNED = {word: example for word, example in EXAMPLES.items() if word not in OF_EVERYBODY} | MORE
GUESTS = 1_000


class Asked:
    """The statement that finds the guests, or those that hold ``wanted``, and how the database goes about them."""

    def __init__(self, db: Engine, wanted: str = "INSERT INTO matches") -> None:
        self._db, self._wanted = db, wanted
        self.statements: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        event.listen(self._db, "before_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._db, "before_cursor_execute", self._seen)

    def _seen(self, _conn: Any, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if self._wanted in statement:
            self.statements.append((statement, parameters))

    def read_whole(self, statement: str, parameters: Any) -> list[str]:
        """Give the large tables that are read from end to end."""
        sqlite = self._db.dialect.name == "sqlite"
        with self._db.connect() as conn:
            if not sqlite:  # a table as small as a test's would be read whole; asked is whether there is another way
                conn.exec_driver_sql("SET enable_seqscan = off")
            told = conn.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN' if sqlite else '(FORMAT JSON)'} {statement}", parameters
            ).all()
        if sqlite:
            return sorted(set(_scans([row[-1] for row in told], statement)))
        plan = told[0][0]
        return sorted(set(_sequential((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])))


def _scans(lines: Sequence[str], statement: str) -> Iterator[str]:
    """SQLite names a table by its alias; an automatic index is made of the whole table."""
    names = {table.name: table.name for table in LARGE}
    for table in LARGE:
        names |= dict.fromkeys(re.findall(rf"\b{table.name} AS (\w+)", statement), table.name)
    for line in lines:
        found = re.match(r"SCAN (\w+)|SEARCH (\w+) USING AUTOMATIC", line)
        if found is not None and (name := found[1] or found[2]) in names:
            yield f"{names[name]}: {line}"


def _sequential(node: Mapping[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in {table.name for table in LARGE}:
        yield f"{node['Relation Name']}: Seq Scan {node['Alias']}"
    for inner in node.get("Plans", ()):
        yield from _sequential(inner)


@pytest.fixture
def filled(db: Engine) -> Cafe:
    """Guests with years behind them, of whom few did anything lately."""
    cafe = Cafe(db, home_of(CONFIG))
    zone = cafe.zone(CHICAGO)
    numbers = range(1, GUESTS + 1)

    def when(number: int) -> datetime:
        return NOW - timedelta(days=number * 7 % 1500, hours=1)

    def rows(table: Table) -> list[dict[str, Any]]:
        shared = {"source": "csv"}
        match table.name:
            case "endpoints":
                return [
                    {"id": n, "channel": "email", "hash": n.to_bytes(32), "address": f"g{n}@example.com"}
                    for n in numbers
                ]
            case "customers":
                return [
                    shared | {"id": n, "external_id": f"c{n}", "attributes": {}, "attribute_keys": {}, "zone_id": zone,
                    "birthday_md": 100 * (n % 12 + 1) + n % 28 + 1, "email_id": n, "referred_by": f"c{n - 1}",
                    "joined_at": when(n), "joined_day": when(n).date().toordinal()}
                    for n in numbers
                ]  # fmt: skip
            case "orders":
                return [
                    shared | {"external_id": f"o{n}-{k}", "customer_id": n, "ordered_at": when(n + k), "clock": 0,
                    "day": when(n + k).date().toordinal(), "total": 900}
                    for n in numbers for k in range(3)
                ]  # fmt: skip
            case "ratings":
                return [
                    shared
                    | {"external_id": f"r{n}", "customer_id": n, "rated_at": when(n), "score": 3, "platform": "google"}
                    for n in numbers
                ]
            case "points":
                return [
                    shared
                    | {
                        "external_id": f"p{n}",
                        "customer_id": n,
                        "at": when(n),
                        "points": 50,
                        "expires_at": when(n - 60),
                    }
                    for n in numbers
                ]
            case _:
                return [
                    shared | {"external_id": f"e{n}", "customer_id": n, "name": "tasting", "name_key": "tasting",
                    "at": when(n), "data": {}, "data_keys": {}}
                    for n in numbers
                ]  # fmt: skip

    with db.begin() as conn:
        for table in (endpoints, customers, orders, ratings, points, events):
            conn.execute(insert(table), rows(table))
    return cafe


def test_no_trigger_reads_all_guests_or_all_they_ever_did(filled: Cafe) -> None:
    if filled.db.dialect.name == "postgresql":  # as its autovacuum does in time
        with filled.db.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("ANALYZE")
    made = []
    for number, example in enumerate(PLANNED.values()):
        body = "".join(f"  {line}\n" for line in example.splitlines())
        made.append(rule_of(f"id: r{number}\ntrigger:\n{body}", filled.home))
    with Asked(filled.db) as asked:
        filled.run(*made, now=NOW, dry_run=True)
    whole = {word: asked.read_whole(*each) for word, each in zip(PLANNED, asked.statements, strict=True)}
    # An event of everybody looks at everybody, once it has happened.
    of_events = {
        "customer_facts: SCAN guest USING COVERING INDEX ix_customer_facts_store_id",
        "customer_facts: Seq Scan guest",
    }
    left = {word: [each for each in tables if each not in of_events] for word, tables in whole.items()}
    assert {word: tables for word, tables in left.items() if tables} == {}
