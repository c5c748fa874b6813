"""What runs out for a guest of a rule with the trigger ``expiring``, as plain data for its templates."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam

from engine.database.sql import Id
from engine.database.tiers import Shortfall, shortfall
from engine.evaluation.stop import scope_of_match, zone_of
from engine.language.codes import shown
from engine.language.rule import Rule
from engine.language.times import business_day
from engine.vocabulary.expiring import Expiring
from engine.vocabulary.home import Home

_INSTANT = timedelta(seconds=1)


def what_expires(
    conn: Connection, home: Home, rule: Rule, *, customer_id: int, matched_at: datetime, as_of: datetime
) -> dict[str, Any] | None:
    """Give the value ``expiring`` of a message: what the match spoke of and is left at ``as_of``.

    None for rules of other triggers and for erased guests. ``day`` is the last day on which a thing is good: of each
    item its own, of the whole that of the first.
    """
    zone = zone_of(conn, customer_id) if isinstance(rule.trigger, Expiring) else None
    if zone is None:
        return None
    scope = scope_of_match(home, rule, [zone], matched_at, as_of)
    mine = scope.facts.c.customer_id == bindparam("customer", type_=Id)
    asked = rule.trigger.items(scope).where(mine).add_cte(scope.days_table())
    items = []
    for row in conn.execute(asked, {"customer": customer_id}):
        code = None if row.code is None else shown(row.code)
        last_day = business_day(row.at - _INSTANT, zone.info, scope.day_starts)
        items.append(
            {
                "name": (row.terms or {}).get("name") or row.name,
                "amount": row.amount,
                "day": last_day.isoformat(),
                "code": code,
                "qr": code,
            }
        )
    missing = shortfall(conn, home.tier_plan, customer_id, as_of) if rule.trigger.what == "tier" else None
    return {
        **_of_tier(home, missing),
        "what": rule.trigger.what,
        "total": sum(item["amount"] for item in items),
        "day": items[0]["day"] if items else None,
        "items": items,
    }


def _of_tier(home: Home, short: Shortfall | None) -> dict[str, Any]:
    """Give what a template may say of a tier that falls: its name, the one below, and what would keep it."""
    tiers = home.loyalty.tiers

    def name(key: str | None) -> Any:
        level = None if tiers is None else tiers.level(key)
        return None if level is None else level.name

    by = None if tiers is None or short is None else tiers.by
    return {
        "tier": None if short is None else name(short.tier),
        "next_tier": None if short is None else name(short.after),
        "missing_spend": short.missing if short is not None and by == "spend" else None,
        "missing_visits": short.missing if short is not None and by == "visits" else None,
    }
