"""The gate that everything passes on its way out: many at once, or who closes it, alone.

Whoever presses the red button must not be overtaken by a message whose fence has read the button before and commits
after. On SQLite one writer at a time is enough; on PostgreSQL a lock that is no row's keeps no disk busy.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select

#: Any constant of ours; the other one is that of the migrations.
_GATE: Final = 7_346_858_274
_TOGETHER: Final = select(func.pg_advisory_xact_lock_shared(_GATE))
_ALONE: Final = select(func.pg_advisory_xact_lock(_GATE))


def pass_gate(conn: Connection) -> None:
    """Stand in the gate until the transaction ends, with any number of others. To be taken before any other lock."""
    if conn.dialect.name == "postgresql":
        conn.execute(_TOGETHER)


def close_gate(conn: Connection) -> None:
    """Wait until nobody stands in the gate, and keep it shut until the transaction ends. Before any other lock."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ALONE)
