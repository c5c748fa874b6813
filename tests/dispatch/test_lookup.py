"""The look-up of the uncertain: what it asks for, whom it asks, and when an answer settles nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time, timedelta

import pytest
from sqlalchemy import delete, select, update

from connectors.base import Outcome
from engine.database.tables import audit, budget_uses, contents, dispatches, payloads
from engine.dispatch.budgets import Budgets
from engine.dispatch.lookup import look_up
from engine.dispatch.outbox import acknowledge
from engine.dispatch.stages import send_due
from engine.language.budgets import Budget

from .twilio import SID
from .world import CHICAGO, NOW, Clock, Sink, a_desk, a_home

LOST = Outcome("unknown", "timeout")
LATER = NOW + timedelta(minutes=20)


@dataclass
class Knowing(Sink):
    """Answers look-ups with what it is told to; None: it gives no answer."""

    found: object = frozenset({SID})
    sought: list = field(default_factory=list)

    def find(self, message, since):
        self.sought.append((message.recipient, message.body, since))
        return self.found


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def lost(cafe, home):
    """Send one SMS whose answer is lost, and which is not found at once."""

    def send(**values):
        message = cafe.message(channel="sms", **values)
        send_due(a_desk(cafe, home, Clock(), sms=Sink([LOST])))
        assert cafe.outcome(message) == "uncertain: no_answer"
        return message

    return send


def look(cafe, home, sink, at=LATER):
    desk = a_desk(cafe, home, Clock(at), sms=sink)
    return look_up(desk), desk


def test_what_is_found_later_was_sent(cafe, home, lost):
    message, sink = lost(), Knowing()
    count, desk = look(cafe, home, sink)
    row = cafe.row(message)
    assert (count, row.state, row.reason, row.provider_id, row.finished_at) == (1, "sent", None, SID, LATER)
    assert desk.summary.to_json() == {"sent": 1}
    [(_, body, since)] = sink.sought
    assert (body, since) == ("Hello", NOW)
    with cafe.db.begin() as conn:
        last = conn.execute(select(audit).order_by(audit.c.id.desc()).limit(1)).one()
    assert (last.who, last.before, last.after) == ("reconciler", "uncertain", "sent")
    assert look(cafe, home, sink)[0] == 0


def test_each_sending_begins_with_it(cafe, home, lost):
    message = lost()
    send_due(a_desk(cafe, home, Clock(LATER), sms=Knowing()))
    assert cafe.state(message) == "sent"


@pytest.mark.parametrize("found", [frozenset(), frozenset({SID, "SM" + "b" * 32}), None])
def test_nothing_and_several_settle_nothing(cafe, home, lost, found):
    message = lost()
    look(cafe, home, Knowing(found=found))
    assert cafe.outcome(message) == "uncertain: no_answer"


def test_an_id_of_another_message_is_not_this_ones(cafe, home, lost):
    cafe.set(cafe.message(channel="sms"), state="sent", provider_id=SID)
    message = lost()
    look(cafe, home, Knowing())
    assert cafe.state(message) == "uncertain"
    look(cafe, home, Knowing(found=frozenset({SID, "SM" + "b" * 32})))
    assert cafe.row(message).provider_id == "SM" + "b" * 32


def test_two_of_one_text_to_one_number_settle_nothing(cafe, home, lost):
    cafe.caps.marketing_per_day = cafe.caps.marketing_per_week = 9
    guest = cafe.guest()
    made = [lost(guest=guest), lost(guest=guest)]
    look(cafe, home, Knowing())
    assert [cafe.state(each) for each in made] == ["uncertain", "uncertain"]
    third = cafe.message(guest, channel="sms")
    send_due(a_desk(cafe, home, Clock(), sms=Knowing([LOST])))
    assert cafe.state(third) == "uncertain"  # at once, too


def test_one_that_staff_noted_as_sent_leaves_a_doubt_too(cafe, home, lost):
    cafe.caps.marketing_per_day = cafe.caps.marketing_per_week = 9
    guest = cafe.guest()
    noted, message = lost(guest=guest), lost(guest=guest)
    with cafe.db.begin() as conn:
        assert acknowledge(conn, [noted], actor="Ana", now=NOW) == [noted]
    look(cafe, home, Knowing())
    assert (cafe.state(message), cafe.row(message).provider_id) == ("uncertain", None)
    cafe.set(noted, handed_at=NOW - timedelta(days=2))  # of another day it is not
    look(cafe, home, Knowing())
    assert (cafe.state(message), cafe.row(message).provider_id) == ("sent", SID)


def test_only_the_same_bytes_are_looked_for(cafe, home, lost):
    changed, bare, whole = lost(), lost(), lost()
    with cafe.db.begin() as conn:
        conn.execute(update(payloads).where(payloads.c.dispatch_id == changed).values(values={"zone": "UTC"}))
        conn.execute(delete(payloads).where(payloads.c.dispatch_id == bare))
    sink = Knowing()
    look(cafe, home, sink)
    assert [cafe.state(each) for each in (changed, bare, whole)] == ["uncertain", "uncertain", "sent"]
    assert len(sink.sought) == 1


def test_another_text_is_not_looked_for(cafe, home, lost):
    message, sink = lost(), Knowing()
    with cafe.db.begin() as conn:
        conn.execute(update(contents).values(files={"sms.txt": "Hello!"}))
    look(cafe, home, sink)
    assert (cafe.state(message), sink.sought) == ("uncertain", [])


def test_only_young_texts_without_an_id_are_looked_up(cafe, home, lost):
    sink = Knowing()
    for values in (
        {"handed_at": NOW - timedelta(hours=4)},
        {"carrier": "email"},
        {"carrier": "webhook:app"},
        {"carrier": None},
        {"provider_id": "SM1"},
        {"state": "sent"},
    ):
        cafe.set(lost(), **values)
    look(cafe, home, sink, at=NOW + timedelta(minutes=5))
    assert sink.sought == []


def test_who_does_not_answer_is_not_asked_again_at_once(cafe, home, lost):
    for _ in range(3):
        lost()
    silent = Knowing(found=None)
    desk = a_desk(cafe, home, Clock(LATER), sms=silent)
    look_up(desk)
    assert len(silent.sought) == 1
    look_up(desk)
    assert len(silent.sought) == 1
    desk.now.at = LATER + timedelta(minutes=10)
    look_up(desk)
    assert len(silent.sought) == 2


def test_a_channel_that_rests_or_cannot_be_opened_is_not_asked(cafe, home, lost):
    message = lost()
    assert look(cafe, home, Sink())[0] == 0  # a connector that cannot look up
    cafe.message(channel="sms")
    stop = Outcome("not_now", "twilio 20003", channel="stop", counts_attempt=False)
    send_due(a_desk(cafe, home, Clock(), sms=Sink([stop])))
    sink = Knowing()
    look(cafe, home, sink)
    assert (sink.sought, cafe.state(message)) == ([], "uncertain")


def test_what_twilio_bills_goes_before_what_was_counted(cafe, home):
    cafe.budgets = Budgets({"sms_segments": Budget.parse("9 a day")}, CHICAGO, time(4), 100)
    for _ in range(2):
        cafe.message(channel="sms")
    billed = [Outcome("sent", "http 201", provider_id=f"SM{each:032x}", segments=each) for each in (3, 1)]
    send_due(a_desk(cafe, home, Clock(), sms=Sink(billed)))
    with cafe.db.begin() as conn:
        assert conn.scalars(select(dispatches.c.segments).order_by(dispatches.c.id)).all() == [3, 1]
        assert conn.scalars(select(budget_uses.c.used)).all() == [4]
