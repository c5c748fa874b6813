"""An address that was blocked because messages came back, and that is in order again: staff say so."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import insert, select

from engine.console.exits import MistypedError, Refusal
from engine.console.session import Session, customer_named
from engine.console.words import reason
from engine.database.consent import RETURNED, lift, lock_endpoint
from engine.database.tables import audit, endpoints


def reachable(session: Session, name: str, channels: Collection[str], *, by: str) -> str:
    """Lift the block of a guest's addresses, all of them or none; give a sentence for each channel.

    Raises ``Refusal`` where it came of the guest's own will, or of an erasure: no staff may undo that.
    """
    if not channels:
        raise MistypedError("give --email or --sms")
    told, now = [], session.clock()
    with session.db.begin() as conn:
        customer = customer_named(conn, session.home, name)
        for channel in channels:
            endpoint_id = customer.email_id if channel == "email" else customer.sms_id
            if endpoint_id is None:
                shown = "email address" if channel == "email" else "phone number"
                raise Refusal(f"this guest has no {shown}; nothing was changed")
            lock_endpoint(conn, endpoint_id)
            why = conn.scalar(select(endpoints.c.suppressed_why).where(endpoints.c.id == endpoint_id))
            if why is None:
                told.append(f"{channel}: it was not blocked.")
                continue
            if why not in RETURNED:
                raise Refusal(
                    f"{channel}: blocked for another reason than mail that came back ({reason(why)}), and only the "
                    "guest can undo that; nothing was changed"
                )
            lift(conn, endpoint_id)
            about = {"subject": f"{channel} of customer {customer.id}", "before": why, "after": "reachable"}
            conn.execute(insert(audit).values(at=now, actor=by, action="reachable", **about))
            told.append(f"{channel}: messages go there again; it was blocked: {reason(why)}.")
    return "".join(f"{sentence}\n" for sentence in told)
