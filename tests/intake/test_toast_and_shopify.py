"""Toast's and Shopify's exports, whatever the order of their columns and of their files."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from engine.database.tables import consents, customers, endpoints, order_items, orders, products, refunds, tags
from tests.intake import shop_files, tills
from tests.intake.conftest import Home, csv


def spend_by_email(home: Home) -> dict[str, tuple[int, int]]:
    """Orders and spend of each guest who has an address."""
    with home.db.connect() as conn:
        of_guest = customers.join(endpoints, endpoints.c.id == customers.c.email_id)
        found = conn.execute(select(endpoints.c.address, customers.c.external_id).select_from(of_guest)).all()
    return {address: (home.facts(guest)["orders"], home.facts(guest)["spend"]) for address, guest in found}


def check(home: Home, truth: tills.Truth) -> None:
    expected = {guest: (count, truth.spend[guest]) for guest, count in truth.orders.items()}
    assert spend_by_email(home) == expected
    assert home.rows(orders, "customer_id").count(None) == truth.walk_ins
    assert len(home.rows(refunds)) == truth.refunds + truth.voids
    assert len(home.rows(order_items)) == truth.items


def take_toast(home: Home, folder: tills.Folder, seed: int, parts: str) -> None:
    files = {
        "c": (shop_files.TOAST_CHECKS, folder.sales, "orders"),
        "i": (shop_files.TOAST_ITEMS, folder.items, "order_items"),
        "p": (shop_files.TOAST_PAYMENTS, folder.customers, "orders"),
    }
    for part in parts:
        header, rows, kind = files[part]
        report = home.take(tills.text(tills.shuffled(header, seed), rows), f"{part}.csv")
        assert (report.till, report.kind, report.problem, report.refusals) == ("toast", kind, "", [])


def take_shopify(home: Home, folder: tills.Folder, seed: int, parts: str, orders_header: list[str]) -> None:
    files = {
        "c": (shop_files.SHOPIFY_CUSTOMERS, folder.customers, "customers"),
        "o": (orders_header, folder.sales, "orders"),
    }
    for part in parts:
        header, rows, kind = files[part]
        report = home.take("\ufeff" + tills.text(tills.shuffled(header, seed), rows), f"{part}.csv")
        assert (report.till, report.kind, report.problem, report.refusals) == ("shopify", kind, "", [])


@pytest.mark.parametrize(("seed", "parts"), [(1, "cip"), (2, "pci"), (3, "cpi")])
def test_a_toast_folder_goes_in_and_again_changes_nothing(home: Home, seed: int, parts: str):
    folder = shop_files.toast(seed)
    assert folder.truth.refunds > 3
    take_toast(home, folder, seed, parts)
    check(home, folder.truth)
    before = home.dump()
    home.later(days=1)
    take_toast(home, folder, seed + 100, parts)
    assert home.dump() == before


@pytest.mark.parametrize(("seed", "parts"), [(1, "co"), (2, "oc"), (3, "co")])
def test_a_shopify_folder_goes_in_and_again_changes_nothing(home: Home, seed: int, parts: str):
    folder = shop_files.shopify(seed)
    assert folder.truth.refunds > 3
    assert folder.truth.voids
    take_shopify(home, folder, seed, parts, shop_files.SHOPIFY_ORDERS)
    check(home, folder.truth)
    before = home.dump()
    home.later(days=1)
    take_shopify(home, folder, seed + 100, parts, shop_files.SHOPIFY_ORDERS)
    assert home.dump() == before


class TestShopify:
    ORDER = (
        "Name,Email,Financial Status,Created at,Total,Lineitem name,Lineitem quantity,Lineitem price,Refunded Amount"
    )
    FIRST = "#1,a@example.com,paid,2026-03-01 10:00:00 +0100,20.00,Matcha,2,6.25,0.00"

    def test_earlier_generations_of_the_files_go_in_too(self, home: Home):
        report = home.take(tills.text(shop_files.SHOPIFY_ORDERS_2012, shop_files.shopify(5).sales))
        assert (report.till, report.refused, report.new > 0) == ("shopify", 0, True)
        report = home.take(tills.text(shop_files.SHOPIFY_CUSTOMERS_2020, shop_files.shopify(5).customers))
        assert (report.till, report.kind, report.refusals) == ("shopify", "customers", [])

    def test_the_lines_below_an_order_are_its_further_products(self, home: Home):
        home.take(csv(self.ORDER, self.FIRST, "#1,a@example.com,,,,Scone,1,3.50,"))
        assert home.rows(order_items, "line", "price") == [("1", 1250), ("2", 350)]
        assert home.rows(products, "name") == ["Matcha", "Scone"]
        assert home.rows(orders, "total") == [2000]
        assert home.rows(orders, "ordered_at")[0].isoformat() == "2026-03-01T09:00:00+00:00"

    def test_an_order_that_is_not_paid_waits_for_a_later_file(self, home: Home):
        pending = self.FIRST.replace("paid", "pending")
        report = home.take(csv(self.ORDER, pending, "#1,a@example.com,,,,Scone,1,3.50,"))
        assert (report.rows, report.new, report.refused) == (2, 0, 0)
        assert home.take(csv(self.ORDER, self.FIRST)).new

    def test_a_refund_that_grows_is_the_same_refund(self, home: Home):
        for amount, left in (("5.00", 1500), ("20.00", 0)):
            home.take(csv(self.ORDER, self.FIRST.replace(",0.00", f",{amount}")))
            (guest,) = home.rows(customers, "external_id")
            assert home.facts(guest)["spend"] == left
        assert home.rows(refunds, "amount") == [2000]

    def test_a_refused_order_takes_its_lines_with_it_and_says_why_once(self, home: Home):
        report = home.take(csv(self.ORDER, self.FIRST.replace("20.00", "much"), "#1,,,,,Scone,1,3.50,"))
        assert report.refusals == [
            (2, 'total "much" is not an amount such as 12.50'),
            (3, 'order "#1" is not known; import the orders first'),
        ]
        assert home.rows(order_items) == []

    def test_consent_tags_and_birthday_come_with_the_list_of_customers(self, home: Home):
        home.take(tills.text(shop_files.SHOPIFY_CUSTOMERS, shop_files.shopify(1).customers[:2]))
        assert home.rows(consents, "state") == ["no", "no", "yes", "no"]
        assert home.rows(customers, "external_id", "birthday_md", "city")[0] == ("7000000000000", 228, "Utrecht")
        assert set(home.rows(tags, "tag")) == {"vip", "regular"}


class TestToast:
    def test_a_voided_item_is_no_item_and_a_voided_payment_says_nothing_of_its_check(self, home: Home):
        home.take(
            csv("Check Id,Opened Date,Opened Time,Total,Customer Email", "1,03/15/26,10:00 AM,9.00,a@example.com")
        )
        home.take(
            csv("Check Id,Item Selection Id,Menu Item,Qty,Net Price,Void?", "1,7,Tea,1,3,true", "1,8,Bun,1,6,false")
        )
        home.take(
            csv("Payment Id,Check Id,Refund Date,Refund Amount,Void Date", "1,1,,0.00,03/15/2026 10:05", "2,1,,,")
        )
        assert home.rows(products, "name") == ["Bun"]
        assert home.rows(refunds) == []
