"""The template of what a reader sees gives what reading each message gives, or there is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.plaintext import text_of
from engine.dispatch.render import sandbox
from engine.dispatch.seen import UnsteadyError, as_seen, flat, text_template

PAGES = sandbox(escape=True)
SEEN = sandbox(escape=True, finalize=flat)

#: What a page is put together from: each is whole where it stands alone.
PIECES = [
    "words",
    " ",
    "\n   ",
    "caf&eacute; &amp; &lt;b&gt;&nbsp;",
    "{{ a }}",
    " {{ b }},",
    "{{ a ~ b }}",
    "{{- a -}}",
    "{% if a %}yes {{ a }}{% elif b %}<p>no</p>{% else %}<br>{{ b }}{% endif %}",
    "{%- if b -%} tight {%- endif -%}",
    "{% for one in many %}<li>{{ one }}</li>\n{% else %}none{% endfor %}",
    "{% set c = b %}",
    "<p>{{ b }}</p>",
    "<div><b>{{ a }}</b> {{ b }}</div>",
    '<a href="{{ a }}">{{ b }}</a>',
    '<a href="mailto:{{ a }}">{{ a }}</a>',
    '<a href="#{{ a }}">top</a>',
    '<a href="https://x.example/?q={{ a | urlencode }}&amp;b=1"><img src="x.png" alt="{{ b }}"></a>',
    '<a href="/one">in <a href="{{ b }}">two</a></a>',
    "<img alt='{{ a }}' src='{{ b }}'>",
    '<div style="display: none">{{ a }}{% if b %} hidden{% endif %}</div>',
    "<div hidden>{{ b }}<p>more</p></div>",
    "<style>p { color: red }</style><!-- {{ a }} -->",
    "<table><tr><td>{{ a }}</td><td>x</td></tr>{% for one in many %}<tr><td>{{ one }}</td></tr>{% endfor %}</table>",
    "<ul><li>a<li>{{ b }}</ul>",
    "<br/>",
    "</p>",
    "<p>",
]
#: What would be read otherwise with another value, or in another branch.
UNSTEADY = [
    "<{{ a }}>x",
    "</{{ a }}>",
    "&{{ a }};",
    "<p {{ a }}>x</p>",
    "<a href={{ a }}>x</a>",
    '<p style="{{ a }}">x</p>',
    '<p class="{% if a %}x{% endif %}">y</p>',
    "{% if a %}<div hidden>{% endif %}x{% if a %}</div>{% endif %}",
    '{% if a %}<a href="1">{% else %}<a href="2">{% endif %}x</a>',
    "<style>{% if a %}p{}{% endif %}</style>",
    "{% set c %}<b>{{ a }}</b>{% endset %}{{ c }}",
    "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(a) }}",
    "\ue0000\ue001",
]
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), max_size=12) | st.sampled_from(
    ["", "#", "<b>x</b>", "a & b", "  two  ", "x@y.example", "one\n\ntwo", "\xa0", "&amp;", "\ue0001\ue001"]
)


def both(page: str, **values: object) -> tuple[str, str | None]:
    """What reading the message gives, and what the template gives; None where there is no template."""
    template = text_template(SEEN, page)
    read = text_of(PAGES.from_string(page).render(values))
    try:
        return read, None if template is None else as_seen(template.render(values))
    except UnsteadyError:
        return read, None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_it_gives_what_reading_each_message_gives(page, a, b, many):
    read, seen = both(page, a=a, b=b, many=many)
    assert seen is None or seen == read


@pytest.mark.parametrize("piece", PIECES)
def test_what_is_usual_has_a_template(piece):
    assert text_template(SEEN, f"<p>x</p>{piece}") is not None or piece in {"<p>", "</p>"}


@pytest.mark.parametrize("piece", UNSTEADY)
def test_what_could_be_read_otherwise_has_none(piece):
    assert text_template(SEEN, f"<p>x</p>{piece}") is None


@pytest.mark.parametrize("page", ["{{ a | safe }}", "{{ (a | escape) ~ b }}"])
def test_a_value_of_markup_is_read_with_its_page(page):
    assert both(page, a="<b>x</b>", b="")[1] is None
    assert both(page, a="plain", b="") == ("plain", "plain")
