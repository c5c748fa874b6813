"""The whole circuit: a message leaves by SMTP, its report lies in a mailbox, is read, and the next one is blocked."""

from __future__ import annotations

import json
import mailbox
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

import cli
from connectors.mailbox import Letter, MailboxError
from connectors.smtp import SmtpConnector
from engine.console import bouncing, run
from engine.console.session import opened
from engine.database.tables import dispatches, instance
from engine.dispatch.links import read_mail_token, unsubscribe_token
from engine.dispatch.stages import send_due
from engine.evaluation.runner import run_due

from .post import BOUNCING, LETTERS, Box, Post
from .smtp_sink import SmtpSink
from .world import NOW, Clock, Sink, a_desk, a_home

DAY = timedelta(days=1)
FROM = "  bounces: {address: bounces@corner.example, from: {maildir: mail}}\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "clock", lambda: NOW)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    a_home(tmp_path, BOUNCING.replace("  bounces: {address: bounces@corner.example}\n", FROM))
    (tmp_path / "rules").mkdir()
    mailbox.Maildir(tmp_path / "mail")
    return tmp_path


@pytest.fixture
def post(root: Path) -> Iterator[Post]:
    with opened(root, {}, lambda: NOW) as session:
        yield Post(session.db, home=session.home)


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    server = SmtpSink()
    yield server
    server.close()


