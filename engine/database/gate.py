"""The gate that everything passes on its way out: many at once, or who closes it, alone. And who evaluates, alone.

Whoever presses the red button must not be overtaken by a message whose fence has read the button before and commits
after. On SQLite one writer at a time is enough; on PostgreSQL a lock that is no row's keeps no disk busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from engine.database.complaints import passes

#: Any constant of ours; the other one is that of the migrations.
_GATE: Final = 7_346_858_274
_TOGETHER: Final = select(func.pg_advisory_xact_lock_shared(_GATE))
_ALONE: Final = select(func.pg_advisory_xact_lock(_GATE))
#: Half of what PostgreSQL waits before it looks for those who wait for each other in a circle, and ends one of them.
SHORT: Final = "500ms"
#: That of runs: whoever evaluates this database.
_RUNS: Final = 7_346_858_276


def pass_gate(conn: Connection) -> None:
    """Stand in the gate until the transaction ends, with any number of others. To be taken before any other lock."""
    if conn.dialect.name == "postgresql":
        conn.execute(_TOGETHER)


def gate() -> ColumnElement[None]:
    """SQL of PostgreSQL: stand in the gate, as ``pass_gate`` does it."""
    return func.pg_advisory_xact_lock_shared(_GATE)


def close_gate(conn: Connection) -> None:
    """Wait until nobody stands in the gate, and keep it shut until the transaction ends. Before any other lock."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ALONE)


@contextmanager
def one_run(db: Engine) -> Iterator[bool]:
    """Hold the lock of runs of this database, on whatever machine; gives whether it could be had within a moment.

    So long the server may need to notice that the last one was killed. A courtesy, as the lock file of one machine is:
    the keys are the guarantee. It is on a connection of its own and outside every transaction, and PostgreSQL lets it
    go with that connection, however that ends. SQLite has none: there the file is the machine's.
    """
    if db.dialect.name != "postgresql":
        yield True
        return
    with db.connect() as conn:
        mine = conn.execution_options(isolation_level="AUTOCOMMIT")
        free = bool(mine.scalar(select(func.pg_try_advisory_lock(_RUNS)))) or _after_a_moment(mine)
        try:
            yield free
        finally:
            mine.invalidate()  # closed, not given back to the pool: so the lock goes with it whatever ails it


def _after_a_moment(conn: Connection) -> bool:
    conn.execute(select(func.set_config("lock_timeout", "1s", False)))
    try:
        conn.execute(select(func.pg_advisory_lock(_RUNS)))
    except DBAPIError as error:
        if not passes(error):
            raise
        return False
    return True


def brief(conn: Connection) -> None:
    """Let this transaction wait a moment only for a lock: what it does can be done at the next run as well."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.set_config("lock_timeout", "2s", True)))
