"""Reading of letters: nothing that anybody sends raises, takes long, or is understood as what it is not."""

from __future__ import annotations

import random
from email import message_from_bytes
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dispatch import returned
from engine.dispatch.links import mail_token
from engine.dispatch.returned import read

from .post import LETTERS

KEY = bytes(range(32))
TOKEN = mail_token(KEY, "bounce", 7)
NAMES = sorted(file.stem for file in LETTERS.glob("*.eml"))


def letter(name: str) -> bytes:
    raw = (LETTERS / f"{name}.eml").read_bytes()
    own = {
        b"@SENDER@": f"bounces+{TOKEN}@corner.example",
        b"@GUEST@": "li@example.com",
        b"@UNSUBSCRIBE@": f"b+{TOKEN}@c.ie",
    }
    for what, by in own.items():
        raw = raw.replace(what, by.encode())
    return raw


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_every_letter_is_understood_with_either_line_end(name: str, ends: bytes):
    found = read(letter(name).replace(b"\n", ends))
    kinds = {"arf": "complaint", "out": "robot", "reply": "letter", "unsubscribe": "letter", "qmail": "notice"}
    expected = "notice" if name == "exim-old-text" else kinds.get(name.partition("-")[0], "report")
    assert (found.kind, found.tokens[0]) == (expected, TOKEN)
    if expected == "report":
        (about,) = found.recipients
        assert "li@example.com" in about.addresses
        assert about.action in {"failed", "delayed", "delivered"}


def test_what_a_report_says_is_taken_from_its_fields():
    (about,) = read(letter("gmail-unknown")).recipients
    assert (about.action, about.status, about.code) == ("failed", "5.1.1", 550)
    assert about.text.startswith("5.1.1 The email account that you tried to reach does not exist.")


def test_an_address_may_be_hidden_by_xtext():
    raw = letter("exchange-unknown").replace(b"Original-Recipient: rfc822;li@", b"Original-Recipient: rfc822;li+2Btea@")
    (about,) = read(raw).recipients
    assert about.addresses == ("li+tea@example.com", "li@example.com")


def test_a_report_in_base64_is_read():
    import base64

    fields = b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; li@example.com\nAction: failed\nStatus: 5.1.1\n"
    raw = (
        f"To: b+{TOKEN}@c.ie\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\n\n"
        "--x\nContent-Type: message/global-delivery-status\nContent-Transfer-Encoding: base64\n\n"
    ).encode() + base64.b64encode(fields)
    (about,) = read(raw + b"\n--x--\n").recipients
    assert (about.addresses, about.status) == (("li@example.com",), "5.1.1")


def mutated(raw: bytes, dice: random.Random) -> bytes:
    """Spoil a letter as lines, fields and bytes get spoilt."""
    for _ in range(dice.randint(1, 6)):
        lines = raw.split(b"\n")
        place, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(9):
            case 0:
                lines[place] = bytes(dice.randrange(256) for _ in range(dice.randrange(80)))
            case 1:
                lines[place], lines[other] = lines[other], lines[place]
            case 2:
                del lines[place:other]
            case 3:
                lines.insert(place, lines[other] * dice.randint(1, 50))
            case 4:
                lines.insert(place, dice.choice(NASTY))
            case 5:
                lines[place] = lines[place][: dice.randrange(len(lines[place]) + 1)]
            case 6:
                lines[place] = lines[place].replace(b":", b"\x00:").replace(b";", b"*=utf-99'x'%ff;")
            case 7:
                lines[place] = lines[place].swapcase().replace(b"=", b"==")
            case _:
                lines[place] = b" " + lines[place]
        raw = b"\n".join(lines)
    return raw


NASTY = [
    b'Content-Type: multipart/report; boundary=""',
    b"Content-Type: multipart/mixed; boundary*0*=utf-7''%00; boundary*1=x",
    b'Content-Type: text/plain; charset="unicode_escape"',
    b"Content-Type: text/plain; charset*=x'y'%E9; charset*1=z",
    b"Content-Transfer-Encoding: uuencode",
    b"Content-Transfer-Encoding: base64",
    b"Subject: =?utf-99?q?x?= =?idna?b?////?= =?utf-8?b?x?=",
    b"Subject: =?utf-8?b?" + b"A" * 5000,
    b"From: =?zip?b?eJw=?= <\xff@\xfe>",
    b"To: " + b"+aaaaaaaaaaaaaaaaaa@" * 500,
    b"Final-Recipient: rfc822; " + b"a" * 400 + b"@" + b"b." * 300,
    b"Original-Recipient: rfc822;+C3+28@\xe9\xe9",
    b"Diagnostic-Code: smtp; 550" + b"-" * 3000,
    b"Status: 5.1.1.1.1",
    b"Action: failed\x00failed",
    b"--4Tz0Kd1Xx0z9sWn.1777906802/mx.corner.example",
    b"\x00" * 50,
]


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_spoilt_letters_never_raise(seed: int):
    dice = random.Random(seed)
    kinds = set()
    for _ in range(100):
        found = read(mutated(letter(dice.choice(NAMES)), dice))
        kinds.add(found.kind)
        assert len(found.tokens) <= 2 * returned.MOST_TOKENS
        assert len(found.recipients) <= returned.MOST_RECIPIENTS
    assert len(kinds) >= 3  # spoilt, and still letters of several kinds


