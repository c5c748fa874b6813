"""Whether anybody has written since: asked of the database itself, inside a transaction that lets nobody write.

SQLite tells a connection whether another one has committed meanwhile, and counts the rows that it has itself changed.
Where both are as they were, every question has the answer that it had. PostgreSQL has no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class State:
    """A database as one connection sees it; two that are equal stand for the same content."""

    raw: Any  #: the driver's connection: only its own figures can be compared
    others: int  #: changes with every commit of another connection
    own: int  #: the rows that this one has changed, also where it rolled back


def state_of(conn: Connection) -> State | None:
    """Give the state inside a transaction that has begun to write; None where the database cannot tell."""
    if conn.dialect.name != "sqlite":
        return None
    raw: Any = conn.connection.dbapi_connection
    (others,) = raw.execute("PRAGMA data_version").fetchone()
    return State(raw, others, raw.total_changes)
