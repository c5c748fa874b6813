"""State in, outcome out: what each answer of a provider does to dispatch, endpoint and channel."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from connectors.base import Outcome
from engine.database.tables import channels, endpoints
from engine.dispatch.abandoned import rescue
from engine.dispatch.claims import claim
from engine.dispatch.fence import pass_fence
from engine.dispatch.health import pause, shut_until, start, stop
from engine.dispatch.outcomes import ATTEMPTS, backoff, record

from .world import NOW, Caps

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_caps(cafe):
    cafe.caps = Caps(100, 100)


def take(cafe, *, handed=True, now=NOW):
    with cafe.db.begin() as conn:
        (held,) = claim(conn, now=now, holder="elsewhere:1:a", usable=["email", "sms"], limit=1)
        if handed:
            assert not pass_fence(conn, [held], cafe.policy, now, content_hash=b"h" * 32)
    return held


def answered(cafe, outcome, *, handed=True, now=NOW, channel="email", **how):
    held = take(cafe, handed=handed, now=now)
    with cafe.db.begin() as conn:
        record(conn, [held], outcome, handed=handed, channel=channel, now=now, **how)
    return held


def endpoint(cafe, dispatch):
    endpoint_id = cafe.row(dispatch).endpoint_id
    with cafe.db.begin() as conn:
        return conn.execute(select(endpoints).where(endpoints.c.id == endpoint_id)).one()


def channel(cafe, name="email"):
    with cafe.db.begin() as conn:
        return conn.execute(select(channels).where(channels.c.channel == name)).one_or_none()


@pytest.mark.parametrize(
    ("outcome", "handed", "expected", "suppressed"),
    [
        (Outcome("sent", "250 2.0.0", provider_id="q1"), True, "sent", None),
        (Outcome("sent", "250", provider_id="q1"), False, "uncertain: no_fence", None),
        (Outcome("not_now", "451 4.3.0"), True, "pending: not_now", None),
        (Outcome("not_now", "450 4.2.0"), False, "pending: not_now", None),
        (Outcome("not_now", "http 429", channel="slow"), True, "pending: not_now", None),
        (Outcome("not_now", "535", channel="stop", counts_attempt=False), False, "pending: not_now", None),
        (Outcome("unknown", "timeout at dot", channel="failure"), True, "uncertain: no_answer", None),
        (Outcome("unknown", "timeout", channel="failure"), False, "pending: not_now", None),
        (Outcome("no", "550 5.1.1", endpoint="hard"), True, "rejected: no_such_address", "hard_bounce"),
        (Outcome("no", "550 5.1.1", endpoint="hard"), False, "rejected: no_such_address", "hard_bounce"),
        (Outcome("no", "552 5.2.2", endpoint="soft"), False, "rejected: mailbox_full", None),
        (Outcome("no", "554 5.7.1", channel="breaker"), True, "rejected: sender_refused", None),
        (Outcome("no", "555"), False, "rejected: refused", None),
        (Outcome("no", "400 21610", endpoint="opted_out"), True, "blocked: opted_out", "unsubscribed"),
        (Outcome("no", "400 21211", endpoint="unusable"), True, "rejected: unusable", "unusable"),
        (Outcome("no", "400 21606"), True, "rejected: refused", None),
    ],
    ids=lambda value: value.code if isinstance(value, Outcome) else None,
)
def test_every_answer_has_its_state(cafe, outcome, handed, expected, suppressed):
    message = cafe.message()
    answered(cafe, outcome, handed=handed)
    row = cafe.row(message)
    assert cafe.outcome(message) == expected
    assert row.attempts == int(
        outcome.counts_attempt and outcome.channel != "slow" and (handed or outcome.channel == "ok")
    )
    assert row.provider_reply == outcome.code
    assert row.lease_holder is None
    assert (row.finished_at is None) == (row.state == "pending")
    assert row.provider_id == (outcome.provider_id if outcome.kind == "sent" else None)
    assert endpoint(cafe, message).suppressed_why == suppressed


def test_a_no_to_one_does_not_touch_the_other(cafe):
    """mautic#7226: one 554 in a batch left the good recipients unmarked, and they were mailed endlessly."""
    refused, accepted = cafe.message(), cafe.message()
    answered(cafe, Outcome("no", "554"))
    answered(cafe, Outcome("sent", "250"))
    assert (cafe.state(refused), cafe.state(accepted)) == ("rejected", "sent")


