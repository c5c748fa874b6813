"""What guests write back: the words that stop and start, whoever they are, told twice or out of order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from connectors.base import Outcome
from engine.database.consent import record_consent, suppress
from engine.database.tables import consents, customers, endpoints
from engine.dispatch.inbound import Inbound, Text, meant, take_sms, take_text
from engine.dispatch.receipts import take_status
from engine.dispatch.signed import Signed
from engine.dispatch.stages import send_due
from engine.intake.importer import import_file
from engine.language.keys import endpoint_hash

from .twilio import ENVIRON, OTHER_SID, SID, TWILIO_CONFIG, a_guest, callback, signed, texted
from .world import NOW, Clock, Sink, a_desk, a_home

STRANGER = "+13125557777"
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path, TWILIO_CONFIG, ENVIRON)


@pytest.fixture
def says(cafe, home):
    def say(number, text, sid="", at=NOW):
        return take_text(cafe.db, home, Text(number, text, sid), at).what

    return say


def words(cafe, endpoint_id):
    with cafe.db.begin() as conn:
        rows = conn.execute(
            select(consents).where(consents.c.endpoint_id == endpoint_id).order_by(consents.c.at, consents.c.id)
        )
        return [(row.state, row.topic, row.source, row.evidence) for row in rows]


def goes_out(cafe, home, guest, at=NOW, **values):
    message = cafe.message(guest, "sms", **values)
    send_due(a_desk(cafe, home, Clock(at)))
    return cafe.outcome(message)


MEANT = {
    "stop": """STOP stop Stop! "stop" stop. stop-all StopAll UNSUBSCRIBE CANCEL END QUIT REVOKE OPTOUT opt-out 退订 td ＳＴＯＰ ST\u200bOP""",
    "start": "START Yes unstop Start!",
    "help": "HELP info",
    "other": "Hello nonstop R ARRET don't 退 no SSTOP",
}


def test_the_words(home):
    law = home.config.law
    for meaning, texts in MEANT.items():
        for text in texts.split():
            assert meant(text.replace("\u200b", ""), law, "US") == meaning, text
    for text in ("Stop all", "please STOP", "Stop, stop, stop!", " STOP\n", "opt out", "Stop, thank you"):
        assert meant(text, law, "US") == "stop", text
    for text in ("退訂", "回复TD", "退订回T", "Stop.\nSent from my iPhone", "unsubscribe me", "Please unsubscribe me!"):
        assert meant(text, law, "US") == "stop", text
    for text in (
        "STOP" + " " * 300 + "by at five",
        "STOP\nSent from my kitchen: glass in the cake, please call me",
        "2 stop",
    ):
        assert meant(text, law, "US") == "other", text
    for text in ("", " ", "!!!", "Stop by at five?", "Cancel my table for Friday", "Yes I said stop", "x" * 5_000):
        assert meant(text, law, "US") == "other", text


@pytest.mark.parametrize(
    ("country", "word"),
    [("CN", "R"), ("CN", "T"), ("CN", "拒收"), ("CA", "ARRÊT"), ("CA", "arret"), ("DE", "Abmelden"), ("JP", "配信停止"), ("KR", "수신거부")],
)  # fmt: skip
def test_a_countrys_own_words_hold_for_its_numbers(home, country, word):
    assert meant(word, home.config.law, country) == "stop"
    assert meant(word, home.config.law, "FR") == "other"


def test_stop_ends_advertising_and_start_takes_that_back(cafe, home, says):
    guest, number = a_guest(cafe, home)
    assert says(number, "Stop.", SID) == "stopped"
    assert words(cafe, guest.sms_id)[1:] == [("no", None, "sms", f"STOP {SID}")]
    assert goes_out(cafe, home, guest) == "blocked: no_consent"
    assert [says(number, "START", OTHER_SID, LATER), says(number, "START", OTHER_SID, LATER)] == [
        "started",
        "not_stopped",
    ]
    assert words(cafe, guest.sms_id)[2:] == [("yes", None, "sms", f"START {OTHER_SID}")]
    assert goes_out(cafe, home, guest, LATER) == "sent"


def test_a_word_that_is_told_twice_counts_once_even_late(cafe, home, says):
    guest, number = a_guest(cafe, home)
    told = [
        says(number, "STOP", SID),
        says(number, "STOP", SID),
        says(number, "STOP", OTHER_SID),
        says(number, "YES", "SM" + "c" * 32, LATER),
        says(number, "STOP", SID, LATER),
        says(number, "STOP", "SM" + "d" * 32, LATER),
        says(number, "YES", "SM" + "c" * 32, LATER),
    ]
    assert told == [
        "stopped",
        "stopped_before",
        "stopped_before",
        "started",
        "stopped_before",
        "stopped",
        "not_stopped",
    ]
    assert [state for state, *_ in words(cafe, guest.sms_id)] == ["yes", "no", "yes", "no"]


def test_start_gives_back_what_held_before_and_nothing_more(cafe, home, says):
    guest, number = a_guest(cafe, home)
    stranger, other = a_guest(cafe, home, sms_id=cafe.endpoint("sms", "+13125558888", consent=False))
    with cafe.db.begin() as conn:
        record_consent(conn, guest.sms_id, "no", at=NOW - timedelta(days=3), source="form", topic="offers")
        record_consent(conn, stranger.sms_id, "yes", at=NOW - timedelta(days=3), source="form", topic="news")
    assert [says(number, "STOP"), says(number, "START")] == ["stopped", "started"]
    assert words(cafe, guest.sms_id)[-2:] == [("yes", None, "sms", "START"), ("no", "offers", "sms", "START")]
    assert [says(other, "STOP"), says(other, "START")] == ["stopped", "started"]
    assert words(cafe, stranger.sms_id)[-1] == ("yes", "news", "sms", "START")
    never, silent = a_guest(cafe, home, sms_id=cafe.endpoint("sms", "+13125558889", consent=False))
    assert [says(silent, "START"), says(silent, "STOP"), says(silent, "START")] == [
        "not_stopped",
        "stopped",
        "never_agreed",
    ]
    assert words(cafe, never.sms_id) == [("no", None, "sms", "STOP")]


def test_start_does_not_undo_what_was_said_elsewhere(cafe, home, says):
    guest, number = a_guest(cafe, home)
    says(number, "STOP")
    cafe.opt_out(guest.sms_id)
    assert says(number, "START", at=LATER) == "not_stopped"
    blocked, other = a_guest(cafe, home)
    with cafe.db.begin() as conn:
        suppress(conn, blocked.sms_id, "unusable", at=NOW)
    assert [says(other, "STOP"), says(other, "START")] == ["stopped", "started"]
    assert goes_out(cafe, home, blocked) == "blocked: suppressed"


def test_a_consent_of_a_day_to_come_does_not_outlive_a_stop(cafe, home, says):
    guest, number = a_guest(cafe, home)
    with cafe.db.begin() as conn:
        record_consent(conn, guest.sms_id, "yes", at=LATER, source="form")
    assert says(number, "STOP") == "stopped"
    assert goes_out(cafe, home, guest, LATER) == "blocked: no_consent"


@pytest.mark.parametrize("how", ["at once", "later"])
def test_start_lifts_the_block_of_twilios_own_refusal(cafe, home, says, how):
    guest, number = a_guest(cafe, home)
    if how == "at once":
        message = cafe.message(guest, "sms")
        send_due(a_desk(cafe, home, Clock(), sms=Sink([Outcome("no", "twilio 21610", endpoint="opted_out")])))
        assert cafe.outcome(message) == "blocked: opted_out"
    else:
        message = cafe.message(guest, "sms")
        send_due(a_desk(cafe, home, Clock(), sms=Sink([Outcome("sent", "http 201", provider_id=SID)])))
        take_status(cafe.db, home, callback(home, message, "failed", code=21610, to=number), NOW)
        cafe.caps.marketing_per_day = 5
    assert goes_out(cafe, home, guest) == "blocked: suppressed"
    assert says(number, "START") == "started"
    assert goes_out(cafe, home, guest) == "sent"


def test_a_number_that_nobody_has_is_a_hash_and_holds_when_a_guest_comes_with_it(cafe, home, says, tmp_path):
    assert take_text(cafe.db, home, Text(STRANGER, "STOP"), NOW) == Inbound("stopped", unknown=True)
    with cafe.db.begin() as conn:
        row = conn.execute(select(endpoints)).one()
        assert (row.address, row.country, row.suppressed_at) == (None, "US", None)
        assert row.hash == endpoint_hash(home.key, "sms", STRANGER)
    file = tmp_path / "customers.csv"
    file.write_text(f"customer_id,name,phone,sms_consent\nc1,Li,{STRANGER},yes\nc2,Bo,+13125557778,yes\n")
    assert not import_file(cafe.db, home.config, home.key, file, now=LATER).problem
    with cafe.db.begin() as conn:
        guest = conn.execute(select(customers).where(customers.c.external_id == "c1")).one()
        known = conn.execute(select(endpoints).where(endpoints.c.id == guest.sms_id)).one()
        assert (known.id, known.address) == (row.id, STRANGER)
    assert words(cafe, row.id) == [("no", None, "sms", "STOP")]
    assert goes_out(cafe, home, guest, LATER) == "blocked: no_consent"
    service = cafe.rule(purpose="service")
    assert goes_out(cafe, home, guest, LATER, rule=service) == "sent"


def test_a_stranger_who_asks_to_start_leaves_no_trace(cafe, home, says):
    for text in ("START", "HELP", "Hello"):
        says(STRANGER, text)
    with cafe.db.begin() as conn:
        assert conn.scalar(select(func.count()).select_from(endpoints)) == 0


def test_an_erased_guest_stays_a_hash(cafe, home, says):
    guest, number = a_guest(cafe, home)
    with cafe.db.begin() as conn:
        conn.execute(update(customers).where(customers.c.id == guest.id).values(sms_id=None, erased_at=NOW))
        gone = {"address": None, "suppressed_at": NOW, "suppressed_why": "erased"}
        conn.execute(update(endpoints).where(endpoints.c.id == guest.sms_id).values(**gone))
        conn.execute(delete(consents).where(consents.c.endpoint_id == guest.sms_id))
    assert [says(number, "STOP", SID), says(number, "STOP", SID)] == ["stopped", "stopped_before"]
    assert words(cafe, guest.sms_id) == [("no", None, "sms", None)]
    with cafe.db.begin() as conn:
        record_consent(conn, guest.sms_id, "yes", at=NOW - timedelta(days=3), source="form")
    assert says(number, "START") == "erased"
    assert words(cafe, guest.sms_id)[-1] == ("no", None, "sms", None)
    with cafe.db.begin() as conn:
        row = conn.execute(select(endpoints).where(endpoints.c.id == guest.sms_id)).one()
    assert (row.address, row.suppressed_why) == (None, "erased")


def test_who_shares_a_number_is_not_guessed(cafe, home, says):
    one, number = a_guest(cafe, home)
    a_guest(cafe, home, sms_id=one.sms_id)
    says(number, "STOP")
    other, alone = a_guest(cafe, home)
    says(alone, "STOP")
    with cafe.db.begin() as conn:
        said = select(consents.c.customer_id).where(consents.c.source == "sms").order_by(consents.c.id)
        assert conn.scalars(said).all() == [None, other.id]


def test_twilios_post_is_proved_first(cafe, home):
    _, number = a_guest(cafe, home)
    own = {"OptOutType": "STOP"}
    good = texted(number, "Bitte keine SMS", form=own)
    refused = {
        "signature": Signed(good.url, good.signature, good.body.replace("Bitte", "Doch")),
        "account": texted(number, "STOP", form={"AccountSid": "AC" + "0" * 32}),
        "malformed": texted(number, "STOP", sid="x"),
        "number": texted("12345", "STOP"),
    }
    for why, request in refused.items():
        assert take_sms(cafe.db, home, request, NOW) == Inbound("refused", why)
    elsewhere = signed("https://corner.example/r/s/x", {"MessageSid": SID, "From": number, "Body": "STOP"})
    assert take_sms(cafe.db, home, elsewhere, NOW).why == "signature"
    assert take_sms(cafe.db, home, texted(number, "What are your hours?"), NOW) == Inbound("other")
    assert take_sms(cafe.db, home, good, NOW) == Inbound("stopped")
    bare = a_home(home.root, TWILIO_CONFIG.replace("base_url: https://corner.example/r", "base_url:"), ENVIRON)
    assert take_sms(cafe.db, bare, good, NOW).why == "not_set_up"
