"""Tests in words: ``at_least``, ``one_of``, ``between`` ... on numbers and on texts.

A plain value means *equals*, a list *one of*. A fact without data fails every test but ``is_not`` and ``none_of``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Double, and_, false, literal, not_, or_, true

from engine.language.textkey import text_key
from engine.vocabulary.reading import Reader

JsonSchema = dict[str, Any]

_COMPARE: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "at_least": ("at least", lambda value, bound: value >= bound),
    "at_most": ("at most", lambda value, bound: value <= bound),
    "more_than": ("more than", lambda value, bound: value > bound),
    "less_than": ("less than", lambda value, bound: value < bound),
    "equals": ("exactly", lambda value, bound: value == bound),
}
#: No count and no sum is negative, and more than this fits no column.
_BOUNDS: JsonSchema = {"minimum": 0, "maximum": 1_000_000_000}
_NUMBER: JsonSchema = {"type": "number", **_BOUNDS}
_NUMBERS: JsonSchema = {"type": "array", "items": _NUMBER, "minItems": 1}


def number_tests(noun: str) -> dict[str, JsonSchema]:
    """Give the schema of every test on a number; ``noun`` is what is counted, for the editor's hover."""
    return {
        "at_least": _NUMBER | {"description": f"{noun}: this many or more."},
        "at_most": _NUMBER | {"description": f"{noun}: this many or fewer."},
        "more_than": _NUMBER | {"description": f"{noun}: more than this."},
        "less_than": _NUMBER | {"description": f"{noun}: fewer than this."},
        "equals": _NUMBER | {"description": f"{noun}: exactly this many."},
        "is_not": _NUMBER | {"description": f"{noun}: any number but this."},
        "between": _NUMBERS
        | {"minItems": 2, "maxItems": 2, "description": f"{noun}: from the first to the second, both included."},
        "one_of": _NUMBERS | {"description": f"{noun}: one of these."},
        "none_of": _NUMBERS | {"description": f"{noun}: none of these."},
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
    def read(cls, reader: Reader, *, scale: int = 1) -> NumberTest:
        """Read a number, a list or a map of tests; ``scale`` turns written money into minor units."""
        data = reader.data
        given: Mapping[str, Any]
        if isinstance(data, Mapping):
            given = {key: value for key, value in data.items() if key in NUMBER_WORDS}
        else:
            given = {"one_of": data} if isinstance(data, list) else {"equals": data}
        first, last = given.get("between", (0, 0))
        if first > last:
            reader.under("between").problem(
                f'"between" goes down from {first} to {last}: no number lies between them',
                "empty-range",
                hint=f"write the smaller one first: {last}, {first}",
            )
        return cls(
            tuple(
                (word, tuple(Decimal(str(each)) * scale for each in (value if isinstance(value, list) else [value])))
                for word, value in given.items()
            )
        )

    def sql(self, value: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: every test holds for ``value``."""
        return and_(*(self._one(word, bounds, value) for word, bounds in self.tests))

    @staticmethod
    def _one(word: str, given: tuple[Decimal, ...], value: ColumnElement[Any]) -> ColumnElement[bool]:
        bounds = _binds(given)
        match word:
            case "between":
                return value.between(bounds[0], bounds[1])
            case "one_of":
                return value.in_(bounds)
            case "is_not" | "none_of":
                return or_(value.is_(None), value.not_in(bounds))
            case _:
                tested: ColumnElement[bool] = _COMPARE[word][1](value, bounds[0])
                return tested

    def tells_none_from_unknown(self) -> bool:
        """Tell whether 0 and no data fare differently: then a guest of whom nothing is known must be looked for."""
        nothing_known = all(word in {"is_not", "none_of"} for word, _ in self.tests)
        return nothing_known != all(_holds(word, bounds, Decimal(0)) for word, bounds in self.tests)

    def sentence(self, scale: int = 1) -> str:
        """Say the tests in English: ``at least 3 and at most 5``."""
        return " and ".join(_say(word, [_text(each / scale) for each in bounds]) for word, bounds in self.tests)


def _holds(word: str, bounds: tuple[Decimal, ...], value: Decimal) -> bool:
    match word:
        case "between":
            return bounds[0] <= value <= bounds[1]
        case "one_of":
            return value in bounds
        case "is_not" | "none_of":
            return value not in bounds
        case _:
            return bool(_COMPARE[word][1](value, bounds[0]))


def _binds(numbers: tuple[Decimal, ...]) -> list[Any]:
    """Whole numbers of the column's own type; where one is not whole, all as such, or PostgreSQL would round it."""
    if all(number == number.to_integral_value() for number in numbers):
        return [int(number) for number in numbers]
    return [literal(float(number), Double) for number in numbers]


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _say(word: str, bounds: list[str]) -> str:
    match word:
        case "between":
            return f"between {bounds[0]} and {bounds[1]}"
        case "one_of":
            return bounds[0] if len(bounds) == 1 else f"one of {', '.join(bounds)}"
        case "is_not" | "none_of":
            return f"not {' or '.join(bounds)}"
        case _:
            return f"{_COMPARE[word][0]} {bounds[0]}"


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
            "equals": {"type": "string", "description": f"{noun}: this one. Case does not count; * is anything."},
            "is_not": {"type": "string", "description": f"{noun}: any but this one, or none at all."},
            "one_of": _TEXTS | {"description": f"{noun}: one of these."},
            "none_of": _TEXTS | {"description": f"{noun}: none of these."},
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

    def sentence(self) -> str:
        """Say the test in English."""
        said = [] if self.wanted is None else [" or ".join(self.wanted)]
        if self.unwanted:
            said.append(f"not {' or '.join(self.unwanted)}")
        return ", ".join(said)


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
