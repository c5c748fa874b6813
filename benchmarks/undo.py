"""The same state for every round: what a live run wrote is taken out again, outside the timing."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from benchmarks.ground import World
from engine.database.tables import audit, coupons, dispatches, matches, metadata, rules, runs, touched

#: What a run writes to, what points at others first.
WRITTEN: Final = (audit, coupons, dispatches, matches, runs)
#: What a rule's row remembers of its last evaluation.
_SEEN: Final = ("watermark", "seen_tick")


class Undo:
    """Remembers a state of the outbox, and brings it back."""

    def __init__(self, world: World) -> None:
        self._db = world.db
        with self._db.connect() as conn:
            self._last = {table.name: _last(conn, table.name) for table in WRITTEN}
            self._rules = {row.id: row._asdict() for row in conn.execute(select(rules))}
            self._touched = [dict(row) for row in conn.execute(select(touched)).mappings()]

    def __call__(self) -> None:
        """Take out what was written since, and make the rules' rows as they were: one not known then was never run."""
        with self._db.begin() as conn:
            for table in WRITTEN:
                conn.execute(delete(table).where(table.c.id > self._last[table.name]))
            for row in conn.scalars(select(rules.c.id)).all():
                was = self._rules.get(row, {})
                conn.execute(update(rules).where(rules.c.id == row).values({name: was.get(name) for name in _SEEN}))
            conn.execute(delete(touched))
            if self._touched:
                conn.execute(insert(touched), self._touched)
        tidy(self._db)

    def added(self) -> int:
        """Count the matches and dispatches that were written since."""
        with self._db.connect() as conn:
            new = (
                select(func.count()).select_from(table).where(table.c.id > self._last[table.name])
                for table in (matches, dispatches)
            )
            return sum(conn.execute(each).scalar_one() for each in new)


def tidy(db: Engine) -> None:
    """Let PostgreSQL sweep what was taken out, as its own vacuum would by and by; write SQLite's log back."""
    raw = db.raw_connection()
    try:
        driver: Any = raw.driver_connection
        if db.dialect.name == "postgresql":
            driver.autocommit = True
            for table in WRITTEN:
                driver.execute(f'VACUUM "{table.name}"')
            driver.autocommit = False
        else:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()


def _last(conn: Connection, table: str) -> int:
    return int(conn.scalar(select(func.max(metadata.tables[table].c.id))) or 0)
