"""Coupon steps: drawn once, in the claim's transaction, good to the end of a day of the guest's."""

import threading
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, update

from engine.database.tables import coupons, customers, switch
from engine.dispatch.claims import claim
from engine.dispatch.coupons import begin_days, of_matches, valid_until
from engine.dispatch.inside import do_all
from engine.intake.redeem import redeem
from engine.language import codes
from engine.language.times import business_day

from .world import CHICAGO, NOW

FOUR = time(4)


def do_coupons(cafe, *, now=NOW, draw=codes.draw):
    with cafe.db.begin() as conn:
        held = claim(conn, now=now, holder="here:1:a", usable=["coupon"], limit=100)
        return [f"{each.after} {each.reason or ''}".strip() for each in do_all(conn, held, cafe.policy, now, draw=draw)]


def coupon_and_mail(cafe, *, terms=None, **mail):
    guest = cafe.guest()
    match = cafe.match(guest)
    return cafe.coupon(match, guest, terms=terms), cafe.dispatch(match, guest, step=2, **mail)


def test_a_coupon_gets_a_code_and_its_last_day(cafe):
    coupon, _ = coupon_and_mail(cafe, terms={"item": "cake", "valid": "14 days"})
    assert do_coupons(cafe) == ["sent"]
    row = cafe.coupon_of(coupon)
    assert codes.read(row.code) == row.code
    assert row.issued_at == NOW
    assert row.valid_until == datetime(2026, 5, 19, 4, tzinfo=CHICAGO)
    assert cafe.row(coupon).finished_at == NOW


def test_a_second_claim_draws_nothing(cafe):
    coupon, _ = coupon_and_mail(cafe)
    do_coupons(cafe)
    code = cafe.coupon_of(coupon).code
    assert do_coupons(cafe) == []
    assert cafe.coupon_of(coupon).code == code


def test_a_code_that_somebody_has_is_drawn_again(cafe):
    first, _ = coupon_and_mail(cafe)
    second, _ = coupon_and_mail(cafe)
    drawn = iter(["AAAABBBBCCCCD", "AAAABBBBCCCCD", "AAAABBBBCCCCD", "EEEEFFFFGGGGH"])
    assert do_coupons(cafe, draw=lambda: next(drawn)) == ["sent", "sent"]
    assert (cafe.coupon_of(first).code, cafe.coupon_of(second).code) == ("AAAABBBBCCCCD", "EEEEFFFFGGGGH")


def test_a_broken_source_of_chance_is_no_endless_loop(cafe):
    coupon_and_mail(cafe)
    coupon_and_mail(cafe)
    with pytest.raises(RuntimeError, match="random"):
        do_coupons(cafe, draw=lambda: "AAAABBBBCCCCD")


@pytest.mark.parametrize("end", ["blocked", "expired", "cancelled", "rejected"])
def test_without_a_message_to_come_no_code_is_drawn(cafe, end):
    coupon, _ = coupon_and_mail(cafe, state=end)
    assert do_coupons(cafe) == ["cancelled no_message"]
    assert cafe.coupon_of(coupon).code is None


def test_unless_it_goes_out_always(cafe):
    coupon, _ = coupon_and_mail(cafe, terms={"always": True}, state="blocked")
    assert do_coupons(cafe) == ["sent"]
    assert cafe.coupon_of(coupon).revoked_at is None


def test_terms_that_cannot_be_read_stop_one_coupon_and_not_the_others(cafe):
    bad, _ = coupon_and_mail(cafe, terms={"valid": "a while"})
    good, _ = coupon_and_mail(cafe, terms={"valid": "1 week"})
    assert do_coupons(cafe) == ["dead bad_terms", "sent"]
    assert cafe.coupon_of(bad).code is None
    assert cafe.state(good) == "sent"


def test_erasure_the_rule_and_the_red_button_hold_for_coupons_too(cafe):
    coupon, _ = coupon_and_mail(cafe)
    with cafe.db.begin() as conn:
        conn.execute(insert(switch).values(id=1, stopped_at=NOW))
    assert do_coupons(cafe) == []
    with cafe.db.begin() as conn:
        conn.execute(update(switch).values(stopped_at=None))
        conn.execute(update(customers).values(erased_at=NOW))
    assert do_coupons(cafe) == ["blocked erased"]
    assert cafe.coupon_of(coupon).code is None


def test_a_message_shows_the_coupons_of_the_steps_before_it(cafe):
    guest = cafe.guest()
    match = cafe.match(guest)
    cafe.coupon(match, guest, step=1, terms={"item": "cake"})
    cafe.dispatch(match, guest, step=2)
    cafe.coupon(match, guest, step=3, terms={"item": "tea"})
    cafe.dispatch(match, guest, step=4)
    assert [do_coupons(cafe), do_coupons(cafe)] == [["sent"], ["sent"]]  # in their order

    def shown(step):
        with cafe.db.begin() as conn:
            return [each.terms["item"] for own, each in of_matches(conn, [match]).get(match, ()) if own < step]

    assert (shown(2), shown(4)) == (["cake"], ["cake", "tea"])
    with cafe.db.begin() as conn:
        conn.execute(update(coupons).where(coupons.c.terms.is_not(None)).values(revoked_at=NOW))
    assert shown(4) == []


