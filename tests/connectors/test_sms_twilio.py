"""The table of dispatch.md section 5, by the official client against a server on this machine."""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import pytest
from scripted_http import CLOSE, DRIP, RESET, STALL, ScriptedServer

from connectors.base import Outcome
from connectors.sms_twilio import TwilioConnector

SID = "SM" + "0123456789abcdef" * 2
ACCOUNT = "AC" + "f" * 32
NUMBER = "+15005550101"
NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def reply(status, payload=None, *, headers="", text=None, promised=None):
    body = (json.dumps(payload) if text is None else text).encode()
    length = len(body) if promised is None else promised
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n".encode()
        + body
    )


def created(sid=SID, **more):
    return reply(201, {"sid": sid, "status": "queued", **more})


def refused(status, code):
    return reply(
        status, {"code": code, "message": "The 'To' number +15005550101 is bad", "status": status, "more_info": "x"}
    )


class ScriptedTwilio(ScriptedServer):
    @staticmethod
    def read(body):
        return {key: values[0] for key, values in parse_qs(body.decode()).items()}


def connector(server, **options):
    options.setdefault("clock", lambda: NOW)
    scheme = options.pop("scheme", "http://127.0.0.1")
    return TwilioConnector(ACCOUNT, "t0ken", "+15005550006", f"{scheme}:{server.port}", **options)


def send(server, message, *, permitted=True, **options):
    asked = []

    def handoff():
        asked.append(list(server.requests))
        server.fence_open.set()
        return permitted

    outcome = connector(server, **options).send(message, handoff)
    return outcome, asked


def verdict(outcome):
    return outcome.kind, outcome.code, outcome.endpoint, outcome.channel, outcome.counts_attempt


def unknown(code):
    return "unknown", code, "ok", "failure", True


TABLE = [
    (created(), ("sent", "http 201", "ok", "ok", True)),
    (created("MM" + "a" * 32), ("sent", "http 201", "ok", "ok", True)),
    (created("SMshort"), unknown("http 201 without a sid")),
    (created(None), unknown("http 201 without a sid")),
    (created(7), unknown("http 201 without a sid")),
    (reply(200, text="<html>welcome to the hotel wifi</html>"), unknown("http 200 without a sid")),
    (reply(201, ["a list"]), unknown("http 201 without a sid")),
    (created(date_created=7), ("sent", "http 201", "ok", "ok", True)),
    (reply(201, text="[" * 100_000), unknown("http 201 without a sid")),
    (created(SID.upper()), unknown("http 201 without a sid")),
    (created(f"{SID}\n"), unknown("http 201 without a sid")),
    (reply(201, text=""), unknown("http 201 without a sid")),
    (refused(400, 21610), ("no", "twilio 21610", "opted_out", "ok", True)),
    (refused(400, 21211), ("no", "twilio 21211", "unusable", "ok", True)),
    (refused(400, 21614), ("no", "twilio 21614", "unusable", "ok", True)),
    (refused(400, 21217), ("no", "twilio 21217", "unusable", "ok", True)),
    (refused(400, 21606), ("no", "twilio 21606", "ok", "ok", True)),
    (refused(404, 20404), ("no", "twilio 20404", "ok", "ok", True)),
    (reply(422, {}), ("no", "http 422", "ok", "ok", True)),
    (reply(400, text="<html>bad</html>"), ("no", "http 400", "ok", "ok", True)),
    (refused(401, 20003), ("not_now", "twilio 20003", "ok", "stop", False)),
    (reply(403, {}), ("not_now", "http 403", "ok", "stop", False)),
    (refused(400, 20003), ("not_now", "twilio 20003", "ok", "stop", False)),
    (refused(500, 20003), ("unknown", "twilio 20003", "ok", "stop", True)),
    (refused(400, True), ("no", "http 400", "ok", "ok", True)),
    (refused(400, "21610"), ("no", "http 400", "ok", "ok", True)),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + created(), ("sent", "http 201", "ok", "ok", True)),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n" + created(), unknown("http 103")),
    (refused(429, 20429), ("not_now", "twilio 20429", "ok", "slow", True)),
    (reply(408, {}), unknown("http 408")),
    (reply(307, {}, headers="Location: http://evil.example/\r\n"), unknown("http 307")),
    (refused(500, 20500), unknown("twilio 20500")),
    (reply(503, text="<html>busy</html>"), unknown("http 503")),
    (reply(201, {"sid": SID}, promised=9000), unknown("no whole reply")),
    (reply(503, {}, promised=9000), unknown("no whole reply")),
    (refused(400, 21610)[:-20], ("no", "http 400", "ok", "ok", True)),
    (b"wibble\r\n\r\n", unknown("no whole reply")),
    (b"", unknown("no whole reply")),
    (CLOSE, unknown("no whole reply")),
    (RESET, unknown("no whole reply")),
]


