"""Order filters, the same wherever orders are spoken of: ``within before since store channel product category``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, func, or_, select

from engine.database.counting import counts
from engine.database.tables import order_items, products, stores
from engine.language.times import Duration, parse_date
from engine.vocabulary.comparisons import JsonSchema, TextTest, text_tests
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

#: To compare lengths of months and days; from another day they differ by no more than the lengths of months do.
_ANY_DAY = date(2025, 1, 31)

PERIOD_SCHEMA: dict[str, JsonSchema] = {
    "within": {
        "type": "string",
        "format": "duration",
        "description": "Only this far back, today included: 90 days, 3 months, 1 year.",
    },
    "before": {
        "type": "string",
        "format": "duration",
        "description": "Only what is at least this old: with within it cuts out the time between the two.",
    },
    "since": {
        "type": "string",
        "format": "date-or-match",
        "description": "Only since this date (2026-05-01); in stop_if also: match, which is after this match.",
    },
}

FILTER_SCHEMA: dict[str, JsonSchema] = {
    **PERIOD_SCHEMA,
    "store": text_tests("The store's name or id") | {"description": "Only at this store, by name or id."},
    "channel": text_tests("The channel") | {"description": "Only by this channel: dine-in, takeaway, delivery ..."},
    "product": text_tests("The product") | {"description": "Only orders with this product; * is anything: *latte*."},
    "category": text_tests("The category") | {"description": "Only orders with something of this category."},
}


def store_keys(shop: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """SQL: the two names of a store, as they are compared: what it is called, and its id (ASCII, as tills write it)."""
    return shop.c.name_key, func.lower(shop.c.external_id)


@dataclass(frozen=True)
class Period:
    """A stretch of time that ends now: calendar days in the guest's zone, or exact hours and minutes."""

    within: Duration | None = None
    before: Duration | None = None
    since: date | Literal["match"] | None = None

    @classmethod
    def read(cls, reader: Reader) -> Period:
        """Read ``within``, ``before`` and ``since`` where they stand in the map here."""
        data = reader.data if isinstance(reader.data, Mapping) else {}
        within = Duration.parse(data["within"]) if "within" in data else None
        before = Duration.parse(data["before"]) if "before" in data else None
        since: date | Literal["match"] | None = None
        if data.get("since") == "match":
            since = "match"
            if not reader.after_match:
                reader.under("since").problem(
                    '"since: match" has a meaning only in "stop_if"',
                    "since-match",
                    hint="in conditions the match is being made now; use within, or a date",
                )
        elif "since" in data:
            since = parse_date(data["since"])
        _check_order(reader, within, before)
        return cls(within, before, since)

    def where(self, scope: Scope, day: ColumnElement[Any], at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """SQL: a thing that has a business ``day`` and an instant ``at`` lies in the period."""
        tests: list[ColumnElement[bool]] = []
        if self.within is not None:
            if self.within.is_calendar:
                tests.append(day > scope.day(f"before {self.within}", self.within.before))
            else:
                tests.append(at > scope.seconds_ago(self.within))
        if self.before is not None:
            if self.before.is_calendar:
                tests.append(day <= scope.day(f"before {self.before}", self.before.before))
            else:
                tests.append(at <= scope.seconds_ago(self.before))
        if self.since == "match":
            assert scope.match_at is not None, "since: match is read only where there is a match"
            tests.append(at > scope.match_at)
        elif self.since is not None:
            tests.append(day >= self.since.toordinal())
        return tests

    def __bool__(self) -> bool:
        return self != Period()

    def sentence(self) -> str:
        """Say the period in English, with a blank before it; nothing for all time."""
        said = f" within {self.within}" if self.within else ""
        if self.before:
            said += f" more than {self.before} ago" if not self.within else f" but at least {self.before} ago"
        if self.since:
            said += " since this match" if self.since == "match" else f" since {self.since.isoformat()}"
        return said


def _length(duration: Duration) -> timedelta:
    return duration.after(_ANY_DAY) - _ANY_DAY if duration.is_calendar else duration.delta()


def _check_order(reader: Reader, within: Duration | None, before: Duration | None) -> None:
    """Some time must lie between the two ends of a period."""
    if within is not None and within.amount == 0:
        reader.under("within").problem(f'"within" is {within}: no time lies in it', "empty-range", hint="such as 1 day")
    elif within is not None and before is not None and _length(before) >= _length(within):
        reader.under("before").problem(
            f'"before" ({before}) must be shorter than "within" ({within}): no time lies between them',
            "empty-range",
            hint="within: 90 days, before: 30 days is the time from 90 to 30 days ago",
        )


@dataclass(frozen=True)
class OrderFilters:
    """Which orders are spoken of."""

    period: Period = Period()
    store: TextTest | None = None
    channel: TextTest | None = None
    product: TextTest | None = None
    category: TextTest | None = None

    @classmethod
    def read(cls, reader: Reader) -> OrderFilters:
        """Read the filters that stand in the map here; a plain value has none."""
        data = reader.data
        if not isinstance(data, Mapping):
            return cls()
        texts = {
            word: TextTest.read(data[word]) for word in ("store", "channel", "product", "category") if word in data
        }
        return cls(period=Period.read(reader), **texts)

    def __bool__(self) -> bool:
        return self != OrderFilters()

    @property
    def of_items(self) -> bool:
        """Tell whether the filters look at what an order holds: then an order without items says nothing."""
        return self.product is not None or self.category is not None

    def of_item(self, name_key: ColumnElement[Any], category_key: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """SQL: one item is among those that the filters name."""
        asked = ((self.product, name_key), (self.category, category_key))
        return [test.sql(key) for test, key in asked if test is not None]

    @property
    def wants_an_item(self) -> bool:
        """Tell whether only orders with some item pass; one without items holds nothing unwanted and passes that."""
        return any(test is not None and test.wanted is not None for test in (self.product, self.category))

    def where(self, scope: Scope, order: FromClause) -> list[ColumnElement[bool]]:
        """SQL: the order counts at the moment and passes every filter."""
        tests = [counts(order, scope.as_of), *self.period.where(scope, order.c.day, order.c.ordered_at)]
        if self.store is not None:
            tests.extend(self._placed_at(order, self.store))
        if self.channel is not None:
            tests.append(self.channel.sql(order.c.channel))
        if self.of_items:
            tests.extend(self._holds(order))
        return tests

    @staticmethod
    def _placed_at(order: FromClause, asked: TextTest) -> Iterator[ColumnElement[bool]]:
        """SQL: the order's store is a wanted one, and no unwanted one; an order without a store is at neither."""
        shop = stores.alias("s")
        its_own = select(shop.c.id).where(shop.c.id == order.c.store_id).correlate(order)
        if asked.wanted is not None:
            yield its_own.where(asked.is_wanted(*store_keys(shop))).exists()
        if asked.unwanted:
            yield ~its_own.where(asked.is_unwanted(*store_keys(shop))).exists()

    def _holds(self, order: FromClause) -> Iterator[ColumnElement[bool]]:
        """SQL: one item is all that is wanted, and none is anything unwanted."""
        item, product = order_items.alias("i"), products.alias("p")
        keys = {"product": product.c.name_key, "category": product.c.category_key}
        asked = [(test, keys[word]) for word in keys if (test := getattr(self, word)) is not None]
        held = (
            select(item.c.id)
            .select_from(item.join(product, product.c.id == item.c.product_id))
            .where(item.c.order_id == order.c.id)
            .correlate(order)
        )
        wanted = [test.is_wanted(key) for test, key in asked if test.wanted is not None]
        unwanted = [test.is_unwanted(key) for test, key in asked if test.unwanted]
        if wanted:
            yield held.where(*wanted).exists()
        if unwanted:
            yield ~held.where(or_(*unwanted)).exists()

    def sentence(self) -> str:
        """Say the filters in English, with a blank before them; nothing for all orders."""
        said = f" of {self.product.sentence()}" if self.product else ""
        said += f" from {self.category.sentence()}" if self.category else ""
        said += f" at {self.store.sentence()}" if self.store else ""
        said += f" by {self.channel.sentence()}" if self.channel else ""
        return said + self.period.sentence()
