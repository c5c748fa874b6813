"""The actions: one class a word, with its settings; ``ACTIONS`` is the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal, Protocol, Self

from engine.language.formats import parse_validity
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.reading import Reader


class Action(Protocol):
    """One step of what a rule does."""

    about: ClassVar[str]  #: one sentence for the reference page and the editor's hover
    example: ClassVar[str]  #: YAML, as it stands in the list ``actions``
    channel: ClassVar[Literal["email", "sms"] | None]  #: the guest's endpoint that it needs
    does_something: ClassVar[bool]  #: a match with only such steps blocked or missing is refused

    @classmethod
    def schema(cls) -> JsonSchema:
        """Give the JSON Schema of the settings."""
        ...

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read settings whose shape is right; problems of meaning are noted with the reader."""
        ...

    def sentence(self) -> str:
        """Say it in English."""
        ...


def _check_template(reader: Reader, name: str, *, channel: Literal["email", "sms", "alert"]) -> None:
    place = reader.setting("template")
    if not place.known("template", name, reader.around.templates, "unknown-template", "templates/ has"):
        return
    template = reader.around.templates[name]
    if template.broken:
        place.problem(f'the template "{name}" has problems of its own', "broken-template", hint="they are listed too")
    channels: tuple[Literal["email", "sms"], ...] = ("email", "sms") if channel == "alert" else (channel,)
    if not any(template.serves(each) for each in channels):
        wanted = {"email": "an email.mjml, email.html or email.txt", "sms": "an sms.txt"}
        place.problem(
            f'the template "{name}" has no text for {channel}',
            "template-channel",
            hint=f"put {wanted.get(channel, 'an email or an sms text')} into templates/{name}/",
        )


@dataclass(frozen=True)
class Email:
    """An email to the guest."""

    about: ClassVar[str] = "Send an email made from a template."
    example: ClassVar[str] = "- email:\n    template: win-back"
    channel: ClassVar[Literal["email", "sms"] | None] = "email"
    does_something: ClassVar[bool] = True
    template: str
    subject: str | None = None

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template and subject."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": "A folder of templates/ with email.mjml or email.html.",
                },
                "subject": {"type": "string", "minLength": 1, "description": "Instead of the template's subject."},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``win-back`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="email")
        template = reader.around.templates.get(given["template"])
        if template is not None and not template.has_subject and "subject" not in given:
            reader.problem(
                f'the template "{template.name}" has no subject',
                "no-subject",
                hint=f"put a subject.txt into templates/{template.name}/, or write subject: here",
            )
        return cls(given["template"], given.get("subject"))

    def sentence(self) -> str:
        """Say it in English."""
        return f'email "{self.template}"'


@dataclass(frozen=True)
class Sms:
    """An SMS to the guest."""

    about: ClassVar[str] = "Send an SMS made from a template."
    example: ClassVar[str] = "- sms:\n    template: win-back-reminder"
    channel: ClassVar[Literal["email", "sms"] | None] = "sms"
    does_something: ClassVar[bool] = True
    template: str

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": "A folder of templates/ with sms.txt.",
                }
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``win-back-reminder`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="sms")
        return cls(given["template"])

    def sentence(self) -> str:
        """Say it in English."""
        return f'SMS "{self.template}"'


@dataclass(frozen=True)
class Coupon:
    """A coupon with a code of its own."""

    about: ClassVar[str] = "Issue a coupon; the step stands before the message that shows its code."
    example: ClassVar[str] = "- coupon:\n    offer: twenty-percent\n    valid: 14 days"
    channel: ClassVar[Literal["email", "sms"] | None] = None
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
                "offer": {"type": "string", "x-names": "offers", "description": "A key of config/offers.yaml."},
                "valid": {
                    "type": "string",
                    "format": "validity",
                    "description": "14 days, 2026-12-31 or month end; as the offer says if left out.",
                },
                "always": {
                    "type": "boolean",
                    "description": "Issue it even where no message can tell the guest: staff can look it up.",
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``twenty-percent`` or the settings."""
        given = reader.settings("offer")
        place = reader.setting("offer")
        known = place.known("offer", given["offer"], reader.around.offers, "unknown-offer", "config/offers.yaml has")
        if known and "valid" not in given and reader.around.offers[given["offer"]].valid is None:
            place.problem(
                f'the offer "{given["offer"]}" does not say how long it is valid',
                "no-validity",
                hint='add "valid: 14 days" here or in config/offers.yaml',
            )
        return cls(
            given["offer"], parse_validity(given["valid"]) if "valid" in given else None, given.get("always", False)
        )

    def sentence(self) -> str:
        """Say it in English."""
        return f'coupon "{self.offer}"' + (f", valid {self.valid}" if self.valid else "")


@dataclass(frozen=True)
class Alert:
    """A message to staff."""

    about: ClassVar[str] = "Tell staff at once, whatever the hour: by email where they have one, else by SMS."
    example: ClassVar[str] = "- alert:\n    template: low-rating-alert\n    to: manager"
    channel: ClassVar[Literal["email", "sms"] | None] = None
    does_something: ClassVar[bool] = True
    template: str
    to: str = "manager"
    once_per: Literal["guest", "store", "run"] = "guest"

    @classmethod
    def schema(cls) -> JsonSchema:
        """Template, to whom, and how often."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["template"],
            "description": cls.about,
            "properties": {
                "template": {
                    "type": "string",
                    "x-names": "templates",
                    "description": "A folder of templates/ with an email or an SMS text.",
                },
                "to": {
                    "type": "string",
                    "x-names": "contacts",
                    "description": "store (its manager), or a name under contacts; manager if left out.",
                },
                "once_per": {
                    "type": "string",
                    "enum": ["guest", "store", "run"],
                    "description": "One message a guest (if left out), a store or a run: then it holds a list.",
                },
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``low-rating-alert`` or the settings."""
        given = reader.settings("template")
        _check_template(reader, given["template"], channel="alert")
        to = given.get("to", "manager")
        contacts = {**reader.around.config.contacts, "store": None}
        place = reader.under("to") if "to" in given else reader
        place.known("contact", to, contacts, "unknown-contact", "contacts of config/regulars.yaml, or store")
        return cls(given["template"], to, given.get("once_per", "guest"))

    def sentence(self) -> str:
        """Say it in English."""
        return f'alert "{self.template}" to {self.to}'


@dataclass(frozen=True)
class Wait:
    """A pause between steps."""

    about: ClassVar[str] = "Wait calendar days; the journey goes on at the hour of the match's run."
    example: ClassVar[str] = "- wait: 3 days"
    channel: ClassVar[Literal["email", "sms"] | None] = None
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
            reader.problem(f'"wait" counts days, not {duration.unit}', "wrong-unit", hint="such as 3 days")
        elif duration.amount == 0:
            reader.problem('"wait" of nothing does nothing', "no-wait", hint="such as 3 days, or leave the step out")
        return cls(duration)

    def sentence(self) -> str:
        """Say it in English."""
        return f"wait {self.duration}"


ACTIONS: dict[str, type[Action]] = {
    "email": Email,
    "sms": Sms,
    "coupon": Coupon,
    "alert": Alert,
    "wait": Wait,
}


def action_schema() -> JsonSchema:
    """Give the schema of one step. That it has exactly one key is checked in Python."""
    return {
        "type": "object",
        "x-name": "a step",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {word: made.schema() for word, made in ACTIONS.items()},
    }
