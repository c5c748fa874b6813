"""Every phase times every fault of dispatch.md section 4, against a server that does as told."""

from __future__ import annotations

import dataclasses
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_smtp import CLOSE, DRIP, GOOD, RESET, STALL, ScriptedSmtp, credentials_in

from connectors.base import Message, Outcome
from connectors.smtp import SmtpConnector

BEFORE = ["greeting", "EHLO", "MAIL", "RCPT", "DATA"]
NAMED = ["RCPT", "DATA"]
QUICK = dict.fromkeys(
    ["connect", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot"], 5.0
)


def connector(server, **options):
    options.setdefault("tls", "none")
    options.setdefault("deadlines", QUICK)
    return SmtpConnector("localhost" if options["tls"] != "none" else "127.0.0.1", server.port, **options)


def send(server, letter, *, permitted=True, **options):
    asked = []

    def handoff():
        asked.append(True)
        server.fence_open.set()
        return permitted

    carrier = connector(server, **options)
    outcome = carrier.send(letter, handoff)
    carrier.close()
    return outcome, len(asked)


def verdict(outcome: Outcome):
    return outcome.kind, outcome.endpoint, outcome.channel, outcome.counts_attempt


NOT_NOW = ("not_now", "ok", "ok", True)
TRIPPED = ("not_now", "ok", "failure", True)
STOPPED = ("not_now", "ok", "stop", False)
NO = ("no", "ok", "ok", True)
HARD = ("no", "hard", "ok", True)
SOFT = ("no", "soft", "ok", True)
POLICY = ("no", "ok", "breaker", True)
UNKNOWN = ("unknown", "ok", "failure", True)

#: (reply, verdict, phases): the table by code, before the fence.
REPLIES_BEFORE = [
    (b"421 4.3.2 shutting down\r\n", TRIPPED, BEFORE),
    (b"450 4.2.1 greylisted\r\n", NOT_NOW, BEFORE),
    (b"451 4.3.0 local error\r\n", NOT_NOW, BEFORE),
    (b"452 4.2.2 full for now\r\n", NOT_NOW, BEFORE),
    (b"550 5.1.1 <li@guest.example>: no such user\r\n", HARD, NAMED),
    (b"550 5.1.10 null MX\r\n", HARD, NAMED),
    (b"550 User unknown\r\n", HARD, NAMED),
    (b"550-5.1.1 The email account that you tried to reach\r\n550 5.1.1 does not exist\r\n", HARD, NAMED),
    (b"552 5.2.2 mailbox full\r\n", SOFT, NAMED),
    (b"550 5.2.2 over quota\r\n", SOFT, NAMED),
    (b"550 5.7.1 spam\r\n", POLICY, BEFORE),
    (b"554 5.7.26 unauthenticated mail\r\n", POLICY, BEFORE),
    (b"554 Message blocked by our spam policy\r\n", POLICY, NAMED),
    (b"554 no service for you\r\n", ("not_now", "ok", "breaker", True), ["greeting", "EHLO"]),
    (b"550 mailbox unavailable\r\n", SOFT, ["RCPT"]),
    (b"550 5.1.1 sender unknown\r\n", POLICY, ["MAIL"]),
    (b"550 5.1.8 bad sender domain\r\n", POLICY, ["MAIL", "RCPT"]),
    (b"530 5.7.0 authentication required\r\n", STOPPED, ["MAIL", "RCPT"]),
    (b"535 5.7.8 bad credentials\r\n", STOPPED, ["MAIL"]),
    (b"454 4.7.0 temporary authentication failure\r\n", STOPPED, ["MAIL"]),
    (b"552 5.3.4 too big\r\n", NO, ["MAIL", "RCPT", "DATA"]),
    (b"555 parameters not recognized\r\n", NO, ["MAIL", "RCPT"]),
    (b"501 5.1.3 bad syntax\r\n", NO, ["MAIL", "RCPT"]),
    (b"553 mailbox name not allowed\r\n", NO, ["RCPT"]),
    (b"hello, who are you?\r\n", TRIPPED, BEFORE),
    (b"99 what\r\n", TRIPPED, BEFORE),
    (b"250-one\r\n550 two\r\n", TRIPPED, BEFORE),
    (b"250 " + b"x" * 5000 + b"\r\n", TRIPPED, BEFORE),
    (b"\xff\xfe\x00\r\n", TRIPPED, BEFORE),
    (CLOSE, TRIPPED, BEFORE),
    (RESET, TRIPPED, BEFORE),
]


@pytest.mark.parametrize(
    ("phase", "reply", "expected"),
    [(phase, reply, expected) for reply, expected, phases in REPLIES_BEFORE for phase in phases],
)
def test_a_fault_before_the_fence_delivers_nothing_and_is_judged_by_its_code(letter, phase, reply, expected):
    with ScriptedSmtp({phase: reply}) as server:
        outcome, asked = send(server, letter)
        assert verdict(outcome) == expected
        assert asked == 0
        assert server.dots == []
        assert "@" not in outcome.code


REPLIES_AFTER = [
    (b"250 2.0.0 ok\r\n", ("sent", "ok", "ok", True)),
    (b"250-2.0.0 fine\r\n250 2.0.0 thanks\r\n", ("sent", "ok", "ok", True)),
    (b"421 4.3.2 shutting down\r\n", NOT_NOW),
    (b"450 4.7.1 try later\r\n", NOT_NOW),
    (b"452 4.3.1 no room\r\n", NOT_NOW),
    (b"454 4.7.0 later\r\n", NOT_NOW),
    (b"550 5.1.1 no such user\r\n", HARD),
    (b"552 5.2.2 mailbox full\r\n", SOFT),
    (b"550 5.7.1 looks like spam\r\n", POLICY),
    (b"554 5.7.9 dmarc\r\n", POLICY),
    (b"552 5.3.4 too big\r\n", NO),
    (b"554 5.6.0 bad content\r\n", NO),
    (b"501 bad\r\n", NO),
    (b"354 still going\r\n", UNKNOWN),
    (b"wibble\r\n", UNKNOWN),
    (b"250 " + b"x" * 5000 + b"\r\n", UNKNOWN),
    (b"250-one\r\n550 two\r\n", UNKNOWN),
    (CLOSE, UNKNOWN),
    (RESET, UNKNOWN),
]


@pytest.mark.parametrize(("reply", "expected"), REPLIES_AFTER)
def test_a_reply_to_the_dot_is_judged_as_after_the_fence(letter, reply, expected):
    with ScriptedSmtp({"dot": reply}) as server:
        outcome, asked = send(server, letter)
        assert verdict(outcome) == expected
        assert asked == 1
        assert len(server.dots) == 1
        assert not server.dot_before_fence


@pytest.mark.parametrize("phase", BEFORE)
@pytest.mark.parametrize("fault", [STALL, DRIP])
def test_a_silent_or_a_dripping_server_is_left_at_the_deadline(letter, phase, fault):
    with ScriptedSmtp({phase: fault}) as server:
        outcome, asked = send(server, letter, deadlines={**QUICK, phase: 0.1})
        assert verdict(outcome) == TRIPPED
        assert outcome.code == f"timeout at {phase}"
        assert asked == 0


@pytest.mark.parametrize("fault", [STALL, DRIP])
def test_silence_after_the_dot_is_unknown(letter, fault):
    with ScriptedSmtp({"dot": fault}) as server:
        outcome, _ = send(server, letter, deadlines={**QUICK, "dot": 0.1})
        assert verdict(outcome) == UNKNOWN
        assert outcome.code == "timeout at dot"


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


def test_nobody_listening_and_no_such_host_are_faults_of_the_channel(letter):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert SmtpConnector("127.0.0.1", port, "none").send(letter, lambda: True) == Outcome(
        "not_now", "refused at connect", channel="failure"
    )
    outcome = SmtpConnector("no-such-host.invalid", 25, "none").send(letter, lambda: True)
    assert outcome == Outcome("not_now", "no address at connect", channel="failure")


# -- TLS and signing in


def secured(server, certificates, letter, **options):
    return send(
        server,
        letter,
        tls=options.pop("tls", "starttls"),
        context=certificates["trusting"],
        user="hello",
        password="s3cret",
        **options,
    )


OFFERS_TLS = {"EHLO": [b"250-localhost\r\n250 STARTTLS\r\n", GOOD["EHLO"]]}


def test_starttls_verifies_the_certificate_and_signs_in_behind_it(letter, certificates):
    with ScriptedSmtp(OFFERS_TLS, context=certificates["good"]) as server:
        outcome, _ = secured(server, certificates, letter)
        assert outcome.kind == "sent"
        assert [c.split()[0] for c in server.commands[:4]] == ["ehlo", "STARTTLS", "ehlo", "AUTH"]
        assert credentials_in(server.commands) == [b"\0hello\0s3cret"]


def test_implicit_tls_works_too(letter, certificates):
    with ScriptedSmtp(context=certificates["good"], implicit_tls=True) as server:
        assert secured(server, certificates, letter, tls="tls")[0].kind == "sent"


@pytest.mark.parametrize("bad", ["expired", "other"])
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_bad_certificate_stops_the_channel_before_a_password_is_said(letter, certificates, bad, tls):
    with ScriptedSmtp(
        OFFERS_TLS if tls == "starttls" else {}, context=certificates[bad], implicit_tls=tls == "tls"
    ) as server:
        outcome, _ = secured(server, certificates, letter, tls=tls)
        assert outcome == Outcome("not_now", "bad certificate", channel="stop", counts_attempt=False)
        assert credentials_in(server.commands) == []


def test_the_default_context_does_not_trust_a_stranger(letter, certificates):
    with ScriptedSmtp(OFFERS_TLS, context=certificates["good"]) as server:
        outcome, _ = send(server, letter, tls="starttls")
        assert outcome == Outcome("not_now", "bad certificate", channel="stop", counts_attempt=False)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({}, "no STARTTLS"),
        ({**OFFERS_TLS, "STARTTLS": b"454 4.7.0 not now\r\n"}, "454 4.7.0"),
        ({**OFFERS_TLS, "STARTTLS": b"501 5.5.4 what\r\n"}, "501 5.5.4"),
        ({**OFFERS_TLS, "STARTTLS": b"220 go\r\n250 injected\r\n"}, "plaintext after STARTTLS"),
    ],
)
def test_a_stripped_starttls_never_falls_back_to_plaintext(letter, certificates, script, code):
    with ScriptedSmtp(script, context=certificates["good"]) as server:
        outcome, _ = secured(server, certificates, letter)
        assert outcome == Outcome("not_now", code, channel="stop", counts_attempt=False)
        assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"535 5.7.8 bad credentials\r\n", STOPPED),
        (b"454 4.7.0 later\r\n", STOPPED),
        (b"534 5.7.9 application password wanted\r\n", STOPPED),
        (b"550 5.7.1 account disabled\r\n", STOPPED),
        (b"421 4.3.2 bye\r\n", TRIPPED),
        (b"334 A\r\n", TRIPPED),
        (CLOSE, TRIPPED),
    ],
)
def test_signing_in_is_judged_without_an_attempt_used(letter, reply, expected):
    with ScriptedSmtp({"AUTH": reply, "EHLO": b"250-localhost\r\n250 AUTH LOGIN\r\n"}) as server:
        outcome, _ = send(server, letter, user="hello", password="s3cret")
        assert verdict(outcome) == expected
        assert "s3cret" not in repr(outcome)


