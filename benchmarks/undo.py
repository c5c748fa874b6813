"""The same state for every round: what a live run wrote is taken out again, outside the timing."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from benchmarks.ground import World
from engine.database.tables import audit, coupons, dispatches, matches, metadata, rules, runs

#: What a run writes to, what points at others first.
WRITTEN: Final = (audit, coupons, dispatches, matches, runs)


class Undo:
    """Remembers a state of the outbox, and brings it back."""

    def __init__(self, world: World) -> None:
        self._db = world.db
        with self._db.connect() as conn:
            self._last = {table.name: _last(conn, table.name) for table in WRITTEN}
            self._rules = {row.id: row.watermark for row in conn.execute(select(rules.c.id, rules.c.watermark))}

    def __call__(self) -> None:
        """Take out what was written since, and set the watermarks as they were: of a rule not known then to none."""
        with self._db.begin() as conn:
            for table in WRITTEN:
                conn.execute(delete(table).where(table.c.id > self._last[table.name]))
            for row in conn.scalars(select(rules.c.id)).all():
                conn.execute(update(rules).where(rules.c.id == row).values(watermark=self._rules.get(row)))
        tidy(self._db)

    def added(self) -> int:
        """Count the matches and dispatches that were written since."""
        with self._db.connect() as conn:
            new = (
                select(func.count()).select_from(table).where(table.c.id > self._last[table.name])
                for table in (matches, dispatches)
            )
            return sum(conn.execute(each).scalar_one() for each in new)


def tidy(db: object) -> None:
    """Let PostgreSQL sweep what was taken out, as its own vacuum would by and by; write SQLite's log back."""
    raw = db.raw_connection()  # type: ignore[attr-defined]  # an Engine
    try:
        if raw.driver_connection.__class__.__module__.startswith("psycopg"):
            raw.driver_connection.autocommit = True
            for table in WRITTEN:
                raw.driver_connection.execute(f'VACUUM "{table.name}"')
            raw.driver_connection.autocommit = False
        else:
            raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()


def _last(conn: Connection, table: str) -> int:
    return int(conn.scalar(select(func.max(metadata.tables[table].c.id))) or 0)
