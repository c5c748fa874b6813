"""YAML is read as owners mean it, with the place of everything, and no file makes the reader raise."""

from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.language import yamlfile
from engine.language.problems import to_text
from engine.language.yamlfile import find, load, parse, scalar

RULE = """\
# a rule
id: win-back-90
schedule: daily at 10:00
trigger:
  lapsed:
    after: 90 days      # three months
conditions:
  none:
    - tag: [staff, 'friend']
    - tag: 好友
actions:
  - email:
      template: "win-back"
  - wait: 3 days
"""


def read(text):
    document, problems = parse(text, "rules/a.yaml")
    assert document is not None, to_text(problems)
    assert problems == []
    return document


def told(text):
    return [(p.line, p.column, p.code) for p in parse(text, "rules/a.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10:00", "10:00"),
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("+85291234567", "+85291234567"),
        ("01234", "01234"),
        ("-01", "-01"),
        ("2026-05-04", "2026-05-04"),
        ("1_000", "1_000"),
        ("1,000", "1,000"),
        ("12e4", "12e4"),
        ("1e400", "1e400"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("0o17", 15),
        ("0x1F", 31),
        ("0", 0),
        ("-0", 0),
        ("42", 42),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("1" * 5000, "1" * 5000),
        ("4.50", 4.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        (".", "."),
        ("-", "-"),
        ("00.5", "00.5"),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("nil", "nil"),
        ("１０", "１０"),
    ],
)
def test_a_plain_scalar_is_what_an_owner_means(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_are_text():
    assert read("a: '42'\nb: \"true\"\nc: |\n  7\nd: >-\n  null\n").data == {
        "a": "42",
        "b": "true",
        "c": "7\n",
        "d": "null",
    }


def test_data_is_plain():
    data = read(RULE).data
    assert data["conditions"] == {"none": [{"tag": ["staff", "friend"]}, {"tag": "好友"}]}
    assert data["actions"] == [{"email": {"template": "win-back"}}, {"wait": "3 days"}]
    assert type(data) is dict


@pytest.mark.parametrize(
    ("at", "on", "place"),
    [
        (("id",), "value", (2, 5, 11)),
        (("id",), "key", (2, 1, 2)),
        (("trigger", "lapsed", "after"), "value", (6, 12, 7)),
        (("trigger", "lapsed"), "value", (5, 3, 6)),  # a section is shown by its name
        (("trigger", "lapsed", "up_to"), "value", (5, 3, 6)),  # what is missing, by the section that lacks it
        (("conditions", "none", 0, "tag", 1), "value", (9, 20, 8)),
        (("conditions", "none", 1, "tag"), "value", (10, 12, 2)),
        (("actions", 1), "value", (14, 5, 12)),
        (("nothing", "of", "this"), "value", (2, 1, 2)),
    ],
)
def test_everything_has_its_place(at, on, place):
    assert tuple(read(RULE).place(at, on)) == place


def test_an_empty_setting_is_shown_by_its_name():
    assert tuple(read("a: 1\nlapsed:\n").place(("lapsed",))) == (2, 1, 6)


def test_a_problem_of_several_lines_underlines_the_first():
    problem = read("a: 1\nabout: one\n  two\n").problem(("about",), "m", "c")
    assert (problem.line, problem.column, problem.width, problem.excerpt) == (2, 8, 3, "about: one")


def test_lines_are_counted_as_the_parser_counts_them():
    document = read("a: 1\r\nb: 2\rc: 3\u2028d: 4\n")
    assert [document.place((key,)).line for key in "abcd"] == [1, 2, 3, 4]
    assert document.problem(("d",), "m", "c").excerpt == "d: 4"


def test_a_sign_beyond_the_first_plane_is_one_column():
    assert read("a: {b: 😀, c: 1}\n").place(("a", "c")).column == 14


def test_a_duplicate_key_is_shown_at_both_places():
    document, problems = parse("conditions:\n  orders: 3\n  orders:\n    within: 1 year\n", "rules/a.yaml")
    assert to_text(problems) == (
        'rules/a.yaml:3:3: "orders" is already given on line 2, column 3 [duplicate-key]\n'
        "  3 |   orders:\n"
        "    |   ^~~~~~\n"
        '  To ask "orders" twice, list both under all: such as\n'
        "    all:\n"
        "      - orders: ...\n"
        "      - orders: ...\n"
    )
    assert document.data == {"conditions": {"orders": 3}}


def test_a_duplicate_elsewhere_has_another_cure():
    (problem,) = parse("id: a\nid: b\n", "rules/a.yaml")[1]
    assert problem.hint == "Remove one of the two."


def test_all_structural_problems_are_told_at_once():
    text = "a: &x 1\nb: *x\nc: !!str 2\n7: x\n<<: {q: 1}\nd: 1\nd: 2\n? [1]\n: 2\n"
    assert told(text) == [
        (1, 4, "alias"),
        (2, 4, "alias"),
        (3, 4, "tag"),
        (4, 1, "key-type"),
        (5, 1, "alias"),
        (7, 1, "duplicate-key"),
        (8, 3, "key-type"),
    ]


def test_what_is_told_is_marked_broken():
    document, _ = parse("a: *x\nb: {c: 1}\n7: 1\n", "rules/a.yaml")
    assert document.is_broken(("a",))
    assert document.is_broken(("a", "deeper"))
    assert document.is_broken(("7",))
    assert not document.is_broken(("b", "c"))
    assert not document.is_broken(())


@pytest.mark.parametrize("key", ["7", "true", "null", "1.5", "~"])
def test_a_key_that_is_no_text_is_refused(key):
    assert told(f"{key}: x\n") == [(1, 1, "key-type")]


@pytest.mark.parametrize("key", ["NO", "on", "y", "10:00", "'7'", "007", "2026-05-04"])
def test_a_key_that_is_text_is_taken(key):
    assert list(read(f"{key}: x\n").data) == [key.strip("'")]


def test_a_billion_laughs_are_not_heard():
    text = "a: &a [x, x]\n" + "".join(f"k{n}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))
    document, problems = parse(text, "rules/a.yaml")
    assert {problem.code for problem in problems} == {"alias"}
    assert len(problems) == 61
    assert document.data["k19"] == [None, None]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded(opening):
    assert "too-deep" in {code for *_, code in told(opening * 100_000 if len(opening) == 1 else opening * 3_000)}


def test_size_is_bounded(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: " + "x" * yamlfile.MAX_BYTES)
    document, problems = load(file, "rules/a.yaml")
    assert document is None
    assert [p.code for p in problems] == ["too-large"]


def test_a_byte_order_mark_is_no_matter(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfid: a\n")
    document, problems = load(file, "rules/a.yaml")
    assert problems == []
    assert document.data == {"id": "a"}


@pytest.mark.parametrize(
    ("raw", "place", "said"),
    [
        ("id: a\n".encode("utf-16"), (1, 1), "saved as UTF-16"),
        ("id: a\n".encode("utf-16-le"), (1, 2), "holds a NUL sign"),
        ("id: a\nabout: 早安咖啡\n".encode("gbk"), (2, 8), "perhaps as GBK (Chinese)"),
        ("id: a\nabout: Café \n".encode("cp1252"), (2, 11), "perhaps as Windows-1252"),
        (b"id: a\x00b\n", (1, 6), "holds a NUL sign"),
        (b"id: a\x1b[0m\n", (1, 6), "invisible control sign (U+001B)"),
    ],
)
def test_other_encodings_are_told_with_the_cure(tmp_path, raw, place, said):
    file = tmp_path / "a.yaml"
    file.write_bytes(raw)
    document, (problem,) = load(file, "rules/a.yaml")
    assert document is None
    assert (problem.line, problem.column) == place
    assert said in problem.message
    assert problem.hint


@pytest.mark.parametrize("text", ["", "   \n\n", "# only a comment\n", "---\n", "null\n", "~"])
def test_an_empty_file_is_a_problem(text):
    document, problems = parse(text, "rules/a.yaml")
    assert document is None
    assert [p.code for p in problems] == ["empty-file"]


@pytest.mark.parametrize("text", ["- a\n", "hello\n", "42\n", "[]\n", "true\n"])
def test_the_top_must_be_settings(text):
    document, problems = parse(text, "rules/a.yaml")
    assert document is None
    assert [p.code for p in problems] == ["not-settings"]


def test_a_file_that_windows_named_is_told():
    for name in ("a.yaml.txt", "a.YML.TXT"):
        assert yamlfile.wrong_name(f"rules/{name}").hint.startswith(f"Rename it to {name[:-4]}.")


def test_a_missing_file_whose_twin_ends_in_txt_is_told(tmp_path):
    (tmp_path / "a.yaml.txt").write_text("id: a\n")
    for name in ("a.yaml", "a.yaml.txt"):
        document, problems = load(tmp_path / name, f"rules/{name}")
        assert document is None
        assert [(p.code, p.path) for p in problems] == [("file-name", "rules/a.yaml.txt")]


def test_files_that_cannot_be_read_are_told(tmp_path):
    assert [p.code for p in load(tmp_path / "no.yaml", "rules/no.yaml")[1]] == ["missing-file"]
    assert [p.code for p in load(tmp_path, "rules")[1]] == ["unreadable"]
    locked = tmp_path / "locked.yaml"
    locked.write_text("id: a\n")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):  # root reads everything
        assert [p.code for p in load(locked, "rules/locked.yaml")[1]] == ["unreadable"]


def test_rules_are_found_below_their_folder_and_misnamed_ones_told(tmp_path):
    for name in ("b.yaml", "a.yml", "deep/c.YAML", "notes.txt", ".hidden.yaml", ".git/x.yaml", "~b.yaml", "d.yaml.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("id: a\n")
    files, problems = find(tmp_path, "rules")
    assert [shown for _, shown in files] == ["rules/a.yml", "rules/b.yaml", "rules/deep/c.YAML"]
    assert [p.path for p in problems] == ["rules/d.yaml.txt"]
    assert find(tmp_path / "nowhere", "rules") == ([], [])


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  password: hunter2", "  password: *******"),
        ("password：hunter2", "password：*******"),
        ("  auth_token: 'x y'", "  auth_token: *****"),
        ("smtp: {password: hunter2}", "smtp: {password: ********"),
        ("database: postgresql://me:s3:c@ret@db/x", "database: postgresql://me:********@db/x"),
        ("  password: env:SMTP_PASSWORD", "  password: env:SMTP_PASSWORD"),
        ("  secret: file:secret.txt  # x", "  secret: file:secret.txt  # x"),
        ("base_url: https://corner.example/r", "base_url: https://corner.example/r"),
    ],
)
def test_a_secret_is_never_shown_beside_a_message(line, shown):
    (problem,) = parse(f"{line}\n\tx: 1\n", "config/regulars.yaml")[1]
    document, _ = parse(f"{line}\n", "config/regulars.yaml")
    assert len(shown) == len(line)
    assert problem.line == 2
    if document is not None:
        key = next(iter(document.data))
        assert document.problem((key,), "m", "c", on="key").excerpt == shown


text_data = st.recursive(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff\u2028\u2029"), max_size=8
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc好-_ ", max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("xyz", max_size=3), text_data, min_size=1, max_size=4))
def test_quoted_data_come_back_as_they_were(data):
    written = yaml.safe_dump(data, default_style='"', allow_unicode=True, default_flow_style=False, width=10_000)
    written = written.replace("!!null ", "")
    assert parse(written, "a.yaml")[0].data == data


@given(st.text(st.sampled_from("ab: -\n\t'\"[]{}#&*!|>%@`?,：“”\u00a0\\0好") | st.characters(), max_size=60))
def test_no_text_makes_the_reader_raise(text):
    document, problems = parse(text, "a.yaml")
    assert (document is not None) or any(p.is_error for p in problems)
    lines = yamlfile._BREAKS.split(text.removeprefix("\ufeff"))
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.width >= 1
    to_text(problems)


@given(st.integers(0, len(RULE)), st.integers(0, 3), st.text(st.sampled_from("ab: -\n\t'\"[]{}#&*!|>：“ "), max_size=3))
def test_no_slip_in_a_rule_makes_the_reader_raise(at, cut, put):
    text = RULE[:at] + put + RULE[at + cut :]
    document, problems = parse(text, "a.yaml")
    assert (document is not None) or any(p.is_error for p in problems)
    assert not any(p.code == "yaml" for p in problems), text


@given(st.binary(max_size=80))
def test_no_bytes_make_the_reader_raise(raw):
    text, problem = yamlfile._decode(raw, "a.yaml")
    assert problem is not None or isinstance(text, str)
