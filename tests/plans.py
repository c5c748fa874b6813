"""What statements walk through from end to end, by the database's own plans, at the moment at which they are executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

_WORDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@contextmanager
def walks(on: Connection | Engine, large: Sequence[str]) -> Iterator[list[str]]:
    """Give which of the ``large`` tables are walked through, statement by statement."""
    found: list[str] = []
    sqlite = on.dialect.name == "sqlite"

    def look(conn: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.lstrip().startswith(_WORDS):
            return
        asked = conn.connection.driver_connection.cursor()
        given = parameters[0] if many else parameters
        asked.execute(f"EXPLAIN {'QUERY PLAN' if sqlite else '(FORMAT JSON)'} {statement}", given)
        told = asked.fetchall()
        lines = _of_sqlite(told, statement, large) if sqlite else _of_postgresql(told[0][0], large)
        found.extend(f"{line}: {statement}" for line in lines)

    event.listen(on, "before_cursor_execute", look)
    yield found
    event.remove(on, "before_cursor_execute", look)


def _of_sqlite(told: list[Any], statement: str, large: Sequence[str]) -> Iterator[str]:
    names = {name: name for name in large}
    for name in large:
        names |= dict.fromkeys(re.findall(rf"\b{name} AS (\w+)", statement), name)
    for row in told:
        scanned = re.match(r"SCAN (\w+)|SEARCH (\w+) USING (?:AUTOMATIC|\w+ INDEX \w+ \(customer_id>\?\))", row[-1])
        if scanned and (scanned[1] or scanned[2]) in names:
            yield row[-1]


def _of_postgresql(plan: Any, large: Sequence[str]) -> Iterator[str]:
    (told,) = json.loads(plan) if isinstance(plan, str) else plan
    yield from _whole(told["Plan"], large)


def _whole(node: Mapping[str, Any], large: Sequence[str]) -> Iterator[str]:
    read, bound = node["Node Type"], "Index Cond" in node
    table = re.sub(r"_(?:\d{6}|default)$", "", node.get("Relation Name", ""))  # a month's part is of it
    if table in large and (read == "Seq Scan" or ("Index" in read and not bound)):
        yield f"{read} of {node['Relation Name']}"
    for inner in node.get("Plans", ()):
        yield from _whole(inner, large)