def test_a_try_that_failed_waits_longer_each_time_and_is_given_up_at_last(cafe):
    message = cafe.message(expires_at=NOW + timedelta(days=30))
    now, waits = NOW, []
    for _ in range(ATTEMPTS - 1):
        answered(cafe, Outcome("not_now", "451"), now=now)
        due = cafe.row(message).due_at
        waits.append(due - now)
        now = max(due, NOW + timedelta(days=len(waits)))  # inside the hours
    assert waits == sorted(waits)
    answered(cafe, Outcome("not_now", "451"), now=now)
    assert cafe.outcome(message) == "dead: attempts"


def test_a_day_of_too_many_makes_no_message_dead(cafe):
    message = cafe.message(attempts=7)
    answered(cafe, Outcome("not_now", "http 429", channel="slow"))
    assert (cafe.outcome(message), cafe.row(message).attempts) == ("pending: not_now", 7)


@given(st.integers(0, 10**6))
def test_the_pause_grows_to_four_hours_and_no_further(attempts):
    assert timedelta(minutes=5) <= backoff(attempts) <= backoff(attempts + 1) <= 4 * HOUR


def test_a_provider_that_says_when_is_taken_at_its_word(cafe):
    message = cafe.message()
    answered(cafe, Outcome("not_now", "429", retry_at=NOW + timedelta(seconds=90)))
    assert cafe.row(message).due_at == NOW + timedelta(seconds=90)


def test_a_provider_s_answer_ends_the_count_of_rescues(cafe):
    message = cafe.message(rescues=2)
    answered(cafe, Outcome("not_now", "451"))
    assert cafe.row(message).rescues == 0


def test_what_went_back_from_the_fence_no_longer_counts_for_the_guests_day(cafe):
    message = cafe.message()
    answered(cafe, Outcome("not_now", "451"))
    row = cafe.row(message)
    assert (row.handed_at, row.handed_day, row.content_hash) == (None, None, None)


def test_a_yes_that_comes_after_the_lease_is_believed_and_a_no_is_not(cafe):
    for outcome, expected in ((Outcome("sent", "250"), "sent"), (Outcome("not_now", "451"), "uncertain: abandoned")):
        message = cafe.message()
        held = take(cafe)
        with cafe.db.begin() as conn:
            rescue(conn, NOW + HOUR)
        assert cafe.state(message) == "uncertain"
        with cafe.db.begin() as conn:
            record(conn, [held], outcome, handed=True, channel="email", now=NOW + HOUR)
        assert cafe.outcome(message) == expected


def test_three_full_mailboxes_in_fourteen_days_end_the_address(cafe):
    guest = cafe.guest()
    full = Outcome("no", "552 5.2.2", endpoint="soft")
    cafe.message(guest, state="rejected", reason="mailbox_full", finished_at=NOW - timedelta(days=15))
    for count, suppressed in ((1, None), (2, None), (3, "soft_bounces")):
        message = cafe.message(guest)
        answered(cafe, full)
        assert endpoint(cafe, message).soft_bounces == count
        assert endpoint(cafe, message).suppressed_why == suppressed


