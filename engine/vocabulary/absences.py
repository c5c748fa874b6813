"""Triggers of absence: the guest stays away. They need fresh data, and coming back stops what is under way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar, Final, Self

from sqlalchemy import BigInteger, ColumnElement, Float, Select, and_, case, cast, literal, not_, or_, select, true

from engine.database.counting import RECENT_GAPS
from engine.database.packed import values_cte
from engine.database.sql import in_turn
from engine.database.tables import orders
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.occasions import Candidates, OpenDays, open_days
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import DURATION, calendar_duration, later, of_guest, then

_LAPSED_STAYS_OPEN = Duration.parse("30 days")
_AT_RISK_STAYS_OPEN = Duration.parse("60 days")
#: With less than this everybody is beyond the rhythm on the first day.
_LEAST_TIMES: Final = 1e-6


@dataclass(frozen=True)
class Lapsed:
    """Quiet for a while."""

    about: ClassVar[str] = phrase(
        "The guest's last visit (of the kind the filters name) is this long ago, and not longer."
    )
    once_for: ClassVar[Phrase] = phrase("last order")
    open_for: ClassVar[Phrase] = phrase("until up_to")
    again_for: ClassVar[Phrase | None] = phrase("as long as after")
    example: ClassVar[str] = "lapsed:\n  after: 90 days\n  up_to: 120 days"
    absence: ClassVar[bool] = True
    ends: ClassVar[str | None] = "came_back"
    gives: ClassVar[frozenset[str]] = frozenset()
    after: Duration
    up_to: Duration | None  #: None: 30 days beyond ``after``
    filters: OrderFilters

    @classmethod
    def schema(cls) -> JsonSchema:
        """Two durations and the order filters."""
        return {
            "type": ["string", "object", "null"],
            "format": "duration",
            "additionalProperties": False,
            "description": cls.about,
            "x-also": {"late": "up_to"},
            "properties": {
                "after": DURATION | {"description": phrase("Quiet this long; 90 days if left out.")},
                "up_to": DURATION
                | {"description": phrase("Longer than this is left alone; after + 30 days if left out.")},
                **FILTER_SCHEMA,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``90 days`` or the settings; ``up_to`` must lie beyond ``after``."""
        given = reader.settings("after")
        after = calendar_duration(reader, given, "after", "90 days")
        up_to = calendar_duration(reader, given, "up_to", "120 days") if "up_to" in given else None
        _check_range(reader, "after", after, up_to)
        return cls(after, up_to, OrderFilters.read(reader))

    @property
    def again_after(self) -> Duration:
        """A late import can move the last order and fire twice a day apart: not again before ``after``."""
        return self.after

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest whose last visit lies in the open range; the occasion is the last order."""
        closes = self.up_to.after if self.up_to else then(self.after, _LAPSED_STAYS_OPEN)
        days = open_days(scope, opens=self.after.after, first=self.after.latest, closes=closes)
        if not self.filters:
            return _on_last_order(scope, days)
        return _on_last_of_kind(scope, days, self.filters)

    def ended(self, scope: Scope) -> ColumnElement[bool]:
        """SQL: an order (of that kind) is known that the match did not know of, or was placed after it."""
        return _came_back(scope, self.filters, self.after)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "has no order{which} for {after}, up to {until}",
            which=self.filters.sentence(),
            after=self.after,
            until=self.up_to or phrase("{time} more", time=_LAPSED_STAYS_OPEN),
        )


@dataclass(frozen=True)
class AtRisk:
    """Quiet for long, measured by the guest's own rhythm."""

    about: ClassVar[str] = phrase(
        "The guest stays away much longer than usual: so many times the mean of the last ten gaps."
    )
    once_for: ClassVar[Phrase] = phrase("last order")
    open_for: ClassVar[Phrase] = phrase("until up_to")
    again_for: ClassVar[Phrase | None] = phrase("60 days")
    example: ClassVar[str] = "at_risk:\n  times: 3\n  min_visits: 5\n  at_least: 10 days"
    absence: ClassVar[bool] = True
    ends: ClassVar[str | None] = "came_back"
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration] = Duration.parse("60 days")
    times: float
    min_visits: int
    at_least: Duration
    up_to: Duration | None  #: None: 60 days beyond ``at_least``

    @classmethod
    def schema(cls) -> JsonSchema:
        """Factor, visits needed, and two durations."""
        return {
            "type": ["number", "object", "null"],
            "exclusiveMinimum": 0,
            "additionalProperties": False,
            "description": cls.about,
            "x-also": {"late": "up_to"},
            "properties": {
                "times": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": phrase(
                        "How many times the mean of the last ten gaps between visits; 3 if left out."
                    ),
                },
                "min_visits": {
                    "type": "integer",
                    "minimum": 2,
                    "description": phrase("Guests with fewer visits have no rhythm yet; 5 if left out."),
                },
                "at_least": DURATION | {"description": phrase("Never earlier than this; 10 days if left out.")},
                "up_to": DURATION
                | {"description": phrase("Longer than this is left alone; at_least + 60 days if left out.")},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``3`` or the settings; ``up_to`` must lie beyond ``at_least``."""
        given = reader.settings("times")
        at_least = calendar_duration(reader, given, "at_least", "10 days")
        up_to = calendar_duration(reader, given, "up_to", "70 days") if "up_to" in given else None
        _check_range(reader, "at_least", at_least, up_to)
        return cls(float(given.get("times", 3)), int(given.get("min_visits", 5)), at_least, up_to)

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest whose gap since the last visit exceeds the rhythm; the occasion is the last order."""
        closes = self.up_to.after if self.up_to else then(self.at_least, _AT_RISK_STAYS_OPEN)
        days = open_days(
            scope, opens=self.at_least.after, first=self.at_least.latest, closes=closes, may_open_late=True
        )
        facts, found = scope.facts, _on_last_order(scope, days)
        opened = days.c if scope.moved is None else scope.moved.c

        def beyond(day: ColumnElement[Any]) -> ColumnElement[bool]:
            return (day - facts.c.last_order_day) * facts.c.gaps > facts.c.gap_days * literal(self.times)

        # What has closed is judged on its last open day, and only if it opened after the rule's last evaluation.
        newly = or_(opened.expired == 0, opened.fresh == 1, not_(beyond(opened.seen)))
        found = replace(found, newly=self._opened(scope, days))
        return found.narrowed(facts.c.visits >= self.min_visits, beyond(opened.judged), newly)

    def _opened(self, scope: Scope, days: OpenDays) -> Select[Any]:
        """SQL: the guests whose rhythm has opened it since the watermark, by one narrow range of an index for each gap.

        ``gap_days`` lies between two numbers for each open day and number of gaps. They are one wider on either side
        than the rhythm says, for they were rounded: whether it is met is asked again of these few.
        """
        facts, rhythms = scope.facts, values_cte("rhythms", ["gaps"], [[each] for each in range(1, RECENT_GAPS + 1)])
        share = literal(1 / max(self.times, _LEAST_TIMES), Float)

        def sum_of_gaps(day: ColumnElement[Any]) -> ColumnElement[int]:
            return cast((day - days.c.key) * rhythms.c.gaps * share, BigInteger)

        its = and_(
            facts.c.zone_id == days.c.zone_id,
            facts.c.last_order_day == days.c.key,
            facts.c.gaps == rhythms.c.gaps,
            facts.c.gap_days >= case((days.c.fresh == 1, 0), else_=sum_of_gaps(days.c.seen) - 1),
            facts.c.gap_days <= sum_of_gaps(days.c.judged) + 1,
        )
        each = in_turn(days.table, rhythms, true())
        return select(facts.c.customer_id, *days.c).select_from(in_turn(each, facts, its))

    def ended(self, scope: Scope) -> ColumnElement[bool]:
        """SQL: an order is known that the match did not know of, or was placed after it."""
        return _came_back(scope, OrderFilters(), self.at_least)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "has at least {visits} visits and stays away more than {times:g} times the usual gap, for {at_least}, "
            "up to {until}",
            visits=self.min_visits,
            times=self.times,
            at_least=self.at_least,
            until=self.up_to or phrase("{time} more", time=_AT_RISK_STAYS_OPEN),
        )


