"""Conditions on a guest's own calendar: age, how long known, and the month of the birthday."""

from __future__ import annotations

import calendar as gregorian
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Literal, Self

from sqlalchemy import ColumnElement, and_, case, false, or_, select

from engine.database.tables import customers
from engine.language.phrases import Phrase, listed, phrase
from engine.vocabulary.birthdays import lunar_keys
from engine.vocabulary.comparisons import JsonSchema, NumberTest, number_schema
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


@dataclass(frozen=True)
class _Plain:
    """A test on a number that takes no filters."""

    about: ClassVar[str]
    noun: ClassVar[Phrase]
    test: NumberTest

    @classmethod
    def schema(cls) -> JsonSchema:
        """A number, a list or tests."""
        return number_schema(cls.noun, cls.about, {})

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a number, a list or tests."""
        return cls(NumberTest.read(reader, whole=True))


class Age(_Plain):
    """Whole years today."""

    about = phrase(
        "How old the guest is today, in whole years; nobody knows it without a year, or of a lunar birthday."
    )
    noun = phrase("years of age")
    example = "age:\n  between:\n    - 18\n    - 25"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Take the birthday from today, both as yyyymmdd: the whole ten thousands are the years."""
        who = customers.alias("c")
        today = scope.number("yyyymmdd", _as_number)
        born = who.c.birthday_year * 10_000 + who.c.birthday_md
        solar = and_(who.c.id == scope.facts.c.customer_id, who.c.birthday_calendar == "solar")
        age = select((today - born) // 10_000).where(solar).correlate(scope.facts, scope.days)
        return self.test.sql(age.scalar_subquery())

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("is {number} years old", number=self.test.sentence())


def _as_number(today: date) -> int:
    """Give yyyymmdd. In common years a birthday of 29 February is on the 28th, as the trigger ``birthday`` has it."""
    kept_today = (today.month, today.day) == (2, 28) and not gregorian.isleap(today.year)
    return today.year * 10_000 + (229 if kept_today else today.month * 100 + today.day)


class JoinedDays(_Plain):
    """Days since joining."""

    about = phrase("How many days ago the guest joined: by the customers' file, else by the first order.")
    noun = phrase("days since joining")
    example = "joined_days:\n  at_least: 365"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Count from the day in the facts; who joins later has not joined."""
        facts = scope.facts.c
        return self.test.sql(case((facts.joined_at <= scope.as_of, scope.today - facts.joined_day)))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("joined {number} days ago", number=self.test.sentence())


Month = int | Literal["this", "next"]
_MONTHS = 12


@dataclass(frozen=True)
class BirthdayMonth:
    """The month in which the birthday falls."""

    about: ClassVar[str] = phrase(
        "The month of the guest's birthday: 1 to 12, this or next; a lunar one as it falls in this year."
    )
    example: ClassVar[str] = "birthday_month: this"
    months: tuple[Month, ...]

    @classmethod
    def schema(cls) -> JsonSchema:
        """A month or a list of months."""
        words = {
            "pattern": "^(this|next)$",
            "x-says": phrase("a month: 1 to 12, this or next"),
            "minimum": 1,
            "maximum": _MONTHS,
        }
        return {
            "type": ["integer", "string", "array"],
            **words,
            "minItems": 1,
            "items": {"type": ["integer", "string"], **words},
            "examples": ["this", "next"],
            "description": cls.about,
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a month or a list."""
        return cls(tuple(reader.data) if isinstance(reader.data, list) else (reader.data,))

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the month; of lunar birthdays those that fall in it are worked out in Python."""
        facts = scope.facts.c
        solar = or_(false(), *(facts.birthday_md // 100 == self._month(scope, month) for month in self.months))
        lunar = or_(false(), *(self._lunar(scope, month) for month in self.months))
        return or_(and_(facts.birthday_calendar == "solar", solar), and_(facts.birthday_calendar == "lunar", lunar))

    @staticmethod
    def _month(scope: Scope, month: Month) -> Any:
        return month if isinstance(month, int) else scope.number(month, lambda today: _first(today, month).month)

    @staticmethod
    def _lunar(scope: Scope, month: Month) -> ColumnElement[bool]:
        keys = scope.keys_of_today(f"lunar_month_{month}", lambda today: _lunar_keys(_first(today, month)))
        return scope.facts.c.birthday_md.in_(keys)

    def sentence(self) -> Phrase:
        """Say it in English."""
        named = {"this": phrase("this month"), "next": phrase("next month")}
        months = (named.get(str(month)) or phrase("month {number}", number=month) for month in self.months)
        return phrase("has the birthday in {months}", months=listed(months, " or "))


def _first(today: date, month: Month) -> date:
    """Give the first day of the month that is meant today."""
    if month == "this":
        return today.replace(day=1)
    if month == "next":
        return (today.replace(day=28) + timedelta(days=4)).replace(day=1)
    return date(today.year, month, 1)


def _lunar_keys(first: date) -> Iterator[int]:
    day = first
    while day.month == first.month:
        yield from (key for key, _ in lunar_keys(day))
        day += timedelta(days=1)
