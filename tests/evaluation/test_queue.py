"""What a match becomes in the outbox: which rows, when due, until when, and which store and contents."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from small_world import BERLIN, CONFIG, Cafe, at, home_of

from engine.database.tables import contents, coupons, dispatches, matches

NOW = at("2026-05-04 10:00")
BIRTHDAY = "trigger:\n  birthday:\n"
SMS = f"{BIRTHDAY}actions:\n  - sms: hello\n"
DAY = timedelta(days=1)


def test_each_guest_is_written_to_within_the_hours_of_the_own_clock(cafe: Cafe) -> None:
    here, there = cafe.guest(birthday=504), cafe.guest(birthday=504, zone="Asia/Shanghai")
    cafe.verdicts(BIRTHDAY, NOW)
    due = {row.customer_id: row.due_at for row in cafe.dispatches}
    assert due == {here: NOW, there: at("2026-05-05 08:00", "Asia/Shanghai")}


def test_a_message_that_no_opening_reaches_before_it_closes_is_expired_at_once(cafe: Cafe) -> None:
    cafe.home = home_of(f"{CONFIG}hours:\n  email: 08:00-21:00\n  sms:\n    mon: 10:00-18:00\n")
    cafe.guest(birthday=504, sms="+1")
    cafe.verdicts(SMS, at("2026-05-04 18:00"))
    (row,) = cafe.dispatches
    assert (row.state, row.reason, row.finished_at) == ("expired", "too_late", at("2026-05-04 18:00"))
    assert (row.due_at, row.expires_at) == (at("2026-05-11 10:00"), at("2026-05-06 04:00"))


@pytest.mark.parametrize(("zone", "changed"), [("America/Chicago", "2026-03-08"), (BERLIN, "2026-10-25")])
def test_after_a_wait_it_goes_on_at_the_same_hour_over_a_changed_clock(cafe: Cafe, zone: str, changed: str) -> None:
    night = date.fromisoformat(changed)
    day = night - DAY
    cafe.guest(birthday=day.month * 100 + day.day, zone=zone, sms="+1")
    actions = "actions:\n  - email: hello\n  - wait: 1 day\n  - email: hello\n  - wait: 1 month\n  - email: hello\n"
    cafe.verdicts(f"{BIRTHDAY}{actions}", at(f"{day} 12:00", zone))
    assert [row.step for row in cafe.dispatches] == [1, 3, 5]
    month_on = date(night.year, night.month + 1, night.day)
    assert [row.due_at for row in cafe.dispatches] == [at(f"{when} 12:00", zone) for when in (day, night, month_on)]
    waited = [row.expires_at - row.due_at for row in cafe.dispatches]
    assert waited == [waited[0]] * 3


def test_send_says_when_and_for_how_long(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    rule = f"{BIRTHDAY}send:\n  between: 12:00-13:00\n  on: [tue, wed]\n  within: 3 hours\n"
    cafe.verdicts(rule, NOW)
    (row,) = cafe.dispatches
    assert (row.due_at, row.expires_at) == (at("2026-05-05 12:00"), at("2026-05-05 15:00"))


def test_spread_is_a_place_of_each_guests_own_within_the_stretch(cafe: Cafe) -> None:
    guests = [cafe.guest(birthday=504) for _ in range(40)]
    cafe.verdicts(f"{BIRTHDAY}send:\n  spread: 2 hours\n", NOW)
    due = [row.due_at - NOW for row in cafe.dispatches]
    assert len(due) == len(guests)
    assert all(timedelta(0) <= each < timedelta(hours=2) for each in due)
    assert len(set(due)) > 30
    cafe.verdicts("id: again\ntrigger:\n  birthday:\nsend:\n  spread: 2 hours\n", NOW)
    assert len(cafe.dispatches) == 80


def test_alerts_and_coupons_know_no_hours_of_their_own(cafe: Cafe) -> None:
    midnight = at("2026-05-04 23:00")
    cafe.guest(birthday=504)
    actions = "actions:\n  - alert: hello\n  - coupon: treat\n  - email: gift\n"
    cafe.verdicts(f"{BIRTHDAY}{actions}", midnight)
    due = {row.channel: row.due_at for row in cafe.dispatches}
    morning = at("2026-05-05 08:00")
    assert due == {"alert": midnight, "coupon": morning, "email": morning}


def test_a_coupon_keeps_the_terms_of_its_day(cafe: Cafe) -> None:
    guest = cafe.guest(birthday=504)
    actions = "actions:\n  - coupon:\n      offer: treat\n      valid: month end\n  - email: gift\n"
    cafe.verdicts(f"{BIRTHDAY}{actions}", NOW)
    (coupon,) = cafe.rows(coupons)
    assert (coupon.customer_id, coupon.offer, coupon.code) == (guest, "treat", None)
    assert (coupon.terms["kind"], coupon.terms["item"], coupon.terms["valid"]) == ("item", "a treat", "month end")


def test_no_coupon_row_for_a_coupon_that_is_blocked(cafe: Cafe) -> None:
    cafe.guest(birthday=504, email=None)
    cafe.verdicts(f"{BIRTHDAY}actions:\n  - alert: hello\n  - coupon: treat\n  - email: gift\n", NOW)
    assert [(row.channel, row.state) for row in cafe.dispatches][1:] == [("coupon", "blocked"), ("email", "blocked")]
    assert cafe.rows(coupons) == []


def test_a_template_is_stored_once_a_version(cafe: Cafe) -> None:
    for number, moment in enumerate((NOW, NOW + 366 * DAY)):
        cafe.guest(birthday=504 + number)
        cafe.verdicts(BIRTHDAY, moment)
    (content,) = cafe.rows(contents)
    assert content.files["email.txt"] == "Hello {{ customer.first_name }}"
    assert {row.content_id for row in cafe.dispatches} == {content.id}


def test_a_copy_of_a_template_is_stored_under_its_own_name(cafe: Cafe) -> None:
    """The outbox and the problems name it; an owner begins a new template with a copy."""
    home = home_of()
    cafe.home = replace(home, templates={**home.templates, "copy": replace(home.templates["hello"], name="copy")})
    cafe.guest(birthday=504)
    cafe.verdicts(f"{BIRTHDAY}actions:\n  - email: hello\n  - email: copy\n", NOW)
    assert {row.template for row in cafe.rows(contents)} == {"hello", "copy"}
    assert len({row.content_id for row in cafe.dispatches}) == 2


def test_the_store_is_that_of_the_order_else_the_guests_and_never_a_shut_one(cafe: Cafe) -> None:
    mill, quay = cafe.store("Mill Lane"), cafe.store("Quay")
    shut = cafe.store("Old Quay", closed_on=date(2026, 5, 4))
    last_day = cafe.store("Last Day", closed_on=date(2026, 5, 5))
    guest = cafe.guest(store_id=mill)
    made = {cafe.order(guest, NOW, store=store): store for store in (quay, shut, last_day, None)}
    cafe.verdicts("trigger:\n  ordered:\n", NOW)
    found = {made[row.order_id]: row.store_id for row in cafe.matches}
    assert found == {quay: quay, shut: mill, last_day: last_day, None: mill}


def test_a_match_notes_whom_it_could_reach(cafe: Cafe) -> None:
    cafe.endpoint("sms", "+1", consent=False)
    guest = cafe.guest(birthday=504, sms="+1")
    cafe.verdicts(BIRTHDAY, NOW)
    (match,) = cafe.rows(matches)
    assert (match.customer_id, match.email_block, match.sms_block) == (guest, None, "no_consent")
    assert match.matched_at == NOW
    (row,) = cafe.rows(dispatches)
    assert (row.endpoint_id, row.purpose, row.channel) == (match.email_id, "marketing", "email")
