"""States and moves: what may follow what, who may do it, and what a late holder can still change: nothing."""

from datetime import timedelta
from typing import get_args

import pytest
from sqlalchemy import select, update

from engine.database.tables import channels, coupons, dispatches, payloads, switch
from engine.dispatch import outbox, states
from engine.dispatch.claims import claim

from .world import NOW

HOUR = timedelta(hours=1)
USABLE = ["email", "sms", "coupon"]


def claimed(cafe, *, now=NOW, limit=10, holder="here:1:a"):
    with cafe.db.begin() as conn:
        return claim(conn, now=now, holder=holder, usable=USABLE, limit=limit)


def test_nothing_leaves_handoff_for_a_state_that_can_send_but_by_its_holder():
    for (before, after), move in states.TRANSITIONS.items():
        if before in ("handoff", "sent", "uncertain", "dead") and after in (*states.OPEN, "handoff"):
            assert move.who in (frozenset({"holder"}), frozenset({"staff"}))
        if before == "handoff" and "anyone" in move.who:
            assert after == "uncertain"


def test_every_state_can_be_reached_and_every_state_that_is_not_final_can_end():
    every = set(get_args(states.State))
    reached = {"held", "pending"} | {after for _, after in states.TRANSITIONS}
    assert reached == every
    for state in every - states.FINAL:
        assert any(
            move.final or after not in states.FINAL
            for (before, after), move in states.TRANSITIONS.items()
            if before == state
        )


def test_a_move_that_the_table_does_not_name_is_refused(cafe):
    with (
        cafe.db.begin() as conn,
        pytest.raises(ValueError, match="anyone may not move a dispatch from handoff to pending"),
    ):
        states.move(conn, "handoff", "pending", who="anyone", now=NOW)
    with cafe.db.begin() as conn, pytest.raises(ValueError, match="worker may not"):
        states.move(conn, "sent", "pending", who="worker", now=NOW)


def test_a_claim_takes_what_is_due_in_order_of_time_then_priority_then_number(cafe):
    later = cafe.message(due_at=NOW - HOUR, priority=90)
    low = cafe.message(due_at=NOW - 2 * HOUR, priority=80)
    high = cafe.message(due_at=NOW - 2 * HOUR, priority=10)
    high_too = cafe.message(due_at=NOW - 2 * HOUR, priority=10)
    cafe.message(due_at=NOW + HOUR)
    assert [each.id for each in claimed(cafe)] == [high, high_too, low, later]
    assert claimed(cafe) == []


def test_a_claim_is_limited_and_names_its_holder(cafe):
    for _ in range(3):
        cafe.message()
    held = claimed(cafe, limit=2)
    assert len(held) == 2
    row = cafe.row(held[0].id)
    assert (row.state, row.lease_token, row.lease_holder) == ("claimed", 1, "here:1:a")
    assert row.leased_until == NOW + timedelta(minutes=15)


@pytest.mark.parametrize("state", ["held", "claimed", "handoff", "sent", "uncertain", "dead", "blocked"])
def test_only_pending_is_claimed(cafe, state):
    cafe.message(state=state)
    assert claimed(cafe) == []


def test_what_is_too_late_is_not_claimed_but_expires_with_its_coupon_taken_back(cafe):
    guest = cafe.guest()
    match = cafe.match(guest, closes=NOW + HOUR)
    coupon = cafe.coupon(match, guest, state="sent")
    with cafe.db.begin() as conn:
        conn.execute(update(coupons).values(code="AAAABBBBCCCCD", issued_at=NOW))
    message = cafe.dispatch(match, guest, step=2)
    held = cafe.message(state="held", expires_at=NOW + HOUR)
    in_time = cafe.message(expires_at=NOW + HOUR + timedelta(seconds=1))
    late = NOW + HOUR
    assert [each.id for each in claimed(cafe, now=late)] == [in_time]  # another worker may not have looked yet
    cafe.set(in_time, state="pending")
    with cafe.db.begin() as conn:
        assert outbox.expire(conn, late) == 2
    assert cafe.outcome(message) == cafe.outcome(held) == "expired: late"
    assert cafe.row(message).finished_at == late
    assert cafe.coupon_of(coupon).revoked_at == late
    assert [each.id for each in claimed(cafe, now=late)] == [in_time]


def test_a_message_waits_for_the_coupon_that_it_shows(cafe):
    guest = cafe.guest()
    match = cafe.match(guest)
    coupon = cafe.coupon(match, guest, step=1, due_at=NOW)
    message = cafe.dispatch(match, guest, step=2)
    assert [each.id for each in claimed(cafe, limit=1)] == [coupon]
    assert claimed(cafe) == []
    cafe.set(coupon, state="sent")
    assert [each.id for each in claimed(cafe)] == [message]


def test_a_reminder_does_not_overtake_its_message_but_two_messages_without_a_wait_are_independent(cafe):
    guest = cafe.guest()
    match = cafe.match(guest, closes=NOW + HOUR)
    first = cafe.dispatch(match, guest, step=1, state="held")
    beside = cafe.dispatch(match, guest, "sms", step=2)
    reminder = cafe.dispatch(match, guest, "sms", step=4, expires_at=NOW + 25 * HOUR)
    assert [each.id for each in claimed(cafe)] == [beside]
    cafe.set(beside, state="sent")
    assert claimed(cafe) == []
    cafe.set(first, state="expired")
    assert [each.id for each in claimed(cafe)] == [reminder]


