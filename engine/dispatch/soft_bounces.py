"""Addresses that cannot take mail just now: after three messages in fourteen days nothing more goes there.

A message counts once, whether the server said so at once or in a report days later, and by the moment at which it was
handed over: a mailbox that nobody read for three weeks does not make one bad day of three.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select, update

from engine.database.belonging import to_endpoint
from engine.database.consent import suppress
from engine.database.tables import delivery_events, dispatches, endpoints

#: So many messages within so long.
SOFT_BOUNCES: Final = 3
SOFT_SPAN: Final = timedelta(days=14)
#: The reason of a dispatch that was refused at once.
REFUSED: Final = "mailbox_full"
#: How the code of such an event begins.
SOFT: Final = "soft "


def count_soft(conn: Connection, endpoint_id: int, around: datetime, now: datetime) -> int:
    """Count anew after a soft bounce of a message handed over at ``around``; give how many there are in the span.

    Suppresses the endpoint where there are enough of them in any fourteen days. The endpoint is locked by the caller.
    """
    near = (around - SOFT_SPAN, around + SOFT_SPAN)
    of_endpoint = to_endpoint(endpoint_id)
    refused = select(dispatches.c.finished_at).where(
        of_endpoint,
        dispatches.c.state == "rejected",
        dispatches.c.reason == REFUSED,
        dispatches.c.finished_at.between(*near),
    )
    moment = func.coalesce(dispatches.c.handed_at, dispatches.c.finished_at, delivery_events.c.at)
    reported = (
        select(func.min(moment))
        .join(delivery_events, delivery_events.c.dispatch_id == dispatches.c.id)
        .where(of_endpoint, delivery_events.c.kind == "bounced", delivery_events.c.code.startswith(SOFT))
        .where(moment.between(*near))
        .group_by(dispatches.c.id)
    )
    moments = sorted([*conn.scalars(refused), *conn.scalars(reported)])
    count = sum(1 for each in moments if each > moments[-1] - SOFT_SPAN)
    conn.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(soft_bounces=count))
    many = SOFT_BOUNCES - 1
    if any(later - first < SOFT_SPAN for first, later in zip(moments, moments[many:], strict=False)):
        suppress(conn, endpoint_id, "soft_bounces", at=now)
    return count
