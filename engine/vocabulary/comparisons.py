"""Tests in words: ``at_least``, ``one_of``, ``between`` ... on numbers and on texts.

A plain value means *equals*, a list *one of*. A fact without data fails every test but ``is_not`` and ``none_of``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Double, and_, false, literal, not_, or_, true

from engine.language.phrases import Phrase, listed, phrase
from engine.language.textkey import text_key
from engine.vocabulary.reading import Reader

JsonSchema = dict[str, Any]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "at_least": lambda value, bound: value >= bound,
    "at_most": lambda value, bound: value <= bound,
    "more_than": lambda value, bound: value > bound,
    "less_than": lambda value, bound: value < bound,
    "equals": lambda value, bound: value == bound,
}
#: What passes these is no less than the least of their bounds.
_FROM_BELOW = frozenset({"at_least", "more_than", "equals", "one_of", "between"})
#: No count and no sum is negative, and more than this fits no column.
_BOUNDS: JsonSchema = {"minimum": 0, "maximum": 1_000_000_000}
_NUMBER: JsonSchema = {"type": "number", **_BOUNDS}
_NUMBERS: JsonSchema = {"type": "array", "items": _NUMBER, "minItems": 1}


def number_tests(noun: str) -> dict[str, JsonSchema]:
    """Give the schema of every test on a number; ``noun`` is what is counted, for the editor's hover."""
    return {
        "at_least": _NUMBER | {"description": phrase("{what}: this many or more.", what=noun)},
        "at_most": _NUMBER | {"description": phrase("{what}: this many or fewer.", what=noun)},
        "more_than": _NUMBER | {"description": phrase("{what}: more than this.", what=noun)},
        "less_than": _NUMBER | {"description": phrase("{what}: fewer than this.", what=noun)},
        "equals": _NUMBER | {"description": phrase("{what}: exactly this many.", what=noun)},
        "is_not": _NUMBER | {"description": phrase("{what}: any number but this.", what=noun)},
        "between": _NUMBERS
        | {
            "minItems": 2,
            "maxItems": 2,
            "description": phrase("{what}: from the first to the second, both included.", what=noun),
        },
        "one_of": _NUMBERS | {"description": phrase("{what}: one of these.", what=noun)},
        "none_of": _NUMBERS | {"description": phrase("{what}: none of these.", what=noun)},
    }


def number_schema(noun: str, about: str, more: Mapping[str, JsonSchema]) -> JsonSchema:
    """Give the schema of a test on a number: a value, a list, or a map of tests and ``more``."""
    return {
        "type": ["number", "array", "object"],
        **_BOUNDS,
        "items": _NUMBER,
        "minItems": 1,
        "minProperties": 1,
        "additionalProperties": False,
        "description": about,
        "properties": {**number_tests(noun), **more},
    }


NUMBER_WORDS = frozenset(number_tests(""))


