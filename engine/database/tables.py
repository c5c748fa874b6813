"""Every table, once. Alembic's migrations build the same; a test compares the two.

Three kinds of number stand for time and money, everywhere:

* an *instant* is UTC epoch seconds (``EpochSeconds``; an aware ``datetime`` in Python),
* a *day* is ``date.toordinal()`` of the business day in the customer's zone (``Integer``),
* money is whole minor units of the home's one currency (``BigInteger``).

Text that rules compare has a ``*_key`` beside it, ``text_key(value)``: case-folded, blanks folded. Databases
disagree on ``lower()`` beyond ASCII; Python does it once, at import.

Internal ids are never reused (``sqlite_autoincrement``): a freed id must not inherit matches.
External ids are unique per ``source`` (the till or file family that they come from): two tills both have order 1.
"""

from __future__ import annotations

from engine.database.customer_tables import (
    consents,
    customer_dates,
    customers,
    date_attributes,
    endpoints,
    events,
    imports,
    order_items,
    orders,
    points,
    points_uses,
    products,
    ratings,
    refunds,
    stores,
    tags,
    tier_changes,
    tier_plan,
    zones,
)
from engine.database.engine_tables import (
    approvals,
    audit,
    budget_uses,
    channels,
    contents,
    coupons,
    delivery_events,
    dispatches,
    forgotten_months,
    instance,
    lost_handoffs,
    matches,
    occasion_names,
    payloads,
    rule_versions,
    rules,
    runs,
    senders,
    switch,
)
from engine.database.facts_tables import customer_facts, touched
from engine.database.metadata import metadata

__all__ = [
    "approvals",
    "audit",
    "budget_uses",
    "channels",
    "consents",
    "contents",
    "coupons",
    "customer_dates",
    "customer_facts",
    "customers",
    "date_attributes",
    "delivery_events",
    "dispatches",
    "endpoints",
    "events",
    "forgotten_months",
    "imports",
    "instance",
    "lost_handoffs",
    "matches",
    "metadata",
    "occasion_names",
    "order_items",
    "orders",
    "payloads",
    "points",
    "points_uses",
    "products",
    "ratings",
    "refunds",
    "rule_versions",
    "rules",
    "runs",
    "senders",
    "stores",
    "switch",
    "tags",
    "tier_changes",
    "tier_plan",
    "touched",
    "zones",
]
