"""Budgets: so many messages, segments or coupons a day or a month, for a rule and for the whole home.

They go by what was handed over, like the caps, and by the home's calendar. What has no room waits for the next period.
What is used is a row of the database (``tallies``), locked while it is asked and added to: two workers never both take
the last place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from engine.database.tables import coupons
from engine.dispatch import tallies
from engine.dispatch.claims import Claim
from engine.dispatch.tallies import Tally
from engine.language.budgets import Budget, Kind
from engine.language.rule import Rule
from engine.language.times import business_day, start_of


@dataclass(frozen=True)
class Budgets:
    """Those of the whole home, on its calendar. ``minor_units`` make one of its currency."""

    of_home: Mapping[Kind, Budget] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    day_starts: time = time(0)
    minor_units: int = 100

    def lock(self, conn: Connection, asked: Iterable[tuple[Rule, Claim]], at: datetime) -> None:
        """Lock the budgets of these dispatches until the transaction ends: what they have room for then stays so."""
        tallies.lock(conn, (tally for rule, claim in asked for tally, _ in self._of(rule, claim, at)))

    def concern(self, rule: Rule, claim: Claim, at: datetime) -> bool:
        """Tell whether any budget is asked about the dispatch."""
        return any(True for _ in self._of(rule, claim, at))

    def renewed(self, conn: Connection, rule: Rule, claim: Claim, at: datetime, segments: int) -> datetime | None:
        """Give when there may be room for the dispatch, or None where there is room now.

        ``segments`` are those of an SMS. Where several budgets are spent, it is the latest of their ends. The caller
        holds the lock (``lock``) where the answer counts.
        """
        waits = []
        for tally, budget in self._of(rule, claim, at):
            limit = budget.amount * (self.minor_units if tally.kind == "coupon_value" else 1)
            if Decimal(tally.used(conn) + self._wanted(conn, tally.kind, claim, segments)) > limit:
                waits.append(tally.ends)
        return max(waits, default=None)

    def room(self, conn: Connection, asked: Iterable[tuple[Rule, Claim, int]], at: datetime) -> set[int]:
        """Give the ids of those messages for which there is room, for all of them together; with the SMS's segments."""
        left: dict[Tally, int | Decimal] = {}
        found = set()
        for rule, claim, segments in asked:
            wanted = {
                tally: (segments if tally.kind == "sms_segments" else 1, budget)
                for tally, budget in self._of(rule, claim, at)
            }
            for tally, (_, budget) in wanted.items():
                if tally not in left:
                    left[tally] = budget.amount - tally.used(conn)
            if all(amount <= left[tally] for tally, (amount, _) in wanted.items()):
                found.add(claim.id)
                for tally, (amount, _) in wanted.items():
                    left[tally] -= amount
        return found

    def _of(self, rule: Rule, claim: Claim, at: datetime) -> Iterator[tuple[Tally, Budget]]:
        """Yield the budgets that the dispatch uses, each with its period at the moment."""
        today = business_day(at, self.zone, self.day_starts)
        for budgets, rule_id in ((rule.limits.budget, claim.rule_id), (self.of_home, tallies.HOME)):
            for kind, budget in budgets.items():
                if claim.channel in tallies.CHANNELS[kind]:
                    begins, ends = (
                        start_of(day, self.zone, self.day_starts)
                        for day in (budget.begins(today), budget.renews(today))
                    )
                    yield Tally(rule_id, kind, begins, ends), budget

    def _wanted(self, conn: Connection, kind: Kind, claim: Claim, segments: int) -> int:
        if kind == "coupon_value":
            return int(conn.scalar(select(coupons.c.worth).where(coupons.c.dispatch_id == claim.id)) or 0)
        return segments if kind == "sms_segments" else 1
