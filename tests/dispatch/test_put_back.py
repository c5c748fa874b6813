"""A database that is put back while somebody sends from it: what has gone out since goes out no second time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import OperationalError

from engine.database.places import copy_sqlite, file_of
from engine.database.tables import audit, dispatches, instance, payloads
from engine.dispatch import instance as instances
from engine.dispatch.instance import StrangeDatabaseError, Surroundings, recognise
from engine.dispatch.journal import JournalError
from engine.dispatch.stages import send_due, send_until

from .world import NOW, Clock, Sink, a_desk, a_home

HOUR = timedelta(hours=1)


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path / "journal", None, "machine-1")


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def desk(cafe, around, sink, tmp_path):
    recognise(cafe.db, around, NOW)
    return replace(a_desk(cafe, a_home(tmp_path), Clock(), email=sink), around=around)


class Backup:
    """All that a hand-over changes, as it was; put back in one transaction, as ``pg_restore -1`` does."""

    def __init__(self, db):
        self.db = db
        with db.begin() as conn:
            self.rows = [(each, conn.execute(select(each)).mappings().all()) for each in (dispatches, audit)]

    def put_back(self):
        with self.db.begin() as conn:
            for each in (payloads, audit, dispatches):
                conn.execute(delete(each))
            for each, rows in self.rows:
                if rows:
                    conn.execute(insert(each), [dict(row) for row in rows])


def once(act, then=lambda _: None):
    """Do ``act`` at the first call, and ``then`` at each."""
    left = [act]

    def called(*args):
        then(*args)
        if left:
            left.pop()()

    return called


def test_a_database_put_back_while_a_run_sleeps_sends_nothing_again(cafe, desk, sink):
    early, late = cafe.message(), cafe.message(due_at=NOW + 2 * HOUR)
    over = cafe.message(due_at=NOW + 2 * HOUR, expires_at=NOW + timedelta(minutes=1))
    backup = Backup(cafe.db)
    with pytest.raises(StrangeDatabaseError, match="restore --reconcile"):
        send_until(desk, until=NOW + 8 * HOUR, sleep=once(backup.put_back, desk.now.sleep))
    assert len(sink.accepted) == 1
    assert {cafe.state(each) for each in (early, late, over)} == {"pending"}  # nothing is done with what is older
    with pytest.raises(StrangeDatabaseError):
        send_due(desk)


def test_a_server_that_comes_back_with_less_than_it_had_sends_nothing_again(cafe, desk, sink):
    cafe.message()
    cafe.message(due_at=NOW + HOUR)
    backup = Backup(cafe.db)

    calls = []

    def before():
        calls.append(desk.now())
        if len(calls) == 2:
            backup.put_back()
            raise OperationalError("BEGIN", {}, psycopg.OperationalError("connection refused"))

    with pytest.raises(StrangeDatabaseError):
        send_until(desk, until=NOW + 8 * HOUR, sleep=desk.now.sleep, before=before)
    assert len(calls) == 3
    assert len(sink.accepted) == 1


def test_a_worker_looks_before_each_batch(cafe, desk, sink):
    made = [cafe.message() for _ in range(60)]
    backup = Backup(cafe.db)
    desk.progress = lambda _: backup.put_back() if len(sink.accepted) == 50 else None
    with pytest.raises(StrangeDatabaseError):
        send_due(desk)
    assert len(sink.accepted) == len({each.key for each in sink.accepted}) == 50
    assert {cafe.state(each) for each in made} == {"pending"}


def test_a_file_that_was_exchanged_under_a_run_is_noticed(cafe, desk, sink, tmp_path, db):
    if db.dialect.name != "sqlite":
        pytest.skip("a file")
    cafe.message()
    cafe.message(due_at=NOW + HOUR)
    copy_sqlite(db, tmp_path / "old.db")
    exchange = once(lambda: (tmp_path / "old.db").replace(file_of(db)), desk.now.sleep)
    with pytest.raises(StrangeDatabaseError):
        send_until(desk, until=NOW + 8 * HOUR, sleep=exchange)
    assert len(sink.accepted) == 1


def test_what_is_sent_after_a_reconciliation_bears_the_name_that_it_gave(cafe, desk, sink, db):
    cafe.message()
    cafe.message(due_at=NOW + HOUR)

    def renamed():
        with db.begin() as conn:
            before = conn.scalar(select(instance.c.identity))
            trail = {"at": NOW, "actor": "Ana", "action": "reconcile", "before": before, "after": "f" * 32}
            conn.execute(insert(audit).values(**trail))
            conn.execute(instance.update().values(identity="f" * 32))

    send_until(desk, until=NOW + 8 * HOUR, sleep=once(renamed, desk.now.sleep))
    assert len(sink.accepted) == 2
    assert desk.journal.last.identity == "f" * 32


def test_a_journal_that_cannot_be_read_lets_nothing_leave(cafe, desk, sink, around):
    message = cafe.message()
    (around.journal / "2026-05.log").mkdir(parents=True)
    with pytest.raises(JournalError, match=r"2026-05\.log"):
        send_due(desk)
    assert (sink.asked, cafe.state(message)) == (0, "pending")


def test_who_only_looks_takes_no_run_for_a_restore(cafe, desk, around, db, monkeypatch):
    cafe.message()
    read = instances.journal.last

    def sent_meanwhile(*args):
        latest = read(*args)
        if not desk.summary.states:
            desk.around = None
            send_due(desk)
        return latest

    monkeypatch.setattr(instances.journal, "last", sent_meanwhile)
    assert instances.strange(db, around) is None
    assert desk.summary.states == {"sent": 1}
    assert instances.strange(db, around) is None
