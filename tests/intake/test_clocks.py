"""The store's clock of an order, and the keys that rules compare, as imports keep them."""

from __future__ import annotations

from typing import Any

from engine.database.tables import customers, events, orders, ratings, stores
from tests.intake.conftest import csv

STORES = "store_id,name,timezone\nÄ1,Mill Lane,{zone}\n"
ORDERS = (
    "order_id,customer_id,ordered_at,store_id,total\n"
    "O1,C1,2026-05-03T06:30:00+00:00,Ä1,5\n"  # Sunday 01:30 in Chicago, 08:30 in Berlin
    "O2,,2026-05-03T06:30:00+00:00,Ä1,5\n"
    "O3,C1,2026-05-03T06:30:00+00:00,,5\n"
)
SATURDAY, SUNDAY = 5 * 1440, 6 * 1440


def test_an_order_knows_the_weekday_and_minute_of_its_store_and_follows_it(home: Any) -> None:
    home.take(STORES.format(zone="Europe/Berlin"))
    home.take(ORDERS)
    berlin = SUNDAY + 8 * 60 + 30
    assert home.rows(orders, "clock") == [berlin, berlin, SATURDAY + 90]  # without a store by the home's
    report = home.take(ORDERS)
    assert (report.new, report.changed) == (0, 0)
    home.take(STORES.format(zone="America/Chicago"))
    assert home.rows(orders, "clock") == [SATURDAY + 90] * 3


def test_what_rules_compare_is_folded_beyond_ascii_and_follows_the_file(home: Any) -> None:
    home.take(STORES.format(zone="America/Chicago"))
    home.take("customer_id,gender,Stufe,seats,vegan\nC1,Écrivaine,GRÖSSE,4,yes\n")
    home.take("rating_id,customer_id,rated_at,score,source\nR1,C1,2026-05-01 10:00,5,ÜBER  all\n")
    home.take("event_id,customer_id,name,at,Kind\nE1,C1,Café Tasting,2026-05-01 10:00,WEISS\n")
    assert home.rows(stores, "external_key") == ["ä1"]
    assert home.rows(ratings, "platform_key") == ["über all"]
    assert home.rows(events, "name_key", "data_keys") == [("café tasting", {"kind": "weiss"})]
    assert home.rows(customers, "gender_key", "attribute_keys") == [
        ("écrivaine", {"stufe": "grösse", "seats": "4", "vegan": "yes"})
    ]
    home.take("customer_id,gender,Stufe\nC1,,Klein\n")
    assert home.rows(customers, "gender_key", "attribute_keys") == [
        (None, {"stufe": "klein", "seats": "4", "vegan": "yes"})
    ]


def test_a_guest_of_two_clocks_by_each_of_which_the_other_store_is_theirs_stays_by_one(home: Any) -> None:
    home.take(csv("store_id,name,timezone", "NY,Harbour,America/New_York", "TK,Ginza,Asia/Tokyo"))
    clocks = []
    visits = {"07:00": "TK", "09:00": "TK", "18:00": "NY", "20:00": "NY"}  # one day in Tokyo, and one in New York
    rows = (f"{at},A,2026-04-20T{at}:00+00:00,{store},5" for at, store in visits.items())
    home.take(csv("order_id,customer_id,ordered_at,store_id,total", *rows))
    for number in range(3):
        home.take(csv("order_id,ordered_at,total", f"walk-in {number},2026-04-21 10:00,5"))
        home.facts("A")
        clocks.append(home.zone_names()["A"])
    assert clocks == ["America/New_York"] * 3
