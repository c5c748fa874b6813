"""A signed POST: what a receiver gets, and what its answer, or its silence, means."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from scripted_http import CLOSE, DRIP, RESET, STALL, ScriptedServer

from connectors.base import Message
from connectors.webhook import WebhookConnector

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
BODY = json.dumps({"customer": "c1", "values": {"customer.first_name": "Zoë"}}, ensure_ascii=False).encode()


@pytest.fixture
def message():
    return Message(key="a1b2c3", channel="webhook", sender="Corner Café", recipient="loyalty-app", body=BODY)


def reply(status, headers="", text="thanks", promised=None):
    length = len(text) if promised is None else promised
    return f"HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{text}".encode()


def send(server, message, *, permitted=True, url="http://127.0.0.1:{port}/hooks/regulars", **options):
    def handoff():
        asked.append(list(server.requests))
        server.fence_open.set()
        return permitted

    asked: list[object] = []
    connector = WebhookConnector(url.format(port=server.port), "s3cret", clock=lambda: NOW, **options)
    return connector.send(message, handoff), asked


def test_the_receiver_can_check_who_says_it_and_when_and_whether_it_was_said_before(message):
    with ScriptedServer(reply(200)) as server:
        outcome, asked = send(server, message)
        assert not server.byte_before_fence
    assert (outcome.kind, outcome.code) == ("sent", "http 200")
    assert asked == [[]]
    ((line, headers, body),) = server.requests
    assert line == "POST /hooks/regulars HTTP/1.1"
    assert body == BODY
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["idempotency-key"] == "a1b2c3"
    stamp, _, mac = headers["regulars-signature"].partition(",v1=")
    assert stamp == f"t={int(NOW.timestamp())}"
    wanted = hmac.new(b"s3cret", stamp.removeprefix("t=").encode() + b"." + BODY, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(mac, wanted)


def test_what_follows_a_question_mark_and_a_last_slash_are_sent_as_written(message):
    with ScriptedServer(reply(200)) as server:
        send(server, message, url="http://127.0.0.1:{port}/hooks/?code=a%2Fb==&x=1")
    ((line, _, _),) = server.requests
    assert line == "POST /hooks/?code=a%2Fb==&x=1 HTTP/1.1"


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (reply(200), ("sent", "http 200", "ok", True)),
        (reply(204, text=""), ("sent", "http 204", "ok", True)),
        (reply(202, text="cut", promised=900), ("sent", "http 202", "ok", True)),
        (reply(301, "Location: http://127.0.0.1:9/\r\n"), ("no", "http 301", "ok", True)),
        (reply(400), ("no", "http 400", "ok", True)),
        (reply(404), ("no", "http 404", "ok", True)),
        (reply(410), ("no", "http 410", "ok", True)),
        (reply(401), ("not_now", "http 401", "stop", False)),
        (reply(403), ("not_now", "http 403", "stop", False)),
        (reply(408), ("unknown", "http 408", "failure", True)),
        (reply(429), ("not_now", "http 429", "slow", True)),
        (reply(500), ("unknown", "http 500", "failure", True)),
        (reply(503), ("unknown", "http 503", "failure", True)),
        (b"HTTP/1.1 99 X\r\n\r\n", ("unknown", "no reply", "failure", True)),
        (b"<html>", ("unknown", "no reply", "failure", True)),
        (CLOSE, ("unknown", "no reply", "failure", True)),
        (RESET, ("unknown", "no reply", "failure", True)),
        (STALL, ("unknown", "no reply", "failure", True)),
        (DRIP, ("unknown", "no reply", "failure", True)),
    ],
)
def test_each_answer_has_its_meaning(message, answer, meaning):
    with ScriptedServer(answer) as server:
        outcome, asked = send(server, message, reply_seconds=0.3)
    assert (outcome.kind, outcome.code, outcome.channel, outcome.counts_attempt) == meaning
    assert len(asked) == 1
    assert len(server.requests) == 1


def test_a_closed_fence_sends_nothing(message):
    with ScriptedServer(reply(200)) as server:
        outcome, asked = send(server, message, permitted=False)
    assert (outcome.kind, outcome.code, outcome.counts_attempt) == ("not_now", "fence", False)
    assert server.requests == []
    assert len(asked) == 1


def test_without_a_connection_the_fence_is_not_asked(message, nobody_listens):
    asked = []
    connector = WebhookConnector(f"http://127.0.0.1:{nobody_listens}/", "s3cret", clock=lambda: NOW)
    outcome = connector.send(message, lambda: asked.append(1) or True)
    assert (outcome.kind, outcome.code, outcome.channel) == ("not_now", "not reached", "failure")
    assert asked == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 90\r\n", 90),
        ("Retry-After: 999999\r\n", 3600),
        ("Retry-After: 0\r\n", 1),
        ("Retry-After: Mon, 04 May 2026 10:02:00 GMT\r\n", 120),
        ("Retry-After: soon\r\n", None),
    ],
)
def test_it_says_when_to_come_again(message, header, seconds):
    with ScriptedServer(reply(429, header)) as server:
        outcome, _ = send(server, message)
    assert outcome.retry_at == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_tls_is_checked(message, certificates):
    url = "https://localhost:{port}/"
    with ScriptedServer(reply(200), context=certificates["good"]) as server:
        outcome, _ = send(server, message, url=url, context=certificates["trusting"])
    assert outcome.kind == "sent"
    for bad in ("expired", "other"):
        with ScriptedServer(reply(200), context=certificates[bad]) as server:
            outcome, asked = send(server, message, url=url, context=certificates["trusting"])
        assert (outcome.kind, outcome.code, asked) == ("not_now", "not reached", [])
