"""The states of a dispatch and the one table of moves between them.

Every move is a compare-and-set: it names the state that it leaves (a lease holder also its token) and says which rows
it changed, so whoever comes late changes nothing. Nothing ever leaves ``handoff`` by age for a state that can send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, insert, not_, or_, select, update

from engine.database.sql import json_text
from engine.database.tables import audit, channels, coupons, dispatches, payloads, switch
from engine.dispatch import tallies
from engine.dispatch.tallies import COUNTED

State = Literal[
    "held",
    "pending",
    "claimed",
    "handoff",
    "sent",
    "uncertain",
    "rejected",
    "blocked",
    "expired",
    "cancelled",
    "dead",
]
#: ``worker`` takes what is free, ``holder`` owns the lease, ``anyone`` comes after the lease, ``staff`` is a person,
#: ``engine`` acts on erasure, opt-out or a rule switched off.
Who = Literal["worker", "holder", "anyone", "staff", "engine"]

#: States that nothing leaves by itself (``uncertain`` and ``dead`` by a person only).
FINAL: frozenset[State] = frozenset({"sent", "uncertain", "rejected", "blocked", "expired", "cancelled", "dead"})
#: States that can still come to a hand-over.
OPEN: tuple[State, ...] = ("held", "pending", "claimed")
#: Ends in which the guest has seen nothing of the message.
UNSEEN: tuple[State, ...] = ("blocked", "expired", "cancelled", "rejected")
MESSAGES = ("email", "sms")
#: What leaves this machine by a connector of its own; an alert leaves by one of the messages'.
CARRIED = (*MESSAGES, "webhook")
#: Steps inside the database: done in the claim's own transaction.
INSIDE = ("coupon", "points", "tag")

#: How long the values that a message was made with are kept after its end.
VALUES_KEPT = timedelta(days=30)
#: The most rows that one statement of a bulk move takes, so that no transaction grows with the outbox.
BULK = 1_000


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed move. ``final`` is whether its end is; an audited one writes a row that outlives the dispatch."""

    before: State
    after: State
    who: frozenset[Who]
    audited: bool = False

    @property
    def final(self) -> bool:
        """Tell whether the dispatch is done with this move."""
        return self.after in FINAL


def _move(before: State, after: State, *who: Who, audited: bool = False) -> tuple[tuple[State, State], Transition]:
    return (before, after), Transition(before, after, frozenset(who), audited)


#: (from, to) -> who may, and whether the trail keeps it. The states' meaning: docs, and ``log --help``.
TRANSITIONS: Mapping[tuple[State, State], Transition] = dict(
    (
        _move("held", "pending", "staff", audited=True),
        _move("held", "cancelled", "staff", "engine", audited=True),
        _move("held", "blocked", "engine", audited=True),
        _move("held", "expired", "anyone"),
        _move("pending", "claimed", "worker"),
        _move("pending", "expired", "anyone"),
        _move("pending", "cancelled", "staff", "engine", audited=True),
        _move("pending", "blocked", "engine", audited=True),
        _move("claimed", "handoff", "holder"),
        _move("claimed", "pending", "holder", "anyone"),
        _move("claimed", "sent", "holder"),  # a step inside the database: done in the claim's own transaction
        _move("claimed", "blocked", "holder", "engine"),
        _move("claimed", "expired", "holder"),
        _move("claimed", "cancelled", "holder"),
        _move("claimed", "rejected", "holder"),  # a definite no before the fence: RCPT refused
        _move("claimed", "dead", "holder", "anyone"),
        _move("handoff", "sent", "holder"),
        _move("handoff", "pending", "holder"),
        _move("handoff", "rejected", "holder"),
        _move("handoff", "blocked", "holder"),  # the provider knows of an opt-out that we did not
        _move("handoff", "dead", "holder"),
        _move("handoff", "uncertain", "holder", "anyone"),
        _move("uncertain", "sent", "holder"),  # the lease ran out, and then the provider's yes came
        _move("uncertain", "pending", "staff", audited=True),
        _move("dead", "pending", "staff", audited=True),
    )
)


