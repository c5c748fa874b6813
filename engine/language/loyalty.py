"""``config/loyalty.yaml``: ledgers of points and stamps, and tiers that guests earn by spend or visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from engine.language.check import check
from engine.language.document import Document
from engine.language.durations import Duration
from engine.language.formats import minor_units
from engine.language.phrases import phrase
from engine.language.problems import Problem, errors, ordered
from engine.language.textkey import text_key
from engine.language.yamlfile import load

LOYALTY_FILE: Final = "config/loyalty.yaml"
#: The ledger that is there without a word of the owner.
POINTS: Final = "points"

_NAME: Final[dict[str, Any]] = {
    "type": ["string", "object"],
    "minLength": 1,
    "minProperties": 1,
    "description": phrase("What the guest reads: one text, or one for each language (en, zh, ...)."),
    "propertyNames": {"format": "language"},
    "additionalProperties": {"type": "string", "minLength": 1, "description": phrase("In this language.")},
}
_LEVEL: Final[dict[str, Any]] = {
    "type": "object",
    "x-name": phrase("a tier"),
    "x-also": {"spend": "at", "visits": "at", "from": "at", "points": "multiple", "factor": "multiple"},
    "description": phrase("One tier: from how much on, and how fast its guests earn points."),
    "additionalProperties": False,
    "required": ["at"],
    "properties": {
        "at": {
            "type": "number",
            "minimum": 0,
            "maximum": 1_000_000_000,
            "description": phrase("Who has this much in the period, in your currency or in visits, has the tier."),
        },
        "multiple": {
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "description": phrase("Points for an order, its items or its total are multiplied by it; 1 if left out."),
        },
        "name": _NAME,
    },
}

LOYALTY_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Loyalty of a home of Regulars",
    "x-name": phrase("the loyalty file"),
    "x-also": {"levels": "tiers", "points": "ledgers", "stamps": "ledgers"},
    "type": "object",
    "description": phrase("Ledgers of points or stamps, and tiers."),
    "additionalProperties": False,
    "properties": {
        "ledgers": {
            "type": "object",
            "description": phrase("What guests collect, by name: points, stamps. The ledger points is always there."),
            "propertyNames": {"format": "slug"},
            "additionalProperties": {
                "type": ["object", "null"],
                "x-name": phrase("a ledger"),
                "x-also": {"valid": "expires", "expire": "expires", "lasts": "expires"},
                "description": phrase("One ledger and its rules."),
                "additionalProperties": False,
                "properties": {
                    "name": _NAME,
                    "multiples": {
                        "type": "boolean",
                        "description": phrase(
                            "Whether a tier's multiple counts for it: yes for points, no for others."
                        ),
                    },
                    "expires": {
                        "type": "string",
                        "format": "duration",
                        "description": phrase("How long points last that a rule adds: 1 year. For ever if left out."),
                    },
                },
            },
        },
        "tiers": {
            "type": "object",
            "description": phrase("Tiers by what a guest spent, or how often a guest came, in a period until today."),
            "x-also": {"period": "within", "in": "within", "tiers": "levels"},
            "additionalProperties": False,
            "required": ["by", "within", "levels"],
            "properties": {
                "by": {
                    "type": "string",
                    "enum": ["spend", "visits"],
                    "description": phrase("What is counted: spend, or visits (days with an order)."),
                },
                "within": {
                    "type": "string",
                    "format": "duration",
                    "description": phrase("How far back, today included: 1 year. Older orders no longer count."),
                },
                "levels": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"format": "slug"},
                    "additionalProperties": _LEVEL,
                    "description": phrase("The tiers by the name that rules call them: silver, gold."),
                },
            },
        },
    },
}

Name = str | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ledger:
    """A kind of points. ``expires`` is how long a lot lasts, its last day whole; None: for ever.

    ``multiples`` is whether the multiple of a guest's tier counts for what is earned.
    """

    key: str
    name: Name
    expires: Duration | None = None
    multiples: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """A tier. ``at`` is minor units of spend, or visits; ``multiple`` is what earned points are multiplied by."""

    key: str
    name: Name
    at: int
    multiple: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Tiers:
    """Tiers by spend or visits of the last ``within``; ``levels`` from the lowest mark to the highest."""

    by: Literal["spend", "visits"]
    within: Duration
    levels: tuple[Level, ...]

    def level(self, key: str | None) -> Level | None:
        """Give the level of a key, however it is written."""
        wanted = None if key is None else text_key(key)
        return next((each for each in self.levels if text_key(each.key) == wanted), None)


@dataclass(frozen=True)
class Loyalty:
    """The file. Without ``tiers`` those of the customers' file count."""

    ledgers: Mapping[str, Ledger] = field(default_factory=lambda: {POINTS: Ledger(POINTS, POINTS)})
    tiers: Tiers | None = None
    sound: bool = True  #: the file has no error; else the tiers of yesterday stand

    def multiple(self, tier_key: str | None) -> Decimal:
        """Give what points are multiplied by that a guest of this tier earns; 1 for a guest without one."""
        level = None if self.tiers is None else self.tiers.level(tier_key)
        return Decimal(1) if level is None else level.multiple


