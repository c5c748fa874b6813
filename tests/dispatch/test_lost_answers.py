"""The answer to a commit that was lost on the way: the commit stands, or it does not, and whoever asks again looks first."""

import sqlite3

import psycopg
import pytest
from sqlalchemy import select

from connectors.base import Outcome
from engine.database.tables import channels
from engine.dispatch import handing
from engine.dispatch.stages import send_due

from .world import Clock, Sink, a_desk, a_home


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def lose(cafe, monkeypatch):
    """Call ``lose()``: the next commit is made (or, ``made=False``, not), and then the connection is gone."""
    dialect = cafe.db.dialect
    error = psycopg.OperationalError("server closed the connection unexpectedly")
    if dialect.name == "sqlite":
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    really, due = dialect.do_commit, []

    def commit(raw):
        if not due:
            return really(raw)
        (really if due.pop(0) else dialect.do_rollback)(raw)
        raise error

    monkeypatch.setattr(dialect, "do_commit", commit)
    return lambda *made: due.extend(made or [True])


@pytest.mark.parametrize("made", [[True], [False], [False, True], [True, True]])
def test_at_the_fence_the_message_goes_once_and_only_where_the_commit_stands(cafe, home, lose, made):
    message, sink = cafe.message(), Sink()
    sink.before_fence = lambda: lose(*made)
    desk = a_desk(cafe, home, Clock(), email=sink)
    if made == [True, True]:  # what looks whether it stands loses its answer too: then it stays
        with pytest.raises(Exception, match=r"closed the connection|locked"):
            send_due(desk)
        assert (cafe.state(message), sink.accepted) == ("handoff", [])
        return
    assert send_due(desk).to_json() == {"sent": 1}
    assert (cafe.state(message), len(sink.accepted)) == ("sent", 1)
    assert cafe.row(message).provider_id == "p1"


def test_where_a_no_was_written_the_run_goes_on(cafe, home, lose):
    message, other, sink = cafe.message(), cafe.message(), Sink()

    def opt_out_and_lose():
        if sink.asked == 1:
            cafe.opt_out(cafe.row(message).endpoint_id)
            lose()

    sink.before_fence = opt_out_and_lose
    send_due(a_desk(cafe, home, Clock(), email=sink))
    assert (cafe.state(message), cafe.state(other), len(sink.accepted)) == ("blocked", "sent", 1)


@pytest.mark.parametrize("made", [True, False])
def test_an_outcome_is_written_and_counted_once(cafe, home, lose, made):
    message = cafe.message()

    class Refuses(Sink):
        def send(self, _, handoff):
            handoff()
            lose(made)
            return Outcome("not_now", "451", channel="failure")

    summary = send_due(a_desk(cafe, home, Clock(), email=Refuses()))
    assert (cafe.outcome(message), summary.to_json()) == ("pending: not_now", {"pending": 1})
    with cafe.db.begin() as conn:
        assert conn.scalar(select(channels.c.failures)) == 1


def test_what_ails_the_disk_is_not_tried_again_at_the_fence(cafe, home, monkeypatch):
    message, asked = cafe.message(), []
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def broken(*_, **__):
        asked.append(None)
        raise handing.OperationalError("COMMIT", {}, error)

    monkeypatch.setattr(handing, "pass_fence", broken)
    sink = Sink()
    with pytest.raises(handing.OperationalError):
        send_due(a_desk(cafe, home, Clock(), email=sink))
    assert (cafe.state(message), sink.accepted, len(asked)) == ("claimed", [], 1)


def test_an_answer_is_waited_for_as_long_as_a_restart_takes(cafe, home, monkeypatch):
    message, slept, really = cafe.message(), [], handing.record
    error = handing.OperationalError("COMMIT", {}, psycopg.OperationalError("connection refused"))

    def away(*args, **how):
        if sum(slept) < 8:
            raise error
        return really(*args, **how)

    monkeypatch.setattr(handing, "record", away)
    desk = a_desk(cafe, home, Clock())
    desk.sleep = slept.append
    send_due(desk)
    assert cafe.state(message) == "sent"
    assert 8 <= sum(slept) < 60
