"""Conditions on a guest's orders: from the facts where nothing is filtered, else looked up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, Double, Select, and_, case, cast, distinct, func, null, select

from engine.database.counting import RECENT_GAPS, counts, net_total
from engine.database.tables import order_items, orders
from engine.language.phrases import Phrase, phrase
from engine.vocabulary.comparisons import JsonSchema, NumberTest, number_schema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


@dataclass(frozen=True)
class Counted(ABC):
    """A number over the guest's orders: from the facts where nothing is filtered, else looked up."""

    about: ClassVar[str]
    example: ClassVar[str]
    noun: ClassVar[Phrase]
    none_is_zero: ClassVar[bool] = True  #: a guest without any such order has 0, not nothing
    is_whole: ClassVar[bool] = True  #: a whole number of its units
    grows: ClassVar[bool] = True  #: no less over all orders than over some of them
    of_kept: ClassVar[bool] = True  #: over orders that were not given back: no later one than the last in the facts
    asks_for_any: ClassVar[bool] = False  #: one order is enough for 1
    test: NumberTest
    filters: OrderFilters
    scale: int = 1

    @classmethod
    def schema(cls) -> JsonSchema:
        """Tests and order filters side by side."""
        return number_schema(cls.noun, cls.about, FILTER_SCHEMA)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``3``, or tests and filters; filters alone are a problem."""
        scale = cls.units(reader)
        test = NumberTest.read(reader, scale=scale, whole=cls.is_whole)
        if not test.tests:
            no_test(reader)
        never = cls.none_is_zero and bool(test.tests) and test.holds_for_zero()
        return cls(test, OrderFilters.read(reader, never=never), scale)

    @classmethod
    def units(cls, reader: Reader) -> int:
        """Give how many of the fact's units make one of those that are written."""
        del reader
        return 1

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the fact, or the look-up where filters ask for one.

        Who cannot pass by the facts is not looked up: whoever has three orders within a year has three in all.
        """
        if not self.filters:
            return self.test.sql(self.fact(scope))
        enough = self._may_be_enough(scope)
        if enough and self.asks_for_any and self.filters.only_since and self.test.is_any():
            return and_(*enough)
        return and_(*enough, self.test.sql(self._looked_up(scope)))

    def turns(self, *, to: bool) -> bool:
        """Tell whether it may turn true (``to``) or false with nothing written of the guest, as time passes.

        What lies within a period can only become less; stores and products have names that others may change.
        """
        filters = self.filters
        if filters.of_others or filters.period.before is not None or filters.period.since == "match":
            return True
        if filters.period.within is None:
            return False
        return not (to and self.grows and self.test.only_from_below())

    def _may_be_enough(self, scope: Scope) -> list[ColumnElement[bool]]:
        """SQL: what the facts must say of each guest who can pass; nothing where they say nothing."""
        least, facts = self.test.least(), scope.facts.c
        if not self.grows or least <= 0:
            return []
        lately = self.filters.period.lately(scope, facts.last_order_day, facts.last_order_at)
        return [self.fact(scope) >= int(least), *(lately if self.of_kept else ())]

    @classmethod
    @abstractmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """SQL: the number over all orders, from the facts; NULL without data."""

    @classmethod
    @abstractmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """SQL: the number as an aggregate over some orders."""

    @classmethod
    def of_measure(cls, scope: Scope, measured: ColumnElement[Any]) -> ColumnElement[Any]:
        """SQL: the number, from the aggregate that ``measure`` gives."""
        del scope
        return measured

    def _looked_up(self, scope: Scope) -> ColumnElement[Any]:
        order = orders.alias("o")
        measured = self._over(scope, order).correlate(scope.facts, scope.days).scalar_subquery()
        found = self.of_measure(scope, measured)
        if not self.filters.of_items or (self.filters.wants_an_item and not self._must_tell_apart()):
            return found
        return case((self._has_items(scope), found), else_=null())

    def _over(self, scope: Scope, order: Any) -> Select[Any]:
        """SQL: the number over the orders that pass."""
        mine = order.c.customer_id == scope.facts.c.customer_id
        return select(self.measure(scope, order)).where(mine, *self._passing(scope, order))

    def _passing(self, scope: Scope, order: Any) -> list[ColumnElement[bool]]:
        return self.filters.where(scope, order)

    def _must_tell_apart(self) -> bool:
        return self.none_is_zero and self.test.tells_none_from_unknown()

    @staticmethod
    def _has_items(scope: Scope) -> ColumnElement[bool]:
        """SQL: some order of the guest carries items; else nothing is known of products and categories."""
        known = orders.alias("known")
        return _carries_items(scope, known, counts(known, scope.as_of))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "has {number} {what}{which}",
            number=self.test.sentence(self.scale),
            what=self.noun,
            which=self.filters.sentence(),
        )


def no_test(reader: Reader) -> None:
    """Note that a number is asked for and not compared with anything."""
    reader.problem(
        phrase('"{word}" has filters but no test', word=reader.at[-1]),
        "no-test",
        key=True,
        hint=phrase("say how many: at_least: 1"),
    )


def _carries_items(scope: Scope, order: Any, *tests: ColumnElement[bool]) -> ColumnElement[bool]:
    item = order_items.alias("ki")
    return (
        select(item.c.id)
        .select_from(item.join(order, order.c.id == item.c.order_id))
        .where(order.c.customer_id == scope.facts.c.customer_id, *tests)
        .correlate(scope.facts)
        .exists()
    )


class Orders(Counted):
    """How many orders."""

    about = phrase("How many orders the guest has placed; each order counts, several a day too.")
    noun = phrase("orders")
    asks_for_any = True
    example = "orders:\n  within: 1 year\n  at_least: 3"

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Give the count in the facts."""
        return scope.facts.c.orders

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Count orders."""
        del scope
        return func.count(order.c.id)


class Visits(Counted):
    """How many business days with an order."""

    about = phrase("On how many days the guest has ordered; two orders on one day are one visit.")
    noun = phrase("visits")
    asks_for_any = True
    example = "visits:\n  within: 60 days\n  weekday: weekend\n  at_least: 4"

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Give the count in the facts."""
        return scope.facts.c.visits

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Count days."""
        del scope
        return func.count(distinct(order.c.day))


class Spend(Counted):
    """How much money, in the home's currency."""

    about = phrase("How much the guest has spent, in your currency, after discounts and refunds.")
    noun = phrase("spent")
    example = "spend:\n  within: 1 year\n  at_least: 50"

    @classmethod
    def units(cls, reader: Reader) -> int:
        """Money is kept in minor units."""
        return reader.around.minor_units

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Give the sum in the facts."""
        return scope.facts.c.spend

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Add up what was paid and kept."""
        return func.coalesce(func.sum(net_total(order, scope.as_of)), 0)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("has spent {amount}{which}", amount=self.test.sentence(self.scale), which=self.filters.sentence())


