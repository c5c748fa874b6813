"""Nothing is said to an owner in English alone: the Chinese catalogue has every phrase of the code, and no other."""

from __future__ import annotations

import ast

import pytest
from translations import catalogue, fields, put_together, templates, templates_in

CODE, KNOWN = templates(), catalogue()
#: Names, and marks that are the same in any language.
SAME = {"webhook", "{name}", "{name} {test}", "{share} {name}", "{share:g}%", "{reaches}{times}{period}", " -> "}


def test_every_phrase_is_in_the_catalogue():
    """``make translations`` prints what is missing as entries to be filled in."""
    assert [f"{place}: {template}" for template, place in CODE.items() if not KNOWN.get(template)] == []


def test_the_catalogue_has_no_phrase_that_nobody_says():
    assert sorted(KNOWN.keys() - CODE.keys()) == []


@pytest.mark.parametrize("template", sorted(KNOWN))
def test_a_translation_holds_the_same_values_and_is_none_of_english(template: str):
    assert fields(KNOWN[template]) == fields(template)
    assert KNOWN[template] != template or template in SAME


def test_no_template_is_put_together_at_run_time():
    assert put_together() == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("phrase('a {b}', b=1)", ["a {b}"]),
        ("x.phrase('a' 'b')", ["ab"]),
        ("phrase(f'a {b}')", [None]),
        ("phrase('a' + b)", [None]),
        ("phrase(_SAID[kind].template, n=1)", []),
        ("listed(x)", [", "]),
        ("listed(x, ' or ')", [" or "]),
        ("listed(x, mark=' and ')", [" and "]),
        ("listed(x, '')", []),
        ("listed(x, self.joiner)", []),
    ],
)
def test_the_phrases_of_a_file_are_found(code: str, found: list[str | None]):
    assert [template for _, template in templates_in(ast.parse(code))] == found


def test_values_are_found_in_a_template():
    assert fields("{a} {{b}} {c:,} {d.e}") == ["a", "c:,", "d.e"]
