from __future__ import annotations

import pytest

from engine.language.problems import to_text
from engine.language.templatedepth import BLOCKS, LEVELS
from engine.language.templates import choose, languages, load_template, load_templates


@pytest.fixture
def write(tmp_path):
    def write(files, name="win-back"):
        folder = tmp_path / "templates" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_template(tmp_path, name)

    return write


def mjml(inner):
    return f"<mjml><mj-body><mj-section><mj-column>\n{inner}\n</mj-column></mj-section></mj-body></mjml>"


def said(problems):
    return [(p.path.rpartition("/")[2], p.line, p.column, p.message, p.code) for p in problems]


def test_a_sound_template_has_no_problem_and_says_what_it_serves_and_uses(write):
    template, problems = write(
        {
            "subject.txt": "{{ coupon.name }}",
            "email.mjml": mjml("<mj-text>Hello {{ customer.first_name or 'there' }}</mj-text>"),
            "sms.txt": "{% if order %}{{ order.total | money }}{% endif %}",
        }
    )
    assert problems == []
    assert not template.broken
    assert template.serves("email")
    assert template.serves("sms")
    assert template.has_subject
    assert template.uses("coupon", "email")
    assert template.uses("coupon", "alert")
    assert not template.uses("coupon", "sms")
    assert not template.uses("order", "sms")  # it asks first
    assert len(template.hash) == 32


def test_another_text_is_another_version_and_the_order_of_files_is_none(write):
    one, _ = write({"sms.txt": "a", "email.txt": "b", "subject.txt": "c"})
    two, _ = write({"sms.txt": "a!", "email.txt": "b", "subject.txt": "c"})
    three, _ = write({"subject.txt": "c", "email.txt": "b", "sms.txt": "a"})
    assert one.hash != two.hash
    assert one.hash == three.hash


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("Hello {{ custmer.name }}", 'there is no "custmer" - did you mean "customer"?', 10),
        (
            "Hello {{ customer.frist_name }}",
            'there is no "customer.frist_name" - did you mean "customer.first_name"?',
            10,
        ),
        ("{{ customer['nmae'] }}", 'there is no "customer.nmae" - did you mean "customer.name"?', 1),
        ("{% for c in coupons %}{{ c.cod }}{% endfor %}", 'there is no "c.cod" - did you mean "c.code"?', 26),
        (
            "{% for i in order.items %}{{ i.pice | money }}{% endfor %}",
            'there is no "i.pice" - did you mean "i.price"?',
            30,
        ),
        ("{% set o = order %}{{ o.totl }}", 'there is no "o.totl" - did you mean "o.total"?', 23),
        ("{{ coupons.code }}", '"coupons" is a list: walk through it', 4),
        ("{{ (coupons | first).cod }}", 'there is no "it.cod" - did you mean "it.code"?', 1),
        ("{{ matches | map(attribute='customer.nmae') | join }}", 'there is no "nmae" here - did you mean "name"?', 29),
        ("{{ order.total | mony }}", 'there is no filter "mony" - did you mean "money"?', 18),
        ("{% if order is definde %}x{% endif %}", 'there is no test "definde" - did you mean "defined"?', 16),
        ("{{ customer.name | default(custmer) }}", 'there is no "custmer" - did you mean "customer"?', 28),
        ("{% include 'other.txt' %}", "a template cannot take in another file", 1),
    ],
)
def test_what_does_not_exist_is_shown_at_its_place_with_the_nearest(write, text, message, column):
    template, problems = write({"sms.txt": f"first line\n{text}\n"})
    assert [(p.line, p.column, p.message) for p in problems] == [(2, column, message)]
    assert template.broken


@pytest.mark.parametrize(
    "text",
    [
        "{{ customer.attributes.anything.at_all }}",
        "{{ event.data.weather }}",
        "{{ customer.name.upper() }}",
        "{% for n in range(3) %}{{ loop.index }}{{ n }}{% endfor %}",
        "{% set greeting = 'Hi' %}{{ greeting }}",
        "{% macro price(x) %}{{ x | money }}{% endmacro %}{{ price(order.total) }}",
        "{% for m in matches | sort(attribute='customer.name') %}{{ m.customer.name }}{{ m.rating.score }}{% endfor %}",
        "{{ (coupons | first).code }}",
        "{{ coupons[0].code }}",
        "{% with c = coupon %}{{ c.code }}{% endwith %}",
    ],
)
def test_what_exists_is_left_alone(write, text):
    assert said(write({"sms.txt": text})[1]) == []


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("{{ customer.name }", 1, "the template cannot be read: unexpected '}'"),
        ("{% if customer %}x{% endfi %}", 22, 'there is no tag "endfi" - did you mean "endif"?'),
        ("{% if customer %}x{% endfor %}", 22, '"endfor" does not fit here: "if" is still open'),
        ("{% if order %}x", 1, '"if" is never closed: {% endif %} is missing'),
        ("x{% endif %}", 5, '"endif" does not fit here'),
    ],
)
def test_broken_jinja_is_told_with_its_place_and_a_cure(write, text, column, message):
    _, problems = write({"sms.txt": f"Hello\n{text}"})
    assert [(p.line, p.column, p.message, p.code) for p in problems] == [(2, column, message, "template-syntax")]
    assert "{{ customer.first_name }}" in problems[0].hint


