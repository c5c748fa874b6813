"""One message over SMTP: the fence, the kept connection, the envelope, and a real server."""

from __future__ import annotations

import dataclasses
import socket

import pytest
from scripted_smtp import CLOSE, GOOD, NO, POLICY, RESET, TRIPPED, ScriptedSmtp, connector, send, verdict

from connectors.base import Message, Outcome
from connectors.smtp import SmtpConnector


def test_the_fence_stands_between_the_body_and_the_dot(letter):
    with ScriptedSmtp() as server:

        def handoff():
            # The server has the whole body but its last line break, and has not seen the dot.
            assert server.wait_for_body(b"last line").endswith(b"\r\n...two\r\nlast line")
            assert server.dots == []
            server.fence_open.set()
            return True

        carrier = connector(server)
        assert carrier.send(letter, handoff) == Outcome("sent", "250 2.0.0", provider_id="4F2A9C01B2")
        carrier.close()
        assert not server.dot_before_fence
        assert server.accepted == [letter.body.replace(b"\r\n.", b"\r\n..") + b".\r\n"]


def test_a_closed_fence_accepts_nothing_and_the_next_message_goes_out_on_a_new_connection(letter):
    with ScriptedSmtp() as server:
        carrier = connector(server)
        assert carrier.send(letter, lambda: False) == Outcome("not_now", "fence", counts_attempt=False)
        assert server.dots == []
        server.fence_open.set()
        assert carrier.send(letter, lambda: True).kind == "sent"
        carrier.close()
        assert len(server.accepted) == 1
        assert server.connections == 2


def test_a_fence_that_breaks_leaves_nothing_accepted_and_raises(letter):
    def handoff():
        raise ConnectionError("the database is gone")

    with ScriptedSmtp() as server:
        with pytest.raises(ConnectionError, match="the database is gone"):
            connector(server).send(letter, handoff)
        assert server.dots == []


def test_a_server_that_hangs_up_while_the_fence_is_asked_has_got_nothing(letter):
    def hangs_up(_):
        server.fence_open.wait(5)
        return CLOSE

    def handoff():
        server.fence_open.set()
        server._threads[-1].join(5)
        return True

    with ScriptedSmtp({"body": hangs_up}) as server:
        assert verdict(connector(server).send(letter, handoff)) == TRIPPED
        assert server.dots == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"552 5.3.4 too big\r\n", NO), (b"550 5.7.1 virus\r\n", POLICY), (b"250 fine\r\n", TRIPPED)],
)
def test_a_reply_before_its_time_is_not_taken_for_the_answer_to_the_dot(letter, reply, expected):
    with ScriptedSmtp({"DATA": GOOD["DATA"] + reply}) as server:
        outcome, asked = send(server, letter)
        assert verdict(outcome) == expected
        assert asked == 0
        assert server.dots == []


@pytest.mark.parametrize("fault", [CLOSE, RESET])
def test_a_line_that_breaks_under_the_body_delivers_nothing(letter, fault):
    long = dataclasses.replace(letter, body=b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 200_000)
    with ScriptedSmtp({"body": fault, "EHLO": b"250 localhost\r\n"}) as server:
        outcome, asked = send(server, long)
        assert outcome == Outcome("not_now", "dropped at body", channel="failure")
        assert asked == 0


def test_anything_on_quit_is_ignored(letter):
    for answer in (CLOSE, RESET, b"554 5.7.1 no\r\n", b"nonsense\r\n"):
        with ScriptedSmtp({"QUIT": answer}) as server:
            outcome, _ = send(server, letter)
            assert outcome.kind == "sent"


def test_the_connection_is_kept_and_renewed_when_the_server_has_closed_it(letter):
    with ScriptedSmtp(
        {"MAIL": [GOOD["MAIL"], GOOD["MAIL"], b"421 4.4.2 idle too long\r\n", GOOD["MAIL"], CLOSE]}
    ) as server:
        server.fence_open.set()
        carrier = connector(server)
        assert [carrier.send(letter, lambda: True).kind for _ in range(4)] == ["sent"] * 4
        carrier.close()
        assert len(server.accepted) == 4
        assert server.connections == 3


def test_a_fresh_connection_that_closes_at_mail_is_not_tried_again_at_once(letter):
    with ScriptedSmtp({"MAIL": CLOSE}) as server:
        outcome, _ = send(server, letter)
        assert verdict(outcome) == TRIPPED
        assert server.connections == 1


def test_a_refused_recipient_leaves_the_connection_usable_for_the_next(letter):
    with ScriptedSmtp({"RCPT": [b"550 5.1.1 no such user\r\n", GOOD["RCPT"]]}) as server:
        server.fence_open.set()
        carrier = connector(server)
        assert [carrier.send(letter, lambda: True).kind for _ in range(2)] == ["no", "sent"]
        carrier.close()
        assert "RSET" in server.commands
        assert server.connections == 1


def test_nobody_listening_and_no_such_host_are_faults_of_the_channel(letter, nobody_listens):
    assert SmtpConnector("127.0.0.1", nobody_listens, "none").send(letter, lambda: True) == Outcome(
        "not_now", "refused at connect", channel="failure"
    )
    outcome = SmtpConnector("no-such-host.invalid", 25, "none").send(letter, lambda: True)
    assert outcome == Outcome("not_now", "no address at connect", channel="failure")


