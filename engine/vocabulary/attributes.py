"""``attribute.<name>``: columns of the owner's own in the customers' file, by the type that the config declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

from sqlalchemy import ColumnElement, and_, case, select

from engine.database.sql import json_number, json_text
from engine.database.tables import customers
from engine.language.phrases import Phrase, listed, phrase, told
from engine.language.textkey import column_key
from engine.language.times import parse_date
from engine.vocabulary.comparisons import JsonSchema, NumberTest, TextTest, compare, say
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

PREFIX: Final = "attribute."
#: A name with a quotation mark or a backslash cannot be asked for in JSON on SQLite.
PATTERN: Final = '^attribute\\.[^"\\\\]+$'

_BOUNDS: JsonSchema = {"minimum": -1_000_000_000, "maximum": 1_000_000_000}
_ONE: JsonSchema = {"type": ["string", "number", "boolean"], **_BOUNDS}
_ORDERED: JsonSchema = {"type": ["string", "number"], **_BOUNDS}
_TEXT_WORDS: Final = frozenset({"equals", "is_not", "one_of", "none_of"})


@dataclass(frozen=True)
class DateTest:
    """Tests on a date as the database has it, ``2026-05-04``: texts of this form compare as their days do."""

    tests: tuple[tuple[str, tuple[str, ...]], ...]

    def sql(self, day: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQL: every test holds."""
        return and_(*(compare(word, bounds, day) for word, bounds in self.tests))

    def sentence(self) -> Phrase:
        """Say the tests in English."""
        return listed((say(word, bounds) for word, bounds in self.tests), " and ")


def _day(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: what is no date, or has no year, is no data."""
    return case((and_(text.like("____-__-__"), text >= "0001"), text))


@dataclass(frozen=True)
class Attribute:
    """A test on one attribute."""

    about: ClassVar[str] = phrase(
        "A column of your own in the customers' file, by its name: attribute.vip_level. It is a text unless "
        "attributes in config/regulars.yaml says number, date or yes_no."
    )
    example: ClassVar[str] = "attribute.vip_level: gold"
    name: str
    test: TextTest | NumberTest | DateTest

    @classmethod
    def schema(cls) -> JsonSchema:
        """A value, a list or tests; which of them fit the type is told by ``read``."""
        ordered = {
            "at_least": phrase("This or more: a number, or a date such as 2026-05-01 or later."),
            "at_most": phrase("This or less: a number, or a date or earlier."),
            "more_than": phrase("More than this number, or later than this date."),
            "less_than": phrase("Less than this number, or earlier than this date."),
        }
        many = {"type": "array", "minItems": 1, "items": _ONE}
        return {
            "type": ["string", "number", "boolean", "array", "object"],
            **_BOUNDS,
            "minItems": 1,
            "items": _ONE,
            "minProperties": 1,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                **{word: _ORDERED | {"description": about} for word, about in ordered.items()},
                "between": {"type": "array", "minItems": 2, "maxItems": 2, "items": _ORDERED}
                | {"description": phrase("From the first to the second number or date, both included.")},
                "equals": _ONE | {"description": phrase("This one. Case does not count; * is anything.")},
                "is_not": _ONE | {"description": phrase("Any but this one, or none at all.")},
                "one_of": many | {"description": phrase("One of these.")},
                "none_of": many | {"description": phrase("None of these.")},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a value, a list or tests, by the attribute's type; what does not fit it is a problem."""
        name = column_key(str(reader.at[-1]).removeprefix(PREFIX))
        types = {column_key(each): kind for each, kind in reader.around.config.attributes.items()}
        declared = types.get(name)
        if declared is None:
            reader.mention("attribute", name)
        tests = _tests(reader.data)
        if declared == "number":
            return cls(name, _numbers(reader, name, tests))
        if declared == "date":
            return cls(name, _dates(reader, name, tests))
        _only_texts(reader, name, tests, declared or "text")
        texts = {word: [_text(each) for each in values] for word, values in tests.items() if word in _TEXT_WORDS}
        return cls(name, TextTest.read(texts))

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Take the attribute out of the guest's JSON."""
        who = customers.alias("c")
        said: ColumnElement[Any]
        if isinstance(self.test, NumberTest):
            said = json_number(who.c.attributes, self.name)
        elif isinstance(self.test, DateTest):
            said = _day(json_text(who.c.attributes, self.name))
        else:
            said = json_text(who.c.attribute_keys, self.name)
        asked = select(said).where(who.c.id == scope.facts.c.customer_id).correlate(scope.facts)
        return self.test.sql(asked.scalar_subquery())

    def turns(self, *, to: bool) -> bool:
        """Tell that it turns only when something is written of the guest."""
        del to
        return False

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase('has as "{name}" {test}', name=self.name, test=self.test.sentence())


def _tests(data: Any) -> dict[str, list[Any]]:
    """Give what is written as tests, each with a list of values."""
    if isinstance(data, Mapping):
        return {word: value if isinstance(value, list) else [value] for word, value in data.items()}
    return {"one_of": data if isinstance(data, list) else [data]}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _only_texts(reader: Reader, name: str, tests: Mapping[str, Any], kind: str) -> None:
    for word in tests:
        if word not in _TEXT_WORDS:
            reader.under(word).problem(
                phrase(
                    '"{word}" compares numbers and dates, and the attribute "{name}" is {kind}',
                    word=word,
                    name=name,
                    kind=_KINDS[kind],
                ),
                "wrong-attribute-type",
                key=True,
                hint=phrase("if it is one, say so under attributes in config/regulars.yaml: {name}: number", name=name),
            )
    for value in [each for values in tests.values() for each in values] if kind == "yes_no" else ():
        if _text(value) not in {"yes", "no"}:
            _unfit(reader, name, value, kind)


_KINDS: Final = {
    "text": phrase("a text"),
    "number": phrase("a number"),
    "date": phrase("a date"),
    "yes_no": phrase("yes or no"),
}


def _unfit(reader: Reader, name: str, value: Any, kind: str) -> None:
    reader.problem(
        phrase(
            'the attribute "{name}" is {kind}, which "{value}" is not', name=name, kind=_KINDS[kind], value=_text(value)
        ),
        "wrong-attribute-type",
        hint=phrase("attributes in config/regulars.yaml says of which type it is"),
    )


def _numbers(reader: Reader, name: str, tests: Mapping[str, list[Any]]) -> NumberTest:
    for value in [each for values in tests.values() for each in values]:
        if isinstance(value, bool | str):
            _unfit(reader, name, value, "number")
            return NumberTest(())
    if isinstance(reader.data, Mapping):
        return NumberTest.read(reader)
    return NumberTest(tuple((word, tuple(Decimal(str(each)) for each in values)) for word, values in tests.items()))


def _dates(reader: Reader, name: str, tests: Mapping[str, list[Any]]) -> DateTest:
    read: list[tuple[str, tuple[str, ...]]] = []
    for word, values in tests.items():
        try:
            days = tuple(parse_date(_text(value)).isoformat() for value in values)
        except ValueError as error:
            reader.problem(told(error), "bad-date", hint=phrase('the attribute "{name}" is a date', name=name))
            continue
        if word == "between" and days[0] > days[1]:
            reader.under("between").problem(
                phrase(
                    '"between" goes back from {first} to {last}: no day lies between them', first=days[0], last=days[1]
                ),
                "empty-range",
                hint=phrase("write the earlier one first"),
            )
        read.append((word, days))
    return DateTest(tuple(read))
