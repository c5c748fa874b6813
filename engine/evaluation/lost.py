"""What a restored database has forgotten and the journal has not: it is held when it is found again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, String, bindparam, exists, select, update

from engine.database.sql import EpochSeconds
from engine.database.tables import customers, dispatches, endpoints, lost_handoffs, matches
from engine.language.keys import guest_hash

#: Why it is held; approving the rule does not let it go, for it may arrive a second time.
RESTORED = "restored"

_KNOWN: Final = select(lost_handoffs.c.step, lost_handoffs.c.part, lost_handoffs.c.endpoint_hash).where(
    lost_handoffs.c.rule == bindparam("its_rule", type_=String),
    lost_handoffs.c.expires_at > bindparam("as_of", type_=EpochSeconds),
)


def hold_lost(conn: Connection, *, rule: str, rule_row: int, run: int, as_of: datetime, key: bytes) -> int:
    """Hold what this run has queued of the rule and what went out already, as far as the journal tells; give how many.

    Internal ids may be others after a restore: the same are the rule, the step and the keyed hash of the endpoint, or
    of the guest. ``key`` is the home's.
    """
    lost = lost_handoffs.c
    same_rule = (lost.rule == rule, lost.expires_at > as_of)
    found = conn.execute(_KNOWN, {"its_rule": rule, "as_of": as_of})
    known = {(row.step, row.part, row.endpoint_hash) for row in found}
    if not known:
        return 0
    d, e = dispatches.c, endpoints.c
    of_run = select(matches.c.id).where(matches.c.run_id == run, matches.c.rule_id == rule_row)
    fresh = (d.match_id.in_(of_run), d.state.in_(("pending", "held")))
    forgotten = exists().where(
        *same_rule, lost.step == d.step, lost.part == d.part, lost.endpoint_hash == e.hash, e.id == d.endpoint_id
    )
    without = conn.execute(
        select(d.id, d.step, d.part, customers.c.source, customers.c.external_id)
        .join(customers, customers.c.id == d.customer_id)
        .where(*fresh, d.endpoint_id.is_(None), d.channel.in_(("webhook", "alert")))
    )
    named = [row.id for row in without if (row.step, row.part, guest_hash(key, row.source, row.external_id)) in known]
    held = 0
    for which in (forgotten, d.id.in_(named)):
        held += conn.execute(update(dispatches).where(*fresh, which).values(state="held", reason=RESTORED)).rowcount
    return held
