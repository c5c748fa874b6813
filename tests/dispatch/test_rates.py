"""So many messages a minute: the owner's rate, the provider's, and both for all workers together."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from connectors.base import Outcome
from engine.database.tables import channels
from engine.dispatch import claims
from engine.dispatch.desk import rates_of
from engine.dispatch.stages import send_due, send_until, stay_for_rate

from .world import CONFIG, NOW, Clock, Sink, a_desk, a_home

MINUTE = timedelta(minutes=1)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path, CONFIG.replace("  from: Corner", "  per_minute: 4\n  from: Corner"))


@pytest.fixture
def clock():
    return Clock()


def worker(cafe, home, clock, sink, **others):
    desk = a_desk(cafe, home, clock, email=sink, **others)
    desk.rates = rates_of(home.config)
    return desk


class Timed(Sink):
    """Knows when it accepted what."""

    def __init__(self, clock, answers=()):
        super().__init__(list(answers))
        self.clock, self.times = clock, []

    def send(self, message, handoff):
        outcome = super().send(message, handoff)
        if outcome.kind == "sent":
            self.times.append((self.clock() - NOW).total_seconds())
        return outcome


def test_a_run_sends_what_a_minute_allows_and_waits_for_the_next(cafe, home, clock):
    for _ in range(10):
        cafe.message()
    sink = Timed(clock)
    desk = worker(cafe, home, clock, sink)
    assert send_due(desk).to_json() == {"sent": 4}
    assert stay_for_rate(desk, until=NOW + timedelta(minutes=10), sleep=clock.sleep).to_json() == {"sent": 10}
    assert sink.times == [0] * 4 + [60] * 4 + [120] * 2
    assert clock.slept == [60, 60]


def test_it_does_not_wait_for_a_minute_after_its_time_nor_without_need(cafe, home, clock):
    for _ in range(6):
        cafe.message()
    desk = worker(cafe, home, clock, Timed(clock))
    send_due(desk)
    assert stay_for_rate(desk, until=NOW + timedelta(seconds=59), sleep=clock.sleep).to_json() == {"sent": 4}
    assert stay_for_rate(desk, until=NOW + MINUTE, sleep=clock.sleep).to_json() == {"sent": 6}
    stay_for_rate(desk, until=NOW + 60 * MINUTE, sleep=clock.sleep)
    assert clock.slept == [60]


def test_a_waiting_run_sleeps_to_the_minutes_end_and_not_in_between(cafe, home, clock):
    for _ in range(9):
        cafe.message()
    sink = Timed(clock)
    send_until(worker(cafe, home, clock, sink), until=NOW + 60 * MINUTE, sleep=clock.sleep)
    assert sink.times == [0] * 4 + [60] * 4 + [120]
    assert clock.slept == [60, 60]


def test_two_workers_count_together(cafe, home, clock):
    for _ in range(9):
        cafe.message()
    sink = Timed(clock)
    one, two = worker(cafe, home, clock, sink), worker(cafe, home, clock, sink)
    for desk, limit in ((one, 3), (two, None), (one, None)):
        send_due(desk, limit=limit)
    assert sink.times == [0] * 4
    clock.at += MINUTE
    send_due(two, limit=2)
    send_due(one)
    assert sink.times == [0] * 4 + [60] * 4


def test_the_other_channel_is_not_kept_back(cafe, home, clock):
    for _ in range(6):
        cafe.message()
        cafe.message(channel="sms")
    sms = Sink()
    send_due(worker(cafe, home, clock, Timed(clock), sms=sms))
    assert len(sms.accepted) == 6


def test_what_a_provider_allows_counts_where_it_is_less_and_never_where_it_is_more(cafe, home, clock):
    for _ in range(30):
        cafe.message()
    slow = Outcome("not_now", "429", channel="slow")
    sink = Timed(clock, [Outcome("sent", "250")] * 2 + [slow])
    send_due(worker(cafe, home, clock, sink))
    with cafe.db.begin() as conn:
        assert conn.scalar(select(channels.c.rate)) < 4
        conn.execute(update(channels).values(open_until=None))
    before = len(sink.times)
    clock.at += 2 * MINUTE
    send_due(worker(cafe, home, clock, sink))
    assert len(sink.times) - before <= 2
    with cafe.db.begin() as conn:
        conn.execute(update(channels).values(rate=500))
    clock.at += 2 * MINUTE
    before = len(sink.times)
    send_due(worker(cafe, home, clock, sink))
    assert len(sink.times) - before == 4


def test_alerts_count_and_wait_for_the_minutes_end(cafe, home, clock):
    for _ in range(4):
        cafe.message()
    sink = Timed(clock)
    send_due(worker(cafe, home, clock, sink))
    clock.at += timedelta(seconds=20)
    with cafe.db.begin() as conn:
        until = claims.health.admit(conn, "email", clock(), rates_of(home.config))
    assert until == NOW + MINUTE
    with cafe.db.begin() as conn:
        assert claims.health.admit(conn, "email", NOW + MINUTE, rates_of(home.config)) is None
    cafe.message()
    clock.at = NOW + MINUTE
    assert send_due(worker(cafe, home, clock, sink), limit=1).to_json() == {"sent": 1}
    with cafe.db.begin() as conn:
        assert conn.scalar(select(channels.c.taken)) == 2


def test_without_a_rate_nothing_is_counted(cafe, tmp_path, clock):
    home = a_home(tmp_path)
    assert rates_of(home.config) == {}
    for _ in range(60):
        cafe.message()
    assert send_due(worker(cafe, home, clock, Timed(clock))).to_json() == {"sent": 60}
    with cafe.db.begin() as conn:
        assert conn.execute(select(channels)).all() == []
