"""Who goes of several messages together: as many, and the same, as would go one after the other."""

import contextlib
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select, update

from engine.database import gate
from engine.database.consent import lock_endpoints, record_consent
from engine.database.tables import budget_uses, customers, dispatches
from engine.dispatch import groups
from engine.dispatch.budgets import Budgets
from engine.dispatch.render import RenderError
from engine.dispatch.stages import send_due
from engine.language.budgets import Budget

from .test_groups import Post, clock, home, names, waiting
from .world import NOW, Sink, a_desk

__all__ = ["clock", "home"]  # fixtures


def test_no_two_of_one_guest_or_one_inbox_stand_at_the_fence_together(cafe, home, clock):
    first, shared = cafe.guest(), cafe.guest()
    partner = cafe.guest(email_id=shared.email_id)
    made = [cafe.message(each) for each in (first, first, shared, partner)]
    post = Post(most=4)
    send_due(a_desk(cafe, home, clock, email=post))
    assert all(len(group) == len(set(group)) for group in post.groups)
    assert [cafe.outcome(each) for each in made] == ["sent", "pending: capped", "sent", "pending: capped"]


def test_a_budget_lets_as_many_of_a_group_go_as_it_has_room_for(cafe, home, clock):
    cafe.budgets = Budgets({"email": Budget(Decimal(2), "day")})
    made = waiting(cafe, 4)
    post = Post(most=4)
    send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.outcome(each) for each in made] == ["sent", "sent", "pending: budget", "pending: budget"]
    with cafe.db.begin() as conn:
        assert conn.scalars(select(budget_uses.c.used)).all() == [2]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_a_group_does_not_hold_inboxes_while_it_waits_for_a_guest_of_a_long_import(cafe, home, clock):
    """The import holds a guest, and will want the inbox of another: each would wait for the other."""
    first, second, third = guests = [cafe.guest() for _ in range(3)]
    made, post = [cafe.message(each) for each in guests], Post()
    with cafe.db.connect() as conn:

        def begin():
            post.before_fence = lambda: None
            conn.execute(update(customers).where(customers.c.id == first.id).values(name="Li"))

        def end():
            lock_endpoints(conn, [second.email_id, third.email_id])
            conn.commit()

        post.before_fence, post.after_fence = begin, end
        assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"sent": 3}
    assert [cafe.row(each).attempts for each in made] == [1, 1, 1]
    assert (post.groups, post.asked) == ([["guest1", "guest2", "guest3"]], 1)


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
@pytest.mark.parametrize("why", ["no_consent", "erased"])
def test_an_opt_out_or_erasure_that_is_not_committed_yet_is_waited_for_by_that_one_alone(cafe, home, clock, why):
    guests = [cafe.guest() for _ in range(3)]
    made, post = [cafe.message(each) for each in guests], Post()
    with cafe.db.connect() as conn:

        def begin():
            post.before_fence = lambda: None
            if why == "erased":
                conn.execute(update(customers).where(customers.c.id == guests[1].id).values(erased_at=NOW))
            else:
                record_consent(conn, guests[1].email_id, "no", at=NOW, source="unsubscribe link")

        post.before_fence, post.after_fence = begin, conn.commit
        send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.outcome(each) for each in made] == ["sent", f"blocked: {why}", "sent"]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_nobody_can_press_the_red_button_between_a_groups_question_and_its_commit(cafe, home, clock, monkeypatch):
    waiting(cafe, 3)
    really, could = groups._handed, []

    def handed(*args, **how):
        with cafe.db.begin() as conn:
            could.append(conn.scalar(select(func.pg_try_advisory_xact_lock(gate._GATE))))
        return really(*args, **how)

    monkeypatch.setattr(groups, "_handed", handed)
    assert send_due(a_desk(cafe, home, clock, email=Post())).to_json() == {"sent": 3}
    assert could == [False]


def test_a_guest_with_messages_of_two_channels_gets_the_first_of_them(cafe, home, clock):
    other, both = cafe.guest(), cafe.guest()
    made = [cafe.message(other), cafe.message(both, "sms", priority=0), cafe.message(both, priority=1)]
    cafe.set(made[0], due_at=NOW - timedelta(hours=1))
    send_due(a_desk(cafe, home, clock, email=Post(), sms=Post()))
    assert [cafe.outcome(each) for each in made] == ["sent", "sent", "pending: capped"]


