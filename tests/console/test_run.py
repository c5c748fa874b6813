"""``run``: a dry run shows what the run then does; broken rules stop nobody; a rehearsal stays on this machine."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from sqlalchemy import Engine, insert, select, update

from engine.console.run import Rehearsal
from engine.console.session import LOCK_FILE, opened
from engine.database.tables import channels, customers, rule_versions, zones

from .conftest import AT, NOW, Regulars


@pytest.fixture
def at(either_home: Path, regulars: Regulars) -> Regulars:
    return lambda *words, **options: regulars("--home", either_home, *words, **options)


def test_a_dry_run_twice_gives_the_same_bytes_and_what_the_run_then_does(at: Regulars):
    first = at("run", "--dry-run", "--as-of", AT, "--format", "json")
    second = at("run", "--dry-run", "--as-of", AT, "--format", "json")
    assert first.exit_code == second.exit_code == 0
    assert first.stdout_bytes == second.stdout_bytes
    shown = json.loads(first.stdout)
    assert (shown["run"], shown["dry_run"], shown["balanced"]) == (None, True, True)
    assert "sent" not in shown
    done = json.loads(at("run", "--as-of", AT, "--format", "json").stdout)
    assert list(done) == ["run", "as_of", "dry_run", "rules", "queued", "sent", "balanced"]
    assert (done["rules"], done["queued"]) == (shown["rules"], shown["queued"])
    assert sum(rule["matched"] for rule in done["rules"]) == 6
    again = json.loads(at("run", "--as-of", AT, "--format", "json").stdout)
    assert [rule for rule in again["rules"] if rule["matched"]] == []
    assert (again["queued"], again["sent"]) == ({}, {})


def test_a_dry_run_is_read_from_the_reachable_to_the_first_guests(at: Regulars):
    said = at("run", "--dry-run", "--as-of", AT).stdout
    assert said.startswith("Dry run for 2026-05-04 10:00 (America/Chicago): nothing is sent and nothing is kept.\n")
    assert "May get marketing: 4 guests by email, 1 by SMS, 4 by one or the other." in said
    assert (
        "The newest order is of 2026-05-03 18:00, yesterday; rules of absence wait when it is older than 2 days."
        in said
    )
    assert "4 guests matched: 3 act" in said
    assert "1  no consent" in said
    assert "Held: the rule was never approved. To let it go out: regulars approve win-back" in said
    assert 'G1 Li Wei: coupon "twenty-percent", valid 21 days, email "win-back" Mon 04 May' in said


def test_what_is_approved_goes_out_once(at: Regulars, either_home: Path):
    assert "win-back: approved" in at("approve", "--all", "--by", "Dana").stdout
    said = at("run", "--as-of", AT)
    assert said.exit_code == 0, said.output
    assert "Queued: 11 pending, 3 blocked." in said.stdout
    mails = sorted((either_home / "outbox").glob("*.eml"))
    assert sorted(mail.stem.partition("~")[2] for mail in mails) == [
        "birthday", "low-rating", "low-rating-alert", "win-back", "win-back", "win-back",
    ]  # fmt: skip
    assert at("run", "--as-of", AT).stdout.endswith("Nothing was due to be sent.\n")
    assert sorted((either_home / "outbox").glob("*.eml")) == mails


def test_a_waiting_rehearsal_lets_the_day_pass_at_once(at_home: Regulars, home: Path):
    at_home("approve", "--all", "--by", "Dana")
    assert at_home("run", "--as-of", "2026-05-04T06:00", "--wait").exit_code == 0
    assert len(list((home / "outbox").glob("*~win-back.eml"))) == 3  # the hours open at 08:00


def switch_off(home: Path) -> None:
    file = home / "rules" / "11-win-back.yaml"
    file.write_text(f"{file.read_text(encoding='utf-8')}\nactive: false\n", encoding="utf-8")


def test_dispatch_sends_nothing_of_a_rule_that_was_switched_off(at: Regulars, either_home: Path):
    at("approve", "--all", "--by", "Dana")
    at("run", "--as-of", "2026-05-04T06:00")  # before the hours
    switch_off(either_home)
    assert at("dispatch", "--as-of", AT).exit_code == 0
    assert not list((either_home / "outbox").glob("*~win-back.eml"))
    states = {
        json.loads(line)["reason"]
        for line in at("log", "--rule", "win-back", "--format", "json").stdout.split("\n")
        if line
    }
    assert "rule_off" in states


def test_nor_does_a_run_that_was_waiting_when_it_was_switched_off(at_home: Regulars, home: Path, monkeypatch):
    at_home("approve", "--all", "--by", "Dana")
    real, asleep = Rehearsal.sleep, []

    def sleep(self: Rehearsal, seconds: float) -> None:
        if not asleep:
            switch_off(home)
        asleep.append(seconds)
        real(self, seconds)

    monkeypatch.setattr(Rehearsal, "sleep", sleep)
    at_home("run", "--as-of", "2026-05-04T06:00", "--wait")
    assert asleep
    assert [file.stem.partition("~")[2] for file in (home / "outbox").glob("*~*.eml")].count("win-back") == 0


def test_a_config_that_is_being_written_stops_no_waiting_run(at_home: Regulars, home: Path, monkeypatch):
    at_home("approve", "--all", "--by", "Dana")
    real = Rehearsal.sleep

    def sleep(self: Rehearsal, seconds: float) -> None:
        (home / "config" / "regulars.yaml").write_text("business: [", encoding="utf-8")
        real(self, seconds)

    monkeypatch.setattr(Rehearsal, "sleep", sleep)
    assert at_home("run", "--as-of", "2026-05-04T06:00", "--wait").exit_code == 0
    assert len(list((home / "outbox").glob("*~win-back.eml"))) == 3


def test_a_run_holds_until_approval_and_says_how(at_home: Regulars, home: Path):
    said = at_home("run").stdout
    assert "win-back waits for you: the rule was never approved. Look, then: regulars approve win-back" in said
    assert not (home / "outbox").exists()
    assert "win-back: approved; " in at_home("approve", "win-back").stdout
    assert "win-back: approved; nothing was waiting." in at_home("approve", "win-back").stdout
    assert "Sent and done: " in at_home("dispatch").stdout
    assert list((home / "outbox").glob("*~win-back.eml"))


def test_one_broken_rule_is_shown_at_the_end_and_the_others_run(at_home: Regulars, home: Path):
    (home / "rules" / "broken.yaml").write_text("id: broken\ntriger:\n  lapsed: 90 days\n", encoding="utf-8")
    for words in (["run", "--dry-run"], ["run"]):
        result = at_home(*words, "--as-of", AT)
        assert result.exit_code == 1
        assert "win-back" in result.stdout
        assert "1 broken rule was left out:" in result.stderr
        assert 'rules/broken.yaml:2:1: "triger" is not known' in result.stderr
    wanted = at_home("run", "--rule", "broken")
    assert (wanted.exit_code, wanted.stdout) == (1, "")
    assert 'did you mean "trigger"?' in wanted.stderr


def test_a_bug_in_one_rule_is_3_when_the_others_have_run(at_home: Regulars, monkeypatch: pytest.MonkeyPatch):
    from engine.vocabulary.ratings import LowRating

    def broken(*_: object) -> object:
        raise KeyError("Li Wei")

    monkeypatch.setattr(LowRating, "candidates", broken)
    result = at_home("run", "--as-of", AT)
    assert result.exit_code == 3
    assert "low-rating" in result.stdout
    assert "could not be evaluated (KeyError)" in result.stdout.replace("Could", "could")
    assert "birthday" in result.stdout
    assert "This is a bug in Regulars (KeyError)" in result.stderr
    assert "Li Wei" not in result.output


def test_a_config_that_is_wrong_runs_nothing_and_shows_everything(at_home: Regulars, home: Path):
    config = home / "config" / "regulars.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("timezone: America", "timezone: Amerika"), "utf-8")
    result = at_home("run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'did you mean "America/Chicago"?' in result.stderr


def test_the_rule_that_is_named_is_forced_and_a_misspelt_one_has_a_neighbour(at_home: Regulars):
    done = json.loads(at_home("run", "--rule", "win-back", "--as-of", AT, "--format", "json").stdout)
    assert [rule["rule"] for rule in done["rules"]] == ["win-back"]
    again = json.loads(at_home("run", "--rule", "win-back", "--as-of", AT, "--format", "json").stdout)
    assert again["rules"][0]["due"] is True
    result = at_home("run", "--rule", "win-bak")
    assert (result.exit_code, result.stderr) == (2, 'There is no rule "win-bak" - did you mean "win-back"?\n')


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01T10:00", "2026-05-04"])
def test_a_moment_that_is_none_is_answered_with_examples(at_home: Regulars, text: str):
    result = at_home("run", "--dry-run", "--as-of", text)
    assert result.exit_code == 2
    assert "such as 2026-05-04T10:00" in result.stderr


def test_a_moment_may_have_a_zone_of_its_own(at_home: Regulars):
    shown = [
        json.loads(at_home("run", "--dry-run", "--as-of", each, "--format", "json").stdout)
        for each in (AT, "2026-05-04T15:00Z", "2026-05-04T17:00+02:00")
    ]
    assert shown[0]["as_of"] == "2026-05-04T15:00:00+00:00"
    assert shown[0] == shown[1] == shown[2]


def test_a_dry_run_does_not_wait(at_home: Regulars):
    assert at_home("run", "--dry-run", "--wait").exit_code == 2


def test_while_another_run_is_under_way_this_one_does_nothing(at_home: Regulars, home: Path):
    with FileLock(home / LOCK_FILE):
        result = at_home("run")
    assert result.exit_code == 75
    assert result.stderr.startswith("Another run of this home is under way")
    assert at_home("log", "--format", "json").stdout == ""


def test_a_run_takes_in_the_inbox_and_a_dry_run_leaves_it(at_home: Regulars, home: Path):
    file = home / "inbox" / "ratings.csv"
    text = "rating_id,customer_id,order_id,rated_at,score,comment,source\nR9,G1,,2026-05-04 09:00,1,Slow,google\n"
    file.write_text(text, encoding="utf-8")
    assert "1 file in inbox/ is not looked at by a dry run" in at_home("run", "--dry-run").stdout
    assert file.exists()
    said = at_home("run").stdout
    assert "ratings.csv: ratings, " in said
    assert not file.exists()
    assert "  low-rating        2    2        0        0\n" in said


def test_rows_that_were_refused_make_the_run_end_with_1(at_home: Regulars, home: Path):
    (home / "inbox" / "orders.csv").write_text("order_id,ordered_at,total\nX1,yesterday,5\n", encoding="utf-8")
    result = at_home("run")
    assert result.exit_code == 1
    assert "line 2:" in result.stdout


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_file_that_was_not_taken_in_whole_is_told_at_the_end_in_both_shapes(at_home: Regulars, home: Path, shape):
    (home / "inbox" / "orders.csv").write_text("order_id,ordered_at,total\nX1,yesterday,5\n", encoding="utf-8")
    (home / "inbox" / "what.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    result = at_home("run", "--format", shape)
    assert result.exit_code == 1
    assert "orders.csv: 1 row refused; the first in line 2: " in result.stderr
    assert "\nwhat.csv: " in f"\n{result.stderr}"


def test_a_cell_of_a_file_does_not_steer_the_terminal(at_home: Regulars, home: Path):
    file = home / "inbox" / "orders.csv"
    file.write_text("order_id,ordered_at,total\nX1,\x1b]0;evil\x07\x1b[2J,5\n", encoding="utf-8")
    for words in (["import", str(file)], ["run"]):
        result = at_home(*words)
        assert result.exit_code == 1
        assert "line 2:" in result.stdout
        assert not set(result.output) & {"\x1b", "\x07"}


def test_orders_that_are_old_let_rules_of_absence_wait_and_the_run_says_why(at_home: Regulars):
    said = at_home("run", "--dry-run", "--as-of", "2026-05-14T10:00").stdout
    assert "Waits for data: win-back. The newest order is of 2026-05-03 18:00, older than 2 days" in said


def test_rules_that_wait_for_data_share_one_line(at_home: Regulars, home: Path):
    rule = (home / "rules" / "11-win-back.yaml").read_text(encoding="utf-8")
    (home / "rules" / "12-gone.yaml").write_text(
        re.sub(r"^(id|rule): win-back", r"\1: gone", rule, flags=re.MULTILINE), "utf-8"
    )
    for words in (["--dry-run"], []):
        said = at_home("run", *words, "--as-of", "2026-05-14T10:00").stdout
        assert said.count("The newest order is of 2026-05-03 18:00, older than 2 days") == 1
        assert "Wait for data: gone, win-back. The newest" in said


def test_a_dry_run_says_when_a_time_is_on_the_guests_clock(at_home: Regulars, home: Path, database: Engine):
    said = at_home("run", "--dry-run", "--as-of", AT).stdout
    assert "on the guest's clock" not in said
    with database.begin() as conn:
        conn.execute(insert(zones).values(name="America/New_York"))
        conn.execute(
            update(customers).values(
                zone_id=select(zones.c.id).where(zones.c.name == "America/New_York").scalar_subquery()
            )
        )
    assert "(on the guest's clock, America/New_York)" in at_home("run", "--dry-run", "--as-of", AT).stdout


def test_a_rehearsal_writes_to_no_server_that_is_not_on_this_machine(at_home: Regulars, home: Path):
    config = home / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8")
    text = text.replace("connector: file   ", "connector: smtp   ", 1).replace("corner.example", "corner.test-shop.net")
    text = text.replace("12 Mill Lane, Springfield, IL 62701", "9 Elm Road, Dayton, OH 45402")
    config.write_text(text.replace("password: env:SMTP_PASSWORD", "password: env:HOME"), encoding="utf-8")
    assert at_home("approve", "--all").exit_code == 0
    result = at_home("run", "--as-of", AT)
    assert result.exit_code == 1
    assert "No email goes out: a run at another time than the clock's sends only into files" in result.stderr
    assert not (home / "outbox").exists()


def test_a_missing_password_is_one_sentence(at_home: Regulars, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    config = home / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("connector: file   ", "connector: smtp   ", 1)
    text = text.replace("corner.example", "corner.test-shop.net").replace(
        "12 Mill Lane, Springfield, IL 62701", "9 Elm Road, Dayton, OH 45402"
    )
    config.write_text(text, encoding="utf-8")
    at_home("approve", "--all")
    result = at_home("run")
    assert result.exit_code == 1
    assert result.stderr.count("the environment variable SMTP_PASSWORD is not set") == 1


@pytest.mark.parametrize("command", ["run", "dispatch"])
def test_what_was_given_up_is_told_with_its_reason_and_cure(at: Regulars, either_home: Path, command: str):
    at("approve", "--all", "--by", "Dana")
    assert at("run", "--as-of", AT).exit_code == 0
    with opened(either_home, os.environ, lambda: NOW) as session, session.db.begin() as conn:
        gone = {"trigger": {"x": 1}, "actions": []}
        conn.execute(update(rule_versions).values(content_hash=b"?" * 32, body=gone))
    later = at(command, "--as-of", "2026-05-09T10:00")
    assert later.exit_code == 1
    assert "given up: the rule as it was at the match cannot be read any more." in later.stderr
    assert "`regulars dispatch retry ID`" in later.stderr
    assert "given up" not in at(command, "--as-of", "2026-05-09T11:00").stderr


def test_the_clock_of_a_rehearsal_moves_only_while_it_sleeps():
    clock = Rehearsal(datetime(2026, 5, 4, tzinfo=UTC))
    assert clock() == clock()
    clock.sleep(90)
    assert clock() == datetime(2026, 5, 4, 0, 1, 30, tzinfo=UTC)


def at_a_dead_server(home: Path) -> None:
    """Let the home's mail go to a port of this machine on which nobody listens, and which no test is given."""
    config = home / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("connector: file   ", "connector: smtp   ", 1)
    text = text.replace("corner.example", "corner.test-shop.net").replace(
        "12 Mill Lane, Springfield, IL 62701", "9 Elm Road, Dayton, OH 45402"
    )
    text = text.replace("password: env:SMTP_PASSWORD", "password: env:HOME")
    text = re.sub(r"host: .*", "host: 127.0.0.1", text, count=1)
    config.write_text(re.sub(r"port: \d+", "port: 1", text, count=1), encoding="utf-8")