def load_loyalty(root: Path, currency: str) -> tuple[Loyalty, list[Problem]]:
    """Read the file of the home at ``root``; marks of spend are in ``currency``.

    What is broken is left out and told; a home without the file has one ledger, ``points``, and no tiers.
    """
    file = root / LOYALTY_FILE
    if not file.exists() and not file.with_name(file.name + ".txt").exists():
        return Loyalty(), []
    document, problems = load(file, LOYALTY_FILE)
    if document is None:
        return Loyalty(sound=False), problems
    problems.extend(check(document, LOYALTY_SCHEMA))
    shape = LOYALTY_SCHEMA["properties"]
    loyalty = Loyalty()
    ledgers = dict(loyalty.ledgers)
    given = document.data.get("ledgers")
    for key in given if isinstance(given, dict) else ():
        at = ("ledgers", key)
        if _is_sound(document, shape["ledgers"]["additionalProperties"], at):
            ledgers[key] = _ledger(document, key, problems)
    tiers = None
    if "tiers" in document.data and _is_sound(document, shape["tiers"], ("tiers",)):
        tiers = _tiers(document, currency, problems)
    return Loyalty(ledgers, tiers, sound=not errors(problems)), ordered(problems)


def _is_sound(document: Document, schema: Mapping[str, Any], at: tuple[str, ...]) -> bool:
    return not errors(check(document, schema, at)) and not document.is_spoilt(at)


def _ledger(document: Document, key: str, problems: list[Problem]) -> Ledger:
    given = document.data["ledgers"][key] or {}
    expires = _days(document, ("ledgers", key, "expires"), problems) if "expires" in given else None
    return Ledger(key, _name(given, key), expires, given.get("multiples", key == POINTS))


def _tiers(document: Document, currency: str, problems: list[Problem]) -> Tiers | None:
    given = document.data["tiers"]
    found: list[Problem] = []
    within = _days(document, ("tiers", "within"), found)
    levels: list[Level] = []
    marks: dict[int, str] = {}
    for key, level in given["levels"].items():
        at = ("tiers", "levels", key, "at")
        mark = _visits(document, at, found) if given["by"] == "visits" else _money(document, at, currency, found)
        if mark is None:
            continue
        if mark in marks:
            said = phrase('"{one}" and "{other}" begin at the same mark', one=marks[mark], other=key)
            found.append(document.problem(at, said, "same-mark", hint=phrase("a guest has one tier at a time")))
        marks[mark] = key
        levels.append(Level(key, _name(level, key), mark, Decimal(str(level.get("multiple", 1)))))
    problems.extend(found)
    if errors(found) or within is None:
        return None
    return Tiers(given["by"], within, tuple(sorted(levels, key=lambda level: level.at)))


def _visits(document: Document, at: tuple[str, ...], problems: list[Problem]) -> int | None:
    given = _at(document, at)
    if given == int(given):
        return int(given)
    said = phrase('"at" is {number}: visits are whole numbers', number=given)
    problems.append(document.problem(at, said, "not-whole"))
    return None


def _money(document: Document, at: tuple[str, ...], currency: str, problems: list[Problem]) -> int | None:
    try:
        return minor_units(_at(document, at), currency)
    except ValueError as error:
        problems.append(document.problem(at, phrase('"at": {what}', what=error), "bad-money"))
        return None


def _days(document: Document, at: tuple[str, ...], problems: list[Problem]) -> Duration | None:
    duration = Duration.parse(_at(document, at))
    if duration.is_calendar and duration.amount:
        return duration
    said = phrase('"{word}" is {length}; it counts whole days', word=at[-1], length=duration)
    problems.append(document.problem(at, said, "too-short", hint=phrase("such as {length}", length="1 year")))
    return None


def _at(document: Document, at: tuple[str, ...]) -> Any:
    value: Any = document.data
    for key in at:
        value = value[key]
    return value


def _name(given: Mapping[str, Any], key: str) -> Name:
    name = given.get("name", key)
    return name if isinstance(name, str) else dict(name)
