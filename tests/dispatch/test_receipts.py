"""Status callbacks: proved before anything is believed, in any order, each once, and never a step back."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select, update

from connectors.base import Outcome
from engine.database.tables import audit, channels, delivery_events, endpoints, rule_versions
from engine.dispatch.receipts import Receipt, take_status
from engine.dispatch.signed import Signed
from engine.dispatch.stages import send_due
from engine.language.rule import Step
from engine.language.secret import SecretError
from engine.vocabulary.messages import Alert

from .twilio import ENVIRON, OTHER_SID, SID, TWILIO_CONFIG, a_guest, callback, signed
from .world import NOW, Clock, Sink, a_desk, a_home

LOST = Outcome("unknown", "timeout")


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path, TWILIO_CONFIG, ENVIRON)


@pytest.fixture
def sent(cafe, home):
    """Send one SMS with that answer; gives the dispatch and the guest's number."""

    def send(answer=None):
        guest, number = a_guest(cafe, home)
        message = cafe.message(guest, "sms")
        send_due(a_desk(cafe, home, Clock(), sms=Sink([answer or Outcome("sent", "http 201", provider_id=SID)])))
        return message, number

    return send


def events(cafe):
    with cafe.db.begin() as conn:
        rows = conn.execute(select(delivery_events).order_by(delivery_events.c.id)).all()
    return [(row.dispatch_id, row.kind, row.code, row.source, row.key) for row in rows]


def why_blocked(cafe, message):
    number = cafe.row(message).endpoint_id
    with cafe.db.begin() as conn:
        return conn.scalar(select(endpoints.c.suppressed_why).where(endpoints.c.id == number))


def everything(cafe, message):
    """All that a callback could have changed."""
    with cafe.db.begin() as conn:
        trail = conn.scalar(select(func.count()).select_from(audit))
        rest = conn.execute(select(channels.c.failures, channels.c.open_until)).all()
    return tuple(cafe.row(message)), events(cafe), trail, rest, why_blocked(cafe, message)


def test_what_arrived_is_an_event_beside_the_state(cafe, home, sent):
    message, number = sent()
    before = cafe.row(message)
    assert take_status(cafe.db, home, callback(home, message, to=number), NOW) == Receipt(
        dispatch_id=message, status="delivered", kind="delivered", new=True
    )
    assert events(cafe) == [(message, "delivered", None, "twilio", f"{SID} delivered")]
    assert cafe.row(message) == before


def test_each_event_counts_once_in_any_order(cafe, home, sent):
    told = [("queued", None), ("sent", None), ("undelivered", 30003), ("delivered", None)]
    for order in permutations(told):
        message, number = sent(LOST)
        sid = f"SM{message:032x}"
        for status, code in [*order, *reversed(order)]:
            request = callback(home, message, status, sid=sid, code=code, to=number)
            assert take_status(cafe.db, home, request, NOW).refused is None
        row = cafe.row(message)
        assert (row.state, row.provider_id) == ("sent", sid)
        mine = {(kind, code) for number, kind, code, _, _ in events(cafe) if number == message}
        assert mine == {("delivered", None), ("undelivered", "30003")}
    assert len(events(cafe)) == 2 * 24


@pytest.mark.parametrize("status", ["accepted", "delivered", "failed"])
def test_a_lost_answer_is_found_again(cafe, home, sent, status):
    message, number = sent(LOST)
    assert cafe.state(message) == "uncertain"
    receipt = take_status(cafe.db, home, callback(home, message, status, to=number), NOW + timedelta(hours=1))
    assert receipt.settled
    row = cafe.row(message)
    assert (row.state, row.reason, row.provider_id, row.finished_at) == ("sent", None, SID, NOW + timedelta(hours=1))
    with cafe.db.begin() as conn:
        last = conn.execute(select(audit).order_by(audit.c.id.desc()).limit(1)).one()
    assert (last.who, last.before, last.after) == ("reconciler", "uncertain", "sent")


def test_a_callback_may_be_faster_than_the_answer(cafe, home):
    guest, number = a_guest(cafe, home)
    message = cafe.message(guest, "sms")

    class Quick(Sink):
        def send(self, told, handoff):
            outcome = super().send(told, handoff)
            assert take_status(cafe.db, home, callback(home, message, "queued", to=number), NOW).settled
            return outcome

    for answer in (Outcome("sent", "http 201", provider_id=SID, segments=1), LOST):
        send_due(a_desk(cafe, home, Clock(), sms=Quick([answer])))
    assert cafe.outcome(message) == "sent"
    assert cafe.row(message).provider_id == SID


