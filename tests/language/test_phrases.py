from __future__ import annotations

import copy
import pickle

import pytest

from engine.language import phrases
from engine.language.phrases import Phrase, listed, phrase, said

CHINESE = {
    'there is no {what} "{name}"': "没有名为“{name}”的{what}",
    "template": "模板",
    ", ": "、",
    " or ": "或",
    "{n:,} guests": "{n:,} 位顾客",
}


@pytest.fixture(autouse=True)
def _chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "catalogue", lambda language: CHINESE if language == "zh" else {})


def test_a_phrase_is_its_english_text():
    made = phrase('there is no {what} "{name}"', what=phrase("template"), name="win")
    assert made == 'there is no template "win"'
    assert isinstance(made, str)


def test_it_is_said_again_with_what_it_holds():
    made = phrase('there is no {what} "{name}"', what=phrase("template"), name="win")
    assert said(made, "zh") == "没有名为“win”的模板"
    assert said(made, "en") == made


def test_what_no_catalogue_has_stays_english():
    assert said(phrase("{what} is odd", what=phrase("template")), "zh") == "模板 is odd"
    assert said("win-back", "zh") == "win-back"
    assert said(None, "zh") is None


def test_a_list_has_the_marks_of_its_language():
    assert listed(["a", phrase("template")], " or ") == "a or template"
    assert said(listed(["a", phrase("template")], " or "), "zh") == "a或模板"
    assert said(phrase("{n:,} guests", n=1200), "zh") == "1,200 位顾客"


def test_braces_that_stand_for_themselves_are_doubled():
    assert phrase("{{{{ coupon.code }}}}") == "{{ coupon.code }}"
    assert phrase("write {{{{ {name} }}}}", name="x") == "write {{ x }}"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_a_phrase_can_be_copied(copied):
    made = copied(phrase("{n:,} guests", n=3))
    assert isinstance(made, Phrase)
    assert said(made, "zh") == "3 位顾客"
