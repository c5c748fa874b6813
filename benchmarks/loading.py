"""From SQLite's file into PostgreSQL by COPY, and both left as after a night's rest."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import JSON, ClauseElement, Dialect, Engine, Index, LargeBinary, String, Table, func, select
from sqlalchemy.schema import CreateIndex, DropIndex

from engine.database.tables import metadata

_AT_ONCE: Final = 20_000


def settle(file: Path) -> None:
    """Write SQLite's log back into its file."""
    conn = sqlite3.connect(file, isolation_level=None)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    for rest in (f"{file}-wal", f"{file}-shm"):
        Path(rest).unlink(missing_ok=True)


def transfer(file: Path, db: Engine) -> None:
    """Copy every table of the SQLite file into the empty, migrated database; memory does not grow with them."""
    source = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    raw = db.raw_connection()
    try:
        target: Any = raw.driver_connection
        target.execute("SET session_replication_role = replica")  # foreign keys held in the file
        target.execute("SET maintenance_work_mem = '512MB'")
        for table in metadata.sorted_tables:
            _copy(source, target, table, db.dialect)
        target.commit()
        target.autocommit = True
        for table in metadata.sorted_tables:  # as autovacuum would; it passes over empty ones
            if target.execute(f'SELECT 1 FROM "{table.name}" LIMIT 1').fetchone():
                target.execute(f'VACUUM (FREEZE, ANALYZE) "{table.name}"')
        target.execute("CHECKPOINT")
    finally:
        raw.invalidate()
        source.close()


def _copy(source: sqlite3.Connection, target: Any, table: Table, dialect: Dialect) -> None:
    rows = source.execute(f'SELECT {_line(table)} FROM "{table.name}"')
    indexes = indexes_of(table) if _is_plain(target, table) else []
    for index in indexes:
        target.execute(_spelled(DropIndex(index), dialect))
    names = ", ".join(f'"{column.name}"' for column in table.c)
    with target.cursor().copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        while some := rows.fetchmany(_AT_ONCE):
            copy.write("".join(line for (line,) in some))
    for index in indexes:
        target.execute(_spelled(CreateIndex(index), dialect))
    if "id" in table.c and table.c.id.autoincrement:
        last = _spelled(select(func.max(table.c.id)), dialect)
        target.execute(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), ({last})) WHERE ({last}) > 0")


def _is_plain(target: Any, table: Table) -> bool:
    """Tell whether it is one table, and not cut into parts."""
    asked = target.execute("SELECT relkind FROM pg_class WHERE relname = %s", [table.name])
    return bool(asked.fetchone()[0] in {"r", b"r"})


def _line(table: Table) -> str:
    """SQL of SQLite: a row as a line of COPY's text form."""
    cells = []
    for column in table.c:
        name = f'"{column.name}"'
        if isinstance(column.type, LargeBinary):
            cells.append(f"ifnull('\\\\x' || hex({name}), '\\N')")
        elif isinstance(column.type, (String, JSON)):
            cells.append(f"ifnull(replace(replace({name}, '\\', '\\\\'), char(10), '\\n'), '\\N')")
        else:
            cells.append(f"ifnull({name}, '\\N')")
    return " || char(9) || ".join(cells) + " || char(10)"


def _spelled(statement: ClauseElement, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))


def indexes_of(table: Table) -> list[Index]:
    """Give the indexes of a table, in the order of their names."""
    return sorted(table.indexes, key=lambda each: str(each.name))