@pytest.mark.parametrize(("once_per", "settled"), [("run", 3), ("store", 3), ("guest", 1)])
def test_an_alert_that_names_several_guests_is_settled_for_all(cafe, tmp_path, once_per, settled):
    config = TWILIO_CONFIG.replace("email: manager@corner.example", 'phone: "+13125550199"')
    home = a_home(tmp_path, config, ENVIRON)
    rule = cafe.rule(Step(1, "alert", Alert("win-back", once_per=once_per)), purpose="service")
    body = {
        "id": "x",
        "trigger": {"low_rating": {}},
        "actions": [{"alert": {"template": "win-back", "once_per": once_per}}],
    }
    with cafe.db.begin() as conn:
        conn.execute(update(rule_versions).values(body=body))
    run, texts = cafe.run(), cafe.content("told", **{"sms.txt": "Somebody rated badly"})
    made = [cafe.message(None, "alert", rule=rule, run_id=run, content_id=texts) for _ in range(3)]
    send_due(a_desk(cafe, home, Clock(), sms=Sink([LOST] * 3)))
    assert {(cafe.outcome(each), cafe.row(each).carrier) for each in made} == {("uncertain: no_answer", "sms")}
    assert take_status(cafe.db, home, callback(home, made[0]), NOW).settled
    assert [cafe.row(each).provider_id for each in made].count(SID) == settled
    assert [cafe.state(each) for each in made].count("sent") == settled


def test_what_staff_noted_as_sent_gets_its_id(cafe, home, sent):
    message, number = sent(LOST)
    cafe.set(message, state="sent")
    take_status(cafe.db, home, callback(home, message, to=number), NOW)
    assert cafe.row(message).provider_id == SID


def test_no_other_state_is_moved(cafe, home, sent):
    message, number = sent(LOST)
    for state in ("held", "pending", "claimed", "blocked", "rejected", "expired", "cancelled", "dead"):
        cafe.set(message, state=state)
        receipt = take_status(cafe.db, home, callback(home, message, to=number), NOW)
        assert (receipt.refused, receipt.settled, cafe.state(message)) == (None, False, state)


def test_a_code_says_what_becomes_of_the_number(cafe, home, sent):
    ends = {
        30003: None, 30005: "unusable", 30006: "unusable", 30008: None, 21610: "unsubscribed", 21614: "unusable",
        None: None, 30007: None, 30034: None,
    }  # fmt: skip
    for number, (code, why) in enumerate(ends.items()):
        sid = f"SM{number:032x}"
        message, to = sent(Outcome("sent", "http 201", provider_id=sid))
        take_status(cafe.db, home, callback(home, message, "undelivered", sid=sid, code=code, to=to), NOW)
        assert (why_blocked(cafe, message), cafe.state(message)) == (why, "sent" if code != 30034 else "pending")


@pytest.mark.parametrize("code", [30007, 30034])
def test_texts_that_are_held_back_open_the_breaker_and_ring(cafe, home, sent, code):
    message, number = sent()
    for _ in range(2):  # told twice is told once
        take_status(cafe.db, home, callback(home, message, "undelivered", code=code, to=number), NOW)
    with cafe.db.begin() as conn:
        rests = conn.execute(select(channels)).one()
        alarms = conn.execute(select(audit).where(audit.c.action == "alarm")).all()
    assert (rests.channel, rests.failures, rests.open_until) == ("sms", 5, NOW + timedelta(minutes=5))
    assert [(row.dispatch_id, row.after) for row in alarms] == [(message, f"filtered {code}")]
    later = cafe.message(channel="sms")
    send_due(a_desk(cafe, home, Clock()))
    assert cafe.state(later) == "pending"


def test_a_number_that_is_gone_gets_nothing_more(cafe, home, sent):
    message, number = sent()
    take_status(cafe.db, home, callback(home, message, "undelivered", code=30005, to=number), NOW)
    again = cafe.message(channel="sms", endpoint_id=cafe.row(message).endpoint_id)
    send_due(a_desk(cafe, home, Clock()))
    assert cafe.outcome(again) == "blocked: suppressed"


