"""``rank``: the guest among all others by a number, such as the top 10% by spend. RFM segments stand on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from sqlalchemy import ColumnElement, FromClause, Select, func, select

from engine.database.tables import customers, orders
from engine.language.phrases import Phrase, phrase
from engine.language.times import parse_share
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters
from engine.vocabulary.order_conditions import AverageOrder, Counted, DaysSinceOrder, Orders, Spend, Visits
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

Per = Literal["all", "store", "city"]
_WHOLE = 10_000

_OF_ORDERS: dict[str, type[Counted]] = {
    "orders": Orders,
    "visits": Visits,
    "spend": Spend,
    "average_order": AverageOrder,
    "days_since_order": DaysSinceOrder,
}
_NOUNS: dict[str, Phrase] = {
    "orders": phrase("orders"),
    "visits": phrase("visits"),
    "spend": phrase("spend"),
    "average_order": phrase("average order"),
    "days_since_order": phrase("days since the last order"),
    "points": phrase("points"),
}


@dataclass(frozen=True)
class Rank:
    """Where the guest stands among those of whom there is data."""

    about: ClassVar[str] = phrase(
        "The guest is among the first (top) or the last (bottom) by a number: a share such as 10%, or so many guests."
    )
    compares: ClassVar[bool] = True
    example: ClassVar[str] = "rank:\n  of: spend\n  within: 1 year\n  top: 10%"
    of: str
    filters: OrderFilters
    top: bool
    share: int | None  #: in hundredths of a percent
    guests: int | None
    per: Per

    @classmethod
    def schema(cls) -> JsonSchema:
        """A number, how far up or down, among whom, and order filters."""
        part = {"type": ["string", "integer"], "format": "share", "minimum": 1, "maximum": 1_000_000_000}
        return {
            "type": "object",
            "required": ["of"],
            "additionalProperties": False,
            "x-also": {"by": "of", "among": "per", "first": "top", "last": "bottom"},
            "description": cls.about,
            "properties": {
                "of": {
                    "type": "string",
                    "enum": list(_NOUNS),
                    "description": phrase("The number that is compared; guests with none of it are not ranked."),
                },
                "top": part
                | {"description": phrase("The guests with the most: 10% of them, or 100 guests; ties are in.")},
                "bottom": part
                | {"description": phrase("The guests with the least: 20% of them, or 100 guests; ties are in.")},
                "per": {
                    "type": "string",
                    "enum": ["all", "store", "city"],
                    "description": phrase(
                        "Among whom: all guests (if left out), those of each store, or of each city."
                    ),
                },
                **FILTER_SCHEMA,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what is asked: exactly one of ``top`` and ``bottom``, and filters only where orders are counted."""
        data = reader.data
        if reader.after_match:
            reader.problem(
                phrase('"rank" compares the guest with all others, and here it would be asked anew for each message'),
                "rank-later",
                key=True,
                hint=phrase("write it under conditions, where all guests are ranked once"),
            )
        given = [word for word in ("top", "bottom") if word in data]
        if len(given) != 1:
            reader.problem(
                phrase('"rank" wants exactly one of "top" and "bottom"'),
                "top-or-bottom",
                key=True,
                hint=phrase("such as top: 10%"),
            )
        value = data[given[0]] if given else 1
        share = parse_share(value) if isinstance(value, str) else None
        if share == 0:
            reader.under(given[0]).problem(phrase("0% are nobody"), "empty-range", hint=phrase("such as top: 10%"))
        filters = OrderFilters.read(reader)
        if data["of"] == "points" and filters:
            reader.problem(
                phrase("points are ranked as they stand today: order filters say nothing of them"), "filters-of-points"
            )
        guests = value if isinstance(value, int) else None
        return cls(data["of"], filters, given[:1] == ["top"], share, guests, data.get("per", "all"))

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Rank all guests once, and look whether the guest is among those who stand high or low enough."""
        ranked = self._ranked(scope.of_everybody()).subquery("ranked")
        enough = (
            (ranked.c.place - 1) * _WHOLE < ranked.c.guests * self.share
            if self.share is not None
            else ranked.c.place <= self.guests
        )
        return scope.facts.c.customer_id.in_(select(ranked.c.customer_id).where(enough).correlate(None))

    def _ranked(self, scope: Scope) -> Select[Any]:
        """SQL: (customer_id, place, guests) of everybody with data; guests who tie have one place."""
        measured = self._measured(scope).subquery("measured")
        m = measured.c
        source: FromClause = measured
        among: ColumnElement[Any] | None = None
        if self.per == "store":
            among = m.store_id
        elif self.per == "city":
            who = customers.alias("rc")
            source, among = measured.join(who, who.c.id == m.customer_id), who.c.city_key
        by = m.number.desc() if self.top else m.number
        place = func.rank().over(partition_by=among, order_by=by).label("place")
        guests = func.count().over(partition_by=among).label("guests")
        asked = select(m.customer_id, place, guests).select_from(source)
        return asked if among is None else asked.where(among.is_not(None))

    def _measured(self, scope: Scope) -> Select[Any]:
        """SQL: (customer_id, store_id, number) of everybody with data."""
        facts = scope.facts.c
        if self.of == "points":
            return self._of_facts(scope, lambda _: facts.points).where(facts.points > 0)
        fact = _OF_ORDERS[self.of]
        if not self.filters:
            return self._of_facts(scope, fact.fact).where(facts.orders > 0)
        order = orders.alias("o")
        grouped: list[ColumnElement[Any]] = [facts.customer_id, facts.store_id]
        if self.of == "days_since_order":
            grouped.append(scope.today)
        return (
            select(
                facts.customer_id, facts.store_id, fact.of_measure(scope, fact.measure(scope, order)).label("number")
            )
            .select_from(scope.guest().join(order, order.c.customer_id == facts.customer_id))
            .where(*self.filters.where(scope, order))
            .group_by(*grouped)
            .correlate(None)
        )

    def _of_facts(self, scope: Scope, fact: Callable[[Scope], ColumnElement[Any]]) -> Select[Any]:
        facts = scope.facts.c
        asked = select(facts.customer_id, facts.store_id, fact(scope).label("number"))
        return asked.select_from(scope.guest() if self.of == "days_since_order" else scope.facts).correlate(None)

    def sentence(self) -> Phrase:
        """Say it in English."""
        part = phrase("{share:g}%", share=self.share / 100) if self.share is not None else str(self.guests)
        said = {
            "of": _NOUNS[self.of],
            "part": part,
            "which": self.filters.sentence(),
            "among": {"all": "", "store": phrase(" of the store"), "city": phrase(" of the city")}[self.per],
        }
        if self.top:
            return phrase("is among the top {part}{among} by {of}{which}", **said)
        return phrase("is among the bottom {part}{among} by {of}{which}", **said)
