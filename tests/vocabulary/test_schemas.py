"""The schemas that editors read: as committed, described everywhere, and each word's own example passes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.language.check import check
from engine.language.formats import FORMATS
from engine.language.problems import to_text
from engine.language.yamlfile import parse
from engine.vocabulary.actions import ACTIONS
from engine.vocabulary.conditions import CONDITIONS
from engine.vocabulary.schema import SCHEMAS, rule_schema, schema_text
from engine.vocabulary.triggers import TRIGGERS

COMMITTED = Path(__file__).parents[2] / "config" / "schema"
WORDS: list[tuple[str, str, Any]] = [
    *(("trigger", word, made) for word, made in TRIGGERS.items()),
    *(("conditions", word, made) for word, made in CONDITIONS.items()),
    *(("actions", word, made) for word, made in ACTIONS.items()),
]
of_each_word = pytest.mark.parametrize(
    ("place", "word", "made"), WORDS, ids=[f"{place}-{word}" for place, word, _ in WORDS]
)
of_each_schema = pytest.mark.parametrize("name", SCHEMAS)


def parts(schema: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with its path."""
    if isinstance(schema, dict):
        yield at, schema
        for word in ("properties", "patternProperties", "definitions"):
            for name, inner in schema.get(word, {}).items():
                yield from parts(inner, f"{at}/{word}/{name}")
        for word in ("items", "additionalProperties", "propertyNames"):
            yield from parts(schema.get(word), f"{at}/{word}")


@of_each_schema
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    assert (COMMITTED / name).read_text(encoding="utf-8") == schema_text(name), "write it: regulars schema"


def test_no_schema_is_committed_that_is_not_generated() -> None:
    assert {file.name for file in COMMITTED.iterdir()} == set(SCHEMAS)


@of_each_schema
def test_a_schema_is_draft_07_in_the_shape_that_editors_and_messages_need(name: str) -> None:
    from jsonschema import Draft7Validator

    schema = SCHEMAS[name]()
    Draft7Validator.check_schema(schema)
    for at, part in parts(schema):
        assert not {"oneOf", "anyOf", "allOf", "not", "if"} & set(part), at
        if "properties" in part:
            assert part.get("additionalProperties") is False, at
        if "format" in part:
            assert part["format"] in FORMATS, at


@of_each_schema
def test_every_property_says_what_it_is(name: str) -> None:
    silent = [
        f"{at}/{word}"
        for at, part in parts(SCHEMAS[name]())
        for word, inner in part.get("properties", {}).items()
        if not inner.get("description", "").strip()
    ]
    assert silent == []


@of_each_word
def test_every_word_says_what_it_does_in_one_sentence(place: str, word: str, made: Any) -> None:
    assert made.about.endswith(".")
    assert made.about[0].isupper()
    assert made.schema()["description"] == made.about


@of_each_word
def test_the_example_of_each_word_is_right(place: str, word: str, made: Any) -> None:
    text = "".join(f"  {line}\n" for line in made.example.splitlines())
    document, problems = parse(f"{place}:\n{text}", "example.yaml")
    assert document is not None, to_text(problems)
    assert word.removesuffix("<name>") in made.example
    schema = rule_schema()
    problems += check(document, {**schema, "required": []})
    assert problems == [], to_text(problems)