NESTED = {
    "if": lambda many: "{% if order %}x\n" * many + "{% endif %}" * many,
    "for": lambda many: "{% for tag in customer.tags %}x\n" * many + "{% endfor %}" * many,
    "not": lambda many: f"{{{{ {'not ' * many}1 }}}}",
    "plus": lambda many: f"{{{{ 1{' + 1' * many} }}}}",
    "filters": lambda many: f"{{{{ customer.first_name{'|upper' * many} }}}}",
    "never closed": lambda many: "{% if order %}x" * many,
    "brackets": lambda many: f"{{{{ {'(' * many}1{')' * many} }}}}",
}


@pytest.mark.parametrize("shape", NESTED)
@pytest.mark.parametrize("many", [300, 5_000])
def test_what_is_nested_too_deeply_is_told_and_breaks_nothing(write, shape, many):
    for file in ("sms.txt", "email.txt", "subject.txt"):
        template, problems = write({file: f"Hello\n{NESTED[shape](many)}"})
        assert (file, "template-too-deep") in {(each.path.rpartition("/")[2], each.code) for each in problems}
        assert template.broken


@pytest.mark.parametrize(
    ("shape", "most", "line"), [("if", BLOCKS, 2 + BLOCKS), ("for", BLOCKS, 2 + BLOCKS), ("not", LEVELS - 1, 2)]
)
def test_what_may_be_nested_can_be_filled_in_and_one_more_is_told_at_its_line(write, shape, most, line):
    assert write({"sms.txt": f"Hello\n{NESTED[shape](most)}"})[1] == []
    (too_deep,) = write({"sms.txt": f"Hello\n{NESTED[shape](most + 1)}"})[1]
    assert (too_deep.code, too_deep.line) == ("template-too-deep", line)


def test_an_unknown_file_is_told_with_the_nearest_and_litter_is_not(write):
    template, problems = write(
        {"sms.txt": "x", "emial.html": "x", "sms.html": "x", ".DS_Store": "x", "sms.txt~": "x", "provider.yaml": "x: 1"}
    )
    assert [p.message for p in problems] == [
        '"emial.html" is not a file of a template - did you mean "email.html"?',
        '"sms.html" is not a file of a template - did you mean "sms.txt"?',
    ]
    assert list(template.files) == ["sms.txt"]


def test_a_file_that_is_not_utf8_is_told_where(write):
    template, problems = write({"sms.txt": "Bonjour\nà bientôt".encode("latin-1"), "subject.txt": "\ufeffHi"})
    assert said(problems) == [("sms.txt", 2, 1, "the file is not UTF-8: save it again as UTF-8", "encoding")]
    assert template.files == {"subject.txt": "Hi"}


def test_a_message_given_twice_and_an_empty_template_are_told(write):
    assert write({"email.html": "x", "email.mjml": mjml("<mj-text>x</mj-text>")})[1][0].code == "template-twice"
    assert write({}, "empty")[1][0].message == "the template is empty"
    assert write({"sms.txt": " \n"}, "blank")[1][0].message == "the file is empty"


def test_a_template_without_a_plain_file_warns_of_the_other_languages(write):
    template, problems = write({"sms.zh-Hans.txt": "你好"})
    assert [(p.severity, p.hint) for p in problems] == [("warning", "add sms.txt")]
    assert not template.broken


def test_a_long_sms_is_a_warning_with_count_and_encoding(write):
    template, problems = write(
        {"sms.txt": "x" * 161, "sms.zh.txt": "您" * 71, "sms.de.txt": "x" * 160, "sms.ja.txt": "您" * 70}
    )
    assert [(p.path.rpartition("/")[2], p.severity, p.message) for p in problems] == [
        ("sms.txt", "warning", "with usual values this SMS takes 2 segments (GSM-7), and each is paid for"),
        ("sms.zh.txt", "warning", "with usual values this SMS takes 2 segments (UCS-2), and each is paid for"),
    ]
    assert not template.broken


