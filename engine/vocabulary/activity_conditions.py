"""Conditions on ratings and points, and what all words share that count something in a period."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, Select, func, select

from engine.database.counting import points_balance
from engine.database.tables import points, ratings
from engine.language.phrases import Phrase, phrase
from engine.vocabulary.comparisons import JsonSchema, NumberTest, TextTest, number_schema, text_tests
from engine.vocabulary.filters import PERIOD_SCHEMA, Period
from engine.vocabulary.order_conditions import no_test
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

_DEFAULT_LEDGER = "points"


@dataclass(frozen=True)
class Happened(ABC):
    """A number over what happened to the guest in a period."""

    about: ClassVar[str]
    noun: ClassVar[Phrase]
    is_whole: ClassVar[bool] = True  #: it counts
    test: NumberTest
    period: Period

    @classmethod
    def schema(cls) -> JsonSchema:
        """Tests, what is meant, and the period."""
        return number_schema(cls.noun, cls.about, {**cls.more(), **PERIOD_SCHEMA})

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Give the settings beside tests and period."""
        return {}

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``3``, or tests and what else is asked."""
        test = NumberTest.read(reader, whole=cls.is_whole)
        if not test.tests:
            no_test(reader)
        data = reader.data if isinstance(reader.data, Mapping) else {}
        return cls(test, Period.read(reader), **cls.asked(reader, data))

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read the settings of ``more``; gives fields of the class."""
        del reader, data
        return {}

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the number."""
        return self.test.sql(self.number(scope))

    @abstractmethod
    def number(self, scope: Scope) -> ColumnElement[Any]:
        """SQL: the number."""

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("has {number} {what}{which}", number=self.test.sentence(), what=self.noun, which=self.which())

    def which(self) -> Phrase:
        """Say which are meant, with a blank before it."""
        return self.period.sentence()


def of_guest(scope: Scope, asked: Select[Any]) -> ColumnElement[Any]:
    """SQL: one number of the guest."""
    return asked.correlate(scope.facts, scope.days).scalar_subquery()


@dataclass(frozen=True)
class _Rated(Happened):
    """A number over the guest's ratings."""

    source: TextTest | None = None

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Where the rating was given."""
        about = phrase("Only ratings given there: google, receipt ...")
        return {"source": text_tests(phrase("Where it was given")) | {"description": about}}

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read which are meant."""
        if "source" not in data:
            return {}
        reader.under("source").names("rating source")
        return {"source": TextTest.read(data["source"])}

    def _where(self, scope: Scope, rating: Any) -> list[ColumnElement[bool]]:
        tests = [
            rating.c.customer_id == scope.facts.c.customer_id,
            *self.period.where_at(scope, rating.c.rated_at),
        ]
        if self.source is not None:
            tests.append(self.source.sql(rating.c.platform_key))
        return tests

    def which(self) -> Phrase:
        """Say which are meant."""
        if self.source is None:
            return self.period.sentence()
        return phrase(" on {names}{when}", names=self.source.sentence(), when=self.period.sentence())


class Ratings(_Rated):
    """How many ratings."""

    about = phrase("How many ratings the guest has given.")
    noun = phrase("ratings")
    example = "ratings:\n  within: 1 year\n  at_least: 1"

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Look the ratings up."""
        rating = ratings.alias("ra")
        return of_guest(scope, select(func.count(rating.c.id)).where(*self._where(scope, rating)))


class LastRating(_Rated):
    """The score last given."""

    about = phrase("The score of the guest's last rating; no rating, no score.")
    noun = phrase("as last rating")
    is_whole = False
    example = "last_rating:\n  at_least: 4"

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Look the ratings up."""
        rating = ratings.alias("ra")
        last = select(rating.c.score).where(*self._where(scope, rating))
        return of_guest(scope, last.order_by(rating.c.rated_at.desc(), rating.c.id.desc()).limit(1))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("last rated{which} with {number}", which=self.which(), number=self.test.sentence())


class AverageRating(_Rated):
    """The mean score."""

    about = phrase("The mean score of the guest's ratings; no rating, no mean.")
    noun = phrase("as mean rating")
    is_whole = False
    example = "average_rating:\n  within: 1 year\n  less_than: 3"

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Look the ratings up."""
        rating = ratings.alias("ra")
        return of_guest(scope, select(func.avg(rating.c.score)).where(*self._where(scope, rating)))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("rates{which} with {number} on average", which=self.which(), number=self.test.sentence())


@dataclass(frozen=True)
class Points(Happened):
    """The balance of loyalty points, or what came in."""

    about: ClassVar[str] = phrase(
        "How many loyalty points the guest has now, expired ones left out; with a period, how many came in then."
    )
    noun: ClassVar[Phrase] = phrase("points")
    example: ClassVar[str] = "points:\n  at_least: 100"
    ledger: str = _DEFAULT_LEDGER

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Which account."""
        about = phrase("Which account of the guest: points if left out, or another one such as stamps.")
        return {"ledger": {"type": "string", "minLength": 1, "maxLength": 64, "description": about}}

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read which are meant."""
        if "ledger" not in data:
            return {}
        reader.under("ledger").names("ledger")
        return {"ledger": data["ledger"]}

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Add up what came in, or give the balance."""
        if self.period:
            entry = points.alias("pe")
            mine = (entry.c.customer_id == scope.facts.c.customer_id, entry.c.ledger == self.ledger, entry.c.points > 0)
            came_in = select(func.coalesce(func.sum(entry.c.points), 0))
            return of_guest(scope, came_in.where(*mine, *self.period.where_at(scope, entry.c.at)))
        if self.ledger == _DEFAULT_LEDGER:
            return scope.facts.c.points
        return points_balance(scope.facts.c.customer_id, scope.as_of, self.ledger)

    def turns(self, *, to: bool) -> bool:
        """Tell whether it may turn by itself; the balance stands in the facts, which are written when points expire."""
        del to
        return bool(self.period) or self.ledger != _DEFAULT_LEDGER

    def sentence(self) -> Phrase:
        """Say it in English."""
        number, which = self.test.sentence(), self.period.sentence()
        ledger = phrase("points") if self.ledger == _DEFAULT_LEDGER else phrase('points in "{name}"', name=self.ledger)
        if self.period:
            return phrase("has collected {number} {points}{which}", number=number, points=ledger, which=which)
        return phrase("has {number} {points}", number=number, points=ledger)
