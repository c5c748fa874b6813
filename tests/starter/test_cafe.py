"""The generated café: the same everywhere, made of nothing that exists, and alive enough for every rule."""

import csv
import hashlib
import io
import re
from collections import Counter
from datetime import date

import phonenumbers
import pytest

from engine.starter.cafe import AS_OF, write_cafe
from engine.starter.dice import Dice, Wheel

BYTES = "848f17f9712dc253929856960e63755c493318328ff20a7e8b06ee895652019c"


@pytest.fixture(scope="module")
def cafe(tmp_path_factory):
    return write_cafe(tmp_path_factory.mktemp("cafe"))


@pytest.fixture(scope="module")
def tables(cafe):
    return {file.stem: list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))) for file in cafe.files}


def share(rows, test):
    return sum(map(test, rows)) / len(rows)


def test_every_machine_and_python_writes_the_same_bytes(cafe):
    assert hashlib.sha256(b"".join(file.read_bytes() for file in cafe.files)).hexdigest() == BYTES


def test_it_is_as_big_as_it_says(cafe, tables):
    sales = [order for order in tables["orders"] if order["kind"] == "sale"]
    assert cafe.guests == len(tables["customers"]) == 5000
    assert cafe.orders == len(sales)
    assert cafe.items == len(tables["order_items"])
    assert cafe.ratings == len(tables["ratings"])
    assert cafe.points == len(tables["points"])
    assert cafe.walk_ins == sum(not order["customer_id"] for order in sales)
    assert 50_000 < cafe.orders < 80_000
    assert cafe.items < 100_000
    assert cafe.walk_ins / cafe.orders == pytest.approx(0.6, abs=0.001)


def test_it_ends_on_the_evening_before_the_demos_day(tables):
    moments = sorted(order["ordered_at"] for order in tables["orders"])
    assert moments[0][:10] == "2024-05-04"
    assert "2026-05-03 18:00" < moments[-1] < AS_OF
    assert all(rating["rated_at"] < AS_OF for rating in tables["ratings"])
    assert all(entry["at"] < AS_OF for entry in tables["points"])
    assert all(guest["joined_at"] < AS_OF for guest in tables["customers"])


def test_keys_are_unique_and_references_lead_somewhere(tables):
    orders = {order["order_id"] for order in tables["orders"]}
    guests = {guest["customer_id"] for guest in tables["customers"]}
    stores = {store["store_id"] for store in tables["stores"]}
    assert len(guests) == 5000
    assert len({(item["order_id"], item["line"]) for item in tables["order_items"]}) == len(tables["order_items"])
    assert {item["order_id"] for item in tables["order_items"]} == orders
    assert {order["customer_id"] for order in tables["orders"]} <= guests | {""}
    assert {rating["order_id"] for rating in tables["ratings"]} <= orders
    assert {order["store_id"] for order in tables["orders"]} == stores
    for name, key in (("ratings", "rating_id"), ("points", "entry_id"), ("events", "event_id")):
        assert len({row[key] for row in tables[name]}) == len(tables[name])


def test_nothing_of_it_can_reach_a_person(tables):
    numbers = {guest["phone"] for guest in tables["customers"]} - {""}
    numbers |= {store[field] for store in tables["stores"] for field in ("phone", "manager_phone")}
    assert all(re.fullmatch(r"\+1[2-9]\d{2}55501\d{2}", number) for number in numbers)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers)
    assert all(guest["email"].endswith("@example.com") for guest in tables["customers"] if guest["email"])
    assert all(guest["email"].isascii() for guest in tables["customers"])
    assert all(store["manager_email"].endswith(".example") for store in tables["stores"])


def test_guests_of_one_number_or_address_are_couples_only(tables):
    for field in ("email", "phone"):
        shared = Counter(guest[field] for guest in tables["customers"] if guest[field])
        assert 40 < sum(count > 1 for count in shared.values()) < 250
        assert max(shared.values()) <= 4


def test_consent_birthdays_and_languages_are_mixed_as_in_life(tables):
    guests = tables["customers"]
    assert share(guests, lambda guest: guest["email_consent"] == "yes") == pytest.approx(0.62, abs=0.03)
    assert share(guests, lambda guest: guest["sms_consent"] == "yes") == pytest.approx(0.35, abs=0.03)
    assert share(guests, lambda guest: bool(guest["birthday"])) == pytest.approx(0.7, abs=0.02)
    assert share(guests, lambda guest: guest["language"] == "zh") == pytest.approx(0.12, abs=0.02)
    assert sum(guest["birthday_calendar"] == "lunar" for guest in guests) > 50
    assert all(guest["consent_at"] for guest in guests if guest["email_consent"] == "yes")
    assert not any(guest["email_consent"] for guest in guests if not guest["email"])
    assert not any(guest["sms_consent"] for guest in guests if not guest["phone"])


def test_birthdays_are_days_of_the_calendar(tables):
    for guest in tables["customers"]:
        if guest["birthday"] and not guest["birthday_calendar"]:
            year = guest["birthday"][:-6] or "2024"
            date(int(year), int(guest["birthday"][-5:-3]), int(guest["birthday"][-2:]))


def test_totals_are_the_sums_of_their_items(tables):
    sums = Counter()
    for item in tables["order_items"]:
        sums[item["order_id"]] += round(float(item["price"]) * 100)
    for order in tables["orders"]:
        if order["kind"] == "sale":
            assert sums[order["order_id"]] == round(float(order["total"]) * 100)
    assert {order["kind"] for order in tables["orders"]} == {"sale", "refund", "void"}


def test_points_are_never_taken_that_a_guest_has_not(tables):
    balance = Counter()
    for entry in tables["points"]:
        balance[entry["customer_id"]] += int(entry["points"])
        assert balance[entry["customer_id"]] >= 0


def test_few_guests_come_often_and_most_seldom(tables):
    visits = Counter()
    for _, guest in {(order["ordered_at"][:10], order["customer_id"]) for order in tables["orders"]}:
        visits[guest] += 1
    del visits[""]  # walk-ins
    often = sorted(visits.values(), reverse=True)
    assert sum(often[: len(often) // 10]) > 0.45 * sum(often)
    assert sum(count <= 2 for count in often) > 0.35 * len(often)


def test_the_broken_machine_left_its_ratings(tables):
    bad = [rating for rating in tables["ratings"] if float(rating["score"]) <= 2 and rating["rated_at"] > "2026-05-02"]
    assert len(bad) >= 3


def test_dice_of_one_seed_fall_alike():
    assert [Dice("x").random() for _ in range(3)] == [Dice("x").random() for _ in range(3)]
    first, second = Dice("one"), Dice("two")
    assert [first.between(1, 6) for _ in range(20)] != [second.between(1, 6) for _ in range(20)]


def test_a_wheel_gives_each_value_as_often_as_it_weighs():
    dice, wheel = Dice("wheel"), Wheel([(1, 3), (2, 1)])
    spins = Counter(wheel.spin(dice) for _ in range(4000))
    assert set(spins) == {1, 2}
    assert spins[1] / 4000 == pytest.approx(0.75, abs=0.03)
