"""``favourite``: what a guest mostly orders, where, and on which day of the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, or_, select

from engine.database.tables import order_items, orders, products, stores
from engine.language.phrases import Phrase, phrase, told
from engine.language.times import DAYS
from engine.vocabulary.comparisons import JsonSchema, TextTest, text_tests
from engine.vocabulary.filters import FILTER_SCHEMA, OrderFilters, say_weekdays, store_keys, weekdays
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

Of = Literal["category", "product", "store", "weekday"]
_MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Favourite:
    """What most visits have."""

    about: ClassVar[str] = phrase(
        "What the guest mostly has: the category, product, store or weekday of most visits; of several the latest."
    )
    example: ClassVar[str] = "favourite:\n  of: category\n  within: 6 months\n  equals: Coffee"
    of: Of
    test: TextTest
    filters: OrderFilters

    @classmethod
    def schema(cls) -> JsonSchema:
        """What is looked at, tests on its name, and order filters."""
        tests = text_tests(phrase("The favourite"))["properties"]
        of = phrase("What is looked at: category, product, store or weekday.")
        return {
            "type": "object",
            "required": ["of"],
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                "of": {"type": "string", "enum": ["category", "product", "store", "weekday"], "description": of},
                **tests,
                **FILTER_SCHEMA,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what is asked; a name is one of the data, or a weekday such as ``sat``."""
        of: Of = reader.data["of"]
        test = TextTest.read(reader.data)
        if test.wanted is None and not test.unwanted:
            reader.problem(
                phrase('"favourite" has no test'),
                "no-test",
                key=True,
                hint=phrase("say which {of} it is, such as equals: {example}", of=of, example=_EXAMPLES[of]),
            )
        if of == "weekday":
            test = _of_weekdays(reader, test)
        else:
            reader.names(of)
        return cls(of, test, OrderFilters.read(reader))

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Look the favourite up and compare its name."""
        favourite = self._found(scope).correlate(scope.facts, scope.days).scalar_subquery()
        if self.of == "weekday":
            return self._weekday(favourite)
        if self.of != "store":
            return self.test.sql(favourite)
        shop, tests = stores.alias("fs"), list[ColumnElement[bool]]()
        its = select(shop.c.id).where(shop.c.id == favourite)
        if self.test.wanted is not None:
            tests.append(its.where(self.test.is_wanted(*store_keys(shop))).exists())
        if self.test.unwanted:
            tests.append(~its.where(self.test.is_unwanted(*store_keys(shop))).exists())
        return and_(*tests)

    def _weekday(self, favourite: ColumnElement[Any]) -> ColumnElement[bool]:
        tests: list[ColumnElement[bool]] = []
        if self.test.wanted is not None:
            tests.append(favourite.in_(sorted(_numbers(self.test.wanted))))
        if self.test.unwanted:
            tests.append(or_(favourite.is_(None), favourite.not_in(sorted(_numbers(self.test.unwanted)))))
        return and_(*tests)

    def _found(self, scope: Scope) -> Select[Any]:
        """SQL: the key of most visits, of several the one of the latest order."""
        order, item, product = orders.alias("o"), order_items.alias("fi"), products.alias("fp")
        keys: dict[Of, Any] = {
            "category": func.nullif(product.c.category_key, ""),
            "product": product.c.name_key,
            "store": order.c.store_id,
            "weekday": order.c.clock // _MINUTES_A_DAY,
        }
        key, latest = keys[self.of], func.max(order.c.id)
        source: FromClause = order
        if self.of in {"category", "product"}:
            items = item.join(product, product.c.id == item.c.product_id)
            source, latest = order.join(items, item.c.order_id == order.c.id), func.max(item.c.id)
        mine = order.c.customer_id == scope.facts.c.customer_id
        return (
            select(key)
            .select_from(source)
            .where(mine, key.is_not(None), *self.filters.where(scope, order))
            .group_by(key)
            .order_by(func.count(order.c.day.distinct()).desc(), func.max(order.c.ordered_at).desc(), latest.desc())
            .limit(1)
        )

    def sentence(self) -> Phrase:
        """Say it in English."""
        said = self.test.sentence()
        if self.of == "weekday":
            wanted, unwanted = (_numbers(names or ()) for names in (self.test.wanted, self.test.unwanted))
            said = say_weekdays(wanted) if wanted else phrase("not {names}", names=say_weekdays(unwanted))
        return phrase(
            "has {names} as the favourite {of}{which}", of=_NOUNS[self.of], which=self.filters.sentence(), names=said
        )


_EXAMPLES: dict[Of, str] = {"category": "Coffee", "product": "Flat White", "store": "Mill Lane", "weekday": "sat"}
_NOUNS: dict[Of, Phrase] = {
    "category": phrase("category"),
    "product": phrase("product"),
    "store": phrase("store"),
    "weekday": phrase("weekday"),
}


def _numbers(names: tuple[str, ...]) -> frozenset[int]:
    return frozenset(day for name in names for day in weekdays(name))


def _of_weekdays(reader: Reader, test: TextTest) -> TextTest:
    """Check that the names are days; those that are none are told and left out."""
    from engine.language.formats import parse_weekday

    def known(name: str) -> bool:
        try:
            parse_weekday(name)
        except ValueError as error:
            reader.problem(told(error), "bad-weekday")
            return False
        return True

    wanted = None if test.wanted is None else tuple(name for name in test.wanted if known(name)) or (DAYS[0],)
    return TextTest(wanted, tuple(name for name in test.unwanted if known(name)))
