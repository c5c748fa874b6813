"""Which database this is: an identity of its own, which the journal names."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select

from engine.database.sql import upsert
from engine.database.tables import instance


def identity(conn: Connection) -> str:
    """Give the database's identity, 32 hexadecimal digits, made at the first time."""
    known = conn.scalar(select(instance.c.identity))
    if known is None:
        made = upsert(conn, instance).values(id=1, identity=secrets.token_hex(16))
        conn.execute(made.on_conflict_do_nothing())
        known = conn.scalar(select(instance.c.identity))
    return str(known)
