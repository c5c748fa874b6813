"""Budgets: what is over waits for the next day or month, in a fixed order, and two workers never take one place."""

import random
import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import func, select, update

from connectors.base import Outcome
from engine.database.tables import budget_uses, coupons, dispatches
from engine.dispatch import tallies
from engine.dispatch.budgets import Budgets
from engine.dispatch.claims import claim
from engine.dispatch.fence import pass_fence
from engine.dispatch.health import stop
from engine.dispatch.outbox import requeue
from engine.dispatch.stages import send_due
from engine.dispatch.tallies import Tally
from engine.language.budgets import Budget
from engine.language.rule import Limits, Send, Step
from engine.vocabulary.actions import Coupon
from engine.vocabulary.messages import Email

from .world import CHICAGO, NOW, SOME_STEPS, Caps, Clock, Sink, a_desk, a_home

DAY = timedelta(days=1)
LONG = NOW + timedelta(days=90)
HASH = b"h" * 32
MONDAYS = frozenset({0})


def limits(**budgets):
    return Limits(budget={kind: Budget.parse(text) for kind, text in budgets.items()})


def of_home(**budgets):
    return Budgets({kind: Budget.parse(text) for kind, text in budgets.items()}, CHICAGO, time(4), 100)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def sent(cafe, home, clock):
    def send(**sinks):
        cafe.budgets = cafe.budgets if cafe.budgets.of_home else of_home()
        return send_due(a_desk(cafe, home, clock, **sinks)).to_json()

    return send


def outcomes(cafe, numbers):
    return [cafe.outcome(number) for number in numbers]


def test_what_is_over_a_rules_budget_goes_at_the_first_hour_of_the_next_day(cafe, clock, sent):
    rule = cafe.rule(limits=limits(email="2 a day"))
    numbers = [cafe.message(rule=rule, closes=LONG) for _ in range(3)]
    other = cafe.message(closes=LONG)
    assert sent() == {"sent": 3, "pending": 1}
    assert outcomes(cafe, numbers) == ["sent", "sent", "pending: budget"]
    assert cafe.outcome(other) == "sent"
    assert cafe.row(numbers[2]).due_at == datetime(2026, 5, 5, 8, tzinfo=CHICAGO).astimezone(UTC)
    clock.at = cafe.row(numbers[2]).due_at
    assert sent() == {"sent": 1}


def test_a_budget_of_a_month_ends_with_the_month(cafe, clock, sent):
    rule = cafe.rule(limits=limits(messages="1 a month"))
    first, second = (cafe.message(rule=rule, closes=LONG) for _ in range(2))
    sent()
    assert cafe.row(second).due_at == datetime(2026, 6, 1, 8, tzinfo=CHICAGO).astimezone(UTC)
    assert cafe.state(first) == "sent"


def test_what_would_be_too_late_then_is_blocked(cafe, sent):
    rule = cafe.rule(limits=limits(sms="1 a month"))
    numbers = [cafe.message(channel="sms", rule=rule, closes=NOW + 20 * DAY) for _ in range(2)]
    assert sent() == {"sent": 1, "blocked": 1}
    assert outcomes(cafe, numbers) == ["sent", "blocked: budget"]


def test_the_smaller_priority_goes_first_then_who_was_matched_first(cafe, sent):
    late = [cafe.message(closes=LONG, priority=80) for _ in range(2)]
    early = [cafe.message(closes=LONG, priority=10) for _ in range(2)]
    cafe.budgets = of_home(email="3 a day")
    sent()
    assert outcomes(cafe, [*early, *late]) == ["sent", "sent", "sent", "pending: budget"]


def test_the_homes_budget_is_over_all_rules_and_service_too(cafe, sent):
    cafe.budgets = of_home(messages="2 a day")
    rules = [cafe.rule(), cafe.rule(purpose="service"), cafe.rule()]
    numbers = [cafe.message(rule=rule, closes=LONG) for rule in rules]
    assert sent() == {"sent": 2, "pending": 1}
    assert outcomes(cafe, numbers) == ["sent", "sent", "pending: budget"]


