"""A long import beside opt-outs and messages in the moment of sending: nobody waits for what is not theirs.

On PostgreSQL, where writers work side by side; SQLite has one writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
from sqlalchemy import BigInteger, cast, column, func, insert, null, select, table

from engine.database.consent import block_reason, lock_endpoint, record_consent
from engine.database.facts import rebuild, recompute
from engine.database.facts_delta import apply_delta
from engine.database.tables import consents, customers, endpoints, orders, points
from engine.language.compliance import ImpliedTerms
from tests.intake.conftest import Home, csv

pytestmark = pytest.mark.parametrize("db", ["postgres"], indirect=True)

HEADER = "customer_id,name,email,email_consent"
ANN, BO = 1, 2


@dataclass
class Beside:
    """What goes on at the same time in threads of its own."""

    home: Home
    pool: ThreadPoolExecutor

    def start(self, what: Callable[[], Any]) -> Future[Any]:
        return self.pool.submit(what)

    @contextmanager
    def open_import(self, text: str) -> Iterator[None]:
        """An import that has written everything and has not committed."""
        written, go_on = Event(), Event()

        def wait(read: int, size: int) -> None:
            if read == size:
                written.set()
                assert go_on.wait(20)

        importing = self.start(lambda: self.home.take(text, progress=wait))
        assert written.wait(20)
        try:
            yield
        finally:
            go_on.set()
            assert not importing.result(20).failed

    def waits(self, other: Future[Any]) -> bool:
        """Whether the other comes to wait for a lock; False when it ends without."""
        everyone = table("pg_stat_activity", column("datname"), column("wait_event_type"))
        here = everyone.c.datname == func.current_database()  # the server's other databases are other tests'
        waiting = select(func.count()).select_from(everyone).where(here, everyone.c.wait_event_type == "Lock")
        until = time.monotonic() + 20
        while not other.done() and time.monotonic() < until:
            with self.home.db.connect() as conn:
                if conn.scalar(waiting):
                    return True
        return False

    def fence(self, endpoint_id: int) -> str | None:
        """What the fence asks: locks the endpoint and reads why nothing may go there."""
        with self.home.db.begin() as conn:
            lock_endpoint(conn, endpoint_id)
            reached = select(endpoints.c.id).where(endpoints.c.id == endpoint_id).scalar_subquery()
            nobody = cast(null(), BigInteger)
            why = block_reason(reached, nobody, purpose="marketing", topic=None, implied=ImpliedTerms())
            return conn.scalar(select(why))


@pytest.fixture
def beside(home: Home) -> Iterator[Beside]:
    home.take(csv(HEADER, "1,Ann,ann@example.com,yes", "2,Bo,bo@example.com,"))
    with ThreadPoolExecutor(4) as pool:
        yield Beside(home, pool)


def test_guests_who_are_written_with_an_address_do_not_hold_what_goes_to_it(beside: Beside):
    with beside.open_import(csv(HEADER, "1,Anna,ann@example.com,yes", "3,Ann's sister,ann@example.com,")):
        assert beside.start(lambda: beside.fence(ANN)).result(5) is None


def test_a_no_in_an_import_is_waited_for_and_obeyed(beside: Beside):
    with beside.open_import(csv(HEADER, "1,Ann,ann@example.com,no")):
        fence = beside.start(lambda: beside.fence(ANN))
        assert beside.waits(fence)
    assert fence.result(20) == "no_consent"


def test_an_undated_yes_that_meets_an_opt_out_under_way_waits_for_it_and_undoes_nothing(beside: Beside):
    home = beside.home
    with home.db.begin() as conn:
        record_consent(conn, BO, "no", at=home.now, source="form")
        importing = beside.start(lambda: home.take(csv(HEADER, "2,Bo,bo@example.com,yes")))
        assert beside.waits(importing)
    assert not importing.result(20).failed
    assert home.rows(consents, "endpoint_id", "state") == [(ANN, "yes"), (BO, "no")]


def test_what_both_write_does_not_lock_the_two_against_each_other(beside: Beside):
    """The import takes the endpoint before the guest, as whoever sends does."""
    home = beside.home
    with home.db.begin() as conn:
        lock_endpoint(conn, ANN)
        importing = beside.start(lambda: home.take(csv(HEADER, "1,Anna,ann@example.com,no")))
        assert beside.waits(importing)
        conn.execute(select(customers.c.id).where(customers.c.id == 1).with_for_update(nowait=True))
    assert importing.result(20).changed == 1


@pytest.mark.parametrize("by_delta", [True, False], ids=["new orders", "corrections"])
def test_facts_that_an_import_is_writing_are_made_anew_of_what_it_wrote(beside: Beside, by_delta: bool):
    """A step that gives points waits for the row: what it read before the import's end is no longer true then."""
    home = beside.home

    def gives_points() -> None:
        with home.db.begin() as conn:
            lot = {"source": "x", "external_id": "1", "customer_id": ANN, "at": home.now, "points": 50}
            conn.execute(insert(points).values(**lot, ledger="points"))
            recompute(conn, [ANN], home.now)

    with home.db.begin() as conn:
        order = {"source": "csv", "external_id": "1", "customer_id": ANN, "ordered_at": home.now, "total": 500}
        conn.execute(insert(orders).values(**order, day=home.now.toordinal(), clock=600))
        if by_delta:
            apply_delta(conn, after_id=0, as_of=home.now)
        else:
            recompute(conn, [ANN], home.now)
        step = beside.start(gives_points)
        assert beside.waits(step)
    step.result(20)
    facts = home.facts("1")
    assert (facts["orders"], facts["points"]) == (1, 50)


def test_an_import_that_begins_while_all_facts_are_made_anew_is_in_them(beside: Beside):
    home = beside.home
    with home.db.begin() as conn:
        rebuild(conn, home.now)
        importing = beside.start(
            lambda: home.take(csv("order_id,customer_id,ordered_at,total", "1,1,2026-03-01 10:00,5"))
        )
        assert beside.waits(importing)
    assert importing.result(20).new == 1
    assert home.facts("1")["orders"] == 1


@pytest.mark.parametrize("guest", ["", "1"])
def test_a_file_that_is_taken_in_twice_at_once_is_taken_in_once(beside: Beside, guest: str):
    home = beside.home
    text = csv(
        "order_id,customer_id,ordered_at,total", f"1,{guest},2026-03-01 10:00,5", f"2,{guest},2026-03-01 11:00,6"
    )
    with beside.open_import(text):
        again = beside.start(lambda: home.take(text, "again.csv"))
        assert beside.waits(again)
    report = again.result(20)
    assert (report.failed, report.new, report.unchanged) == (False, 0, 2)
    assert home.rows(orders, "external_id", "total") == [("1", 500), ("2", 600)]
    assert home.facts("1")["orders"] == (2 if guest else 0)
