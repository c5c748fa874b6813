"""Folders as tills export them: their header names, generated rows, columns in any order."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SQUARE_CUSTOMERS = [
    "Reference ID",
    "First Name",
    "Last Name",
    "Email Address",
    "Phone Number",
    "Nickname",
    "Company Name",
    "Street Address 1",
    "Street Address 2",
    "City",
    "State",
    "Postal Code",
    "Birthday",
    "Memo",
    "Square Customer ID",
    "Creation Source",
    "First Visit",
    "Last Visit",
    "Transaction Count",
    "Lifetime Spend",
    "Email Subscription Status",
    "Instant Profile",
    "Blocked from online booking",
]
SQUARE_SALES = [
    "Date",
    "Time",
    "Time Zone",
    "Gross Sales",
    "Discounts",
    "Service Charges",
    "Net Sales",
    "Gift Card Sales",
    "Tax",
    "Tip",
    "Partial Refunds",
    "Total Collected",
    "Source",
    "Card",
    "Card Entry Methods",
    "Cash",
    "Square Gift Card",
    "Other Tender",
    "Other Tender Type",
    "Tender Note",
    "Fees",
    "Net Total",
    "Transaction ID",
    "Payment ID",
    "Card Brand",
    "PAN Suffix",
    "Device Name",
    "Staff Name",
    "Staff ID",
    "Details",
    "Description",
    "Event Type",
    "Location",
    "Dining Option",
    "Customer ID",
    "Customer Name",
    "Customer Reference ID",
    "Device Nickname",
    "Third Party Fees",
    "Deposit ID",
    "Deposit Date",
    "Deposit Details",
    "Fee Percentage Rate",
    "Fee Fixed Rate",
    "Refund Reason",
    "Discount Name",
    "Transaction Status",
    "Cash App",
    "Order Reference ID",
    "Fulfillment Note",
    "Free Processing Applied",
    "Channel",
    "Unattributed Tips",
    "Table Info",
    "International Fee",
]
SQUARE_ITEMS_2026 = [
    "Date",
    "Time",
    "Time Zone",
    "Category",
    "Item",
    "Qty",
    "Price Point Name",
    "SKU",
    "Modifiers Applied",
    "Gross Sales",
    "Discounts",
    "Net Sales",
    "Tax",
    "Transaction ID",
    "Payment ID",
    "Device Name",
    "Notes",
    "Details",
    "Event Type",
    "Location",
    "Dining Option",
    "Customer ID",
    "Customer Name",
    "Customer Reference ID",
    "Unit",
    "Count",
    "GTIN",
    "Itemization Type",
    "Commission",
    "Employee",
    "Fulfillment Note",
    "Channel",
    "Token",
    "Card Brand",
    "PAN Suffix",
]
#: The three generations seen: 35 columns, 33, and the 21 of 2024.
SQUARE_ITEMS = {
    "2026": SQUARE_ITEMS_2026,
    "summer 2026": SQUARE_ITEMS_2026[:-2],
    "2024": SQUARE_ITEMS_2026[:21],
}
LOYVERSE_CUSTOMERS = [
    "Customer ID",
    "Customer name",
    "Email",
    "Phone",
    "Address",
    "City",
    "Province",
    "Postal code",
    "Country",
    "Customer code",
    "Points balance",
    "Note",
    "First visit",
    "Last visit",
    "Total visits",
    "Total spent",
]
LOYVERSE_RECEIPTS = [
    "Date",
    "Receipt number",
    "Receipt type",
    "Gross sales",
    "Discounts",
    "Net sales",
    "Taxes",
    "Total collected",
    "Cost of goods",
    "Gross profit",
    "Payment type",
    "Description",
    "Dining option",
    "POS",
    "Store",
    "Cashier name",
    "Customer name",
    "Customer contacts",
    "Status",
]
LOYVERSE_ITEMS = [
    "Date",
    "Receipt number",
    "Receipt type",
    "Category",
    "SKU",
    "Item",
    "Variant",
    "Modifiers applied",
    "Quantity",
    "Gross sales",
    "Discounts",
    "Net sales",
    "Cost of goods",
    "Gross profit",
    "Taxes",
    "Dining option",
    "POS",
    "Store",
    "Cashier name",
    "Customer name",
    "Customer contacts",
    "Comment",
    "Status",
]


def text(header: Sequence[str], rows: Sequence[Mapping[str, object]], mark: str = ",") -> str:
    """A file with these columns, of rows that name only what they have."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([row.get(name, "") for name in header] for row in rows)
    return stream.getvalue()


def shuffled(header: Sequence[str], seed: int) -> list[str]:
    order = list(header)
    random.Random(seed).shuffle(order)
    return order


@dataclass
class Truth:
    """What a generated folder must come to, by guest."""

    orders: dict[str, int] = field(default_factory=dict)
    spend: dict[str, int] = field(default_factory=dict)
    walk_ins: int = 0
    refunds: int = 0
    voids: int = 0
    items: int = 0


@dataclass
class Folder:
    """Rows of the three files of a till, and what they come to."""

    customers: list[dict[str, object]]
    sales: list[dict[str, object]]
    items: list[dict[str, object]]
    truth: Truth


