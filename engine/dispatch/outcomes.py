"""What a connector's answer does to the dispatch, to the endpoint and to the channel, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, or_, select, update

from connectors.base import Outcome
from engine.database.consent import lock_endpoint, suppress
from engine.database.tables import dispatches
from engine.dispatch import health, tallies
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Answer
from engine.dispatch.soft_bounces import REFUSED, count_soft
from engine.dispatch.states import UNDER_WAY, State, move, move_each

#: Tries that count before a dispatch is given up; with the pauses between them about nine hours.
ATTEMPTS = 8
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=4)

#: Why a provider's no is final, by what it said of the endpoint. ``ok``: not the endpoint's fault.
_REASON = {"hard": "no_such_address", "soft": REFUSED, "unusable": "unusable", "opted_out": "opted_out"}
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
) -> list[State | None]:
    """Write one outcome on every dispatch that the message stood for; give the new state of each (None: lease lost).

    ``handed``: the fence was passed. ``channel``: what carried it, email or sms, also for an alert. The endpoint is
    locked before any dispatch, as at the fence.
    """
    if outcome.endpoint != "ok":
        for endpoint_id in sorted({each.endpoint_id for each in together if each.endpoint_id is not None}):
            lock_endpoint(conn, endpoint_id)
    states = [_write(conn, each, outcome, handed=handed, now=now) for each in together]
    for each in together:
        _judge_endpoint(conn, each, outcome, now)
    health.note(conn, channel, outcome, now=now, customer_id=together[0].customer_id)
    return states


def is_plain(answer: Answer) -> bool:
    """Tell whether it is a yes to one message after the fence, and says nothing else of channel, inbox or price."""
    outcome, one = answer.outcome, len(answer.together) == 1
    well = outcome.kind == "sent" and outcome.endpoint == "ok" and outcome.channel == "ok"
    return one and well and answer.handed and outcome.segments is None


def record_together(
    conn: Connection,
    answers: Sequence[Answer],
    now: datetime,
    *,
    calm: bool = False,
    trail: list[dict[str, Any]] | None = None,
) -> None:
    """Write plain answers down (``is_plain``): all, or it raises ``OvertakenError`` and the caller rolls back.

    ``calm``: nothing is noted against their channel that they would end. ``trail`` is as for ``move_each``.
    """
    rows = []
    for answer in answers:
        (claim,), outcome = answer.together, answer.outcome
        attempts = claim.attempts + int(outcome.counts_attempt)
        said = {"provider_reply": outcome.code, "provider_id": outcome.provider_id}
        itself = {"id": claim.id, "month": claim.month, "token": claim.token}
        rows.append({**itself, "attempts": attempts, "rescues": 0, **said})
    move_each(conn, "handoff", "sent", rows, who="holder", now=now, trail=trail)
    if calm:
        return
    for channel, outcome in {each.channel: each.outcome for each in answers}.items():
        health.note(conn, channel, outcome, now=now, customer_id=answers[0].together[0].customer_id)


def written(conn: Connection, together: Sequence[Claim], outcome: Outcome) -> list[State | None] | None:
    """Give the states that an earlier ``record`` of this outcome left, as it gives them; None where there was none."""
    rows = conn.execute(
        select(dispatches.c.id, dispatches.c.state, dispatches.c.provider_reply).where(
            or_(*(each.mine() for each in together))
        )
    ).all()
    states: dict[int, State] = {row.id: row.state for row in rows}
    if any(row.state in UNDER_WAY or row.provider_reply != outcome.code for row in rows):
        return None
    return [states.get(each.id) for each in together]


def _write(conn: Connection, claim: Claim, outcome: Outcome, *, handed: bool, now: datetime) -> State | None:
    # What ails the channel before the fence says nothing of the message: a day without the server uses no attempt up.
    # Nor does "too many", whenever it comes: a day of it must not make the day's messages dead.
    tried = outcome.counts_attempt and outcome.channel != "slow" and (handed or outcome.channel == "ok")
    attempts = claim.attempts + int(tried)
    values: dict[str, Any] = {"attempts": attempts, "rescues": 0, "provider_reply": outcome.code}
    if outcome.kind in ("sent", "unknown") and outcome.provider_id is not None:
        values["provider_id"] = outcome.provider_id
    before: State = "handoff" if handed else "claimed"
    after, reason = _state(outcome, handed=handed, attempts=attempts)
    common: dict[str, Any] = {"who": "holder", "now": now, "reason": reason, "values": values}
    if after == "pending":
        values["due_at"] = outcome.retry_at or (claim.due_at if outcome.channel == "stop" else now + backoff(attempts))
    if after == "uncertain" and not handed:  # through the fence that the connector did not ask
        move(conn, "claimed", "handoff", claim.mine(), who="holder", now=now, values={"handed_at": now})
        before = "handoff"
    moved = move(conn, before, after, claim.mine(), **common)
    if not moved and after == "sent":  # the lease ran out meanwhile, and here is the provider's yes
        moved = move(conn, "uncertain", "sent", claim.mine(), **common)
    if moved and outcome.segments is not None:
        _bill(conn, claim.id, outcome.segments)
    return after if moved else None


def _bill(conn: Connection, dispatch_id: int, segments: int) -> None:
    """Note as how many SMS it really was billed; what the budgets counted of it is corrected."""
    other = (dispatches.c.id == dispatch_id, dispatches.c.segments.is_distinct_from(segments))
    counted = tallies.counted_ones(conn, *other)
    if counted:
        tallies.change(conn, counted, -1)
        conn.execute(update(dispatches).where(*other).values(segments=segments))
        tallies.change(conn, tallies.counted_ones(conn, dispatches.c.id == dispatch_id), 1)


def _state(outcome: Outcome, *, handed: bool, attempts: int) -> tuple[State, str | None]:
    """Give the new state and its reason."""
    match outcome.kind:
        case "sent" if handed:
            return "sent", None
        case "sent":  # a connector that does not ask the fence: nobody knows what else it did
            return "uncertain", "no_fence"
        case "unknown" if handed:
            return "uncertain", "no_answer"
        case "no":
            reason = _REASON.get(outcome.endpoint, "refused" if outcome.channel == "ok" else "sender_refused")
            return ("blocked" if outcome.endpoint == "opted_out" else "rejected"), reason
    return ("dead", "attempts") if attempts >= ATTEMPTS else ("pending", "not_now")


def _judge_endpoint(conn: Connection, claim: Claim, outcome: Outcome, now: datetime) -> None:
    if claim.endpoint_id is None:  # staff: their address is in the config
        return
    if outcome.endpoint in _SUPPRESS:
        suppress(conn, claim.endpoint_id, _SUPPRESS[outcome.endpoint], at=now)
    elif outcome.endpoint == "soft":
        count_soft(conn, claim.endpoint_id, now, now)
