"""What a trigger costs follows the guests who match: how the databases go about it, on a filled database.

A whole table that holds all guests, or all that they ever did, may be read only where the trigger speaks of everybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from small_world import CHICAGO, CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, Table, Text, cast, event, func, insert, select, true

from engine.database.facts import rebuild, recompute
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
from engine.evaluation.runner import run_due
from engine.starter.home import HomeAnswers, create_home
from engine.vocabulary.home import Home, load_home
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
#: PostgreSQL is told how many rows such a table has.
SQLITE = pytest.mark.parametrize("db", ["sqlite"], indirect=True)


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

    def read_whole(self, statement: str, parameters: Any, *, of_its_own_accord: bool = False) -> list[str]:
        """Give the large tables that are read from end to end.

        ``of_its_own_accord``: PostgreSQL may do so where it thinks that cheaper.
        """
        sqlite = self._db.dialect.name == "sqlite"
        with self._db.connect() as conn:
            if (
                not sqlite and not of_its_own_accord
            ):  # a table as small as a test's would be read whole; asked is whether there is another way
                conn.exec_driver_sql("SET enable_seqscan = off")
            told = conn.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN' if sqlite else '(FORMAT JSON)'} {statement}", parameters
            ).all()
        if sqlite:
            return sorted(set(_scans([row[-1] for row in told], statement)))
        plan = told[0][0]
        return sorted(set(_sequential((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])))

    def once_a_zone(self, statement: str, parameters: Any) -> list[str]:
        """Give what SQLite looks up anew for each zone or open day, though neither is part of the key it looks by."""
        of_values, of_one_text = r"(\w+)\([^)]*\) AS\s+\(VALUES", r"(\w+) AS MATERIALIZED\s+\(SELECT json_extract"
        small = {*re.findall(of_values, statement), *re.findall(of_one_text, statement)}
        with self._db.connect() as conn:
            told = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        begun: dict[int, list[str]] = {}  # by the number of the loop's place: what is found first
        found = []
        for _, around, _, line in told:
            how, name = line.split(" ")[:2]
            if how not in {"SCAN", "SEARCH"}:
                continue
            before = begun.setdefault(around, [])
            if before and set(before) <= small and name not in small and "zone_id=" not in line:
                found.append(line)
            before.append(name)
        return found


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
    kind, name = node["Node Type"], node.get("Relation Name")
    by_index = kind in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    whole = kind == "Seq Scan" or (by_index and name in {orders.name, order_items.name})
    if whole and name in {table.name for table in LARGE}:
        yield f"{name}: {kind} {node['Alias']}"
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


def _triggered(number: int, example: str) -> str:
    return f"id: r{number}\ntrigger:\n" + "".join(f"  {line}\n" for line in example.splitlines())


def test_no_trigger_reads_all_guests_or_all_they_ever_did(filled: Cafe) -> None:
    if filled.db.dialect.name == "postgresql":  # as its autovacuum does in time
        with filled.db.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("ANALYZE")
    made = [rule_of(_triggered(number, example), filled.home) for number, example in enumerate(PLANNED.values())]
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


@SQLITE
def test_no_guest_and_no_order_is_looked_up_once_for_each_zone(filled: Cafe, shipped: Home) -> None:
    for zone in ("America/New_York", "America/Denver"):
        filled.zone(zone)
    with Asked(filled.db) as asked:
        made = (rule_of(_triggered(number, each), filled.home) for number, each in enumerate(PLANNED.values()))
        filled.run(*made, now=NOW, dry_run=True)
    names = [*PLANNED]
    with Asked(filled.db) as of_shipped:
        home = replace(shipped, config=replace(shipped.config, fresh=None))
        assert run_due(filled.db, home, NOW, dry_run=True).balanced
    names += [rule.id for rule in shipped.rules]
    again = {
        name: asked.once_a_zone(*each)
        for name, each in zip(names, asked.statements + of_shipped.statements, strict=True)
    }
    assert {name: lines for name, lines in again.items() if lines} == {}


@pytest.fixture
def shipped(tmp_path: Path) -> Home:
    """The home that an owner begins with, and its twelve rules."""
    create_home(tmp_path / "home", answers=HomeAnswers())
    return load_home(tmp_path / "home", {})


def many_more_orders(cafe: Cafe) -> None:
    """So many that PostgreSQL has a choice between reading all and an index, with the statistics to make it by."""
    if cafe.db.dialect.name == "sqlite":
        return
    c, number = orders.c, func.generate_series(1, 25).table_valued("n", name="more").render_derived()
    names = ["source", "external_id", "customer_id", "ordered_at", "clock", "day", "total"]
    copies = select(
        c.source, c.external_id + "/" + cast(number.c.n, Text), c.customer_id, c.ordered_at - number.c.n * 86_400 * 9,
        c.clock, c.day - number.c.n * 9, c.total,
    )  # fmt: skip
    with cafe.db.begin() as conn:
        conn.execute(insert(orders).from_select(names, copies.select_from(orders.join(number, true()))))


def of_a_daily_run(cafe: Cafe, home: Home) -> tuple[Asked, Asked]:
    """What is asked on the first day, and on the next, after which nothing is left behind."""
    with cafe.db.begin() as conn:
        rebuild(conn, NOW)
    if cafe.db.dialect.name == "postgresql":
        with cafe.db.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.exec_driver_sql("ANALYZE")
    with Asked(cafe.db) as first:
        assert run_due(cafe.db, home, NOW).balanced
    with cafe.db.begin() as conn:
        recompute(conn, range(1, 20), NOW)  # as an import does
    with Asked(cafe.db) as second:
        assert run_due(cafe.db, home, NOW + timedelta(days=1), dry_run=True).balanced
    return first, second


@pytest.mark.usefixtures("alone")
def test_no_shipped_rule_reads_all_orders_in_a_daily_run(filled: Cafe, shipped: Home) -> None:
    many_more_orders(filled)
    home = replace(shipped, config=replace(shipped.config, fresh=None))
    ids = [rule.id for rule in home.rules]
    first, second = of_a_daily_run(filled, home)
    for asked in (first, second):
        whole = {
            rule: [each for each in asked.read_whole(*each, of_its_own_accord=True) if each.startswith("orders:")]
            for rule, each in zip(ids, asked.statements, strict=True)
        }
        assert {rule: tables for rule, tables in whole.items() if tables} == {}
    crossed = {rule for rule, (text, _) in zip(ids, second.statements, strict=True) if "moved AS MATERIALIZED" in text}
    of_everybody = {rule for rule, (text, _) in zip(ids, first.statements, strict=True) if "moved AS" in text}
    assert of_everybody == set()
    quiet = {"second-visit", "reward-waiting", "at-risk", "big-spender-quiet", "win-back", "long-lost"}
    assert crossed == quiet


def test_without_its_indexes_one_would(filled: Cafe, shipped: Home) -> None:
    many_more_orders(filled)
    home = replace(shipped, config=replace(shipped.config, fresh=None))
    first, _ = of_a_daily_run(filled, home)
    with filled.db.begin() as conn:
        for index in orders.indexes:
            index.drop(conn)
    try:
        found = {each.split(":")[0] for each in first.read_whole(*first.statements[5], of_its_own_accord=True)}
    finally:
        with filled.db.begin() as conn:
            for index in orders.indexes:
                index.create(conn)
    assert home.rules[5].id == "tenth-visit"
    assert "orders" in found
