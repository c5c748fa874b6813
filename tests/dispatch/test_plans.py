"""A dispatch costs what is due: whatever the ledger holds beside it is not gone through."""

from __future__ import annotations

from datetime import time, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import String, cast, event, insert, select, update

from connectors.base import Outcome
from engine.console import log
from engine.console.given_up import given_up
from engine.database.belonging import to_endpoint
from engine.database.months import analyze, make_months
from engine.database.tables import coupons, dispatches, rules
from engine.dispatch import abandoned, outbox
from engine.dispatch.approve import approve, cancel
from engine.dispatch.coupons import begin_days, of_matches
from engine.dispatch.erasure import erase
from engine.dispatch.soft_bounces import count_soft
from engine.dispatch.stages import send_due
from engine.dispatch.states import INSIDE
from tests.plans import walks

from .world import NOW, Cafe, Clock, Sink, a_desk, a_home

#: PostgreSQL goes by how much there is: of a test's few rows it may read any way. It sees what a partial index holds.
ON_SQLITE = pytest.mark.parametrize("db", ["sqlite"], indirect=True)
LEDGER = ("dispatches", "audit", "delivery_events", "matches", "payloads", "coupons", "customers", "endpoints")


@pytest.fixture
def years(cafe: Cafe) -> Cafe:
    """A café whose outbox holds something of everything, and much that is done."""
    with cafe.db.begin() as conn:
        make_months(conn, NOW)
    for state in ("sent", "rejected", "expired", "held", "claimed", "handoff", "uncertain", "dead"):
        cafe.message(state=state)
    cafe.message(expires_at=NOW)
    cafe.message(due_at=NOW + timedelta(days=1))
    sent = cafe.message(state="sent", finished_at=NOW)
    with cafe.db.begin() as conn:
        done = select(dispatches).where(dispatches.c.id == sent)
        row = {name: value for name, value in conn.execute(done).one()._asdict().items() if name != "id"}
        conn.execute(insert(dispatches), [row | {"part": part} for part in range(1, 1_000)])
        analyze(conn, "dispatches")
    return cafe


@ON_SQLITE
def test_a_dispatch_goes_through_no_table(years: Cafe, tmp_path: Any):
    years.message(channel="sms")
    years.message()
    desk = a_desk(
        years,
        a_home(tmp_path),
        Clock(),
        email=Sink([Outcome("not_now", "451")]),
        sms=Sink([Outcome("unknown", "timeout")]),
    )
    with walks(years.db, LEDGER) as found:
        assert send_due(desk).to_json()["expired"] == 1
        with years.db.begin() as conn:
            outbox.next_due(conn, desk.usable, until=NOW + timedelta(days=2))
            abandoned.lay_down(conn, desk.holder, NOW)
            outbox.not_handed(conn, "gone:1:1")
    assert found == []


@ON_SQLITE
def test_neither_does_a_provider_that_wants_fewer_messages(years: Cafe, tmp_path: Any):
    years.message(channel="sms")
    slow = Sink([Outcome("not_now", "429", channel="slow")])
    with walks(years.db, LEDGER) as found:
        send_due(a_desk(years, a_home(tmp_path), Clock(), sms=slow))
    assert (slow.asked, found) == (1, [])


@ON_SQLITE
def test_what_waits_for_a_person_is_found_by_itself(years: Cafe):
    with walks(years.db, LEDGER) as found, years.db.begin() as conn:
        given_up(conn, NOW)
        approve(conn, None, name="Ana", now=NOW, mode="first")
        cancel(conn, name="Ana", now=NOW, rule_id=conn.scalars(select(rules.c.rule)).first())
    assert found == []


@ON_SQLITE
def test_what_a_guest_got_or_was_to_get_is_found_by_the_matches(years: Cafe, tmp_path: Any):
    """What was not handed over is in no index of guests and addresses."""
    guest = years.guest()
    years.message(guest, "alert", state="sent", handed_at=NOW, provider_id="of a list")
    with walks(years.db, LEDGER) as found:
        with years.db.begin() as conn:
            count_soft(conn, guest.email_id, NOW, NOW)
            assert not conn.scalars(select(dispatches.c.id).where(to_endpoint(guest.sms_id))).all()
            list(log.entries(conn, log.Filters(customer_id=guest.id), ZoneInfo("UTC"), limit=5, reveal=False))
        erase(years.db, a_home(tmp_path), guest.id, now=NOW, actor="Ana")
    assert found == []


@ON_SQLITE
def test_a_walk_through_the_ledger_is_seen(years: Cafe):
    with walks(years.db, LEDGER) as found, years.db.begin() as conn:
        conn.execute(select(dispatches.c.id).where(dispatches.c.reason == "late")).all()
    assert found != []


@ON_SQLITE
def test_steps_and_alerts_are_found_behind_whatever_waits_before_them(years: Cafe, tmp_path: Any):
    """Each is looked for by its channel: a thousand emails that are due are no reason to go through them."""
    plans: list[str] = []

    def look(conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "earlier" in statement and "due_at <=" in statement:
            asked = conn.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append("\n".join(row[-1] for row in asked))

    event.listen(years.db, "before_cursor_execute", look)
    desk = a_desk(years, a_home(tmp_path), Clock(), email=Sink())
    send_due(desk)
    searched = [plan.count("ix_dispatches_due (channel=? AND due_at<?)") for plan in plans]
    assert set(searched) == {len(INSIDE), len({"alert"}), len(desk.usable)}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_coupons_of_a_portion_are_found_by_their_matches_however_many_are_drawn(cafe: Cafe, known: bool):
    """PostgreSQL last saw the coupons when none had a code, or never: by its reckoning, hardly any has one."""
    guest = cafe.guest()
    first, *_ = (cafe.match(guest) for _ in range(2))
    cafe.coupon(first, guest)
    with cafe.db.begin() as conn:
        done = conn.execute(select(dispatches)).one()._asdict()
        del done["id"]
        steps = insert(dispatches).returning(dispatches.c.id)
        more = conn.scalars(steps, [done | {"part": part} for part in range(1, 2_000)]).all()
        coupon = {"customer_id": guest.id, "offer": "cake", "terms": {}}
        conn.execute(insert(coupons), [coupon | {"dispatch_id": each} for each in more])
        if known:
            analyze(conn, "dispatches", "coupons", "matches")
        conn.execute(update(coupons).values(code=cast(coupons.c.id, String), valid_until=NOW))
    portion: Any = [SimpleNamespace(match_id=first + number, step=2, zone=None) for number in range(1, 101)]
    with walks(cafe.db, ["coupons", "dispatches"]) as found, cafe.db.begin() as conn:
        assert begin_days(conn, portion, NOW, time(4)) == 0
        assert of_matches(conn, [each.match_id for each in portion]) == {}
    assert found == []
