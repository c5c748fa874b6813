"""What a word may use when it writes SQL: the facts, the moment, and days worked out in Python.

Calendar arithmetic (months, zones, daylight saving) never happens in SQL. A word asks its ``Scope`` for a day; the
scope works it out for every zone in use and carries the answers in one small table, ``days(zone_id, today, ...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import CTE, BigInteger, ColumnElement, FromClause, Select, TableClause, bindparam, column, select, table

from engine.database.packed import values_cte
from engine.database.sql import EpochSeconds, in_turn, unindexed
from engine.database.tables import customer_facts, customers
from engine.database.tiers import TierPlan
from engine.language.compliance import ImpliedTerms
from engine.language.times import Duration, business_day, start_of

#: Made once: to make an alias takes as long as to make a condition.
_FACTS: Final = customer_facts.alias("f")


@dataclass(frozen=True)
class Zone:
    """One time zone in use: its row in ``zones`` and its rules."""

    id: int
    info: ZoneInfo


@dataclass
class Scope:
    """One statement's surroundings. Columns of the guest: ``facts.c``; the moment: ``as_of``."""

    moment: datetime  #: as_of
    zones: Sequence[Zone]
    day_starts: time
    segments: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    topic: str | None = None
    watermark: datetime | None = None  #: as_of of the rule's last evaluation
    seen_tick: int | None = None  #: of whose facts that evaluation knew; None: everybody is to be looked at
    plan: TierPlan | None = None  #: by which tiers stand in the facts; None: by the customers' files
    implied: Mapping[str, ImpliedTerms] = field(default_factory=dict)  #: by channel; none: implied consent is none
    moved: TableClause | None = None  #: ``moved(customer_id, ...)``: nobody else need be looked at; None: all
    match_at: datetime | None = None  #: when the match was made: only where ``since: match`` is asked
    facts: FromClause = _FACTS  #: the guests as they are then
    everyone: FromClause = customer_facts  #: all guests as they are then, to compare one with
    called: str = ""  #: tells the names of an earlier moment's tables and binds from those of the statement's own

    def __post_init__(self) -> None:
        self.as_of = bindparam(f"as_of{self.called}", self.moment, EpochSeconds())
        self._names: list[str] = ["zone_id", "today"]
        self._values: list[list[int]] = [[zone.id, self.today_in(zone).toordinal()] for zone in self.zones]
        self._asked: dict[str, ColumnElement[int]] = {}
        self._keys: dict[str, CTE] = {}
        self.days = table(f"days{self.called}", column("zone_id", BigInteger), column("today", BigInteger))

    def today_in(self, zone: Zone) -> date:
        """Give the business day of the moment in ``zone``."""
        return business_day(self.moment, zone.info, self.day_starts)

    def seen_in(self, zone: Zone) -> date | None:
        """Give the business day of the rule's last evaluation in ``zone``."""
        return None if self.watermark is None else business_day(self.watermark, zone.info, self.day_starts)

    @property
    def today(self) -> ColumnElement[int]:
        """SQL: the guest's business day."""
        return self.days.c.today

    def day(self, asked: str, work_out: Callable[[date], date]) -> ColumnElement[int]:
        """SQL: the day that ``work_out`` makes of the guest's today; ``asked`` names it, the same name is shared."""
        return self._column(f"day:{asked}", lambda zone: work_out(self.today_in(zone)).toordinal())

    def day_at_match(self, asked: str, work_out: Callable[[date], date]) -> ColumnElement[int]:
        """SQL: the day that ``work_out`` makes of the guest's business day at the match."""
        match_at = self.match_at
        assert match_at is not None, "asked only where there is a match"
        return self._column(
            f"match:{asked}", lambda zone: work_out(business_day(match_at, zone.info, self.day_starts)).toordinal()
        )

    def earlier(self, moment: datetime, facts: FromClause, everyone: FromClause) -> Scope:
        """Give the scope of an earlier moment in the same statement.

        ``facts`` holds those guests of that moment who are asked about, ``everyone`` all. Its ``days_table()`` has to
        be added to what is asked of it. Of guests themselves (city, tags that are gone, consent) there is no history.
        """
        then = replace(self, moment=moment, facts=facts, everyone=everyone, called="_then")
        return replace(then, watermark=None, seen_tick=None, moved=None)

    def keys_of_today(self, name: str, work_out: Callable[[date], Iterable[int]]) -> Select[Any]:
        """Give a select of the whole numbers that ``work_out`` makes of the guest's today, to be tested with ``IN``."""
        if name not in self._keys:
            rows = [(zone.id, key) for zone in self.zones for key in work_out(self.today_in(zone))]
            self._keys[name] = values_cte(f"{name}{self.called}", ("zone_id", "key"), rows)
        keys = self._keys[name]
        return select(keys.c.key).where(keys.c.zone_id == self.facts.c.zone_id).correlate(self.facts)

    def of_everybody(self) -> Scope:
        """Give the same surroundings for a select of its own over all guests: its facts are another alias."""
        other = copy(self)
        other.facts = self.everyone.alias("r")
        return other

    def instant(self, asked: str, work_out: Callable[[date], date], at: datetime | None = None) -> ColumnElement[int]:
        """SQL: the instant (epoch seconds) at which a day begins: the one that ``work_out`` makes of the guest's today.

        With ``at`` it is made of the guest's business day at that moment, such as the match's.
        """
        moment = self.moment if at is None else at

        def begins(zone: Zone) -> int:
            return int(self.start(work_out(business_day(moment, zone.info, self.day_starts)), zone).timestamp())

        return self._column(f"instant:{asked}:{int(moment.timestamp())}", begins)

    def number(self, asked: str, work_out: Callable[[date], int]) -> ColumnElement[int]:
        """SQL: the number that ``work_out`` makes of the guest's today."""
        return self._column(f"number:{asked}", lambda zone: work_out(self.today_in(zone)))

    def _column(self, asked: str, work_out: Callable[[Zone], int]) -> ColumnElement[int]:
        if asked not in self._asked:
            name = f"d{len(self._names) - 1}"
            self._names.append(name)
            for zone, row in zip(self.zones, self._values, strict=True):
                row.append(work_out(zone))
            self.days.append_column(column(name, BigInteger))
            self._asked[asked] = self.days.c[name]
        return self._asked[asked]

    def days_table(self) -> CTE:
        """Give the table ``days``; call it last, when every word has asked for its days."""
        return values_cte(f"days{self.called}", self._names, self._values)

    def start(self, day: date, zone: Zone) -> datetime:
        """Give the instant at which the business day ``day`` begins in ``zone``."""
        return start_of(day, zone.info, self.day_starts)

    def seconds_ago(self, duration: Duration) -> ColumnElement[datetime]:
        """SQL: the moment less an exact duration (hours, minutes)."""
        earlier = self.moment - duration.delta()
        return bindparam(None, earlier, EpochSeconds(), unique=True)

    def guest(self) -> FromClause:
        """Give the guests with the days of their zone, to select from: all, or those who have ``moved``."""
        if self.moved is None:
            return self._with_days(self.facts)
        return self._with_days(in_turn(self.moved, self.facts, self.facts.c.customer_id == self.moved.c.customer_id))

    def _with_days(self, guests: FromClause) -> FromClause:
        """Each guest is found once, not once for each zone; and no index of all guests by their zone is made."""
        return in_turn(guests, self.days, self.days.c.zone_id == unindexed(self.facts.c.zone_id))

    def come_with(self, opened: CTE) -> None:
        """Let each who moved come with the row of that small table that is open for the guest: with its columns.

        To meet the table again, PostgreSQL would read all its rows for each guest (measured at a million of them: two
        fifths of what finds who is at risk).
        """
        assert self.moved is not None, "asked only where somebody has"
        for each in opened.c:
            self.moved.append_column(column(each.name, BigInteger))

    def guests_of(self, found: FromClause) -> FromClause:
        """Give rows that were found (with ``customer_id``), each with its guest: read by id, not all guests first."""
        return self._with_days(found.join(self.facts, self.facts.c.customer_id == found.c.customer_id))

    def of_customer(self, name: str) -> ColumnElement[Any]:
        """SQL: a column of the guest's row in ``customers``; facts holds only what due columns need."""
        who = customers.alias("c")
        return select(who.c[name]).where(who.c.id == self.facts.c.customer_id).correlate(self.facts).scalar_subquery()
