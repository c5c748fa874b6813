"""Which events are meant, and the condition that counts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, func, select

from engine.database.sql import json_number, json_text
from engine.database.tables import events
from engine.language.phrases import Phrase, listed, phrase
from engine.language.textkey import column_key
from engine.vocabulary.activity_conditions import Happened, of_guest
from engine.vocabulary.comparisons import JsonSchema, NumberTest, TextTest, number_tests, text_tests
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

_DATA_NAMES: JsonSchema = {"pattern": '^[^"\\\\]+$', "x-says": phrase("a name without quotation marks")}

#: Tests that compare numbers.
_ORDERED = ("at_least", "at_most", "more_than", "less_than", "between")


@dataclass(frozen=True)
class EventTest:
    """Which events are meant: by name, and by what the columns of their file say."""

    name: TextTest | None = None
    where: Mapping[str, TextTest | NumberTest] = field(default_factory=dict)

    @classmethod
    def schema(cls) -> dict[str, JsonSchema]:
        """Give the settings ``name`` and ``where``."""
        where = phrase("Only events whose columns say so: {example}.", example="{kind: tasting}")
        return {
            "name": text_tests(phrase("The event's name")) | {"description": phrase("Only events of this name.")},
            "where": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _DATA_NAMES,
                "additionalProperties": _column_schema(phrase("The column of the event")),
                "description": where,
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what stands in the map here."""
        data = reader.data if isinstance(reader.data, Mapping) else {}
        if "name" in data:
            reader.under("name").names("event")
        return cls(
            TextTest.read(data["name"]) if "name" in data else None,
            {column_key(name): _column_test(reader.under("where", name)) for name in data.get("where", {})},
        )

    @classmethod
    def of_name(cls, reader: Reader) -> Self:
        """Read a plain value that is the name."""
        reader.names("event")
        return cls(TextTest.read(reader.data))

    def sql(self, event: Any) -> list[ColumnElement[bool]]:
        """SQL: an event of ``events`` (or an alias) is one of these."""
        tests = [] if self.name is None else [self.name.sql(event.c.name_key)]
        for name, test in self.where.items():
            is_number = isinstance(test, NumberTest)
            said = json_number(event.c.data, name) if is_number else json_text(event.c.data_keys, name)
            tests.append(test.sql(said))
        return tests

    def sentence(self) -> Phrase:
        """Say it in English, with a blank before it."""
        said = [] if self.name is None else [phrase(' "{names}"', names=self.name.sentence())]
        where = (phrase("{name} {test}", name=name, test=test.sentence()) for name, test in self.where.items())
        if self.where:
            said.append(phrase(" with {tests}", tests=listed(where, " and ")))
        return listed(said, "")


def _column_schema(noun: str) -> JsonSchema:
    """Give the schema of a test on what a column of an event says, a text or a number."""
    texts, numbers = text_tests(noun), number_tests(noun)
    one: JsonSchema = {"type": ["string", "number"]}
    lists = {word: texts["properties"][word] | {"items": one} for word in ("one_of", "none_of")}
    ones = {word: texts["properties"][word] | one for word in ("equals", "is_not")}
    ordered = {word: numbers[word] for word in _ORDERED}
    types = ["string", "number", "array", "object"]
    return {**texts, "type": types, "items": one, "properties": {**ones, **lists, **ordered}}


def _column_test(reader: Reader) -> TextTest | NumberTest:
    """Read the test: ``at_least`` and its like compare numbers, everything else texts."""
    data = reader.data
    if not isinstance(data, Mapping):
        return TextTest.read(_written(data))
    ordered = [word for word in data if word in _ORDERED]
    if not ordered:
        return TextTest.read({word: _written(value) for word, value in data.items()})
    for other in (word for word in data if word not in _ORDERED):
        reader.under(other).problem(
            phrase('"{word}" compares texts, and "{other}" beside it numbers', word=other, other=ordered[0]),
            "mixed-tests",
            key=True,
        )
        return TextTest(None, ())
    return NumberTest.read(reader)


def _written(value: Any) -> Any:
    """Give numbers as texts, as a file has them."""
    if isinstance(value, list):
        return [_written(each) for each in value]
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Events(Happened):
    """How many events."""

    about: ClassVar[str] = phrase("How many events of the guest there were, such as a tasting or a page visited.")
    noun: ClassVar[Phrase] = phrase("events")
    example: ClassVar[str] = "events:\n  name: tasting\n  within: 1 year\n  at_least: 1"
    event: EventTest = EventTest()

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Which events."""
        return EventTest.schema()

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read which are meant."""
        del data
        return {"event": EventTest.read(reader)}

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Count events."""
        event = events.alias("ev")
        tests = [event.c.customer_id == scope.facts.c.customer_id, *self.period.where_at(scope, event.c.at)]
        return of_guest(scope, select(func.count(event.c.id)).where(*tests, *self.event.sql(event)))

    def which(self) -> Phrase:
        """Say which are meant."""
        return listed([self.event.sentence(), self.period.sentence()], "")
