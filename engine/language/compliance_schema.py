"""The schema of ``config/compliance/*.yaml``: for the check, for the editor of whoever corrects a country's file."""

from __future__ import annotations

from typing import Any, Final

from engine.language.hours import DAYS, GROUPS
from engine.language.phrases import phrase

JsonSchema = dict[str, Any]

KINDS: Final = ("express", "implied")
SURE: Final = ("high", "medium", "low")
#: What a required text may hold, filled in by construction.
FILLED: Final = ("business", "refusal_number")


def _text(description: str, **more: Any) -> JsonSchema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _section(description: str, properties: JsonSchema, required: tuple[str, ...] = (), /, **more: Any) -> JsonSchema:
    schema: JsonSchema = {"type": "object", "description": description, "additionalProperties": False, **more}
    return {**schema, **({"required": list(required)} if required else {}), "properties": properties}


def _sourced(description: str, properties: JsonSchema, *, required: tuple[str, ...] = ()) -> JsonSchema:
    """Values with where they come from and how sure they are: nothing stands here without."""
    return _section(
        description,
        {
            **properties,
            "source": _text(phrase("Where the value comes from: the law and its section, or who says so.")),
            "sure": _text(
                phrase("high: the law says so plainly; medium: it is read so; low: custom, or not confirmed."),
                enum=list(SURE),
            ),
            "note": _text(phrase("What else a lawyer should know of the value.")),
        },
        (*required, "source", "sure"),
        **{"x-also": {"law": "source", "confidence": "sure", "comment": "note", "notes": "note"}},
    )


def _by_channel(description: str, of_email: JsonSchema, of_sms: JsonSchema) -> JsonSchema:
    return _section(description, {"email": of_email, "sms": of_sms}, **{"x-also": {"mail": "email", "text": "sms"}})


def _hours(channel: str) -> JsonSchema:
    days = {**dict.fromkeys(GROUPS, phrase("these days")), **dict.fromkeys(DAYS, phrase("this day alone"))}
    day = {"type": "string", "format": "day-hours"}
    opened = {
        "type": ["string", "object"],
        "format": "hours",
        "description": phrase(
            "One range for all days, or a section of days; a day that is not named is closed. On the guest's own clock."
        ),
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            name: {**day, "description": phrase("The hours of {about}.", about=about)} for name, about in days.items()
        },
    }
    holidays = _text(phrase("closed: nothing goes out on the country's public holidays."), enum=["closed", "open"])
    return _sourced(
        phrase("When advertising by {channel} may go out.", channel=channel),
        {"open": opened, "holidays": {**holidays, "default": "open"}},
        required=("open",),
    )


def _consent(channel: str) -> JsonSchema:
    span = {"type": "string", "format": "calendar-duration"}
    ends = _section(
        phrase("When implied consent ends by itself: when neither of the two is lately enough. Left out: never."),
        {
            "after_order": {**span, "description": phrase("So long it lasts from the guest's last order.")},
            "after_consent": {
                **span,
                "description": phrase("So long it lasts from consent_at in the import: the day of the enquiry."),
            },
        },
        minProperties=1,
    )
    kinds = {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "enum": list(KINDS)},
        "description": phrase(
            "express: the guest said yes. implied: the guest bought here and did not refuse (soft opt-in)."
        ),
    }
    return _sourced(
        phrase("Which consent advertising by {channel} needs.", channel=channel),
        {"kinds": kinds, "implied_ends": ends},
        required=("kinds",),
    )


_STOP_WORDS: Final = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1},
    "description": phrase("What a guest answers to end it, besides STOP, UNSUBSCRIBE and the like: the whole text."),
}
_UNLESS: Final = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1},
    "description": phrase("A message with one of these words has a way out already, and the end is not added."),
}

COMPLIANCE_SCHEMA: Final[JsonSchema] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "What Regulars knows of a country's law on advertising messages",
    "x-name": phrase("a country's file"),
    "x-also": {"date": "as_of", "quiet_hours": "hours", "opt_in": "consent", "required_texts": "texts"},
    "description": phrase("The law on advertising messages in one country, as far as Regulars acts on it."),
    "type": "object",
    "additionalProperties": False,
    "required": ["country", "as_of"],
    "properties": {
        "country": _text(phrase("Two letters, as in the name of the file."), format="country"),
        "as_of": _text(phrase("When the values were last compared with their sources: 2026-11-22."), format="date"),
        "about": _text(phrase("The laws in a sentence or two.")),
        "hours": _by_channel(
            phrase("When advertising may go out. A channel that is not named has no legal hours."),
            _hours("email"),
            _hours("SMS"),
        ),
        "consent": _by_channel(
            phrase("Which consent counts. For a channel that is not named, express consent alone."),
            _consent("email"),
            _consent("SMS"),
        ),
        "texts": _by_channel(
            phrase("What must stand in every advertising message; it is added where the template lacks it."),
            _sourced(
                phrase("What an email must show. Name, address and a way out are always added."),
                {"subject": _text(phrase("What every subject must hold; it is put before it."))},
                required=("subject",),
            ),
            _sourced(
                phrase("What an SMS must show. {{business}} is your name, {{refusal_number}} the number below."),
                {
                    "begin": _text(phrase("What every SMS begins with.")),
                    "end": _text(phrase("What every SMS ends with.")),
                    "unless_has": _UNLESS,
                    "stop_words": _STOP_WORDS,
                },
            ),
        ),
        "own": _section(
            phrase("What only you know."),
            {
                "refusal_number": _text(
                    phrase("The number at which a guest refuses free of charge, as a guest should read it.")
                )
            },
        ),
    },
}
