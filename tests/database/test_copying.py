"""Rows that the server takes while their owner goes on: what is told at the end, and that every end is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, active_count
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select

from engine.database import copying
from engine.database.bulk import Inserting, insert_unknown
from engine.database.complaints import explain
from engine.database.tables import customers, zones
from tests.database.test_bulk import ASKED, NAMES, guest, written

pytestmark = pytest.mark.parametrize("db", ["postgres"], indirect=True)


def begin(conn: Connection) -> Inserting:
    return insert_unknown(conn, customers, NAMES, [guest("a"), guest("b")], ASKED, look_first=False)


@contextmanager
def held_up(db: Engine) -> Iterator[Connection]:
    """Meanwhile a row that names zone 1 waits for a lock, and so does the end of its COPY."""
    with db.connect() as other, other.begin() as transaction:
        other.execute(select(zones.c.id).where(zones.c.id == 1).with_for_update())
        yield other
        transaction.rollback()


@pytest.fixture
def conn(db: Engine) -> Iterator[Connection]:
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="UTC"))
    threads = active_count()
    with db.connect() as conn:
        yield conn
    assert active_count() == threads
    with db.connect() as conn:
        assert written(conn) == []


def test_the_owner_goes_on_while_the_server_is_held_up(db: Engine, conn: Connection):
    with held_up(db):
        inserting = begin(conn)
    assert inserting.known() == {}
    assert [key for key, *_ in written(conn)] == ["a", "b"]
    conn.rollback()


def test_what_is_given_up_ends_at_once_and_is_not_there(db: Engine, conn: Connection):
    with held_up(db):
        begin(conn).give_up()
        conn.rollback()
        assert written(conn) == []


def test_an_interrupt_while_the_end_is_waited_for_ends_it(db: Engine, conn: Connection, monkeypatch: Any):
    join, interrupts = Thread.join, [KeyboardInterrupt]

    def interrupted(self: Thread, timeout: float | None = None) -> None:
        if interrupts:
            raise interrupts.pop()
        join(self, timeout)

    with held_up(db):
        inserting = begin(conn)
        monkeypatch.setattr(Thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            inserting.known()
        conn.rollback()
        assert written(conn) == []


def test_a_server_that_does_not_answer_is_left(db: Engine, conn: Connection, monkeypatch: Any):
    monkeypatch.setattr(copying, "_PATIENCE", 0.1)
    with held_up(db):
        inserting = begin(conn)
        raw: Any = conn.connection.driver_connection
        monkeypatch.setattr(type(raw), "cancel_safe", lambda *_, **__: None)
        inserting.give_up()
        assert raw.closed
        conn.invalidate()


def test_a_connection_that_the_server_ends_is_a_plain_sentence(db: Engine, conn: Connection):
    with held_up(db) as other:
        inserting = begin(conn)
        raw: Any = conn.connection.driver_connection
        other.execute(select(func.pg_terminate_backend(raw.info.backend_pid)))
        with pytest.raises(Exception) as lost:
            inserting.known()
    assert "server" in (explain(lost.value) or "")
    conn.invalidate()