def move(
    conn: Connection,
    before: State,
    after: State,
    *where: ColumnElement[bool],
    who: Who,
    now: datetime,
    actor: str = "",
    reason: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> list[int]:
    """Move the dispatches that are in ``before`` and meet ``where``; give the ids that really moved.

    Raises ``ValueError`` for a move that the table does not allow to ``who``: a mistake in the program, never data.
    """
    allowed = TRANSITIONS.get((before, after))
    if allowed is None or who not in allowed.who:
        raise ValueError(f"{who} may not move a dispatch from {before} to {after}")
    changes: dict[str, Any] = {"state": after, "reason": reason, "finished_at": now if allowed.final else None}
    if after not in ("claimed", "handoff"):
        changes |= {"leased_until": None, "lease_holder": None}
    if before == "handoff" and after == "pending":
        changes |= {"handed_at": None, "handed_day": None, "content_hash": None}
    changes |= values or {}
    gone = _counted_until_now(conn, before, after, *where)
    moved = conn.scalars(
        update(dispatches).where(dispatches.c.state == before, *where).values(changes).returning(dispatches.c.id)
    ).all()
    if allowed.audited and moved:
        trail = {"at": now, "actor": actor, "action": "move", "before": before, "after": after, "subject": reason}
        conn.execute(insert(audit), [{**trail, "dispatch_id": each} for each in moved])
    if before not in COUNTED and after in COUNTED and moved:
        tallies.change(conn, tallies.counted_ones(conn, dispatches.c.id.in_(moved)), 1)
    tallies.change(conn, [each for each in gone if each.id in moved], -1)
    if after in UNSEEN and moved:
        _take_coupons_back(conn, moved, now)
    return list(moved)


def _counted_until_now(
    conn: Connection, before: State, after: State, *where: ColumnElement[bool]
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give what a move is about to take out of the budgets: the move forgets when it was handed over."""
    if before not in COUNTED or after in COUNTED:
        return []
    return tallies.counted_ones(conn, dispatches.c.state == before, *where)


def _take_coupons_back(conn: Connection, ended: Sequence[int], now: datetime) -> None:
    """Revoke each issued coupon that no message of its match can show any more, unless it goes out ``always``."""
    step, message, later = (dispatches.alias(name) for name in ("coupon_step", "ended", "later"))
    concerned = (
        select(step.c.id)
        .join(message, and_(message.c.match_id == step.c.match_id, message.c.step > step.c.step))
        .where(message.c.id.in_(ended), step.c.channel == "coupon")
        .where(
            not_(
                exists().where(
                    later.c.match_id == step.c.match_id,
                    later.c.step > step.c.step,
                    later.c.channel.in_(CARRIED),
                    later.c.state.not_in(UNSEEN),
                )
            )
        )
    )
    taken = conn.scalars(
        update(coupons)
        .where(
            coupons.c.dispatch_id.in_(concerned),
            coupons.c.code.is_not(None),
            coupons.c.redeemed_at.is_(None),
            coupons.c.revoked_at.is_(None),
            json_text(coupons.c.terms, "always").is_distinct_from("true"),
        )
        .values(revoked_at=now)
        .returning(coupons.c.dispatch_id)
    ).all()
    if taken:
        tallies.change(conn, tallies.counted_ones(conn, dispatches.c.id.in_(taken)), -1)


def move_all(
    conn: Connection, before: State, after: State, *where: ColumnElement[bool], limit: int = BULK, **how: Any
) -> Iterator[list[int]]:
    """Move in portions of ``limit`` rows, oldest first; the caller may commit between two of them."""
    while True:
        portion = conn.scalars(
            select(dispatches.c.id)
            .where(dispatches.c.state == before, *where)
            .order_by(dispatches.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        if portion:
            yield move(conn, before, after, dispatches.c.id.in_(portion), **how)
        if len(portion) < limit:
            return


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


def earlier_step_open() -> ColumnElement[bool]:
    """SQL: an earlier step of the match must be done first.

    A coupon is drawn, and points are added, before the message that shows them, and a reminder never overtakes the
    message that it reminds of. A step after a wait has the later ``expires_at``; two messages without a wait between
    are independent.
    """
    earlier = dispatches.alias("earlier")
    return exists().where(
        earlier.c.match_id == dispatches.c.match_id,
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


def channel_shut(now: datetime) -> ColumnElement[bool]:
    """SQL: the channel of the dispatch waits for a person, or its breaker is open at ``now``."""
    return exists().where(
        channels.c.channel == dispatches.c.channel,
        or_(channels.c.stopped_at.is_not(None), channels.c.open_until > now),
    )


def next_due(conn: Connection, usable: Sequence[str], *, until: datetime) -> datetime | None:
    """Tell when the next dispatch can be claimed, at the latest at ``until``; None when nothing waits until then.

    What waits for a person (a held earlier step, a stopped channel, the red button) is not waited for.
    """
    shut = select(channels.c.open_until).where(channels.c.channel == dispatches.c.channel).scalar_subquery()
    waits_for_person = exists().where(channels.c.channel == dispatches.c.channel, channels.c.stopped_at.is_not(None))
    rows = conn.execute(
        select(dispatches.c.due_at, shut.label("open_until"))
        .where(
            dispatches.c.state == "pending",
            dispatches.c.due_at <= until,
            dispatches.c.expires_at > dispatches.c.due_at,
            dispatches.c.channel.in_([*usable, *INSIDE, "alert"]),
            ~waits_for_person,
            ~earlier_step_open(),
            ~stopped(),
        )
        .order_by(dispatches.c.due_at)
        .limit(BULK)
    )
    times = [max(row.due_at, row.open_until or row.due_at) for row in rows]
    soonest = min(times, default=None)
    return soonest if soonest is not None and soonest <= until else None


def requeue(conn: Connection, ids: Sequence[int], *, actor: str, now: datetime) -> tuple[list[int], list[int]]:
    """Let staff send again what is ``uncertain`` or ``dead``: give the ids queued, and those that it is too late for.

    All tries start anew. Whoever asks knows that an uncertain one may arrive a second time.
    """
    wanted = dispatches.c.id.in_(ids)
    fresh = {"due_at": now, "attempts": 0, "rescues": 0, "handed_at": None, "handed_day": None, "content_hash": None}
    queued: list[int] = []
    for before in ("uncertain", "dead"):
        queued += move(
            conn,
            before,
            "pending",
            wanted,
            dispatches.c.expires_at > now,
            who="staff",
            now=now,
            actor=actor,
            values=fresh,
        )
    late = select(dispatches.c.id).where(
        wanted, dispatches.c.state.in_(("uncertain", "dead")), dispatches.c.expires_at <= now
    )
    return sorted(queued), sorted(conn.scalars(late))
