"""The law at the moment of sending: legal hours, implied consent that has ended, and texts that must stand there."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, update

from engine.database.consent import record_consent
from engine.database.facts import rebuild
from engine.database.tables import consents, endpoints
from engine.dispatch.claims import claim
from engine.dispatch.fence import pass_fence
from engine.dispatch.journeys import Journeys, policy_of
from engine.dispatch.stages import send_due
from engine.vocabulary.home import load_home

from .world import CHICAGO, CONFIG, NOW, Clock, Sink, a_desk, a_home

SUNDAY = datetime(2026, 5, 3, 13, 0, tzinfo=CHICAGO).astimezone(UTC)
LONG_AGO = NOW - timedelta(days=900)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path, CONFIG.replace("country: US", "country: GB"))


def lawful(cafe, home):
    """The world's policy, with the law of a home."""
    policy = policy_of(home, Journeys(home))
    return replace(cafe.policy, law=policy.law, implied=policy.implied)


def guest_of(cafe, country):
    guest = cafe.guest()
    with cafe.db.begin() as conn:
        conn.execute(update(endpoints).where(endpoints.c.id == guest.sms_id).values(country=country))
        rebuild(conn, NOW)
    return guest


def only_implied(cafe, endpoint_id, at):
    with cafe.db.begin() as conn:
        conn.execute(delete(consents).where(consents.c.endpoint_id == endpoint_id))
        record_consent(conn, endpoint_id, "yes", at=at, source="till", basis="implied")


def at_the_fence(cafe, home, now):
    with cafe.db.begin() as conn:
        held = claim(conn, now=now, holder="here:1:a", usable=["email", "sms"], limit=10)
    for each in held:
        with cafe.db.begin() as conn:
            pass_fence(conn, [each], lawful(cafe, home), now, content_hash=b"h" * 32)


def test_implied_consent_is_asked_again_in_the_moment_of_sending(cafe, home):
    outcomes = {}
    for name, country, agreed in (
        ("ended", "CA", LONG_AGO),
        ("holds", "CA", NOW - timedelta(days=30)),
        ("british", "GB", LONG_AGO),
        ("chinese", "CN", NOW - timedelta(days=30)),
    ):
        guest = guest_of(cafe, country)
        only_implied(cafe, guest.email_id, agreed)
        outcomes[name] = cafe.message(guest)
    at_the_fence(cafe, home, NOW)
    assert {name: cafe.outcome(message) for name, message in outcomes.items()} == {
        "ended": "blocked: consent_ended",
        "holds": "handoff",
        "british": "handoff",
        "chinese": "blocked: no_consent",
    }


def test_an_sms_waits_for_the_legal_hours_of_the_guests_country(cafe, home):
    french, british = (
        cafe.message(guest_of(cafe, country), "sms", due_at=SUNDAY - timedelta(hours=1)) for country in ("FR", "GB")
    )
    at_the_fence(cafe, home, SUNDAY)
    assert cafe.outcome(british) == "handoff"
    row = cafe.row(french)
    assert (row.state, row.reason, row.due_at) == ("pending", "hours", NOW)


def test_without_the_number_for_refusals_nothing_goes_to_korean_phones(cafe, home):
    guest = guest_of(cafe, "KR")
    sms, mail = cafe.message(guest, "sms"), cafe.message(guest)
    at_the_fence(cafe, home, NOW)
    assert (cafe.outcome(sms), cafe.outcome(mail)) == ("blocked: no_refusal_number", "handoff")


def sent(cafe, home, country, channel, **files):
    sink, guest = Sink(), guest_of(cafe, country)
    cafe.message(guest, channel, **({"content_id": cafe.content(**files)} if files else {}))
    desk = replace(a_desk(cafe, home, Clock(), **{channel: sink}), policy=lawful(cafe, home))
    send_due(desk)
    (message,) = sink.accepted
    return message


def test_what_the_law_wants_stands_in_the_message(cafe, home):
    assert sent(cafe, home, "CN", "sms").body == "【Corner Café】Hello 拒收请回复R"
    assert sent(cafe, home, "CA", "sms").body == "Corner Café: Hello Reply STOP to unsubscribe"
    assert sent(cafe, home, None, "sms").body == "Corner Café: Hello Reply STOP to opt out"
    own = "Corner Café: hello! STOP ends it"
    assert sent(cafe, home, "GB", "sms", **{"sms.txt": own}).body == own
    subject = email.message_from_bytes(sent(cafe, home, "KR", "email").body, policy=email.policy.default)["Subject"]
    assert subject == "(광고) We miss you"
    (home.root / "config" / "compliance").mkdir()
    korean = home.root / "config" / "compliance" / "kr.yaml"
    korean.write_text(
        "country: KR\nas_of: 2026-11-22\ntexts:\n  sms:\n    begin: (광고)\n    end: 무료수신거부 {refusal_number}\n"
        "    source: Network Act\n    sure: high\nown:\n  refusal_number: 080-1\n",
        encoding="utf-8",
    )
    assert sent(cafe, load_home(home.root, {}), "KR", "sms").body == "(광고) Hello 무료수신거부 080-1"


def test_a_service_message_is_left_as_it_is(cafe, home):
    guest, sink = guest_of(cafe, "CN"), Sink()
    cafe.message(guest, "sms", rule=cafe.rule(purpose="service"))
    send_due(replace(a_desk(cafe, home, Clock(), sms=sink), policy=lawful(cafe, home)))
    assert [each.body for each in sink.accepted] == ["Hello"]
