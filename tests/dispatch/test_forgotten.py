"""Months that are long over are forgotten as a whole, and nothing else of what they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from engine.database.months import make_months, partitions
from engine.database.retention import Forgotten, forget
from engine.database.tables import (
    audit,
    budget_uses,
    coupons,
    dispatches,
    forgotten_months,
    matches,
    payloads,
    runs,
)
from engine.dispatch.outbox import forget_values
from engine.dispatch.stages import send_due

from .test_proofs import ONE, Budget, Budgets, wrong
from .world import NOW, Clock, Sink, a_desk, a_home

#: When it is so late that all of ``NOW``'s month may go, and not the one after.
LATER = NOW + timedelta(days=1500)
UNTIL = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def old(cafe, tmp_path):
    """A café in which a guest got a coupon and a message with it, and another one a message, in May."""
    cafe.budgets = Budgets({"email": Budget(100, "day")})
    guest = cafe.guest()
    match = cafe.match(guest)
    cafe.coupon(match, guest)
    cafe.dispatch(match, guest, step=2)
    cafe.message()
    with cafe.db.begin() as conn:
        make_months(conn, NOW)
    send_due(a_desk(cafe, a_home(tmp_path), Clock(), email=Sink()))
    with cafe.db.begin() as conn:
        assert forget_values(conn, NOW + timedelta(days=31)) == 2
    return cafe


def count(cafe, its):
    with cafe.db.connect() as conn:
        return conn.scalar(select(func.count()).select_from(its))


def test_a_month_goes_with_its_trail_and_its_budgets(old):
    assert list(forget(old.db, UNTIL, LATER)) == [Forgotten(202605, 3)]
    assert [count(old, each) for each in (dispatches, audit, payloads, budget_uses)] == [0, 0, 0, 0]
    with old.db.connect() as conn:
        assert 202605 not in partitions(conn)
        (row,) = conn.execute(select(forgotten_months)).all()
    assert (row.month, row.dispatches, row.finished_at) == (202605, 3, LATER)


def test_that_nothing_goes_twice_and_what_was_promised_is_remembered(old):
    list(forget(old.db, UNTIL, LATER))
    assert (count(old, matches), count(old, coupons)) == (2, 1)


def test_verify_knows_that_it_is_gone_on_purpose(old):
    list(forget(old.db, UNTIL, LATER))
    assert wrong(old, now=LATER) == {}


def test_a_coupon_issued_after_its_month_is_no_fault_and_one_whose_month_stayed_is(old):
    july, guest = datetime(2026, 7, 3, tzinfo=UTC), old.guest()
    old.message(guest, state="held")  # so May stays
    match = old.match(guest)
    with old.db.begin() as conn:
        conn.execute(update(matches).where(matches.c.id == match).values(matched_at=july - timedelta(days=4)))
    old.coupon(match, guest, state="sent", finished_at=july)
    with old.db.begin() as conn:
        conn.execute(update(coupons).values(issued_at=july))
    assert list(forget(old.db, july + timedelta(days=17), LATER)) == [Forgotten(202606, 1)]
    assert "months" not in wrong(old, now=LATER)
    with old.db.begin() as conn:
        conn.execute(dispatches.delete().where(dispatches.c.channel == "coupon"))
        first = conn.scalar(select(func.min(coupons.c.dispatch_id)))
    assert wrong(old, now=LATER)["months"] == [("I4", first, "its coupon is there, and it is not")]


def test_what_is_gone_without_a_word_is_wrong(old):
    list(forget(old.db, UNTIL, LATER))
    with old.db.begin() as conn:
        conn.execute(forgotten_months.delete())
    assert set(wrong(old, now=LATER)) == {"sums", "months"}


def test_a_second_time_there_is_nothing_to_do(old):
    list(forget(old.db, UNTIL, LATER))
    old.message()  # of the same month once more: it stays, for the month is over and done with
    assert list(forget(old.db, UNTIL, LATER)) == []
    assert count(old, dispatches) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"state": "held", "finished_at": None},
        {"state": "pending", "finished_at": None},
        {"state": "handoff", "finished_at": None},
        {"finished_at": UNTIL + timedelta(days=1)},
    ],
)
def test_a_month_in_which_something_was_done_later_or_is_to_come_stays_whole(old, how):
    with old.db.begin() as conn:
        first = select(func.min(dispatches.c.id)).scalar_subquery()
        conn.execute(update(dispatches).where(dispatches.c.id == first).values(**how))
    assert list(forget(old.db, UNTIL, LATER)) == []
    assert count(old, dispatches) == 3
    assert count(old, forgotten_months) == 0


def test_values_that_are_still_there_keep_their_month(old):
    with old.db.begin() as conn:
        first = conn.scalar(select(func.min(dispatches.c.id)))
        conn.execute(payloads.insert().values(dispatch_id=first, values={}, at=NOW))
    assert list(forget(old.db, UNTIL, LATER)) == []
    assert count(old, dispatches) == 3


def test_the_next_month_is_left_alone(old):
    match = old.row(old.message(rule=old.rule(ONE), month=202606)).match_id
    with old.db.begin() as conn:
        of_june = datetime(2026, 6, 2, tzinfo=UTC)
        conn.execute(update(matches).where(matches.c.id == match).values(matched_at=of_june))
    list(forget(old.db, UNTIL, LATER))
    assert count(old, dispatches) == 1
    assert wrong(old) == {}


def test_a_young_home_has_nothing_to_forget(old):
    with old.db.begin() as conn:
        conn.execute(update(runs).values(as_of=UNTIL))
    assert list(forget(old.db, UNTIL, LATER)) == []
    assert count(old, forgotten_months) == 0


def test_what_ends_in_the_middle_is_taken_up_again(old, monkeypatch):
    from engine.database import retention

    if old.db.dialect.name == "postgresql":
        pytest.skip("there a month goes in one transaction")
    monkeypatch.setattr(retention, "PAGE", 1)
    pages = retention._pages

    def one_page(*of):
        yield next(pages(*of))
        raise KeyboardInterrupt

    monkeypatch.setattr(retention, "_pages", one_page)
    with pytest.raises(KeyboardInterrupt):
        list(forget(old.db, UNTIL, LATER))
    assert count(old, dispatches) == 2
    assert wrong(old, now=LATER) == {}
    monkeypatch.setattr(retention, "_pages", pages)
    assert list(forget(old.db, UNTIL, LATER)) == [Forgotten(202605, 2)]
    assert [count(old, each) for each in (dispatches, audit)] == [0, 0]
    with old.db.connect() as conn:
        assert conn.scalar(select(forgotten_months.c.dispatches)) == 3
