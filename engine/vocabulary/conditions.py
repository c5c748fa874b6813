"""The registry of conditions, and those made of others: groups and segments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, Self

from sqlalchemy import ColumnElement, and_, case, or_

from engine.language.phrases import Phrase, listed, phrase
from engine.vocabulary.activity_conditions import AverageRating, LastRating, Points, Ratings
from engine.vocabulary.attributes import PATTERN, PREFIX, Attribute
from engine.vocabulary.calendar_conditions import Age, BirthdayMonth, JoinedDays
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.event_conditions import Events
from engine.vocabulary.favourites import Favourite
from engine.vocabulary.guest_conditions import City, Gender, Language, Reachable, Store, Tag, Tier
from engine.vocabulary.message_conditions import Coupons, Messages
from engine.vocabulary.order_conditions import AverageOrder, DaysSinceOrder, MeanGap, Orders, Refunds, Spend, Visits
from engine.vocabulary.ranks import Rank
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

    # And where it cannot turn true or false by itself ``turns(to)``: see ``steady``.

    def sentence(self) -> Phrase:
        """Say it in English, to follow 'the guest'."""
        ...


@dataclass(frozen=True)
class Segment:
    """Membership in a named set of conditions."""

    about: ClassVar[str] = phrase("The guest is in this segment of config/segments.yaml.")
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
                phrase('the segment "{name}" has problems of its own', name=reader.data),
                "broken-segment",
                hint=phrase("they are listed too"),
            )
        else:
            reader.known(
                phrase("segment"), reader.data, around.segments, "unknown-segment", phrase("config/segments.yaml has")
            )
        if reader.after_match and compare(around.segments.get(reader.data, ()), around.segments):
            reader.problem(
                phrase(
                    'the segment "{name}" compares the guest with all others (rank), and here it would be asked anew '
                    "for each message",
                    name=reader.data,
                ),
                "rank-later",
                hint=phrase("write it under conditions, where all guests are ranked once"),
            )
        return cls(reader.data)

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Write the segment's own conditions in place."""
        return all_hold(scope.segments[self.name], scope)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase('is in the segment "{name}"', name=self.name)


@dataclass(frozen=True)
class _Group:
    """Several maps of conditions, joined."""

    about: ClassVar[str]
    joiner: ClassVar[str]  #: as ``listed`` takes it
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

    def sentence(self) -> Phrase:
        """Say the members in English."""
        said = [listed((each.sentence() for each in member), " and ") for member in self.members]
        return phrase("({members})", members=listed(said, self.joiner)) if len(said) > 1 else said[0]


class AnyOf(_Group):
    """At least one holds."""

    about = phrase("At least one of these holds.")
    joiner = " or "
    example = "any:\n  - tier: gold\n  - orders:\n      at_least: 20"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Join with OR."""
        return or_(*(all_hold(member, scope) for member in self.members))


class AllOf(_Group):
    """Every one holds."""

    about = phrase("All of these hold; the way to ask one word twice.")
    joiner = " and "
    example = (
        "all:\n  - orders:\n      category: Lunch\n      at_least: 1\n"
        "  - orders:\n      category: Coffee\n      at_least: 5"
    )

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Join with AND."""
        return and_(*(all_hold(member, scope) for member in self.members))


class NoneOf(_Group):
    """None holds."""

    about = phrase("None of these holds.")
    joiner = " nor "
    example = "none:\n  - tag: staff"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Negate each; NULL (no data) counts as not holding."""
        return and_(*(case((all_hold(member, scope), 1), else_=0) == 0 for member in self.members))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("not: {members}", members=super().sentence())


#: Every word; ``attribute.<name>`` stands for as many as the owner has columns.
ATTRIBUTE = f"{PREFIX}<name>"
CONDITIONS: dict[str, type[Any]] = {
    "orders": Orders,
    "visits": Visits,
    "spend": Spend,
    "average_order": AverageOrder,
    "refunds": Refunds,
    "days_since_order": DaysSinceOrder,
    "mean_gap": MeanGap,
    "favourite": Favourite,
    "rank": Rank,
    "ratings": Ratings,
    "last_rating": LastRating,
    "average_rating": AverageRating,
    "points": Points,
    "coupons": Coupons,
    "messages": Messages,
    "events": Events,
    "tag": Tag,
    "tier": Tier,
    "city": City,
    "gender": Gender,
    "language": Language,
    "store": Store,
    "age": Age,
    "joined_days": JoinedDays,
    "birthday_month": BirthdayMonth,
    ATTRIBUTE: Attribute,
    "reachable": Reachable,
    "segment": Segment,
    "any": AnyOf,
    "all": AllOf,
    "none": NoneOf,
}
_OTHER_WORDS = {
    "attribute": ATTRIBUTE,
    "favorite": "favourite",
    "birthday": "birthday_month",
    "average_spend": "average_order",
    "rating": "last_rating",
    "coupon": "coupons",
    "message": "messages",
    "event": "events",
    "tags": "tag",
    "sex": "gender",
}


@cache
def conditions_schema() -> JsonSchema:
    """Give the schema of a map of conditions, for ``#/definitions/conditions``."""
    return {
        "type": "object",
        "x-name": phrase("conditions"),
        "x-also": _OTHER_WORDS,
        "minProperties": 1,
        "x-words": True,
        "additionalProperties": False,
        "properties": {word: made.schema() for word, made in CONDITIONS.items() if word != ATTRIBUTE},
        "patternProperties": {PATTERN: Attribute.schema()},
    }


def read_conditions(reader: Reader) -> tuple[Condition, ...]:
    """Read a map of conditions word by word; a word of the wrong shape is left out, its problem noted."""
    data = reader.data
    if not isinstance(data, Mapping):
        return ()
    read: list[Condition] = []
    for word in data:
        made = Attribute if re.search(PATTERN, word) else CONDITIONS.get(word)
        if made is None or word == ATTRIBUTE:
            continue
        place, schema = reader.under(word), conditions_schema()
        shape = schema["patternProperties"][PATTERN] if made is Attribute else schema["properties"][word]
        # A group's members are looked at one by one, so that one wrong word hides no other.
        if place.is_shaped({"type": "array"} if issubclass(made, _Group) else shape):
            read.append(made.read(place))
    return tuple(read)


def all_hold(members: Sequence[Condition], scope: Scope) -> ColumnElement[bool]:
    """SQL: every condition of a map holds."""
    return and_(*(member.sql(scope) for member in members))


def compare(members: Iterable[Any], segments: Mapping[str, Sequence[Condition]]) -> bool:
    """Tell whether any of the conditions compares the guest with others (``rank``): it needs the facts of everybody."""
    return _declared("compares", members, segments)


def read_outbox(members: Iterable[Any], segments: Mapping[str, Sequence[Condition]]) -> bool:
    """Tell whether any of the conditions rests on what was queued and did not go: on what other rules of a run do."""
    return _declared("reads_outbox", members, segments)


def _declared(what: str, members: Iterable[Any], segments: Mapping[str, Sequence[Condition]]) -> bool:
    for member in members:
        if getattr(member, what, False):
            return True
        inner = segments.get(member.name, ()) if isinstance(member, Segment) else ()
        if any(_declared(what, group, segments) for group in (*getattr(member, "members", ()), inner)):
            return True
    return False