@pytest.mark.parametrize(("answer", "expected"), TABLE)
def test_a_reply_is_judged_by_its_status_first(text_message, answer, expected):
    with ScriptedTwilio(answer) as server:
        outcome, asked = send(server, text_message)
        assert verdict(outcome) == expected
        assert asked == [[]]  # once, and before the server had seen a request
        assert len(server.requests) == 1
        assert not server.byte_before_fence
        assert outcome.provider_id is None or outcome.kind == "sent"


@pytest.mark.parametrize("answer", [STALL, DRIP])
def test_a_silent_or_a_dripping_server_is_unknown_at_the_deadline(text_message, answer):
    with ScriptedTwilio(answer) as server:
        outcome, _ = send(server, text_message, reply_seconds=0.1)
        assert verdict(outcome) == unknown("no whole reply")


def test_the_request_is_what_twilio_asks_for(text_message):
    with ScriptedTwilio(created()) as server:
        outcome, _ = send(server, text_message, validity=lambda _: 90_000)
        assert outcome == Outcome("sent", "http 201", provider_id=SID)
        line, headers, form = server.requests[0]
        assert line == f"POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"
        assert headers["authorization"].startswith("Basic ")
        assert headers["host"] == f"127.0.0.1:{server.port}"
        assert form == {
            "To": "+15005550101",
            "From": "+15005550006",
            "Body": "See you soon, Li",
            "ValidityPeriod": "36000",
        }


def test_a_message_says_where_its_fate_is_told(text_message):
    told = dataclasses.replace(text_message, status_url="https://corner.example/r/s/abc")
    with ScriptedTwilio(created()) as server:
        send(server, told)
        assert server.requests[0][2]["StatusCallback"] == "https://corner.example/r/s/abc"


@pytest.mark.parametrize(
    ("said", "segments"), [("3", 3), ("0", None), ("many", None), (None, None), (2, 2), ("", None)]
)
def test_as_how_many_it_is_billed_is_told_where_twilio_says_so(text_message, said, segments):
    with ScriptedTwilio(created(num_segments=said)) as server:
        assert send(server, text_message)[0] == Outcome("sent", "http 201", provider_id=SID, segments=segments)


def test_a_messaging_service_can_be_the_sender(text_message):
    with ScriptedTwilio(created()) as server:
        send(server, dataclasses.replace(text_message, sender="MG" + "1" * 32))
        assert server.requests[0][2]["MessagingServiceSid"] == "MG" + "1" * 32


def test_a_closed_fence_sends_no_byte(text_message):
    with ScriptedTwilio(created()) as server:
        outcome, asked = send(server, text_message, permitted=False)
        assert outcome == Outcome("not_now", "fence", counts_attempt=False)
        assert len(asked) == 1
    assert server.requests == []


def test_a_fence_that_breaks_sends_no_byte_and_raises(text_message):
    def handoff():
        raise ValueError("the database is gone")

    with ScriptedTwilio(created()) as server:
        carrier = connector(server)
        with pytest.raises(ValueError, match="the database is gone"):
            carrier.send(text_message, handoff)
    assert server.requests == []


def test_a_server_that_cannot_be_reached_was_given_nothing(text_message, nobody_listens):
    asked = []
    for base_url in (f"http://127.0.0.1:{nobody_listens}", "http://no-such-host.invalid"):
        carrier = TwilioConnector(ACCOUNT, "t0ken", "+15005550006", base_url, clock=lambda: NOW)
        assert carrier.send(text_message, lambda: not asked.append(1)) == Outcome(
            "not_now", "not reached", channel="failure"
        )
    assert asked == []


