"""Order filters, the same wherever orders are spoken of.

``within before since store channel product category weekday hours total``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, FromClause, and_, or_, select

from engine.database.counting import counts, net_total
from engine.database.tables import order_items, products, stores
from engine.language.phrases import Phrase, listed, phrase
from engine.language.times import DAYS, ClockRange, Duration, parse_date
from engine.vocabulary.comparisons import JsonSchema, NumberTest, TextTest, number_schema, text_tests
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

#: To compare lengths of months and days; from another day they differ by no more than the lengths of months do.
_ANY_DAY = date(2025, 1, 31)

_DAY = 1440  # minutes
#: Made once; nothing else uses the same ones.
_ITEM: Final = order_items.alias("i")
_PRODUCT: Final = products.alias("p")
_WEEKDAYS: dict[str, tuple[int, ...]] = {
    **{name: (number,) for number, name in enumerate(DAYS)},
    "weekdays": (0, 1, 2, 3, 4),
    "weekend": (5, 6),
}

PERIOD_SCHEMA: dict[str, JsonSchema] = {
    "within": {
        "type": "string",
        "format": "duration",
        "description": phrase("Only this far back, today included: 90 days, 3 months, 1 year."),
    },
    "before": {
        "type": "string",
        "format": "duration",
        "description": phrase("Only what is at least this old: with within it cuts out the time between the two."),
    },
    "since": {
        "type": "string",
        "format": "date-or-match",
        "description": phrase("Only since this date (2026-05-01); in stop_if also: match, which is after this match."),
    },
}

WEEKDAY_SCHEMA: JsonSchema = {
    "type": ["string", "array"],
    "format": "weekday",
    "minItems": 1,
    "items": {"type": "string", "format": "weekday"},
    "examples": list(_WEEKDAYS),
}

FILTER_SCHEMA: dict[str, JsonSchema] = {
    **PERIOD_SCHEMA,
    "store": text_tests(phrase("The store's name or id"))
    | {"description": phrase("Only at this store, by name or id.")},
    "channel": text_tests(phrase("The channel"))
    | {"description": phrase("Only by this channel: dine-in, takeaway, delivery ...")},
    "product": text_tests(phrase("The product"))
    | {"description": phrase("Only orders with this product; * is anything: *latte*.")},
    "category": text_tests(phrase("The category"))
    | {"description": phrase("Only orders with something of this category.")},
    "weekday": WEEKDAY_SCHEMA
    | {"description": phrase("Only on these days of the week: sat, or [mon, tue], weekdays or weekend.")},
    "hours": {
        "type": "string",
        "format": "clock-range",
        "description": phrase("Only at these hours of the store's clock: 06:00-11:00; they may pass midnight."),
    },
    "total": number_schema(
        phrase("The order's total"),
        phrase("Only orders of such a total, in your currency, after discounts and refunds."),
        {},
    )
    | {"x-narrow": True},  # a test that stands elsewhere is hardly one of the total
}


def store_keys(shop: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """SQL: the two names of a store, as they are compared: what it is called, and its id."""
    return shop.c.name_key, shop.c.external_key


def weekdays(data: object) -> frozenset[int]:
    """Read ``sat``, ``weekend`` or a list of such words: weekdays, Monday 0."""
    words = data if isinstance(data, list) else [data]
    return frozenset(day for word in words for day in _WEEKDAYS[str(word)])


def say_weekdays(days: frozenset[int]) -> Phrase:
    """Say weekdays in English."""
    names = (
        phrase("Monday"),
        phrase("Tuesday"),
        phrase("Wednesday"),
        phrase("Thursday"),
        phrase("Friday"),
        phrase("Saturday"),
        phrase("Sunday"),
    )
    return listed((names[day] for day in sorted(days)), " or ")


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
                    phrase('"since: match" has a meaning only in "stop_if"'),
                    "since-match",
                    hint=phrase("in conditions the match is being made now; use within, or a date"),
                )
        elif "since" in data:
            since = parse_date(data["since"])
            today = reader.around.today
            if today is not None and since > today:
                said = phrase('"since" ({since}) lies ahead: until then nothing counts', since=since)
                hint = phrase('a rule that begins later has "active:" with "from:"')
                reader.under("since").problem(said, "not-yet", hint=hint, severity="warning")
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

    def lately(self, scope: Scope, day: ColumnElement[Any], at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """SQL: with ``day`` and ``at`` of the last of several things some of them may lie in the period."""
        return replace(self, before=None).where(scope, day, at)

    def where_at(self, scope: Scope, at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """SQL: a thing that has an instant ``at`` and no business day lies in the period; nothing later than now."""
        tests: list[ColumnElement[bool]] = [at <= scope.as_of]
        if self.within is not None:
            if self.within.is_calendar:
                tests.append(at >= scope.instant(f"within {self.within}", _next(self.within.before)))
            else:
                tests.append(at > scope.seconds_ago(self.within))
        if self.before is not None:
            if self.before.is_calendar:
                tests.append(at < scope.instant(f"within {self.before}", _next(self.before.before)))
            else:
                tests.append(at <= scope.seconds_ago(self.before))
        if self.since == "match":
            assert scope.match_at is not None, "since: match is read only where there is a match"
            tests.append(at > scope.match_at)
        elif self.since is not None:
            since = self.since
            tests.append(at >= scope.instant(f"since {since}", lambda _: since))
        return tests

    def __bool__(self) -> bool:
        return self != Period()

    def sentence(self) -> Phrase:
        """Say the period in English, with a blank before it; nothing for all time."""
        said: list[Phrase] = [phrase(" within {duration}", duration=self.within)] if self.within else []
        if self.before and self.within:
            said.append(phrase(" but at least {duration} ago", duration=self.before))
        elif self.before:
            said.append(phrase(" more than {duration} ago", duration=self.before))
        if self.since == "match":
            said.append(phrase(" since this match"))
        elif self.since:
            said.append(phrase(" since {date}", date=self.since.isoformat()))
        return listed(said, "")


def _next(work_out: Callable[[date], date]) -> Callable[[date], date]:
    return lambda today: work_out(today) + timedelta(days=1)


def _length(duration: Duration) -> timedelta:
    return duration.after(_ANY_DAY) - _ANY_DAY if duration.is_calendar else duration.delta()


def _check_order(reader: Reader, within: Duration | None, before: Duration | None) -> None:
    """Some time must lie between the two ends of a period."""
    if within is not None and within.amount == 0:
        reader.under("within").problem(
            phrase('"within" is {within}: no time lies in it', within=within),
            "empty-range",
            hint=phrase("such as 1 day"),
        )
    elif within is not None and before is not None and _length(before) >= _length(within):
        reader.under("before").problem(
            phrase(
                '"before" ({before}) must be shorter than "within" ({within}): no time lies between them',
                before=before,
                within=within,
            ),
            "empty-range",
            hint=phrase("within: 90 days, before: 30 days is the time from 90 to 30 days ago"),
        )


@dataclass(frozen=True)
class OrderFilters:
    """Which orders are spoken of."""

    period: Period = Period()
    store: TextTest | None = None
    channel: TextTest | None = None
    product: TextTest | None = None
    category: TextTest | None = None
    weekday: frozenset[int] | None = None  #: Monday 0
    hours: ClockRange | None = None
    total: NumberTest | None = None  #: in minor units
    minor_units: int = 100

    @classmethod
    def read(cls, reader: Reader, *, never: bool = False) -> OrderFilters:
        """Read the filters that stand in the map here; a plain value has none.

        ``never``: what is asked holds for guests who have no such order.
        """
        data = reader.data
        if not isinstance(data, Mapping):
            return cls()
        texts = {}
        for word in ("store", "channel", "product", "category"):
            if word in data:
                texts[word] = TextTest.read(data[word])
                reader.under(word).names(word, never=never)
        units = reader.around.minor_units
        return cls(
            period=Period.read(reader),
            **texts,
            weekday=weekdays(data["weekday"]) if "weekday" in data else None,
            hours=ClockRange.parse(data["hours"]) if "hours" in data else None,
            total=NumberTest.read(reader.under("total"), scale=units, whole=True) if "total" in data else None,
            minor_units=units if "total" in data else 100,
        )

    def __bool__(self) -> bool:
        return self != OrderFilters()

    @property
    def only_since(self) -> bool:
        """Tell whether all that is asked is that an order was placed since some time: the last one tells."""
        return self.period.before is None and self == OrderFilters(self.period, minor_units=self.minor_units)

    @property
    def of_others(self) -> bool:
        """Tell whether the filters look at more than the guest's orders: at what stores and products are called."""
        return self.of_items or self.store is not None

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
        return [counts(order, scope.as_of), *self._passes(scope, order, net_total(order, scope.as_of))]

    def given_back(self, scope: Scope, order: FromClause) -> list[ColumnElement[bool]]:
        """SQL: some or all of the order was given back by now, and as it was paid it passes every filter."""
        known = (order.c.ordered_at <= scope.as_of, order.c.refunded_at <= scope.as_of)
        return [*known, *self._passes(scope, order, order.c.total)]

    def _passes(self, scope: Scope, order: FromClause, total: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        tests = self.period.where(scope, order.c.day, order.c.ordered_at)
        if self.store is not None:
            tests.extend(self._placed_at(order, self.store))
        if self.channel is not None:
            tests.append(self.channel.sql(order.c.channel))
        if self.of_items:
            tests.extend(self._holds(order))
        if self.weekday is not None:
            tests.append((order.c.clock // _DAY).in_(sorted(self.weekday)))
        if self.hours is not None:
            tests.append(_at_hours(order.c.clock % _DAY, self.hours))
        if self.total is not None:
            tests.append(self.total.sql(total))
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
        item, product = _ITEM, _PRODUCT
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

    def sentence(self) -> Phrase:
        """Say the filters in English, with a blank before them; nothing for all orders."""
        said: list[Phrase] = []
        if self.product:
            said.append(phrase(" of {names}", names=self.product.sentence()))
        if self.category:
            said.append(phrase(" from {names}", names=self.category.sentence()))
        if self.store:
            said.append(phrase(" at {names}", names=self.store.sentence()))
        if self.channel:
            said.append(phrase(" by {names}", names=self.channel.sentence()))
        if self.weekday is not None:
            said.append(phrase(" on {days}", days=say_weekdays(self.weekday)))
        if self.hours:
            said.append(phrase(" at {hours}", hours=self.hours))
        if self.total:
            said.append(phrase(" with a total of {amount}", amount=self.total.sentence(self.minor_units)))
        return listed([*said, self.period.sentence()], "")


def _at_hours(minute: ColumnElement[int], hours: ClockRange) -> ColumnElement[bool]:
    """SQL: a minute of the day lies in the range, the end not included."""
    join = or_ if hours.passes_midnight else and_
    return join(minute >= hours.start, minute < hours.end)
