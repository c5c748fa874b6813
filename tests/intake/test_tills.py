"""Square's and Loyverse's exports, whatever the order of their columns and of their files."""

from __future__ import annotations

import pytest

from engine.database.tables import consents, customers, endpoints, order_items, orders, refunds, stores, zones
from tests.intake import tills
from tests.intake.conftest import Home, csv


def take_square(home: Home, folder: tills.Folder, seed: int, generation: str = "2026", *, parts: str = "cso") -> None:
    files = {
        "c": (tills.SQUARE_CUSTOMERS, folder.customers, "customers"),
        "s": (tills.SQUARE_SALES, folder.sales, "orders"),
        "o": (tills.SQUARE_ITEMS[generation], folder.items, "order_items"),
    }
    for part in parts:
        header, rows, kind = files[part]
        report = home.take(tills.text(tills.shuffled(header, seed), rows), f"{kind}.csv")
        assert (report.till, report.kind, report.problem, report.refusals) == ("square", kind, "", [])
        assert not report.failed


def take_loyverse(home: Home, folder: tills.Folder, seed: int, *, parts: str = "cso") -> None:
    files = {
        "c": (tills.LOYVERSE_CUSTOMERS, folder.customers, "customers"),
        "s": (tills.LOYVERSE_RECEIPTS, folder.sales, "orders"),
        "o": (tills.LOYVERSE_ITEMS, folder.items, "order_items"),
    }
    for part in parts:
        header, rows, kind = files[part]
        report = home.take(tills.text(tills.shuffled(header, seed), rows, ";"), f"{kind}.csv")
        assert (report.till, report.kind, report.problem, report.refusals) == ("loyverse", kind, "", [])


def check(home: Home, truth: tills.Truth) -> None:
    for guest, count in truth.orders.items():
        facts = home.facts(guest)
        assert (guest, facts["orders"], facts["spend"]) == (guest, count, truth.spend[guest])
    assert home.rows(orders, "customer_id").count(None) == truth.walk_ins
    assert len(home.rows(refunds)) == truth.refunds + truth.voids
    assert len(home.rows(order_items)) == truth.items


@pytest.mark.parametrize(
    ("seed", "generation", "parts"), [(1, "2026", "cso"), (2, "summer 2026", "soc"), (3, "2024", "sco")]
)
def test_a_square_folder_goes_in_and_again_changes_nothing(home: Home, seed: int, generation: str, parts: str):
    folder = tills.square(seed)
    assert folder.truth.refunds > 3
    assert folder.truth.voids
    take_square(home, folder, seed, generation, parts=parts)
    check(home, folder.truth)
    before = home.dump()
    home.later(days=1)
    take_square(home, folder, seed + 100, generation, parts=parts)
    assert home.dump() == before


@pytest.mark.parametrize(("seed", "parts"), [(1, "cso"), (2, "soc"), (3, "sco")])
def test_a_loyverse_folder_goes_in_and_again_changes_nothing(home: Home, seed: int, parts: str):
    folder = tills.loyverse(seed)
    assert folder.truth.refunds > 3
    take_loyverse(home, folder, seed, parts=parts)
    check(home, folder.truth)
    before = home.dump()
    home.later(days=1)
    take_loyverse(home, folder, seed + 100, parts=parts)
    assert home.dump() == before


