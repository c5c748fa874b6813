"""What a run has decided, for a person to read before it is rolled back: what is due when, and for whom first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, case, func, select

from engine.database.tables import customers, dispatches, matches, rules, zones


@dataclass(frozen=True, slots=True)
class Planned:
    """So many dispatches of one step on one day of the home's clock; ``first`` is the earliest of them."""

    step: int
    channel: str
    state: str
    reason: str | None
    day: date
    first: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """One dispatch of one guest; ``due_at`` is a naive time on the guest's own clock."""

    step: int
    channel: str
    state: str
    reason: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class First:
    """One of the first guests of a rule, with all that he or she would get."""

    customer: str  #: the id in the customers' file
    name: str
    parts: tuple[Part, ...]
    zone: ZoneInfo  #: of the clock on which the parts are due


@dataclass(frozen=True)
class RulePreview:
    """What one rule has queued."""

    planned: tuple[Planned, ...] = ()
    firsts: tuple[First, ...] = ()


@dataclass
class Preview:
    """Reads what a run has queued, inside its transaction: ``run_due(..., look=preview.look)``.

    ``guests`` is how many of each rule are named; ``rules`` is filled by ``look``, by rule id.
    """

    zone: ZoneInfo
    guests: int = 3
    rules: Mapping[str, RulePreview] = field(default_factory=dict)

    def look(self, conn: Connection, run: int, *_: object) -> None:
        """Read everything of the run."""
        planned = self._planned(conn, run)
        firsts = self._firsts(conn, run)
        self.rules = {
            rule: RulePreview(tuple(planned.get(rule, ())), tuple(firsts.get(rule, ())))
            for rule in sorted(planned.keys() | firsts.keys())
        }

    def _planned(self, conn: Connection, run: int) -> dict[str, list[Planned]]:
        d = dispatches.c
        rows = conn.execute(
            select(rules.c.rule, d.step, d.channel, d.state, d.reason, d.due_at, func.count().label("size"))
            .select_from(dispatches.join(matches, matches.c.id == d.match_id).join(rules, rules.c.id == d.rule_id))
            .where(matches.c.run_id == run)
            .group_by(rules.c.rule, d.step, d.channel, d.state, d.reason, d.due_at)
            .order_by(rules.c.rule, d.step, d.due_at, d.state, d.reason)
        )
        days: dict[tuple[str, int, str, str, str | None, date], Planned] = {}
        for row in rows:
            on = row.due_at.astimezone(self.zone).date()
            key = (row.rule, row.step, row.channel, row.state, row.reason, on)
            before = days.get(key)
            first = row.due_at if before is None else before.first
            count = row.size if before is None else before.count + row.size
            days[key] = Planned(row.step, row.channel, row.state, row.reason, on, first, count)
        found: dict[str, list[Planned]] = {}
        for (rule, *_), each in days.items():
            found.setdefault(rule, []).append(each)
        return found

    def _firsts(self, conn: Connection, run: int) -> dict[str, list[First]]:
        place = func.row_number().over(partition_by=matches.c.rule_id, order_by=matches.c.id).label("place")
        acting = (
            select(matches.c.id, matches.c.rule_id, matches.c.customer_id, place)
            .where(matches.c.run_id == run, matches.c.verdict == "act")
            .cte("acting")
        )
        d = dispatches.c
        rows = conn.execute(
            select(
                rules.c.rule, acting.c.id.label("match"), customers.c.external_id,
                case((customers.c.name.is_(None), ""), else_=customers.c.name).label("name"),
                d.step, d.channel, d.state, d.reason, d.due_at, zones.c.name.label("zone"),
            )
            .select_from(
                acting.join(rules, rules.c.id == acting.c.rule_id)
                .join(customers, customers.c.id == acting.c.customer_id)
                .join(zones, zones.c.id == customers.c.zone_id)
                .join(dispatches, d.match_id == acting.c.id)
            )
            .where(acting.c.place <= self.guests)
            .order_by(acting.c.id, d.step, d.part)
        )  # fmt: skip
        found: dict[str, dict[int, First]] = {}
        for row in rows:
            due = row.due_at.astimezone(ZoneInfo(row.zone)).replace(tzinfo=None)
            part = Part(row.step, row.channel, row.state, row.reason, due)
            mine = found.setdefault(row.rule, {})
            before = mine.get(row.match)
            mine[row.match] = First(
                row.external_id, row.name, (*(before.parts if before else ()), part), ZoneInfo(row.zone)
            )
        return {rule: list(guests.values()) for rule, guests in found.items()}