def _check_range(reader: Reader, first: str, opens: Duration, closes: Duration | None) -> None:
    """The end must lie beyond the beginning, from whatever day one counts."""
    anchor = date(2025, 1, 31)
    if closes is None or closes.after(anchor) > opens.after(anchor):
        return
    place = reader.setting("up_to")
    said = phrase(
        '"up_to" ({closes}) must be longer than "{first}" ({opens}): no day lies between them',
        closes=closes,
        first=first,
        opens=opens,
    )
    place.problem(said, "empty-range", hint=phrase('or leave "up_to" out'))


def _came_back(scope: Scope, filters: OrderFilters, absent: Duration) -> ColumnElement[bool]:
    order = orders.alias("back")
    # With an order of these days there would have been no match: the file with it came late.
    unknown_then = order.c.day > scope.day_at_match(f"absent {absent}", absent.latest)
    since = or_(order.c.ordered_at > scope.match_at, unknown_then)
    return select(order.c.id).where(*of_guest(filters, scope, order), since).correlate(scope.facts, scope.days).exists()


def _on_last_order(scope: Scope, days: OpenDays) -> Candidates:
    facts = scope.facts
    same = and_(days.c.zone_id == facts.c.zone_id, days.c.key == facts.c.last_order_day)
    source, opened = scope.guest(), days.c
    if scope.moved is None:
        source = source.join(days.table, same)
    else:
        scope.come_with(days.table)
        opened = scope.moved.c
    return Candidates(
        source=source,
        where=(),
        occasion=facts.c.last_order_id,
        closes=opened.closes,
        expired=opened.expired,
        newly=select(facts.c.customer_id, *days.c).select_from(facts.join(days.table, same)).where(days.c.fresh == 1),
        absent_since=days.last,
        opened=(days.table, same),
    )


def _on_last_of_kind(scope: Scope, days: OpenDays, filters: OrderFilters) -> Candidates:
    facts, order, newer = scope.facts, orders.alias("o"), orders.alias("newer")
    placed = scope.guest().join(order, order.c.customer_id == facts.c.customer_id)
    source = in_turn(placed, days.table, and_(days.c.zone_id == facts.c.zone_id, days.c.key == order.c.day))
    came_since = (
        select(newer.c.id)
        .where(*of_guest(filters, scope, newer), later(newer, order))
        .correlate(facts, scope.days, order)
        .exists()
    )
    return Candidates(
        source=source,
        where=(*days.may_hold(order.c.ordered_at), *filters.where(scope, order), ~came_since),
        occasion=order.c.id,
        closes=days.c.closes,
        expired=days.c.expired,
        order_id=order.c.id,
        store_id=order.c.store_id,
    )
