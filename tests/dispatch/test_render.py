from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch.present import Leaves, filters
from engine.dispatch.render import Renderer, RenderError, style_of
from engine.language.placeholders import FILTERS, NAMES

COUPON = {
    "code": "K7QM-2XRT-9BWN-H",
    "name": {"en": "20% off", "zh": "八折"},
    "offer": "twenty",
    "valid_until": "2026-05-18",
    "minimum_spend": 500,
    "qr": "K7QM-2XRT-9BWN-H",
}
VALUES = {
    "customer": {
        "name": "Li Wei",
        "first_name": "Wei",
        "spend": 123456,
        "tags": ["vip"],
        "attributes": {"drink": "tea"},
    },
    "order": {
        "total": 1250,
        "ordered_at": "2026-05-03T23:12:00+00:00",
        "day": "2026-05-03",
        "items": [{"product": "Tea", "quantity": 2.0}],
    },
    "rating": {"score": 2.0, "comment": "cold\nsoup"},
    "points": 120,
    "coupon": COUPON,
    "coupons": [COUPON],
    "store": {"name": "Mill Lane", "country": "US"},
    "business": {
        "name": "Corner Café",
        "address": "12 Mill Lane",
        "country": "US",
        "language": "en",
        "currency": "USD",
    },
    "links": {"unsubscribe": "https://corner.example/r/u/abc"},
    "matches": [],
    "zone": "America/Chicago",
}
NONE_OF_IT = {
    **VALUES,
    "order": None,
    "rating": None,
    "coupon": None,
    "coupons": [],
    "store": {"name": None, "country": None},
}


@pytest.fixture
def renderer():
    return Renderer()


def sms(renderer, text, *, values=VALUES, language="en"):
    return renderer.sms({f"sms{'' if language == 'en' else '.' + language}.txt": text}, values, [language])


@pytest.mark.parametrize(
    ("text", "language", "rendered"),
    [
        ("{{ order.total }}", "en", "$12.50"),
        ("{{ order.total | money }}", "de", "12,50 $"),
        ("{{ order.ordered_at | date }}", "en", "May 3, 2026"),
        ("{{ order.ordered_at | date }}", "zh-Hans", "2026年5月3日"),
        ("{{ order.ordered_at | time }}", "en", "6:12 PM"),
        ("{{ order.ordered_at | day }}", "en", "Sun, May 3"),
        ("{{ coupon.valid_until }}", "en", "May 18, 2026"),
        ("{{ coupon.valid_until | date }}", "fr", "18 mai 2026"),
        ("{{ coupon.name }}", "zh-Hans", "八折"),
        ("{{ coupon.name }}", "fr", "20% off"),
        ("{{ rating.score }}", "en", "2"),
        ("{{ rating.comment }}", "en", "cold\nsoup"),
        ("{{ points }} {{ points + 1 }}", "en", "120 121"),
        ("{{ 500 | money }} {{ (order.total / 2) | money }}", "en", "$5.00 $6.25"),
        ("{% if order.total > 1000 %}yes{% endif %}", "en", "yes"),
        ("{{ customer.attributes.drink }}{{ customer.attributes.car }}", "en", "tea"),
        ("{{ customer.city | default('here') }}{{ customer.city or 'there' }}", "en", "herethere"),
        ("[{{ customer.city }}{{ customer.last_visit }}{{ coupon.item }}]", "en", "[]"),
        ("{{ customer.visits }}", "en", "0"),
        ("{% for item in order.items %}{{ item.quantity }} {{ item.product }}{% endfor %}", "en", "2 Tea"),
        ("{{ coupon.qr }}", "en", "K7QM-2XRT-9BWN-H"),
        ("{{ nothing | default('-') }}", "en", "-"),
    ],
)
def test_values_are_written_in_the_guests_language_and_zone(renderer, text, language, rendered):
    assert sms(renderer, text, language=language) == rendered


def test_the_stores_country_decides_how_an_english_day_is_written(renderer):
    values = {**VALUES, "store": {"country": "GB"}}
    assert sms(renderer, "{{ coupon.valid_until }}", values=values) == "18 May 2026"


def test_a_plain_file_is_written_in_the_homes_language_whatever_the_guests_is(renderer):
    files = {"sms.txt": "by {{ coupon.valid_until }}", "sms.zh.txt": "至{{ coupon.valid_until }}"}
    assert renderer.sms(files, VALUES, ["fr", "en"]) == "by May 18, 2026"
    assert renderer.sms(files, VALUES, ["zh-Hant-HK", "en"]) == "至2026年5月18日"


