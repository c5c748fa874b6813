"""What happened to a guest earlier: events, and what a rule of another day handed over."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from small_world import Cafe
from sqlalchemy import select

from engine.database.months import month_of
from engine.database.tables import coupons, dispatches, events, matches, rule_versions, rules, runs

_NUMBERS = count(1)


def event(cafe: Cafe, guest: int | None, when: datetime, name: str, **data: Any) -> int:
    return cafe._insert(
        events, source="csv", external_id=f"e{next(_NUMBERS)}", customer_id=guest, name=name, at=when, data=data
    )


def sent(cafe: Cafe, guest: int, channel: str, when: datetime, *, rule: str = "earlier", **values: Any) -> int:
    """Write a message that went out, or in another ``state``."""
    with cafe.db.begin() as conn:
        row = conn.scalar(select(rules.c.id).where(rules.c.rule == rule))
    row = row or cafe._insert(rules, rule=rule, path=f"rules/{rule}.yaml", content_hash=b"")
    number = next(_NUMBERS)
    content = number.to_bytes(4)
    version = cafe._insert(rule_versions, rule_id=row, content_hash=content, body={}, first_at=when)
    run = cafe._insert(runs, as_of=when, started_at=when, state="done", host="here", pid=1)
    both = {"rule_id": row, "customer_id": guest}
    decided = {"run_id": run, "version_id": version, "matched_at": when, "closes": when, "verdict": "act"}
    match = cafe._insert(matches, **both, occasion=number, **decided)
    endpoint = cafe.endpoint(channel, f"{guest}@{channel}") if channel in {"email", "sms"} else None
    moments = {"due_at": when, "expires_at": when, "handed_at": when, "finished_at": when}
    handed = {
        "month": month_of(when),
        "step": 1,
        "purpose": "marketing",
        "state": "sent",
        "endpoint_id": endpoint,
        **moments,
        **values,
    }
    return cafe._insert(dispatches, **both, match_id=match, channel=channel, **handed)


def coupon(cafe: Cafe, guest: int, when: datetime, **values: Any) -> int:
    """Write a coupon that was given and lives for two weeks, unless ``values`` say otherwise."""
    dispatch = sent(cafe, guest, "coupon", when)
    terms = {"offer": "treat", "terms": {}, "issued_at": when, "valid_until": when + timedelta(days=14), **values}
    return cafe._insert(coupons, dispatch_id=dispatch, customer_id=guest, code=f"C{dispatch}", **terms)
