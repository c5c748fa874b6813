"""`run --wait`: a run that stays until the day's messages are out, on a clock that only sleeping moves."""

import sqlite3
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from connectors.base import Outcome
from engine.dispatch import handing
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

    def test_a_provider_that_says_too_many_is_asked_less_often_and_gets_all(self, cafe, home, clock):
        made = [cafe.message(channel="sms") for _ in range(5)]
        sink = Sink([Outcome("not_now", "twilio 20429", retry_at=NOW + timedelta(seconds=45), channel="slow")])
        send_until(a_desk(cafe, home, clock, sms=sink), until=chicago(5, 4), sleep=clock.sleep)
        assert {cafe.state(each) for each in made} == {"sent"}
        assert sink.asked == 6  # the four others of the batch were not tried before the time
        assert clock.slept[0] == 45
        assert clock.slept[1:] == [60, 60]  # one in the first minute, and then two

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


class Away:
    """A database that the test makes unusable for every transaction until a moment of its clock."""

    def __init__(self, db, clock):
        self.clock, self.back_at, self.met = clock, None, 0
        self.error = psycopg.OperationalError("connection refused")
        if db.dialect.name == "sqlite":
            self.error = sqlite3.OperationalError("database is locked")
            self.error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        event.listen(db, "begin", self)

    def __call__(self, _):
        if self.back_at is not None and self.clock() < self.back_at:
            self.met += 1
            raise OperationalError("BEGIN", {}, self.error)

    def for_so_long(self, **time):
        self.back_at = self.clock() + timedelta(**time)


class TestADatabaseThatIsAway:
    @pytest.fixture
    def away(self, cafe, clock):
        return Away(cafe.db, clock)

    def test_is_slept_over_and_told_once(self, cafe, home, clock, away):
        message, desk = cafe.message(), a_desk(cafe, home, clock)
        away.for_so_long(minutes=40)
        summary = send_until(desk, until=chicago(5, 4), sleep=clock.sleep)
        assert cafe.state(message) == "sent"
        assert clock.slept == [30, 60, 120, 240, 480, 900, 900]
        (told,) = summary.problems
        assert told.startswith("For a while messages waited for the database. The ")

    def test_until_the_day_is_over_and_then_it_is_an_error(self, cafe, home, clock, away):
        cafe.message()
        desk = a_desk(cafe, home, clock)
        away.for_so_long(days=2)
        with pytest.raises(OperationalError):
            send_until(desk, until=chicago(5, 4), sleep=clock.sleep)
        assert chicago(5, 4) <= clock.at <= chicago(5, 4, 16)

    def test_at_the_fence_three_times_spoils_no_message_and_sends_it_once(self, cafe, home, clock, away):
        first, second = cafe.message(), cafe.message()
        sink, times = Sink(), iter(range(4))
        sink.before_fence = lambda: away.for_so_long(minutes=1) if next(times, None) is not None else None
        send_until(a_desk(cafe, home, clock, email=sink), until=chicago(5, 4), sleep=clock.sleep)
        assert [cafe.state(each) for each in (first, second)] == ["sent", "sent"]
        assert len(sink.accepted) == 2
        assert cafe.row(first).rescues == 0

    def test_after_a_yes_is_slept_over_too_and_then_the_yes_is_written(self, cafe, home, clock, away):
        message = cafe.message()

        class Accepts(Sink):
            def send(self, message, handoff):
                outcome = super().send(message, handoff)
                away.for_so_long(minutes=1)
                return outcome

        sink = Accepts()
        summary = send_until(a_desk(cafe, home, clock, email=sink), until=chicago(5, 4), sleep=clock.sleep)
        assert (cafe.outcome(message), len(sink.accepted)) == ("sent", 1)
        assert summary.to_json() == {"sent": 1}

    def test_for_a_moment_after_a_yes_is_asked_again_and_the_yes_is_written(self, cafe, home, clock, monkeypatch):
        message = cafe.message()
        error, tries = OperationalError("BEGIN", {}, Exception()), iter(range(2))

        def record(*args, really=handing.record, **how):
            if next(tries, None) is not None:
                raise error
            return really(*args, **how)

        monkeypatch.setattr(handing, "record", record)
        send_until(a_desk(cafe, home, clock), until=chicago(5, 4), sleep=clock.sleep)
        assert cafe.state(message) == "sent"

    def test_a_mistake_of_the_program_is_not_slept_over(self, cafe, home, clock, away):
        away.error = Exception("no such table: dispatches")
        away.for_so_long(minutes=1)
        with pytest.raises(OperationalError):
            send_until(a_desk(cafe, home, clock), until=chicago(5, 4), sleep=clock.sleep)
        assert clock.slept == []
