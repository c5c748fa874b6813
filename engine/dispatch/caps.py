"""How much marketing one guest and one inbox get: caps move a message to a later day, they do not lose it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any, Literal

from sqlalchemy import Connection, Integer, Select, bindparam, func, select

from engine.database.sql import Id, spelled_in
from engine.database.tables import dispatches
from engine.dispatch.states import MESSAGES
from engine.dispatch.tallies import COUNTED

WEEK = 7

Whose = Literal["customer_id", "endpoint_id"]


def first_free_day(today: int, handed: Sequence[Counter[int]], *, per_day: int, per_week: int) -> int:
    """Give the first day from ``today`` on that takes one message more.

    ``handed``: for the guest and for the endpoint, day number -> messages handed over. A week is any seven days in a
    row with the day in question; a clock that was ahead may have left some after it. Both limits are at least 1, else
    there is no such day.
    """
    return next(
        day
        for day in count(today)
        if all(days[day] < per_day and _most_in_a_week(days, day) < per_week for days in handed)
    )


def _most_in_a_week(days: Counter[int], day: int) -> int:
    return max(sum(days[each] for each in range(end - WEEK + 1, end + 1)) for end in range(day, day + WEEK))


def handed_days(
    conn: Connection, *, customer_id: int, endpoint_id: int | None, other_than: int, today: int
) -> tuple[Counter[int], Counter[int]]:
    """Read the marketing of the last week, for the guest and for the endpoint, as :func:`first_free_day` wants it.

    Only *other* rows than the dispatch itself: else two queued messages would block each other. What is ``uncertain``
    counts, it may have arrived. A day that is still to come counts as today: it is that of a zone where it has begun,
    of another guest with the same address or of one who has moved.
    """
    asked = {"today": today, "other_than": other_than}
    return (
        _handed(conn, "customer_id", {**asked, "whose": customer_id}),
        _handed(conn, "endpoint_id", {**asked, "whose": endpoint_id}),
    )


def _handed(conn: Connection, whose: Whose, asked: Mapping[str, int | None]) -> Counter[int]:
    days, today = Counter[int](), asked["today"] or 0
    for day, number in conn.execute(_statement(whose), asked):
        days[min(day, today)] += number
    return days


@cache
def _statement(whose: Whose) -> Select[Any]:
    """Asked four times a message: made once."""
    return (
        select(dispatches.c.handed_day, func.count())
        .where(
            dispatches.c[whose] == bindparam("whose", type_=Id),
            dispatches.c.handed_day > bindparam("today", type_=Integer) - WEEK,
            dispatches.c.handed_at.is_not(None),  # as the index is that has both
            spelled_in(dispatches.c.state, COUNTED),
            spelled_in(dispatches.c.channel, MESSAGES),
            dispatches.c.purpose == "marketing",
            dispatches.c.id != bindparam("other_than", type_=Id),
        )
        .group_by(dispatches.c.handed_day)
    )
