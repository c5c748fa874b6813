"""``log``: its keys, filters and masks; a spreadsheet finds no formula in it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select, update

from engine.console.log import KEYS, STATES, table
from engine.console.page import Page, csv_line
from engine.console.words import masked, reason
from engine.database.tables import coupons, customers, delivery_events, dispatches
from engine.dispatch.states import TRANSITIONS

from .conftest import AT, NOW, Regulars, lines


@pytest.fixture
def ran(at_home: Regulars) -> Regulars:
    """A home in which everything was approved and one run was made."""
    at_home("approve", "--all", "--by", "Dana")
    assert at_home("run", "--as-of", AT).exit_code == 0
    return at_home


def test_json_is_one_object_a_line_with_the_documented_keys(ran: Regulars):
    rows = lines(ran("log", "--format", "json"))
    assert all(list(row) == list(KEYS) for row in rows)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    (mail,) = (row for row in rows if row["rule"] == "win-back" and row["step"] == 2 and row["customer"] == "G1")
    assert (mail["channel"], mail["state"], mail["to"]) == ("email", "sent", "l***@example.com")
    assert (mail["due_at"], mail["sent_at"]) == ("2026-05-04T15:00:00+00:00", "2026-05-04T15:00:00+00:00")
    (step,) = (row for row in rows if row["rule"] == "win-back" and row["step"] == 1 and row["customer"] == "G1")
    assert step["coupon"] == mail["coupon"]
    assert step["coupon"].replace("-", "") in next(iter_texts(ran, mail))


def iter_texts(ran: Regulars, mail: dict[str, object]):
    yield ran("coupon", "show", mail["coupon"], "--as-of", AT).stdout.replace("-", "")


def test_who_got_nothing_and_why_is_asked_like_a_state(ran: Regulars):
    rows = lines(ran("log", "--state", "refused", "--format", "json"))
    assert [(row["rule"], row["customer"], row["reason"], row["id"]) for row in rows] == [
        ("win-back", "G3", "no_consent", None)
    ]
    assert "no consent" in ran("log", "--state", "refused").stdout


@pytest.mark.parametrize(
    ("words", "customers_found"),
    [
        (["--rule", "low-rating"], {"G6"}),
        (["--customer", "G1"], {"G1"}),
        (["--customer", "xiaoming@example.com"], {"G2"}),
        (["--customer", "(312) 555-0101"], {"G1"}),
        (["--channel", "alert"], {"G6"}),
        (["--channel", "points"], set()),
        (["--channel", "tag"], set()),
        (["--channel", "webhook"], set()),
        (["--state", "blocked", "--rule", "win-back"], {"G2", "G4"}),
        (["--day", "2026-05-09"], {"G1", "G2", "G4"}),
        (["--day", "2026-05-05"], set()),
    ],
)
def test_filters(ran: Regulars, words: list[str], customers_found: set[str]):
    assert {row["customer"] for row in lines(ran("log", "--format", "json", *words))} == customers_found


def test_a_channel_that_is_none_has_a_neighbour(ran: Regulars):
    refused = ran("log", "--channel", "point")
    assert (refused.exit_code, refused.stderr.strip()) == (2, 'There is no channel "point" - did you mean "points"?')


def test_an_alert_says_who_of_the_staff_it_is_for(ran: Regulars):
    for words in ((), ("--reveal",)):
        (row,) = lines(ran("log", "--channel", "alert", "--format", "json", *words))
        assert (row["to"], row["state"]) == ("manager", "sent")


def tell(database: Engine, number: int, *events: tuple[str, str | None]) -> None:
    with database.begin() as conn:
        for kind, code in events:
            told = {"kind": kind, "code": code, "source": "dsn", "key": f"{number} {kind}", "at": NOW, "month": 202605}
            conn.execute(insert(delivery_events).values(dispatch_id=number, **told))


@pytest.mark.parametrize(
    ("events", "kind", "code"),
    [
        ([("delayed", "4.4.1"), ("delivered", "2.0.0")], "delivered", "2.0.0"),
        ([("delivered", None), ("delayed", "4.4.1")], "delivered", None),
        ([("bounced", "hard 5.1.1"), ("delivered", None)], "bounced", "hard 5.1.1"),
        ([("complained", "abuse"), ("bounced", "soft 5.2.2"), ("delivered", None)], "complained", "abuse"),
        ([("undelivered", "30005"), ("delivered", None)], "undelivered", "30005"),
    ],
)
def test_what_was_told_later_stands_beside_the_state(ran: Regulars, database: Engine, events, kind, code):
    wanted = ("--rule", "win-back", "--channel", "email", "--customer", "G1")
    (before,) = lines(ran("log", "--format", "json", *wanted))
    assert (before["delivery"], before["delivery_code"], before["delivery_at"]) == (None, None, None)
    tell(database, before["id"], *events)
    (row,) = lines(ran("log", "--format", "json", *wanted))
    assert (row["state"], row["delivery"], row["delivery_code"]) == ("sent", kind, code)
    assert row["delivery_at"] == NOW.isoformat()
    table = ran("log", *wanted).stdout
    assert f"sent, {kind}" in table
    assert (code is not None and code in table) == (kind != "delivered")
    assert lines(ran("log", "--format", "json", "--state", "sent", *wanted)) == [row]
    (message,) = (
        each
        for each in lines(ran("customer", "show", "G1", "--format", "json"))[0]["messages"]
        if each["channel"] == "email" and each["rule"] == "win-back"
    )
    assert (message["delivery"], message["delivery_code"], message["delivery_at"]) == (kind, code, NOW.isoformat())
    assert kind in ran("customer", "show", "G1").stdout


def test_addresses_are_masked_unless_revealed(ran: Regulars):
    for shape in ("table", "json", "csv"):
        assert "li.wei@example.com" not in ran("log", "--format", shape).stdout
        assert "li.wei@example.com" in ran("log", "--format", shape, "--reveal").stdout


def test_the_table_says_how_much_more_there_is(ran: Regulars):
    everything = len(lines(ran("log", "--format", "json")))
    assert ran("log", "--limit", 2).stdout.endswith(f"The newest 2 of {everything}; --limit shows more.\n")
    assert len(lines(ran("log", "--format", "json", "--limit", 2))) == 2


def test_a_chinese_name_keeps_the_columns_straight(ran: Regulars):
    table = ran("log", "--rule", "win-back", "--channel", "email").stdout.splitlines()
    at = table[0].index("rule")
    by_name = {name: line for line in table[1:4] for name in ("王小明", "Li Wei", "@HYPERLINK(1)") if name in line}
    assert len(by_name) == 3
    assert by_name["Li Wei"].index("win-back") == by_name["@HYPERLINK(1)"].index("win-back") == at
    assert by_name["王小明"].index("win-back") == at - 3  # three signs of two columns each


def test_a_narrow_terminal_leaves_the_address_out():
    row = dict.fromkeys(KEYS, "x") | {"name": "Li", "due_at": None, "sent_at": None, "channel": "email"}
    for width, titles in ((80, False), (140, True)):
        page = Page(color=False, width=width)
        table(page, [row], 1, ZoneInfo("UTC"))
        assert ("coupon" in page.text) == titles
        assert len(page.text.splitlines()) == 2


def test_an_erased_guest_leaves_the_columns_their_room(ran: Regulars):
    ran("customer", "erase", "G1", "--yes", "--by", "Dana")
    (row, *_) = lines(ran("log", "--rule", "win-back", "--format", "json"))[-1:]
    said = ran("log", "--rule", "win-back").stdout
    assert row["customer"].startswith("erased:")
    assert re.search(r"^ *\d+  erased  ", said, re.MULTILINE)
    assert "erased:" not in said


def test_a_name_cannot_steer_the_terminal(ran: Regulars, database: Engine):
    with database.begin() as conn:
        conn.execute(update(customers).where(customers.c.external_id == "G1").values(name="\x1b[2JLi\u202e\nWei"))
    said = ran("log", "--customer", "G1").stdout
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\ufffd[2JLi\ufffd Wei" in said


def test_csv_has_no_formula(ran: Regulars, database: Engine):
    with database.begin() as conn:
        conn.execute(update(dispatches).values(provider_id="=cmd|' /C calc'!A0"))
    rows = list(csv.DictReader(io.StringIO(ran("log", "--format", "csv").stdout)))
    assert list(rows[0]) == list(KEYS)
    assert {row["provider_id"] for row in rows} == {"'=cmd|' /C calc'!A0"}


@given(st.lists(st.one_of(st.text(), st.integers(), st.none()), min_size=1))
def test_no_cell_of_a_csv_begins_like_a_formula(cells: list[object]):
    (read,) = csv.reader(io.StringIO(csv_line(cells), newline=""))
    for cell, shown in zip(cells, read, strict=True):
        if isinstance(cell, str):
            assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert shown in {cell, f"'{cell}"}
        else:
            assert shown == ("" if cell is None else str(cell))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rule", "win-bak"], 'There is no rule "win-bak" - did you mean "win-back"?'),
        (["--state", "blokced"], 'There is no state "blokced" - did you mean "blocked"?'),
        (["--customer", "G99"], 'There is no guest "G99".'),
        (["--customer", "nobody@example.com"], 'There is no guest "nobody@example.com".'),
        (["--day", "05/04/2026"], "--day: "),
    ],
)
def test_what_is_mistyped_is_answered(at_home: Regulars, words: list[str], said: str):
    result = at_home("log", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_every_state_can_be_asked_for():
    assert {state for move in TRANSITIONS for state in move} <= set(STATES)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("li.wei@example.com", "l***@example.com"),
        ("l@example.com", "***@example.com"),
        ("+13125550101", "+1***01"),
        (None, ""),
        ("odd", "***"),
    ],
)
def test_masks(address: str | None, shown: str):
    assert masked(address) == shown


def test_the_log_can_be_read_while_a_run_is_writing(ran: Regulars, database: Engine, home: Path):
    with database.begin() as conn:
        conn.execute(update(dispatches).values(attempts=1))
        assert ran("log", "--limit", 1).exit_code == 0


def test_a_coupon_is_issued_and_may_be_taken_back(ran: Regulars, database: Engine):
    said = ran("log", "--channel", "coupon", "--customer", "G1").stdout
    assert " issued " in said
    assert " sent " not in said
    with database.begin() as conn:
        conn.execute(update(coupons).values(revoked_at=NOW))
    assert " taken back " in ran("log", "--channel", "coupon", "--customer", "G1").stdout
    assert lines(ran("log", "--channel", "coupon", "--customer", "G1", "--format", "json"))[0]["state"] == "sent"


def test_a_long_name_is_cut():
    row = dict.fromkeys(KEYS, "x") | {"name": "N" * 500, "due_at": None, "sent_at": None}
    page = Page(color=False, width=100_000)
    table(page, [row], 1, ZoneInfo("UTC"))
    assert f" {'N' * 29}… " in page.text


def test_stop_if_is_told_in_words():
    assert reason("stop_if") == "what the rule names under stop_if was true by then"


def test_what_may_have_arrived_is_shown_with_what_decides_about_it(at_home: Regulars, database: Engine):
    at_home("run", "--as-of", AT)
    with database.begin() as conn:
        first, second, *_ = conn.scalars(select(dispatches.c.id).where(dispatches.c.channel == "email")).all()
        unsure = {"state": "uncertain", "reason": "no_answer", "finished_at": NOW, "handed_at": NOW, "carrier": "email"}
        chosen = update(dispatches).where(dispatches.c.id.in_([first, second]))
        conn.execute(chosen.values(**unsure, provider_reply="timeout at dot", provider_id="q1"))
    said = at_home("log", "--state", "uncertain").stdout
    heading, row, *_ = said.splitlines()
    assert all(word in heading for word in ("handed over", "by", "answer", "provider's id"))
    assert all(word in row for word in (str(second), "2026-05-04 10:00", "email", "timeout at dot", "q1"))
    assert f"  regulars dispatch resolve {first} {second} --sent         they arrived\n" in said
    assert f"  regulars dispatch resolve {first} {second} --send-again   they did not" in said
    told = lines(at_home("log", "--state", "uncertain", "--format", "json"))
    assert {(each["carrier"], each["provider_reply"]) for each in told} == {("email", "timeout at dot")}
    assert all(f"  {each['id']} has the Message-ID {each['message_id']}\n" in said for each in told)
    assert "dispatch resolve" not in at_home("log").stdout


def test_an_email_has_the_message_id_that_mail_servers_know_it_by(ran: Regulars, home: Path):
    told = {
        each["message_id"] for each in lines(ran("log", "--channel", "email", "--state", "sent", "--format", "json"))
    }
    mails = [file.read_text() for file in (home / "outbox").glob("*.eml")]
    named = {found[1] for mail in mails if (found := re.search(r"^Message-ID: (\S+)$", mail, re.MULTILINE))}
    assert told
    assert len(named - told) == 1  # the alert's
    assert not told - named
    others = lines(ran("log", "--format", "json"))
    assert {each["message_id"] for each in others if each["channel"] != "email" or not each["sent_at"]} == {None}
