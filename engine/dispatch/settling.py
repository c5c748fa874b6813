"""What becomes of claimed dispatches that are not handed over: a verdict written on them, or they wait again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from engine.dispatch import states
from engine.dispatch.channels import Transport
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Desk
from engine.dispatch.fence import LostLease, Verdict, carry_out
from engine.dispatch.health import admit, shut_until

#: An alert that cannot be sent for a reason of this machine (a secret is missing) is tried again so much later.
LATER = timedelta(minutes=15)


def settle(conn: Connection, desk: Desk, together: Sequence[Claim], verdict: Verdict) -> None:
    """Write the verdict on those that are still ours, and count them."""
    for claim in together:
        with contextlib.suppress(LostLease):
            carry_out(conn, claim, verdict, desk.now())
            desk.summary.count(claim.id, verdict.after)


def give_back(conn: Connection, desk: Desk, together: Sequence[Claim], due: datetime | None = None) -> None:
    """Let it wait for its channel: a message is not claimed before that is open, the others are tried again later."""
    for claim in together:
        later = (due or desk.now() + LATER) if claim.channel not in states.MESSAGES else claim.due_at
        settle(conn, desk, [claim], Verdict("pending", "channel", later))


def shut(conn: Connection, desk: Desk, transport: Transport, at: datetime, *, alert: bool) -> datetime | None:
    """Tell until when nothing may go by it; the rate of webhooks and alerts is asked here: their claim does not."""
    until = shut_until(conn, transport, at)
    named = transport in states.MESSAGES and not alert
    return until if until is not None or named else admit(conn, transport, at, desk.rates)
