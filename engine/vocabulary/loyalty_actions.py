"""The actions on what guests collect and wear: points and tags. Both are done inside the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any, ClassVar, Literal, Self

from engine.language.loyalty import POINTS, Loyalty
from engine.language.phrases import Phrase, listed, phrase
from engine.language.rule import Step
from engine.language.textkey import text_key
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import OrderFilters
from engine.vocabulary.messages import Channel
from engine.vocabulary.reading import Reader

_MOST = 1_000_000
_PER: Mapping[str, Phrase] = {
    "order": phrase("for the order"),
    "item": phrase("for each item of the order"),
    "spend": phrase("for each unit of money that the order cost"),
}


@dataclass(frozen=True)
class Points:
    """Points, stamps or whatever a ledger holds, added or taken."""

    about: ClassVar[str] = phrase("Add points or stamps, or take some with a negative number; never below zero.")
    example: ClassVar[str] = "- points:\n    add: 10\n    ledger: points"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = True
    add: Decimal
    per: Literal["order", "item", "spend"] | None = None
    ledger: str = POINTS
    unit: int = 100  #: minor units in one of the home's currency
    loyalty: Loyalty = field(default_factory=Loyalty, repr=False)

    @classmethod
    def schema(cls) -> JsonSchema:
        """How many, for what, and on which ledger."""
        number = {"minimum": -_MOST, "maximum": _MOST}
        return {
            "type": ["number", "object"],
            **number,
            "additionalProperties": False,
            "required": ["add"],
            "x-also": {"points": "add", "amount": "add", "number": "add", "each": "per", "to": "ledger"},
            "description": cls.about,
            "properties": {
                "add": {"type": "number", **number, "description": phrase("How many; a negative number takes them.")},
                "per": {
                    "type": "string",
                    "enum": list(_PER),
                    "description": phrase(
                        "So many for the order that fired, each of its items, or each unit of money it cost. The "
                        "multiple of the guest's tier counts, and what is not whole is left out."
                    ),
                },
                "ledger": {
                    "type": "string",
                    "description": phrase("A ledger of config/loyalty.yaml; points if left out."),
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``10`` or the settings."""
        given, around = reader.settings("add"), reader.around
        add, per, ledger = Decimal(str(given["add"])), given.get("per"), given.get("ledger", POINTS)
        place = reader.setting("add")
        if not add:
            place.problem(phrase('"add" is 0: nothing would happen'), "no-points", hint=phrase("such as 10, or -10"))
        elif add < 0 and per is not None:
            reader.under("per").problem(
                phrase('"per" is for points that are added, and these are taken'),
                "per-of-taken",
                key=True,
                hint=phrase('leave "per" out'),
            )
        elif per is None and add != add.to_integral_value():
            place.problem(
                phrase('"add" is {number}: points are whole numbers', number=add),
                "not-whole",
                hint=phrase(
                    'only with "per" a part of a point may be written: what is not whole in the end is left out'
                ),
            )
        at = reader.under("ledger") if "ledger" in given else reader
        where = phrase("config/loyalty.yaml has")
        at.known(phrase("ledger"), ledger, around.loyalty.ledgers, "unknown-ledger", where)
        return cls(add, per, ledger, around.minor_units, around.loyalty)

    def earned(self, quantity: Decimal, tier_key: str | None) -> int:
        """Give how many points are added for ``quantity`` orders, items or minor units, to a guest of this tier."""
        count = quantity / self.unit if self.per == "spend" else quantity
        ledger = self.loyalty.ledgers.get(self.ledger)
        multiple = self.loyalty.multiple(tier_key) if ledger is not None and ledger.multiples else Decimal(1)
        return int((self.add * count * multiple).to_integral_value(ROUND_FLOOR))

    def sentence(self) -> Phrase:
        """Say it in English."""
        many = abs(self.add)
        if self.add < 0:
            return phrase("take {many} from {ledger}", many=many, ledger=self.ledger)
        if self.per is None:
            return phrase("add {many} to {ledger}", many=many, ledger=self.ledger)
        return phrase("add {many} to {ledger} {what}", many=many, ledger=self.ledger, what=_PER[self.per])


_TAG: JsonSchema = {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Tag:
    """Tags given and taken."""

    about: ClassVar[str] = phrase("Give the guest a tag, or take one away; conditions ask for it with tag.")
    example: ClassVar[str] = "- tag:\n    add: big-spender\n    remove: newcomer"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = True
    add: tuple[str, ...] = ()  #: keys
    remove: tuple[str, ...] = ()

    @classmethod
    def schema(cls) -> JsonSchema:
        """Tags to give and tags to take."""

        def tags(description: str) -> JsonSchema:
            return {
                "type": ["string", "array"],
                "minLength": 1,
                "minItems": 1,
                "items": _TAG,
                "description": description,
            }

        return {
            "type": ["string", "object"],
            "minLength": 1,
            "minProperties": 1,
            "additionalProperties": False,
            "x-also": {"give": "add", "set": "add", "take": "remove", "delete": "remove"},
            "description": cls.about,
            "properties": {
                "add": tags(phrase("One tag or a list; who has it already keeps it.")),
                "remove": tags(phrase("One tag or a list that is taken away.")),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``vip`` or the settings."""
        given = reader.settings("add")
        add, remove = (_keys(given.get(word)) for word in ("add", "remove"))
        for each in add:
            reader.setting("add").mention("tag", each, made=True)
        for each in sorted(set(add) & set(remove)):
            reader.under("remove").problem(
                phrase('"{tag}" is added and removed in one step', tag=each), "both", hint=phrase("keep one of them")
            )
        for word, keys in (("add", add), ("remove", remove)):
            if "" in keys or any("*" in key for key in keys):
                place = reader.under(word) if word in given and isinstance(reader.data, Mapping) else reader
                place.problem(phrase("a tag is a word, without *"), "bad-tag", hint=phrase("such as big-spender"))
        return cls(add, remove)

    def sentence(self) -> Phrase:
        """Say it in English."""
        said = []
        if self.add:
            said.append(phrase("give the tag {tags}", tags=listed(self.add, " and ")))
        if self.remove:
            said.append(phrase("take the tag {tags}", tags=listed(self.remove, " and ")))
        return listed(said, " and ")


def _keys(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    return tuple(dict.fromkeys(text_key(str(each)) for each in (given if isinstance(given, list) else [given])))


def check_points(reader: Reader, steps: Iterable[Step], given: frozenset[str]) -> None:
    """Points per order, item or spend need a trigger that fires on an order."""
    for step in steps:
        settings = step.settings
        if not isinstance(settings, Points) or settings.per is None or "order" in given:
            continue
        reader.under(*step.at, "points", "per").problem(
            phrase("points per {what} need an order, and this trigger fires on none", what=settings.per),
            "no-order",
            key=True,
            hint=phrase('use the trigger ordered, or leave "per" out'),
        )


def counted_items(trigger: Any) -> OrderFilters | None:
    """Give the filters of a trigger that fires on orders: points per item count only what they name."""
    filters = getattr(trigger, "filters", None)
    return filters if isinstance(filters, OrderFilters) and filters.of_items else None
