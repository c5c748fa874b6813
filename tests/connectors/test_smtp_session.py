"""Connecting, TLS and signing in: what the server may not be trusted with is never said to it."""

from __future__ import annotations

import pytest
from scripted_smtp import CLOSE, GOOD, STOPPED, TRIPPED, ScriptedSmtp, credentials_in, send, verdict

from connectors.base import Outcome


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
