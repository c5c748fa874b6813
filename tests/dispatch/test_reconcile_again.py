"""A restore of what an earlier restore, a move or staff have changed since: nothing is accepted twice by itself."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from engine.database.tables import dispatches, instance, lost_handoffs
from engine.dispatch.states import move

from .test_reconcile import TUESDAY, assert_paths, cafe_home, held, let_go, mails, reconciled, restored
from .whole import MORNING, send

__all__ = ["cafe_home", "restored"]  # fixtures


def due(db):
    with db.begin() as conn:
        waits = (dispatches.c.state == "pending", dispatches.c.due_at <= MORNING)
        return conn.scalars(select(dispatches.c.id).where(*waits)).all()


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_what_was_given_up_in_the_backup_and_retried_since_may_have_arrived(restored, cafe_home):
    ids, token = due(restored), {"lease_token": dispatches.c.lease_token + 1}
    with restored.begin() as conn:
        move(conn, "pending", "claimed", dispatches.c.id.in_(ids), who="worker", now=MORNING, values=token)
        move(conn, "claimed", "dead", dispatches.c.id.in_(ids), who="holder", now=MORNING, reason="attempts")
    assert reconciled(restored, cafe_home).uncertain == len(ids) == 3
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_what_was_uncertain_in_the_backup_and_sent_again_since_bears_no_token_twice(restored, cafe_home):
    ids = due(restored)
    with restored.begin() as conn:
        move(conn, "pending", "uncertain", dispatches.c.id.in_(ids), who="reconciler", now=MORNING)
    done = reconciled(restored, cafe_home)
    assert (done.uncertain, done.kept) == (0, len(ids)) == (0, 3)
    with restored.begin() as conn:
        tokens = conn.scalars(select(dispatches.c.lease_token).where(dispatches.c.id.in_(ids)))
        assert set(tokens) == {1}, "those of the hand-overs that the journal tells of"
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_what_went_out_under_another_name_of_the_database_is_held_where_it_still_waits(restored, cafe_home):
    """A backup of before the database moved to another machine: the journal goes on with the new identity."""
    with restored.begin() as conn:
        conn.execute(instance.update().values(identity="f" * 32))
    reconciled(restored, cafe_home)
    assert held(restored) == {"restored": 3, "copied": 4}, "the four are steps that come later"
    let_go(restored, TUESDAY)
    send(restored, cafe_home, TUESDAY)
    assert set(mails(cafe_home).values()) == {1}
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_an_id_that_was_given_to_another_guest_since_settles_not_only_that_guest(restored, cafe_home):
    ids = due(restored)
    with restored.begin() as conn:
        ends = dict(map(tuple, conn.execute(select(dispatches.c.id, dispatches.c.endpoint_id))))
        for number, other in zip(ids, [*ids[1:], ids[0]], strict=True):
            conn.execute(dispatches.update().where(dispatches.c.id == number).values(endpoint_id=ends[other]))
    assert reconciled(restored, cafe_home).uncertain == len(ids) == 3
    with restored.begin() as conn:
        remembered = conn.scalars(select(lost_handoffs.c.endpoint_hash)).all()
    assert len(set(remembered)) == 2 + 3, "who got the other message gets it no second time"
