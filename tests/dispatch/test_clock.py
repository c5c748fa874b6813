"""A clock that jumps, and machines that were off: what nothing vouches for waits for a person."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, func, select

from engine.database.tables import dispatches, orders, runs
from engine.dispatch.approve import approve
from engine.evaluation.clock import Uptime, Watch
from engine.evaluation.runner import run_due
from engine.vocabulary.home import load_home

from .whole import BIRTHDAY, DAY, MORNING, send
from .world import CHICAGO

HOUR = timedelta(hours=1)


@pytest.fixture
def home(home, root, db):
    """With a rule that waits for no data; of the till nothing has come for a month."""
    (root / "rules" / "win-back.yaml").unlink()
    (root / "rules" / "birthday.yaml").write_text(BIRTHDAY)
    with db.begin() as conn:
        conn.execute(delete(orders).where(orders.c.external_id == "o2"))
    return load_home(root, {})


def run(db, home, at, uptime=None):
    result = run_due(db, home, at, watch=Watch(uptime))
    assert result.balanced
    return result


def let_go(db, at):
    with db.begin() as conn:
        return sum(each.released for each in approve(conn, "birthday", name="Ana", now=at, mode="first"))


def begin(db, home, at, uptime=None):
    run(db, home, at, uptime)
    let_go(db, at)


def held(db):
    with db.begin() as conn:
        return conn.scalars(select(dispatches.c.reason).where(dispatches.c.state == "held")).all()


@pytest.mark.parametrize("days", [1, 7, 30, 400])
def test_a_machine_that_was_off_for_days_asks_before_it_sends(db, home, days):
    begin(db, home, MORNING - days * DAY, Uptime("first", 100))
    result = run(db, home, MORNING, Uptime("second", 60))
    if days == 1:
        assert (held(db), result.notice) == ([], None)
        assert send(db, home, MORNING) == {"sent": 1}
        return
    assert held(db) == ["clock"]
    assert "`regulars approve --all`" in result.notice
    assert send(db, home, MORNING) == {}
    assert let_go(db, MORNING) == 1
    assert send(db, home, MORNING) == {"sent": 1}
    assert run(db, home, MORNING + 3 * HOUR).notice is None
    with db.begin() as conn:
        assert conn.scalars(select(runs.c.doubted).order_by(runs.c.id)).all() == [False, True, False]


def test_the_machines_own_seconds_vouch_for_a_long_pause(db, home):
    begin(db, home, MORNING - 7 * DAY, Uptime("first", 100))
    assert run(db, home, MORNING, Uptime("first", 100 + 7 * 86_400 - 300)).notice is None
    assert held(db) == []


@pytest.mark.parametrize("uptime", [Uptime("first", 900), Uptime("other", 100 + 7 * 86_400), None])
@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_other_seconds_do_not(db, home, uptime):
    begin(db, home, MORNING - 7 * DAY, Uptime("first", 100))
    assert "waits" in run(db, home, MORNING, uptime).notice
    assert held(db) == ["clock"]


@pytest.mark.parametrize(("age", "vouches"), [(47 * HOUR, True), (49 * HOUR, False), (-HOUR, False)])
def test_the_tills_newest_order_vouches(db, home, age, vouches):
    begin(db, home, MORNING - 7 * DAY)
    with db.begin() as conn:
        first = conn.execute(select(orders)).first()._asdict()
        conn.execute(orders.insert().values(**first | {"id": 99, "external_id": "o99", "ordered_at": MORNING - age}))
    run(db, home, MORNING)
    assert held(db) == ([] if vouches else ["clock"])


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_runs_after_a_jump_are_doubted_until_somebody_has_looked(db, home):
    """The clock jumps to the day before the birthday, and nobody has looked when the day comes."""
    begin(db, home, MORNING - 20 * DAY)
    assert run(db, home, MORNING - DAY).notice is None
    run(db, home, MORNING)
    assert held(db) == ["clock"]


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_clock_set_right_again_after_a_jump_holds_nothing_up(db, home):
    begin(db, home, MORNING - 60 * DAY)
    run(db, home, MORNING - 10 * DAY)
    right = run(db, home, MORNING - 59 * DAY)
    assert (right.notice, [each.due for each in right.rules]) == (None, [True])


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_clock_behind_the_last_believed_run_evaluates_nothing(db, home):
    begin(db, home, MORNING)
    back = run(db, home, MORNING - 2 * timedelta(minutes=1))
    assert (back.run, "nothing is evaluated" in back.notice) == (None, True)
    assert run(db, home, MORNING - timedelta(minutes=1)).notice is None


@pytest.mark.parametrize("day", [datetime(2026, 3, 8, tzinfo=CHICAGO), datetime(2026, 11, 1, tzinfo=CHICAGO)])
@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_the_change_of_the_clocks_is_no_jump(db, home, day):
    before = day - DAY
    for hours in range(0, 72, 12):
        assert run(db, home, before + hours * HOUR).notice is None
    with db.begin() as conn:
        assert conn.scalar(select(func.count()).where(runs.c.doubted)) == 0


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_rehearsal_is_no_clock(db, home):
    begin(db, home, MORNING - 20 * DAY)
    assert run_due(db, home, MORNING, started_at=MORNING - 20 * DAY).notice is None
    assert held(db) == []
