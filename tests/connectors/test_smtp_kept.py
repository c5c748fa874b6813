"""How long a connection is kept, whom it trusts, and letters that are not ASCII."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import ssl

import pytest
from scripted_smtp import GOOD, ScriptedSmtp, connector, credentials_in, send

from connectors.base import Outcome
from connectors.domains import domain_in_ascii

OFFERS_TLS = {"EHLO": [b"250-localhost\r\n250 STARTTLS\r\n", GOOD["EHLO"]]}


def test_a_connection_carries_so_many_messages_and_is_then_ended_politely(letter):
    with ScriptedSmtp() as server:
        server.fence_open.set()
        carrier = connector(server, per_connection=3)
        assert [carrier.send(letter, lambda: True).kind for _ in range(7)] == ["sent"] * 7
        assert server.connections == 3
        assert server.commands.count("QUIT") == 2
        carrier.close()


def test_refusals_count_too(letter):
    with ScriptedSmtp({"RCPT": [b"550 5.1.1 no\r\n"] * 4}) as server:
        server.fence_open.set()
        carrier = connector(server, per_connection=2)
        assert [carrier.send(letter, lambda: True).kind for _ in range(5)] == ["no"] * 4 + ["sent"]
        carrier.close()
        assert server.connections == 3


def test_a_connection_that_was_silent_for_long_is_not_used_again(letter):
    with ScriptedSmtp() as server:
        server.fence_open.set()
        carrier = connector(server, idle=0)
        assert [carrier.send(letter, lambda: True).kind for _ in range(2)] == ["sent"] * 2
        assert server.connections == 2
        assert server.commands.count("QUIT") == 1
        carrier.close()


def test_a_private_authority_is_trusted_by_its_file_and_no_other(letter, certificates):
    for name, outcome in (("ca.pem", "sent"), ("other.pem", "not_now")):
        with ScriptedSmtp(OFFERS_TLS, context=certificates["good"]) as server:
            sent, _ = send(server, letter, tls="starttls", ca_file=certificates["files"] / name)
            assert sent.kind == outcome


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_without_its_file_nothing_is_trusted(letter, certificates, tmp_path, text):
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with ScriptedSmtp(OFFERS_TLS, context=certificates["good"]) as server:
        outcome, _ = send(server, letter, tls="starttls", ca_file=file)
        assert outcome == Outcome("not_now", "no certificates in ca_file", channel="stop", counts_attempt=False)
        assert server.commands == []


def test_a_version_of_tls_that_can_be_broken_is_not_spoken(letter, certificates):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1 "):
        old.minimum_version = ssl.TLSVersion.TLSv1
    old.load_cert_chain(certificates["files"] / "good.pem", certificates["files"] / "good.key")
    with ScriptedSmtp(OFFERS_TLS, context=old) as server:
        outcome, _ = send(server, letter, tls="starttls", ca_file=certificates["files"] / "ca.pem")
        assert outcome == Outcome("not_now", "no TLS at TLS", channel="failure")
        assert not any(each.startswith("MAIL") for each in server.commands)


@pytest.mark.parametrize("offer", ["PLAIN", "LOGIN"])
def test_a_password_may_hold_any_letter(letter, offer):
    replies = [f"334 {base64.b64encode(b'Password:').decode()}\r\n".encode(), GOOD["AUTH"]]
    script = {"EHLO": f"250-localhost\r\n250 AUTH {offer}\r\n".encode()}
    if offer == "LOGIN":
        script |= {"AUTH": replies[:1], base64.b64encode("naïve 密码".encode()).decode().upper(): replies[1]}
    with ScriptedSmtp(script) as server:
        server.fence_open.set()
        assert send(server, letter, user="hello", password="naïve 密码")[0].kind == "sent"
        said = b" ".join(credentials_in(server.commands))
        assert said == ("\0hello\0naïve 密码".encode() if offer == "PLAIN" else b"hello")


def test_a_challenge_is_answered_with_a_digest(letter):
    challenge = b"<1896.697170952@localhost>"
    digest = hmac.new("naïve".encode(), challenge, "md5").hexdigest()
    answer = base64.b64encode(f"hello {digest}".encode()).decode()
    script = {
        "EHLO": b"250-localhost\r\n250 AUTH CRAM-MD5\r\n",
        "AUTH": b"334 " + base64.b64encode(challenge) + b"\r\n",
        answer.upper(): GOOD["AUTH"],
    }
    with ScriptedSmtp(script) as server:
        server.fence_open.set()
        assert send(server, letter, user="hello", password="naïve")[0].kind == "sent"
        assert answer in server.commands


def test_a_header_in_other_letters_asks_for_smtputf8_though_the_envelope_does_not(letter):
    letter = dataclasses.replace(letter, body="From: 李@例子.example\r\n\r\nHello\r\n".encode())
    with ScriptedSmtp() as server:
        assert send(server, letter)[0].kind == "sent"
        assert any(each.endswith("BODY=8BITMIME SMTPUTF8") for each in server.commands)
    with ScriptedSmtp({"EHLO": b"250-localhost\r\n250 8BITMIME\r\n"}) as server:
        assert send(server, letter)[0] == Outcome("no", "no SMTPUTF8")


@pytest.mark.parametrize(
    ("domain", "encoded"),
    [
        ("例子.example", "xn--fsqu00a.example"),
        ("straße.example", "xn--strae-oqa.example"),  # the codec of the standard library makes strasse.example of it
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("corner.example", "corner.example"),
        ("under_score.example", "under_score.example"),
    ],
)
def test_a_domain_is_written_by_the_rules_of_today(letter, domain, encoded):
    assert domain_in_ascii(domain) == encoded
    with ScriptedSmtp() as server:
        assert send(server, dataclasses.replace(letter, recipient=f"li@{domain}"))[0].kind == "sent"
        assert f"RCPT TO:<li@{encoded}>" in server.commands


@pytest.mark.parametrize("phase", ["greeting", "MAIL", "RCPT"])
def test_any_2xx_lets_the_conversation_go_on(letter, phase):
    with ScriptedSmtp({phase: b"259 2.0.0 fine\r\n"}) as server:
        assert send(server, letter)[0].kind == "sent"