def test_a_server_that_offers_no_sign_in_stops_the_channel(letter):
    with ScriptedSmtp({"EHLO": b"250 localhost\r\n"}) as server:
        outcome, _ = send(server, letter, user="hello", password="s3cret")
        assert outcome == Outcome("not_now", "no way to sign in", channel="stop", counts_attempt=False)


# -- the envelope


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
        (b"250 OK id=1abcDE-000123-45\r\n", "OK id=1abcDE-000123-45"),
        (b"250 2.0.0 accepted for <li@guest.example> li@guest.example done\r\n", "2.0.0 accepted for done"),
        (b"250\r\n", None),
    ],
)
def test_the_servers_word_is_kept_without_an_address(letter, reply, provider_id):
    with ScriptedSmtp({"dot": reply}) as server:
        assert send(server, letter)[0].provider_id == provider_id


# -- a real server


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


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    phase=st.sampled_from([*BEFORE, "dot"]),
    reply=st.one_of(
        st.binary(max_size=60).map(lambda data: data + b"\r\n"),
        st.from_regex(rb"[2-5][0-9]{2}[ -]([245]\.[0-9]\.[0-9] )?[a-z ]{0,20}\r\n", fullmatch=True),
    ),
)
def test_whatever_a_server_says_the_outcome_is_true_and_nothing_raises(letter, phase, reply):
    with ScriptedSmtp({phase: reply}) as server:
        outcome, asked = send(server, letter, deadlines={**QUICK, phase: 0.05, "EHLO": 0.05})
        assert asked <= 1
        assert (outcome.kind == "sent") == bool(server.accepted)
        if not server.dots:
            assert outcome.kind in {"not_now", "no"}
        if outcome.kind == "unknown":
            assert server.dots
            assert not server.accepted