@settings(max_examples=200)
@given(st.binary(max_size=2_000))
def test_any_bytes_are_a_letter(raw: bytes):
    read(raw)
    read(b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n" + raw)
    read(b"Content-Type: message/delivery-status\n\n" + raw)
    read(b"Subject: " + raw)


_STOP = b"From: li@example.com\r\nSubject: unsubscribe\r\n"
_TYPE = b"Content-Type: text/plain; a=b"


@pytest.mark.parametrize("fold", [b"", b"\r\n ", b"\n\t", b"\r "])
@pytest.mark.parametrize(
    "around",
    [
        b"%s%s\r\n\r\n",
        b"%sContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n%s\r\n\r\n--x--\r\n",
        b"%sContent-Type: message/rfc822\r\n\r\nSubject: Hi\r\n%s\r\n\r\n",
    ],
    ids=["mail", "part", "mail in it"],
)
def test_a_header_as_long_as_no_header_is_not_taken_apart(around: bytes, fold: bytes):
    """The standard library takes the square of its length: a megabyte of it cost a run 21 seconds."""
    usual, endless = (_TYPE + (fold + b'";') * (length // (2 + len(fold))) for length in (2_000, 21_000))
    assert read(around % (_STOP, usual)).says_stop
    assert read(around % (_STOP, endless)) == returned.Returned("letter")


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000)),
        b"".join(b"Content-Type: message/rfc822\n\n" for _ in range(30_000)),
        b"Content-Type: multipart/report; boundary=x\n\n" + b"--x\n\n" * 150_000,
        b"Content-Type: multipart/digest; boundary=x\n\n" + b"--x\n\nmessage/x\n" * 60_000,
        b"Subject: " + b"=?utf-8?q?a?= " * 60_000 + b"\n\n",
        b"To: " + b"<" * 900_000 + b"\n\n",
        b"X: y\n" * 180_000,
        b"Return-Path: <>\nFrom: postmaster@x\n\n" + b"a@" * 450_000,
        b"x" * 3_000_000,
    ],
    ids=[
        "parts in parts",
        "letters in letters",
        "many parts",
        "digest",
        "words",
        "angles",
        "headers",
        "addresses",
        "long",
    ],
)
def test_a_bomb_is_only_a_letter(raw: bytes):
    assert read(raw).kind in {"letter", "robot", "notice"}


def test_parts_are_counted_before_they_are_taken_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(returned, "message_from_bytes", None)
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(100))
    assert read(nested).kind == "letter"


@pytest.mark.parametrize("charset", ["utf-99", "unicode_escape", "idna", "zip", "rot13", "x" * 300, "utf-16"])
def test_a_word_in_a_charset_that_no_mail_has_is_not_decoded_by_it(charset: str):
    raw = f"To: b+{TOKEN}@c.ie\nContent-Type: text/plain; charset={charset}\n\nunsubscribe\n".encode()
    assert read(raw).says_stop


@pytest.mark.parametrize(
    ("subject", "body", "stops"),
    [
        ("unsubscribe", "", True),
        ("Re: Fwd: UNSUBSCRIBE!", "", True),
        ("Re: Fwd: UNSUBSCRIBE!", "whatever", False),
        ("Re: Stop!", "> Stop!\nLove it, see you tomorrow!", False),
        ("unsubscribe", "whatever", True),
        ("Re: We miss you", "Stop.", True),
        ("Re: We miss you", "please unsubscribe me\n\n-- \nLi Wei\nStreet 1", True),
        ("Re: We miss you", "退订", True),
        ("Re: We miss you", "Unsubscribe my friend, not me", False),
        ("Re: We miss you", "Do not stop!", False),
        ("stopped by", "hello", False),
        ("Re: We miss you", "> unsubscribe", False),
        ("Re: We miss you", "On Mon, Corner wrote:\n> x\nstop", False),
        ("", "", False),
    ],
)
def test_the_word_counts_when_it_is_all_that_is_said(subject: str, body: str, stops: bool):
    raw = f"To: b+{TOKEN}@c.ie\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{body}\n".encode()
    assert read(raw).says_stop == stops


HTML = "<p>unsubscribe</p><blockquote><p>Dear Li, we miss you</p></blockquote>"


@pytest.mark.parametrize(
    ("head", "body", "more"),
    [
        ("Subject: unsubscribe\n", "", False),
        ("Subject: unsubscribe\n", "Unsubscribe me, please\n-- \nLi Wei", False),
        ("Subject: unsubscribe\n", "This message was automatically generated by Gmail.", False),
        ("Subject: unsubscribe\n", "I found glass in my cake. Call me!", True),
        ("Subject: glass in my cake\n", "unsubscribe", True),
        ("Subject: Re: We miss you\n", "STOP\n\nSent from my iPhone\n\n> We miss you", False),
        ("Subject: Re: We miss you\n", "STOP\n\nOn Monday Corner wrote:\n> We miss you\n\nI found glass", True),
        ("Subject: Re: We miss you\n", "STOP\n" + "> x\n" * 12_000 + "I found glass", True),
        ("Subject: Re: We miss you\n", "STOP" + "\n" * 300 + "I found glass", True),
        ("Subject: unsubscribe\n", "> x\n" * 40_000, True),
        ("Subject: unsubscribe\nContent-Type: text/html\n", HTML, False),
        ("Subject: unsubscribe\nContent-Type: text/html\n", f"<b>I found glass</b>{HTML}", True),
        ("Subject: unsubscribe\nContent-Type: image/jpeg\n", "x", True),
        ("Subject: unsubscribe\nContent-Type: text/plain\nContent-Disposition: attachment\n", "", True),
    ],
)
def test_what_is_more_than_the_word_is_for_a_person(head: str, body: str, more: bool):
    assert read(f"To: b+{TOKEN}@c.ie\n{head}\n{body}\n".encode()).says_more == more


def test_the_fixtures_are_what_servers_send():
    for name in NAMES:
        mail = message_from_bytes(letter(name))
        assert mail["To"], name
        assert mail["Subject"], name
    assert len(NAMES) >= 20
    assert all(isinstance(each, Path) for each in LETTERS.iterdir())
