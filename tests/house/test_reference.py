"""The reference is made from the vocabulary: nothing is left out, and the committed pages are what it says today."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cli import main
from engine.console.reference import PAGES, in_place
from engine.vocabulary.actions import ACTIONS
from engine.vocabulary.conditions import CONDITIONS
from engine.vocabulary.filters import FILTER_SCHEMA
from engine.vocabulary.reference import Entry, Section, sections
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.triggers import TRIGGERS

DOCS = Path(__file__).parents[2] / "docs"
EVERY = [(section, entry) for section in sections() for entry in section.entries]


def printed(*words: str) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("language", PAGES)
def test_the_page_is_what_the_vocabulary_says(language: str):
    """After a change: make reference."""
    page = (DOCS / PAGES[language]).read_text(encoding="utf-8")
    assert printed("--lang", language, "words", "--format", "markdown") == page


def test_every_word_is_in_it():
    words = {section.name: {entry.word for entry in section.entries} for section in sections()}
    assert words["triggers"] == set(TRIGGERS)
    assert words["conditions"] == set(CONDITIONS)
    assert words["actions"] == set(ACTIONS)
    assert words["filters"] == set(FILTER_SCHEMA)
    assert words["rule"] == set(rule_schema()["properties"])


@pytest.mark.parametrize(("section", "entry"), EVERY, ids=lambda each: getattr(each, "word", getattr(each, "name", "")))
def test_a_word_says_what_it_is_for_what_it_takes_and_how_it_is_written(section: Section, entry: Entry):
    assert entry.about.endswith(".")
    assert entry.value
    assert all(one.about.endswith((".", "...")) and one.value for one in entry.settings)
    assert f"{entry.word.partition('<')[0]}" in entry.example
    assert yaml.safe_load(in_place(section, entry))


def test_the_terminal_lists_every_word():
    said = printed("words")
    for _, entry in EVERY:
        assert f"\n  {entry.word} " in said


@pytest.mark.parametrize("word", sorted({entry.word for _, entry in EVERY}))
def test_the_terminal_shows_one_word_wherever_it_stands(word: str):
    said = printed("words", word)
    for section, entry in EVERY:
        if entry.word == word:
            assert f"{word} · {section.title}\n{entry.about}" in said
            assert all(f"    {line}\n" in said for line in in_place(section, entry).splitlines())


def test_a_word_that_is_none_has_a_nearest():
    result = CliRunner().invoke(main, ["words", "laps"])
    assert result.exit_code == 2
    assert result.output == 'There is no word "laps" - did you mean "lapsed"?\n'


@pytest.mark.parametrize(
    ("name", "word"), [("until", "active"), ("only_if", "email"), ("attribute.vip", "attribute.<name>")]
)
def test_a_setting_is_found_in_its_words(name: str, word: str):
    assert f"{word} · " in printed("words", name)
