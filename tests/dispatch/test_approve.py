"""Approval: what it lets go, when, and whose name is on it."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from engine.database.tables import rules
from engine.dispatch.approve import UnknownRuleError, approve, cancel

from .world import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def let_go(cafe, rule=None, *, name="Ana", now=NOW, mode="first"):
    with cafe.db.begin() as conn:
        return approve(conn, rule, name=name, now=now, mode=mode)


def held(cafe, rule, **values):
    return cafe.message(rule=rule, state="held", **values)


def test_what_was_held_is_due_now_and_later_steps_by_the_same_delay_later(cafe):
    guest, rule = cafe.guest(), cafe.rule(id="win-back")
    match = cafe.match(guest, rule=rule, closes=NOW + 5 * DAY)
    first = cafe.dispatch(match, guest, step=2, state="held", due_at=NOW - 3 * HOUR)
    coupon = cafe.coupon(match, guest, step=1, state="held", due_at=NOW - 3 * HOUR)
    reminder = cafe.dispatch(match, guest, "sms", step=4, state="held", due_at=NOW + 2 * DAY, expires_at=NOW + 7 * DAY)
    (done,) = let_go(cafe, "win-back")
    assert (done.released, done.expired, done.approved) == (3, 0, True)
    assert [cafe.state(each) for each in (coupon, first, reminder)] == ["pending"] * 3
    assert [cafe.row(each).due_at for each in (coupon, first, reminder)] == [NOW, NOW, NOW + 2 * DAY + 3 * HOUR]


def test_what_is_not_due_yet_keeps_its_time(cafe):
    later = held(cafe, cafe.rule(id="win-back"), due_at=NOW + HOUR)
    let_go(cafe, "win-back")
    assert cafe.row(later).due_at == NOW + HOUR


def test_what_is_too_late_expires(cafe):
    rule = cafe.rule(id="win-back")
    late, in_time = held(cafe, rule, expires_at=NOW), held(cafe, rule)
    (done,) = let_go(cafe, "win-back")
    assert (done.released, done.expired) == (1, 1)
    assert (cafe.outcome(late), cafe.state(in_time)) == ("expired: late", "pending")


def test_the_approval_is_of_the_rule_as_it_stands_and_leaves_a_trail(cafe):
    rule = cafe.rule(id="win-back")
    held(cafe, rule)
    let_go(cafe, "win-back")
    with cafe.db.begin() as conn:
        row = conn.execute(select(rules).where(rules.c.id == rule[0])).one()
    assert (row.approved_hash, row.approved_by, row.approved_at) == (row.content_hash, "Ana", NOW)
    assert cafe.trail() == [("Ana", "approve", None, "approved"), ("Ana", "move", "held", "pending")]


def test_a_rule_without_anything_held_can_be_approved_beforehand(cafe):
    cafe.rule(id="win-back")
    (done,) = let_go(cafe, "win-back")
    assert (done.released, done.approved) == (0, True)


def test_only_the_rule_that_was_named(cafe):
    one, other = held(cafe, cafe.rule(id="one")), held(cafe, cafe.rule(id="other"))
    let_go(cafe, "one")
    assert (cafe.state(one), cafe.state(other)) == ("pending", "held")


def test_all_is_every_rule_that_waits(cafe):
    made = [held(cafe, cafe.rule(id=name)) for name in ("b", "a")]
    cafe.rule(id="c")
    assert [done.rule for done in let_go(cafe)] == ["a", "b"]
    assert {cafe.state(each) for each in made} == {"pending"}


def test_two_means_two_different_names(cafe):
    message = held(cafe, cafe.rule(id="win-back"))
    for name in ("Ana", " ana "):
        (done,) = let_go(cafe, "win-back", name=name, mode="two")
        assert (done.waits_for, done.released) == (1, 0)
    assert cafe.state(message) == "held"
    (done,) = let_go(cafe, "win-back", name="Ben", mode="two")
    assert (done.approved, cafe.state(message)) == (True, "pending")


def test_a_name_on_an_older_version_does_not_count(cafe):
    rule = cafe.rule(id="win-back")
    held(cafe, rule)
    let_go(cafe, "win-back", name="Ana", mode="two")
    with cafe.db.begin() as conn:
        conn.execute(update(rules).values(content_hash=b"n" * 32))
    (done,) = let_go(cafe, "win-back", name="Ben", mode="two")
    assert done.waits_for == 1


def test_an_unknown_rule_is_said_to_be_unknown(cafe):
    with pytest.raises(UnknownRuleError):
        let_go(cafe, "no-such-rule")
    with cafe.db.begin() as conn, pytest.raises(UnknownRuleError):
        cancel(conn, name="Ana", now=NOW, rule_id="no-such-rule")


def test_staff_cancel_what_has_not_gone_out(cafe):
    rule = cafe.rule(id="win-back")
    states = ("held", "pending", "claimed", "handoff", "sent")
    made = [cafe.message(rule=rule, state=state) for state in states]
    other = cafe.message()
    with cafe.db.begin() as conn:
        assert cancel(conn, name="Ana", now=NOW, rule_id="win-back") == 2
    assert [cafe.state(each) for each in made] == ["cancelled", "cancelled", "claimed", "handoff", "sent"]
    with cafe.db.begin() as conn:
        assert cancel(conn, name="Ana", now=NOW, ids=[other]) == 1
    assert cafe.outcome(other) == "cancelled: staff"
