"""Loyverse's exports: customers, receipts, receipts by item; columns by name. Receipts name guests by their contact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from connectors.records import Cells, LineNumbers, Record
from connectors.tills import Sheet, Till, channel, renamed

_CUSTOMER: Final = {
    "customer name": "name",
    "email": "email",
    "phone": "phone",
    "city": "city",
}
#: One of these beside "Customer name" makes a list of customers.
_OF_A_LIST: Final = ("customer id", "customer code", "points balance", "total visits")


def _customer(row: Cells, _: LineNumbers) -> Iterator[Record]:
    yield Record("customers", {"customer_id": row["customer id"] or row["customer code"], **renamed(row, _CUSTOMER)})


def _receipt(row: Cells, _: LineNumbers) -> Iterator[Record]:
    email, phone = _contacts(row["customer contacts"])
    values = {
        "order_id": row["receipt number"],
        "guest_name": row["customer name"],
        "guest_email": email,
        "guest_phone": phone,
        "ordered_at": row["date"],
        "store_name": row["store"],
        "total": row["total collected"] or "0",
        "channel": channel(row["dining option"]),
        "coupon": row["discount name"],
        "server": row["cashier name"],
        "kind": "refund" if row["receipt type"].casefold() == "refund" else "sale",
    }
    yield Record("orders", values)
    if row["status"].casefold().startswith(("cancel", "void")):
        yield Record("orders", {**values, "kind": "void"})


def _item(row: Cells, lines: LineNumbers) -> Iterator[Record]:
    order = row["receipt number"]
    if row["receipt type"].casefold() == "refund" or not row["item"]:
        return
    values = {
        "order_id": order,
        "line": lines.next(order),
        "product": row["item"],
        "category": row["category"],
        "quantity": row["quantity"],
        "price": row["net sales"],
    }
    yield Record("order_items", values)


def _contacts(text: str) -> tuple[str, str]:
    """Split ``li@example.com, +1 500 555 0100`` into (email, phone); what is not there is empty."""
    email = phone = ""
    for part in re.split(r"[,;|\n]", text):
        contact = part.strip()
        if "@" in contact:
            email = email or contact
        elif any(sign.isdigit() for sign in contact):
            phone = phone or contact
    return email, phone


LOYVERSE: Final = Till(
    "loyverse",
    (
        Sheet("order_items", ("receipt number", "receipt type", "item", "quantity"), _item),
        Sheet("orders", ("receipt number", "receipt type", "total collected"), _receipt),
        Sheet(
            "customers",
            ("customer name",),
            _customer,
            ("customer id", "customer code", "points balance", "total visits"),
        ),
    ),
    dates=("date",),
    numbers=("gross sales", "discounts", "net sales", "taxes", "total collected", "quantity"),
)
