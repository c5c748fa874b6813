"""Exports as Toast and Shopify write them: their header names and generated rows."""

from __future__ import annotations

import random

from tests.intake.tills import Folder, Truth

TOAST_CHECKS = [
    "Location Code",
    "Opened Date",
    "Opened Time",
    "Item Description",
    "Server",
    "Tax",
    "Tender",
    "Check Id",
    "Check #",
    "Total",
    "Customer Family",
    "Table Size",
    "Discount",
    "Reason of Discount",
    "Link",
    "Customer Id",
    "Customer",
    "Customer Phone",
    "Customer Email",
]
TOAST_ITEMS = [
    "Location",
    "Order Id",
    "Order #",
    "Sent Date",
    "Order Date",
    "Check Id",
    "Server",
    "Table",
    "Dining Area",
    "Service",
    "Dining Option",
    "Item Selection Id",
    "Item Id",
    "Master Id",
    "SKU",
    "PLU",
    "Menu Item",
    "Menu Subgroup(s)",
    "Menu Group",
    "Menu",
    "Sales Category",
    "Gross Price",
    "Discount",
    "Net Price",
    "Qty",
    "Tax",
    "Void?",
    "Deferred",
    "Tax Exempt",
    "Tax Inclusion Option",
    "Dining Option Tax",
    "Tab Name",
]
TOAST_PAYMENTS = [
    "Location",
    "Payment Id",
    "Order Id",
    "Order #",
    "Paid Date",
    "Order Date",
    "Check Id",
    "Check #",
    "Tab Name",
    "Server",
    "Table",
    "Dining Area",
    "Service",
    "Dining Option",
    "House Acct #",
    "Amount",
    "Tip",
    "Gratuity",
    "Total",
    "Swiped Card Amount",
    "Keyed Card Amount",
    "Amount Tendered",
    "Refunded",
    "Refund Date",
    "Refund Amount",
    "Refund Tip Amount",
    "Void User",
    "Void Approver",
    "Void Date",
    "Status",
    "Type",
    "Cash Drawer",
    "Card Type",
]
SHOPIFY_CUSTOMERS = [
    "Customer ID",
    "First Name",
    "Last Name",
    "Email",
    "Accepts Email Marketing",
    "Default Address Company",
    "Default Address Address1",
    "Default Address Address2",
    "Default Address City",
    "Default Address Province Code",
    "Default Address Country Code",
    "Default Address Zip",
    "Default Address Phone",
    "Phone",
    "Accepts SMS Marketing",
    "Total Spent",
    "Total Orders",
    "Note",
    "Tax Exempt",
    "Tags",
    "Birthday (customer.metafields.facts.birth_date)",
]
SHOPIFY_ORDERS = [
    "Name",
    "Email",
    "Financial Status",
    "Paid at",
    "Fulfillment Status",
    "Fulfilled at",
    "Accepts Marketing",
    "Currency",
    "Subtotal",
    "Shipping",
    "Taxes",
    "Total",
    "Discount Code",
    "Discount Amount",
    "Shipping Method",
    "Created at",
    "Lineitem quantity",
    "Lineitem name",
    "Lineitem price",
    "Lineitem compare at price",
    "Lineitem sku",
    "Lineitem requires shipping",
    "Lineitem taxable",
    "Lineitem fulfillment status",
    "Billing Name",
    "Billing Phone",
    "Cancelled at",
    "Payment Method",
    "Refunded Amount",
    "Vendor",
    "Employee",
    "Location",
    "Id",
    "Tags",
    "Source",
    "Lineitem discount",
    "Phone",
]
#: Without the columns that came later, as stored exports of earlier years have them.
SHOPIFY_ORDERS_2012 = SHOPIFY_ORDERS[: SHOPIFY_ORDERS.index("Cancelled at") + 1]
SHOPIFY_CUSTOMERS_2020 = [
    "First Name",
    "Last Name",
    "Email",
    "Accepts Email Marketing",
    "Company",
    "Address1",
    "Address2",
    "City",
    "Province",
    "Province Code",
    "Country",
    "Country Code",
    "Zip",
    "Phone",
    "Accepts SMS Marketing",
    "Total Spent",
    "Total Orders",
    "Tags",
    "Note",
    "Tax Exempt",
]


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def toast(seed: int, sales: int = 100) -> Folder:
    """A week's checks with their items; ``customers`` holds the payments, for Toast has no list of guests."""
    dice = random.Random(seed)
    guests = {f"t{number}@example.com": f"202555014{number}" for number in range(6)}
    folder = Folder([], [], [], Truth(dict.fromkeys(guests, 0), dict.fromkeys(guests, 0)))
    for number in range(sales):
        guest = dice.choice([*guests, "", "", ""])
        paid = dice.randint(200, 20_000)
        day, clock = f"{number // 30 + 1:02d}/{number % 28 + 1:02d}/26", f"{number % 12 + 1}:{number % 60:02d} PM"
        check = f"9{number:017d}"
        folder.sales.append(
            {
                "Opened Date": day, "Opened Time": clock, "Check Id": check, "Check #": number, "Total": money(paid),
                "Server": "Ines", "Customer": "Guest Example" if guest else "", "Customer Email": guest,
                "Customer Phone": guests.get(guest, ""),
            }
        )  # fmt: skip
        for line in range(dice.randint(1, 3)):
            void = dice.random() < 0.1
            folder.items.append(
                {
                    "Check Id": check, "Item Selection Id": f"8{number:010d}{line}", "Menu Item": "Latte", "Qty": "1",
                    "Net Price": "4.50", "Void?": str(void).lower(), "Sales Category": "Coffee", "Order Date": f"{day} {clock}",
                }
            )  # fmt: skip
            folder.truth.items += not void
        back = dice.choice([None] * 10 + [paid, paid // 2])
        folder.customers.append(
            {
                "Payment Id": f"7{number}", "Check Id": check, "Amount": money(paid), "Total": money(paid), "Status": "CAPTURED",
                "Refund Date": f"{day} 11:59 PM" if back else "", "Refund Amount": money(back or 0), "Location": "Harbour",
            }
        )  # fmt: skip
        folder.truth.refunds += bool(back)
        folder.truth.walk_ins += not guest
        if guest and back != paid:
            folder.truth.orders[guest] += 1
            folder.truth.spend[guest] += paid - (back or 0)
    return folder


def shopify(seed: int, sales: int = 100) -> Folder:
    """A shop's export, newest first; further lines of an order hold their product only."""
    dice = random.Random(seed)
    guests = {f"s{number}@example.com": f"{7_000_000_000_000 + number}" for number in range(6)}
    folder = Folder([], [], [], Truth(dict.fromkeys(guests, 0), dict.fromkeys(guests, 0)))
    for number, (email, name) in enumerate(guests.items()):
        folder.customers.append(
            {
                "Customer ID": f"'{name}", "First Name": f"Guest{number}", "Last Name": "Example", "Email": email,
                "Accepts Email Marketing": "yes" if number % 2 else "no", "Phone": f"'+1202555013{number}",
                "Accepts SMS Marketing": "no", "Total Spent": "0.00", "Default Address City": "Utrecht", "Tags": "vip, regular",
                "Birthday (customer.metafields.facts.birth_date)": "1990-02-28",
            }
        )  # fmt: skip
    for number in range(sales):
        guest = dice.choice([*guests, "", ""])
        paid = dice.randint(200, 20_000)
        fate = dice.choice(["paid"] * 8 + ["refunded", "partially_refunded", "voided", "pending"])
        back = {"refunded": paid, "partially_refunded": paid // 2}.get(fate, 0)
        at = f"2026-{number // 28 + 1:02d}-{number % 28 + 1:02d} 10:{number % 60:02d}:00 +0200"
        first = {
            "Name": f"#{1000 + number}", "Email": guest, "Financial Status": fate, "Paid at": at, "Currency": "USD",
            "Total": money(paid), "Created at": at, "Billing Name": "Guest Example" if guest else "", "Source": "web",
            "Cancelled at": at.replace(" 10:", " 12:") if fate == "voided" else "", "Refunded Amount": money(back),
        }  # fmt: skip
        lines = [
            {"Lineitem quantity": "2", "Lineitem name": "Matcha", "Lineitem price": "6.25", "Lineitem discount": "0.50"}
            for _ in range(dice.randint(1, 3))
        ]
        rows = [
            {**(first if place == 0 else {"Name": first["Name"], "Email": guest}), **line}
            for place, line in enumerate(lines)
        ]
        folder.sales[:0] = rows
        if fate == "pending":
            continue
        folder.truth.items += len(lines)
        folder.truth.refunds += bool(back)
        folder.truth.voids += fate == "voided"
        folder.truth.walk_ins += not guest
        if guest and fate in {"paid", "partially_refunded"}:
            folder.truth.orders[guest] += 1
            folder.truth.spend[guest] += paid - back
    return folder
