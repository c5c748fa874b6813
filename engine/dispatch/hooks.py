"""What a webhook is told: the match, whose it is, the coupon, and the values that the rule asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, bindparam, select

from engine.database.sql import Id
from engine.database.tables import customers, matches, stores
from engine.dispatch.claims import Claim
from engine.language.rule import Rule, Step

_ABOUT = (
    select(customers.c.external_id.label("customer"), stores.c.external_id.label("store"), matches.c.occasion)
    .select_from(
        matches.join(customers, customers.c.id == matches.c.customer_id).outerjoin(
            stores, stores.c.id == matches.c.store_id
        )
    )
    .where(matches.c.id == bindparam("match", type_=Id))
)


def told_of(conn: Connection, rule: Rule, step: Step, claim: Claim, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the body of a webhook as plain data. ``values`` are those of the match, as templates have them.

    Money is in minor units, days and moments are ISO texts; the names of the values are as the rule writes them.
    """
    about = conn.execute(_ABOUT, {"match": claim.match_id}).one()
    return {
        "rule": rule.id,
        "step": step.name,
        "match": claim.match_id,
        "occasion": about.occasion,
        "matched_at": claim.matched_at.astimezone(UTC).isoformat(),
        "customer": about.customer,
        "store": about.store,
        **asked_of(step, values),
    }


def asked_of(step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the coupon, and the values that the step asks for."""
    coupon = values["coupon"]
    return {
        "coupon": None if coupon is None else {name: value for name, value in coupon.items() if name != "qr"},
        "values": {path: _at(values, path) for path in step.settings.values},
    }


def as_json(told: Mapping[str, Any], key: str) -> bytes:
    """Give the bytes that are posted: the same for the same data. ``id`` is the same on every attempt."""
    return json.dumps({"id": key, **told}, ensure_ascii=False, sort_keys=True).encode()


def _at(values: Mapping[str, Any], path: str) -> Any:
    """Give the value of a path such as ``order.total``; None where something on the way is missing."""
    value: Any = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
