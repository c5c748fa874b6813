"""What happens between a match and its message: to one that waits, is claimed, or is being handed over."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from engine.database.tables import customers, rule_versions, rules
from engine.dispatch.erasure import erase
from engine.dispatch.stages import send_due

from .world import NOW, Clock, Sink, a_desk, a_home, a_rule

MOMENTS = ("pending", "claimed", "handoff")


@dataclass
class During(Sink):
    """Lets something happen when the message is out of the fence and the server has not answered."""

    happens: object = None

    def send(self, message, handoff):
        return super().send(message, lambda: handoff() and (self.happens() or True))


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def sent(cafe, home):
    """Sends one message while ``happens`` at that moment; gives the outcome, and how many were let out."""

    def send(moment, happens):
        guest, rule = cafe.guest(), cafe.rule()
        message = cafe.message(guest, rule=rule)

        def now():
            happens(guest, rule)

        sink = Sink()
        if moment == "pending":
            now()
        elif moment == "claimed":
            sink = Sink(before_fence=now)
        else:
            sink = During(happens=now)
        send_due(a_desk(cafe, home, Clock(), email=sink))
        assert len(sink.accepted) == (cafe.state(message) == "sent")
        return cafe.outcome(message)

    return send


@pytest.mark.parametrize("moment", MOMENTS)
def test_consent_withdrawn(cafe, sent, moment):
    wanted = "sent" if moment == "handoff" else "blocked: no_consent"
    assert sent(moment, lambda guest, _: cafe.opt_out(guest.email_id)) == wanted


@pytest.mark.parametrize("moment", MOMENTS)
def test_customer_erased(cafe, home, sent, moment):
    wanted = "sent" if moment == "handoff" else "blocked: erased"
    assert sent(moment, lambda guest, _: erase(cafe.db, home, guest.id, now=NOW, actor="Ana")) == wanted
    with cafe.db.begin() as conn:
        assert conn.scalars(select(customers.c.name)).all() == [None]


@pytest.mark.parametrize("moment", MOMENTS)
def test_rule_disabled(cafe, sent, moment):
    def off(_, rule):
        with cafe.db.begin() as conn:
            conn.execute(update(rules).where(rules.c.id == rule[0]).values(active=False))

    assert sent(moment, off) == ("sent" if moment == "handoff" else "cancelled: rule_off")


@pytest.mark.parametrize("moment", MOMENTS)
def test_rule_edited_what_is_under_way_keeps_its_own_version(cafe, sent, moment):
    def edited(_, rule):
        changed = hashlib.sha256(b"edited").digest()
        with cafe.db.begin() as conn:
            conn.execute(update(rules).where(rules.c.id == rule[0]).values(content_hash=changed))
            row = {"rule_id": rule[0], "content_hash": changed, "body": {}, "first_at": NOW}
            version = conn.scalar(insert(rule_versions).values(**row).returning(rule_versions.c.id))
        cafe.rules[version] = a_rule(steps=(), stop_if=("never asked",))

    assert sent(moment, edited) == "sent"


@pytest.mark.parametrize("off", [1, 7, 30, 400])
def test_a_machine_that_was_off_sends_what_is_still_of_use_and_lists_the_rest(cafe, home, off):
    back = NOW + timedelta(days=off)
    soon, late = cafe.message(closes=NOW + timedelta(days=3)), cafe.message(closes=NOW + timedelta(days=40))
    sink = Sink()
    send_due(a_desk(cafe, home, Clock(back), email=sink))
    assert cafe.outcome(soon) == ("sent" if off < 3 else "expired: late")
    assert cafe.outcome(late) == ("sent" if off < 40 else "expired: late")
    assert len(sink.accepted) == (off < 3) + (off < 40)
