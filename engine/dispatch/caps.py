"""How much marketing one guest and one inbox get: caps move a message to a later day, they do not lose it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

from sqlalchemy import ColumnElement, Connection, func, select

from engine.database.tables import dispatches
from engine.dispatch.outbox import COUNTED, MESSAGES

WEEK = 7


def first_free_day(today: int, handed: Sequence[Counter[int]], *, per_day: int, per_week: int) -> int:
    """Give the first day from ``today`` on that takes one message more.

    ``handed``: for the guest and for the endpoint, day number -> messages handed over. A week is any seven days in a
    row that end with the day in question. Both limits are at least 1, else there is no such day.
    """
    return next(
        day
        for day in count(today)
        if all(
            days[day] < per_day and sum(days[each] for each in range(day - WEEK + 1, day + 1)) < per_week
            for days in handed
        )
    )


def handed_days(
    conn: Connection, *, customer_id: int, endpoint_id: int | None, other_than: int, today: int
) -> tuple[Counter[int], Counter[int]]:
    """Read the marketing of the last week, for the guest and for the endpoint, as :func:`first_free_day` wants it.

    Only *other* rows than the dispatch itself: else two queued messages would block each other. What is ``uncertain``
    counts, it may have arrived.
    """
    return (
        _handed(conn, dispatches.c.customer_id == customer_id, other_than, today),
        _handed(conn, dispatches.c.endpoint_id == endpoint_id, other_than, today),
    )


def _handed(conn: Connection, whose: ColumnElement[bool], other_than: int, today: int) -> Counter[int]:
    rows = conn.execute(
        select(dispatches.c.handed_day, func.count())
        .where(
            whose,
            dispatches.c.handed_day > today - WEEK,
            dispatches.c.state.in_(COUNTED),
            dispatches.c.channel.in_(MESSAGES),
            dispatches.c.purpose == "marketing",
            dispatches.c.id != other_than,
        )
        .group_by(dispatches.c.handed_day)
    )
    return Counter({row[0]: row[1] for row in rows})