class TestSquare:
    SALE = "Date,Time,Time Zone,Transaction ID,Event Type,Total Collected,Tip,Location,Customer ID,Discount Name"

    def test_consent_is_taken_only_from_what_says_so(self, home: Home):
        take_square(home, tills.square(1), 1, parts="c")
        said = home.rows(consents, "customer_id", "state")
        assert said == [(2, "no"), (6, "no")]  # guests with an email: 1, 3, 5, 7 of 0 to 7; only 1 and 5 say anything
        assert home.rows(customers, "first_name", "name", "birthday_md")[1] == ("Guest1", "Guest1 Example", 921)

    def test_the_time_is_on_the_clock_that_the_file_names(self, home: Home):
        home.take(csv(self.SALE, "2026-03-02,09:00:00,Pacific Time (US & Canada),T1,Payment,$5.00,$1.00,Pier,,"))
        assert home.rows(orders, "ordered_at")[0].isoformat() == "2026-03-02T17:00:00+00:00"
        assert home.rows(orders, "total") == [400]
        zone_of = dict(home.rows(zones, "id", "name"))
        assert [(name, zone_of[zone]) for name, zone in home.rows(stores, "name", "zone_id")] == [
            ("Pier", "America/Los_Angeles")
        ]

    def test_a_refund_finds_its_sale_by_id_before_all_else(self, home: Home):
        report = home.take(
            csv(
                self.SALE,
                "2026-03-03,09:00:00,,T1,Refund,-$5.00,,Pier,G,",
                "2026-03-02,09:00:00,,T2,Payment,$5.00,,Pier,G,",
                "2026-03-01,09:00:00,,T1,Payment,$5.00,,Pier,G,",
            )
        )
        assert (report.refunds, report.unattached) == (1, 0)
        assert home.rows(orders, "external_id", "refunded_at")[0] == ("T2", None)

    def test_a_refund_finds_the_latest_sale_of_its_total_else_a_greater_else_none(self, home: Home):
        home.take(
            csv(
                self.SALE,
                "2026-03-01,09:00:00,,T1,Payment,$5.00,,Pier,G,",
                "2026-03-02,09:00:00,,T2,Payment,$5.00,,Pier,G,",
                "2026-03-03,09:00:00,,T3,Payment,$9.00,,Pier,G,",
                "2026-03-04,09:00:00,,T4,Payment,$5.00,,Mill,G,",
                "2026-03-06,09:00:00,,T5,Payment,$5.00,,Pier,G,",
                "2026-03-05,09:00:00,,R1,Refund,-$5.00,,Pier,G,",
                "2026-03-05,09:01:00,,R2,Refund,-$4.00,,Pier,G,",
                "2026-03-05,09:02:00,,R3,Refund,-$50.00,,Pier,G,",
                "2026-03-05,09:03:00,,R4,Refund,-$5.00,,Pier,,",
            )
        )
        by_id = dict(home.rows(orders, "id", "external_id"))
        attached = {name: by_id.get(order) for name, order in home.rows(refunds, "external_id", "order_id")}
        assert attached == {"R1": "T2", "R2": "T3", "R3": None, "R4": None}
        assert home.facts("G")["spend"] == 2900 - 500 - 400

    def test_a_sale_that_failed_is_no_order(self, home: Home):
        report = home.take(
            csv(self.SALE + ",Transaction Status", "2026-03-02,09:00:00,,T1,Payment,$5.00,,Pier,,,Failed")
        )
        assert (report.rows, report.new, report.refused) == (1, 0, 0)

    def test_money_that_is_none_is_refused_with_its_line(self, home: Home):
        report = home.take(csv(self.SALE, "2026-03-02,09:00:00,,T1,Payment,five,,Pier,,"))
        assert report.refusals == [(2, 'total "five" is not an amount such as 12.50')]


