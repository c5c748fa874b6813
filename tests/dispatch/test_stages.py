"""Messages on their whole way, through real templates: what goes out, what waits, and what stops nobody else."""

import email
import email.policy
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from connectors.base import Outcome
from connectors.file import FileConnector
from engine.database.tables import customers, dispatches, payloads, switch
from engine.dispatch import handing
from engine.dispatch.channels import CannotSendError
from engine.dispatch.fence import Policy
from engine.dispatch.stages import send_due
from engine.language.rule import Step
from engine.vocabulary.actions import Email

from .world import CHICAGO, NOW, Clock, Sink, a_desk, a_home

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def chicago(day, hour, minute=0):
    return datetime(2026, 5, day, hour, minute, tzinfo=CHICAGO).astimezone(UTC)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def clock():
    return Clock()


def text_of(message):
    parsed = email.message_from_bytes(message.body, policy=email.policy.default)
    return parsed.get_body(("plain",)).get_content()


def test_a_message_is_made_with_the_values_of_the_moment_and_sent_once(cafe, home, clock):
    guest = cafe.guest("Li Wei")
    match = cafe.match(guest)
    coupon = cafe.coupon(match, guest, step=1, terms={"item": "cake", "valid": "14 days"})
    message = cafe.dispatch(match, guest, step=2)
    with cafe.db.begin() as conn:
        conn.execute(update(customers).values(name="Li Weiming"))
    sink = Sink()
    desk = a_desk(cafe, home, clock, email=sink)
    assert send_due(desk).to_json() == {"sent": 2}
    (sent,) = sink.accepted
    code = cafe.coupon_of(coupon).code
    assert f"Dear Li Weiming, show {code[:4]}-{code[4:8]}-{code[8:12]}-{code[12]}." in text_of(sent)
    assert sent.recipient == "guest1@example.com"
    assert (sent.template, sent.values["customer.name"], sent.values["coupon.code"].replace("-", "")) == (
        "win-back", "Li Weiming", code,
    )  # fmt: skip
    row = cafe.row(message)
    assert (row.state, row.provider_id, row.handed_at, row.finished_at) == ("sent", "p1", NOW, NOW)
    with cafe.db.begin() as conn:
        assert conn.scalar(select(payloads.c["values"]).where(payloads.c.dispatch_id == message))["customer"]["name"]
    assert send_due(a_desk(cafe, home, clock, email=sink)).to_json() == {}
    assert len(sink.accepted) == 1


def test_into_files_by_the_real_connector(cafe, home, clock, tmp_path):
    cafe.message()
    cafe.message(channel="sms")
    files = FileConnector(tmp_path / "outbox")
    send_due(a_desk(cafe, home, clock, email=files, sms=files))
    assert sorted(file.suffix for file in (tmp_path / "outbox").iterdir()) == [".eml", ".txt"]


def test_the_bytes_that_left_are_known_by_their_hash_and_have_one_name_on_every_try(cafe, home, clock):
    message = cafe.message()
    sink = Sink([Outcome("not_now", "451")])
    desk = a_desk(cafe, home, clock, email=sink)
    keys = []
    sink.before_fence = lambda: keys.append(cafe.row(message).state)
    send_due(desk)
    clock.at += HOUR
    send_due(desk)
    assert keys == ["claimed", "claimed"]
    assert cafe.state(message) == "sent"
    assert len(cafe.row(message).content_hash) == 32
    assert cafe.row(message).attempts == 2


def test_two_tries_have_the_same_message_id(cafe, home, clock):
    cafe.message()
    seen = []

    class Keeping(Sink):
        def send(self, message, handoff):
            seen.append(message)
            return super().send(message, handoff)

    desk = a_desk(cafe, home, clock, email=Keeping([Outcome("not_now", "451")]))
    send_due(desk)
    clock.at += HOUR
    send_due(desk)
    first, second = (email.message_from_bytes(each.body)["Message-ID"] for each in seen)
    assert first == second
    assert seen[0].key == seen[1].key


def test_an_opt_out_between_the_claim_and_the_fence_is_obeyed(cafe, home, clock):
    guest = cafe.guest()
    message = cafe.message(guest)
    sink = Sink(before_fence=lambda: cafe.opt_out(guest.email_id))
    assert send_due(a_desk(cafe, home, clock, email=sink)).to_json() == {"blocked": 1}
    assert cafe.outcome(message) == "blocked: no_consent"
    assert sink.accepted == []


def test_what_is_refused_before_the_work_never_reaches_the_connector(cafe, home, clock):
    guest = cafe.guest()
    cafe.opt_out(guest.email_id)
    cafe.message(guest)
    sink = Sink()
    assert send_due(a_desk(cafe, home, clock, email=sink)).to_json() == {"blocked": 1}
    assert sink.asked == 0


