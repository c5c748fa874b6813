"""A text taken apart is judged, measured and tried out as the whole text is, whatever stands in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.dispatch import trial
from engine.language import pieces as taken_apart
from engine.language import smslength, templatecheck
from engine.language.compliance import Texts
from engine.language.pieces import pieces
from engine.language.templates import Template
from engine.starter.home import starter_files

#: What may meet in a text: values, tags, marks, quotes and their neighbours, whole and torn.
SHREDS = """
{{ customer.first_name }}|{{ coupon.code }}|{{customer.nmae}}|{{ order.total | money }}|{{ 1 / 0 }}|{{ 'a' * 3 }}|{{ x }}
{{ (business.name ~ ', ' ~ store.address) | urlencode }}|{{- coupon.name -}}|{{ coupon.name +}}|{{ "}}" }}|{{ '{{' }}
{% if coupon %}|{% if store and store.name != 'x' %}|{% if 1 / 0 %}|{% elif rating.comment %}|{% else %}|{% else x %}
{% endif %}|{%- endif -%}|{%+ if coupon +%}|{% endif x %}|{% for one in matches %}|{{ one.customer.first_name }}
{% endfor %}|{% set coupon = 3 %}|{% raw %}|{% endraw %}|{# nothing #}|{#|#}|{{|}}|{%|%}|{|}|'|"|a |\\|-|
""".strip().replace("\n", "|").split("|")  # fmt: skip
texts = st.lists(st.sampled_from([*SHREDS, "\n", " "]), max_size=9).map("".join)


def judged(text: str) -> object:
    uses = templatecheck.check_text(text, "templates/a/sms.txt")
    return uses.names, uses.problems


def measured(text: str) -> object:
    return smslength.check_length(text + "word " * 40, "templates/a/sms.txt", Texts())


def tried(text: str) -> object:
    if templatecheck.check_text(text, "").problems:
        return []
    business = SimpleNamespace(name="C", country="US", language="en", currency="USD", timezone="UTC")
    template = Template("a", {"sms.txt": text, "email.html": text, "email.zh.html": text})
    return trial.try_out({"a": template}, SimpleNamespace(business=business))


@given(texts)
@example("{{ 'a }} {{ 1 / 0 }} {{ b' }}")
@example("{{{ coupon.code }}}")
@example("{{% if coupon %}{% endif %}")
def test_pieces_say_what_the_whole_text_says(text: str) -> None:
    for asked in (judged, measured, tried):
        by_pieces = asked(text)
        with pytest.MonkeyPatch.context() as patched:
            for room in (templatecheck, smslength, trial):
                patched.setattr(room, "pieces", lambda _: None)
            assert asked(text) == by_pieces, asked


def test_a_text_of_values_and_ifs_is_taken_apart():
    known = pieces("Hi {{ a.b }}{% if c %} and {{ d }}{% elif e %}{% else %}{{ d }}{% endif %}")
    assert known is not None
    assert known.codes == {"{{ a.b }}", "{{ d }}", "{% if c %}{% endif %}", "{% if e %}{% endif %}"}
    assert known.parts == ()
    assert pieces("Hi {{ a }}!") == taken_apart.Pieces(frozenset({"{{ a }}"}), ("Hi ", "{{ a }}", "!"))


@pytest.mark.parametrize(
    "text",
    ["{% set a = 1 %}", "{{ a", "{# a #}", "{{ '}}' }}", "{{- a }}", "{{ a -}}", "{% if a %}", "{% endif %}",
     "{% if a %}{% else %}{% elif b %}{% endif %}", "{{{ a }}", "{% if a %}" * 11 + "{% endif %}" * 11],
)  # fmt: skip
def test_what_is_more_than_that_is_left_whole(text: str):
    assert pieces(text) is None


def test_most_shipped_texts_are_taken_apart():
    files = list((starter_files() / "templates").rglob("*.*"))
    whole = [file for file in files if pieces(file.read_text(encoding="utf-8")) is None]
    assert len(whole) * 10 < len(files), whole
