"""The trigger ``reached``: a running total of orders, visits, spend or points crosses a mark.

A pure function of the data: orders that count at the moment are added up in their order, and the one with which the
total crosses the mark fires. An order that is given back later is not in the sum, so that another one crosses. Of
points it is the balance that crosses, upward: what is used or expires lowers it, and of several crossings the last one
counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Self

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from engine.database.counting import net_total
from engine.database.ledger import movements
from engine.database.sql import in_turn
from engine.database.tables import orders, points
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.calendar_periods import PER, Per, open_periods
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.occasions import Candidates, Instants, exactly, open_instants
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import exact_stay, late_setting

#: What is added up; its place is its code in the occasion.
FACTS = ("orders", "visits", "spend", "points")
_MOST = 99_999_999  # times a thousand (minor units) it leaves room for the fact in the occasion
_WHOLE: JsonSchema = {"type": "integer", "minimum": 1, "maximum": _MOST}


def occasion_of(fact: str, mark: ColumnElement[Any], period: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: fact * 10**18 + mark * 10**7 + period (0, yyyymm, yyyyq or yyyy); money is in minor units."""
    code = literal((FACTS.index(fact) + 1) * 10**18, BigInteger)
    return code + mark * literal(10**7, BigInteger) + period


@dataclass(frozen=True)
class Reached:
    """A total crosses a mark."""

    about: ClassVar[str] = phrase(
        "The guest's orders, visits, spend or points reach a number: once, in each period, or at each multiple of it."
    )
    once_for: ClassVar[Phrase] = phrase("mark and period")
    open_for: ClassVar[Phrase] = phrase("7 days, or late")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "reached:\n  spend: 500\n  per: year"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset({"order"})
    again_after: ClassVar[Duration | None] = None
    fact: str
    mark: int  #: money in minor units
    shown: str  #: the mark as it was written
    every: bool
    per: Per | None
    late: Duration
    filters: OrderFilters

    @classmethod
    def schema(cls) -> JsonSchema:
        """One of four marks, whether each multiple counts, the period, and the order filters."""
        return {
            "type": ["integer", "object"],
            "minimum": 1,
            "maximum": _MOST,
            "minProperties": 1,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                "orders": _WHOLE | {"description": phrase("So many orders; each counts, several a day too.")},
                "visits": _WHOLE | {"description": phrase("So many days with an order.")},
                "spend": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": _MOST,
                    "description": phrase("So much spent, in your currency, after discounts and refunds."),
                },
                "points": _WHOLE | {"description": phrase("A balance of so many loyalty points.")},
                "every": {
                    "type": "boolean",
                    "description": phrase("true: at each multiple too, as at 100, 200, 300; false if left out."),
                },
                "per": {
                    "type": "string",
                    "enum": list(PER),
                    "description": phrase(
                        "Counts from nothing in each calendar month, quarter or year; for good if left out. "
                        "A balance of points goes on, and may reach the mark once in each."
                    ),
                },
                **late_setting("7 days"),
                **FILTER_SCHEMA,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``10`` (orders) or the settings; exactly one mark, and no order filters beside points."""
        given = reader.settings("orders")
        named = [fact for fact in FACTS if fact in given]
        if len(named) != 1:
            reader.problem(
                phrase('"reached" wants exactly one of orders, visits, spend and points'),
                "one-mark",
                key=True,
                hint=phrase("write one rule for each"),
            )
        fact = named[0] if named else FACTS[0]
        filters = OrderFilters.read(reader)
        if fact == "points" and filters:
            reader.under("points").problem(
                phrase("a balance of points cannot be narrowed down to some orders"), "no-filters", key=True
            )
        scale = reader.around.minor_units if fact == "spend" else 1
        mark = Decimal(str(given.get(fact, 1))) * scale
        if mark % 1:
            reader.setting(fact).problem(
                phrase("{amount} has more decimals than your currency", amount=given[fact]), "too-many-decimals"
            )
        late = exact_stay(reader, given, "late", "7 days")
        shown = str(given.get(fact, ""))
        return cls(fact, int(mark), shown, given.get("every", False), given.get("per"), late, filters)

    @property
    def withholds(self) -> frozenset[str]:
        """Points come with no order that a template could show."""
        return self.gives if self.fact == "points" else frozenset()

    def candidates(self, scope: Scope) -> Candidates:
        """One row a crossing: the order or the lot of points with which the total reaches the mark."""
        instants = open_instants(scope, ago=timedelta(0), stays_open=self.late)
        of_points = self.fact == "points"
        running = self._balances(scope, instants) if of_points else self._totals(scope, instants)
        crossed = self._crossings(running)
        fired = {} if of_points else {"order_id": crossed.c.id, "store_id": crossed.c.store_id}
        return exactly(
            scope.guests_of(crossed),
            crossed.c.at,
            instants,
            occasion=crossed.c.occasion,
            where=(crossed.c.turn == 1,),
            **fired,
        )

    def _periods(self, scope: Scope, instants: Instants) -> CTE | None:
        return None if self.per is None else open_periods(scope, self.per, instants.since)

    def _totals(self, scope: Scope, instants: Instants) -> Select[Any]:
        """SQL: every order of those guests who ordered lately, with the total before and after it."""
        order, facts = orders.alias("o"), scope.facts
        source: FromClause = scope.guest().join(order, order.c.customer_id == facts.c.customer_id)
        period: ColumnElement[Any] = literal(0, BigInteger)
        partition: list[ColumnElement[Any]] = [order.c.customer_id]
        periods = self._periods(scope, instants)
        if periods is not None:
            in_it = and_(order.c.day >= periods.c.first_day, order.c.day < periods.c.next_day)
            source = in_turn(source, periods, and_(periods.c.zone_id == facts.c.zone_id, in_it))
            period = periods.c.number
            partition.append(period)
        own, total = self._own_and_total(scope, order, partition)
        return (
            select(
                order.c.id,
                order.c.customer_id,
                order.c.store_id,
                order.c.ordered_at.label("at"),
                period.label("period"),
                own.label("own"),
                total.label("total"),
            )
            .select_from(source)
            .where(facts.c.customer_id.in_(self._who(scope, instants)), *self.filters.where(scope, order))
        )

    def _who(self, scope: Scope, instants: Instants) -> Select[Any]:
        """SQL: the guests whose total may have crossed lately; who crossed earlier has years of orders to add up."""
        recent = orders.alias("lately")
        lately = select(recent.c.customer_id).where(*instants.hold(recent.c.ordered_at))
        if self.filters or self.per is not None:
            return lately
        known = scope.of_everybody().facts  # the total is known, and was no lower before than less all that came since
        came: dict[str, ColumnElement[Any]] = {
            "orders": func.count(),
            "visits": func.count(recent.c.day.distinct()),
            "spend": func.sum(recent.c.total),
        }
        total = known.c[self.fact]
        before = total - came[self.fact]
        mark = literal(self.mark, BigInteger)
        crossed = total // mark > before // mark if self.every else before < mark
        found = lately.join(known, known.c.customer_id == recent.c.customer_id).where(total >= mark)
        return found.group_by(recent.c.customer_id, total).having(crossed)

    def _own_and_total(
        self, scope: Scope, order: Any, partition: list[ColumnElement[Any]]
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        in_turn = (order.c.ordered_at, order.c.id)
        if self.fact == "orders":
            return literal(1, BigInteger), func.row_number().over(partition_by=partition, order_by=in_turn)
        if self.fact == "visits":
            of_day = func.row_number().over(partition_by=[*partition, order.c.day], order_by=in_turn)
            days = func.dense_rank().over(partition_by=partition, order_by=order.c.day)
            return case((of_day == 1, 1), else_=0), days
        paid = net_total(order, scope.as_of)
        so_far = func.sum(paid).over(partition_by=partition, order_by=in_turn, rows=(None, 0))
        return paid, cast(so_far, BigInteger)

    def _balances(self, scope: Scope, instants: Instants) -> Select[Any]:
        """SQL: every lot of those guests who got points lately, with the balance before and after it."""
        recent, facts = points.alias("lately"), scope.facts
        lately = select(recent.c.customer_id).where(
            recent.c.ledger == "points", recent.c.points > 0, *instants.hold(recent.c.at)
        )
        moved = movements(scope.as_of, lately)
        balance = cast(
            func.sum(moved.c.points).over(
                partition_by=moved.c.customer_id,
                order_by=(moved.c.at, moved.c.kind, moved.c.id),
                rows=(None, 0),
            ),
            BigInteger,
        )
        source = scope.guests_of(moved)
        period: ColumnElement[Any] = literal(0, BigInteger)
        periods = self._periods(scope, instants)
        if periods is not None:
            # Left: the balance adds up what was before the first period, too.
            in_it = and_(moved.c.at >= periods.c.begins, moved.c.at < periods.c.ends)
            source = source.outerjoin(periods, and_(periods.c.zone_id == facts.c.zone_id, in_it))
            period = func.coalesce(periods.c.number, 0)
        return select(
            moved.c.id,
            moved.c.customer_id,
            moved.c.at,
            period.label("period"),
            moved.c.points.label("own"),
            balance.label("total"),
        ).select_from(source)

    def _crossings(self, running: Select[Any]) -> FromClause:
        """SQL: where the total crosses the mark, or the lowest of its multiples; ``turn`` 1 is the last such time."""
        of = running.cte("running")
        before, mark = of.c.total - of.c.own, literal(self.mark, BigInteger)
        crossed = (before // mark + 1) * mark if self.every else mark
        occasion = occasion_of(self.fact, crossed, of.c.period)
        turn = func.row_number().over(
            partition_by=(of.c.customer_id, occasion), order_by=(of.c.at.desc(), of.c.id.desc())
        )
        more = () if self.fact == "points" else (of.c.store_id,)
        return (
            select(of.c.id, of.c.customer_id, of.c.at, *more, occasion.label("occasion"), turn.label("turn"))
            .where(before < crossed, of.c.total >= crossed)
            .subquery("crossed")
        )

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        return phrase("{reaches}{times}{period}", reaches=self._reaches(), times=self._times(), period=self._period())

    def _reaches(self) -> Phrase:
        filters, mark = self.filters.sentence(), self.shown
        match self.fact:
            case "orders":
                return phrase("places order number {mark}{filters}", mark=mark, filters=filters)
            case "visits":
                return phrase("comes for visit number {mark}{filters}", mark=mark, filters=filters)
            case "spend":
                return phrase("has spent {mark}{filters}", mark=mark, filters=filters)
            case _:
                return phrase("reaches a balance of {mark} points", mark=mark)

    def _times(self) -> str:
        return phrase(", or a multiple of it") if self.every else ""

    def _period(self) -> str:
        match self.per:
            case "month":
                return phrase(", in a calendar month")
            case "quarter":
                return phrase(", in a calendar quarter")
            case "year":
                return phrase(", in a calendar year")
            case _:
                return ""
