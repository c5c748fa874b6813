"""What we ask of Twilio, held against its own OpenAPI document: every field known, every value of its kind.

By jsonschema and a few lines, not by a mock server: the document is OpenAPI 3.0 without anything unusual for these two
calls, and a mock lets unknown fields of a form pass (``Bdy``), which is the slip that would send an empty text.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from jsonschema import Draft4Validator, FormatChecker
from scripted_http import ScriptedServer

from connectors.sms_twilio import TwilioConnector

ROOT = Path(__file__).parents[2]
PLACES = (
    Path(os.environ.get("REGULARS_TWILIO_OPENAPI", "")),
    *(each / "shared/data/twilio/twilio_api_v2010.json" for each in ROOT.parents),
)
PATH = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
ACCOUNT, SERVICE = "AC" + "f" * 32, "MG" + "0123456789abcdef" * 2
FORMATS = FormatChecker(formats=())


@FORMATS.checks("phone-number")
def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\+[1-9][0-9]{6,14}", value) is not None


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    """An absolute address; of a callback Twilio wants a real host, without underscores."""
    parts = urlsplit(str(value))
    return parts.scheme in {"http", "https"} and "." in parts.netloc and "_" not in parts.netloc


@pytest.fixture(scope="module")
def document():
    file = next((each for each in PLACES if each.is_file()), None)
    if file is None:
        pytest.skip("Twilio's OpenAPI document is not at hand: name it in REGULARS_TWILIO_OPENAPI")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def calls(document):
    return document["paths"][PATH]


class Kept(ScriptedServer):
    @staticmethod
    def read(body):
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True) if body else []


def asked(message, *, sender="+15005550006", validity=None, find=False):
    """Give the request line, the headers and the form of what our connector asks."""
    with Kept(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n") as server:
        server.fence_open.set()
        base = f"http://127.0.0.1:{server.port}"
        own = TwilioConnector(
            ACCOUNT, "t0ken", sender, base, clock=lambda: datetime(2026, 5, 4, tzinfo=UTC), validity=lambda _: validity
        )
        if find:
            own.find(message, datetime(2026, 5, 4, tzinfo=UTC))
        else:
            own.send(message, lambda: True)
        return server.requests[0]


def problems(schema, fields):
    """Hold the texts of a form or a query against a schema; each is read as the kind that the document names."""
    read = {}
    for name, text in fields:
        if name in read:
            yield f"{name} comes twice"
        kind = schema["properties"].get(name, {}).get("type")
        whole = kind == "integer" and re.fullmatch("-?[0-9]+", text)
        read[name] = int(text) if whole else text == "true" if kind == "boolean" and text in {"true", "false"} else text
    validator = Draft4Validator({**schema, "additionalProperties": False}, format_checker=FORMATS)
    yield from (f"{list(each.path)}: {each.message}" for each in validator.iter_errors(read))


def form_problems(document, calls, fields):
    schema = calls["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    return list(problems({**schema, "components": document["components"]}, fields))


def path_problems(calls, line):
    """Hold a request line against the document's path and the patterns of what stands in it."""
    method, target, _ = line.split(" ")
    call = calls[method.lower()]
    account = next(each["schema"] for each in call["parameters"] if each["in"] == "path")
    place = re.fullmatch(re.escape(PATH).replace(re.escape("{AccountSid}"), "([^/]*)"), urlsplit(target).path)
    if place is None or not re.fullmatch(account["pattern"], place[1]):
        return [line]
    known = {each["name"]: each["schema"] for each in call["parameters"] if each["in"] == "query"}
    query = parse_qsl(urlsplit(target).query, keep_blank_values=True)
    return list(problems({"type": "object", "properties": known}, query))


MESSAGES = {
    "a number": {},
    "a service": {"sender": SERVICE},
    "until the night": {"validity": 3_000},
    "for ever": {"validity": 10**9},
    "not a second": {"validity": 0},
}


@pytest.mark.parametrize("how", MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("text", ["Hello", "你好 🎉 ä€", "a=b&To=+1%20+ \n;", "x" * 1600])
def test_what_is_posted_is_what_twilios_document_asks_for(document, calls, text_message, how, text):
    message = replace(text_message, sender="", body=text, status_url="https://corner.example/r/s/AbCdEf_-0123456789")
    line, headers, form = asked(message, **how)
    assert line.startswith("POST ")
    assert path_problems(calls, line) == []
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["authorization"].startswith("Basic ")
    assert form_problems(document, calls, form) == []
    given = dict(form)
    assert (given["To"], given["Body"]) == (text_message.recipient, text)
    assert ("From" in given) != ("MessagingServiceSid" in given)
    assert 1 <= int(given.get("ValidityPeriod", "1")) <= 36_000


def test_the_look_up_asks_what_the_document_knows(calls, text_message):
    line, _, form = asked(text_message, find=True)
    assert line.startswith("GET ")
    assert form == []
    assert path_problems(calls, line) == []


def test_this_check_finds_what_a_mock_server_lets_pass(document, calls):
    good = {"To": "+15005550101", "From": "+15005550006", "Body": "x"}
    bad = {
        "unknown": {**good, "Bdy": "x"},
        "no number": {key: value for key, value in good.items() if key != "To"},
        "a number in words": {**good, "To": "Li"},
        "a service that is none": {**good, "MessagingServiceSid": "MG1"},
        "no period": {**good, "ValidityPeriod": "soon"},
        "no address": {**good, "StatusCallback": "corner.example/s"},
        "no host": {**good, "StatusCallback": "https://localhost/s"},
        "another kind": {**good, "ContentRetention": "for ever"},
    }
    assert form_problems(document, calls, good.items()) == []
    for what, fields in bad.items():
        assert form_problems(document, calls, fields.items()) != [], what
    assert form_problems(document, calls, [*good.items(), ("Body", "y")]) == ["Body comes twice"]
    assert path_problems(calls, "POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1") != []
    assert path_problems(calls, f"GET /2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=x&Too=1 HTTP/1.1") != []
