"""A coupon is redeemed by its code or by the till's name of the discount, once, on its own terms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from connectors import csvblocks
from engine.database.tables import coupons, customers, dispatches, matches, orders, rule_versions, rules, runs
from engine.intake import orders as intake_orders
from engine.intake.redeem import redeem
from engine.language import codes
from engine.language.offers import Offer
from tests.intake.conftest import Home, csv

ORDER = "order_id,customer_id,ordered_at,store_id,total,coupon"
TERMS = {"kind": "percent", "value": 2000, "minimum_spend": 500, "stores": [], "till": "Regulars 20"}


@pytest.fixture
def issue(home: Home) -> Callable[..., str]:
    """Gives a guest a coupon, with code; the guest is made by an order without one."""
    home.take(csv("customer_id,name", "A,Ann", "B,Bo"))
    now = home.now
    with home.db.begin() as conn:
        conn.execute(insert(rules).values(id=1, rule="win-back", path="rules/w.yaml", content_hash=b"h"))
        conn.execute(insert(rule_versions).values(id=1, rule_id=1, content_hash=b"h", body={}, first_at=now))
        conn.execute(insert(runs).values(id=1, as_of=now, started_at=now, host="h", pid=1))

    def give(guest: str, number: int = 1, *, until: timedelta = timedelta(days=14), **terms: Any) -> str:
        code = codes.draw()
        who = dict(home.rows(customers, "external_id", "id"))[guest]
        issued = home.now - timedelta(days=3)
        with home.db.begin() as conn:
            conn.execute(
                insert(matches).values(
                    id=number, rule_id=1, customer_id=who, occasion=number, run_id=1, version_id=1, matched_at=issued,
                    closes=now, verdict="act",
                )
            )  # fmt: skip
            conn.execute(
                insert(dispatches).values(
                    id=number, month=202605, match_id=number, step=1, rule_id=1, customer_id=who, channel="coupon",
                    purpose="marketing", state="sent", due_at=issued, expires_at=now,
                )
            )  # fmt: skip
            conn.execute(
                insert(coupons).values(
                    id=number, dispatch_id=number, customer_id=who, offer="twenty-percent", terms={**TERMS, **terms},
                    code=code, issued_at=issued, valid_until=issued + until,
                )
            )  # fmt: skip
        return code

    return give


def redeemed(home: Home) -> list[tuple[datetime | None, int | None]]:
    return home.rows(coupons, "redeemed_at", "redeemed_order_id")


def test_of_two_the_one_that_ends_first_is_redeemed_before_one_that_is_good_for_ever(home: Home, issue):
    issue("A", 1)
    issue("A", 2)
    with home.db.begin() as conn:
        conn.execute(update(coupons).where(coupons.c.id == 1).values(valid_until=None))
    home.take(csv(ORDER, "9,A,2026-05-04 09:00,,8,Regulars 20"))
    assert [number for number, at in home.rows(coupons, "id", "redeemed_at") if at] == [2]


def test_the_tills_discount_redeems_the_guests_coupon_once(home: Home, issue: Callable[..., str]):
    issue("A")
    text = csv(ORDER, "1,A,2026-05-03 09:00,,8.00,regulars  20", "2,A,2026-05-03 10:00,,8.00,Regulars 20")
    report = home.take(text)
    assert report.redeemed == 1
    ((at, order),) = redeemed(home)
    assert (at.isoformat(), order) == ("2026-05-03T14:00:00+00:00", 1)
    before = home.dump()
    assert home.take(text).redeemed == 0
    assert home.dump() == before


def test_of_two_orders_the_first_of_the_file_has_the_coupon(home: Home, issue: Callable[..., str], monkeypatch: Any):
    """Each in a block of its own: the second is read while the first goes in."""
    monkeypatch.setattr(csvblocks, "BLOCK", 1)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    code = issue("A")
    report = home.take(csv(ORDER, *(f"{number},A,2026-05-03 1{number}:00,,8.00,{code}" for number in range(2))))
    assert (report.new, report.redeemed) == (2, 1)
    ((_, order),) = redeemed(home)
    assert dict(home.rows(orders, "id", "external_id"))[order] == "0"


def test_a_code_redeems_however_the_till_writes_it(home: Home, issue: Callable[..., str]):
    code = codes.shown(issue("A")).lower()
    report = home.take(csv(ORDER, f"1,,2026-05-03 09:00,,8.00,{code}"))  # a walk-in showed it
    assert report.redeemed == 1
    assert redeemed(home)[0][1] == 1


def test_one_of_several_discounts_of_a_sale_is_enough(home: Home, issue: Callable[..., str]):
    issue("A")
    assert home.take(csv(ORDER, '1,A,2026-05-03 09:00,,8.00,"Happy hour, Regulars 20"')).redeemed == 1


def test_a_sale_that_turns_out_to_be_the_guests_redeems_then(home: Home, issue: Callable[..., str]):
    issue("A")
    assert home.take(csv(ORDER, "1,,2026-05-03 09:00,,8.00,Regulars 20")).redeemed == 0
    assert home.take(csv(ORDER, "1,A,2026-05-03 09:00,,8.00,Regulars 20")).redeemed == 1


@pytest.mark.parametrize(
    "row",
    [
        "1,B,2026-05-03 09:00,,8.00,Regulars 20",  # another guest
        "1,A,2026-05-03 09:00,,8.00,Regulars 30",  # another discount
        "1,A,2026-05-03 09:00,,8.00,",
        "1,A,2026-05-03 09:00,,3.99,Regulars 20",  # 4.98 before the discount
        "1,A,2026-05-16 09:00,,8.00,Regulars 20",  # too late
        "1,A,2026-04-30 09:00,,8.00,Regulars 20",  # before it was issued
    ],
)
def test_what_is_not_the_coupons_redeems_nothing(home: Home, issue: Callable[..., str], row: str):
    issue("A")
    assert home.take(csv(ORDER, row)).redeemed == 0
    assert redeemed(home) == [(None, None)]


def test_the_least_bill_is_held_against_what_it_was_before_the_discount(home: Home, issue: Callable[..., str]):
    issue("A")
    assert home.take(csv(ORDER, "1,A,2026-05-03 09:00,,4.00,Regulars 20")).redeemed == 1


def test_a_coupon_of_some_stores_is_good_at_these_only(home: Home, issue: Callable[..., str]):
    home.take(csv("store_id,name", "M,Mill Lane", "L,Lake"))
    issue("A", stores=["M"])
    assert home.take(csv(ORDER, "1,A,2026-05-03 09:00,L,8.00,Regulars 20")).redeemed == 0
    assert home.take(csv(ORDER, "2,A,2026-05-03 09:00,M,8.00,Regulars 20")).redeemed == 1


def test_of_several_the_first_to_run_out_goes(home: Home, issue: Callable[..., str]):
    issue("A", 1)
    issue("A", 2, until=timedelta(days=7))
    home.take(csv(ORDER, "1,A,2026-05-03 09:00,,8.00,Regulars 20"))
    assert [order for _, order in redeemed(home)] == [None, 1]


@pytest.mark.parametrize("change", [{"revoked_at": datetime.fromisoformat("2026-05-02T00:00Z")}, {"code": None}])
def test_a_coupon_that_is_not_live_is_not_redeemed(home: Home, issue: Callable[..., str], change: dict[str, Any]):
    code = issue("A")
    with home.db.begin() as conn:
        conn.execute(update(coupons).values(change))
        assert not redeem(conn, code=code, order_id=None, at=home.now, offers={})
        assert not redeem(conn, customer_id=1, till_name="Regulars 20", order_id=None, at=home.now, offers={})


def test_the_offers_of_today_may_give_a_coupon_the_tills_name(home: Home, issue: Callable[..., str]):
    issue("A", till=None)
    offer = Offer("twenty-percent", "20%", "percent", 2000, None, None, None, (), "New name")
    with home.db.begin() as conn:
        asked = {"customer_id": 1, "till_name": "new NAME", "order_id": None, "at": home.now}
        assert not redeem(conn, **asked, offers={})
        assert redeem(conn, **asked, offers={"twenty-percent": offer})


def test_of_many_at_once_one_redeems(home: Home, issue: Callable[..., str]):
    code = issue("A")
    start, won = Barrier(8), []

    def go() -> None:
        start.wait()
        with home.db.begin() as conn:
            won.append(redeem(conn, code=code, order_id=None, at=home.now, offers={}))

    threads = [Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_of_two_who_both_saw_it_open_one_redeems(home: Home, issue: Callable[..., str]):
    code = issue("A")
    both_saw, won = Barrier(2), []

    @event.listens_for(home.db, "before_cursor_execute")
    def wait(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE coupons"):
            both_saw.wait(20)

    def go() -> None:
        with home.db.begin() as conn:
            won.append(redeem(conn, code=code, order_id=None, at=home.now, offers={}))

    threads = [Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, True]