def test_the_length_of_an_sms_counts_its_values(write):
    text = "{{ customer.first_name }}{{ coupon.code }}" + "x" * 135
    assert [p.code for p in write({"sms.txt": text})[1]] == []
    assert [p.code for p in write({"sms.txt": text + "xxxx"})[1]] == ["sms-length"]


@pytest.mark.parametrize(
    ("inner", "line", "message"),
    [
        ("<mj-text>a</mj-text>\n<mj-buton>b</mj-buton>", 3, 'MJML knows no <mj-buton> - did you mean "mj-button"?'),
        ("<mj-text><b>a</mj-text>", 2, "</mj-text> closes nothing here: <b> of line 2 is still open"),
        ("<mj-text>a", 3, "</mj-column> closes nothing here: <mj-text> of line 2 is still open"),
        ("Hello there", 2, "this text would not be shown: <mj-column> holds no text"),
        ("<p>Hello</p>", 2, "MJML knows no <p>"),
        ("<mj-text>a < b</mj-text>", 2, 'a lone "<" or a tag that is not closed'),
        ("<mj-include path='x.mjml' />", 2, "a template cannot take in another file"),
    ],
)
def test_what_mjml_would_drop_in_silence_is_told_with_its_line(write, inner, line, message):
    template, problems = write({"email.mjml": mjml(inner), "subject.txt": "x"})
    assert (problems[0].line, problems[0].message) == (line, message)
    assert template.broken


@pytest.mark.parametrize(
    "inner",
    [
        "<mj-text>a<br>b<img src='x.png'></mj-text>",
        "{% for m in matches %}<mj-text>{{ m.customer.name }}</mj-text>{% endfor %}",
        '<mj-button href="https://x.example/?a=1&b={{ coupon.code }}">a &amp; b</mj-button>',
        "<!-- a note --><mj-text>{{ 1 if 2 < 3 else 4 }}</mj-text>",
        "<mj-raw><table><tr><td>x</td></tr></table></mj-raw>",
        "<mj-divider />",
    ],
)
def test_sound_mjml_has_no_problem(write, inner):
    assert said(write({"email.mjml": mjml(inner), "subject.txt": "x"})[1]) == []


def test_what_only_mjml_finds_is_a_problem_too(write):
    assert [p.code for p in write({"email.mjml": "<mj-body></mj-body>", "subject.txt": "x"})[1]] == ["mjml"]


def test_problems_read_well(write):
    _, problems = write({"sms.txt": "您好{{ customer.frist_name }}"})
    assert to_text(problems).splitlines()[:3] == [
        'templates/win-back/sms.txt:1:6: there is no "customer.frist_name" - did you mean "customer.first_name"? [unknown-placeholder]',
        "  1 | 您好{{ customer.frist_name }}",
        "    |        ^~~~~~~~~~~~~~~~~~~",
    ]


def test_every_template_of_a_home_is_read_and_strays_are_told(tmp_path, write):
    write({"sms.txt": "a"}, "one")
    write({"sms.txt": "{{ x }}"}, "two")
    (tmp_path / "templates" / "stray.mjml").write_text("x")
    (tmp_path / "templates" / "bad name").mkdir()
    templates, problems = load_templates(tmp_path)
    assert {name: template.broken for name, template in templates.items()} == {"one": False, "two": True}
    assert [(p.path, p.code, p.severity) for p in problems] == [
        ("templates/bad name", "template-name", "error"),
        ("templates/stray.mjml", "template-file", "warning"),
        ("templates/two/sms.txt", "unknown-placeholder", "error"),
    ]


def test_a_home_without_templates_has_none(tmp_path):
    assert load_templates(tmp_path) == ({}, [])


def test_languages_fall_back_one_subtag_at_a_time():
    assert languages(["zh-Hant-HK", None, "en"]) == ("zh-Hant-HK", "zh-Hant", "zh", "en", "")
    assert languages([None]) == ("",)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["zh-Hant-HK"], "sms.zh-Hant.txt"),
        (["zh-Hans"], "sms.zh.txt"),
        (["ZH_hant"], "sms.zh-Hant.txt"),
        (["fr", "zh"], "sms.zh.txt"),
        (["fr"], "sms.txt"),
    ],
)
def test_the_file_is_chosen_by_the_first_language_that_has_one(wanted, chosen):
    files = ["sms.txt", "sms.zh.txt", "sms.zh-Hant.txt", "email.fr.txt"]
    assert choose(files, "sms", ("txt",), languages(wanted)) == chosen
    assert choose(files, "subject", ("txt",), languages(wanted)) is None
