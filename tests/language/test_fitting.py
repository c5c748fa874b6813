"""What fits beyond doubt is what jsonschema lets pass; and every shipped file does, so that it is not even loaded."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language import check
from engine.language.fitting import plainly_fits
from engine.language.yamlfile import load, parse
from engine.starter.home import starter_files
from engine.vocabulary.schema import SCHEMAS

OTHERS = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    2.5,
    "",
    "1",
    "x",
    "2 days",
    "10%",
    "10:00-12:00",
    [],
    [1],
    ["a", "a"],
    {},
    {"x": 1},
)
LIES = {"rules": "rule.json", "config": "{}.json", "compliance": "compliance.json"}


def shipped() -> list[tuple[str, dict[str, Any]]]:
    root = starter_files()
    found = []
    for file in sorted([*(root / "rules").rglob("*.yaml"), *(root / "config").rglob("*.yaml")]):
        document, _ = load(file, file.name)
        name = LIES.get(file.parent.name, "").format({"regulars": "config"}.get(file.stem, file.stem))
        if document is not None and name in SCHEMAS:
            found.append((name, document.data))
    return found


SHIPPED = shipped()


def differences(schema: Any, data: Any) -> list[Any]:
    return [*check._validator_class()(schema, format_checker=check._format_checker()).iter_errors(data)]


def spoilt(data: Any, dice: Random) -> Any:
    """Change one thing somewhere: a value, a key, an entry more or less."""
    data = copy.deepcopy(data)
    here = data
    while isinstance(here, (dict, list)) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = dice.choice(keys)
        if dice.random() < 0.35 or not isinstance(here[key], (dict, list)):
            match dice.randrange(4):
                case 0:
                    del here[key]
                case 1 if isinstance(here, dict):
                    here[dice.choice(["x", "at_least", "within", "any", "regulars.yaml"])] = dice.choice(OTHERS)
                case 2 if isinstance(here, list):
                    here.append(here[key])
                case _:
                    here[key] = dice.choice(OTHERS)
            break
        here = here[key]
    return data


@pytest.mark.parametrize(("name", "data"), SHIPPED, ids=lambda each: each if isinstance(each, str) else "")
def test_what_is_shipped_fits_and_what_fits_passes(name: str, data: dict[str, Any]) -> None:
    schema, dice = SCHEMAS[name](), Random(name)
    assert plainly_fits(data, schema)
    for _ in range(30):
        other = spoilt(data, dice)
        assert plainly_fits(other, schema) == (not differences(schema, other)), other


@pytest.mark.parametrize(
    ("schema", "fitting", "others"),
    [
        ({"type": "integer"}, [3], [True, 3.0, "3"]),
        ({"type": ["number", "null"]}, [3, 2.5, None], [True, "3"]),
        ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b", 0]),
        ({"const": False}, [False], [0, None, ""]),
        ({"uniqueItems": True}, [[], [1, "1"], "aa"], [[1, 1], [1, 1.0], [[1], [2]]]),
        ({"uniqueItems": False}, [[1, 1]], []),
        ({"minimum": 1, "maximum": 3}, [1, 3, "0", True], [0, 4, 0.5]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, [2, 1.5], [1, 3]),
        ({"minLength": 1, "maxLength": 2}, ["a", 0, []], ["", "abc"]),
        ({"minItems": 1, "maxItems": 2}, [[1], {}], [[], [1, 2, 3]]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}, []], [{}, {"a": 1, "b": 2}]),
        ({"pattern": "^a$"}, ["a", 7], ["ab"]),
        ({"format": "slug"}, ["win-back", 7], ["Win Back"]),
        ({"required": ["a"]}, [{"a": None}, 7], [{}]),
        ({"items": {"type": "string"}}, [["a"], [], "a"], [["a", 1]]),
        ({"properties": {"a": False, "b": True}}, [{"b": 1}, {}], [{"a": 1}]),
        ({"propertyNames": {"minLength": 2}}, [{"ab": 1}], [{"a": 1}]),
        ({"patternProperties": {"^a": {"type": "null"}}, "additionalProperties": {"type": "integer"}}, [{"ab": None, "b": 1}], [{"ab": 1}, {"b": None}]),
        ({"properties": {"a": True}, "additionalProperties": False}, [{"a": 1}, 7], [{"b": 1}]),
        ({"$ref": "#/definitions/a", "type": "null", "definitions": {"a": {"type": "string"}}}, ["a"], [None, 1]),
    ],
)  # fmt: skip
def test_each_keyword(schema: Any, fitting: list[Any], others: list[Any]) -> None:
    for value in fitting:
        assert plainly_fits(value, schema), value
        assert not differences(schema, value)
    for value in others:
        assert not plainly_fits(value, schema), value


anything = st.recursive(
    st.sampled_from(OTHERS), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner)
)


@given(anything, anything)
def test_no_data_make_it_say_yes_wrongly(data: Any, other: Any) -> None:
    inner = {"type": ["object", "array", "integer"], "minProperties": 1, "uniqueItems": True, "enum": [other, 1, []]}
    schema = {
        "properties": {"a": {"$ref": "#/definitions/inner"}},
        "additionalProperties": {"items": {"minimum": 1, "format": "money"}, "minItems": 1},
        "definitions": {"inner": inner},
    }
    if plainly_fits(data, schema):
        assert not differences(schema, data)


@pytest.mark.parametrize(
    "schema", [{"multipleOf": 2}, {"items": [{}]}, {"format": "unheard"}, {"not": {}}, {"$ref": "#"}]
)
def test_what_it_does_not_know_is_not_plain(schema: Any) -> None:
    assert not plainly_fits([4] if "items" in schema else 4, schema)


def test_what_fits_is_not_shown_to_jsonschema(monkeypatch: pytest.MonkeyPatch) -> None:
    document, _ = parse("a: 1\n", "a.yaml")
    assert document is not None
    monkeypatch.setattr(check, "_validator_class", lambda: pytest.fail("asked"))
    assert check.check(document, {"required": ["a"]}) == []
