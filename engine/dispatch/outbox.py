"""The outbox as a whole: what is too late, what may be claimed, when the next is due, what staff queues again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, or_, select

from engine.database.months import is_month
from engine.database.partial import is_in
from engine.database.tables import channels, dispatches, payloads, switch
from engine.dispatch.states import BULK, FINAL, INSIDE, MESSAGES, OPEN, State, move, move_all

#: How long the values that a message was made with are kept after its end.
VALUES_KEPT = timedelta(days=30)


def expire(conn: Connection, now: datetime) -> int:
    """Drop what is too late to be useful; give how many. A held one expires too: approval would come too late."""
    count = 0
    for before in ("pending", "held"):
        late = dispatches.c.expires_at <= now
        for moved in move_all(conn, before, "expired", late, who="anyone", now=now, reason="late"):
            count += len(moved)
    return count


def forget_values(conn: Connection, now: datetime) -> int:
    """Delete the values of messages that were done 30 days ago; give how many. The hash of their bytes stays."""
    before = now - VALUES_KEPT
    portion = (
        select(dispatches.c.id)
        .join(payloads, payloads.c.dispatch_id == dispatches.c.id)
        .where(payloads.c.at <= before, dispatches.c.state.in_(FINAL), dispatches.c.finished_at <= before)
        .limit(BULK)
    )
    count = 0
    while old := conn.scalars(portion).all():
        conn.execute(delete(payloads).where(payloads.c.dispatch_id.in_(old)))
        count += len(old)
    return count


def earlier_step_open(months: Sequence[int] | None = None) -> ColumnElement[bool]:
    """SQL: an earlier step of the match must be done first. ``months``: those in which the dispatches are.

    A coupon is drawn, and points are added, before the message that shows them, and a reminder never overtakes the
    message that it reminds of. A step after a wait has the later ``expires_at``; two messages without a wait between
    are independent.
    """
    earlier = dispatches.alias("earlier")
    return exists().where(
        earlier.c.match_id == dispatches.c.match_id,
        earlier.c.month == dispatches.c.month,
        *([] if months is None else [is_month(earlier.c.month, *months)]),
        earlier.c.step < dispatches.c.step,
        or_(
            and_(earlier.c.channel.in_(INSIDE), earlier.c.state.in_(OPEN)),
            and_(
                earlier.c.channel.in_(MESSAGES),
                dispatches.c.channel.in_(MESSAGES),
                earlier.c.state.in_((*OPEN, "handoff")),
                earlier.c.expires_at < dispatches.c.expires_at,
            ),
        ),
    )


def stopped() -> ColumnElement[bool]:
    """SQL: somebody has pressed the big red button."""
    return exists().where(switch.c.id == 1, switch.c.stopped_at.is_not(None))


def channel_shut(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """SQL: the channel of the dispatch waits for a person, or its breaker is open at ``now``."""
    return exists().where(
        channels.c.channel == dispatches.c.channel,
        or_(channels.c.stopped_at.is_not(None), channels.c.open_until > now),
    )


def carrier_shut(carrier: ColumnElement[str], now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """SQL: what carries messages, such as ``email`` or ``webhook:till``, waits for a person, or its breaker is open."""
    return exists().where(
        channels.c.channel == carrier, or_(channels.c.stopped_at.is_not(None), channels.c.open_until > now)
    )


def next_due(conn: Connection, usable: Sequence[str], *, until: datetime) -> datetime | None:
    """Tell when the next dispatch can be claimed, at the latest at ``until``; None when nothing waits until then.

    What waits for a person (a held earlier step, a stopped channel, the red button) is not waited for.
    """
    shut = select(channels.c.open_until).where(channels.c.channel == dispatches.c.channel).scalar_subquery()
    waits_for_person = exists().where(channels.c.channel == dispatches.c.channel, channels.c.stopped_at.is_not(None))
    soonest_of = (
        select(dispatches.c.due_at, shut.label("open_until"))
        .where(
            dispatches.c.state == "pending",
            dispatches.c.channel == bindparam("channel"),
            dispatches.c.due_at <= until,
            dispatches.c.expires_at > dispatches.c.due_at,
            ~waits_for_person,
            ~earlier_step_open(),
            ~stopped(),
        )
        .order_by(dispatches.c.due_at)
        .limit(BULK)
    )
    rows = [row for each in (*usable, *INSIDE, "alert") for row in conn.execute(soonest_of, {"channel": each})]
    times = [max(row.due_at, row.open_until or row.due_at) for row in rows]
    soonest = min(times, default=None)
    return soonest if soonest is not None and soonest <= until else None


def not_handed(conn: Connection, holder: str) -> int:
    """Count what a worker that is gone has claimed and not handed over.

    A fence whose commit was under way when it was killed is waited for: then it counts as handed over.
    """
    its = select(dispatches.c.id).where(is_in(dispatches.c.state, "claimed"), dispatches.c.lease_holder == holder)
    return len(conn.scalars(its.with_for_update()).all())


def requeue(
    conn: Connection, before: State, ids: Sequence[int], *, actor: str, now: datetime
) -> tuple[list[int], list[int]]:
    """Let staff send again what is ``uncertain`` or ``dead``: give the ids queued, and those that it is too late for.

    All tries start anew. Whoever asks knows that an uncertain one may arrive a second time.
    """
    wanted = dispatches.c.id.in_(ids)
    fresh = {"due_at": now, "attempts": 0, "rescues": 0, "handed_at": None, "handed_day": None, "content_hash": None}
    in_time = dispatches.c.expires_at > now
    queued = move(conn, before, "pending", wanted, in_time, who="staff", now=now, actor=actor, values=fresh)
    late = select(dispatches.c.id).where(wanted, dispatches.c.state == before, dispatches.c.expires_at <= now)
    return sorted(queued), sorted(conn.scalars(late))


def acknowledge(conn: Connection, ids: Sequence[int], *, actor: str, now: datetime) -> list[int]:
    """Let staff say that these ``uncertain`` ones arrived; give the ids that moved."""
    return move(conn, "uncertain", "sent", dispatches.c.id.in_(ids), who="staff", now=now, actor=actor)
