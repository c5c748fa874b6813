"""What the fence holds on PostgreSQL, in one statement, and how often a group goes to the server and back."""

from typing import Any

import pytest
from sqlalchemy import event, func, select

from engine.database.gate import gate
from engine.database.holding import hold_group
from engine.database.tables import customers, endpoints
from engine.dispatch.stages import send_due

from .test_groups import Post, waiting
from .world import Clock, a_desk, a_home

pytestmark = pytest.mark.parametrize("db", ["postgres"], indirect=True)


def free(cafe, table):
    """Give the ids of the rows that nobody holds."""
    with cafe.db.begin() as conn:
        wanted = select(table.c.id).order_by(table.c.id).with_for_update(key_share=True, skip_locked=True)
        return conn.scalars(wanted).all()


@pytest.mark.parametrize("wait", [True, False])
def test_inboxes_and_guests_are_held_until_the_transaction_ends_and_no_others(cafe, wait):
    first, second, third = (cafe.guest() for _ in range(3))
    with cafe.db.begin() as conn:
        held = hold_group(conn, [first.email_id, second.email_id], [first.id], wait=wait)
        assert held == ([first.email_id, second.email_id], [first.id])
        assert first.email_id not in free(cafe, endpoints)
        assert third.email_id in free(cafe, endpoints)
        assert free(cafe, customers) == [second.id, third.id]
    assert free(cafe, customers) == [first.id, second.id, third.id]
    assert first.email_id in free(cafe, endpoints)


def test_without_waiting_those_of_others_are_left_out(cafe):
    first, second = (cafe.guest() for _ in range(2))
    with cafe.db.begin() as other, cafe.db.begin() as conn:
        hold_group(other, [first.email_id], [second.id], wait=True)
        both = ([first.email_id, second.email_id], [first.id, second.id])
        assert hold_group(conn, *both, wait=False) == ([second.email_id], [first.id])


@pytest.mark.parametrize("wait", [True, False])
def test_nobody_closes_the_gate_meanwhile_also_where_no_row_is_wanted(cafe, wait):
    (key,) = gate().clauses
    closed = select(func.pg_try_advisory_xact_lock(key))
    with cafe.db.begin() as conn:
        assert hold_group(conn, [], [], wait=wait) == ([], [])
        with cafe.db.begin() as other:
            assert other.scalar(closed) is False
    with cafe.db.begin() as other:
        assert other.scalar(closed) is True


def test_a_group_asks_the_server_as_often_as_one_message(cafe, tmp_path):
    """Held, asked, handed over; with the second also the answers to the first. The values of each are no way more."""
    asked: list[str] = []
    trails: list[str] = []  # of the claims, of two groups, of the answers to each

    def note(_conn: Any, _cursor: Any, statement: str, _given: Any, _context: Any, many: bool) -> None:
        asked.append("many" if many else statement.partition(" ")[0])
        if "INSERT INTO audit" in statement:
            trails.append("many" if many else "one")

    waiting(cafe, 16)
    post, seen = Post(most=8), []
    post.before_fence = asked.clear
    post.after_fence = lambda: seen.append([*asked])
    event.listen(cafe.db, "before_cursor_execute", note)
    assert send_due(a_desk(cafe, a_home(tmp_path), Clock(), email=post)).to_json() == {"sent": 16}
    assert seen == [["WITH", "SELECT", "WITH"], ["WITH", "SELECT", "WITH", "WITH"]]
    assert trails == ["one"] * 5
