"""Problems are printed at their place, with a caret that stands under the word."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from engine.language.problems import (
    Problem,
    ProblemsError,
    display_width,
    errors,
    ordered,
    to_github,
    to_json,
    to_text,
    whole_file,
)

UNKNOWN = Problem(
    "rules/win-back.yaml",
    8,
    5,
    '"atleast" is not known in "orders" - did you mean "at_least"?',
    "unknown-key",
    hint='Known in "orders": at_least, at_most.',
    width=7,
    excerpt="    atleast: 3",
)


def caret_of(text):
    return next(line for line in text.splitlines() if set(line.partition("|")[2].strip()) <= {"^", "~"} and "^" in line)


def test_a_problem_shows_place_message_code_line_caret_and_hint():
    assert to_text([UNKNOWN]) == (
        'rules/win-back.yaml:8:5: "atleast" is not known in "orders" - did you mean "at_least"? [unknown-key]\n'
        "  8 |     atleast: 3\n"
        "    |     ^~~~~~~\n"
        '  Known in "orders": at_least, at_most.\n'
    )


def test_a_warning_says_that_it_is_one():
    warning = Problem("a.yaml", 1, 1, "odd", "odd", severity="warning")
    assert to_text([warning]) == "a.yaml:1:1: warning: odd [odd]\n"
    assert not warning.is_error
    assert errors([warning, UNKNOWN]) == [UNKNOWN]


def test_chinese_counts_double_under_the_caret():
    line = "name: 早安咖啡  # 好"
    text = to_text([Problem("a.yaml", 3, 7, "m", "c", width=4, excerpt=line)])
    assert text.splitlines()[2] == "    |       ^~~~~~~~"
    text = to_text([Problem("a.yaml", 3, 9, "m", "c", width=1, excerpt=line)])
    assert text.splitlines()[2] == "    |           ^~"


def test_combining_marks_take_no_column():
    assert display_width("Cafe\u0301") == 4
    assert display_width("👩‍🍳") == 4  # two wide signs and a joiner: as most terminals show it


def test_problems_are_sorted_by_place_and_said_once():
    later = Problem("b.yaml", 1, 1, "x", "x")
    earlier = Problem("a.yaml", 10, 2, "x", "x")
    first = Problem("a.yaml", 9, 30, "x", "x")
    assert ordered([later, earlier, first, later]) == [first, earlier, later]


def test_what_would_steer_a_terminal_is_not_printed():
    text = to_text(
        [Problem("a.yaml", 1, 4, "bad \x1b[2J \u202e", "c", excerpt="a: \x1b]0;x\x07 \u202edb", hint="\x9b")]
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "\x9b" not in text


def test_a_long_line_is_cut_around_the_caret():
    line = f"about: {'a' * 500} HERE {'好' * 500}"
    text = to_text([Problem("a.yaml", 1, line.index("HERE") + 1, "m", "c", width=4, excerpt=line)])
    shown, caret = text.splitlines()[1:3]
    assert display_width(shown) < 130
    at = caret.index("^")
    assert shown[at : at + 4] == "HERE"
    assert caret.strip().endswith("^~~~")


def test_a_caret_beyond_the_line_stands_at_its_end():
    text = to_text([Problem("a.yaml", 1, 99, "m", "c", width=5, excerpt="a:")])
    assert text.splitlines()[2] == "    |   ^"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.data())
def test_the_caret_always_stands_under_its_word(line, data):
    column = data.draw(st.integers(1, len(line)))
    width = data.draw(st.integers(1, len(line) - column + 1))
    text = to_text([Problem("a.yaml", 1, column, "m", "c", width=width, excerpt=line)])
    lines = text.split("\n")
    margin = len("  1 | ")
    caret = lines[2][margin:]
    assert len(caret) - len(caret.lstrip()) == display_width(line[: column - 1])
    assert len(caret.strip()) == max(display_width(line[column - 1 : column - 1 + width]), 1)
    assert all(unicodedata.category(char) != "Cc" for shown in lines for char in shown)


def test_json_has_stable_keys():
    assert to_json(UNKNOWN) == {
        "path": "rules/win-back.yaml",
        "line": 8,
        "column": 5,
        "severity": "error",
        "code": "unknown-key",
        "message": '"atleast" is not known in "orders" - did you mean "at_least"?',
        "hint": 'Known in "orders": at_least, at_most.',
    }


def test_github_gets_one_line_with_escapes():
    problem = Problem("rules/a,b.yaml", 2, 3, "50% off\nnow", "c:d", hint="h", width=2)
    assert to_github(problem) == (
        "::error file=rules/a%2Cb.yaml,line=2,col=3,endColumn=5,title=c%3Ad::50%25 off%0Anow%0Ah"
    )


def test_colour_only_when_asked_for():
    assert "\x1b[" in to_text([UNKNOWN], color=True)
    assert "\x1b[" not in to_text([UNKNOWN])


def test_nothing_wrong_prints_nothing():
    assert to_text([]) == ""


def test_the_error_carries_its_problems_sorted():
    error = ProblemsError([UNKNOWN, whole_file("config/regulars.yaml", "the file is empty", "empty-file")])
    assert [problem.path for problem in error.problems] == ["config/regulars.yaml", "rules/win-back.yaml"]
    assert str(error).startswith("config/regulars.yaml:1:1: the file is empty [empty-file]; rules/win-back.yaml:8:5:")
