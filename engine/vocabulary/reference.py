"""The words of the rule language as a reader looks them up: gathered from the vocabulary itself, so never out of date.

``sections()`` is what both the page ``docs/reference.md`` and ``regulars words`` are made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.language.formats import WANTS
from engine.language.phrases import Phrase, listed, phrase
from engine.vocabulary.actions import ACTIONS, settings_schema
from engine.vocabulary.comparisons import NUMBER_WORDS, JsonSchema, number_tests, text_tests
from engine.vocabulary.conditions import CONDITIONS
from engine.vocabulary.filters import FILTER_SCHEMA, PERIOD_SCHEMA
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.triggers import TRIGGERS

TEXT_WORDS: Final = frozenset(text_tests("")["properties"])

#: Settings that many words share: explained once, in a section of their own.
SHARED: Final[Mapping[str, frozenset[str]]] = {
    "filters": frozenset(FILTER_SCHEMA),
    "period": frozenset(PERIOD_SCHEMA),
    "numbers": NUMBER_WORDS,
    "texts": TEXT_WORDS,
}


@dataclass(frozen=True)
class Setting:
    """One setting of a word: ``path`` is its name, below the word or below another setting."""

    path: tuple[str, ...]
    value: str
    about: str


@dataclass(frozen=True)
class Entry:
    """One word: what it is for, what it takes, how it is written."""

    word: str
    about: str
    value: str
    settings: tuple[Setting, ...] = ()
    shared: tuple[str, ...] = ()  #: names of ``SHARED`` whose settings it takes too
    notes: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True)
class Section:
    """Words of one kind. ``under`` is where they stand in a rule file, empty for the rule itself."""

    name: str
    title: str
    about: str
    entries: tuple[Entry, ...] = field(repr=False)
    under: str = ""


def sections() -> tuple[Section, ...]:
    """Give every word of the language, in the order in which one learns it."""
    return (
        Section(
            "rule",
            phrase("A rule file"),
            phrase("One file in rules/ is one rule. Only id, trigger and actions are needed."),
            tuple(_rule_entries()),
        ),
        Section(
            "triggers",
            phrase("Triggers"),
            phrase(
                "What makes a guest a candidate. A rule has exactly one; a plain value stands for its first setting."
            ),
            tuple(_trigger_entries()),
            under="trigger",
        ),
        Section(
            "conditions",
            phrase("Conditions"),
            phrase(
                "What must hold as well: under conditions, stop_if, only_if, exclude and in segments. All words of a "
                "map must hold; a plain value means equals, a list one of."
            ),
            tuple(_entry(word, made.schema(), made) for word, made in CONDITIONS.items()),
            under="conditions",
        ),
        _filters(),
        _tests("numbers", phrase("Tests on numbers"), number_tests(phrase("The number")), NUMBER_EXAMPLES),
        _tests("texts", phrase("Tests on texts"), text_tests(phrase("The text"))["properties"], TEXT_EXAMPLES),
        Section(
            "actions",
            phrase("Actions"),
            phrase("What is done, in order: a list of steps, each with exactly one word."),
            tuple(_entry(word, settings_schema(word), made) for word, made in ACTIONS.items()),
            under="actions",
        ),
    )


def _rule_entries() -> Iterator[Entry]:
    schema = rule_schema()
    for word, part in schema["properties"].items():
        # The three great parts have sections of their own.
        settings = () if word in {"trigger", "actions"} else tuple(_settings(part))
        yield Entry(word, part["description"], _value(part), settings, example=RULE_EXAMPLES[word])


def _trigger_entries() -> Iterator[Entry]:
    for word, made in TRIGGERS.items():
        notes = [phrase("Once for each: {what}.", what=made.once_for), phrase("Open: {time}.", time=made.open_for)]
        if made.again_for is not None:
            notes.append(phrase("again_after under limits, if left out: {time}.", time=made.again_for))
        if made.gives:
            notes.append(phrase("Templates see: {names}.", names=listed(sorted(made.gives))))
        if made.absence:
            notes.append(phrase("Waits for fresh data, and stops by itself when the guest comes back."))
        yield _entry(word, made.schema(), made, [*notes, *_known(made.schema())])


def _known(schema: JsonSchema) -> Iterator[Phrase]:
    """Say which names Regulars knows by itself: festivals."""
    for part in schema.get("properties", {}).values():
        if "x-names" in part and "examples" in part:
            yield phrase("Known: {words}.", words=listed(part["examples"]))


def _entry(word: str, schema: JsonSchema, made: Any, notes: Sequence[str] = ()) -> Entry:
    shared = _shared(schema)
    hidden = {name for group in shared for name in SHARED[group]}
    settings = tuple(one for one in _settings(schema) if one.path[0] not in hidden)
    return Entry(word, made.about, _value(schema), settings, shared, tuple(notes), made.example)


def _shared(schema: JsonSchema) -> tuple[str, ...]:
    """Name the shared settings that all stand in a schema; the filters hold the period already."""
    known = frozenset(schema.get("properties", ()))
    found = [name for name, words in SHARED.items() if words <= known]
    if "numbers" in found and "texts" in found:
        found.remove("texts")  # equals, is_not, one_of and none_of are tests on numbers too
    return tuple(name for name in found if not (name == "period" and "filters" in found))


def _settings(schema: JsonSchema, above: tuple[str, ...] = ()) -> Iterator[Setting]:
    for name, part in schema.get("properties", {}).items():
        path = (*above, name)
        yield Setting(path, _value(part), part.get("description", ""))
        if not _shared(part):
            yield from _settings(part, path)


def _value(schema: JsonSchema) -> Phrase:
    """Say what may stand there: ``a duration such as 90 days or settings``."""
    if "$ref" in schema:
        return phrase("conditions")
    given = schema.get("type", [])
    kinds = [given] if isinstance(given, str) else given
    said = [_kind(kind, schema) for kind in kinds if kind != "null"]
    if "null" in kinds:
        said.append(phrase("nothing"))
    return listed(dict.fromkeys(said), " or ")


def _kind(kind: str, schema: JsonSchema) -> Phrase:
    form = schema.get("format", "")
    if kind == "string" and "enum" in schema:
        return phrase("one of {words}", words=listed(schema["enum"]))
    if kind == "string" and form in WANTS:
        return WANTS[form]
    if kind in {"number", "integer"} and form == "money":
        return WANTS["money"]
    if kind == "array" and "type" in schema.get("items", {}):
        return phrase("a list of: {what}", what=_value(schema["items"]))
    return _KINDS[kind]


_KINDS: Final[Mapping[str, Phrase]] = {
    "string": phrase("a text"),
    "integer": phrase("a whole number"),
    "number": phrase("a number"),
    "boolean": phrase("true or false"),
    "array": phrase("a list"),
    "object": phrase("settings"),
}


def _filters() -> Section:
    entries = tuple(
        Entry(word, part["description"], _value(part), example=FILTER_EXAMPLES[word])
        for word, part in FILTER_SCHEMA.items()
    )
    about = phrase("Which orders are spoken of, the same wherever that is asked. The examples are conditions.")
    return Section("filters", phrase("Order filters"), about, entries, under="conditions")


def _tests(name: str, title: Phrase, words: Mapping[str, JsonSchema], examples: Mapping[str, str]) -> Section:
    entries = tuple(
        Entry(word, part["description"], _value(part), example=examples[word]) for word, part in words.items()
    )
    about = phrase("Side by side with the other settings of a condition; several must all hold.")
    return Section(name, title, about, entries, under="conditions")


RULE_EXAMPLES: Final[Mapping[str, str]] = {
    "id": "id: win-back",
    "about": "about: Bring back guests who have been quiet for three months.",
    "schedule": "schedule: daily at 10:00",
    "trigger": "trigger:\n  lapsed: 90 days",
    "conditions": "conditions:\n  orders:\n    at_least: 3",
    "actions": (
        "actions:\n  - coupon:\n      offer: twenty-percent\n  - email:\n      template: win-back\n  - wait: 3 days\n"
        "  - sms:\n      template: win-back-reminder"
    ),
    "stop_if": "stop_if:\n  orders:\n    since: match\n    at_least: 1",
    "priority": "priority: 50",
    "purpose": "purpose: service",
    "because": "because: An apology with a drink is part of settling a complaint.",
    "topic": "topic: offers",
    "send": "send:\n  between: 10:00-12:00\n  on:\n    - tue\n    - wed",
    "active": "active:\n  from: 2026-12-01\n  until: 2026-12-24",
    "limits": "limits:\n  again_after: 180 days\n  max_matches: 500",
    "holdout": "holdout: 10%",
}
FILTER_EXAMPLES: Final[Mapping[str, str]] = {
    "within": "orders:\n  within: 90 days\n  at_least: 2",
    "before": "orders:\n  within: 90 days\n  before: 30 days\n  at_least: 1",
    "since": "orders:\n  since: 2026-01-01\n  at_least: 1",
    "store": "orders:\n  store: Mill Lane\n  at_least: 1",
    "channel": "orders:\n  channel: takeaway\n  at_least: 1",
    "product": 'orders:\n  product: "*latte*"\n  at_least: 1',
    "category": "orders:\n  category: Lunch\n  at_least: 1",
    "weekday": "orders:\n  weekday:\n    - sat\n    - sun\n  at_least: 1",
    "hours": "orders:\n  hours: 06:00-11:00\n  at_least: 1",
    "total": "orders:\n  total:\n    at_least: 50\n  at_least: 1",
}
NUMBER_EXAMPLES: Final[Mapping[str, str]] = {
    "at_least": "visits:\n  at_least: 3",
    "at_most": "visits:\n  at_most: 3",
    "more_than": "visits:\n  more_than: 3",
    "less_than": "visits:\n  less_than: 3",
    "equals": "visits:\n  equals: 3",
    "is_not": "visits:\n  is_not: 3",
    "between": "visits:\n  between:\n    - 1\n    - 3",
    "one_of": "visits:\n  one_of:\n    - 1\n    - 3",
    "none_of": "visits:\n  none_of:\n    - 1\n    - 3",
}
TEXT_EXAMPLES: Final[Mapping[str, str]] = {
    "equals": "city:\n  equals: Springfield",
    "is_not": "city:\n  is_not: Springfield",
    "one_of": "city:\n  one_of:\n    - Springfield\n    - Chatham",
    "none_of": "city:\n  none_of:\n    - Springfield\n    - Chatham",
}
