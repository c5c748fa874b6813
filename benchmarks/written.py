"""What a run writes, and nothing else: its own rows, ready, by the driver's executemany into the same tables.

No bar: it says how much of a run's time no way of finding the guests could save.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import JSON, Connection, Table, Text, cast, func, select

from benchmarks.evaluation import known, later, run
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair
from benchmarks.undo import WRITTEN, Undo

#: What others point at first.
_TABLES: Final = tuple(reversed(WRITTEN))

#: A statement of the driver's own, and the rows it is given.
_Load = tuple[str, Sequence[tuple[Any, ...]]]


def measures(ground: Ground) -> Iterator[Measure]:
    """Give both runs beside the bare writing of their rows."""
    for on in ground.databases:
        for name, said, daily in (("first", "first run", False), ("daily", "the next day's run", True)):
            yield Measure(
                f"{name}-rows",
                f"{said} / its rows alone, written",
                None,
                partial(_rows, ground, on, daily=daily),
                "executemany of the same rows, with the same indexes and foreign keys",
                database=on,
            )


@contextmanager
def _rows(ground: Ground, on: str, *, daily: bool) -> Iterator[Pair]:
    world = (later if daily else known)(ground, on)
    undo = Undo(world)
    with world.db.connect() as conn:
        before = {table.name: int(conn.scalar(select(func.max(table.c.id))) or 0) for table in _TABLES}
    run(world, daily=daily)
    added = undo.added()
    with world.db.connect() as conn:
        loads = [load for table in _TABLES if (load := _load(conn, table, before[table.name]))[1]]
    undo()

    def write() -> None:
        with world.db.begin() as conn:
            for statement, rows in loads:
                conn.exec_driver_sql(statement, list(rows))

    def check() -> None:
        write()
        if undo.added() != added:
            raise Mismatch(f"{undo.added()} rows were written, {added} by the run")
        undo()

    written = sum(len(rows) for _, rows in loads)
    note = f"{written:,} rows: the run, its matches, dispatches, coupons and trail."
    yield Pair(ours=partial(_run, world, daily=daily), opponent=write, check=check, restore=undo, note=note)


def _run(world: World, *, daily: bool) -> None:
    run(world, daily=daily)


def _load(conn: Connection, table: Table, after: int) -> _Load:
    """Give the table's rows behind ``after`` as the driver takes them, and the statement that writes them."""
    columns = (cast(each, Text) if isinstance(each.type, JSON) else each for each in table.columns)
    found = select(*columns).where(table.c.id > after).order_by(table.c.id)
    asked = found.compile(conn.engine, compile_kwargs={"literal_binds": True})
    mark = "?" if conn.dialect.name == "sqlite" else "%s"
    names = [f'"{each.name}"' for each in table.columns]
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"
    return statement, [tuple(row) for row in conn.exec_driver_sql(str(asked))]
