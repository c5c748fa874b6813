"""Loyverse's exports: customers, receipts, receipts by item; columns by name. Receipts name guests by their contact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.records import Cells, LineNumbers, Record, places

TILL: Final = "loyverse"

_MARKS: Final = {
    "order_items": ("receipt number", "receipt type", "item", "quantity"),
    "orders": ("receipt number", "receipt type", "total collected"),
}
#: One of these beside "Customer name" makes a list of customers.
_CUSTOMER_MARKS: Final = ("customer id", "customer code", "points balance", "total visits")
_CUSTOMER: Final = {
    "customer name": "name",
    "email": "email",
    "phone": "phone",
    "city": "city",
}
_NUMBERS: Final = ("gross sales", "discounts", "net sales", "taxes", "total collected", "quantity")
_CHANNELS: Final = {"dine in": "dine-in", "takeout": "takeaway", "take out": "takeaway", "delivery": "delivery"}


def layout(header: Sequence[str]) -> LoyverseLayout | None:
    """Recognise one of Loyverse's files by its header."""
    columns = places(header)
    for kind, marks in _MARKS.items():
        if all(mark in columns for mark in marks):
            return LoyverseLayout(kind, columns)
    if "customer name" in columns and any(mark in columns for mark in _CUSTOMER_MARKS):
        return LoyverseLayout("customers", columns)
    return None


@dataclass
class LoyverseLayout:
    """Reads the rows of one file of Loyverse's."""

    kind: str
    columns: dict[str, int]
    till: str = TILL
    is_till: bool = True
    _lines: LineNumbers = field(default_factory=LineNumbers)

    @property
    def date_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with dates."""
        return (self.columns["date"],) if "date" in self.columns else ()

    @property
    def number_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with numbers."""
        return tuple(self.columns[name] for name in _NUMBERS if name in self.columns)

    def records(self, cells: list[str]) -> list[Record]:
        """Read one row. Raises ``RowError``."""
        row = Cells(self.columns, cells)
        if self.kind == "customers":
            values = {ours: row[theirs] for theirs, ours in _CUSTOMER.items() if theirs in row}
            return [Record("customers", {"customer_id": row["customer id"] or row["customer code"], **values})]
        return self._receipt(row) if self.kind == "orders" else self._item(row)

    def _receipt(self, row: Cells) -> list[Record]:
        email, phone = _contacts(row["customer contacts"])
        values = {
            "order_id": row["receipt number"],
            "guest_name": row["customer name"],
            "guest_email": email,
            "guest_phone": phone,
            "ordered_at": row["date"],
            "store_name": row["store"],
            "total": row["total collected"] or "0",
            "channel": _CHANNELS.get(row["dining option"].casefold(), row["dining option"]),
            "coupon": row["discount name"],
            "server": row["cashier name"],
            "kind": "refund" if row["receipt type"].casefold() == "refund" else "sale",
        }
        cancelled = row["status"].casefold().startswith(("cancel", "void"))
        return [Record("orders", values), *([Record("orders", {**values, "kind": "void"})] if cancelled else [])]

    def _item(self, row: Cells) -> list[Record]:
        order = row["receipt number"]
        if row["receipt type"].casefold() == "refund" or not row["item"]:
            return []
        values = {
            "order_id": order,
            "line": self._lines.next(order),
            "product": row["item"],
            "category": row["category"],
            "quantity": row["quantity"],
            "price": row["net sales"],
        }
        return [Record("order_items", values)]


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
