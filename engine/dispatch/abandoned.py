"""What becomes of dispatches whose worker is gone, or lost the database: they are freed, or may have arrived."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, or_, select

from engine.database.partial import TAKEN, in_index_of
from engine.database.sql import spelled_in
from engine.database.tables import dispatches
from engine.dispatch.holders import is_gone
from engine.dispatch.states import UNDER_WAY, move

#: So often may work on a dispatch begin and end in nothing (its worker was gone) before it counts as poison.
RESCUES: Final = 3
#: With a state of these: what workers have is found by its index.
_TAKEN = in_index_of(dispatches.c.state, TAKEN)


def rescue(conn: Connection, now: datetime) -> dict[str, int]:
    """Free what was abandoned: leases that ran out, and at once those of processes of this machine that are gone.

    ``claimed`` goes back to ``pending`` (nothing has left the machine), or to ``dead`` when work on it was begun for
    the third time; ``handoff`` becomes ``uncertain``: it may have been delivered. Gives counts by new state.
    """
    leased = spelled_in(dispatches.c.state, UNDER_WAY)
    holders = conn.scalars(
        select(dispatches.c.lease_holder).where(_TAKEN, leased, dispatches.c.lease_holder.is_not(None)).distinct()
    )
    gone = [holder for holder in holders if is_gone(holder)]
    abandoned = or_(
        dispatches.c.leased_until.is_(None), dispatches.c.leased_until <= now, dispatches.c.lease_holder.in_(gone)
    )
    common: dict[str, Any] = {"who": "anyone", "now": now}
    dead = move(conn, "claimed", "dead", _TAKEN, abandoned, dispatches.c.rescues >= RESCUES, reason="poison", **common)
    freed = move(conn, "claimed", "pending", _TAKEN, abandoned, reason="abandoned", **common)
    uncertain = move(conn, "handoff", "uncertain", _TAKEN, abandoned, reason="abandoned", **common)
    return {"pending": len(freed), "dead": len(dead), "uncertain": len(uncertain)}


def lay_down(conn: Connection, holder: str, now: datetime) -> dict[str, int]:
    """Free what this worker holds itself, after the database was away in the middle of it; give counts by new state.

    That was no message's fault: nothing counts towards poison.
    """
    mine = dispatches.c.lease_holder == holder
    common: dict[str, Any] = {"who": "holder", "now": now, "reason": "abandoned", "values": {"rescues": 0}}
    freed = move(conn, "claimed", "pending", _TAKEN, mine, **common)
    uncertain = move(conn, "handoff", "uncertain", _TAKEN, mine, **common)
    return {"pending": len(freed), "uncertain": len(uncertain)}
