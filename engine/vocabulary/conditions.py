"""The registry of conditions, and those made of others: groups and segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from sqlalchemy import ColumnElement, and_, case, or_

from engine.language.phrases import phrase
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.guest_conditions import City, Language, Points, Reachable, Store, Tag, Tier
from engine.vocabulary.order_conditions import DaysSinceOrder, Orders, Spend, Visits
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


class Condition(Protocol):
    """A test on a fact of a guest."""

    about: ClassVar[str]  #: one sentence for the reference page and the editor's hover
    example: ClassVar[str]  #: YAML, as it stands under ``conditions``

    @classmethod
    def schema(cls) -> JsonSchema:
        """Give the JSON Schema of the settings."""
        ...

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read settings whose shape is right; problems of meaning are noted with the reader."""
        ...

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """SQL: the condition holds for the guest of ``scope``. NULL counts as no."""
        ...

    def sentence(self) -> str:
        """Say it in English, to follow 'the guest'."""
        ...


@dataclass(frozen=True)
class Segment:
    """Membership in a named set of conditions."""

    about: ClassVar[str] = "The guest is in this segment of config/segments.yaml."
    example: ClassVar[str] = "segment: regulars"
    name: str

    @classmethod
    def schema(cls) -> JsonSchema:
        """The segment's name."""
        return {"type": "string", "x-names": "segments", "description": cls.about}

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the name; an unknown one is a problem."""
        around = reader.around
        if reader.data in around.broken_segments:
            # Without the condition that cannot be read it would hold more guests than the owner meant.
            reader.problem(
                f'the segment "{reader.data}" has problems of its own', "broken-segment", hint="they are listed too"
            )
        else:
            reader.known(
                phrase("segment"), reader.data, around.segments, "unknown-segment", phrase("config/segments.yaml has")
            )
        return cls(reader.data)

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Write the segment's own conditions in place."""
        return all_hold(scope.segments[self.name], scope)

    def sentence(self) -> str:
        """Say it in English."""
        return f'is in the segment "{self.name}"'


@dataclass(frozen=True)
class _Group:
    """Several maps of conditions, joined."""

    about: ClassVar[str]
    joiner: ClassVar[str]
    members: tuple[tuple[Condition, ...], ...]

    @classmethod
    def schema(cls) -> JsonSchema:
        """A list of maps of conditions."""
        return {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/definitions/conditions"},
            "description": cls.about,
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read each member."""
        return cls(tuple(read_conditions(reader.under(index)) for index in range(len(reader.data))))

    def sentence(self) -> str:
        """Say the members in English."""
        said = [" and ".join(each.sentence() for each in member) for member in self.members]
        return f"({f' {self.joiner} '.join(said)})" if len(said) > 1 else said[0]


class AnyOf(_Group):
    """At least one holds."""

    about = "At least one of these holds."
    joiner = "or"
    example = "any:\n  - tier: gold\n  - orders:\n      at_least: 20"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Join with OR."""
        return or_(*(all_hold(member, scope) for member in self.members))


class AllOf(_Group):
    """Every one holds."""

    about = "All of these hold; the way to ask one word twice."
    joiner = "and"
    example = (
        "all:\n  - orders:\n      category: Lunch\n      at_least: 1\n"
        "  - orders:\n      category: Coffee\n      at_least: 5"
    )

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Join with AND."""
        return and_(*(all_hold(member, scope) for member in self.members))


class NoneOf(_Group):
    """None holds."""

    about = "None of these holds."
    joiner = "nor"
    example = "none:\n  - tag: staff"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Negate each; NULL (no data) counts as not holding."""
        return and_(*(case((all_hold(member, scope), 1), else_=0) == 0 for member in self.members))

    def sentence(self) -> str:
        """Say it in English."""
        return f"not: {super().sentence()}"


CONDITIONS: dict[str, type[Any]] = {
    "orders": Orders,
    "visits": Visits,
    "spend": Spend,
    "days_since_order": DaysSinceOrder,
    "points": Points,
    "tag": Tag,
    "tier": Tier,
    "city": City,
    "language": Language,
    "store": Store,
    "reachable": Reachable,
    "segment": Segment,
    "any": AnyOf,
    "all": AllOf,
    "none": NoneOf,
}


def conditions_schema() -> JsonSchema:
    """Give the schema of a map of conditions, for ``#/definitions/conditions``."""
    return {
        "type": "object",
        "x-name": phrase("conditions"),
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {word: made.schema() for word, made in CONDITIONS.items()},
    }


def read_conditions(reader: Reader) -> tuple[Condition, ...]:
    """Read a map of conditions word by word; a word of the wrong shape is left out, its problem noted."""
    data = reader.data
    if not isinstance(data, Mapping):
        return ()
    read: list[Condition] = []
    for word in data:
        made = CONDITIONS.get(word)
        if made is None:
            continue
        place = reader.under(word)
        # A group's members are looked at one by one, so that one wrong word hides no other.
        if place.is_shaped({"type": "array"} if issubclass(made, _Group) else made.schema()):
            read.append(made.read(place))
    return tuple(read)


def all_hold(members: Sequence[Condition], scope: Scope) -> ColumnElement[bool]:
    """SQL: every condition of a map holds."""
    return and_(*(member.sql(scope) for member in members))
