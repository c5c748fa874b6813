"""Whether a journey under way should stop: ``stop_if``, and what ends it by itself, such as coming back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, bindparam, case, select

from engine.database.sql import Id
from engine.database.tables import customer_facts, zones
from engine.evaluation.permission import implied_terms
from engine.evaluation.register import zones_in_use
from engine.language.rule import Rule
from engine.vocabulary.conditions import all_hold
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope, Zone

#: A rule's version, a step with conditions, and the seconds of match and asking -> what is asked of a guest.
Kept = dict[tuple[str, bytes, int | None, int, int], Select[Any]]

_MOST_KEPT = 200
_ZONE = (
    select(zones.c.id, zones.c.name)
    .join(customer_facts, customer_facts.c.zone_id == zones.c.id)
    .where(customer_facts.c.customer_id == bindparam("customer", type_=Id))
)


def why_stopped(
    conn: Connection,
    home: Home,
    rule: Rule,
    *,
    customer_id: int,
    matched_at: datetime,
    as_of: datetime,
    step: int | None = None,
    kept: Kept | None = None,
) -> str | None:
    """Give the trigger's own reason (``came_back``, ``used``) or ``stop_if`` where the rest is to be cancelled.

    None where it goes on at ``as_of``; ``only_if`` where the conditions of the step of that number do not hold: then it
    alone is cancelled. ``rule`` is the version that the match was made with. The facts must stand at ``as_of`` or be
    brought there before.
    ``kept`` is the asker's own, for one home: matches of one run are asked the same at the same second, and to put the
    question together takes ten times as long as the answer.
    """
    how: dict[str, Any] = {"matched_at": matched_at, "as_of": as_of, "step": step, "kept": kept}
    return who_stopped(conn, home, rule, [customer_id], **how).get(customer_id)


def who_stopped(
    conn: Connection,
    home: Home,
    rule: Rule,
    customer_ids: Sequence[int],
    *,
    matched_at: datetime,
    as_of: datetime,
    step: int | None = None,
    kept: Kept | None = None,
) -> Mapping[int, str]:
    """Give what ``why_stopped`` gives of some guests, by their ids and in one statement; without those who go on."""
    only_if = () if step is None else rule.step(step).only_if
    if not rule.stop_if and rule.trigger.ends is None and not only_if:
        return {}
    kept = {} if kept is None else kept
    asked = step if only_if else None  # the steps without conditions of their own share a question
    key = (rule.id, rule.version_hash, asked, int(matched_at.timestamp()), int(as_of.timestamp()))
    if key not in kept:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = _question(rule, only_if, scope_of_match(home, rule, zones_in_use(conn), matched_at, as_of))
    # An erased guest has no facts, so no row: the fence has its own word on that.
    rows = conn.execute(kept[key], {"customers": customer_ids})
    return {row.customer_id: row.why for row in rows if row.why is not None}


def zone_of(conn: Connection, customer_id: int) -> Zone | None:
    """Give the guest's zone; None for a guest who was erased."""
    zone = conn.execute(_ZONE, {"customer": customer_id}).one_or_none()
    return None if zone is None else Zone(zone.id, ZoneInfo(zone.name))


def scope_of_match(home: Home, rule: Rule, of: Sequence[Zone], matched_at: datetime, as_of: datetime) -> Scope:
    """Give the scope in which a journey under way is asked about, for guests of these zones: a rank needs them all."""
    return Scope(
        moment=as_of,
        zones=of,
        day_starts=home.config.day_starts,
        segments={**rule.segments, **home.segments},
        topic=rule.topic,
        match_at=matched_at,
        implied=implied_terms(home.config, as_of),
    )


def _question(rule: Rule, only_if: tuple[Any, ...], scope: Scope) -> Select[Any]:
    """SQL: why the journeys of the guests ``:customers`` stop, or the step is left out."""
    whens = []
    if rule.trigger.ends is not None:
        whens.append((rule.trigger.ended(scope), rule.trigger.ends))
    if rule.stop_if:
        whens.append((all_hold(rule.stop_if, scope), "stop_if"))
    if only_if:  # what cannot be told (no data) does not hold
        whens.append((case((all_hold(only_if, scope), 1), else_=0) == 0, "only_if"))
    guest = scope.facts.c.customer_id
    theirs = guest.in_(bindparam("customers", expanding=True, type_=Id))
    asked = select(guest.label("customer_id"), case(*whens).label("why")).select_from(scope.guest())
    return asked.where(theirs).add_cte(scope.days_table())
