"""Conditions on a guest's orders: from the facts where nothing is filtered, else looked up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, case, distinct, func, null, select

from engine.database.counting import counts, net_total
from engine.database.tables import order_items, orders
from engine.vocabulary.comparisons import JsonSchema, NumberTest, number_schema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


@dataclass(frozen=True)
class _Counted(ABC):
    """A number over the guest's orders: from the facts where nothing is filtered, else looked up."""

    about: ClassVar[str]
    noun: ClassVar[str]
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
        scale = cls._scale(reader)
        test = NumberTest.read(reader, scale=scale)
        if not test.tests:
            reader.problem(
                f'"{reader.at[-1]}" has filters but no test',
                "no-test",
                key=True,
                hint="say how many: at_least: 1",
            )
        return cls(test, OrderFilters.read(reader), scale)

    @classmethod
    def _scale(cls, reader: Reader) -> int:
        del reader
        return 1

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the fact, or the look-up where filters ask for one."""
        return self.test.sql(self._looked_up(scope) if self.filters else self._fact(scope))

    @abstractmethod
    def _fact(self, scope: Scope) -> ColumnElement[Any]:
        """SQL: the number over all orders, from the facts."""

    @abstractmethod
    def _measure(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        """SQL: the number as an aggregate over some orders."""

    def _looked_up(self, scope: Scope) -> ColumnElement[Any]:
        order = orders.alias("o")
        found = (
            select(self._measure(scope, order))
            .where(order.c.customer_id == scope.facts.c.customer_id, *self.filters.where(scope, order))
            .correlate(scope.facts, scope.days)
            .scalar_subquery()
        )
        number = self._from_aggregate(scope, found)
        if not self.filters.of_items or (self.filters.wants_an_item and not self.test.tells_none_from_unknown()):
            return number
        return case((_has_items(scope), number), else_=null())

    def _from_aggregate(self, scope: Scope, found: ColumnElement[Any]) -> ColumnElement[Any]:
        del scope
        return found

    def sentence(self) -> str:
        """Say it in English."""
        return f"has {self.test.sentence(self.scale)} {self.noun}{self.filters.sentence()}"


def _has_items(scope: Scope) -> ColumnElement[bool]:
    """SQL: some order of the guest carries items; else nothing is known of products and categories."""
    any_order, item = orders.alias("known"), order_items.alias("ki")
    return (
        select(item.c.id)
        .select_from(item.join(any_order, any_order.c.id == item.c.order_id))
        .where(any_order.c.customer_id == scope.facts.c.customer_id, counts(any_order, scope.as_of))
        .correlate(scope.facts)
        .exists()
    )


class Orders(_Counted):
    """How many orders."""

    about = "How many orders the guest has placed; each order counts, several a day too."
    noun = "orders"
    example = "orders:\n  within: 1 year\n  at_least: 3"

    def _fact(self, scope: Scope) -> ColumnElement[Any]:
        return scope.facts.c.orders

    def _measure(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        del scope
        return func.count(order.c.id)


class Visits(_Counted):
    """How many business days with an order."""

    about = "On how many days the guest has ordered; two orders on one day are one visit."
    noun = "visits"
    example = "visits:\n  within: 60 days\n  at_least: 4"

    def _fact(self, scope: Scope) -> ColumnElement[Any]:
        return scope.facts.c.visits

    def _measure(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        del scope
        return func.count(distinct(order.c.day))


class Spend(_Counted):
    """How much money, in the home's currency."""

    about = "How much the guest has spent, in your currency, after discounts and refunds."
    noun = "spent"
    example = "spend:\n  within: 1 year\n  at_least: 50"

    @classmethod
    def _scale(cls, reader: Reader) -> int:
        return reader.around.minor_units

    def _fact(self, scope: Scope) -> ColumnElement[Any]:
        return scope.facts.c.spend

    def _measure(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        return func.coalesce(func.sum(net_total(order, scope.as_of)), 0)

    def sentence(self) -> str:
        """Say it in English."""
        return f"has spent {self.test.sentence(self.scale)}{self.filters.sentence()}"


class DaysSinceOrder(_Counted):
    """Business days since the last order."""

    about = "How many days ago the guest last ordered; a guest who never did fails every test but is_not."
    noun = "days since the last order"
    example = "days_since_order:\n  more_than: 30"

    def _fact(self, scope: Scope) -> ColumnElement[Any]:
        return scope.today - scope.facts.c.last_order_day

    def _measure(self, scope: Scope, order: Any) -> ColumnElement[Any]:
        del scope
        return func.max(order.c.day)

    def _from_aggregate(self, scope: Scope, found: ColumnElement[Any]) -> ColumnElement[Any]:
        return scope.today - found

    def sentence(self) -> str:
        """Say it in English."""
        return f"last ordered{self.filters.sentence()} {self.test.sentence()} days ago"