def test_a_broken_template_is_our_fault_and_stops_no_other(cafe, home, clock):
    broken = cafe.message(content_id=cafe.content("oops", **{"subject.txt": "Hi", "email.txt": "{{ coupon.code }}"}))
    fine = cafe.message()
    desk = a_desk(cafe, home, clock)
    assert send_due(desk).to_json() == {"dead": 1, "sent": 1}
    assert cafe.outcome(broken) == "dead: template"
    assert cafe.state(fine) == "sent"
    (problem,) = desk.summary.problems
    assert problem.startswith("templates/oops: email.txt: ")
    assert "Li Wei" not in problem


@pytest.mark.parametrize(("letters", "outcome"), [(1_600, "sent"), (1_601, "dead: template")])
def test_an_sms_that_no_carrier_takes_is_not_handed_over(cafe, home, clock, letters, outcome):
    message = cafe.message(channel="sms", content_id=cafe.content("long", **{"sms.txt": "x" * letters}))
    sink = Sink()
    send_due(a_desk(cafe, home, clock, sms=sink))
    assert cafe.outcome(message).removesuffix(": None") == outcome
    assert [len(each.body) for each in sink.accepted] == [letters] * (outcome == "sent")


def test_a_connector_with_a_bug_stops_no_other_message(cafe, home, clock):
    broken, fine = cafe.message(), cafe.message()

    class Buggy(Sink):
        def send(self, message, handoff):
            if message.recipient == "guest1@example.com":
                raise TypeError(message.recipient)
            return super().send(message, handoff)

    desk = a_desk(cafe, home, clock, email=Buggy())
    assert send_due(desk).to_json() == {"pending": 1, "sent": 1}
    assert (cafe.state(broken), cafe.state(fine)) == ("pending", "sent")
    assert "guest1" not in " ".join(desk.summary.problems)


def test_a_bug_in_the_fence_is_a_try_and_not_tried_for_ever(cafe, home, clock, monkeypatch):
    made, sink = cafe.message(), Sink()

    def broken(*_, **__):
        if sink.asked > 20:
            raise KeyboardInterrupt
        raise ValueError("a bug")

    monkeypatch.setattr(handing, "pass_fence", broken)
    desk = a_desk(cafe, home, clock, email=sink)
    send_due(desk)
    assert (sink.asked, cafe.row(made).attempts, cafe.row(made).due_at) == (1, 1, NOW + timedelta(minutes=5))
    assert desk.summary.problems == ["The connector for email failed (ValueError): please report it."]
    while cafe.state(made) == "pending":
        clock.at = cafe.row(made).due_at
        send_due(desk)
    assert (sink.asked, cafe.outcome(made)) == (8, "dead: attempts")


def test_a_bug_after_the_fence_is_uncertain(cafe, home, clock):
    message = cafe.message()

    class Buggy(Sink):
        def send(self, _message, handoff):
            handoff()
            raise TypeError

    send_due(a_desk(cafe, home, clock, email=Buggy()))
    assert cafe.outcome(message) == "uncertain: no_answer"


def test_a_connector_that_asks_twice_hears_no_the_second_time(cafe, home, clock):
    cafe.message()
    heard = []

    class Twice(Sink):
        def send(self, _message, handoff):
            heard.extend([handoff(), handoff()])
            return Outcome("sent", "250")

    send_due(a_desk(cafe, home, clock, email=Twice()))
    assert heard == [True, False]


def test_a_lost_answer_is_looked_up_where_the_connector_can(cafe, home, clock):
    message = cafe.message(channel="sms")

    class Knowing(Sink):
        def find(self, _message, since):
            assert since == NOW
            return frozenset({"SM1"})

    send_due(a_desk(cafe, home, clock, sms=Knowing([Outcome("unknown", "timeout", channel="failure")])))
    assert cafe.state(message) == "sent"
    assert cafe.row(message).provider_id == "SM1"


def test_a_channel_without_its_secret_waits_and_the_other_goes(cafe, home, clock):
    mail, text = cafe.message(), cafe.message(channel="sms")
    desk = a_desk(cafe, home, clock, email=CannotSendError("No email goes out: SMTP_PASSWORD is not set"))
    assert send_due(desk).to_json() == {"pending": 1, "sent": 1}
    row = cafe.row(mail)
    assert (row.state, row.due_at, row.attempts) == ("pending", NOW, 0)
    assert cafe.state(text) == "sent"
    assert desk.summary.problems == ["No email goes out: SMTP_PASSWORD is not set"]


