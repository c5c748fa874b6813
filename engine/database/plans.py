"""How a database would go about a statement: which tables it would read from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Executable, Select, Table, func, select
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from engine.database.tables import customer_facts, customers, events, order_items, orders, points, ratings

#: Tables that hold all guests, or all that they ever did.
LARGE: Final = (customer_facts, customers, events, order_items, orders, points, ratings)


class _Explained(Executable, ClauseElement):
    """A statement that is not executed but explained."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)
def _unknown_dialect(_: _Explained, compiler: SQLCompiler, **__: Any) -> str:
    raise CompileError(f"plans are not spelled out for {compiler.dialect.name}: see engine/database/plans.py")


@compiles(_Explained, "sqlite")
def _explained_sqlite(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN QUERY PLAN {compiler.process(element.statement, **options)}"


@compiles(_Explained, "postgresql")
def _explained_postgresql(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


def read_whole(conn: Connection, statement: Select[Any]) -> set[str]:
    """Give the names of the large tables that the statement would read from end to end.

    PostgreSQL reads a small table whole because that is cheaper; asked is whether there is another way, so what it may
    choose is set for the length of the transaction.
    """
    if conn.dialect.name == "sqlite":
        lines = [str(row[-1]) for row in conn.execute(_Explained(statement))]
        return set(_scans(lines, str(statement.compile(dialect=conn.dialect))))
    conn.execute(select(func.set_config("enable_seqscan", "off", True)))
    told = conn.execute(_Explained(statement)).scalar_one()
    return set(_sequential((json.loads(told) if isinstance(told, str) else told)[0]["Plan"]))


def _scans(lines: list[str], statement: str) -> Iterator[str]:
    """SQLite names a table by its alias; an automatic index is made of the whole table."""
    names: dict[str, Table] = {table.name: table for table in LARGE}
    for table in LARGE:
        names |= dict.fromkeys(re.findall(rf"\b{table.name} AS (\w+)", statement), table)
    for line in lines:
        found = re.match(r"SCAN (\w+)|SEARCH (\w+) USING AUTOMATIC", line)
        if found is not None and (name := found[1] or found[2]) in names:
            yield names[name].name


def _sequential(node: Mapping[str, Any]) -> Iterator[str]:
    kind = node["Node Type"]
    by_index = kind in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    by_bitmap = kind == "Bitmap Heap Scan" and "Recheck Cond" not in node
    if (kind == "Seq Scan" or by_index or by_bitmap) and node["Relation Name"] in {table.name for table in LARGE}:
        yield node["Relation Name"]
    for inner in node.get("Plans", ()):
        yield from _sequential(inner)