@dataclass(frozen=True)
class NumberTest:
    """Tests on one number, all of which must hold. Bounds are in the fact's own unit (minor units for money)."""

    tests: tuple[tuple[str, tuple[Decimal, ...]], ...]

    @classmethod
    def read(cls, reader: Reader, *, scale: int = 1, whole: bool = False) -> NumberTest:
        """Read a number, a list or a map of tests; ``scale`` turns written money into minor units.

        ``whole``: what is tested is a whole number from 0 on, counted in those units. Tests that no number passes are
        a problem.
        """
        data = reader.data
        given: Mapping[str, Any]
        if isinstance(data, Mapping):
            given = {key: value for key, value in data.items() if key in NUMBER_WORDS}
        else:
            given = {"one_of": data} if isinstance(data, list) else {"equals": data}
        first, last = given.get("between", (0, 0))
        if first > last:
            reader.under("between").problem(
                phrase(
                    '"between" goes down from {first} to {last}: no number lies between them', first=first, last=last
                ),
                "empty-range",
                hint=phrase("write the smaller one first: {last}, {first}", last=last, first=first),
            )
        test = cls(
            tuple(
                (word, tuple(Decimal(str(each)) * scale for each in (value if isinstance(value, list) else [value])))
                for word, value in given.items()
            )
        )
        if first <= last and not test.is_possible(whole=whole):
            several = phrase('what shall hold one or the other stands in two conditions below "any:"')
            said = phrase("no number passes this: {tests}", tests=test.sentence(scale))
            reader.problem(said, "empty-range", key=len(given) > 1, hint=several if len(given) > 1 else "")
        return test

    def is_possible(self, *, whole: bool) -> bool:
        """Tell whether any number passes: one of the bounds, or one beside or between them."""
        bounds = sorted({bound for _, bounds in self.tests for bound in bounds} | {Decimal(0)})
        if whole:
            near = {math.floor(bound) + step for bound in bounds for step in (-1, 0, 1, 2)}
            numbers = {Decimal(number) for number in near if number >= 0}
        else:
            between = {(low + high) / 2 for low, high in pairwise(bounds)}
            numbers = {*bounds, *between, bounds[0] - 1, bounds[-1] + 1}
        return any(all(_holds(word, bounds, number) for word, bounds in self.tests) for number in numbers)

    def sql(self, value: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: every test holds for ``value``."""
        return and_(*(compare(word, _binds(bounds), value) for word, bounds in self.tests))

    def holds_for_zero(self) -> bool:
        """Tell whether a guest passes who has none."""
        return all(_holds(word, bounds, Decimal(0)) for word, bounds in self.tests)

    def least(self) -> Decimal:
        """Give what every number that passes comes to at least; 0 where there is no such bound."""
        from_below = (min(bounds) for word, bounds in self.tests if word in _FROM_BELOW)
        return max(from_below, default=Decimal(0))

    def only_from_below(self) -> bool:
        """Tell whether a number that passes still passes when it grows."""
        return all(word in {"at_least", "more_than"} for word, _ in self.tests)

    def is_any(self) -> bool:
        """Tell whether exactly the numbers from 1 on pass."""
        return self.tests in {(("at_least", (Decimal(1),)),), (("more_than", (Decimal(0),)),)}

    def tells_none_from_unknown(self) -> bool:
        """Tell whether 0 and no data fare differently: then a guest of whom nothing is known must be looked for."""
        nothing_known = all(word in {"is_not", "none_of"} for word, _ in self.tests)
        return nothing_known != self.holds_for_zero()

    def sentence(self, scale: int = 1) -> Phrase:
        """Say the tests in English: ``at least 3 and at most 5``."""
        return listed((say(word, [_text(each / scale) for each in bounds]) for word, bounds in self.tests), " and ")


def compare(word: str, bounds: Sequence[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    """SQL: one test, such as ``at_least``, holds for a value; without data none does but is_not and none_of."""
    match word:
        case "between":
            return value.between(bounds[0], bounds[1])
        case "one_of":
            return value.in_(bounds)
        case "is_not" | "none_of":
            return or_(value.is_(None), value.not_in(bounds))
        case _:
            tested: ColumnElement[bool] = _COMPARE[word](value, bounds[0])
            return tested


def _holds(word: str, bounds: tuple[Decimal, ...], value: Decimal) -> bool:
    match word:
        case "between":
            return bounds[0] <= value <= bounds[1]
        case "one_of":
            return value in bounds
        case "is_not" | "none_of":
            return value not in bounds
        case _:
            return bool(_COMPARE[word](value, bounds[0]))


def _binds(numbers: tuple[Decimal, ...]) -> list[Any]:
    """Whole numbers of the column's own type; where one is not whole, all as such, or PostgreSQL would round it."""
    if all(number == number.to_integral_value() for number in numbers):
        return [int(number) for number in numbers]
    return [literal(float(number), Double) for number in numbers]


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def say(word: str, bounds: Sequence[str]) -> Phrase:
    """Say one test in English."""
    first = bounds[0]
    if word == "between":
        return phrase("between {low} and {high}", low=first, high=bounds[1])
    if word == "one_of" and len(bounds) > 1:
        return phrase("one of {names}", names=listed(bounds))
    if word in {"is_not", "none_of"}:
        return phrase("not {names}", names=listed(bounds, " or "))
    said = {
        "at_least": phrase("at least {number}", number=first),
        "at_most": phrase("at most {number}", number=first),
        "more_than": phrase("more than {number}", number=first),
        "less_than": phrase("less than {number}", number=first),
        "equals": phrase("exactly {number}", number=first),
    }
    return said.get(word) or phrase("{name}", name=first)


_TEXTS: JsonSchema = {"type": "array", "items": {"type": "string"}, "minItems": 1}


def text_tests(noun: str) -> JsonSchema:
    """Give the schema of a test on a text: a value, a list, or a map of tests."""
    return {
        "type": ["string", "array", "object"],
        "items": {"type": "string"},
        "minItems": 1,
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "equals": {
                "type": "string",
                "description": phrase("{what}: this one. Case does not count; * is anything.", what=noun),
            },
            "is_not": {
                "type": "string",
                "description": phrase("{what}: any but this one, or none at all.", what=noun),
            },
            "one_of": _TEXTS | {"description": phrase("{what}: one of these.", what=noun)},
            "none_of": _TEXTS | {"description": phrase("{what}: none of these.", what=noun)},
        },
    }


@dataclass(frozen=True)
class TextTest:
    """Tests on one text, by key: case and outer blanks do not count, ``*`` stands for anything."""

    wanted: tuple[str, ...] | None
    unwanted: tuple[str, ...]

    @classmethod
    def read(cls, data: object) -> TextTest:
        """Read a text, a list or a map of tests."""
        if not isinstance(data, Mapping):
            return cls(_texts(data), ())
        wanted = (*_texts(data.get("equals")), *_texts(data.get("one_of")))
        asked = "equals" in data or "one_of" in data
        return cls(wanted if asked else None, (*_texts(data.get("is_not")), *_texts(data.get("none_of"))))

    def sql(self, *keys: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: one of the columns (``*_key``) is wanted, and none is unwanted."""
        tests: list[ColumnElement[bool]] = []
        if self.wanted is not None:
            tests.append(self.is_wanted(*keys))
        tests.extend(or_(key.is_(None), not_(_like(key, self.unwanted))) for key in keys if self.unwanted)
        return and_(*tests)

    def is_wanted(self, *keys: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: one of the columns is among the wanted; true where none is named."""
        return true() if self.wanted is None else or_(*(_like(key, self.wanted) for key in keys))

    def is_unwanted(self, *keys: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: one of the columns is among the unwanted."""
        return or_(*(_like(key, self.unwanted) for key in keys))

    def sentence(self) -> Phrase:
        """Say the test in English."""
        said: list[str] = [] if self.wanted is None else [listed(self.wanted, " or ")]
        if self.unwanted:
            said.append(phrase("not {names}", names=listed(self.unwanted, " or ")))
        return listed(said)


def _texts(data: object) -> tuple[str, ...]:
    if data is None:
        return ()
    return tuple(str(each) for each in data) if isinstance(data, list) else (str(data),)


def _like(key: ColumnElement[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    plain = [text_key(value) for value in values if "*" not in value]
    tests = [key.in_(plain)] if len(plain) > 1 else [key == value for value in plain]
    for value in values:
        if "*" in value:
            escaped = text_key(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
            tests.append(key.like(escaped, escape="\\"))
    return or_(false(), *tests) if not tests else or_(*tests)
