"""The generated café over a whole week, as cron would run it: `regulars run --wait` at six every morning."""

import os
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from engine.database.engines import open_db
from engine.database.migrations import migrate
from engine.database.tables import audit, customers, dispatches, endpoints, matches, orders, rules, runs, zones
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_until
from engine.evaluation.runner import run_due
from engine.intake.inbox import take_in
from engine.language.times import is_open
from engine.starter.cafe import write_cafe
from engine.starter.home import DEMO_ANSWERS, create_home
from engine.vocabulary.home import load_home

ZONE = ZoneInfo("America/Chicago")
MONDAY = date(2026, 5, 4)
DAYS = 7


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), ZONE).astimezone(UTC)


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    root: Path = tmp_path_factory.mktemp("week") / "home"
    create_home(root, answers=DEMO_ANSWERS)
    write_cafe(root / "inbox")
    home = load_home(root, os.environ)
    db = open_db(home.config.database_url)
    migrate(db)
    assert not [report.problem for report in take_in(db, home.config, home.key, at(MONDAY, 5)) if report.failed]
    results = []
    for number in range(DAYS):
        clock = [at(MONDAY + timedelta(days=number), 6)]
        results.append(run_due(db, home, clock[0]))
        with db.begin() as conn:
            approve(conn, None, name="Dana", now=clock[0], mode="first")
        desk = open_desk(db, home, now=lambda clock=clock: clock[0])

        def sleep(seconds: float, clock=clock) -> None:
            clock[0] += timedelta(seconds=seconds)

        send_until(desk, until=at(MONDAY + timedelta(days=number + 1), 3, 59), sleep=sleep)
        desk.close()
    yield home, db, results
    db.dispose()


def test_every_rule_finds_guests_and_every_day_balances(week):
    _, db, results = week
    assert all(result.balanced and result.notice is None for result in results)
    assert not [rule.problems for result in results for rule in result.rules if rule.problems]
    with db.connect() as conn:
        counted = select(rules.c.rule, func.count()).join(matches, matches.c.rule_id == rules.c.id)
        found = dict(map(tuple, conn.execute(counted.group_by(rules.c.rule))))
        assert len(found) == 12
        assert conn.scalar(select(func.count()).select_from(runs).where(runs.c.state != "done")) == 0


def test_everything_that_is_due_in_the_week_goes_out_on_its_day(week):
    _, db, _ = week
    end = at(MONDAY + timedelta(days=DAYS), 3, 59)
    with db.connect() as conn:
        left = conn.execute(
            select(dispatches.c.id, dispatches.c.state).where(
                dispatches.c.due_at <= end, dispatches.c.state.in_(("held", "pending", "claimed", "handoff"))
            )
        ).all()
        assert left == []
        assert conn.scalar(select(func.count()).where(dispatches.c.state.in_(("uncertain", "dead", "expired")))) == 0
        sent = conn.execute(
            select(dispatches.c.id, dispatches.c.due_at, dispatches.c.handed_at).where(
                dispatches.c.state == "sent", dispatches.c.channel.in_(("email", "sms"))
            )
        ).all()
        moved = set(conn.scalars(select(audit.c.dispatch_id).where(audit.c.after == "pending", audit.c.who == "staff")))
    assert len(sent) > 250
    late = [row.id for row in sent if row.handed_at.astimezone(ZONE).date() != row.due_at.astimezone(ZONE).date()]
    assert not set(late) - moved


def test_nobody_is_written_to_outside_the_hours_or_past_the_caps(week):
    home, db, _ = week
    with db.connect() as conn:
        rows = conn.execute(
            select(dispatches, endpoints.c.channel.label("by"), zones.c.name.label("zone"))
            .join(endpoints, endpoints.c.id == dispatches.c.endpoint_id)
            .join(customers, customers.c.id == dispatches.c.customer_id)
            .join(zones, zones.c.id == customers.c.zone_id)
            .where(dispatches.c.state == "sent")
        ).all()
    a_day: Counter[tuple[int, int]] = Counter()
    for row in rows:
        assert is_open(row.handed_at, ZoneInfo(row.zone), home.config.hours[row.by])
        if row.purpose == "marketing":
            for whose in (("customer", row.customer_id), ("endpoint", row.endpoint_id)):
                a_day[(*whose, row.handed_day)] += 1
    assert max(a_day.values()) == 1


def test_each_message_is_one_file_and_nobody_who_has_been_in_since_is_reminded(week):
    home, db, _ = week
    ids = Counter(message_from_bytes(file.read_bytes())["Message-ID"] for file in (home.root / "outbox").glob("*.eml"))
    assert set(ids.values()) == {1}
    with db.connect() as conn:
        sent = conn.scalar(select(func.count()).where(dispatches.c.state == "sent", dispatches.c.channel == "email"))
        assert sum(ids.values()) >= sent
        returned = (
            select(dispatches.c.id)
            .join(matches, matches.c.id == dispatches.c.match_id)
            .join(rules, rules.c.id == dispatches.c.rule_id)
            .where(
                rules.c.rule == "win-back",
                dispatches.c.state == "sent",
                dispatches.c.channel == "sms",
                select(orders.c.id)
                .where(
                    orders.c.customer_id == matches.c.customer_id,
                    orders.c.ordered_at > matches.c.matched_at,
                    orders.c.ordered_at < dispatches.c.handed_at,
                )
                .exists(),
            )
        )
        assert conn.execute(returned).all() == []


def test_the_same_mornings_again_add_nothing(week):
    home, db, results = week
    last = results[-1].as_of
    with db.connect() as conn:
        before = conn.scalar(select(func.count()).select_from(matches))
    for rule in home.rules:
        assert run_due(db, home, last, only=rule.id).rules[0].matched == 0
    with db.connect() as conn:
        assert conn.scalar(select(func.count()).select_from(matches)) == before
