"""Square's exports: customer directory, transactions, items detail; columns by name, of every generation seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.records import Cells, LineNumbers, Record, places

TILL: Final = "square"

#: What a file must have to be one of these.
_MARKS: Final = {
    "orders": ("transaction id", "total collected", "event type"),
    "order_items": ("transaction id", "item", "qty", "event type"),
    "customers": ("square customer id", "email address"),
}
_CUSTOMER: Final = {
    "square customer id": "customer_id",
    "email address": "email",
    "phone number": "phone",
    "birthday": "birthday",
    "company name": "company",
    "city": "city",
}
#: Only what says so is consent; "unknown" and "bounced" say nothing about it.
_CONSENT: Final = {"subscribed": "yes", "unsubscribed": "no"}
_NUMBERS: Final = ("gross sales", "discounts", "net sales", "tax", "tip", "total collected", "qty")
_CHANNELS: Final = {
    "for here": "dine-in",
    "dine in": "dine-in",
    "to go": "takeaway",
    "takeout": "takeaway",
    "pickup": "takeaway",
    "curbside": "takeaway",
    "delivery": "delivery",
    "online": "online",
}
_ZONES: Final = {
    "eastern time (us & canada)": "America/New_York",
    "central time (us & canada)": "America/Chicago",
    "mountain time (us & canada)": "America/Denver",
    "pacific time (us & canada)": "America/Los_Angeles",
    "arizona": "America/Phoenix",
    "alaska": "America/Anchorage",
    "hawaii": "Pacific/Honolulu",
    "atlantic time (canada)": "America/Halifax",
    "newfoundland": "America/St_Johns",
    "saskatchewan": "America/Regina",
    "london": "Europe/London",
    "edinburgh": "Europe/London",
    "dublin": "Europe/Dublin",
    "paris": "Europe/Paris",
    "madrid": "Europe/Madrid",
    "tokyo": "Asia/Tokyo",
    "osaka": "Asia/Tokyo",
    "sydney": "Australia/Sydney",
    "melbourne": "Australia/Melbourne",
    "brisbane": "Australia/Brisbane",
    "adelaide": "Australia/Adelaide",
    "perth": "Australia/Perth",
    "hobart": "Australia/Hobart",
    "darwin": "Australia/Darwin",
}


def layout(header: Sequence[str]) -> SquareLayout | None:
    """Recognise one of Square's files by its header."""
    columns = places(header)
    for kind, marks in _MARKS.items():
        if all(mark in columns for mark in marks):
            return SquareLayout(kind, columns)
    return None


@dataclass
class SquareLayout:
    """Reads the rows of one file of Square's."""

    kind: str
    columns: dict[str, int]
    till: str = TILL
    is_till: bool = True
    _lines: LineNumbers = field(default_factory=LineNumbers)

    @property
    def date_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with dates."""
        return tuple(self.columns[name] for name in ("date", "birthday") if name in self.columns)

    @property
    def number_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with numbers."""
        return tuple(self.columns[name] for name in _NUMBERS if name in self.columns)

    def records(self, cells: list[str]) -> list[Record]:
        """Read one row. Raises ``RowError``."""
        row = Cells(self.columns, cells)
        if self.kind == "customers":
            return [self._customer(row)]
        return self._sale(row) if self.kind == "orders" else self._item(row)

    def _customer(self, row: Cells) -> Record:
        values = {ours: row[theirs] for theirs, ours in _CUSTOMER.items() if theirs in row}
        if "first name" in row:
            values["first_name"] = row["first name"]
            values["name"] = " ".join(part for part in (row["first name"], row["last name"]) if part)
        if "email subscription status" in row:
            values["email_consent"] = _CONSENT.get(row["email subscription status"].casefold(), "")
        return Record("customers", values)

    def _sale(self, row: Cells) -> list[Record]:
        event = row["event type"].casefold()
        status = row["transaction status"].casefold()
        if event not in {"payment", "refund", ""} or status in {"failed", "pending"}:
            return []
        values = {
            "order_id": row["transaction id"],
            "customer_id": row["customer id"],
            "guest_name": row["customer name"],
            "ordered_at": f"{row['date']} {row['time']}".strip(),
            "timezone": _ZONES.get(row["time zone"].casefold(), ""),
            "store_name": row["location"],
            "total": row["total collected"] or "0",
            "tip": row["tip"],
            "channel": _channel(row["dining option"] or row["channel"]),
            "coupon": row["discount name"],
            "server": row["staff name"],
            "kind": "refund" if event == "refund" else "sale",
        }
        void = [Record("orders", {**values, "kind": "void"})] if status.startswith(("void", "cancel")) else []
        return [Record("orders", values), *void]

    def _item(self, row: Cells) -> list[Record]:
        order = row["transaction id"]
        if row["event type"].casefold() == "refund" or not row["item"]:
            return []
        values = {
            "order_id": order,
            "line": self._lines.next(order),
            "product": row["item"],
            "category": row["category"],
            "quantity": row["qty"],
            "price": row["net sales"],
        }
        return [Record("order_items", values)]


def _channel(text: str) -> str:
    return _CHANNELS.get(text.casefold(), text)
