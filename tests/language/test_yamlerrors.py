"""What an owner gets to read for each way to break YAML."""

from __future__ import annotations

import pytest
import yaml

from engine.language import yamlfile
from engine.language.yamlfile import parse

MISTAKES = {
    "a tab": ("trigger:\n\tlapsed: 1\n", (2, 1), "tab", "this line is indented with a tab"),
    "a tab after spaces": ("a:\n  b: 1\n \tc: 2\n", (3, 2), "tab", "this line is indented with a tab"),
    "no colon": ("id: x\nabout hello\nb: 1\n", (2, 1), "missing-colon", 'a colon is missing after "about"'),
    "no space": ("id:x\nb: 2\n", (1, 3), "missing-space", 'a space is missing after the colon of "id"'),
    "full-width colon": ("id：x\nb: 2\n", (1, 3), "full-width-colon", 'this colon is the full-width "："'),
    "full-width below": ("a: 1\nabout：x\n", (2, 6), "full-width-colon", 'this colon is the full-width "："'),
    "full-width alone": ("id：x\n", (1, 3), "full-width-colon", 'this colon is the full-width "："'),
    "colon in a text": ("about: Hello: you\n", (1, 8), "colon-in-text", 'the text after "about:" holds another colon'),
    "open quote": ('a: 1\nabout: "hello\nid: 3\n', (2, 8), "unclosed-quote", "this quote is never closed"),
    "open single quote": ("about: 'it\nid: 3\n", (1, 8), "unclosed-quote", "this quote is never closed"),
    "apostrophe": ("about: 'it's fine'\n", (1, 12), "text-after-quote", "text stands after the closing quote"),
    "after a quote": ('about: "x" y\n', (1, 12), "text-after-quote", "text stands after the closing quote"),
    "too far left": (
        "a:\n    b: 1\n  c: 2\n",
        (3, 3),
        "indentation",
        "the indentation of this line fits no line above",
    ),
    "too far right": (
        "a:\n  b: 1\n    c: 2\n",
        (3, 5),
        "indentation",
        "this line is indented further than the line above",
    ),
    "list too far left": ("a:\n  - b: 1\n - c: 2\n", (3, 2), "indentation", "this - does not stand below the list"),
    "list beside settings": ("a:\n  b: 1\n  - c\n", (3, 3), "indentation", "this - does not stand below the list"),
    "list on one line": ("a: - b\n", (1, 4), "indentation", "a list begins on a line of its own"),
    "no space after a dash": ("a:\n  - b\n  -c: 1\n", (3, 3), "missing-space", "a space is missing after the -"),
    "star": ("channel: *\n", (1, 10), "quotes-needed", 'text that begins with "*" needs quotes'),
    "star and word": ("channel: *foo\n", (1, 10), "alias", "an alias (*foo) cannot be used here"),
    "at": ("a: @home\n", (1, 4), "quotes-needed", 'text that begins with "@" needs quotes'),
    "backtick": ("a: `x`\n", (1, 4), "quotes-needed", 'text that begins with "`" needs quotes'),
    "percent": ("a: %x\n", (1, 4), "quotes-needed", 'text that begins with "%" needs quotes'),
    "percent first": ("%x: 1\n", (1, 1), "quotes-needed", 'text that begins with "%" needs quotes'),
    "ampersand": ("a: & x\n", (1, 4), "quotes-needed", 'text that begins with "&" needs quotes'),
    "comma": ("a: ,x\n", (1, 4), "quotes-needed", 'text that begins with "," needs quotes'),
    "bar": ("a: |x\n", (1, 4), "quotes-needed", 'text that begins with "|" needs quotes'),
    "greater": ("a: > 3\n", (1, 4), "quotes-needed", 'text that begins with ">" needs quotes'),
    "question": ("a: ? x\n", (1, 4), "quotes-needed", 'text that begins with "?" needs quotes'),
    "placeholder": ("subject: {{ x.y }}, hi\n", (1, 11), "quotes-needed", "text that begins with {{ needs quotes"),
    "placeholder alone": ("subject: {{ x }}\n", (1, 11), "quotes-needed", "text that begins with {{ needs quotes"),
    "open bracket": ("a: [1, 2\nb: 3\n", (1, 4), "unclosed-bracket", 'this "[" is never closed'),
    "open brace": ("a: {b: 1\nc: 2\n", (1, 4), "unclosed-bracket", 'this "{" is never closed'),
    "escape": ('a: "\\d"\n', (1, 5), "bad-escape", "\\d means nothing inside double quotes"),
    "no name": (": a\n", (1, 1), "key-type", "a setting's name is missing before the colon"),
    "odd space": ("a:\n\u00a0\u00a0b: 1\n", (2, 1), "odd-space", 'before "b" stands a space that is no plain space'),
    "ideographic space": (
        "a: 1\n\u3000b: 1\n",
        (2, 1),
        "odd-space",
        "the full-width space of a Chinese or Japanese keyboard",
    ),
    "two documents": ("a: 1\n---\nb: 2\n", (2, 1), "second-document", "a second document begins here"),
    "merge": ("<<: {a: 1}\n", (1, 1), "alias", "merging with << cannot be used here"),
    "tag": ("a: !now x\n", (1, 4), "tag", "a tag (a word that begins with !) cannot be used here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_named_at_its_place(name):
    text, place, code, said = MISTAKES[name]
    _, problems = parse(text, "rules/a.yaml")
    assert [((p.line, p.column), p.code) for p in problems] == [(place, code)]
    assert said in problems[0].message
    assert problems[0].hint
    assert problems[0].excerpt == text.splitlines()[place[0] - 1].replace("\x00", "")


@pytest.mark.parametrize("name", MISTAKES)
def test_the_slower_parser_without_c_says_the_same(name, monkeypatch):
    text, place, code, _ = MISTAKES[name]
    monkeypatch.setattr(yamlfile, "_LOADER", yaml.SafeLoader)
    _, problems = parse(text, "rules/a.yaml")
    assert [((p.line, p.column), p.code) for p in problems] == [(place, code)]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("about hello you\nb: 1\n", "Write: about: hello you"),
        ("about: It's: here\n", "Write: about: 'It''s: here'"),
        ("channel: *\n", 'Write: "*"'),
        ('a: @say "x"\n', "Write: '@say \"x\"'"),
    ],
)
def test_the_cure_can_be_copied(text, cure):
    (problem,) = parse(text, "rules/a.yaml")[1]
    assert problem.hint == cure


def test_the_quotes_of_a_word_processor_are_a_warning():
    document, (problem,) = parse("id: “win-back”\nabout: Say “hi” to them\n", "rules/a.yaml")
    assert document.data["id"] == "“win-back”"
    assert (problem.severity, problem.code, problem.line) == ("warning", "typographic-quotes", 1)