def square(seed: int, sales: int = 120) -> Folder:
    """Square's export, newest first as Square gives it; refunds have ids of their own."""
    dice = random.Random(seed)
    guests = [f"SQ{number}" for number in range(8)]
    folder = Folder([], [], [], Truth(dict.fromkeys(guests, 0), dict.fromkeys(guests, 0)))
    for number, guest in enumerate(guests):
        folder.customers.append(
            {
                "Square Customer ID": guest, "First Name": f"Guest{number}", "Last Name": "Example",
                "Email Address": f"guest{number}@example.com" if number % 2 else "",
                "Phone Number": f"'+1202555010{number}", "Birthday": "0000-09-21" if number else "",
                "Email Subscription Status": ["subscribed", "unsubscribed", "unknown", ""][number % 4],
                "Transaction Count": 3, "Lifetime Spend": "$12.00",
            }
        )  # fmt: skip
    for number in range(sales):
        guest = dice.choice([*guests, "", "", ""])
        paid, tip = dice.randint(200, 200_000), dice.choice([0, 100])
        sale = {
            "Date": f"{number // 30 + 1:02d}/{number % 28 + 1:02d}/26", "Time": f"{8 + number % 10:02d}:{number % 60:02d}:00",
            "Time Zone": "Eastern Time (US & Canada)", "Transaction ID": f"T{number}", "Event Type": "Payment",
            "Total Collected": dollars(paid + tip), "Net Sales": dollars(paid), "Tip": dollars(tip), "Location": "Harbour",
            "Customer ID": guest, "Customer Name": "Guest Example" if guest else "", "Dining Option": "To Go",
            "Transaction Status": "Complete", "Staff Name": "Ines",
        }  # fmt: skip
        back = dice.choice([None] * 12 + [paid, paid // 2, "void"])
        if back == "void":
            sale["Transaction Status"] = "Voided"
            folder.truth.voids += 1
        folder.sales.append(sale)
        for _ in range(dice.randint(1, 3)):
            folder.items.append({**sale, "Item": dice.choice(["Latte", "Bagel"]), "Qty": "1.0", "Category": "Coffee",
                                 "Net Sales": "$1.00"})  # fmt: skip
            folder.truth.items += 1
        if isinstance(back, int):
            given = {
                **sale, "Transaction ID": f"R{number}", "Event Type": "Refund", "Total Collected": dollars(-back),
                "Tip": "$0.00", "Time": "20:00:00",
            }  # fmt: skip
            folder.sales.append(given)
            folder.items.append({**given, "Item": "Latte", "Qty": "-1.0"})
            folder.truth.refunds += 1
        folder.truth.walk_ins += not guest
        if guest and back not in {"void", paid}:
            folder.truth.orders[guest] += 1
            folder.truth.spend[guest] += paid - (back or 0)
    folder.sales.reverse()
    return folder


def loyverse(seed: int, sales: int = 120) -> Folder:
    """Loyverse's export with days first and decimal commas; guests are named by contact only."""
    dice = random.Random(seed)
    contacts = {f"L{number}": (f"lo{number}@example.com", f"+1202555012{number}") for number in range(6)}
    folder = Folder([], [], [], Truth(dict.fromkeys(contacts, 0), dict.fromkeys(contacts, 0)))
    for guest, (email, phone) in contacts.items():
        folder.customers.append(
            {"Customer ID": guest, "Customer name": f"Guest {guest}", "Email": email, "Phone": phone, "Total visits": 2}
        )
    for number in range(sales):
        guest = dice.choice([*contacts, "", "", ""])
        email, phone = contacts.get(guest, ("", ""))
        paid = dice.randint(200, 200_000)
        sale = {
            "Date": f"{number % 28 + 1:02d}/{number // 30 + 1:02d}/2026 {8 + number % 10:02d}:{number % 60:02d}",
            "Receipt number": f"1-{number}", "Receipt type": "Sale", "Total collected": euros(paid), "Store": "Pier",
            "Dining option": "Dine in", "Cashier name": "Owner", "Customer name": f"Guest {guest}" if guest else "",
            "Customer contacts": dice.choice([email, f"{email}, {phone}", phone.replace("+1", "")]), "Status": "Closed",
        }  # fmt: skip
        back = dice.choice([None] * 12 + [paid, paid // 2, "void"])
        if back == "void":
            sale["Status"] = "Cancelled"
            folder.truth.voids += 1
        folder.sales.append(sale)
        folder.items.append({**sale, "Item": "Tea", "Quantity": "0,5", "Net sales": "1,00"})
        folder.truth.items += 1
        if isinstance(back, int):
            given = {**sale, "Receipt number": f"2-{number}", "Receipt type": "Refund", "Total collected": euros(back)}
            folder.sales.append({**given, "Date": given["Date"][:-5] + "23:00"})
            folder.truth.refunds += 1
        folder.truth.walk_ins += not guest
        if guest and back not in {"void", paid}:
            folder.truth.orders[guest] += 1
            folder.truth.spend[guest] += paid - (back or 0)
    return folder


def dollars(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def euros(cents: int) -> str:
    return f"{cents // 100:,}".replace(",", ".") + f",{cents % 100:02d}"