class AverageOrder(Counted):
    """What an order comes to."""

    about = phrase("What the guest pays for an order on average, in your currency; no order, no average.")
    noun = phrase("for an order on average")
    example = "average_order:\n  within: 6 months\n  at_least: 12.50"
    is_whole = False
    none_is_zero = False
    grows = False

    @classmethod
    def units(cls, reader: Reader) -> int:
        """Money is kept in minor units."""
        return reader.around.minor_units

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Divide the sum in the facts by the count."""
        return cast(scope.facts.c.spend, Double) / func.nullif(scope.facts.c.orders, 0)

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Divide what was paid and kept by the number of orders."""
        return cast(func.sum(net_total(order, scope.as_of)), Double) / func.nullif(func.count(order.c.id), 0)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "pays {amount} for an order on average{which}",
            amount=self.test.sentence(self.scale),
            which=self.filters.sentence(),
        )


class Refunds(Counted):
    """How many orders were given back."""

    about = phrase("How many of the guest's orders were refunded or voided, whole or in part.")
    noun = phrase("refunded orders")
    of_kept = False
    example = "refunds:\n  within: 90 days\n  at_most: 1"

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Give the count in the facts."""
        return scope.facts.c.refunds

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Count orders."""
        del scope
        return func.count(order.c.id)

    def _passing(self, scope: Scope, order: Any) -> list[ColumnElement[bool]]:
        return self.filters.given_back(scope, order)

    @staticmethod
    def _has_items(scope: Scope) -> ColumnElement[bool]:
        known = orders.alias("known")
        return _carries_items(scope, known, known.c.ordered_at <= scope.as_of)


class DaysSinceOrder(Counted):
    """Business days since the last order."""

    about = phrase("How many days ago the guest last ordered; a guest who never did fails every test but is_not.")
    noun = phrase("days since the last order")
    example = "days_since_order:\n  more_than: 30"
    none_is_zero = False
    grows = False

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Count from the last day in the facts."""
        return scope.today - scope.facts.c.last_order_day

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Give the day of the last of some orders."""
        del scope
        return func.max(order.c.day)

    @classmethod
    def of_measure(cls, scope: Scope, measured: ColumnElement[Any]) -> ColumnElement[Any]:
        """Count from that day."""
        return scope.today - measured

    def turns(self, *, to: bool) -> bool:
        """Tell that each day makes it one more."""
        del to
        return True

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "last ordered{which} {number} days ago", which=self.filters.sentence(), number=self.test.sentence()
        )


class MeanGap(Counted):
    """Days between visits."""

    about = phrase("How many days lie between two visits, the mean of the last ten gaps; it takes two visits.")
    noun = phrase("days between visits")
    example = "mean_gap:\n  at_most: 7"
    is_whole = False
    none_is_zero = False
    grows = False

    @classmethod
    def fact(cls, scope: Scope) -> ColumnElement[Any]:
        """Divide the sum of gaps in the facts by their number."""
        return cast(scope.facts.c.gap_days, Double) / func.nullif(scope.facts.c.gaps, 0)

    @classmethod
    def measure(cls, scope: Scope, order: Any) -> ColumnElement[Any]:
        """Divide the time between the first and the last of at most eleven visits by the gaps between them."""
        del scope
        return cast(func.max(order.c.day) - func.min(order.c.day), Double) / func.nullif(func.count() - 1, 0)

    def _over(self, scope: Scope, order: Any) -> Select[Any]:
        mine = order.c.customer_id == scope.facts.c.customer_id
        lately = select(order.c.day).distinct().where(mine, *self._passing(scope, order))
        lately = lately.order_by(order.c.day.desc()).limit(RECENT_GAPS + 1).correlate(scope.facts, scope.days)
        return select(self.measure(scope, lately.subquery("lately")))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase(
            "has {number} days between visits{which} on average",
            number=self.test.sentence(),
            which=self.filters.sentence(),
        )