class TestChannel:
    def fail(self, cafe, times, now=NOW):
        for _ in range(times):
            cafe.message()
            answered(cafe, Outcome("not_now", "refused at connect", channel="failure"), handed=False, now=now)
            with cafe.db.begin() as conn:
                conn.execute(channels.update().values(open_until=None))  # let the next one try

    def test_the_fifth_failure_in_a_row_opens_the_breaker(self, cafe):
        self.fail(cafe, 4)
        cafe.message()
        answered(cafe, Outcome("not_now", "timeout at MAIL", channel="failure"), handed=False)
        assert (channel(cafe).failures, channel(cafe).open_until) == (5, NOW + timedelta(minutes=5))
        with cafe.db.begin() as conn:
            assert claim(conn, now=NOW + timedelta(minutes=4), holder="x", usable=["email"], limit=1) == []
            assert claim(conn, now=NOW + timedelta(minutes=5), holder="x", usable=["email"], limit=1) != []

    def test_an_answer_closes_it(self, cafe):
        self.fail(cafe, 4)
        cafe.message()
        answered(cafe, Outcome("sent", "250"))
        assert channel(cafe).failures == 0

    def test_the_pause_doubles_up_to_an_hour(self):
        assert pause(4) is None
        minutes = [pause(failures).total_seconds() / 60 for failures in range(5, 12)]
        assert minutes == [5, 10, 20, 40, 60, 60, 60]
        assert pause(10**6) == HOUR

    def test_a_refusal_of_the_sender_opens_it_at_once_and_blames_nobody(self, cafe):
        message = cafe.message()
        answered(cafe, Outcome("no", "554 5.7.1", channel="breaker"))
        assert channel(cafe).open_until == NOW + timedelta(minutes=5)
        assert endpoint(cafe, message).suppressed_at is None

    def test_a_bad_password_stops_it_until_a_person_starts_it(self, cafe):
        cafe.message()
        answered(cafe, Outcome("not_now", "535", channel="stop", counts_attempt=False), handed=False)
        assert channel(cafe).stopped_why == "535"
        with cafe.db.begin() as conn:
            assert claim(conn, now=NOW + HOUR, holder="x", usable=["email"], limit=1) == []
            assert shut_until(conn, "email", NOW) > NOW
            assert start(conn, by="Ana", now=NOW) == ["email"]
            assert shut_until(conn, "email", NOW) is None
            assert len(claim(conn, now=NOW + HOUR, holder="x", usable=["email"], limit=1)) == 1
        assert cafe.trail() == [("Ana", "start", "off", "on")]

    def test_three_refusals_to_different_guests_in_a_row_are_our_fault(self, cafe):
        refused = Outcome("no", "400 21606")
        first, second = cafe.guest(), cafe.guest()
        for guest in (first, first, second, second):  # whoever sent it: each answer is written by itself
            cafe.message(guest, channel="sms")
            answered(cafe, refused, channel="sms")
        cafe.message(first, channel="sms")
        answered(cafe, refused, channel="sms")  # two guests in turn are two
        assert (channel(cafe, "sms").refusals, channel(cafe, "sms").stopped_at) == (2, None)
        third = cafe.guest()
        cafe.message(third, channel="email")
        answered(cafe, refused, channel="email")  # another channel's no is none of this one
        cafe.message(third, channel="sms")
        answered(cafe, refused, channel="sms")
        assert channel(cafe, "sms").stopped_why == "refused: 400 21606"

    def test_a_mail_server_that_finds_single_messages_wrong_is_not_stopped(self, cafe):
        for _ in range(4):
            cafe.message()
            answered(cafe, Outcome("no", "552 5.3.4"))
        assert channel(cafe) is None

    def test_a_yes_between_them_begins_anew(self, cafe):
        refused = Outcome("no", "400 21606")
        for outcome in (refused, refused, Outcome("sent", "201"), refused):
            cafe.message(channel="sms")
            answered(cafe, outcome, channel="sms")
        assert (channel(cafe, "sms").refusals, channel(cafe, "sms").stopped_at) == (1, None)

    def test_the_red_button_is_pressed_once_and_released_once(self, cafe):
        with cafe.db.begin() as conn:
            assert stop(conn, by="Ana", now=NOW)
            assert not stop(conn, by="Ben", now=NOW)
        cafe.message()
        with cafe.db.begin() as conn:
            assert claim(conn, now=NOW, holder="x", usable=["email"], limit=1) == []
            assert start(conn, by="Ben", now=NOW) == ["all"]
            assert start(conn, by="Ben", now=NOW) == []
            assert len(claim(conn, now=NOW, holder="x", usable=["email"], limit=1)) == 1
        assert cafe.trail() == [("Ana", "stop", "on", "off"), ("Ben", "start", "off", "on")]