def test_an_old_server_with_helo_only_gets_the_message(letter):
    with ScriptedSmtp({"EHLO": [b"502 5.5.1 what\r\n", b"250 localhost\r\n"]}) as server:
        assert send(server, letter)[0].kind == "sent"
        assert "MAIL FROM:<hello@corner.example>" in server.commands


@pytest.mark.parametrize(
    "recipient",
    [
        "li@guest.example>\r\nRCPT TO:<eve@evil.example",
        "li@guest.example,eve@evil.example",
        "li guest@x.example",
        "nobody",
        "<li@guest.example>",
    ],
)
def test_a_hostile_recipient_never_reaches_the_line(letter, recipient):
    with ScriptedSmtp() as server:
        outcome, asked = send(server, dataclasses.replace(letter, recipient=recipient))
        assert outcome == Outcome("no", "bad address")
        assert asked == 0
        assert server.connections == 0


@pytest.mark.parametrize("body", [b"Subject: x\r\n\r\na\n.\r\nMAIL FROM:<eve@evil.example>\r\n", b"a\r.\r\n"])
def test_a_bare_line_end_cannot_smuggle_a_second_message(letter, body):
    with ScriptedSmtp() as server:
        assert send(server, dataclasses.replace(letter, body=body))[0] == Outcome("no", "bare line end")
        assert server.connections == 0


def test_extensions_are_used_only_where_the_message_needs_them(letter):
    with ScriptedSmtp() as server:
        server.fence_open.set()
        carrier = connector(server)
        for message in (
            letter,
            dataclasses.replace(letter, body=letter.body + "你好\r\n".encode()),
            dataclasses.replace(letter, recipient="李@例子.example"),
        ):
            assert carrier.send(message, lambda: True).kind == "sent"
        carrier.close()
        mail = [command.partition(" FROM:")[2] for command in server.commands if command.startswith("MAIL")]
        size = len(letter.body)
        assert mail == [
            f"<hello@corner.example> SIZE={size}",
            f"<hello@corner.example> SIZE={size + 8} BODY=8BITMIME",
            f"<hello@corner.example> SIZE={size} SMTPUTF8",
        ]
        assert "RCPT TO:<李@xn--fsqu00a.example>" in server.commands


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"body": "你好\r\n".encode()}, "no 8BITMIME"),
        ({"recipient": "李@guest.example"}, "no SMTPUTF8"),
        ({"body": b"x" * 101 + b"\r\n"}, "552 5.3.4"),
    ],
)
def test_what_this_server_cannot_carry_is_refused_and_the_next_message_still_goes(letter, changes, code):
    with ScriptedSmtp({"EHLO": b"250-localhost\r\n250 SIZE 100\r\n"}) as server:
        server.fence_open.set()
        carrier = connector(server)
        assert carrier.send(dataclasses.replace(letter, **changes), lambda: True) == Outcome("no", code)
        assert carrier.send(dataclasses.replace(letter, body=b"hi\r\n"), lambda: True).kind == "sent"
        carrier.close()
        assert server.connections == 1


@pytest.mark.parametrize(
    ("reply", "provider_id"),
    [
        (b"250 2.0.0 Ok: queued as 4F2A9C01B2\r\n", "4F2A9C01B2"),
        (b"250 OK id=1abcDE-000123-45\r\n", "1abcDE-000123-45"),
        (
            b"250 2.0.0 OK  1777903200 5b1f17b1804b1-48a0ff3c2a1si123.45 - gsmtp\r\n",
            "5b1f17b1804b1-48a0ff3c2a1si123.45",
        ),
        (b"250 2.0.0 queued as li@guest.example secret\r\n", None),
        (b"250 Ok: queued as +13125550100\r\n", None),
        (b"250 Delivered to mailbox of Li Wei, born 1985-04-03\r\n", None),
        (b"250 2.0.0 accepted for <li@guest.example> li@guest.example done\r\n", None),
        (b"250\r\n", None),
    ],
)
def test_the_servers_word_is_kept_without_an_address(letter, reply, provider_id):
    with ScriptedSmtp({"dot": reply}) as server:
        assert send(server, letter)[0].provider_id == provider_id


class Mailbox:
    def __init__(self):
        self.letters = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802, ARG002 (aiosmtpd's names)
        self.letters.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 2.0.0 accepted"


@pytest.mark.parametrize("secure", [False, True])
def test_a_real_server_gets_each_message_once_and_byte_for_byte(letter, certificates, secure):
    from aiosmtpd.controller import Controller

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Mailbox()
    options = {"tls_context": certificates["good"], "require_starttls": True} if secure else {}
    server = Controller(box, hostname="127.0.0.1", port=port, **options)
    server.start()
    try:
        carrier = SmtpConnector(
            "localhost" if secure else "127.0.0.1",
            port,
            "starttls" if secure else "none",
            context=certificates["trusting"],
        )
        assert [carrier.send(letter, lambda: True).kind for _ in range(3)] == ["sent"] * 3
        carrier.close()
    finally:
        server.stop()
    assert box.letters == [("hello@corner.example", ["li@guest.example"], letter.body, secure)] * 3


def test_a_message_repr_shows_no_body(letter):
    assert isinstance(letter, Message)
    assert "Dear" not in repr(letter)
