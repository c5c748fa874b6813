"""Triggers of something that happens: a guest joins, an order comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from sqlalchemy import ColumnElement, and_, case, distinct, func, literal, select

from engine.database.sql import in_turn
from engine.database.tables import orders
from engine.language.phrases import Phrase, listed, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.occasions import Candidates, exactly, open_days, open_instants
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import (
    DURATION,
    calendar_duration,
    late_setting,
    later,
    of_guest,
    some_time,
    stay_after,
    then,
)

_ORDERED_STAYS_OPEN = "3 days"
#: Made once: to copy the columns takes as long as to make the rest. Nothing else uses the same ones.
_ORDER: Final = orders.alias("o")
_OTHER: Final = orders.alias("v")
_EARLIER: Final = orders.alias("e")


@dataclass(frozen=True)
class Joined:
    """A new guest."""

    about: ClassVar[str] = phrase("The guest joined a while ago; once in a lifetime.")
    once_for: ClassVar[Phrase] = phrase("guest")
    open_for: ClassVar[Phrase] = phrase("7 days after ago, or within")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "joined:\n  ago: 1 day\n  within: 7 days"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    ago: Duration
    within: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """Two durations in days."""
        return {
            "type": ["string", "object", "null"],
            "format": "duration",
            "additionalProperties": False,
            "description": cls.about,
            "x-also": {"late": "within"},
            "properties": {
                "ago": DURATION | {"description": phrase("Joined this long ago; at once if left out.")},
                "within": DURATION | {"description": phrase("Stays open this long after that; 7 days if left out.")},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``1 day`` or the settings."""
        given = reader.settings("ago")
        within = calendar_duration(reader, given, "within", "7 days")
        return cls(calendar_duration(reader, given, "ago", "0 days"), some_time(reader, "within", within, "7 days"))

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest who joined in the open range; the occasion is constant."""
        closes = then(self.ago, self.within)
        days = open_days(scope, opens=self.ago.after, first=self.ago.latest, closes=closes)
        facts = scope.facts
        same = and_(days.c.zone_id == facts.c.zone_id, days.c.key == facts.c.joined_day)
        return Candidates(
            source=in_turn(scope.guest(), days.table, same),
            where=(days.may_be(facts.c.joined_day), facts.c.joined_at <= scope.as_of),
            occasion=literal(0),
            closes=days.c.closes,
            expired=days.c.expired,
        )

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("joined {ago} ago, and up to {within} before that", ago=self.ago, within=self.within)


@dataclass(frozen=True)
class Ordered:
    """An order was placed."""

    about: ClassVar[str] = phrase(
        "The guest placed an order of the kind the filters name: any, the nth visit, or each nth."
    )
    once_for: ClassVar[Phrase] = phrase("order")
    open_for: ClassVar[Phrase] = phrase("3 days")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "ordered:\n  count: 1\n  ago: 10 days"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset({"order"})
    again_after: ClassVar[Duration | None] = None
    count: int | None
    every: int | None
    ago: Duration
    late: Duration
    filters: OrderFilters

    @classmethod
    def schema(cls) -> JsonSchema:
        """Which visit, how long ago, and the order filters."""
        return {
            "type": ["integer", "object", "null"],
            "minimum": 1,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                "count": {
                    "type": "integer",
                    "minimum": 1,
                    "description": phrase("Only the first order of the visit with this number: 1 is the first visit."),
                },
                "every": {
                    "type": "integer",
                    "minimum": 2,
                    "description": phrase("Only the first order of each visit with a multiple of this number."),
                },
                "ago": DURATION | {"description": phrase("This long after the order; at once if left out.")},
                **late_setting(_ORDERED_STAYS_OPEN),
                **FILTER_SCHEMA,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``1`` or the settings; ``count`` and ``every`` exclude one another."""
        given = reader.settings("count")
        if "count" in given and "every" in given:
            reader.under("every").problem(
                phrase('"count" and "every" cannot stand together'),
                "both",
                key=True,
                hint=phrase("write one rule for each"),
            )
        ago = Duration.parse(given.get("ago", "0 minutes"))
        late = stay_after(ago, reader, given, _ORDERED_STAYS_OPEN)
        return cls(given.get("count"), given.get("every"), ago, late, OrderFilters.read(reader))

    def candidates(self, scope: Scope) -> Candidates:
        """One row an order; the occasion is the order."""
        order, facts = _ORDER, scope.facts
        source = scope.guest().join(order, order.c.customer_id == facts.c.customer_id)
        where = (*self.filters.where(scope, order), *self._nth_visit(scope, order))
        if not self.ago.is_calendar:
            return exactly(
                source,
                order.c.ordered_at,
                open_instants(scope, ago=self.ago.delta(), stays_open=self.late),
                occasion=order.c.id,
                where=where,
                order_id=order.c.id,
                store_id=order.c.store_id,
            )
        closes = then(self.ago, self.late)
        days = open_days(scope, opens=self.ago.after, first=self.ago.latest, closes=closes)
        return Candidates(
            source=in_turn(source, days.table, and_(days.c.zone_id == facts.c.zone_id, days.c.key == order.c.day)),
            where=(*days.may_hold(order.c.ordered_at), *where),
            occasion=order.c.id,
            closes=days.c.closes,
            expired=days.c.expired,
            order_id=order.c.id,
            store_id=order.c.store_id,
        )

    def _nth_visit(self, scope: Scope, order: Any) -> list[ColumnElement[bool]]:
        if self.count is None and self.every is None:
            return []
        earlier, facts = _EARLIER, scope.facts.c
        number = self.count or self.every or 1
        not_first = (
            select(earlier.c.id)
            .where(*of_guest(self.filters, scope, earlier), earlier.c.day == order.c.day, later(order, earlier))
            .correlate(scope.facts, scope.days, order)
            .exists()
        )
        visits = self._visits(scope, order)
        nth = visits == number if self.count is not None else visits % number == 0
        return [facts.visits >= number, nth, ~not_first]

    def _visits(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        """SQL: the number of the visit with this order, or any higher one than ``count`` where it is past that."""
        other, facts = _OTHER, scope.facts.c
        its = of_guest(self.filters, scope, other)
        around = (scope.facts, scope.days, order)
        if not self.filters:  # the number of the last visit is known, and after this one there are few, or none
            later_ones = select(func.count(distinct(other.c.day))).where(*its, other.c.day > order.c.day)
            before_them = facts.visits - later_ones.correlate(*around).scalar_subquery()
            return case((order.c.day == facts.last_order_day, facts.visits), else_=before_them)
        visited = select(other.c.day).where(*its, other.c.day < order.c.day).distinct()
        if self.count is not None:  # who comes daily has hundreds: no more is read than tells that it is another visit
            visited = visited.limit(self.count)
        before = select(func.count()).select_from(visited.correlate(*around).subquery("visited"))
        return before.scalar_subquery() + 1

    def sentence(self) -> Phrase:
        """Say it in English."""
        what = phrase("an order")
        if self.count is not None:
            what = phrase("the first order of visit {number}", number=self.count)
        elif self.every is not None:
            numbers = [self.every, self.every * 2, self.every * 3]
            what = phrase("the first order of every visit number {numbers} ...", numbers=listed(numbers))
        placed = phrase("placed {what}{which}", what=what, which=self.filters.sentence())
        at_once = not self.ago.is_calendar and not self.ago.delta()
        return placed if at_once else phrase("{placed}, {time} ago", placed=placed, time=self.ago)