# -- the rate -----------------------------------------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)
TOO_MANY = Outcome("not_now", "twilio 20429", retry_at=NOW + timedelta(seconds=30), channel="slow")


def rated(cafe, rate, at=NOW, **values):
    with cafe.db.begin() as conn:
        conn.execute(channels.insert().values(channel="sms", rate=rate, rated_at=at, **values))


def claimed(cafe, at, limit=50):
    with cafe.db.begin() as conn:
        return len(claim(conn, now=at, holder="elsewhere:1:a", usable=["email", "sms"], limit=limit))


def test_too_many_halves_the_rate_and_lets_the_channel_rest_as_long_as_the_provider_says(cafe):
    for _ in range(11):
        cafe.message(channel="sms", state="sent", handed_at=NOW - timedelta(seconds=20))
    cafe.message(channel="sms", state="sent", handed_at=NOW - 2 * MINUTE)
    cafe.message(channel="sms")
    answered(cafe, TOO_MANY, channel="sms")  # the twelfth of this minute: eleven went
    row = channel(cafe, "sms")
    assert (row.rate, row.rated_at, row.open_until) == (5, NOW, NOW + timedelta(seconds=30))
    assert row.failures == 0


def test_the_answers_of_one_burst_halve_it_once_and_a_minute_later_it_is_halved_again(cafe):
    rated(cafe, 40, NOW - MINUTE)
    made = [cafe.message(channel="sms") for _ in range(3)]
    with cafe.db.begin() as conn:
        held = claim(conn, now=NOW, holder="elsewhere:1:a", usable=["sms"], limit=3)
        for at, one in zip((NOW, NOW + MINUTE / 2, NOW + MINUTE), held, strict=True):
            record(conn, [one], TOO_MANY, handed=False, channel="sms", now=at)
    assert channel(cafe, "sms").rate == 10
    assert {cafe.state(each) for each in made} == {"pending"}


def test_it_never_falls_below_one(cafe):
    rated(cafe, 1, NOW - MINUTE)
    cafe.message(channel="sms")
    answered(cafe, TOO_MANY, channel="sms")
    assert channel(cafe, "sms").rate == 1


def test_no_more_are_claimed_in_a_minute_and_other_channels_go_on(cafe):
    rated(cafe, 3)
    for _ in range(8):
        cafe.message(channel="sms")
    for _ in range(2):
        cafe.message()
    assert [claimed(cafe, NOW), claimed(cafe, NOW), claimed(cafe, NOW)] == [2, 3, 0]
    assert [claimed(cafe, NOW + MINUTE / 2), claimed(cafe, NOW + MINUTE, limit=1)] == [0, 1]
    assert [claimed(cafe, NOW + 1.5 * MINUTE), claimed(cafe, NOW + 2 * MINUTE)] == [2, 2]


def test_it_grows_by_a_tenth_a_minute_while_all_goes_well_until_there_is_none(cafe):
    rated(cafe, 20, NOW - MINUTE)
    for _ in range(2):
        cafe.message(channel="sms")
        answered(cafe, Outcome("sent", "http 201"), channel="sms")
    assert (channel(cafe, "sms").rate, channel(cafe, "sms").rated_at) == (23, NOW)
    with cafe.db.begin() as conn:
        conn.execute(channels.update().values(rate=950, rated_at=NOW - MINUTE))
    cafe.message(channel="sms")
    answered(cafe, Outcome("sent", "http 201"), channel="sms")
    assert channel(cafe, "sms").rate is None


def test_a_person_may_let_it_go_at_once(cafe):
    rated(cafe, 3, open_until=NOW + HOUR)
    with cafe.db.begin() as conn:
        assert start(conn, by="Ana", now=NOW) == ["sms"]
    assert channel(cafe, "sms").rate is None