@given(st.integers(1_577_836_800, 1_893_456_000), st.integers(1, 90), st.sampled_from(["America/Chicago", "Asia/Shanghai", "Europe/London", "Australia/Lord_Howe"]))  # fmt: skip
def test_a_coupon_is_good_on_the_whole_of_its_last_business_day_and_not_after(seconds, days, name):
    zone, at = ZoneInfo(name), datetime.fromtimestamp(seconds, UTC)
    end = valid_until({"valid": f"{days} days"}, at, zone, FOUR)
    last = business_day(at, zone, FOUR) + timedelta(days=days)
    assert business_day(end - timedelta(seconds=1), zone, FOUR) == last
    assert business_day(end, zone, FOUR) == last + timedelta(days=1)


def test_coupons_of_several_matches_begin_their_days_in_the_order_of_their_ids(cafe):
    """Two workers that took them in the order of their messages could each wait for the other."""
    for number in range(2):
        guest = cafe.guest()
        match = cafe.match(guest)
        coupon = cafe.coupon(match, guest, terms={"valid": "14 days"}, state="sent")
        with cafe.db.begin() as conn:
            its = coupons.c.dispatch_id == coupon
            conn.execute(update(coupons).where(its).values(code=f"CODE{number}", issued_at=NOW))
        cafe.dispatch(match, guest, step=2)
    changed = []

    def note(_conn, _cursor, statement, parameters, *_):
        if statement.startswith("UPDATE coupons"):
            changed.extend(each["number"] if isinstance(each, dict) else each[-1] for each in parameters)

    with cafe.db.begin() as conn:
        held = claim(conn, now=NOW, holder="elsewhere:1:a", usable=["email"], limit=2)
        event.listen(conn, "before_cursor_execute", note)
        begin_days(conn, held[::-1], NOW, time(4))
    assert len(changed) == 2
    assert changed == sorted(changed)


def test_the_other_ways_to_say_how_long():
    at = datetime(2026, 2, 10, 12, tzinfo=CHICAGO)
    assert valid_until({}, at, CHICAGO, FOUR) is None
    assert valid_until({"valid": "month end"}, at, CHICAGO, FOUR) == datetime(2026, 3, 1, 4, tzinfo=CHICAGO)
    december = datetime(2026, 12, 31, 12, tzinfo=CHICAGO)
    assert valid_until({"valid": "month end"}, december, CHICAGO, FOUR) == datetime(2027, 1, 1, 4, tzinfo=CHICAGO)
    assert valid_until({"valid": "2026-06-30"}, at, CHICAGO, FOUR) == datetime(2026, 7, 1, 4, tzinfo=CHICAGO)
    assert valid_until({"valid": "1 month"}, datetime(2026, 1, 31, 12, tzinfo=CHICAGO), CHICAGO, FOUR) == datetime(
        2026, 3, 1, 4, tzinfo=CHICAGO
    )


def test_twenty_at_once_at_the_tills_redeem_one_code_once(cafe):
    coupon, _ = coupon_and_mail(cafe, terms={"item": "cake", "valid": "14 days"})
    do_coupons(cafe)
    code = cafe.coupon_of(coupon).code
    barrier = threading.Barrier(20)
    won = []

    def at_the_till():
        barrier.wait()
        with cafe.db.begin() as conn:
            won.append(redeem(conn, code=codes.shown(code).lower(), order_id=None, at=NOW, offers={}))

    tills = [threading.Thread(target=at_the_till) for _ in range(20)]
    for each in tills:
        each.start()
    for each in tills:
        each.join()
    assert sorted(won) == [False] * 19 + [True]
    assert cafe.coupon_of(coupon).redeemed_at == NOW


def test_a_coupon_that_was_taken_back_or_ran_out_is_not_redeemed(cafe):
    gone, _ = coupon_and_mail(cafe)
    old, _ = coupon_and_mail(cafe, terms={"valid": "1 day"})
    do_coupons(cafe)
    with cafe.db.begin() as conn:
        conn.execute(update(coupons).where(coupons.c.dispatch_id == gone).values(revoked_at=NOW))
    for coupon, at in ((gone, NOW), (old, NOW + timedelta(days=2))):
        with cafe.db.begin() as conn:
            assert not redeem(conn, code=code_of(conn, coupon), order_id=None, at=at, offers={})


def code_of(conn, dispatch_id):
    return conn.scalar(select(coupons.c.code).where(coupons.c.dispatch_id == dispatch_id))