@pytest.mark.parametrize("bad", ["expired", "other"])
def test_a_failed_tls_handshake_is_before_the_fence(text_message, certificates, bad):
    with ScriptedTwilio(created(), context=certificates[bad]) as server:
        outcome, asked = send(server, text_message, scheme="https://localhost", context=certificates["trusting"])
        assert outcome == Outcome("not_now", "not reached", channel="failure")
        assert asked == []


def test_the_request_goes_out_under_tls(text_message, certificates):
    with ScriptedTwilio(created(), context=certificates["good"]) as server:
        outcome, _ = send(server, text_message, scheme="https://localhost", context=certificates["trusting"])
        assert outcome.kind == "sent"
        assert server.requests[0][1]["host"] == f"localhost:{server.port}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 30\r\n", 30),
        ("Retry-After: 0\r\n", 1),
        ("Retry-After: 999999\r\n", 3600),
        ("Retry-After: Mon, 04 May 2026 10:05:00 GMT\r\n", 300),
        ("Retry-After: Mon, 04 May 2020 10:05:00 GMT\r\n", 1),
        (f"Retry-After: {'9' * 5000}\r\n", 3600),
        (f"Retry-After: {'0' * 5000}7\r\n", 7),
        ("Retry-After: -5\r\n", None),
        ("Retry-After: Mon, 04 May 2026 10:05:00 +9999999999999\r\n", None),
        ("Retry-After: soon\r\n", None),
        ("", None),
    ],
)
def test_too_fast_waits_as_told_a_second_to_an_hour(text_message, header, seconds):
    with ScriptedTwilio(reply(429, {"code": 20429}, headers=header)) as server:
        outcome, _ = send(server, text_message)
        assert outcome.retry_at == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_neither_number_nor_text_nor_token_reaches_a_log(text_message, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for answer in (created(), refused(400, 21211), CLOSE):
        with ScriptedTwilio(answer) as server:
            outcome, _ = send(server, text_message)
            assert "15005550101" not in repr(outcome)
    said = caplog.text + "".join(capfd.readouterr())
    for secret in ("15005550101", "See you soon", "t0ken"):
        assert secret not in said


def test_the_environment_cannot_move_the_requests_elsewhere(text_message, monkeypatch):
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    with ScriptedTwilio(created()) as server:
        assert send(server, text_message)[0].kind == "sent"


def listed(*messages):
    return reply(200, {"messages": list(messages), "page": 0, "page_size": 50, "next_page_uri": None, "uri": "x"})


def one(sid=SID, body="See you soon, Li", *, direction="outbound-api", status="delivered", seconds=1, to=NUMBER):
    made = format_datetime(NOW + timedelta(seconds=seconds))
    return {"sid": sid, "body": body, "direction": direction, "status": status, "to": to, "date_created": made}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (listed(one()), {SID}),
        (listed(one(body="Sent from your Twilio trial account - See you soon, Li")), {SID}),
        (listed(one(body="Oh no: See you soon, Li")), set()),
        (listed(one(body="Other")), set()),
        (listed(one(body=None)), set()),
        (listed(one(sid="SMshort")), set()),
        (listed(one(direction="inbound")), set()),
        (listed(one(status="failed")), set()),
        (listed(one(to="+15005550199")), set()),
        (listed(one(seconds=-7200)), set()),
        (listed(one(seconds=7200)), set()),
        (listed(one(), one(sid="SM" + "b" * 32)), {SID, "SM" + "b" * 32}),
        (listed(*[one(sid=f"SM{number:032x}") for number in range(50)]), set()),
        (listed(), set()),
        (reply(500, {}), None),
        (reply(200, text="<html>"), None),
        (listed({**one(), "date_created": "soon"}), None),
        (CLOSE, None),
    ],
)
def test_a_look_up_gives_all_that_may_be_the_message(text_message, answer, found):
    with ScriptedTwilio(answer) as server:
        assert connector(server).find(text_message, NOW) == found
        assert server.requests[0][0].startswith(f"GET /2010-04-01/Accounts/{ACCOUNT}/Messages.json?")
