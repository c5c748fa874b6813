"""Claims on PostgreSQL look only into the months in which something waits, in the order of the index of what is due."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from engine.database import months
from engine.database.months import make_months
from engine.dispatch.claims import claim
from engine.dispatch.stages import send_due

from .world import NOW, Clock, a_desk, a_home

POSTGRES = pytest.mark.parametrize("db", ["postgres"], indirect=True)


def claimed(cafe, conn):
    return [each.id for each in claim(conn, now=NOW, holder="here:1:1", usable=["email"], limit=9)]


@POSTGRES
def test_a_claim_opens_the_partitions_in_which_something_waits_and_sorts_nothing(cafe):
    with cafe.db.begin() as conn:
        make_months(conn, NOW, ahead=3)
    first, second = cafe.message(), cafe.message()
    asked = []
    with cafe.db.begin() as conn:

        @event.listens_for(conn, "before_cursor_execute")
        def note(_conn, _cursor, statement, parameters, _context, _many):
            if "SKIP LOCKED" in statement:
                asked.append((statement, parameters))

        assert claimed(cafe, conn) == [first, second]
        (statement, parameters) = asked[0]
        conn.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a table of two rows is read faster without its index
        plan = conn.connection.cursor().execute(f"EXPLAIN {statement}", parameters).fetchall()
    told = "\n".join(line for (line,) in plan)
    assert "dispatches_202605_channel_due_at_priority_id_idx" in told
    assert "dispatches_202606" not in told
    assert "dispatches_default" not in told
    assert "Sort" not in told


@pytest.mark.parametrize("month", [202605, 202701])
def test_what_has_come_into_another_month_is_found_where_else_nothing_waits(cafe, month, monkeypatch):
    monkeypatch.setattr(months.time, "monotonic", moments().__next__)
    with cafe.db.begin() as conn:
        make_months(conn, NOW)
    first = cafe.message(month=202606)
    with cafe.db.begin() as conn:
        assert claimed(cafe, conn) == [first]
    second = cafe.message(month=month)  # one with a partition, or one whose rows are in that by default
    with cafe.db.begin() as conn:
        assert claimed(cafe, conn) == [second]


@POSTGRES
def test_what_was_decided_a_moment_ago_as_the_first_of_its_month_is_sent(cafe, tmp_path, monkeypatch):
    monkeypatch.setattr(months, "time", SimpleNamespace(monotonic=lambda: 5.0))  # all within one moment
    desk = a_desk(cafe, a_home(tmp_path), Clock())
    cafe.message(month=202606, due_at=NOW + timedelta(days=1))
    send_due(desk)
    second = cafe.message(month=202605)
    send_due(desk)
    assert cafe.state(second) == "sent"


def moments():
    at = timedelta(hours=1).total_seconds()
    while True:
        at += 2
        yield at
