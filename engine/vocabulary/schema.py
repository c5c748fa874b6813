"""The JSON Schemas (draft-07) that the vocabulary gives: for the check, and for the owner's editor.

No ``oneOf`` and no ``anyOf``: with them a misspelt key gets a useless message and editors lose their completion
(measured on eight typical mistakes).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from engine.language.calendarfile import CALENDAR_SCHEMA
from engine.language.compliance_schema import COMPLIANCE_SCHEMA
from engine.language.config import CONFIG_SCHEMA
from engine.language.config_schema import BUDGET_SCHEMA
from engine.language.loyalty import LOYALTY_SCHEMA
from engine.language.offers import OFFERS_SCHEMA
from engine.language.phrases import phrase
from engine.vocabulary.actions import action_schema
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.conditions import conditions_schema
from engine.vocabulary.triggers import trigger_schema

DRAFT = "http://json-schema.org/draft-07/schema#"

_SEND: JsonSchema = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "description": phrase("When messages of this rule may go out, besides the hours of config/regulars.yaml."),
    "properties": {
        "between": {
            "type": "string",
            "format": "clock-range",
            "description": phrase("Only at these hours of the guest's day: 10:00-12:00."),
        },
        "on": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
            "description": phrase("Only on these weekdays: [tue, wed]."),
        },
        "within": {
            "type": "string",
            "format": "duration",
            "description": phrase("Not out this long after it was due: expired."),
        },
        "spread": {
            "type": "string",
            "format": "exact-duration",
            "description": phrase("Spread the messages over this long instead of all at once: 2 hours."),
        },
    },
}

_ACTIVE: JsonSchema = {
    "type": ["boolean", "object"],
    "additionalProperties": False,
    "minProperties": 1,
    "description": phrase("true, false, or from and until; true if left out."),
    "properties": {
        "from": {"type": "string", "format": "date", "description": phrase("The first day: 2026-12-01.")},
        "until": {"type": "string", "format": "date", "description": phrase("The last day: 2026-12-24.")},
    },
}

_LIMITS: JsonSchema = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "description": phrase("How soon again, and how many at once."),
    "properties": {
        "again_after": {
            "type": "string",
            "format": "duration",
            "description": phrase("Not again to the same guest or address before this long."),
        },
        "budget": BUDGET_SCHEMA,
        "max_matches": {
            "type": "integer",
            "minimum": 1,
            "description": phrase("More than this in one run wait for `regulars approve`; nobody is left out."),
        },
    },
}


def _what() -> dict[str, JsonSchema]:
    """What the rule is and does."""
    return {
        "id": {
            "type": "string",
            "format": "slug",
            "description": phrase("The rule's name for good: what was sent is remembered under it. Never change it."),
        },
        "about": {"type": "string", "minLength": 1, "description": phrase("What the rule is for, in a sentence.")},
        "schedule": {
            "type": "string",
            "format": "schedule",
            "description": phrase("When to look: daily at 10:00, mondays at 09:00, every 15 minutes, or a cron line."),
        },
        "trigger": trigger_schema(),
        "conditions": {"$ref": "#/definitions/conditions", "description": phrase("What must hold as well; all of it.")},
        "actions": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/definitions/step"},
            "description": phrase("What is done, in order; one word a step."),
        },
        "stop_if": {
            "$ref": "#/definitions/conditions",
            "description": phrase("Asked again before every later step: if all of it holds, the rest is cancelled."),
        },
    }


def _how() -> dict[str, JsonSchema]:
    """How it is treated: in which order, under which consent, when, how often."""
    return {
        "priority": {
            "type": "integer",
            "minimum": 0,
            "maximum": 1000,
            "description": phrase("Who goes first where caps leave room for one: the smaller number. 100 if left out."),
        },
        "purpose": {
            "type": "string",
            "enum": ["marketing", "service"],
            "description": phrase(
                "marketing (if left out) needs consent and obeys caps; service, such as an apology, not."
            ),
        },
        "because": {
            "type": "string",
            "minLength": 10,
            "description": phrase("Why a service rule may carry an offer."),
        },
        "topic": {
            "type": "string",
            "x-names": "topics",
            "description": phrase("One of the topics in config/regulars.yaml that guests agree to."),
        },
        "send": _SEND,
        "active": _ACTIVE,
        "limits": _LIMITS,
        "holdout": {
            "type": "string",
            "format": "share",
            "description": phrase(
                "This share of the guests gets nothing, so that the others can be compared with them: 10%."
            ),
        },
    }


@cache
def rule_schema() -> JsonSchema:
    """Give the schema of a rule file."""
    return {
        "$schema": DRAFT,
        "title": "A rule of Regulars",
        "x-name": phrase("a rule"),
        "x-also": {
            "name": "id",
            "description": "about",
            "when": "trigger",
            "triggers": "trigger",
            "if": "conditions",
            "condition": "conditions",
            "filter": "conditions",
            "then": "actions",
            "action": "actions",
            "steps": "actions",
            "do": "actions",
            "enabled": "active",
            "cron": "schedule",
            "limit": "limits",
            "control": "holdout",
            "stop": "stop_if",
        },
        "x-elsewhere": {
            "exclude": phrase(
                'It stands in config/regulars.yaml, for all rules. For this one, write below "conditions:", indented: '
                "none: [...]"
            )
        },
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "trigger", "actions"],
        "properties": {**_what(), **_how()},
        "definitions": {"conditions": conditions_schema(), "step": action_schema()},
    }


@cache
def segments_schema() -> JsonSchema:
    """Give the schema of ``config/segments.yaml``: names, each with its conditions."""
    return {
        "$schema": DRAFT,
        "title": "Segments of Regulars",
        "x-name": phrase("the segments"),
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "required": ["conditions"],
            "properties": {
                "about": {"type": "string", "description": phrase("Who is in it, in a sentence.")},
                "conditions": {"$ref": "#/definitions/conditions", "description": phrase("What must hold; all of it.")},
            },
        },
        "definitions": {"conditions": conditions_schema()},
    }


@cache
def config_schema() -> JsonSchema:
    """Give the schema of ``config/regulars.yaml``, with the conditions of ``exclude``."""
    properties = {**CONFIG_SCHEMA["properties"]}
    properties["exclude"] = {**properties["exclude"], "$ref": "#/definitions/conditions"}
    return {**CONFIG_SCHEMA, "properties": properties, "definitions": {"conditions": conditions_schema()}}


#: Every schema by the name of its file under ``config/schema/``.
SCHEMAS: dict[str, Callable[[], JsonSchema]] = {
    "rule.json": rule_schema,
    "config.json": config_schema,
    "segments.json": segments_schema,
    "offers.json": lambda: OFFERS_SCHEMA,
    "loyalty.json": lambda: LOYALTY_SCHEMA,
    "compliance.json": lambda: COMPLIANCE_SCHEMA,
    "calendar.json": lambda: CALENDAR_SCHEMA,
}


#: Names that a home has made for itself, by what they name (``x-names`` in a schema): templates, offers, segments ...
Names = Mapping[str, Sequence[str]]


def schema_text(name: str, names: Names | None = None) -> str:
    """Give the text of a schema file, as it is committed (``KeyError`` for an unknown name).

    With ``names`` an editor offers them where they may stand; others are no mistake, they may be new.
    """
    return json.dumps(_for_editors(SCHEMAS[name](), names or {}), indent=2, ensure_ascii=False) + "\n"


def _for_editors(schema: JsonSchema, names: Names, title: str = "") -> JsonSchema:
    """Give every part its word as a title: editors show the nearest one, which would be the whole file's."""
    made = {**({"title": title} if title else {}), **schema}
    for inside in ("properties", "patternProperties", "definitions"):
        if inside in made:
            made[inside] = {word: _for_editors(part, names, word) for word, part in made[inside].items()}
    for inside in ("items", "additionalProperties"):
        if isinstance(made.get(inside), dict):
            made[inside] = _for_editors(made[inside], names, made[inside].get("x-name", title))
    known = names.get(made.pop("x-names", ""))
    if known:
        made["examples"] = list(known)
    return made
