"""What a person reads: widths, colours only where somebody watches."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.console.page import Column, Page, colored, visible, watched
from engine.console.report import sent_report
from engine.console.words import REASONS, counted, moment, money, reason, tally
from engine.language.problems import display_width


class Terminal:
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def put_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_colour_needs_a_terminal(monkeypatch: pytest.MonkeyPatch):
    put_a_terminal(monkeypatch)
    assert (watched(), colored()) == (True, True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colored()


def test_without_a_terminal_nothing_is_coloured():
    page = Page()
    page.line("wrong", "bad")
    assert (colored(), page.text) == (False, "wrong\n")


def test_with_one_it_is():
    page = Page(color=True, width=40)
    page.line("wrong", "bad")
    assert page.text == "\x1b[31mwrong\x1b[0m\n"


@given(st.lists(st.tuples(st.text(alphabet="ab王é小明", min_size=1), st.integers(0, 10**9)), min_size=1, max_size=5))
def test_columns_begin_where_the_title_does_whatever_the_script(rows: list[tuple[str, int]]):
    page = Page()
    page.table([Column("name"), Column("n", right=True)], rows)
    lines = page.text.splitlines()
    assert len(lines) == len(rows) + 1
    assert len({display_width(line) for line in lines}) == 1  # the last column stands at the right
    assert all(
        line.startswith(name) and line.endswith(f" {number}")
        for line, (name, number) in zip(lines[1:], rows, strict=True)
    )


def test_a_long_cell_is_never_cut_where_a_program_reads():
    page = Page()
    page.table([Column("a"), Column("b")], [["x" * 500, "end"]])
    assert page.text.splitlines()[1] == "x" * 500 + "  end"


def test_a_narrow_terminal_folds_and_loses_nothing():
    page = Page(color=False, width=20)
    page.table([Column("a"), Column("b")], [["x" * 30, "end"]])
    assert page.text.count("x") == 30


def test_headings_have_air_above_but_not_the_first():
    page = Page()
    page.heading("one")
    page.heading("two")
    assert page.text == "one\n\ntwo\n"


@given(st.text())
def test_no_text_steers_the_terminal(text: str):
    shown = visible(text)
    assert len(shown) == len(text)
    assert not set(shown) & set("\x1b\n\r\t\u202e\u2066\x07\x9b")


def test_every_reason_is_in_words_and_a_new_one_is_readable():
    assert all(said[0].islower() or said[0].isdigit() for said in REASONS.values())
    assert reason("no_consent") == "no consent"
    assert reason("of_a_new_kind") == "of a new kind"
    assert reason("refused: 550") == "the provider refused it: 550"
    assert reason(None) == ""


def test_numbers_and_times_in_words():
    assert (counted(0, "match"), counted(1, "match"), counted(1234, "match")) == (
        "no matches",
        "1 match",
        "1,234 matches",
    )
    assert tally({"blocked": 2, "sent": 30}) == "30 sent, 2 blocked"
    assert (money(1250, "USD"), money(1250, "JPY"), money(None, "USD")) == ("12.50 USD", "1,250 JPY", "")
    zone = ZoneInfo("America/Chicago")
    assert (moment(datetime(2026, 5, 4, 15, tzinfo=UTC), zone), moment(None, zone)) == ("2026-05-04 10:00", "")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "Nothing was due to be sent."),
        ({"pending": 2}, "Nothing was sent. 2 messages wait."),
        ({"sent": 67, "pending": 1}, "Sent and done: 67 sent. 1 message waits."),
        ({"blocked": 1, "sent": 2}, "Sent and done: 2 sent, 1 blocked."),
    ],
)
def test_what_waits_is_not_called_done(sent: dict[str, int], said: str):
    page = Page()
    sent_report(page, sent)
    assert page.text == f"{said}\n"