def test_an_sms_counts_as_many_as_it_is_billed(cafe, sent):
    rule = cafe.rule(limits=limits(sms_segments="3 a day"))
    long_text = cafe.content("win-back", **{"sms.txt": "x" * 200})
    numbers = [cafe.message(channel="sms", rule=rule, closes=LONG, content_id=long_text) for _ in range(2)]
    short = cafe.message(channel="sms", rule=rule, closes=LONG)
    assert sent() == {"sent": 2, "pending": 1}
    assert [cafe.row(number).segments for number in (*numbers, short)] == [2, None, 1]
    assert cafe.outcome(numbers[1]) == "pending: budget"


def test_what_may_have_arrived_counts_and_what_was_refused_does_not(cafe, sent):
    rule = cafe.rule(limits=limits(email="1 a day"))
    numbers = [cafe.message(rule=rule, closes=LONG) for _ in range(3)]
    refused, unknown = Outcome("no", "550", endpoint="hard"), Outcome("unknown", "dropped")
    sent(email=Sink([refused, unknown]))
    assert outcomes(cafe, numbers) == ["rejected: no_such_address", "uncertain: no_answer", "pending: budget"]


def test_what_went_out_last_month_is_not_counted(cafe, clock, sent):
    rule = cafe.rule(limits=limits(email="1 a month"))
    old = cafe.message(rule=rule, closes=LONG)
    may = datetime(2026, 5, 1, 4, tzinfo=CHICAGO)
    cafe.set(old, state="sent", handed_at=may - timedelta(seconds=1))
    new = cafe.message(rule=rule, closes=LONG)
    assert sent() == {"sent": 1}
    cafe.set(old, handed_at=may)
    late = cafe.message(rule=rule, closes=LONG)
    cafe.set(new, state="rejected")
    sent()
    assert cafe.outcome(late) == "pending: budget"


class TestCoupons:
    def journey(self, cafe, budget, *, closes=LONG, worth=None, days=None):
        steps = Step(1, "coupon", Coupon("cake")), Step(2, "email", Email("win-back"))
        rule = cafe.rule(*steps, limits=limits(**budget), send=Send(on=days))
        made = []
        for _ in range(3):
            guest = cafe.guest()
            match = cafe.match(guest, rule=rule, closes=closes)
            made.append((cafe.coupon(match, guest), cafe.dispatch(match, guest, "email", step=2)))
        with cafe.db.begin() as conn:
            conn.execute(update(coupons).values(worth=worth))
        return made

    def test_what_is_over_is_drawn_later_and_its_message_waits_for_it(self, cafe, clock, sent):
        made = self.journey(cafe, {"coupons": "2 a month"})
        assert sent() == {"sent": 4, "pending": 1}
        coupon, mail = made[2]
        assert outcomes(cafe, [coupon, mail]) == ["pending: budget", "pending"]
        assert cafe.coupon_of(coupon).code is None
        clock.at = cafe.row(coupon).due_at + timedelta(hours=12)
        assert clock.at.astimezone(CHICAGO).month == 6
        assert sent() == {"sent": 2}

    def test_they_may_be_counted_by_what_they_are_worth(self, cafe, sent):
        made = self.journey(cafe, {"coupon_value": "12.50 a month"}, worth=500)
        sent()
        assert [cafe.outcome(coupon) for coupon, _ in made] == ["sent", "sent", "pending: budget"]

    def test_one_that_was_taken_back_leaves_its_place(self, cafe, sent):
        made = self.journey(cafe, {"coupons": "1 a day"})
        with cafe.db.begin() as conn:
            conn.execute(update(dispatches).where(dispatches.c.id == made[0][1]).values(state="blocked"))
            conn.execute(update(dispatches).where(dispatches.c.id == made[0][0]).values(state="sent", handed_at=NOW))
            conn.execute(update(coupons).where(coupons.c.dispatch_id == made[0][0]).values(code="X", revoked_at=NOW))
        sent()
        assert [cafe.outcome(coupon) for coupon, _ in made] == ["sent", "sent", "pending: budget"]

    def test_where_it_would_be_too_late_its_message_stays_in_with_it(self, cafe, sent):
        made = self.journey(cafe, {"coupons": "2 a month"}, closes=NOW + 3 * DAY)
        assert sent()["sent"] == 4
        assert outcomes(cafe, made[2]) == ["blocked: budget", "blocked: budget"]
        with cafe.db.connect() as conn:
            drawn = conn.scalars(select(coupons.c.code).order_by(coupons.c.id)).all()
        assert [code is None for code in drawn] == [False, False, True]

    def test_it_moves_with_its_message(self, cafe, clock, sent):
        made = self.journey(cafe, {"coupons": "2 a day"})
        sent()
        coupon, mail = made[2]
        assert cafe.row(coupon).due_at == datetime(2026, 5, 5, 4, tzinfo=CHICAGO).astimezone(UTC)
        assert cafe.row(mail).due_at == datetime(2026, 5, 5, 8, tzinfo=CHICAGO).astimezone(UTC)
        clock.at = cafe.row(coupon).due_at
        assert sent() == {"sent": 1}
        clock.at = cafe.row(mail).due_at
        assert sent() == {"sent": 1}

    def test_no_code_is_drawn_for_a_message_that_has_no_day_left(self, cafe, sent):
        """The next period begins before the match closes, and no day of sending does."""
        made = self.journey(cafe, {"coupons": "2 a day"}, closes=NOW + 3 * DAY, days=MONDAYS)
        sent()
        assert outcomes(cafe, made[2]) == ["blocked: budget", "blocked: budget"]
        assert cafe.coupon_of(made[2][0]).code is None

    def test_nor_by_a_run_that_comes_after_the_last_day(self, cafe, clock, sent):
        made = self.journey(cafe, {}, closes=NOW + 3 * DAY, days=MONDAYS)
        clock.at = NOW + DAY
        sent()
        assert outcomes(cafe, made[0]) == ["cancelled: no_message", "expired: late"]
        assert cafe.coupon_of(made[0][0]).code is None


