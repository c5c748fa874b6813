"""What an owner sees in an editor: the real language server, with the schemas that stand in the home."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from engine.starter.home import starter_files
from engine.vocabulary.actions import ACTIONS
from engine.vocabulary.conditions import CONDITIONS
from engine.vocabulary.triggers import TRIGGERS
from tests.editor.language_server import LanguageServer

SHIPPED = sorted(
    file.relative_to(starter_files()).as_posix()
    for pattern in ("rules/*.yaml", "config/**/*.yaml")
    for file in starter_files().glob(pattern)
)
FIRST_LINE = "# yaml-language-server: $schema=../config/schema/rule.json\n"
RULE = """\
id: x
trigger:
  lapsed: 90 days
actions:
  - email: win-back
"""

Marked = list[tuple[int, str]]


class Draft:
    """One rule under an owner's hands; ``|`` is where the cursor stands."""

    _numbers = itertools.count(1)

    def __init__(self, editor: LanguageServer) -> None:
        self._editor = editor
        self.name = ""

    def marked(self, text: str) -> Marked:
        """The lines that are marked, counted from 1 below the first one, and what is said."""
        found = self._begin(text)
        return [(each["range"]["start"]["line"], each["message"]) for each in found]

    def _begin(self, text: str) -> list[dict[str, Any]]:
        self.name = f"rules/draft-{next(self._numbers)}.yaml"
        return self._editor.open(self.name, FIRST_LINE + text)

    def _open(self, text: str) -> tuple[int, int]:
        before, _, after = text.partition("|")
        self._begin(before + after)
        return before.count("\n") + 1, len(before.rpartition("\n")[2])

    def offers(self, text: str) -> dict[str, str]:
        place = self._open(text)
        return self._editor.offers(self.name, *place)

    def explains(self, text: str) -> str:
        place = self._open(text)
        return self._editor.explains(self.name, *place)


@pytest.fixture
def draft(editor: LanguageServer) -> Draft:
    return Draft(editor)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_file_is_marked(editor: LanguageServer, name: str):
    assert (editor.folder / name).read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=")
    assert editor.open(name) == []


def test_a_blank_step_offers_the_actions_and_says_what_they_do(draft: Draft):
    offered = draft.offers(RULE + "  - |\n")
    assert set(ACTIONS) <= set(offered)
    assert {word: offered[word] for word in ACTIONS} == {word: str(made.about) for word, made in ACTIONS.items()}


def test_a_blank_trigger_offers_the_triggers(draft: Draft):
    offered = draft.offers("id: x\ntrigger:\n  |\nactions:\n  - email: win-back\n")
    assert {word: offered.get(word) for word in TRIGGERS} == {word: str(made.about) for word, made in TRIGGERS.items()}


@pytest.mark.parametrize(
    "begun",
    [
        "conditions:\n  |\n",
        "stop_if:\n  |\n",
        "conditions:\n  any:\n    - |\n",
        "conditions:\n  tier: gold\n  |\n",
        "conditions:\n  none:\n    - tag: staff\n      |\n",
    ],
)
def test_wherever_conditions_stand_they_are_offered(draft: Draft, begun: str):
    written = {word for word in CONDITIONS if f"{word}:" in begun}
    plain = {word for word in CONDITIONS if "<" not in word}  # attribute.<name> stands for the owner's own
    assert plain - written <= set(draft.offers(RULE + begun))


def test_the_settings_of_a_word_are_offered_with_their_meaning(draft: Draft):
    offered = draft.offers("id: x\ntrigger:\n  lapsed:\n    |\nactions:\n  - email: win-back\n")
    assert {"after", "up_to", "category"} <= set(offered)
    assert offered["after"] == "Quiet this long; 90 days if left out."


def test_words_of_a_short_list_are_offered(draft: Draft):
    assert {"marketing", "service"} <= set(draft.offers(RULE + "purpose: |\n"))


def test_the_homes_own_names_are_offered(draft: Draft):
    """`init` has written them into the schemas; `regulars schema --write` does when there are more."""
    assert "win-back" in draft.offers(RULE + "  - sms:\n      template: |\n")
    assert "free-drink" in draft.offers(RULE + "  - coupon:\n      offer: |\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE.replace("lapsed", "lap|sed"), TRIGGERS["lapsed"].about),
        (RULE.replace("email", "em|ail"), ACTIONS["email"].about),
        (RULE + "conditions:\n  vis|its: 3\n", CONDITIONS["visits"].about),
        (RULE + "holdo|ut: 10%\n", "This share of the guests gets nothing"),
    ],
)
def test_a_word_under_the_mouse_is_explained(draft: Draft, text: str, said: str):
    assert said in draft.explains(text)


def test_a_right_rule_is_not_marked(draft: Draft):
    assert draft.marked(RULE) == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (RULE + "holdot: 10%\n", 6, "Property holdot is not allowed."),
        (RULE.replace("lapsed", "lapst"), 3, "Property lapst is not allowed."),
        (RULE.replace("email: win", "mail: win"), 5, "Property mail is not allowed."),
        (RULE + "conditions:\n  orders:\n    atleast: 3\n", 8, "Property atleast is not allowed."),
        (RULE + "priority: high\n", 6, 'Incorrect type. Expected "integer".'),
        (RULE + "purpose: advert\n", 6, 'Value is not accepted. Valid values: "marketing", "service".'),
        (RULE.replace("actions:\n  - email: win-back\n", ""), 1, 'Missing property "actions".'),
    ],
)
def test_a_mistake_is_marked_at_its_line(draft: Draft, text: str, line: int, said: str):
    assert draft.marked(text) == [(line, said)]
