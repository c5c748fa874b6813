"""``preview``: what one guest would read, and a test to the owner's own address."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from engine.console.preview import SAMPLE_CODE
from engine.database.tables import coupons, dispatches, endpoints, matches
from engine.language.codes import read, shown

from .conftest import AT, Regulars


def test_every_message_of_a_rule_is_shown_and_nothing_is_kept(regulars: Regulars, either_home: Path):
    result = regulars("--home", either_home, "preview", "win-back", "--customer", "G1", "--as-of", AT)
    assert result.exit_code == 0
    said = result.stdout
    assert said.startswith('win-back for G1 Li Wei\n\nStep 2: email "win-back"\n  Subject: ')
    assert "Hello Li Wei," in said
    assert shown(SAMPLE_CODE) in said
    assert "May 25, 2026" in said
    assert 'Step 4: SMS "win-back-reminder"' in said
    assert "GSM-7, 1 segment" in said
    page = either_home / "preview" / "win-back-G1-2.html"
    assert f"As a page: {page}" in said
    html = page.read_text(encoding="utf-8")
    assert "cid:" not in html
    assert "data:image/png;base64," in html
    assert regulars("--home", either_home, "log", "--format", "json").stdout == ""


def test_a_preview_writes_no_row(at_home: Regulars, database: Engine):
    at_home("preview", "win-back", "--customer", "G1", "--as-of", AT)
    with database.connect() as conn:
        for table in (matches, dispatches, coupons):
            assert conn.scalar(select(func.count()).select_from(table)) == 0


def test_a_chinese_guest_reads_chinese_and_pays_for_ucs_2(at_home: Regulars):
    said = at_home("preview", "win-back", "--customer", "G2", "--as-of", AT).stdout
    assert "王小明" in said
    assert "UCS-2" in said


def test_an_alert_is_shown_as_staff_would_read_it(at_home: Regulars):
    said = at_home("preview", "low-rating", "--customer", "G6", "--as-of", AT).stdout
    assert 'alert "low-rating-alert" to manager' in said
    assert "Cold soup" in said


def test_a_message_that_cannot_be_made_is_said_and_ends_with_1(at_home: Regulars):
    result = at_home("preview", "low-rating", "--customer", "G1", "--as-of", AT)  # G1 has rated nothing
    assert result.exit_code == 1
    assert "This message cannot be made: " in result.stdout


def test_a_test_goes_to_the_owner_marked_as_one(at_home: Regulars, home: Path):
    result = at_home("preview", "win-back", "--customer", "G1", "--as-of", AT, "--send-to", "me@corner-shop.net")
    assert "Step 2 was sent, marked TEST" in result.stdout
    (file,) = (home / "outbox").glob("*.eml")
    mail = message_from_bytes(file.read_bytes(), policy=default)
    assert mail["Subject"].startswith("TEST: ")
    assert mail["To"] == "me@corner-shop.net"
    assert mail["List-Unsubscribe"] is None
    text = at_home("preview", "win-back", "--customer", "G1", "--as-of", AT, "--send-to", "+1 312 555 0199")
    assert "Step 4 was sent, marked TEST" in text.stdout
    (file,) = (home / "outbox").glob("*.txt")
    assert "TEST: " in file.read_text(encoding="utf-8")


def test_no_test_goes_to_a_blocked_address_or_past_the_red_button(at_home: Regulars, database: Engine, home: Path):
    words = ["preview", "win-back", "--customer", "G1", "--as-of", AT, "--send-to"]
    with database.begin() as conn:
        mine = endpoints.c.address == "li.wei@example.com"
        conn.execute(update(endpoints).where(mine).values(suppressed_why="unsubscribed", suppressed_at=0))
    for written in ("li.wei@example.com", "LI.Wei@Example.COM"):
        blocked = at_home(*words, written)
        assert (blocked.exit_code, "no test either" in blocked.stderr) == (1, True)
    at_home("stop")
    stopped = at_home(*words, "me@corner-shop.net")
    assert (stopped.exit_code, "red button" in stopped.stderr) == (75, True)
    assert not (home / "outbox").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["win-bak", "--customer", "G1"], 2, 'did you mean "win-back"?'),
        (["win-back", "--customer", "G77"], 2, 'There is no guest "G77".'),
        (["win-back"], 2, "Missing option '--customer'"),
        (["win-back", "--customer", "G1", "--send-to", "me"], 2, "--send-to: "),
        (["birthday", "--customer", "G1", "--send-to", "nobody@nowhere"], 2, "--send-to: "),
        (["low-rating", "--customer", "G6", "--send-to", "555-0199"], 2, '--send-to: "555-0199" lacks the area code'),
        (
            ["low-rating", "--customer", "G6", "--send-to", "+13125550199"],
            1,
            "This rule has no SMS that could be sent.",
        ),
    ],
)
def test_what_is_mistyped_is_answered(at_home: Regulars, words: list[str], code: int, said: str):
    result = at_home("preview", *words, "--as-of", AT)
    assert result.exit_code == code
    assert said in result.stderr


def test_the_sample_code_is_well_formed():
    assert read(SAMPLE_CODE) == SAMPLE_CODE


def test_a_test_is_sent_as_often_as_it_is_asked_for(at_home: Regulars, home: Path):
    for rule, guest in (("win-back", "G1"), ("birthday", "G5"), ("win-back", "G1")):
        said = at_home("preview", rule, "--customer", guest, "--as-of", AT, "--send-to", "me@corner-shop.net").stdout
        assert "marked TEST (written)." in said
    mails = [file.read_bytes() for file in (home / "outbox").glob("*.eml")]
    assert len(mails) == 3
    assert len({line for mail in mails for line in mail.splitlines() if line.startswith(b"Message-ID: ")}) == 3