class TestLoyverse:
    SALE = "Date,Receipt number,Receipt type,Total collected,Store,Customer name,Customer contacts,Status"

    def test_a_contact_meets_the_guest_of_another_file_by_email_or_phone(self, home: Home):
        home.take(csv("customer_id,email,phone", "1,ann@example.com,", "2,,+12025550102"))
        report = home.take(
            csv(
                self.SALE,
                "2026-03-01 09:00,1,Sale,5,Pier,Ann,ANN@example.com,Closed",
                "2026-03-02 09:00,2,Sale,5,Pier,Bo,(202) 555-0102,Closed",
            )
        )
        assert (report.known_guests, report.new_guests) == (2, 0)
        assert (home.owner("1"), home.owner("2")) == ("1", "2")

    def test_a_contact_that_nobody_has_is_a_new_guest_without_consent(self, home: Home):
        rows = [f"2026-03-0{number} 09:00,{number},Sale,5,Pier,Ann,ann@example.com,Closed" for number in (1, 2)]
        report = home.take(csv(self.SALE, *rows))
        assert (report.known_guests, report.new_guests) == (2, 1)
        assert home.rows(customers, "name", "email_id", "sms_id") == [("Ann", 1, None)]
        assert home.rows(consents) == []

    def test_the_tills_list_gives_such_a_guest_the_id_later(self, home: Home):
        home.take(csv(self.SALE, "2026-03-01 09:00,1,Sale,5,Pier,Ann,ann@example.com,Closed"))
        report = home.take(csv("Customer ID,Customer name,Email,Total visits", "L1,Ann Lee,ann@example.com,1"))
        assert (report.new, report.changed) == (0, 1)
        assert home.rows(customers, "id", "external_id", "name") == [(1, "L1", "Ann Lee")]
        assert home.owner("1") == "L1"

    def test_receipts_tell_that_an_email_and_a_number_are_one_guest(self, home: Home):
        contacts = ["ann@example.com", "(202) 555-0102", "ann@example.com, (202) 555-0102"]
        rows = [
            f'2026-03-0{number} 09:00,{number},Sale,5,Pier,Ann,"{text}",Closed'
            for number, text in enumerate(contacts, 1)
        ]
        home.take(csv(self.SALE, *rows))
        assert home.rows(customers, "email_id", "sms_id") == [(1, 2)]
        assert home.rows(orders, "customer_id") == [1, 1, 1]

    def test_a_number_without_area_code_makes_no_two_people_one(self, home: Home):
        names = ("Ann", "Bo")
        rows = [f"2026-03-0{day} 09:00,{day},Sale,5,Pier,{name},555-0102,Closed" for day, name in enumerate(names, 1)]
        report = home.take(csv(self.SALE, *rows))
        assert (report.walk_ins, report.new_guests) == (2, 0)
        assert home.rows(endpoints) == []

    def test_a_second_address_is_learned_from_a_later_receipt(self, home: Home):
        home.take(csv(self.SALE, "2026-03-01 09:00,1,Sale,5,Pier,Ann,ann@example.com,Closed"))
        home.take(csv(self.SALE, '2026-03-02 09:00,2,Sale,5,Pier,Ann,"ann@example.com, +12025550102",Closed'))
        assert home.rows(customers, "email_id", "sms_id") == [(1, 2)]
        (guest,) = home.rows(customers, "external_id")
        assert home.facts(guest)["sms_id"] == 2

    def test_a_name_alone_is_the_guest_who_is_alone_in_having_it(self, home: Home):
        home.take(csv("Customer ID,Customer name,Email,Total visits", "L1,Ann,,1", "L2,Bo,,1", "L3,Bo,,1"))
        report = home.take(
            csv(
                self.SALE,
                "2026-03-01 09:00,1,Sale,5,Pier,Ann,,Closed",
                "2026-03-01 09:00,2,Sale,5,Pier,Bo,,Closed",
                "2026-03-01 09:00,3,Sale,5,Pier,Cy,,Closed",
            )
        )
        assert (home.owner("1"), home.owner("2"), home.owner("3")) == ("L1", None, None)
        assert (report.walk_ins, report.new_guests) == (2, 0)
        assert report.warnings["a guest is named without a contact and is not known: counted as a walk-in"] == 2

    def test_customers_without_an_id_are_known_by_their_contact(self, home: Home):
        text = csv("Customer name,Email,Phone,Total visits", "Ann,ann@example.com,,1", "Bo,,+12025550102,1", "Cy,,,1")
        report = home.take(text)
        assert (report.new, report.refusals) == (2, [(4, "customer_id is empty")])
        assert home.take(text).unchanged == 2

    def test_an_erased_contact_is_a_walk_in(self, home: Home):
        text = csv(self.SALE, "2026-03-01 09:00,1,Sale,5,Pier,Ann,ann@example.com,Closed")
        home.take(text)
        (external_id,) = home.rows(customers, "external_id")
        home.erase("loyverse", external_id)
        before = home.dump()
        report = home.take(text)
        assert (report.walk_ins, report.erased, report.changed, report.new_guests) == (1, 1, 0, 0)
        assert home.dump() == before
