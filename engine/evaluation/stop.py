"""Whether a journey under way should stop: ``stop_if``, and coming back for the triggers of absence."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, case, select

from engine.database.tables import customer_facts, zones
from engine.language.rule import Rule
from engine.vocabulary.conditions import all_hold
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope, Zone


def why_stopped(
    conn: Connection, home: Home, rule: Rule, *, customer_id: int, matched_at: datetime, as_of: datetime
) -> str | None:
    """Give ``came_back`` or ``stop_if`` where the rest of the journey is to be cancelled at ``as_of``, else None.

    ``rule`` is the version that the match was made with. The facts must stand at ``as_of`` or be brought there before.
    """
    if not rule.stop_if and not rule.trigger.absence:
        return None
    zone = conn.execute(
        select(zones.c.id, zones.c.name)
        .join(customer_facts, customer_facts.c.zone_id == zones.c.id)
        .where(customer_facts.c.customer_id == customer_id)
    ).one_or_none()
    if zone is None:  # erased: the fence has its own word on that
        return None
    scope = Scope(
        moment=as_of,
        zones=[Zone(zone.id, ZoneInfo(zone.name))],
        day_starts=home.config.day_starts,
        segments=home.segments,
        topic=rule.topic,
        match_at=matched_at,
    )
    whens = []
    if rule.trigger.absence:
        whens.append((rule.trigger.came_back(scope), "came_back"))
    if rule.stop_if:
        whens.append((all_hold(rule.stop_if, scope), "stop_if"))
    asked = select(case(*whens)).select_from(scope.guest()).where(scope.facts.c.customer_id == customer_id)
    reason: str | None = conn.scalar(asked.add_cte(scope.days_table()))
    return reason
