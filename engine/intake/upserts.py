"""Rows that a file gives once more: new ones inserted, changed ones updated under their internal id, others left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, insert, update

from engine.database.by_keys import by_keys
from engine.intake.desk import Desk


@dataclass
class Merged:
    """What became of a batch. All by external id; ``before`` has the old rows of those that changed."""

    new: set[str] = field(default_factory=set)
    before: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def find(desk: Desk, table: Table, external_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Give the rows of this file's source, instants as epoch seconds."""
    names, mine = table.c.keys(), table.c.source == desk.source
    rows = by_keys(desk.conn, tuple(table.c), table.c.external_id, external_ids, mine)
    return {row.external_id: {name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows}


def ids(desk: Desk, table: Table, external_ids: Iterable[str]) -> dict[str, int]:
    """Give the internal ids of this file's source."""
    t = table.c
    rows = by_keys(desk.conn, (t.external_id, t.id), t.external_id, external_ids, t.source == desk.source)
    return {row.external_id: row.id for row in rows}


def merge(desk: Desk, table: Table, rows: Mapping[str, dict[str, Any]], *, counted: bool = True) -> Merged:
    """Write rows, by external id; a column that a row does not name keeps what it has, NULL in a new row.

    All rows name the same columns. Counts new, changed and unchanged in the report.
    """
    known = find(desk, table, rows)
    result = Merged(new=rows.keys() - known.keys())
    fresh = [{"source": desk.source, "external_id": key, **row} for key, row in rows.items() if key in result.new]
    if fresh:
        desk.conn.execute(insert(table), fresh)
    for key, before in known.items():
        changes = {name: value for name, value in rows[key].items() if before[name] != value}
        if changes:
            desk.conn.execute(update(table).where(table.c.id == before["id"]).values(changes))
            result.before[key] = before
    if counted:
        desk.report.new += len(fresh)
        desk.report.changed += len(result.before)
        desk.report.unchanged += len(known) - len(result.before)
    return result


def _plain(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value
