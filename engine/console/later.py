"""What was told of messages after they were accepted: delivered, come back, complained of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, ScalarSelect, case, func, select

from engine.console.words import counted
from engine.database.consent import RETURNED
from engine.database.tables import delivery_events, dispatches, endpoints

#: What counts of several things told of one message, whichever came last: a complaint comes after the delivery.
_RANK: Final = ("complained", "bounced", "undelivered", "delivered", "delayed")
#: Those that are no good news: their code is said too.
WRONG: Final = frozenset({"complained", "bounced", "undelivered"})
_LATELY: Final = timedelta(days=30)


def told_later() -> ScalarSelect[Any]:
    """SQL: the id of the delivery event that says what became of the dispatch after all, or NULL."""
    told = delivery_events.alias("told")
    rank = case({kind: number for number, kind in enumerate(_RANK)}, value=told.c.kind, else_=len(_RANK))
    return (
        select(told.c.id)
        .where(told.c.dispatch_id == dispatches.c.id)
        .order_by(rank, told.c.id.desc())
        .limit(1)
        .correlate(dispatches)
        .scalar_subquery()
    )


def returned_lately(conn: Connection, now: datetime) -> Iterator[str]:
    """Say how many addresses were blocked in the last 30 days by what came back, and how many complaints there were."""
    since, e = now - _LATELY, endpoints.c
    blocked = conn.scalar(select(func.count()).where(e.suppressed_why.in_(sorted(RETURNED)), e.suppressed_at > since))
    complaints = conn.scalar(
        select(func.count()).where(delivery_events.c.kind == "complained", delivery_events.c.at > since)
    )
    lately = f"in the last {_LATELY.days} days"
    if blocked:
        were = "was" if blocked == 1 else "were"
        yield (
            f"{counted(blocked, 'address')} {were} blocked {lately}, because messages came back; one that works again: "
            "`regulars customer reachable`"
        )
    if complaints:
        yield (
            f"{counted(complaints, 'complaint')} {lately}: these guests get nothing more; look at what is sent, how "
            "often, and to whom, for many of them spoil your name with mail servers"
        )