@pytest.mark.parametrize(("most", "at_once"), [(2, 0), (4, 2)])
def test_the_last_place_of_a_budget_is_its_who_comes_first_whatever_its_channel(cafe, home, clock, most, at_once):
    cafe.budgets = Budgets({"messages": Budget(Decimal(most), "day")})
    made = [cafe.message(cafe.guest(), channel, priority=each) for each, channel in enumerate(("sms", "email") * 2)]
    mail, sms = Post(), Post()
    send_due(a_desk(cafe, home, clock, email=mail, sms=sms))
    assert [cafe.outcome(each) for each in made] == ["sent"] * most + ["pending: budget"] * (4 - most)
    assert [len(group) for group in (*mail.groups, *sms.groups)] == [2] * at_once


@pytest.mark.parametrize("alone", [0, 1])
def test_the_last_place_of_a_budget_is_its_who_comes_first_also_where_one_of_a_channel_goes_alone(
    cafe, home, clock, alone
):
    cafe.budgets = Budgets({"messages": Budget(Decimal(1), "day")})
    made = [cafe.message(cafe.guest(), priority=each, rescues=int(each == alone)) for each in range(2)]
    send_due(a_desk(cafe, home, clock, email=Post()))
    assert [cafe.outcome(each) for each in made] == ["sent", "pending: budget"]


def test_what_is_plain_is_what_each_would_be_told_alone(cafe, home, clock):
    """Rows of every kind: those that go in a group are those that go alone."""
    guests = [cafe.guest() for _ in range(6)]
    cafe.opt_out(guests[0].email_id)
    before = cafe.message(guests[1], state="sent", handed_at=NOW, handed_day=NOW.date().toordinal())
    made = [cafe.message(each) for each in guests[:5]]
    made.append(cafe.message(guests[5], expires_at=NOW + timedelta(seconds=1)))
    told = {}
    for connector in (Sink(), Post(most=6)):
        with cafe.db.begin() as conn:
            fresh = {"state": "pending", "due_at": NOW, "reason": None, "handed_day": None, "handed_at": None}
            conn.execute(update(dispatches).where(dispatches.c.id.in_(made)).values(**fresh))
        send_due(a_desk(cafe, home, clock, email=connector))
        told[type(connector)] = [cafe.outcome(each) for each in made]
    assert told[Sink] == told[Post] == ["blocked: no_consent", "pending: capped", "sent", "sent", "sent", "sent"]
    assert cafe.state(before) == "sent"


def test_a_weeks_cap_counts_seven_days_of_who_goes_in_a_group_too(cafe, home, clock):
    made = []
    for days in (6, 7):
        guest = cafe.guest()
        for ago in (days, 3):
            day = NOW - timedelta(days=ago)
            cafe.message(guest, state="sent", handed_at=day, handed_day=day.date().toordinal())
        made.append(cafe.message(guest))
    send_due(a_desk(cafe, home, clock, email=Post()))
    assert [cafe.outcome(each) for each in made] == ["pending: capped", "sent"]


def test_what_a_guest_had_at_another_inbox_counts_in_a_group_too(cafe, home, clock):
    guest = cafe.guest()
    had = {"state": "sent", "handed_at": NOW, "handed_day": NOW.date().toordinal()}
    cafe.message(guest, endpoint_id=cafe.endpoint("email", "old@example.com"), **had)
    made = [cafe.message(each) for each in (guest, cafe.guest())]
    send_due(a_desk(cafe, home, clock, email=Post()))
    assert [cafe.outcome(each) for each in made] == ["pending: capped", "sent"]


@pytest.mark.parametrize("known", [True, False])
def test_what_cannot_be_made_while_servers_are_waited_for_is_told_in_its_turn(cafe, home, clock, monkeypatch, known):
    made, post = waiting(cafe, 9), Post(most=2)
    desk = a_desk(cafe, home, clock, email=post)
    really, error = desk.composer.compose, RenderError("it is broken") if known else ZeroDivisionError()

    def compose(draft, together, at):
        if together[0].id == made[5]:  # two groups after the first one
            raise error
        return really(draft, together, at)

    monkeypatch.setattr(desk.composer, "compose", compose)
    with contextlib.nullcontext() if known else pytest.raises(ZeroDivisionError):
        send_due(desk)
    assert Counter(map(cafe.state, made)) == ({"sent": 8, "dead": 1} if known else {"sent": 2, "claimed": 7})
    assert len(names(post)) == (8 if known else 2)
    assert desk.summary.messages == (9 if known else 2)


def test_what_is_made_while_servers_are_waited_for_leaves_in_its_order(cafe, home, clock):
    waiting(cafe, 9)
    post = Post(most=2)
    send_due(a_desk(cafe, home, clock, email=post))
    left = [name for group in post.groups for name in group]
    assert left == [f"guest{number}" for number in range(1, 10)]