def counts(cafe):
    """What each row says has been used, beside what the dispatches say."""
    with cafe.db.connect() as conn:
        rows = conn.execute(select(budget_uses)).all()
        tallies = [Tally(row.rule_id, row.kind, row.begins, row.ends) for row in rows]
        return [(row.kind, row.used, tally.counted(conn)) for row, tally in zip(rows, tallies, strict=True)]


KINDS = {"email": "900 a month", "sms": "9 a day", "messages": "900 a day", "sms_segments": "900 a month"}
ANSWERS = ("sent", "not_now", "no", "unknown")


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_rows_say_what_the_dispatches_say(cafe, clock, sent, seed):
    dice = random.Random(seed)
    coupons_too = limits(**KINDS, coupons="900 a month", coupon_value="9000 a month")
    rule = cafe.rule(Step(1, "coupon", Coupon("cake")), *SOME_STEPS[1:], limits=coupons_too)
    cafe.budgets = of_home(**KINDS, coupons="900 a day")
    cafe.caps = Caps(9, 9)
    long_text = cafe.content("win-back", **{"sms.txt": "x" * 200})
    for _ in range(5):
        for _ in range(3):
            guest = cafe.guest()
            match = cafe.match(guest, rule=rule, closes=LONG)
            cafe.coupon(match, guest)
            cafe.dispatch(match, guest, "email", step=2)
            cafe.message(channel="sms", rule=rule, closes=LONG, content_id=long_text)
            cafe.message(closes=LONG)
        with cafe.db.begin() as conn:
            conn.execute(update(coupons).where(coupons.c.worth.is_(None)).values(worth=dice.randint(0, 900)))
        answers = [Outcome(dice.choice(ANSWERS), "250") for _ in range(60)]
        sent(email=Sink(answers[:30]), sms=Sink(answers[30:]))
        assert [used for _, used, _ in counts(cafe)] == [real for _, _, real in counts(cafe)]
        with cafe.db.begin() as conn:
            unknown = conn.scalars(select(dispatches.c.id).where(dispatches.c.state == "uncertain")).all()
            again = [each for each in unknown if dice.random() < 0.5]
            requeue(conn, "uncertain", again, actor="Ana", now=clock.at)
        assert [used for _, used, _ in counts(cafe)] == [real for _, _, real in counts(cafe)]
        clock.at += timedelta(hours=dice.choice((1, 7, 24, 24 * 9)))
    assert {kind for kind, used, _ in counts(cafe) if used} == {*KINDS, "coupons", "coupon_value"}


