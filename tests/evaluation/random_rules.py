"""Random rule files, drawn from the schemas of the vocabulary itself: a new word is drawn without anybody's doing.

Nothing here knows what a word means; it knows which names and numbers say something in a random café. A draft may have no
meaning (``up_to`` below ``after``): ``a_rule`` draws until one is right.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from random_cafes import SEGMENTS

from engine.language.problems import Problem, errors, to_text
from engine.language.rule import Rule
from engine.language.yamlfile import parse
from engine.vocabulary.attributes import PATTERN
from engine.vocabulary.comparisons import NUMBER_WORDS, NumberTest
from engine.vocabulary.reading import Surroundings
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.validate import rule_from

Path = tuple[str, ...]
#: A rule to put conditions into.
PLAIN: dict[str, Any] = {"id": "r", "trigger": {"birthday": None}, "actions": [{"email": "hello"}]}
GROUPS = ("any", "all", "none")
DEEPEST = 3

#: By the nearest key above: what a text may be.
TEXTS: dict[str, tuple[str, ...]] = {
    "product": ("*latte", "Soup", "salad", "x"),
    "category": ("lunch", " Coffee ", "x"),
    "store": ("mill lane", "S-2", "Quay", "x"),
    "channel": ("DINE-IN", "takeaway", "*"),
    "city": ("são paulo", "Spring*", "Springfield"),
    "tier": ("gold", "Silver", "*"),
    "language": ("zh", "zh-hans", "de", "en"),
    "source": ("google", "receipt"),
    "template": ("hello", "hello", "hello", "gift"),
    "subject": ("A word from us",),
    "offer": ("treat",),
    "segment": tuple(SEGMENTS),
    "topic": ("news", "offers"),
    "alert": ("hello",),
    "email": ("hello", "hello", "gift"),
    "sms": ("hello", "hello", "gift"),
    "coupon": ("treat",),
    "to": ("manager", "store", "app"),
    "webhook": ("app",),
    "about": ("A rule of chance.",),
    "on": ("mon", "thu", "12-06", "02-29", "01-31", "02-05"),
    "of": ("joined", "wedding"),
    "anniversary": ("joined", "wedding"),
    "gender": ("female", "Male", "x"),
    "name": ("rain", "table booked", "x"),
    "event": ("rain", "table booked", "x"),
    "events": ("rain", "Table Booked"),
    "from": ("gold", "Silver"),
    "festival": ("lunar-new-year", "valentines-day", "christmas"),
    "enters": tuple(SEGMENTS),
    "rule": ("earlier", "still-earlier"),
    "coupons": ("treat", "old-offer"),
    "favourite": ("mon", "Latte", "Coffee", "Quay", "S-1", "fri"),
    "attribute.pet": ("dog", "CAT"),
    "attribute.vegan": ("yes", "no"),
    "attribute.wedding": ("2021-01-31", "2020-02-29", "2019-12-31"),
    "birthday_month": ("this", "next"),
    "tag": ("staff", "VEGETARIAN", "*"),
    "add": ("happy",),
    "remove": ("sad",),
    "ledger": ("points", "stamps"),
    "area": ("north", "South"),
    "seats": ("2", "4"),
    "because": ("It is part of the service.",),
}

#: By the nearest key above: what a number may be; else a small one.
NUMBERS: dict[str, tuple[float, ...]] = {
    "spend": (0, 5, 12.5, 25, 40),
    "points": (0, 10, 50, 100),
    "days_since_order": (0, 3, 10, 30, 90),
    "low_rating": (1, 2, 2.5, 3),
    "times": (1.5, 2, 2.5, 3),
    "at_risk": (2, 3, 4),
    "days_before": (0, 1, 7, 30),
    "on": (1, 15, 29, 31),
    "priority": (1, 50, 100),
    "max_matches": (1, 1000),
}
SMALL = (0, 1, 2, 2.5, 3, 5)

#: By format: what a text in that form may be.
FORMS: dict[str, tuple[str, ...]] = {
    "duration": ("0 days", "1 day", "3 days", "1 week", "10 days", "20 days", "1 month", "60 days", "3 months",
                 "1 year", "36 hours", "90 minutes"),
    "exact-duration": ("30 minutes", "2 hours"),
    "date": ("2025-12-31", "2026-01-15", "2026-02-28", "2026-03-01"),
    "date-or-match": ("2025-12-31", "2026-01-15", "2026-02-28", "match"),
    "clock-range": ("08:00-19:00", "11:30-14:00"),
    "schedule": ("every 15 minutes",),
    "weekday": ("mon", "sat", "weekdays", "weekend"),
    "share": ("10%", "50%", "0.5%"),
    "budget": ("100 a day", "500 a month"),
    "slug": ("a-rule",),
    "validity": ("14 days", "month end", "2027-01-31"),
}  # fmt: skip


class Draft:
    """One draft of a file: every value of it by the schema of its place."""

    def __init__(self, dice: random.Random, schema: Mapping[str, Any] | None = None) -> None:
        self.dice = dice
        self.schema = schema or rule_schema()

    def rule(self) -> dict[str, Any]:
        """Draw a rule: what it must have, conditions most of the time, and each other setting now and then."""
        words = self.schema["properties"]
        chance = {"conditions": 0.7, "limits": 0.4, "purpose": 0.5}
        chosen = [w for w in words if w in self.schema["required"] or self.dice.random() < chance.get(w, 0.12)]
        drawn = {word: self.value(words[word], (word,)) for word in chosen}
        return {**drawn, "schedule": "every 15 minutes"}

    def conditions(self) -> dict[str, Any]:
        """Draw a map of conditions."""
        drawn: dict[str, Any] = self.value({"$ref": "#/definitions/conditions"}, ("conditions",))
        return drawn

    def value(self, schema: Mapping[str, Any], path: Path) -> Any:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return (
                self._conditions(path) if name == "conditions" else self.value(self.schema["definitions"][name], path)
            )
        if "enum" in schema:
            return self.dice.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kinds = schema.get("type", "object")
        if not isinstance(kinds, str):
            kinds = "object" if "object" in kinds and self.dice.random() < 0.5 else self.dice.choice(kinds)
        drawn: Any = getattr(self, f"_{kinds}")(schema, path)
        return drawn

    def _conditions(self, path: Path) -> dict[str, Any]:
        words = self.schema["definitions"]["conditions"]["properties"]
        shallow = sum(part in GROUPS for part in path) < DEEPEST
        known = [word for word in words if shallow or word not in GROUPS]
        chosen = self.dice.sample(known, self.dice.choice((1, 1, 1, 2)))
        drawn = {word: self.value(words[word], (*path, word)) for word in chosen}
        return drawn | self._by_pattern(self.schema["definitions"]["conditions"], path, 0.03)

    def _object(self, schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
        words, required = schema.get("properties", {}), schema.get("required", [])
        if path == ("trigger",) or (path and path[-1] == "actions[]"):
            deep = sum(part == "split" for part in path) > 1
            chosen = [
                self.dice.choice([word for word in words if word != "only_if" and not (deep and word == "split")])
            ]
            chosen += [word for word in words if word == "only_if" and self.dice.random() < 0.2]
        else:
            share = self.dice.choice((0.1, 0.3, 0.6))
            chosen = [word for word in words if word in required or self.dice.random() < share]
            if words and len(chosen) < schema.get("minProperties", 0):
                chosen = [self.dice.choice(list(words))]
        drawn = {word: self.value(words[word], (*path, word)) for word in chosen}
        return _together(drawn) | self._by_pattern(schema, path, 0.5)

    def _by_pattern(self, schema: Mapping[str, Any], path: Path, share: float) -> dict[str, Any]:
        """Draw entries whose names are free: of a pattern, or any that the schema lets in."""
        free = {**schema.get("patternProperties", {})}
        if isinstance(schema.get("additionalProperties"), Mapping):
            free[""] = schema["additionalProperties"]
        drawn = {}
        for pattern, inner in free.items():
            names = next((KEYS[key] for key in (*reversed(path), pattern) if key in KEYS), ("first", "second"))
            for name in names:
                if self.dice.random() < share or len(drawn) < schema.get("minProperties", 0):
                    drawn[name] = self.value(inner, (*path, name))
        return drawn

    def _array(self, schema: Mapping[str, Any], path: Path) -> list[Any]:
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 2), max(least + 2, 2))
        inner = (*path[:-1], f"{path[-1]}[]")
        drawn = [self.value(schema["items"], inner) for _ in range(self.dice.randint(max(least, 1), most))]
        if path[-1] == "between":
            drawn.sort(key=lambda each: (isinstance(each, str), each))
        return [
            each for number, each in enumerate(drawn) if each not in drawn[:number] or not schema.get("uniqueItems")
        ]

    def _string(self, schema: Mapping[str, Any], path: Path) -> str:
        if "format" in schema:
            return "50%" if path[-1] == "share" else self.dice.choice(FORMS[schema["format"]])
        return self.dice.choice(_nearest(TEXTS, path, ("x",)))

    def _number(self, schema: Mapping[str, Any], path: Path) -> float:
        least, most = schema.get("minimum", 0), schema.get("maximum", 10**9)
        over = schema.get("exclusiveMinimum", least - 1)
        whole = schema.get("type") == "integer"
        known = [n for n in _nearest(NUMBERS, path, SMALL) if least <= n <= most and n > over]
        known = [n for n in known if not whole or n == int(n)] or [max(least, int(over) + 1)]
        return self.dice.choice(known)

    def _integer(self, schema: Mapping[str, Any], path: Path) -> int:
        return int(self._number({**schema, "type": "integer"}, path))

    def _boolean(self, _: Mapping[str, Any], __: Path) -> bool:
        return self.dice.random() < 0.7

    def _null(self, _: Mapping[str, Any], __: Path) -> None:
        return None


#: By the nearest key above, or by the pattern: names that an owner is free to choose.
KEYS: dict[str, tuple[str, ...]] = {
    "where": ("area", "seats"),
    PATTERN: ("attribute.pet", "attribute.children", "attribute.wedding", "attribute.vegan"),
}


def _nearest(known: Mapping[str, tuple[Any, ...]], path: Path, otherwise: tuple[Any, ...]) -> tuple[Any, ...]:
    return next((known[key.removesuffix("[]")] for key in reversed(path) if key.removesuffix("[]") in known), otherwise)


def _together(drawn: dict[str, Any]) -> dict[str, Any]:
    """Leave out tests that no number passes together with those before: nearly every draft would be refused."""
    kept: dict[str, Any] = {}
    tests: tuple[tuple[str, tuple[Decimal, ...]], ...] = ()
    for word, value in drawn.items():
        numbers = value if isinstance(value, list) else [value]
        if word in NUMBER_WORDS and all(type(each) in {int, float} for each in numbers):
            more = (*tests, (word, tuple(Decimal(str(each)) for each in numbers)))
            if not NumberTest(more).is_possible(whole=True):
                continue
            tests = more
        kept[word] = value
    return kept


def read(data: Mapping[str, Any], around: Surroundings) -> tuple[Rule | None, list[Problem]]:
    """Read a rule from its plain data, as from a file."""
    document, problems = parse(json.dumps(data, indent=1, ensure_ascii=False), "rules/r.yaml")
    assert document is not None, to_text(problems)
    assert not problems, to_text(problems)
    return rule_from(document, around)


def drafts(dice: random.Random, around: Surroundings) -> Iterator[tuple[dict[str, Any], Rule | None]]:
    """Draw files without end, with the rule of each that is right. Shape is never what is wrong with one."""
    while True:
        data = Draft(dice).rule()
        rule, problems = read(data, around)
        assert (rule is None) == bool(errors(problems)), to_text(problems)
        yield data, rule


def a_rule(dice: random.Random, around: Surroundings, number: int = 0) -> tuple[dict[str, Any], Rule]:
    """Draw until a file is right; gives its plain data and its rule, which is called after the number."""
    for data, rule in drafts(dice, around):
        if rule is not None:
            named = {**data, "id": f"rule-{number}"}
            again, _ = read(named, around)
            assert again is not None
            return named, again
    raise AssertionError("drafts never end")


# -- which words stand in a file ---------------------------------------------------------------------------------------


def words_of(data: Mapping[str, Any]) -> set[str]:
    """The words of a rule: its trigger, every condition, every step."""
    found = {*data["trigger"]}
    for each in ("conditions", "stop_if"):
        found |= _conditions_in(data.get(each, {}))
    return found | _steps_in(data["actions"])


def _conditions_in(members: Mapping[str, Any]) -> set[str]:
    inner = (each for word in GROUPS for each in members.get(word, ()))
    words = {"attribute.<name>" if word.startswith("attribute.") else word for word in members}
    return words.union(*map(_conditions_in, inner))


def _steps_in(steps: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for step in steps:
        found |= {*step} - {"only_if"} | _conditions_in(step.get("only_if", {}))
        branches = step["split"].values() if isinstance(step.get("split"), Mapping) else ()
        found = found.union(*(_steps_in(b["actions"]) for b in branches if isinstance(b, Mapping) and "actions" in b))
    return found


def settings_of(data: Any) -> set[tuple[str, str]]:
    """Every key of a file with the key above it (``*``: one that the owner chose); lists are seen through."""

    free = {"first", "second"}.union(*KEYS.values())

    def walk(value: Any, above: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield above, key
                yield from walk(inner, "*" if key in free else key)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner, above)

    return set(walk(data, ""))


def settings_that_are(schema: Mapping[str, Any], above: str = "") -> set[tuple[str, str]]:
    """Every key that a schema names, with the key above it."""
    found: set[tuple[str, str]] = set()
    for key, inner in schema.get("properties", {}).items():
        found |= {(above, key)} | settings_that_are(inner, key)
    if isinstance(schema.get("items"), Mapping):
        found |= settings_that_are(schema["items"], above)
    if isinstance(schema.get("additionalProperties"), Mapping):
        found |= settings_that_are(schema["additionalProperties"], "*")
    return found | (
        settings_that_are(schema["definitions"]["conditions"], "conditions") if "definitions" in schema else set()
    )