def test_a_mail_server_that_cannot_be_reached_is_one_sentence_and_not_now(at_home: Regulars, home: Path):
    at_a_dead_server(home)
    at_home("approve", "--all")
    result = at_home("run")
    assert result.exit_code == 75, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("The mail server 127.0.0.1:")]
    assert len(told) == 1
    assert re.search(r" cannot be reached \(.* at connect\); \d+ messages wait, and the next try is at 2026-", told[0])
    assert "email: rests" not in result.stderr
    assert at_home("dispatch").exit_code == 75
    doctor = at_home("doctor")
    assert doctor.exit_code == 1
    assert "wrong email: the mail server 127.0.0.1:" in doctor.stdout
    assert "goes out by smtp" not in doctor.stdout


def test_a_channel_that_a_provider_stopped_is_told_and_no_success(at_home, database):
    with database.begin() as conn:
        conn.execute(insert(channels).values(channel="email", stopped_at=NOW, stopped_why="535 5.7.8"))
    ended = at_home("dispatch")
    assert ended.exit_code == 1
    assert "email: stopped since 2026-05-04 10:00 (535 5.7.8): put it right, then `regulars start`." in ended.stderr
    ran = at_home("run")
    assert ran.exit_code == 1
    assert "email: stopped since 2026-05-04 10:00 (535 5.7.8): the mail server refused" in ran.stderr
    at_home("start", "--by", "Dana")
    assert [at_home(each).exit_code for each in ("dispatch", "run")] == [0, 0]