@pytest.mark.parametrize("whose", ["rule", "home"])
def test_two_workers_do_not_both_take_the_last_place(cafe, whose):
    rule = cafe.rule(limits=limits(email="1 a day")) if whose == "rule" else cafe.rule()
    cafe.budgets = of_home(**({"email": "1 a day"} if whose == "home" else {}))
    for _ in range(2):
        cafe.message(rule=rule, closes=LONG)
    with cafe.db.begin() as conn:
        first, second = claim(conn, now=NOW, holder="here:1:a", usable=["email"], limit=2)
    against = []

    def late():
        with cafe.db.begin() as conn:
            against.extend(pass_fence(conn, [second], cafe.policy, NOW, content_hash=HASH))

    with cafe.db.begin() as conn:
        assert pass_fence(conn, [first], cafe.policy, NOW, content_hash=HASH) == []
        worker = threading.Thread(target=late)
        worker.start()
        worker.join(0.3)
        assert worker.is_alive()
    worker.join(20)
    assert [(verdict.after, verdict.reason) for _, verdict in against] == [("pending", "budget")]


def test_the_red_button_waits_for_nobody_who_counts(cafe):
    cafe.budgets = of_home(email="1 a day")
    cafe.message(closes=LONG)
    with cafe.db.begin() as conn:
        (held,) = claim(conn, now=NOW, holder="here:1:a", usable=["email"], limit=1)
        asked = [(cafe.policy.rule(conn, held.version_id), held)]
    with cafe.db.begin() as conn:
        cafe.budgets.lock(conn, asked, NOW)
        if cafe.db.dialect.name == "sqlite":  # one writer at a time, whatever it writes
            assert stop(conn, by="Ana", now=NOW)
        else:
            with cafe.db.begin() as other:
                assert stop(other, by="Ana", now=NOW)


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_who_holds_a_messages_budget_and_wants_a_coupons_waits_for_no_recount_that_waits_for_it(cafe):
    periods = {"begins": NOW - DAY, "ends": NOW + DAY, "used": 3}
    with cafe.db.begin() as conn:
        for kind in ("coupons", "messages", "coupon_value"):
            conn.execute(budget_uses.insert().values(rule_id=tallies.HOME, kind=kind, **periods))
    with cafe.db.connect() as fence, cafe.db.connect() as doctor:
        tallies.lock(fence, [Tally(tallies.HOME, "messages", NOW - DAY, NOW + DAY)])
        number = doctor.scalar(select(func.pg_backend_pid()))
        counting = threading.Thread(target=tallies.recount, args=(doctor,))
        counting.start()
        with cafe.db.connect().execution_options(isolation_level="AUTOCOMMIT") as watch:
            while counting.is_alive() and not watch.scalar(select(func.cardinality(func.pg_blocking_pids(number)))):
                pass
        tallies.lock(fence, [Tally(tallies.HOME, "coupons", NOW - DAY, NOW + DAY)])  # it would wait in a circle
        fence.rollback()
        counting.join()
        doctor.commit()
    with cafe.db.begin() as conn:
        assert set(conn.scalars(select(budget_uses.c.used))) == {0}


def test_budgets_are_locked_in_one_order_whatever_a_server_thinks_of_letters(cafe):
    kinds = ["email", "sms", "messages", "sms_segments", "coupons", "coupon_value"]
    given = [Tally(rule, kind, NOW - DAY, NOW + DAY) for kind in sorted(kinds) for rule in (7, tallies.HOME)]
    with cafe.db.begin() as conn:
        for each in given:
            values = {"rule_id": each.rule_id, "kind": each.kind, "begins": each.begins, "ends": each.ends}
            conn.execute(budget_uses.insert().values(**values, used=0))
        order = select(budget_uses.c.kind, budget_uses.c.rule_id).order_by(*tallies.TURN)
        rows = [tuple(row) for row in conn.execute(order)]
    assert rows == [(kind, rule) for kind in kinds for rule in (tallies.HOME, 7)]
    assert rows == [(each.kind, each.rule_id) for each in sorted(given, key=lambda tally: tally.turn)]
