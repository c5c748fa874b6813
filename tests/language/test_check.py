"""Every difference between a file and its schema, in an owner's words, at its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.check import FORMATS, check, nearest
from engine.language.formats import WANTS
from engine.language.problems import to_text
from engine.language.wording import type_hint
from engine.language.yamlfile import parse

SCHEMA = {
    "type": "object",
    "x-name": "a rule",
    "x-also": {"when": "trigger", "if": "conditions"},
    "additionalProperties": False,
    "required": ["id", "actions"],
    "properties": {
        "id": {"type": "string", "format": "slug", "description": "The rule's name."},
        "about": {"type": "string", "minLength": 1, "maxLength": 20},
        "priority": {"type": "integer", "minimum": 0, "maximum": 100},
        "factor": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "schedule": {"type": "string", "format": "schedule"},
        "holdout": {"type": "string", "format": "share"},
        "active": {"type": "boolean"},
        "phone": {"type": "string", "format": "phone"},
        "secret": {"type": "string", "format": "secret", "x-secret": True},
        "code": {"type": "string", "pattern": "^[A-Z]+$", "x-says": "capital letters"},
        "purpose": {"type": "string", "enum": ["marketing", "service"], "x-also": {"advertising": "marketing"}},
        "tags": {"type": ["string", "array"], "items": {"type": "string"}, "uniqueItems": True, "maxItems": 3},
        "texts": {
            "type": "object",
            "propertyNames": {"format": "language"},
            "additionalProperties": {"type": "string"},
        },
        "trigger": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {
                "lapsed": {"$ref": "#/definitions/lapsed"},
                "birthday": {"type": ["object", "null"], "additionalProperties": False},
            },
        },
        "conditions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "orders": {
                    "type": ["object", "integer"],
                    "additionalProperties": False,
                    "properties": {
                        "at_least": {"type": "integer", "minimum": 0},
                        "within": {"type": "string", "format": "duration"},
                    },
                },
                "spend": {"type": "number", "format": "money"},
            },
        },
        "actions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "email": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["template"],
                        "properties": {"template": {"type": "string", "examples": ["win-back"]}},
                    },
                    "wait": {"type": "string", "format": "duration"},
                },
            },
        },
    },
    "definitions": {
        "lapsed": {
            "type": "object",
            "additionalProperties": False,
            "required": ["after"],
            "properties": {"after": {"type": "string", "format": "duration"}},
        }
    },
}
SOUND = "id: win-back\nactions:\n  - wait: 3 days\n"


def told(extra, start=SOUND):
    document, problems = parse(start + extra, "rules/a.yaml")
    assert document is not None, to_text(problems)
    return [*problems, *check(document, SCHEMA)]


def the_one(extra, start=SOUND):
    problems = told(extra, start)
    assert len(problems) == 1, to_text(problems)
    return problems[0]


def test_a_sound_file_has_no_problem():
    assert told("trigger:\n  birthday:\nconditions:\n  orders: 3\ntags: a\n") == []


#: What is added to a sound rule: its column on the last line, code, message, and what the hint begins with.
DIFFERENCES = {
    "misspelt": ("abuot: hi\n", 1, "unknown-key", '"abuot" is not known in a rule - did you mean "about"?', "Known in a rule: id, about,"),
    "hyphen": ("conditions:\n  orders:\n    at-least: 3\n", 5, "unknown-key", '"at-least" is not known in "orders" - did you mean "at_least"?', 'Known in "orders": at_least, within.'),
    "design": ("conditions:\n  orders:\n    atleast: 3\n", 5, "unknown-key", '"atleast" is not known in "orders" - did you mean "at_least"?', 'Known in "orders"'),
    "other word": ("when: x\n", 1, "unknown-key", '"when" is not known in a rule - did you mean "trigger"?', "Known in a rule"),
    "nothing near": ("xyz: x\n", 1, "unknown-key", '"xyz" is not known in a rule', "Known in a rule"),
    "no settings": ("trigger:\n  birthday:\n    colour: red\n", 5, "unknown-key", '"colour" is not known in "birthday"', '"birthday" takes no settings.'),
    "glued": ("conditions: {orders: {at_least:3}}\n", 23, "unknown-key", 'a space is missing after the colon of "at_least"', "Write: at_least: ..."),
    "too far left": ("conditions:\n  orders:\n  within: 1 year\n", 3, "unknown-key", '"within" is not known in "conditions"', '"within" belongs to "orders": indent it further'),
    "too far right": ("conditions:\n  orders: 3\n  purpose: service\n", 3, "unknown-key", '"purpose" is not known in "conditions"', '"purpose" belongs to a rule: indent it less.'),
    "number for duration": ("conditions:\n  orders:\n    within: 90\n", 13, "wrong-type", '"within" wants a duration such as 90 days, not the number 90', "Write: within: 90 days"),
    "bad duration": ("conditions:\n  orders:\n    within: 90d\n", 13, "bad-duration", '"within": "90d" is not a duration such as 90 days, 2 weeks, 3 months or 1 year - did you mean "90 days"?', ""),
    "share": ("holdout: 10\n", 10, "wrong-type", '"holdout" wants a share such as 10%, not the number 10', "Write: holdout: 10%"),
    "fraction": ("holdout: 0.1\n", 10, "wrong-type", '"holdout" wants a share such as 10%, not the number 0.1', "Write: holdout: 10%"),
    "phone": ("phone: 15005550100\n", 8, "wrong-type", '"phone" wants a phone number in quotes such as "+1 500 555 0100", not the number 15005550100', 'Write: phone: "+15005550100"'),
    "phone without its country": ("phone: 5005550100\n", 8, "wrong-type", '"phone" wants a phone number in quotes such as "+1 500 555 0100", not the number 5005550100', 'Write: phone: "+... 5005550100", with your country\'s code after the plus sign'),
    "a number beyond all": ("priority: 99999999999999999999\n", 11, "wrong-type", '"priority" wants a whole number, not the text "99999999999999999999"', "That is more than any number here."),
    "text for number": ("priority: '1,000'\n", 11, "wrong-type", '"priority" wants a whole number, not the text "1,000"', "Write: priority: 1000"),
    "comma": ("factor: 0,5\n", 9, "wrong-type", '"factor" wants a number, not the text "0,5"', "Write: factor: 0.5"),
    "broken number": ("priority: 3.0\n", 11, "wrong-type", '"priority" wants a whole number, not the number 3.0', ""),
    "truth as text": ("about: true\n", 8, "wrong-type", '"about" wants a text, not the value true', 'Write: about: "true"'),
    "text as truth": ("active: yes\n", 9, "wrong-type", '"active" wants true or false, not the text "yes"', "Write: active: true"),
    "list for text": ("about: [a]\n", 1, "wrong-type", '"about" wants a text, not a list', ""),
    "section for number": ("priority:\n  a: 1\n", None, "wrong-type", '"priority" wants a whole number, not a section', ""),
    "text for section": ("conditions: orders\n", 13, "wrong-type", '"conditions" wants a section, its lines indented below it, not the text "orders"', 'Write "orders:" on a line of its own, indented below "conditions:".'),
    "other text for section": ("conditions: many\n", 13, "wrong-type", '"conditions" wants a section, its lines indented below it, not the text "many"', "Known: orders, spend."),
    "a formula": ("conditions:\n  orders: '>= 3'\n", 11, "wrong-type", '"orders" wants a section, its lines indented below it or a whole number, not the text ">= 3"', 'Write below "orders:", indented: at_least: 3'),
    "a setting outside its section": ("orders: 7\n", 1, "unknown-key", '"orders" is not known in a rule', '"orders" belongs to "conditions": write it below "conditions:", indented.'),
    "full-width colon": ("conditions:\n  orders：3\n", 3, "full-width-colon", 'this colon is the full-width "：" of a Chinese or Japanese keyboard; YAML wants ":" and a space', "Switch the keyboard to English"),
    "missing space": ("conditions:\n  orders:3\n", 3, "missing-space", 'a space is missing after the colon of "orders"', "Write: orders: ..."),
    "empty": ("conditions:\n", 1, "empty", '"conditions" is empty; it wants a section, its lines indented below it', "Known: orders, spend."),
    "empty duration": ("conditions:\n  orders:\n    within:\n", 5, "empty", '"within" is empty; it wants a duration such as 90 days', ""),
    "empty text": ("about: ''\n", 8, "empty", '"about" is an empty text', ""),
    "long text": (f"about: {'x' * 21}\n", 8, "too-long", '"about" has 21 letters; 20 are the most', ""),
    "empty section": ("trigger: {}\n", 1, "empty", '"trigger" is empty; it wants a section, its lines indented below it', "Known: lapsed, birthday."),
    "two of one": ("trigger: {birthday: , lapsed: {after: 1 day}}\n", 1, "too-many", '"trigger" has 2 entries; 1 is the most', ""),
    "missing": ("trigger:\n  lapsed: {}\n", 3, "missing-key", '"lapsed" needs "after"', ""),
    "unknown value": ("purpose: Marketting\n", 10, "not-one-of", '"Marketting" is not known for "purpose" - did you mean "marketing"?', "Known: marketing, service."),
    "other value": ("purpose: advertising\n", 10, "not-one-of", '"advertising" is not known for "purpose" - did you mean "marketing"?', "Known: marketing, service."),
    "value of a type": ("purpose: 3\n", 10, "wrong-type", '"purpose" wants one of marketing, service, not the number 3', ""),
    "too small": ("priority: -1\n", 11, "too-small", '"priority" is -1; it must be 0 or more', ""),
    "too large": ("priority: 101\n", 11, "too-large", '"priority" is 101; it must be 100 or less', ""),
    "not more": ("factor: 0\n", 9, "too-small", '"factor" is 0; it must be more than 0', ""),
    "not less": ("factor: 1\n", 9, "too-large", '"factor" is 1; it must be less than 1', ""),
    "negative money": ("conditions:\n  spend: -3\n", 10, "bad-money", '"spend": -3 is not an amount: it must be 0 or more', ""),
    "pattern": ("code: abc\n", 7, "bad-form", '"code" wants capital letters, not "abc"', ""),
    "twice": ("tags: [a, b, a]\n", 14, "repeated", '"tags" names a twice', ""),
    "too many": ("tags: [a, b, c, d]\n", 1, "too-many", '"tags" has 4 entries; 3 is the most', ""),
    "scalar or list": ("tags: 3\n", 7, "wrong-type", '"tags" wants a text or a list, not the number 3', 'Write: tags: "3"'),
    "name of a key": ("texts: {englisch: a}\n", 9, "bad-name", '"englisch" is not a language such as en, de or zh-Hans - did you mean "en"?', ""),
    "schedule": ("schedule: dayly at 10:00\n", 11, "bad-schedule", 'did you mean "daily at 10:00"?', ""),
    "secret": ("secret: hunter2\n", 9, "secret-in-clear", '"secret": a secret does not stand in this file; say where it is, env:NAME or file:PATH', "The secret itself belongs"),
    "numeric secret": ("secret: 12345\n", 9, "secret-in-clear", '"secret" wants a reference such as env:SMTP_PASSWORD', "The secret itself belongs"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_difference_is_told(name):
    extra, column, code, said, hint = DIFFERENCES[name]
    problem = the_one(extra)
    assert problem.code == code
    assert problem.message == said or (said in problem.message and name in {"glued", "schedule"})
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) == bool(hint)
    if column is not None:
        assert problem.line == (SOUND + extra).rstrip("\n").count("\n") + 1
        assert problem.column == column


def test_a_secret_is_not_repeated():
    for extra in ("secret: hunter2\n", "secret: 12345678\n"):
        assert "hunter2" not in to_text(told(extra))
        assert "12345678" not in to_text(told(extra))


def test_what_is_missing_at_the_top_is_told_at_the_first_word():
    problems = told("", start="about: x\n")
    assert [(p.line, p.column, p.code, p.message) for p in problems] == [
        (1, 1, "missing-key", 'a rule needs "actions"'),
        (1, 1, "missing-key", 'a rule needs "id"'),
    ]
    assert problems[1].hint == "id: The rule's name."


def test_what_is_misspelt_is_not_missing_too():
    problem = the_one("", start="id: a\nactoins:\n  - wait: 1 day\n")
    assert problem.code == "unknown-key"


def test_what_stands_too_far_left_is_told_once():
    problem = the_one("  - email:\n    template: win-back\n")
    assert problem.hint == '"template" belongs to "email": indent it further, below "email:".'


def test_a_list_without_dashes_says_so():
    assert the_one("", "id: a\nactions:\n  wait: 1 day\n").hint == "Each entry of a list begins with a - and a space."
    assert the_one("", "id: a\nactions:\n  -wait: 1 day\n").hint.startswith("A space is missing after the -")


def test_all_problems_come_at_once_and_sorted():
    text = "id: Win Back\nabuot: hi\npriority: 3.0\nschedule: never\nholdout: 10\npurpose: x\nactions:\n  - mail:\n  - wait: 3\ncode: a\nconditions:\n  ordesr: 3\n"
    problems = told("", start=text)
    assert len(problems) == 10
    assert [p.line for p in problems] == sorted(p.line for p in problems)


def test_nothing_more_is_said_of_what_could_not_be_read():
    document, problems = parse(SOUND + "about: *x\npriority: *y\n", "a.yaml")
    assert [p.code for p in problems] == ["alias", "alias"]
    assert check(document, SCHEMA) == []


def test_a_part_is_checked_at_its_place():
    document, _ = parse("a:\n  b:\n    within: 3\n", "a.yaml")
    (problem,) = check(document, SCHEMA["properties"]["conditions"]["properties"]["orders"], ("a", "b"))
    assert (problem.line, problem.column) == (3, 13)
    (problem,) = check(document, {"type": "object", "required": ["x"]}, ("a", "b"))
    assert (problem.line, problem.column, problem.message) == (2, 3, '"b" needs "x"')


def test_other_data_can_stand_in():
    document, _ = parse("a:\n  after: 90\n", "a.yaml")
    (problem,) = check(document, SCHEMA["definitions"]["lapsed"], ("a",), {"after": "90"})
    assert (problem.line, problem.code) == (2, "bad-duration")


def test_a_keyword_without_words_of_ours_is_still_told():
    document, _ = parse("a: 7\n", "a.yaml")
    (problem,) = check(document, {"properties": {"a": {"multipleOf": 2}}})
    assert (problem.code, problem.message) == ("not-allowed", '"a": 7 is not a multiple of 2')


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("atleast", "at_least"),
        ("At-Least", "at_least"),
        ("at least", "at_least"),
        ("withn", "within"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_word(word, near):
    assert nearest(word, ["at_least", "at_most", "within"]) == near


def test_every_format_says_what_it_wants():
    assert set(FORMATS) == set(WANTS)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "after", "lapsed", "template", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x"]), anything, max_size=6))
def test_no_data_make_the_check_raise(data):
    document, _ = parse(SOUND, "a.yaml")
    for problem in check(document, SCHEMA, (), data):
        assert problem.message
        assert "Traceback" not in to_text([problem])


def test_a_list_of_one_is_offered_only_for_what_could_be_in_it():
    numbers = {"type": ["number", "array"], "items": {"type": "number"}}
    assert type_hint(numbers, "many", ("points",)) == ""
    assert (
        type_hint({"type": "array", "items": {"type": "string"}}, "vegan", ("tag",)) == "As a list of one: tag: [vegan]"
    )