def regulars(root: Path, *words: object) -> Result:
    done = CliRunner().invoke(cli.main, ["--home", str(root), *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def lay(root: Path, *raws: bytes) -> None:
    box = mailbox.Maildir(root / "mail")
    for raw in raws:
        box.add(raw)


def lying(root: Path) -> tuple[int, list[str]]:
    flags = sorted(each.name.partition(":2,")[2] for each in (root / "mail" / "cur").iterdir())
    return len(list((root / "mail" / "new").iterdir())), flags


def sent_by(post: Post, sink: SmtpSink, at: Any = NOW) -> None:
    connector = SmtpConnector("127.0.0.1", sink.port, tls="none")
    desk = a_desk(post, post.home, Clock(at), email=connector)
    try:
        send_due(desk)
    finally:
        connector.close()


def test_from_the_envelope_to_the_next_message_that_does_not_go(root: Path, post: Post, sink: SmtpSink):
    guest = post.guest()
    first = post.message(guest)
    sent_by(post, sink)
    assert (post.state(first), len(sink.senders)) == ("sent", 1)
    local, _, domain = sink.senders[0].partition("@")
    assert domain == "corner.example"
    assert read_mail_token(post.home.key, "bounce", local.partition("+")[2]) == first
    report = (LETTERS / "postfix-unknown.eml").read_bytes()
    lay(root, report.replace(b"@SENDER@", sink.senders[0].encode()).replace(b"@GUEST@", sink.recipients[0].encode()))
    said = regulars(root, "bounces")
    assert (said.exit_code, said.stdout.splitlines()) == (
        0,
        ["1 letter read.", "      1  came back: the address is gone", "1 address suppressed: nothing more goes there."],
    )
    assert lying(root) == (0, ["S"])
    second = post.message(guest, closes=NOW + 9 * DAY)
    sent_by(post, sink, NOW + 3 * DAY)
    assert (post.outcome(second), len(sink.senders)) == ("blocked: suppressed", 1)


def test_a_home_without_a_page_is_left_by_a_mail(root: Path, post: Post):
    (root / "config" / "regulars.yaml").write_text(
        (root / "config" / "regulars.yaml")
        .read_text()
        .replace("  base_url: https://corner.example/r\n", "  base_url:\n")
    )
    with opened(root, {}, lambda: NOW) as session:
        post.home = session.home
    guest, inbox = post.guest(), Sink()
    first = post.message(guest)
    send_due(a_desk(post, post.home, Clock(), email=inbox))
    raw = inbox.accepted[0].body
    assert isinstance(raw, bytes)
    mail = message_from_bytes(raw)
    link = mail["List-Unsubscribe"]
    assert b"=?" not in raw.partition(b"\r\n\r\n")[0].partition(b"List-Unsubscribe")[2].partition(b"\r\n")[0]
    assert mail["List-Unsubscribe-Post"] is None
    assert link.startswith("<mailto:bounces+")
    assert unsubscribe_token([post.home.key], link) == guest.email_id
    assert "Unsubscribe: mailto:bounces+" in mail.get_payload(decode=True).decode()
    to = link.removeprefix("<mailto:").partition("?")[0]
    lay(root, f"From: anybody@else.example\nTo: {to.upper()}\nSubject: unsubscribe\n\n".encode())
    assert regulars(root, "bounces").stdout.splitlines() == ["1 letter read.", "      1  unsubscribed"]
    assert post.last_word(first) == ("no", "mail")


def test_a_run_reads_first_and_checks_and_sends_then(root: Path, post: Post, monkeypatch: pytest.MonkeyPatch):
    before, checked = post.sent(handed_at=NOW - 9 * DAY), []

    def check(*given: Any, **how: Any) -> Any:
        checked.append(post.why(before))
        return run_due(*given, **how)

    monkeypatch.setattr(run, "run_due", check)
    lay(root, post.letter("gmail-unknown", before), b"Subject: lunch?\n\nSee you\n")
    done = regulars(root, "run")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "Came back: 1 gone, 1 not understood."
    assert checked == ["hard_bounce"]
    assert lying(root) == (0, ["", "S"])


def test_a_mailbox_that_cannot_be_read_stops_nothing(root: Path, post: Post):
    (root / "mail" / "new").rmdir()
    done = regulars(root, "run")
    assert done.exit_code == 75
    assert "The mail that came back was not read to its end. " in done.stderr
    assert done.stdout.startswith("Run 1 for 2026-05-04 10:00")
    assert regulars(root, "bounces").exit_code == 75


def test_a_rehearsal_leaves_the_mailbox_alone(root: Path, post: Post):
    lay(root, post.letter("gmail-unknown", post.sent()))
    assert regulars(root, "run", "--as-of", "2026-05-05T10:00").exit_code == 0
    assert lying(root) == (1, [])


def test_a_copy_of_the_home_does_not_take_the_letters_away(root: Path, post: Post):
    lay(root, post.letter("gmail-unknown", post.sent()))
    assert regulars(root, "bounces", "--mbox", root / "nowhere").exit_code == 75
    with post.db.begin() as conn:
        conn.execute(update(instance).values(stopped_why="copied"))
    done = regulars(root, "bounces")
    assert done.exit_code == 75
    assert "is a copy" in done.stderr
    assert lying(root) == (1, [])


def test_what_is_our_own_fault_is_told(root: Path, post: Post):
    guest = post.guest()
    alert = post.dispatch(post.match(guest), guest, "alert", state="sent", handed_at=NOW)
    lay(root, post.letter("exchange-policy", post.sent()), post.letter("postfix-unknown", alert))
    done = regulars(root, "bounces")
    assert "1 email came back refused by policy (5.7.708): mail servers distrust your sending." in done.stderr
    assert "1 alert to staff came back: look at the addresses in `contacts`" in done.stderr


def test_for_programs_it_is_one_object(root: Path, post: Post, tmp_path: Path):
    sent = post.sent(state="uncertain", finished_at=NOW)
    file = tmp_path / "mbox"
    letters = [post.letter(name, sent) for name in ("exim-unknown", "out-of-office", "reply-by-hand")]
    file.write_bytes(b"".join(b"From x Mon May  4 10:00:00 2026\n" + raw + b"\n" for raw in letters))
    done = json.loads(regulars(root, "bounces", "--mbox", file, "--format", "json").stdout)
    assert {name: count for name, count in done.items() if count} == {
        "letters": 3, "hard": 1, "out_of_office": 1, "not_understood": 1, "suppressed": 1, "now_sent": 1,
    }  # fmt: skip
    again = regulars(root, "bounces", "--mbox", file)
    assert again.stdout.splitlines()[1:3] == [
        "      1  answered by itself, such as out of office",
        "      1  changed nothing: known already",
    ]


def test_a_letter_that_was_acted_on_and_says_more_is_told(root: Path, post: Post, tmp_path: Path):
    sent = post.sent()
    (tmp_path / "mbox").write_bytes(
        b"From x Mon May  4 10:00:00 2026\n" + post.letter("unsubscribe-mail", sent) + b"I found glass\n"
    )
    said = regulars(root, "bounces", "--mbox", tmp_path / "mbox").stdout
    assert "left for you to read as there is more in it: 1 letter." in said
    assert json.loads(regulars(root, "bounces", "--mbox", tmp_path / "mbox", "--format", "json").stdout)["to_read"] == 1


def test_without_a_place_to_read_it_says_where_to_say_so(root: Path):
    a_home(root, BOUNCING)
    done = regulars(root, "bounces")
    assert done.exit_code == 2
    assert "There is nowhere to read: give --maildir or --mbox" in done.stderr
    assert regulars(root, "bounces", "--maildir", "a", "--mbox", "b").exit_code == 2


def test_a_password_that_is_not_there_is_told(root: Path):
    imap = "imap: {host: imap.corner.example, user: bounces, password: env:NOT_THERE}"
    a_home(
        root, BOUNCING.replace("{address: bounces@corner.example}", f"{{address: b@corner.example, from: {{{imap}}}}}")
    )
    done = regulars(root, "bounces")
    assert (done.exit_code, done.stdout) == (75, "Nothing new came back.\n")
    assert "The mail that came back was not read: the environment variable NOT_THERE is not set" in done.stderr


@pytest.mark.parametrize("when", [1, 2])
def test_what_is_interrupted_is_read_again_and_lost_nowhere(post: Post, monkeypatch: pytest.MonkeyPatch, when: int):
    """The line breaks while a letter is marked, or while one is fetched; what was done until then stands."""
    sent = [post.sent() for _ in range(3)]

    class Breaking(Box):
        def settle(self, letter: Letter, *, understood: bool) -> None:
            if len(self.settled) == when:
                raise MailboxError("The line broke.")
            super().settle(letter, understood=understood)

    raws = [post.letter("gmail-unknown", each) for each in sent]
    box = Breaking(list(raws))
    monkeypatch.setattr(bouncing, "_mailbox", lambda _settings: box)
    with opened(post.home.root, {}, lambda: NOW) as session:
        back = bouncing.at_a_run(session, session.home.config.email.bounces, NOW)
    assert (back.returns.counts["hard"], back.problems) == (
        when + 1,
        ["The mail that came back was not read to its end. The line broke."],
    )
    assert dict(post.take(*raws).counts) == {"again": when + 1, **({"hard": 2 - when} if when < 2 else {})}
    assert [post.why(each) for each in sent] == ["hard_bounce"] * 3
    with post.db.begin() as conn:
        assert not conn.execute(update(dispatches).where(dispatches.c.state != "sent").values(attempts=0)).rowcount
