"""`run --wait`: a run that stays until the day's messages are out, on a clock that only sleeping moves."""

from datetime import UTC, datetime

import pytest

from connectors.base import Outcome
from engine.dispatch.claims import claim
from engine.dispatch.stages import send_until

from .world import CHICAGO, NOW, Clock, Sink, a_desk, a_home


def chicago(day, hour, minute=0):
    return datetime(2026, 5, day, hour, minute, tzinfo=CHICAGO).astimezone(UTC)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def clock():
    return Clock()


class TestStayingUntilTheDayIsDone:
    def test_a_run_at_six_sends_everything_at_its_hour_and_ends(self, cafe, home, clock):
        clock.at = chicago(4, 6)
        mail, text = cafe.message(due_at=chicago(4, 6)), cafe.message(channel="sms", due_at=chicago(4, 10))
        tomorrow = cafe.message(due_at=chicago(5, 8))
        at = {}
        sinks = {name: Sink() for name in ("email", "sms")}
        for name, sink in sinks.items():
            sink.before_fence = lambda name=name: at.setdefault(name, clock.local())
        send_until(a_desk(cafe, home, clock, **sinks), until=chicago(5, 4), sleep=clock.sleep)
        assert at == {"email": "Mon 08:00", "sms": "Mon 10:00"}
        assert [cafe.state(each) for each in (mail, text, tomorrow)] == ["sent", "sent", "pending"]
        assert clock.local() == "Mon 10:00"

    def test_a_capped_message_is_left_to_its_day(self, cafe, home, clock):
        guest = cafe.guest()
        first, second = cafe.message(guest), cafe.message(guest)
        send_until(a_desk(cafe, home, clock), until=chicago(5, 4), sleep=clock.sleep)
        assert (cafe.state(first), cafe.outcome(second)) == ("sent", "pending: capped")
        assert clock.slept == []

    def test_a_server_that_says_later_is_asked_later(self, cafe, home, clock):
        message = cafe.message()
        sink = Sink([Outcome("not_now", "451"), Outcome("not_now", "451")])
        send_until(a_desk(cafe, home, clock, email=sink), until=chicago(5, 4), sleep=clock.sleep)
        assert cafe.state(message) == "sent"
        assert sum(clock.slept) == 15 * 60

    def test_a_breaker_is_waited_for(self, cafe, home, clock):
        made = [cafe.message() for _ in range(6)]
        down = Outcome("not_now", "early refused at connect", channel="failure")
        send_until(a_desk(cafe, home, clock, email=Sink([down] * 7)), until=chicago(5, 4), sleep=clock.sleep)
        assert {cafe.state(each) for each in made} == {"sent"}

    def test_a_stopped_channel_is_not_waited_for(self, cafe, home, clock):
        cafe.message()
        stop = Outcome("not_now", "early 535", channel="stop", counts_attempt=False)
        send_until(a_desk(cafe, home, clock, email=Sink([stop])), until=chicago(5, 4), sleep=clock.sleep)
        assert clock.slept == []

    def test_nor_is_one_that_somebody_else_holds(self, cafe, home, clock):
        cafe.message()
        with cafe.db.begin() as conn:
            claim(conn, now=NOW, holder="elsewhere:1:a", usable=["email"], limit=1)
        send_until(a_desk(cafe, home, clock), until=chicago(5, 4), sleep=clock.sleep)
        assert clock.slept == []