def test_the_end_of_the_only_message_takes_the_coupon_back_unless_it_was_to_be_issued_always(cafe):
    for terms, taken_back in (({"item": "cake"}, True), ({"item": "cake", "always": True}, False)):
        guest = cafe.guest()
        match = cafe.match(guest)
        coupon = cafe.coupon(match, guest, state="sent", terms=terms)
        with cafe.db.begin() as conn:
            conn.execute(
                update(coupons).where(coupons.c.dispatch_id == coupon).values(code=f"CODE{coupon}", issued_at=NOW)
            )
        email, sms = cafe.dispatch(match, guest, step=2), cafe.dispatch(match, guest, "sms", step=3)
        with cafe.db.begin() as conn:
            states.move(conn, "pending", "cancelled", dispatches.c.id == email, who="staff", now=NOW, actor="Ana")
        assert cafe.coupon_of(coupon).revoked_at is None
        with cafe.db.begin() as conn:
            states.move(conn, "pending", "cancelled", dispatches.c.id == sms, who="staff", now=NOW, actor="Ana")
        assert (cafe.coupon_of(coupon).revoked_at is not None) == taken_back
    assert cafe.trail() == [("Ana", "move", "pending", "cancelled")] * 4


def test_a_holder_that_comes_late_changes_nothing(cafe):
    message = cafe.message()
    (mine,) = claimed(cafe)
    cafe.set(message, state="pending")
    (theirs,) = claimed(cafe, holder="there:2:b")
    with cafe.db.begin() as conn:
        assert states.move(conn, "claimed", "handoff", mine.mine(), who="holder", now=NOW) == []
        assert states.move(conn, "claimed", "handoff", theirs.mine(), who="holder", now=NOW) == [message]


def test_staff_may_send_again_what_is_uncertain_or_dead_while_it_is_not_too_late(cafe):
    uncertain = cafe.message(state="uncertain", attempts=3, handed_at=NOW, handed_day=1)
    dead = cafe.message(state="dead", rescues=3)
    late = cafe.message(state="dead", expires_at=NOW)
    sent = cafe.message(state="sent")
    with cafe.db.begin() as conn:
        made = [uncertain, dead, late, sent]
        assert outbox.requeue(conn, "uncertain", made, actor="Ana", now=NOW) == ([uncertain], [])
        assert outbox.requeue(conn, "dead", made, actor="Ana", now=NOW) == ([dead], [late])
    row = cafe.row(uncertain)
    assert (row.state, row.attempts, row.handed_day, row.due_at) == ("pending", 0, None, NOW)
    assert cafe.state(sent) == "sent"
    assert cafe.trail() == [("Ana", "move", "uncertain", "pending"), ("Ana", "move", "dead", "pending")]


def test_the_next_due_time_leaves_out_what_waits_for_a_person(cafe):
    evening = NOW + 10 * HOUR

    def next_due():
        with cafe.db.begin() as conn:
            return outbox.next_due(conn, ["email", "sms"], until=evening)

    assert next_due() is None
    cafe.message(state="held", due_at=NOW)
    cafe.message(due_at=evening + HOUR)
    assert next_due() is None
    cafe.message(due_at=NOW + 3 * HOUR, channel="sms")
    assert next_due() == NOW + 3 * HOUR
    cafe.message(due_at=NOW + 2 * HOUR)
    assert next_due() == NOW + 2 * HOUR
    with cafe.db.begin() as conn:
        conn.execute(channels.insert().values(channel="email", open_until=NOW + 5 * HOUR))
    assert next_due() == NOW + 3 * HOUR
    with cafe.db.begin() as conn:
        conn.execute(channels.insert().values(channel="sms", stopped_at=NOW))
    assert next_due() == NOW + 5 * HOUR
    with cafe.db.begin() as conn:
        conn.execute(switch.insert().values(id=1, stopped_at=NOW))
    assert next_due() is None


@pytest.mark.parametrize("channel", ["coupon", "points", "tag", "alert"])
def test_steps_inside_and_alerts_have_a_next_due_time_too(cafe, channel):
    cafe.message(channel=channel, due_at=NOW + 2 * HOUR, content_id=None)
    with cafe.db.begin() as conn:
        assert outbox.next_due(conn, ["email"], until=NOW + HOUR) is None
        assert outbox.next_due(conn, ["email"], until=NOW + 3 * HOUR) == NOW + 2 * HOUR


def test_values_are_forgotten_thirty_days_after_the_end_and_not_before(cafe):
    old = cafe.message(state="sent", finished_at=NOW - timedelta(days=30))
    recent = cafe.message(state="sent", finished_at=NOW - timedelta(days=29))
    waiting = cafe.message(due_at=NOW - timedelta(days=60))
    with cafe.db.begin() as conn:
        for each in (old, recent, waiting):
            read_at = NOW - timedelta(days=31)
            conn.execute(payloads.insert().values(dispatch_id=each, values={"a": 1}, at=read_at))
        assert outbox.forget_values(conn, NOW) == 1
        assert conn.scalars(select(payloads.c.dispatch_id)).all() == [recent, waiting]


def test_however_many_there_are_and_whatever_still_waits_before_them(cafe, monkeypatch):
    monkeypatch.setattr(outbox, "BULK", 2)
    made = [cafe.message(state=state, finished_at=NOW - timedelta(days=40)) for state in ["held"] * 3 + ["sent"] * 5]
    with cafe.db.begin() as conn:
        read_at = NOW - timedelta(days=41)
        conn.execute(payloads.insert(), [{"dispatch_id": each, "values": {}, "at": read_at} for each in made])
        assert outbox.forget_values(conn, NOW) == 5
        assert conn.scalars(select(payloads.c.dispatch_id)).all() == made[:3]