def test_a_server_that_is_down_opens_the_breaker_and_uses_no_attempt_up(cafe, home, clock):
    made = [cafe.message() for _ in range(8)]
    down = Outcome("not_now", "early refused at connect", channel="failure")
    sink = Sink([down] * 8)
    send_due(a_desk(cafe, home, clock, email=sink))
    assert sink.asked == 5
    assert [cafe.row(each).attempts for each in made] == [0] * 8
    assert {cafe.state(each) for each in made} == {"pending"}


def test_the_red_button_pressed_in_the_middle_stops_the_rest(cafe, home, clock):
    made = [cafe.message() for _ in range(3)]

    def press():
        with cafe.db.begin() as conn:
            conn.execute(switch.insert().values(id=1, stopped_at=NOW))

    class Pressing(Sink):
        def send(self, message, handoff):
            outcome = super().send(message, handoff)
            press()
            return outcome

    send_due(a_desk(cafe, home, clock, email=Pressing()))
    assert [cafe.state(each) for each in made] == ["sent", "pending", "pending"]


def test_a_limit_is_a_number_of_messages(cafe, home, clock):
    made = [cafe.message() for _ in range(3)]
    send_due(a_desk(cafe, home, clock), limit=2)
    assert [cafe.state(each) for each in made] == ["sent", "sent", "pending"]


def test_a_database_that_fails_at_the_fence_lets_nothing_out(cafe, home, clock):
    message = cafe.message()
    sink = Sink()
    desk = a_desk(cafe, home, clock, email=sink)
    policy = desk.policy
    full = OperationalError("INSERT", {}, Exception("database or disk is full"))

    def fail(*_):
        raise full

    sink.before_fence = lambda: setattr(
        desk, "policy", Policy(policy.hours, policy.limits, policy.day_starts, fail, policy.why_stopped)
    )
    with pytest.raises(OperationalError):
        send_due(desk)
    assert sink.accepted == []
    assert cafe.state(message) == "claimed"


def test_a_fence_that_two_transactions_fought_over_is_asked_again(cafe, home, clock):
    message = cafe.message()
    sink = Sink()
    desk = a_desk(cafe, home, clock, email=sink)
    policy, failures = desk.policy, [OperationalError("SELECT", {}, Exception("deadlock detected"))]

    def fail_once(conn, version_id):
        if failures:
            raise failures.pop()
        return policy.rule(conn, version_id)

    sink.before_fence = lambda: setattr(
        desk, "policy", Policy(policy.hours, policy.limits, policy.day_starts, fail_once, policy.why_stopped)
    )
    send_due(desk)
    assert cafe.state(message) == "sent"
    assert len(sink.accepted) == 1


def test_an_answer_that_two_transactions_fought_over_is_written_down_again(cafe, home, clock, monkeypatch):
    message = cafe.message()
    written, failures = handing.record, [OperationalError("UPDATE", {}, Exception("deadlock detected"))]

    def fail_once(*args, **how):
        if failures:
            raise failures.pop()
        return written(*args, **how)

    monkeypatch.setattr(handing, "record", fail_once)
    sink = Sink()
    send_due(a_desk(cafe, home, clock, email=sink))
    assert cafe.state(message) == "sent"
    assert len(sink.accepted) == 1


def test_two_workers_at_once_without_any_lock_send_nothing_twice(cafe, tmp_path, clock):
    made = [cafe.message() for _ in range(25)]
    home = a_home(tmp_path)
    sinks = [Sink() for _ in range(3)]
    workers = [threading.Thread(target=send_due, args=(a_desk(cafe, home, clock, email=sink),)) for sink in sinks]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    keys = [message.key for sink in sinks for message in sink.accepted]
    assert len(keys) == len(set(keys)) == 25
    assert {cafe.state(each) for each in made} == {"sent"}


def test_a_reminder_is_not_sent_before_the_message_that_it_reminds_of(cafe, home, clock):
    guest = cafe.guest()
    rule = cafe.rule(*(Step(number, "email", Email("win-back")) for number in (1, 3)))
    match = cafe.match(guest, rule=rule)
    first = cafe.dispatch(match, guest, step=1)
    reminder = cafe.dispatch(match, guest, step=3, due_at=NOW + timedelta(minutes=1), expires_at=NOW + 9 * DAY)
    sink = Sink([Outcome("not_now", "451")])
    desk = a_desk(cafe, home, clock, email=sink)
    send_due(desk)
    clock.at += timedelta(minutes=2)
    send_due(desk)
    assert (cafe.state(first), cafe.state(reminder)) == ("pending", "pending")
    assert sink.asked == 1


def test_the_log_of_a_sent_message_holds_no_address(cafe, home, clock):
    cafe.message()
    send_due(a_desk(cafe, home, clock))
    with cafe.db.begin() as conn:
        rows = conn.execute(select(dispatches)).all()
    assert "guest1@example.com" not in str(rows)
