"""Letters that came back: what each means for the message, for the address and for the guest."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from engine.database.consent import record_consent
from engine.database.tables import endpoints
from engine.dispatch.bounces import verdict
from engine.dispatch.erasure import erase
from engine.dispatch.links import bounce_address, mail_token, token
from engine.dispatch.stages import send_due

from .post import HOUR, Box, Post, a_post
from .test_returned import NAMES, mutated
from .world import NOW, Clock, Sink, a_desk

DAY = timedelta(days=1)


@pytest.fixture
def post(db: Engine, tmp_path: Path) -> Post:
    return a_post(db, tmp_path)


HARD = ["postfix-unknown", "exim-unknown", "exim-old-text", "qmail-unknown", "sendmail-unknown", "exchange-unknown", "gmail-unknown"]  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_an_address_that_is_gone_gets_nothing_more(post: Post, name: str):
    sent = post.sent()
    done = post.take(post.letter(name, sent))
    assert (dict(done.counts), done.suppressed) == ({"hard": 1}, 1)
    assert post.why(sent) == "hard_bounce"
    kind, code, source = post.events(sent)[0]
    assert (kind, source) == ("bounced", "dsn")
    assert code in {"hard 5.1.1", "hard 5.1.10", "hard 550"}
    assert post.state(sent) == "sent"


@pytest.mark.parametrize(
    ("name", "result", "event"),
    [
        ("postfix-full", "soft", ("bounced", "soft 5.2.2", "dsn")),
        ("postfix-expired", "soft", ("bounced", "soft 4.4.1", "dsn")),
        ("exchange-policy", "policy", ("bounced", "policy 5.7.708", "dsn")),
        ("postfix-delayed", "delayed", ("delayed", "4.4.1", "dsn")),
        ("postfix-delivered", "delivered", ("delivered", "2.0.0", "dsn")),
    ],
)
def test_what_else_a_server_tells_suppresses_nobody(post: Post, name: str, result: str, event: tuple[str, str, str]):
    sent = post.sent()
    assert post.became(post.letter(name, sent)) == {result: 1}
    assert post.events(sent) == [event]
    assert post.why(sent) is None
    assert post.endpoint_of(sent).soft_bounces == (result == "soft")


@pytest.mark.parametrize("name", ["out-of-office", "out-of-office-bare"])
def test_an_absence_is_no_bounce(post: Post, name: str):
    sent = post.sent()
    assert post.became(post.letter(name, sent)) == {"robot": 1}
    assert (post.events(sent), post.why(sent), post.last_word(sent)[0]) == ([], None, "yes")


@pytest.mark.parametrize("name", ["reply-by-hand", "qmail-full", "arf-not-spam"])
def test_what_is_for_a_person_is_left_unread(post: Post, name: str):
    sent = post.sent()
    box = Box([post.letter(name, sent)])
    assert dict(post.take(box=box).counts) == {"letter": 1}
    assert box.settled == [("0", False)]
    assert (post.events(sent), post.why(sent), post.last_word(sent)[0]) == ([], None, "yes")


@pytest.mark.parametrize("name", ["reply-stop", "reply-stop-zh", "unsubscribe-mail"])
def test_the_word_alone_unsubscribes(post: Post, name: str):
    sent = post.sent()
    letter = post.letter(name, sent)
    assert post.became(letter) == {"unsubscribed": 1}
    assert post.last_word(sent) == ("no", "mail")
    assert post.why(sent) is None
    assert post.became(letter) == {"again": 1}


@pytest.mark.parametrize("name", ["reply-stop", "reply-stop-zh", "unsubscribe-mail"])
def test_the_word_alone_is_marked_as_read(post: Post, name: str):
    box = Box([post.letter(name, post.sent())])
    assert (post.take(box=box).to_read, box.settled) == (0, [("0", True)])


def test_who_writes_more_than_the_word_is_read_by_a_person_whatever_was_done(post: Post):
    sent = post.sent()
    own = bounce_address(post.home.config, post.home.key, sent)
    out = f"bounces+{mail_token(post.home.key, 'unsubscribe', post.row(sent).endpoint_id)}@corner.example"
    loves = f"To: {own}\nSubject: Re: Stop!\n\nLove it, see you tomorrow! Table for 4 please"
    glass = f"To: {own}\nSubject: unsubscribe\n\nI found glass in my cake. Call me!"
    asks = f"To: {out}\nSubject: complaint\n\nDo NOT unsubscribe me. I found glass in my cake."
    box = Box([loves.encode()])
    assert (dict(post.take(box=box).counts), post.last_word(sent)[0]) == ({"letter": 1}, "yes")
    box = Box([glass.encode(), asks.encode()])
    done = post.take(box=box)
    assert (dict(done.counts), done.to_read) == ({"unsubscribed": 1, "again": 1}, 2)
    assert (box.settled, post.last_word(sent)) == ([("0", False), ("1", False)], ("no", "mail"))


@pytest.mark.parametrize("way", ["mailto:", "https:"])
def test_a_complaint_that_hides_its_message_ends_advertising_by_the_link_in_it(post: Post, way: str):
    sent = post.sent()
    number = post.row(sent).endpoint_id
    link = {
        "mailto:": f"<mailto:bounces+{mail_token(post.home.key, 'unsubscribe', number)}@corner.example?subject=unsubscribe>",
        "https:": f"<https://corner.example/r/u/{token(post.home.key, 'unsubscribe', number)}>",
    }[way]
    letter = post.letter("arf-abuse", sent, sender="redacted@corner.example")
    letter = letter.replace(b"Return-Path: <redacted@corner.example>", f"List-Unsubscribe: {link}".encode())
    assert b"List-Unsubscribe" in letter
    assert post.became(letter.replace(b"abuse\n", b"not-spam\n")) == {"forged": 1}
    assert post.last_word(sent)[0] == "yes"
    assert post.became(letter, letter) == {"complained": 1, "again": 1}
    assert (post.last_word(sent), post.why(sent)) == (("no", "complaint"), None)
    with post.db.begin() as conn:
        record_consent(conn, number, "yes", at=NOW + 2 * HOUR, source="staff")
    assert post.became(letter) == {"again": 1}
    assert post.last_word(sent) == ("yes", "staff")
    assert post.became(letter.replace(b"/u/", b"/u/x").replace(b"bounces+", b"bounces+a")) == {"forged": 1}


@pytest.mark.parametrize("name", ["reply-stop", "unsubscribe-mail"])
@pytest.mark.parametrize("ended_before", [True, False])
def test_a_letter_that_is_read_again_takes_no_later_yes_back(post: Post, name: str, ended_before: bool):
    """An mbox is read from its beginning at every run; a maildir is when a letter could not be marked."""
    sent = post.sent()
    endpoint = post.row(sent).endpoint_id
    letter = b"Message-ID: <1@elsewhere.example>\n" + post.letter(name, sent)
    if ended_before:
        with post.db.begin() as conn:
            record_consent(conn, endpoint, "no", at=NOW, source="staff")
    assert post.became(letter) == ({"again": 1} if ended_before else {"unsubscribed": 1})
    with post.db.begin() as conn:
        record_consent(conn, endpoint, "yes", at=NOW + 2 * HOUR, source="staff")
    assert post.became(b"Status: RO\n" + letter) == {"again": 1}
    assert post.last_word(sent) == ("yes", "staff")
    assert post.became(letter.replace(b"<1@", b"<2@")) == {"unsubscribed": 1}
    assert post.last_word(sent) == ("no", "mail")


def test_a_robot_that_answers_unsubscribes_nobody(post: Post):
    sent = post.sent()
    letter = post.letter("unsubscribe-mail", sent)
    for header in (b"Auto-Submitted: auto-replied\n", b"Precedence: bulk\n", b"X-Autoreply: yes\n"):
        assert post.became(header + letter) == {"robot": 1}
    assert post.became(letter.replace(b"Return-Path: <someone@elsewhere.example>", b"Return-Path: <>")) == {"robot": 1}
    assert post.last_word(sent)[0] == "yes"


def test_a_complaint_ends_everything(post: Post):
    sent = post.sent()
    letter = post.letter("arf-abuse", sent)
    assert post.became(letter, letter) == {"complained": 1, "again": 1}
    assert post.events(sent) == [("complained", "abuse", "arf")]
    assert post.last_word(sent) == ("no", "complaint")
    assert post.why(sent) == "complaint"


def test_reading_the_same_letters_again_changes_nothing(post: Post):
    sent = post.sent()
    letters = [post.letter(name, sent) for name in ("postfix-full", "postfix-delayed", "postfix-expired")]
    first = post.take(*letters, *letters)
    assert dict(first.counts) == {"soft": 2, "delayed": 1, "again": 3}
    assert dict(post.take(*letters).counts) == {"again": 3}
    assert post.endpoint_of(sent).soft_bounces == 1  # one message, however many letters


@pytest.mark.parametrize(("days", "suppressed"), [((0, 6, 13), True), ((0, 7, 14), False), ((0, 1, 15), False)])
def test_three_full_mailboxes_in_fourteen_days_are_enough(post: Post, days: tuple[int, ...], suppressed: bool):
    guest = post.guest()
    sent = [post.sent(guest, handed_at=NOW - (15 - day) * DAY) for day in days]
    for each in reversed(sent):  # the mailbox may have been read late, and in any order
        assert post.why(each) is None
        assert post.became(post.letter("postfix-full", each)) == {"soft": 1}
    assert post.why(sent[0]) == ("soft_bounces" if suppressed else None)


def test_what_was_refused_at_once_counts_with_what_was_reported_later(post: Post):
    guest = post.guest()
    for day in (3, 2):
        post.message(guest, state="rejected", reason="mailbox_full", finished_at=NOW - day * DAY)
    sent = post.sent(guest)
    assert post.became(post.letter("postfix-full", sent)) == {"soft": 1}
    assert (post.why(sent), post.endpoint_of(sent).soft_bounces) == ("soft_bounces", 3)


@pytest.mark.parametrize("state", ["uncertain", "handoff"])
def test_what_came_back_had_left(post: Post, state: str):
    sent = post.sent(state=state, finished_at=NOW if state == "uncertain" else None)
    done = post.take(post.letter("postfix-delayed", sent))
    assert (done.arrived, post.outcome(sent)) == (1, "sent: returned")
    assert post.moves(sent) == [(state, "sent", "reconciler")]


@pytest.mark.parametrize("state", ["sent", "rejected", "blocked", "pending", "dead"])
def test_no_other_state_is_moved(post: Post, state: str):
    sent = post.sent(state=state)
    assert post.became(post.letter("postfix-unknown", sent)) == {"hard": 1}
    assert (post.state(sent), post.moves(sent)) == (state, [])


def test_forged_reports_change_nothing(post: Post):
    sent, never, other = post.sent(), post.message(), post.sent()
    key = post.home.key
    forged = [
        post.letter("postfix-unknown", sent, sender=f"bounces+{mail_token(bytes(32), 'bounce', sent)}@corner.example"),
        post.letter("postfix-unknown", sent, sender=f"bounces+{mail_token(key, 'unsubscribe', sent)}@corner.example"),
        post.letter("postfix-unknown", sent, guest="somebody@else.example"),
        post.letter("postfix-unknown", sent, guest=post.address_of(other)),
        post.letter("postfix-unknown", sent, sender=f"bounces+{mail_token(key, 'bounce', 10**9)}@corner.example"),
        post.letter("postfix-unknown", never),
    ]
    assert post.became(*forged) == {"forged": 6}
    for each in (sent, never, other):
        assert (post.events(each), post.why(each)) == ([], None)


def test_a_notice_about_another_address_or_from_a_person_changes_nothing(post: Post):
    sent = post.sent()
    by_hand = post.letter("qmail-unknown", sent).replace(b"Return-Path: <>", b"Return-Path: <li@example.com>")
    elsewhere = post.letter("qmail-unknown", sent, guest="somebody@else.example")
    assert post.became(by_hand, elsewhere) == {"letter": 2}
    assert (post.events(sent), post.why(sent)) == ([], None)


def test_what_was_queued_again_after_it_was_handed_over_is_known(post: Post, tmp_path: Path):
    waiting = post.message()
    send_due(a_desk(post, post.home, Clock()))
    post.set(waiting, state="pending", handed_at=None, finished_at=None)
    assert post.became(post.letter("postfix-unknown", waiting)) == {"hard": 1}


def test_the_address_may_be_written_in_other_letters(post: Post):
    sent = post.sent()
    sender = f"BOUNCES+{mail_token(post.home.key, 'bounce', sent).upper()}@CORNER.EXAMPLE"
    letter = post.letter("postfix-unknown", sent, sender=sender, guest=post.address_of(sent).upper())
    assert post.became(letter) == {"hard": 1}


def test_an_erased_guest_leaves_nothing_behind_and_breaks_nothing(post: Post, tmp_path: Path):
    guest = post.guest()
    sent = post.sent(guest)
    letters = [post.letter(name, sent) for name in ("postfix-unknown", "arf-abuse", "unsubscribe-mail")]
    erase(post.db, post.home, guest.id, now=NOW, actor="test")
    assert post.became(*letters) == {"hard": 1, "complained": 1, "again": 1}
    endpoint = post.endpoint_of(sent)
    assert (endpoint.address, endpoint.suppressed_why) == (None, "erased")
    assert "guest" not in repr(post.events(sent))


def test_a_bounce_of_an_alert_is_our_own_affair(post: Post):
    guest = post.guest()
    alert = post.dispatch(post.match(guest), guest, "alert", state="sent", handed_at=NOW, finished_at=NOW)
    assert post.became(post.letter("postfix-unknown", alert, guest="manager@corner.example")) == {"staff": 1}
    assert post.events(alert) == [("bounced", "hard 5.1.1", "dsn")]
    with post.db.begin() as conn:
        assert not conn.execute(
            update(endpoints).where(endpoints.c.suppressed_at.is_not(None)).values(soft_bounces=0)
        ).rowcount


def test_the_next_message_to_a_bounced_address_is_blocked(post: Post):
    guest, sink = post.guest(), Sink()
    sent = post.sent(guest, handed_at=NOW - 3 * DAY, handed_day=(NOW - 3 * DAY).date().toordinal())
    post.take(post.letter("gmail-unknown", sent))
    waiting = post.message(guest)
    send_due(a_desk(post, post.home, Clock(NOW + HOUR), email=sink))
    assert (post.outcome(waiting), sink.accepted) == ("blocked: suppressed", [])


def test_every_letter_is_settled_after_its_own_commit_and_not_before(post: Post):
    sent = post.sent()

    class Watching(Box):
        def settle(self, letter, *, understood):
            assert post.why(sent) == "hard_bounce"
            super().settle(letter, understood=understood)

    box = Watching([post.letter("postfix-unknown", sent)])
    post.take(box=box)
    assert box.settled == [("0", True)]


def test_spoilt_letters_never_raise_and_touch_nobody_else(post: Post):
    mine, other = post.sent(), post.sent()
    dice = random.Random(4)
    letters = [mutated(post.letter(dice.choice(NAMES), mine), dice) for _ in range(150)]
    counts = post.take(*letters).counts
    assert sum(counts.values()) == 150
    assert len(counts) >= 4
    assert (post.events(other), post.why(other), post.last_word(other)[0]) == ([], None, "yes")
    assert post.state(mine) == "sent"


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"),
    [
        ("5.1.1", 0, "", ("hard", "5.1.1")),
        ("5.1.2", 550, "5.1.2 bad domain", ("hard", "5.1.2")),
        ("5.1.6", 551, "moved", ("hard", "5.1.6")),
        ("5.1.10", 550, "5.1.10 not found", ("hard", "5.1.10")),
        ("5.1.0", 550, "5.1.0 no such user", ("hard", "5.1.0")),
        ("5.1.0", 550, "5.1.0 sender rejected", ("policy", "5.1.0")),
        (
            "5.0.0",
            550,
            "Verification failed for <b@x>\n 550-No Such User Here\n 550 Sender verify failed",
            ("policy", "5.0.0"),
        ),
        ("5.0.0", 550, "Sender address rejected: User unknown in virtual mailbox table", ("policy", "5.0.0")),
        ("5.1.0", 550, "5.1.0 <b@x>: Sender address rejected: User unknown", ("policy", "5.1.0")),
        ("5.1.1", 550, "5.1.1 <b@x>: callout says: user unknown", ("policy", "5.1.1")),
        ("5.0.0", 550, "account disabled: your sending account has been disabled", ("policy", "5.0.0")),
        ("5.0.0", 550, "Your IP address not found in our allow list", ("policy", "5.0.0")),
        ("5.0.0", 550, "address not found in PTR", ("policy", "5.0.0")),
        ("5.1.1", 550, "5.1.1 user unknown, message returned to sender", ("hard", "5.1.1")),
        ("5.0.0", 550, "No such user here, sender notified", ("hard", "5.0.0")),
        ("5.1.1", 550, "5.7.1 Message blocked as spam", ("policy", "5.7.1")),
        ("5.7.1", 550, "5.1.1 user unknown", ("policy", "5.7.1")),
        ("5.1.1", 550, "5.1.1 Message rejected: x is on Spamhaus", ("policy", "5.1.1")),
        ("5.1.1", 552, "5.2.2 over quota", ("soft", "5.2.2")),
        ("5.1.1", 550, "5.1.1 <li@x>: User unknown in relay recipient table", ("hard", "5.1.1")),
        ("5.1.3", 550, "user unknown", ("hard", "5.1.3")),
        ("5.0.0", 550, "5.1.1 <x>... User unknown", ("hard", "5.1.1")),
        ("5.0.0", 550, "No such user here", ("hard", "5.0.0")),
        ("5.0.0", 0, "Unrouteable address", ("soft", "5.0.0")),
        ("", 550, "no mailbox here by that name", ("hard", "550")),
        ("5.2.2", 552, "over quota", ("soft", "5.2.2")),
        ("5.2.1", 550, "disabled", ("soft", "5.2.1")),
        ("4.4.7", 0, "expired", ("soft", "4.4.7")),
        ("4.2.2", 452, "4.2.2 full", ("soft", "4.2.2")),
        ("4.7.1", 451, "greylisted", ("policy", "4.7.1")),
        ("5.7.1", 550, "5.7.1 spam", ("policy", "5.7.1")),
        ("5.0.0", 554, "5.7.26 unauthenticated", ("policy", "5.7.26")),
        ("5.1.8", 553, "bad sender", ("policy", "5.1.8")),
        ("5.0.0", 554, "blocked by spam filter", ("policy", "5.0.0")),
        ("5.3.4", 552, "too big", ("soft", "5.3.4")),
        ("", 0, "", ("soft", "0")),
        ("", 421, "try later", ("soft", "421")),
    ],
)
def test_a_failure_is_judged_by_the_table_of_replies(status: str, code: int, text: str, expected: tuple[str, str]):
    assert verdict(status, code, text) == expected
