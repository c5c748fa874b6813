"""What a match would be about that a guest does not have yet: the newest thing of the kind that the rule fires on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from engine.database.tables import customers, events, ratings
from engine.evaluation.compiler import FIRED
from engine.language.rule import Rule
from engine.vocabulary.triggers import given_by


def supposed(conn: Connection, rule: Rule, customer: Row[Any], last_order: int | None) -> dict[str, int | None]:
    """Give the columns ``FIRED`` of ``matches`` by name; None where the rule fires on no such thing."""
    gives = given_by(rule.trigger)
    fired: dict[str, int | None] = dict.fromkeys(FIRED)
    if "order" in gives:
        fired["order_id"] = last_order
    if "rating" in gives:
        newest = select(func.max(ratings.c.id)).where(ratings.c.customer_id == customer.id)
        fired["rating_id"] = conn.scalar(newest)
    if "event" in gives:
        fired["event_id"] = conn.scalar(select(func.max(events.c.id)).where(events.c.customer_id == customer.id))
    if "friend" in gives:
        c = customers.c
        brought = select(func.max(c.id)).where(c.source == customer.source, c.referred_by == customer.external_id)
        fired["friend_id"] = conn.scalar(brought)
    return fired
