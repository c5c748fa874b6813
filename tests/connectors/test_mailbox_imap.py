"""Letters by IMAP: which are read, when they are marked, and every way in which a server can be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_imap import CLOSE, STALL, ScriptedImap

from connectors.mailbox import LARGEST, Letter, MailboxError
from connectors.mailbox_imap import LEFT, ImapMailbox

RAWS = [b"Subject: one\r\n\r\nfirst\r\n", b"Subject: two\r\n\r\nsecond\r\n"]


def box(server: ScriptedImap, tls: Any = "none", **changes: Any) -> ImapMailbox:
    settings = {"host": "127.0.0.1", "port": server.port, "tls": tls, "user": "bounces", "password": "geheim"}
    return ImapMailbox(**(settings | changes))


def read(mailbox: ImapMailbox, *, understood: bool = True) -> list[bytes]:
    raws = []
    try:
        for letter in mailbox.letters():
            raws.append(letter.raw)
            mailbox.settle(letter, understood=understood)
    finally:
        mailbox.close()
    return raws


def refusal(mailbox: ImapMailbox) -> str:
    with pytest.raises(MailboxError) as caught:
        read(mailbox)
    said = str(caught.value)
    assert "geheim" not in said
    assert said.endswith(".")
    return said


@pytest.mark.parametrize("capable", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
def test_what_is_unseen_is_read_once(capable: str):
    with ScriptedImap(RAWS, capable=capable) as server:
        assert read(box(server)) == RAWS
        assert [each.flags for each in server.letters.values()] == [{r"\Seen"}, {r"\Seen"}]
        assert read(box(server)) == []


def test_nothing_is_marked_before_it_is_settled():
    with ScriptedImap(RAWS) as server:
        mailbox = box(server)
        assert next(iter(mailbox.letters())).raw == RAWS[0]
        mailbox.close()
        assert not any(each.flags for each in server.letters.values())
        assert read(box(server)) == RAWS


def test_a_letter_that_the_server_does_not_give_keeps_back_no_other():
    class Damaged(ScriptedImap):
        def _answer(self, tag: str, command: str, rest: str, *more: Any) -> bytes:
            if command == "UID FETCH" and rest.startswith(f"UID FETCH {min(self.letters)} "):
                return f"{tag} NO damaged\r\n".encode()
            return super()._answer(tag, command, rest, *more)

    with Damaged(RAWS) as server:
        assert "does not give 1 of its unread letters" in refusal(box(server))
        assert [each.flags for each in server.letters.values()] == [set(), {r"\Seen"}]


@pytest.mark.parametrize("keywords", [True, False])
def test_what_nobody_understood_stays_unseen_and_is_not_read_again_where_the_server_has_keywords(keywords: bool):
    with ScriptedImap(RAWS, keywords=keywords) as server:
        assert read(box(server), understood=False) == RAWS
        assert [each.flags for each in server.letters.values()] == [{LEFT} if keywords else set()] * 2
        assert read(box(server)) == ([] if keywords else RAWS)


def test_of_a_huge_letter_the_beginning_is_read():
    with ScriptedImap([b"Subject: x\r\n\r\n" + b"y" * (2 * LARGEST)]) as server:
        assert [len(raw) for raw in read(box(server))] == [LARGEST]


def test_the_newest_are_read_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.mailbox_imap.MOST", 2)
    with ScriptedImap([b"a", b"b", b"c"]) as server:
        mailbox = box(server)
        assert read(mailbox) == [b"b", b"c"]
        assert mailbox.left == 1


def test_a_full_mailbox_is_looked_through_in_portions_the_newest_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.mailbox_imap.PORTION", 2)
    monkeypatch.setattr("connectors.mailbox_imap.MOST", 2)
    with ScriptedImap([b"a", b"b", b"c", b"d", b"e"]) as server:
        server.letters[15].flags.add(r"\Seen")
        assert read(box(server)) == [b"c", b"d"]
        asked = [each.split()[2] for each in server.heard if each.startswith("UID SEARCH")]
        assert asked == ["4:5", "2:3"]
        assert read(box(server)) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("given", "raw"),
    [
        (rb'"Subject: \"x\""', b'Subject: "x"'),
        (b"NIL", b""),
    ],
)
def test_a_short_letter_may_stand_on_the_line(given: bytes, raw: bytes):
    answer = b"* 1 FETCH (UID 11 BODY[]<0> " + given + b")\r\n%s OK done\r\n"
    with ScriptedImap(RAWS[:1], {"UID FETCH": answer}) as server:
        assert read(box(server)) == [raw]
        assert server.letters[11].flags == {r"\Seen"}


def test_a_folder_that_may_only_be_looked_at_is_told():
    answer = b"* 2 EXISTS\r\n* OK [READ-ONLY] look\r\n%s OK [READ-ONLY] done\r\n"
    with ScriptedImap(RAWS, {"SELECT": answer}) as server:
        assert "the user may only look at the folder" in refusal(box(server))


def test_a_server_that_lets_us_in_at_once_is_not_told_the_password(certificates: Any):
    with ScriptedImap(RAWS, {"greeting": b"* PREAUTH welcome\r\n"}, context=certificates["good"]) as server:
        assert read(box(server)) == RAWS
        assert "before the line is encrypted" in refusal(box(server, "starttls"))
        assert not any(each.startswith(("LOGIN", "AUTHENTICATE", "STARTTLS")) for each in server.heard)


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_tls_is_verified(certificates: Any, tls: str):
    with ScriptedImap(RAWS, context=certificates["good"], implicit_tls=tls == "tls") as server:
        assert read(box(server, tls, host="localhost", context=certificates["trusting"])) == RAWS
        assert "certificate" in refusal(box(server, tls, host="localhost"))  # the system does not know our authority


@pytest.mark.parametrize("name", ["expired", "other"])
def test_a_bad_certificate_ends_it_before_the_password(certificates: Any, name: str):
    with ScriptedImap(RAWS, context=certificates[name], implicit_tls=True) as server:
        assert "certificate is not valid" in refusal(
            box(server, "tls", host="localhost", context=certificates["trusting"])
        )
        assert server.heard == []


def test_without_starttls_the_password_does_not_travel(certificates: Any):
    with ScriptedImap(RAWS, capable="IMAP4rev1 AUTH=PLAIN") as server:
        assert "offers no STARTTLS" in refusal(box(server, "starttls"))
        assert not any(each.startswith(("LOGIN", "AUTHENTICATE")) for each in server.heard)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong"}, "refuses the user or the password"),
        ({"user": 'boun"ces'}, "refuses the user or the password"),
        ({"folder": "Nowhere"}, "no such folder"),
        ({"folder": "a\r\nA1 DELETE INBOX"}, "invisible control sign"),
        ({"user": "a\r\nb"}, "the user or the"),
    ],
)
def test_what_is_wrong_in_the_config_is_told(changes: dict[str, str], said: str):
    with ScriptedImap(RAWS) as server:
        assert said in refusal(box(server, **changes))
        assert not any("DELETE" in each for each in server.heard)


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": b"220 this is SMTP\r\n"},
        {"greeting": b""},
        {"CAPABILITY": CLOSE},
        {"AUTHENTICATE": CLOSE},
        {"SELECT": CLOSE},
        {"UID SEARCH": CLOSE},
        {"UID SEARCH": b"%s NO not today\r\n"},
        {"UID SEARCH": b"\xff\xfe\r\n%s OK\r\n"},
        {"UID FETCH": CLOSE},
        {"UID FETCH": b"%s BAD what\r\n"},
        {"UID FETCH": b"* 1 FETCH (UID 11 BODY[]<0> {99999999999}\r\n"},
        {"UID FETCH": b"* 1 FETCH (UID 11 BODY[]<0> {10}\r\nabc"},
        {"UID STORE": CLOSE},
        {"UID STORE": b"%s NO read-only\r\n"},
        {"UID SEARCH": STALL},
    ],
    ids=str,
)
def test_whatever_a_server_does_is_one_sentence(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.mailbox_imap.REPLY", 0.3)
    with ScriptedImap(RAWS, script) as server:
        assert refusal(box(server)).startswith("The mailbox at 127.0.0.1 cannot be read: ")


def test_a_letter_that_is_gone_meanwhile_is_passed_over():
    with ScriptedImap(RAWS, {"UID FETCH": b"%s OK nothing\r\n"}) as server:
        assert read(box(server)) == []


def test_a_server_that_drips_is_left_after_its_time():
    drip = b"* SEARCH" + b" 11" * 10
    with ScriptedImap(RAWS, {"UID SEARCH": drip}) as server:  # and the line's end never comes
        assert "cannot be read" in refusal(box(server, seconds=0.3))


def test_nobody_there_is_told(nobody_listens):
    said = refusal(ImapMailbox("127.0.0.1", nobody_listens, "none", "bounces", "geheim"))
    assert "refused" in said


def test_to_settle_what_was_never_read_does_nothing():
    ImapMailbox("127.0.0.1", 1, "none", "bounces", "geheim").settle(Letter("1", b""), understood=True)
