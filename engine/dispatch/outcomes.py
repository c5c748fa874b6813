"""What a connector's answer does to the dispatch, to the endpoint and to the channel, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from connectors.base import Outcome
from engine.database.consent import lock_endpoint, suppress
from engine.database.tables import dispatches, endpoints
from engine.dispatch import health
from engine.dispatch.claims import Claim
from engine.dispatch.outbox import State, move

#: Tries that count before a dispatch is given up; with the pauses between them about nine hours.
ATTEMPTS = 8
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=4)
#: So many full mailboxes within so long, and the address gets nothing more.
SOFT_BOUNCES = 3
SOFT_SPAN = timedelta(days=14)

#: Why a provider's no is final, by what it said of the endpoint. ``ok``: not the endpoint's fault.
_REASON = {"hard": "no_such_address", "soft": "mailbox_full", "unusable": "unusable", "opted_out": "opted_out"}
_SUPPRESS = {"hard": "hard_bounce", "unusable": "unusable", "opted_out": "unsubscribed"}


def backoff(attempts: int) -> timedelta:
    """Give the pause after so many tries: 5 minutes, doubled each time, up to four hours."""
    return min(FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 10)), LONGEST_PAUSE)


def record(
    conn: Connection,
    together: Sequence[Claim],
    outcome: Outcome,
    *,
    handed: bool,
    channel: str,
    now: datetime,
    another_guest: bool = True,
) -> list[State]:
    """Write one outcome on every dispatch that the message stood for; give the new state of each.

    ``handed``: the fence was passed. ``channel``: what carried it, email or sms, also for an alert. The endpoint is
    locked before any dispatch, as at the fence.
    """
    if outcome.endpoint != "ok":
        for endpoint_id in sorted({each.endpoint_id for each in together if each.endpoint_id is not None}):
            lock_endpoint(conn, endpoint_id)
    states = [_write(conn, each, outcome, handed=handed, now=now) for each in together]
    for each in together:
        _judge_endpoint(conn, each, outcome, now)
    health.note(conn, channel, outcome, now=now, another_guest=another_guest)
    return states


def _write(conn: Connection, claim: Claim, outcome: Outcome, *, handed: bool, now: datetime) -> State:
    attempts = claim.attempts + (1 if outcome.counts_attempt else 0)
    values: dict[str, Any] = {"attempts": attempts, "rescues": 0, "provider_reply": outcome.code}
    common: dict[str, Any] = {"who": "holder", "now": now}
    before: State = "handoff" if handed else "claimed"
    if outcome.kind in ("sent", "unknown") and outcome.provider_id is not None:
        values["provider_id"] = outcome.provider_id
    if outcome.kind == "sent" and handed:
        if not move(conn, before, "sent", claim.mine(), values=values, **common):
            move(conn, "uncertain", "sent", claim.mine(), values=values, **common)  # late, and with the provider's yes
        return "sent"
    if outcome.kind == "sent":  # a connector that does not ask the fence: nobody knows what else it did
        move(conn, "claimed", "handoff", claim.mine(), values={"handed_at": now}, **common)
        move(conn, "handoff", "uncertain", claim.mine(), reason="no_fence", values=values, **common)
        return "uncertain"
    if outcome.kind == "unknown" and handed:
        move(conn, before, "uncertain", claim.mine(), reason="no_answer", values=values, **common)
        return "uncertain"
    if outcome.kind == "no":
        after: State = "blocked" if outcome.endpoint == "opted_out" else "rejected"
        reason = _REASON.get(outcome.endpoint, "refused" if outcome.channel == "ok" else "sender_refused")
        move(conn, before, after, claim.mine(), reason=reason, values=values, **common)
        return after
    if attempts >= ATTEMPTS:
        move(conn, before, "dead", claim.mine(), reason="attempts", values=values, **common)
        return "dead"
    due = outcome.retry_at or (now + backoff(attempts) if outcome.channel != "stop" else claim.due_at)
    move(conn, before, "pending", claim.mine(), reason="not_now", values={**values, "due_at": due}, **common)
    return "pending"


def _judge_endpoint(conn: Connection, claim: Claim, outcome: Outcome, now: datetime) -> None:
    if claim.endpoint_id is None:  # staff: their address is in the config
        return
    if outcome.endpoint in _SUPPRESS:
        suppress(conn, claim.endpoint_id, _SUPPRESS[outcome.endpoint], at=now)
    elif outcome.endpoint == "soft":
        full = conn.scalar(
            select(func.count()).where(
                dispatches.c.endpoint_id == claim.endpoint_id,
                dispatches.c.state == "rejected",
                dispatches.c.reason == _REASON["soft"],
                dispatches.c.finished_at > now - SOFT_SPAN,
            )
        )
        conn.execute(update(endpoints).where(endpoints.c.id == claim.endpoint_id).values(soft_bounces=full))
        if (full or 0) >= SOFT_BOUNCES:
            suppress(conn, claim.endpoint_id, "soft_bounces", at=now)