@pytest.mark.parametrize(
    "text",
    [
        "{% if order %}x{% endif %}{% if coupon %}x{% endif %}{% if store.name %}x{% endif %}-",
        "{{ store.name or '-' }}",
    ],
)
def test_what_a_message_does_not_have_can_be_asked_for(renderer, text):
    assert sms(renderer, text, values=NONE_OF_IT) == "-"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ order.total }}", 'sms.txt: this message has no "order.total"; ask first: {% if order %}'),
        ("{{ custmer }}", 'sms.txt: this message has no "custmer"; ask first: {% if custmer %}'),
        (
            "{{ business.name }} {{ customer.name }} {{ coupon.name }}",
            'sms.txt: this message has no "coupon.name"; ask first: {% if coupon %}',
        ),
        (
            "Your coupon.name: {% if coupon.code %}{{ coupon.code }}{% endif %}",
            'sms.txt: this message has no "coupon.code"; ask first: {% if coupon %}',
        ),
        (
            "{% for one in [order] %}{{ business.name }}{{ one.total }}{% endfor %}",
            'sms.txt: this message has no "one.total"; ask first: {% if one %}',
        ),
        ("{{ 1 / 0 }}", "sms.txt: a placeholder cannot be filled in (ZeroDivisionError)"),
        ("{{ customer.name | int + 'x' }}", "sms.txt: a placeholder cannot be filled in (TypeError)"),
        ("{{ 'a' * 10**9 }}", "sms.txt: the template is broken; `regulars validate` shows where"),
        ("{{ 'a' * 1000000000 }}", "sms.txt: the template is broken; `regulars validate` shows where"),
        ("{{ [1] * 1000000000 }}", "sms.txt: the template is broken; `regulars validate` shows where"),
        ("{{ customer.__class__ }}", "sms.txt: the template is broken; `regulars validate` shows where"),
        (
            "{% for a in range(99999) %}{{ customer.name }}-----{% endfor %}",
            "sms.txt: the message is longer than 1,000,000 letters",
        ),
        ("{% if %}", "sms.txt: the template is broken; `regulars validate` shows where"),
        ("  ", "the sms is empty once it is filled in"),
    ],
)
def test_a_message_that_cannot_be_made_says_why_and_repeats_no_value(renderer, text, said):
    with pytest.raises(RenderError) as caught:
        sms(renderer, text, values=NONE_OF_IT)
    assert str(caught.value) == said
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_provider_of_approved_templates_gets_each_value_as_the_guest_reads_it():
    leaves = Leaves(style_of("zh", VALUES), VALUES)
    assert (
        dict(leaves).items()
        >= {
            "customer.name": "Li Wei",
            "customer.first_name": "Wei",
            "customer.spend": "US$1,234.56",
            "customer.tags.1": "vip",
            "customer.attributes.drink": "tea",
            "coupon.code": "K7QM-2XRT-9BWN-H",
            "coupon.name": "八折",
            "coupon.valid_until": "2026年5月18日",
            "coupon.minimum_spend": "US$5.00",
            "coupon.qr": "K7QM-2XRT-9BWN-H",
            "order.total": "US$12.50",
            "order.items.1.product": "Tea",
            "points": "120",
        }.items()
    )
    assert "_style" not in leaves
    assert "order.total" not in Leaves(style_of("zh", NONE_OF_IT), NONE_OF_IT)


def test_an_email_has_subject_text_html_and_its_picture(renderer):
    files = {
        "subject.txt": "{{ coupon.name }} for {{ customer.first_name }}",
        "email.html": '<style>p { color: red }</style><p>Hello {{ customer.name }}</p><img src="{{ coupon.qr }}" alt="your code">',
    }
    email = renderer.email(files, VALUES, ["en"])
    assert email.subject == "20% off for Wei"
    assert email.text == "Hello Li Wei\n\nyour code"
    assert '<p style="color: red;">Hello Li Wei</p>' in (email.html or "")
    assert [name for name in email.images if f"cid:{name}" in (email.html or "")] == list(email.images)
    assert [png[:8] for png in email.images.values()] == [b"\x89PNG\r\n\x1a\n"]


def test_a_code_that_is_not_shown_as_a_picture_brings_none(renderer):
    files = {"subject.txt": "x", "email.html": "<p>{{ coupon.code }}</p>"}
    assert renderer.email(files, VALUES, ["en"]).images == {}


