"""Verdicts at work: why a guest is refused, who is the control group, who acts where two share an address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from small_world import CONFIG, Cafe, at, home_of, rule_of

NOW = at("2026-05-04 10:00")
BIRTHDAY = "trigger:\n  birthday:\n"
EMAIL_AND_SMS = f"{BIRTHDAY}actions:\n  - email: hello\n  - wait: 1 day\n  - sms: hello\n"
SMS_AND_EMAIL = f"{BIRTHDAY}actions:\n  - sms: hello\n  - email: hello\n"
ACT = ("act", None)


def refused(reason: str) -> tuple[str, str]:
    return ("refused", reason)


def test_each_refusal_says_why(cafe: Cafe) -> None:
    nowhere = cafe.guest(birthday=504, email=None)
    stopped = cafe.guest(birthday=504, email="stopped@example.com")
    cafe.suppress(cafe.endpoint("email", "stopped@example.com"), NOW)
    cafe.endpoint("email", "never@example.com", consent=None)
    never_asked = cafe.guest(birthday=504, email="never@example.com")
    cafe.endpoint("email", "no@example.com", consent=False)
    said_no = cafe.guest(birthday=504, email="no@example.com")
    fine = cafe.guest(birthday=504)
    cafe.guest(birthday=505)
    assert cafe.verdicts(BIRTHDAY, NOW) == {
        nowhere: refused("no_endpoint"),
        stopped: refused("suppressed"),
        never_asked: refused("no_consent"),
        said_no: refused("no_consent"),
        fine: ACT,
    }


def test_the_newest_word_on_consent_counts_and_of_two_at_once_the_later_written(cafe: Cafe) -> None:
    changed, back, twice = (cafe.guest(birthday=504, email=f"{name}@example.com") for name in ("a", "b", "c"))
    a, b, c = (cafe.endpoint("email", f"{name}@example.com") for name in ("a", "b", "c"))
    cafe.consent(a, "no", NOW - timedelta(days=1))
    cafe.consent(b, "yes", NOW - timedelta(days=1))
    cafe.consent(b, "no", NOW - timedelta(days=2))
    cafe.consent(c, "yes", NOW - timedelta(days=1))
    cafe.consent(c, "no", NOW - timedelta(days=1))
    assert cafe.verdicts(BIRTHDAY, NOW) == {
        changed: refused("no_consent"),
        back: ACT,
        twice: refused("no_consent"),
    }


def test_a_topic_has_a_consent_of_its_own_within_all_marketing(cafe: Cafe) -> None:
    only_offers, no_offers, all_but_news = (cafe.guest(birthday=504, email=f"{x}@example.com") for x in "abc")
    a, b, c = (cafe.endpoint("email", f"{x}@example.com", consent=None) for x in "abc")
    yesterday = NOW - timedelta(days=1)
    cafe.consent(a, "no", yesterday - timedelta(days=1))
    cafe.consent(a, "yes", yesterday, "offers")
    cafe.consent(b, "no", yesterday, "offers")
    cafe.consent(c, "no", yesterday, "news")
    assert cafe.verdicts(f"{BIRTHDAY}topic: offers\n", NOW) == {
        only_offers: ACT,
        no_offers: refused("no_consent"),
        all_but_news: ACT,
    }
    assert cafe.verdicts(f"id: news\n{BIRTHDAY}topic: news\n", NOW)[all_but_news] == refused("no_consent")
    plain = cafe.verdicts(f"id: plain\n{BIRTHDAY}", NOW)
    assert plain == {only_offers: refused("no_consent"), no_offers: ACT, all_but_news: ACT}


def test_reachable_asks_for_the_topic_of_its_rule(cafe: Cafe) -> None:
    guest = cafe.guest(birthday=504, email="a@example.com")
    cafe.consent(cafe.endpoint("email", "a@example.com"), "no", NOW, "offers")
    actions = "conditions:\n  reachable: email\nactions:\n  - alert: hello\n"
    assert cafe.who(f"{BIRTHDAY}{actions}", NOW) == {guest}
    assert cafe.who(f"{BIRTHDAY}{actions}topic: news\n", NOW) == {guest}
    assert cafe.who(f"{BIRTHDAY}{actions}topic: offers\n", NOW) == set()


def test_service_needs_no_consent_but_an_address_without_suppression(cafe: Cafe) -> None:
    cafe.endpoint("email", "no@example.com", consent=False)
    said_no = cafe.guest(birthday=504, email="no@example.com")
    stopped = cafe.guest(birthday=504, email="stopped@example.com")
    cafe.suppress(cafe.endpoint("email", "stopped@example.com"), NOW)
    assert cafe.verdicts(f"{BIRTHDAY}purpose: service\n", NOW) == {said_no: ACT, stopped: refused("suppressed")}


def test_one_channel_that_can_go_is_enough_and_the_reason_is_that_of_the_first_step(cafe: Cafe) -> None:
    phone_only = cafe.guest(birthday=504, email=None, sms="+1")
    cafe.endpoint("email", "no@example.com", consent=False)
    neither = cafe.guest(birthday=504, email="no@example.com")
    assert cafe.verdicts(EMAIL_AND_SMS, NOW) == {phone_only: ACT, neither: refused("no_consent")}
    states = [(row.step, row.channel, row.state, row.reason) for row in cafe.dispatches]
    assert states == [(1, "email", "blocked", "no_endpoint"), (3, "sms", "held", "first_approval")]
    assert cafe.verdicts(f"id: b\n{SMS_AND_EMAIL}", NOW)[neither] == refused("no_endpoint")


def test_of_two_guests_with_one_address_the_first_who_may_use_it_acts(cafe: Cafe) -> None:
    excluded = cafe.guest(birthday=504, email="us@example.com", tagged=("staff",))
    first, second = (cafe.guest(birthday=504, email="us@example.com") for _ in range(2))
    cafe.home = home_of(f"{CONFIG}exclude:\n  tag: staff\n")
    assert cafe.verdicts(BIRTHDAY, NOW) == {
        excluded: refused("excluded"),
        first: ACT,
        second: refused("duplicate_endpoint"),
    }


def test_who_shares_one_address_is_reached_by_the_other(cafe: Cafe) -> None:
    cafe.guest(birthday=504, email="us@example.com")
    second = cafe.guest(birthday=504, email="us@example.com", sms="+2")
    assert cafe.verdicts(EMAIL_AND_SMS, NOW)[second] == ACT
    blocks = {row.customer_id: (row.email_block, row.sms_block) for row in cafe.matches}
    assert blocks[second] == ("duplicate_endpoint", None)


def test_two_guests_without_an_address_do_not_share_one(cafe: Cafe) -> None:
    guests = [cafe.guest(birthday=504, email=None, sms=f"+{number}") for number in range(2)]
    assert cafe.verdicts(EMAIL_AND_SMS, NOW) == dict.fromkeys(guests, ACT)


def test_an_alert_reaches_staff_whatever_the_guest_said(cafe: Cafe) -> None:
    cafe.endpoint("email", "no@example.com", consent=False)
    said_no, nowhere = cafe.guest(birthday=504, email="no@example.com"), cafe.guest(birthday=504, email=None)
    rule = f"{BIRTHDAY}actions:\n  - alert: hello\n"
    assert cafe.verdicts(rule, NOW) == {said_no: ACT, nowhere: ACT}
    assert {(row.channel, row.purpose, row.endpoint_id, row.state) for row in cafe.dispatches} == {
        ("alert", "service", None, "held")
    }
    both = cafe.verdicts(f"id: both\n{BIRTHDAY}actions:\n  - email: hello\n  - alert: hello\n", NOW)
    assert both == {said_no: ACT, nowhere: ACT}


@pytest.mark.parametrize(
    ("actions", "verdict", "coupon"),
    [
        ("  - coupon: treat\n  - email: gift\n", refused("no_consent"), None),
        ("  - coupon:\n      offer: treat\n      always: true\n  - email: gift\n", ACT, ("held", "first_approval")),
        ("  - coupon: treat\n  - email: gift\n  - alert: hello\n", ACT, ("blocked", "no_consent")),
        ("  - email: hello\n  - coupon: treat\n  - sms: gift\n", refused("no_consent"), None),
        ("  - coupon: treat\n  - email: gift\n  - wait: 1 day\n  - sms: gift\n", refused("no_consent"), None),
    ],
)
def test_a_coupon_is_issued_only_where_a_message_after_it_can_go(
    cafe: Cafe, actions: str, verdict: object, coupon: object
) -> None:
    cafe.endpoint("email", "no@example.com", consent=False)
    guest = cafe.guest(birthday=504, email="no@example.com")
    assert cafe.verdicts(f"{BIRTHDAY}actions:\n{actions}", NOW) == {guest: verdict}
    found = [(row.state, row.reason) for row in cafe.dispatches if row.channel == "coupon"]
    assert found == ([coupon] if coupon else [])


def test_a_coupon_waits_for_the_message_that_shows_it(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    actions = "actions:\n  - coupon: treat\n  - wait: 7 days\n  - email: gift\n"
    cafe.verdicts(f"{BIRTHDAY}{actions}", NOW)
    coupon, email = cafe.dispatches
    assert (coupon.channel, coupon.state) == ("coupon", "held")
    assert (coupon.due_at, coupon.expires_at) == (email.due_at, email.expires_at)
    assert email.due_at == at("2026-05-11 10:00")


def test_a_coupon_is_issued_with_the_first_message_that_can_go_and_lasts_to_the_last(cafe: Cafe) -> None:
    actions = "actions:\n  - coupon: treat\n  - email: gift\n  - wait: 3 days\n  - sms: gift\n"
    both = cafe.guest(birthday=504, sms="+1")
    by_phone = cafe.guest(birthday=504, email=None, sms="+2")
    cafe.verdicts(f"{BIRTHDAY}{actions}", NOW)
    rows = {(row.customer_id, row.channel): row for row in cafe.dispatches}
    for guest, first in ((both, "email"), (by_phone, "sms")):
        coupon = rows[guest, "coupon"]
        assert coupon.due_at == rows[guest, first].due_at
        assert coupon.expires_at == rows[guest, "sms"].expires_at


# -- again_after -------------------------------------------------------------------------------------------------------


def test_again_after_looks_at_the_guest_and_counts_days(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  ordered:\nlimits:\n  again_after: 7 days\n"
    days = {}
    for day in (1, 2, 7, 8, 9):
        cafe.order(guest, at(f"2026-05-0{day} 09:00"))
        days[day] = cafe.verdicts(rule, at(f"2026-05-0{day} 22:00"))[guest]
    soon = refused("again_too_soon")
    assert days == {1: ACT, 2: soon, 7: soon, 8: ACT, 9: soon}


def test_a_month_from_the_31st_of_january_is_over_on_the_28th_of_february(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  ordered:\nlimits:\n  again_after: 1 month\n"
    found = []
    for day in ("2026-01-31", "2026-02-27", "2026-02-28"):
        cafe.order(guest, at(f"{day} 12:00"))
        found.append(cafe.verdicts(rule, at(f"{day} 12:00"))[guest])
    assert found == [ACT, refused("again_too_soon"), ACT]


def test_again_after_hours_is_over_after_exactly_that_long(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  ordered:\nlimits:\n  again_after: 3 hours\n"
    found = []
    for minutes in (0, 179, 180):
        cafe.order(guest, NOW + timedelta(minutes=minutes))
        found.append(cafe.verdicts(rule, NOW + timedelta(minutes=minutes))[guest])
    assert found == [ACT, refused("again_too_soon"), ACT]


def test_again_after_looks_at_the_address_too(cafe: Cafe) -> None:
    first, second, third = (cafe.guest(email="us@example.com", sms=f"+{x}") for x in range(3))
    rule = "trigger:\n  ordered:\nlimits:\n  again_after: 7 days\n"
    cafe.order(first, NOW)
    assert cafe.verdicts(rule, NOW) == {first: ACT}
    cafe.order(second, NOW + timedelta(days=1))
    assert cafe.verdicts(rule, NOW + timedelta(days=1)) == {second: refused("again_too_soon")}
    cafe.order(third, NOW + timedelta(days=7))
    assert cafe.verdicts(rule, NOW + timedelta(days=7)) == {third: ACT}


def test_two_bad_ratings_of_one_evening_get_one_answer_in_one_run_or_in_two(cafe: Cafe) -> None:
    at_once, in_turn = cafe.guest(), cafe.guest()
    later = cafe.rating(at_once, NOW + timedelta(hours=1), 1)
    first = cafe.rating(at_once, NOW, 1)
    rule = rule_of("trigger:\n  low_rating: 2\nactions:\n  - alert: hello\n  - email: hello\n")
    own = cafe.rating(in_turn, NOW, 2)
    cafe.verdicts(rule, NOW + timedelta(hours=2))
    second = cafe.rating(in_turn, NOW + timedelta(hours=3), 1)
    cafe.verdicts(rule, NOW + timedelta(hours=4))
    assert {row.rating_id: (row.verdict, row.reason) for row in cafe.matches} == {
        first: ACT,
        later: refused("again_too_soon"),
        own: ACT,
        second: refused("again_too_soon"),
    }


def test_a_refusal_does_not_count_for_again_after_and_the_control_group_does(cafe: Cafe) -> None:
    cafe.endpoint("email", "no@example.com", consent=False)
    said_no, control = cafe.guest(email="no@example.com"), cafe.guest()
    rule = "trigger:\n  ordered:\nlimits:\n  again_after: 7 days\nholdout: 100%\n"
    for guest in (said_no, control):
        cafe.order(guest, NOW)
    assert cafe.verdicts(rule, NOW) == {said_no: refused("no_consent"), control: ("control", None)}
    cafe.consent(cafe.endpoint("email", "no@example.com"), "yes", NOW)
    tomorrow = NOW + timedelta(days=1)
    for guest in (said_no, control):
        cafe.order(guest, tomorrow)
    assert cafe.verdicts(rule, tomorrow) == {said_no: ("control", None), control: refused("again_too_soon")}


def test_without_again_after_each_occasion_acts(cafe: Cafe) -> None:
    guest = cafe.guest()
    for hours in (0, 1):
        cafe.order(guest, NOW + timedelta(hours=hours))
    cafe.verdicts("trigger:\n  ordered:\n", NOW + timedelta(hours=2))
    assert [row.verdict for row in cafe.matches] == ["act", "act"]


# -- holdout, exclude --------------------------------------------------------------------------------------------------


def test_the_control_group_is_made_of_those_who_could_be_reached(cafe: Cafe) -> None:
    reached, nowhere = cafe.guest(birthday=504), cafe.guest(birthday=504, email=None)
    assert cafe.verdicts(f"{BIRTHDAY}holdout: 100%\n", NOW) == {
        reached: ("control", None),
        nowhere: refused("no_endpoint"),
    }
    assert cafe.dispatches == []


def test_who_is_excluded_gets_no_marketing_but_gets_service(cafe: Cafe) -> None:
    staff, other = cafe.guest(birthday=504, tagged=("Staff",)), cafe.guest(birthday=504)
    cafe.home = home_of(f"{CONFIG}exclude:\n  any:\n    - tag: [staff, friend]\n")
    assert cafe.verdicts(BIRTHDAY, NOW) == {staff: refused("excluded"), other: ACT}
    assert cafe.verdicts(f"id: s\n{BIRTHDAY}purpose: service\n", NOW) == {staff: ACT, other: ACT}


def test_an_exclusion_that_cannot_be_answered_excludes_nobody(cafe: Cafe) -> None:
    guest = cafe.guest(birthday=504)
    cafe.home = home_of(f"{CONFIG}exclude:\n  tier: vip\n  days_since_order:\n    at_most: 3\n")
    assert cafe.verdicts(BIRTHDAY, NOW) == {guest: ACT}


def test_the_verdicts_come_in_their_order(cafe: Cafe) -> None:
    """expired, again_too_soon, excluded, then what keeps every step from going."""
    cafe.home = home_of(f"{CONFIG}exclude:\n  tag: staff\n")
    rule = "trigger:\n  ordered:\nlimits:\n  again_after: 30 days\n"
    guest = cafe.guest(tagged=("staff",), email=None)
    cafe.order(guest, NOW)
    assert cafe.verdicts(rule, NOW) == {guest: refused("excluded")}
    acted = cafe.guest()
    cafe.order(acted, NOW + timedelta(hours=1))
    assert cafe.verdicts(rule, NOW + timedelta(hours=1)) == {acted: ACT}
    cafe.order(acted, NOW + timedelta(days=1))
    gone = cafe.guest(email=None)
    cafe.order(gone, NOW + timedelta(days=6))
    assert cafe.verdicts(rule, NOW + timedelta(days=6)) == {
        acted: refused("expired"),
        gone: refused("no_endpoint"),
    }
