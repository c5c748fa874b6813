"""Every answer that stops a channel is explained, with its cure; and why a channel rests."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update

import connectors
from connectors.sms_twilio import TABLE as TWILIO
from connectors.smtp_replies import TABLE
from engine.console.answers import meaning
from engine.console.brakes import closed
from engine.database.tables import channels, dispatches

from .conftest import AT, NOW, Regulars

PLAIN = "put it right"
CHICAGO = ZoneInfo("America/Chicago")


def codes(pattern):
    return [code for code in map(str, range(200, 600)) if re.fullmatch(pattern, code)]


def test_every_answer_of_a_mail_server_that_stops_the_channel_has_a_cure():
    stops = [code for row in TABLE if row.channel == "stop" for code in codes(row.codes)]
    assert {"535", "530", "534", "454"} <= set(stops)
    for code in stops:
        for shown in (code, f"{code} 5.7.8"):
            assert meaning("email", shown) != PLAIN


SOURCES = "".join(Path(connectors.__path__[0], f"{name}.py").read_text() for name in ("smtp", "smtp_session"))


@pytest.mark.parametrize("what", re.findall(r'UnsafeError\("([^"]+)"\)', SOURCES))
def test_every_danger_that_stops_email_has_a_cure(what):
    assert meaning("email", what) != PLAIN


@pytest.mark.parametrize(
    ("channel", "why", "says"),
    [
        ("email", "535 5.7.8", "refused the user or the password"),
        ("email", "534", "app password"),
        ("email", "530 5.7.0", "wants a sign-in"),
        ("email", "454", "try again in an hour"),
        ("email", "no STARTTLS", "nothing goes out in the clear"),
        ("email", "bad certificate", "has expired, is of another name"),
        ("email", "559", "refused the sign-in"),
        ("sms", "http 401", "check account_sid and auth_token"),
        ("sms", "http 403", "check account_sid and auth_token"),
        ("sms", "twilio 20003", "check account_sid and auth_token"),
        ("sms", "refused: twilio 30034", "A2P 10DLC"),
        ("sms", "refused: twilio 12345", "Twilio's page on the code says why"),
        ("sms", "something", PLAIN),
        ("webhook:crm", "http 401", "its secret and that in config/regulars.yaml must be equal"),
        ("webhook:crm", "something", PLAIN),
    ],
)
def test_an_answer_is_said_in_words(channel, why, says):
    assert says in meaning(channel, why)


def test_every_refusal_of_the_account_at_twilio_has_a_cure():
    stops = [row for row in TWILIO if row.channel == "stop"]
    assert {code for row in stops for code in row.codes or ()} == {20003}
    for shown in ("http 401", "http 403", "twilio 20003"):
        assert meaning("sms", shown) != PLAIN


def test_a_channel_that_rests_says_after_which_answer(at_home: Regulars, database):
    at_home("run", "--as-of", AT)
    with database.begin() as conn:
        conn.execute(insert(channels).values(channel="email", failures=5, open_until=NOW.replace(hour=16)))
        of_email = update(dispatches).where(dispatches.c.channel == "email")
        conn.execute(of_email.values(state="rejected", reason="sender_refused", provider_reply="550 5.7.1"))
    with database.connect() as conn:
        ((where, said, must_act),) = closed(conn, CHICAGO, NOW)
    assert (where, must_act) == ("email", True)
    begins = "rests until 2026-05-04 11:00 after 5 failures in a row; the last answer was 550 5.7.1: the server refuses"
    assert said.startswith(begins)
    assert "SPF, DKIM or DMARC" in said