def test_text_and_html_of_one_mail_are_in_one_language(renderer):
    files = {
        "subject.txt": "hello",
        "subject.zh.txt": "你好",
        "email.html": "<p>Hello</p>",
        "email.zh.html": "<p>你好</p>",
        "email.txt": "Hello in text",
    }
    english, chinese = (renderer.email(files, VALUES, [language, "en"]) for language in ("en", "zh-CN"))
    assert (english.subject, english.text) == ("hello", "Hello in text")
    assert (chinese.subject, chinese.text, chinese.language) == ("你好", "你好", "zh")


def test_a_text_alone_is_a_mail_too_and_a_rules_own_subject_wins(renderer):
    email = renderer.email(
        {"email.txt": "Hi {{ customer.first_name }}", "subject.txt": "no"},
        VALUES,
        ["en"],
        subject="For {{ customer.name }}",
    )
    assert (email.subject, email.text, email.html) == ("For Li Wei", "Hi Wei", None)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"email.txt": "x"}, "the template has no subject.txt, and the rule gives no subject"),
        ({"sms.txt": "x"}, "the template has no email for this guest's language, and none without a language"),
        ({"email.txt": "x", "subject.txt": "{{ customer.city }}"}, "the subject is empty once it is filled in"),
        (
            {"email.mjml": "<mjml>", "subject.txt": "x"},
            "email.mjml: MJML cannot read it; `regulars validate` shows where",
        ),
    ],
)
def test_an_email_that_cannot_be_made_says_why(renderer, files, said):
    with pytest.raises(RenderError) as caught:
        renderer.email(files, VALUES, ["en"])
    assert str(caught.value) == said


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            [
                "{{ 7*7 }}",
                "{% raw %}",
                "{{ business.name }}",
                "<script>alert(1)</script>",
                "&amp;",
                '"><b>',
                "\u202eevil",
                "\r\nBcc: x",
                "\x00",
                "李",
                "'",
                "{#",
            ]
        ),
        max_size=4,
    ).map("".join),
)


@settings(max_examples=150, deadline=None)
@given(HOSTILE)
def test_a_guests_text_is_escaped_in_html_and_never_read_as_a_template(name):
    values = copy.deepcopy(VALUES)
    values["customer"]["name"] = name
    files = {
        "subject.txt": "To {{ customer.name }}",
        "email.html": '<p title="{{ customer.name }}">[{{ customer.name }}]</p>',
        "sms.txt": "[{{ customer.name }}]",
    }
    renderer = Renderer()
    email = renderer.email(files, values, ["en"])
    seen = renderer.sms(files, values, ["en"])
    html = email.html or ""
    assert html.count("<") == html.count("<p ") + html.count("</") + html.count("<html>") + html.count(
        "<head>"
    ) + html.count("<body>")
    assert "49" not in seen or "49" in name
    assert ("Corner" in seen) is ("Corner" in name)
    assert email.text == " ".join(seen.split())
    assert not set("\r\n\x00\u202e") & set(email.subject + seen)


def test_each_text_is_compiled_once(renderer, monkeypatch):
    import engine.dispatch.render as module

    files = {
        "subject.txt": "s",
        "email.mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>once {{ points }}</mj-text></mj-column></mj-section></mj-body></mjml>",
    }
    compiled = []
    real = module.mjml_to_html
    monkeypatch.setattr(module, "mjml_to_html", lambda *arguments: compiled.append(1) or real(*arguments))
    for points in range(5):
        assert f"once {points}" in renderer.email(files, {**VALUES, "points": points}, ["en"]).text
    assert len(compiled) == 1
    assert sorted(kind for kind, _ in renderer._compiled) == ["html", "seen", "text"]


def test_the_check_of_templates_knows_exactly_our_names_and_filters(renderer):
    assert set(FILTERS) == set(filters())
    everything = "{% if " + " or ".join(f"({name} is defined and not false)" for name in NAMES) + " %}ok{% endif %}"
    assert sms(renderer, everything) == "ok"


def test_a_value_that_is_passed_on_whole_has_the_forms_of_all_its_fields(renderer):
    direct = "{{ coupon.code }} {{ coupon.minimum_spend }} {{ coupon.valid_until }}"
    passed_on = "{{ coupon.code }} {% set card = coupon %}{{ card.minimum_spend }} {{ card.valid_until }}"
    emails = [renderer.email({"subject.txt": "s", "email.txt": each}, VALUES, ["en"]) for each in (direct, passed_on)]
    assert emails[0].text == emails[1].text == "K7QM-2XRT-9BWN-H $5.00 May 18, 2026"