def forged(home, message, number):
    """Every way in which a callback is not one: (what, request, why)."""
    good = callback(home, message, to=number)
    yield "another key", callback(home, message, to=number, key="other"), "signature"
    yield "no signature", dataclasses.replace(good, signature=""), "signature"
    yield "letters of no alphabet", dataclasses.replace(good, signature="é" * 28), "signature"
    yield "a field changed", dataclasses.replace(good, body=good.body.replace("delivered", "failed")), "signature"
    yield "a field more", dataclasses.replace(good, body=f"{good.body}&ErrorCode=30005"), "signature"
    yield "a field twice", dataclasses.replace(good, body=f"MessageStatus=failed&{good.body}"), "signature"
    yield "another host", callback(home, message, to=number, base="https://evil.example/r"), "signature"
    yield "another query", dataclasses.replace(good, url=f"{good.url}?a=b"), "signature"
    yield "too long", dataclasses.replace(good, body="a" * 70_000), "signature"
    yield "too many fields", dataclasses.replace(good, body="a=b&" * 300), "signature"
    yield "no form", dataclasses.replace(good, body="\x00\xff{}"), "signature"
    yield "no URL", dataclasses.replace(good, url="http://[::1"), "token"
    yield "another page", dataclasses.replace(good, url="https://corner.example/r/u/abc"), "token"
    base = "https://corner.example/r/s/"
    yield "another token", signed(f"{base}AAAAAAAAAAAAAAA", {"MessageSid": SID, "MessageStatus": "sent"}), "token"
    yield "a token of a link", signed(f"{base}é", {"MessageSid": SID, "MessageStatus": "sent"}), "token"
    yield "no such dispatch", callback(home, 9_999_999), "token"
    yield "no sid", callback(home, message, sid="SM1"), "malformed"
    yield "no status", callback(home, message, "<b>"), "malformed"
    yield "no code", callback(home, message, "failed", code="30005x"), "malformed"
    yield "another account", callback(home, message, form={"AccountSid": "AC" + "0" * 32}), "account"
    yield "another message's sid", callback(home, message, sid=OTHER_SID, to=number), "sid"


def test_what_is_not_twilios_or_not_about_the_message_changes_nothing(cafe, home, sent):
    message, number = sent()
    before = everything(cafe, message)
    for what, request, why in forged(home, message, number):
        assert take_status(cafe.db, home, request, NOW) == Receipt(why), what
        assert everything(cafe, message) == before, what


def test_an_uncertain_one_takes_no_id_of_another_and_none_for_another_number(cafe, home, sent):
    sent()
    message, _ = sent(LOST)
    assert take_status(cafe.db, home, callback(home, message), NOW).refused == "sid"
    for to in ("+13125559999", "whatsapp:+13125550001", "x"):
        request = callback(home, message, sid=OTHER_SID, to=to)
        assert take_status(cafe.db, home, request, NOW).refused == "number"
    assert cafe.state(message) == "uncertain"


def test_a_token_of_an_email_or_a_coupon_is_none(cafe, home):
    for channel in ("email", "webhook"):
        message = cafe.message(channel=channel)
        assert take_status(cafe.db, home, callback(home, message), NOW) == Receipt("token")


@pytest.mark.parametrize(
    "base", ["https://corner.example:443/r", "https://corner.example:8443/r", "http://corner.example:80/r"]
)
def test_ports_and_queries_are_as_twilio_signs_them(cafe, tmp_path, base):
    """Twilio signs with the port or without it, as it likes; its own validator knows both."""
    home = a_home(tmp_path, TWILIO_CONFIG.replace("https://corner.example/r", base), ENVIRON)
    guest, number = a_guest(cafe, home)
    message = cafe.message(guest, "sms")
    without = base.replace(":443", "").replace(":8443", "").replace(":80", "")
    for written in (base, without):
        for seen in (None, "http://10.0.0.7:5000/r/s/"):
            own = callback(home, message, to=number, base=written)
            request = own if seen is None else dataclasses.replace(own, url=seen + own.url.rpartition("/")[2])
            assert take_status(cafe.db, home, request, NOW).refused is None
    query = callback(home, message, to=number)
    url = f"{base}/s/{query.url.rpartition('/')[2]}?x=1&y=a%20b"
    form = {"MessageSid": SID, "MessageStatus": "sent"}
    assert take_status(cafe.db, home, signed(url, form), NOW).refused is None


def test_without_a_public_address_or_an_account_nothing_can_be_proved(cafe, tmp_path, home, sent):
    message, _ = sent()
    request = callback(home, message)
    for text in (
        TWILIO_CONFIG.replace("base_url: https://corner.example/r", "base_url:"),
        TWILIO_CONFIG.partition("\nsms:")[0],
    ):
        assert take_status(cafe.db, a_home(tmp_path, text, ENVIRON), request, NOW) == Receipt("not_set_up")


def test_an_account_whose_token_is_not_there_is_the_owners_matter(cafe, tmp_path, home):
    bare = a_home(tmp_path, TWILIO_CONFIG, {"ACCOUNT": "AC"})
    with pytest.raises(SecretError, match="TOKEN"):
        take_status(cafe.db, bare, callback(home, 1), NOW)


def test_a_request_shows_nothing_of_itself():
    assert repr(Signed("https://corner.example/s/x", "abc", "To=+13125550101")) == "Signed()"
