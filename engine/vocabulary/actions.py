"""The actions: one class a word, with its settings; ``ACTIONS`` is the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Literal, Protocol, Self

from engine.language.formats import parse_validity
from engine.language.phrases import Phrase, listed, phrase
from engine.language.times import Duration, parse_share
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.loyalty_actions import Points, Tag
from engine.vocabulary.messages import Alert, Channel, Email, Sms
from engine.vocabulary.reading import Reader
from engine.vocabulary.webhook import Webhook

_WHOLE = 10_000  #: 100% in hundredths of a percent


_ONLY_IF_OF_SPLIT = phrase("A split depends on nothing: write only_if in the steps of its branches.")


class Action(Protocol):
    """One step of what a rule does."""

    about: ClassVar[str]  #: one sentence for the reference page and the editor's hover
    example: ClassVar[str]  #: YAML, as it stands in the list ``actions``
    does_something: ClassVar[bool]  #: a match with only such steps blocked or missing is refused

    @property
    def channel(self) -> Channel | None:
        """The guest's endpoint that it needs."""
        ...

    @classmethod
    def schema(cls) -> JsonSchema:
        """Give the JSON Schema of the settings."""
        ...

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read settings whose shape is right; problems of meaning are noted with the reader."""
        ...

    def sentence(self) -> Phrase:
        """Say it in English."""
        ...


@dataclass(frozen=True)
class Coupon:
    """A coupon with a code of its own."""

    about: ClassVar[str] = phrase("Issue a coupon; the step stands before the message that shows its code.")
    example: ClassVar[str] = "- coupon:\n    offer: twenty-percent\n    valid: 14 days"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = False
    offer: str
    valid: Duration | date | Literal["month end"] | None = None  #: None: as the offer says
    always: bool = False

    @classmethod
    def schema(cls) -> JsonSchema:
        """Offer, validity, and whether it needs a message."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["offer"],
            "description": cls.about,
            "properties": {
                "offer": {"type": "string", "x-names": "offers", "description": phrase("A key of config/offers.yaml.")},
                "valid": {
                    "type": "string",
                    "format": "validity",
                    "description": phrase("14 days, 2026-12-31 or month end; as the offer says if left out."),
                },
                "always": {
                    "type": "boolean",
                    "description": phrase("Issue it even where no message can tell the guest: staff can look it up."),
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``twenty-percent`` or the settings."""
        given = reader.settings("offer")
        place = reader.setting("offer")
        known = place.known(
            phrase("offer"), given["offer"], reader.around.offers, "unknown-offer", phrase("config/offers.yaml has")
        )
        if known and "valid" not in given and reader.around.offers[given["offer"]].valid is None:
            place.problem(
                phrase('the offer "{offer}" does not say how long it is valid', offer=given["offer"]),
                "no-validity",
                hint=phrase('add "valid: 14 days" here or in config/offers.yaml'),
            )
        return cls(
            given["offer"], parse_validity(given["valid"]) if "valid" in given else None, given.get("always", False)
        )

    def sentence(self) -> Phrase:
        """Say it in English."""
        if self.valid is None:
            return phrase('coupon "{offer}"', offer=self.offer)
        return phrase('coupon "{offer}", valid {valid}', offer=self.offer, valid=self.valid)


@dataclass(frozen=True)
class Wait:
    """A pause between steps."""

    about: ClassVar[str] = phrase("Wait calendar days; the journey goes on at the hour of the match's run.")
    example: ClassVar[str] = "- wait: 3 days"
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = False
    duration: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """One duration."""
        return {"type": "string", "format": "duration", "description": cls.about}

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``3 days``."""
        duration = Duration.parse(reader.data)
        if not duration.is_calendar:
            said = phrase('"wait" counts days, not {unit}', unit=duration.unit)
            reader.problem(said, "wrong-unit", hint=phrase("such as 3 days"))
        elif duration.amount == 0:
            hint = phrase("such as 3 days, or leave the step out")
            reader.problem(phrase('"wait" of nothing does nothing'), "no-wait", hint=hint)
        return cls(duration)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("wait {duration}", duration=self.duration)


@dataclass(frozen=True)
class Split:
    """Several ways to go on, each for its share of the guests. What the branches do is read by ``steps.py``."""

    about: ClassVar[str] = phrase(
        "Go on differently for different guests, by shares that sum up to 100%; a guest stays in the same branch."
    )
    example: ClassVar[str] = (
        "- split:\n    short:\n      share: 50%\n      actions:\n        - sms: win-back-reminder\n"
        "    long:\n      share: 50%\n      actions:\n        - email: win-back"
    )
    channel: ClassVar[Channel | None] = None
    does_something: ClassVar[bool] = False
    shares: Mapping[str, int]  #: branch -> hundredths of a percent, in the order of the file

    @classmethod
    def schema(cls) -> JsonSchema:
        """Branches by name."""
        return {
            "type": "object",
            "minProperties": 2,
            "propertyNames": {"format": "slug", "x-elsewhere": {"only_if": _ONLY_IF_OF_SPLIT}},
            "description": cls.about,
            "additionalProperties": {
                "type": "object",
                "x-name": phrase("a branch"),
                "additionalProperties": False,
                "required": ["share", "actions"],
                "description": phrase("One branch: its share of the guests, and what is done for them."),
                "properties": {
                    "share": {
                        "type": "string",
                        "format": "share",
                        "description": phrase("How many of the guests: 50%."),
                    },
                    "actions": {
                        "type": "array",
                        "items": {"$ref": "#/definitions/step"},
                        "description": phrase(
                            "What is done for them, in order; [] where only these guests get nothing here."
                        ),
                    },
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the shares; together they are all guests."""
        shares = {str(name): parse_share(branch["share"]) for name, branch in reader.data.items()}
        for name, share in shares.items():
            if share == 0:
                hint = phrase("give it a share, or leave it out")
                reader.under(name, "share").problem(phrase("a branch of 0% is nobody's"), "empty-share", hint=hint)
        total = sum(shares.values())
        if total != _WHOLE:
            reader.problem(
                phrase("the shares sum up to {total}, and must be 100% together", total=shown_share(total)),
                "shares",
                key=True,
                hint=_what_is_missing(total),
            )
        return cls(shares)

    def sentence(self) -> Phrase:
        """Say it in English."""
        named = (phrase("{share} {name}", share=shown_share(share), name=name) for name, share in self.shares.items())
        return phrase("split: {branches}", branches=listed(named))


def shown_share(share: int) -> str:
    """Write hundredths of a percent as an owner does: ``12.5%``."""
    return f"{share / 100:g}%"


def _what_is_missing(total: int) -> Phrase:
    if total > _WHOLE:
        return phrase("that is {share} too much", share=shown_share(total - _WHOLE))
    return phrase("{share} are missing: give a branch more, or add one", share=shown_share(_WHOLE - total))


ACTIONS: dict[str, type[Action]] = {
    "email": Email,
    "sms": Sms,
    "coupon": Coupon,
    "points": Points,
    "tag": Tag,
    "alert": Alert,
    "webhook": Webhook,
    "split": Split,
    "wait": Wait,
}

#: These stand between steps, and depend on nothing: conditions belong into the steps.
BETWEEN = frozenset({"split", "wait"})

_ONLY_IF: JsonSchema = {
    "$ref": "#/definitions/conditions",
    "description": phrase("The step is left out unless all of this holds when its time has come."),
}


def settings_schema(word: str) -> JsonSchema:
    """Give the schema of a word's settings as they stand in a step, with ``only_if``."""
    schema = ACTIONS[word].schema()
    if word in BETWEEN:
        return schema
    return {**schema, "properties": {**schema["properties"], "only_if": _ONLY_IF}}


def action_schema() -> JsonSchema:
    """Give the schema of one step, ``#/definitions/step``. That it has exactly one key is checked in Python."""
    properties: dict[str, Any] = {word: settings_schema(word) for word in ACTIONS}
    return {
        "type": "object",
        "x-name": phrase("a step"),
        "minProperties": 1,
        "x-words": True,
        "additionalProperties": False,
        "properties": properties,
    }
