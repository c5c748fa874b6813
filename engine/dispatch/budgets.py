"""Budgets: so many messages, segments or coupons a day or a month, for a rule and for the whole home.

They are counted from what was handed over, like the caps, and on the home's calendar. What has no room waits for the
next period. The count is made and used behind one lock, so that two workers never both take the last place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, func, select

from engine.database.sql import upsert
from engine.database.tables import coupons, dispatches, rules, switch
from engine.dispatch.claims import Claim
from engine.dispatch.outbox import COUNTED
from engine.language.budgets import Budget, Kind
from engine.language.rule import Rule
from engine.language.times import business_day, start_of

_CHANNELS: Mapping[Kind, tuple[str, ...]] = {
    "email": ("email",),
    "sms": ("sms",),
    "messages": ("email", "sms"),
    "sms_segments": ("sms",),
    "coupons": ("coupon",),
    "coupon_value": ("coupon",),
}


@dataclass(frozen=True)
class Budgets:
    """Those of the whole home, on its calendar. ``minor_units`` make one of its currency."""

    of_home: Mapping[Kind, Budget] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    day_starts: time = time(0)
    minor_units: int = 100

    def concern(self, rule: Rule, claim: Claim) -> bool:
        """Tell whether any budget is asked about the dispatch."""
        return any(True for _ in self._of(rule, claim))

    def renewed(self, conn: Connection, rule: Rule, claim: Claim, at: datetime, segments: int) -> datetime | None:
        """Give when there may be room for the dispatch, or None where there is room now.

        ``segments`` are those of an SMS. Where several budgets are spent, it is the latest of their ends. The caller
        holds the lock (``lock``) where the answer counts.
        """
        waits = []
        today = business_day(at, self.zone, self.day_starts)
        for kind, budget, rule_id in self._of(rule, claim):
            end = start_of(budget.renews(today), self.zone, self.day_starts)
            used = _used(
                conn, kind, rule_id, (start_of(budget.begins(today), self.zone, self.day_starts), end), claim.id
            )
            limit = budget.amount * (self.minor_units if kind == "coupon_value" else 1)
            if Decimal(used + self._wanted(conn, kind, claim, segments)) > limit:
                waits.append(end)
        return max(waits, default=None)

    def _of(self, rule: Rule, claim: Claim) -> Iterator[tuple[Kind, Budget, int | None]]:
        for budgets, rule_id in ((rule.limits.budget, claim.rule_id), (self.of_home, None)):
            for kind, budget in budgets.items():
                if claim.channel in _CHANNELS[kind]:
                    yield kind, budget, rule_id

    def _wanted(self, conn: Connection, kind: Kind, claim: Claim, segments: int) -> int:
        if kind == "coupon_value":
            return int(conn.scalar(select(coupons.c.worth).where(coupons.c.dispatch_id == claim.id)) or 0)
        return segments if kind == "sms_segments" else 1


def lock(conn: Connection) -> None:
    """Let one worker at a time count and hand over, until its transaction ends.

    The lock is the one row of the big red button, which every home has: no other lock is taken after it.
    """
    conn.execute(upsert(conn, switch).values(id=1).on_conflict_do_nothing())
    conn.execute(select(switch.c.id).where(switch.c.id == 1).with_for_update(key_share=True))


def _used(conn: Connection, kind: Kind, rule_id: int | None, period: tuple[datetime, datetime], other_than: int) -> int:
    """Count what the period has used already; what is ``uncertain`` counts, it may have arrived."""
    d = dispatches.c
    amount: ColumnElement[Any] = func.count()
    counted = select(dispatches.c.id).select_from(dispatches)
    if kind == "sms_segments":
        amount = func.coalesce(func.sum(func.coalesce(d.segments, 1)), 0)
    elif kind in {"coupons", "coupon_value"}:
        counted = counted.join(coupons, coupons.c.dispatch_id == d.id).where(coupons.c.revoked_at.is_(None))
        if kind == "coupon_value":
            amount = func.coalesce(func.sum(coupons.c.worth), 0)
    # Every rule of the home by its id: so the index by rule, channel and time is of use.
    whose = d.rule_id == rule_id if rule_id is not None else d.rule_id.in_(select(rules.c.id))
    wanted = counted.with_only_columns(amount).where(
        whose,
        d.channel.in_(_CHANNELS[kind]),
        d.state.in_(COUNTED),
        d.handed_at >= period[0],
        d.handed_at < period[1],
        d.id != other_than,
    )
    return int(conn.scalar(wanted) or 0)
