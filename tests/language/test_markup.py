from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.markup import inline_css, mjml_to_html

JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def mjml(inner):
    return f"<mjml><mj-body><mj-section><mj-column>{inner}</mj-column></mj-section></mj-body></mjml>"


def test_conditions_between_sections_survive_mjml_which_drops_loose_words():
    source = "<mjml><mj-body>{% if coupon %}<mj-section><mj-column>{% if order %}<mj-text>{{ coupon.code }}</mj-text>{% endif %}</mj-column></mj-section>{% endif %}</mj-body></mjml>"
    found = JINJA.findall(mjml_to_html(source))
    assert found == ["{% if coupon %}", "{% if order %}", "{{ coupon.code }}", "{% endif %}", "{% endif %}"]


def test_rows_of_a_table_keep_their_loop_where_html_would_move_loose_words_out():
    html = "<style>td { color: red }</style><table>{% for m in matches %}<tr><td>{{ m.customer.name }}</td></tr>{% endfor %}</table>"
    inlined = inline_css(html)
    assert (
        inlined.index("<table>")
        < inlined.index("{% for")
        < inlined.index("<td")
        < inlined.index("{% endfor")
        < inlined.index("</table>")
    )
    assert '<td style="color: red;">{{ m.customer.name }}</td>' in inlined


def test_jinja_in_attributes_styles_and_comments_is_left_alone():
    html = """<style>a { width: {{ 3 }}px }</style><a href="{{ x | default("there", true) }}" {% if y %}title="{{ z }}"{% endif %}>b</a><!--[if mso]>{{ w }}<![endif]-->"""
    inlined = inline_css(html)
    for tag in ("{{ 3 }}", '"{{ x | default("there", true) }}"', "{{ w }}", '"{{ z }}"'):
        assert tag in inlined


def test_media_rules_stay_in_a_style_element():
    inlined = inline_css("<style>p { color: red } @media (max-width: 400px) { p { color: blue } }</style><p>x</p>")
    assert '<p style="color: red;">' in inlined
    assert "@media" in inlined


def test_mjml_takes_the_language_of_its_file_unless_it_names_one():
    assert '<html lang="zh-Hans"' in mjml_to_html(mjml("<mj-text>x</mj-text>"), "zh-Hans").replace(
        "<html ", "<html ", 1
    )
    assert 'lang="fr"' in mjml_to_html('<mjml lang="fr"><mj-body></mj-body></mjml>', "en")


EXPRESSIONS = st.from_regex(
    r"\{\{ [a-z]{1,8}(\.[a-z]{1,8})?( \| default\((\"[a-z <>&']{0,6}\"|'[a-z <>&\"]{0,6}')\))? \}\}", fullmatch=True
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=5))
def test_every_placeholder_comes_out_as_it_went_in(placeholders):
    inner = "".join(
        f'<mj-text>{each}</mj-text><mj-button href="https://x.example/{each}">go</mj-button>' for each in placeholders
    )
    found = JINJA.findall(inline_css(mjml_to_html(mjml(inner))))
    assert found == [each for each in placeholders for _ in range(2)]
