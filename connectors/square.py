"""Square's exports: customer directory, transactions, items detail; columns by name, of every generation seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from connectors.records import Cells, LineNumbers, Record
from connectors.tills import ByColumn, Column, Sheet, Till, channel, each, renamed, whole_name

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
#: What stands in the rows of plain sales; any other word wants a closer look.
_PLAIN: Final = {
    "event type": frozenset({"", "payment"}),
    "transaction status": frozenset({"", "complete", "completed"}),
}


def _customer(row: Cells, _: LineNumbers) -> Iterator[Record]:
    values = renamed(row, _CUSTOMER) | whole_name(row)
    if "email subscription status" in row:
        values["email_consent"] = _CONSENT.get(row["email subscription status"].casefold(), "")
    yield Record("customers", values)


def _sale(row: Cells, _: LineNumbers) -> Iterator[Record]:
    event = row["event type"].casefold()
    status = row["transaction status"].casefold()
    if event not in {"payment", "refund", ""} or status in {"failed", "pending"}:
        return
    values = {
        "order_id": row["transaction id"],
        "customer_id": row["customer id"],
        "guest_name": row["customer name"],
        "ordered_at": f"{row['date']} {row['time']}".strip(),
        "timezone": _ZONES.get(row["time zone"].casefold(), ""),
        "store_name": row["location"],
        "total": row["total collected"] or "0",
        "tip": row["tip"],
        "channel": channel(row["dining option"] or row["channel"]),
        "coupon": row["discount name"],
        "server": row["staff name"],
        "kind": "refund" if event == "refund" else "sale",
    }
    yield Record("orders", values)
    if status.startswith(("void", "cancel")):
        yield Record("orders", {**values, "kind": "void"})


def _sales(column: Column) -> dict[str, Sequence[str]]:
    options = zip(column("dining option"), column("channel"), strict=True)
    return {
        "order_id": column("transaction id"),
        "customer_id": column("customer id"),
        "guest_name": column("customer name"),
        "ordered_at": [f"{day} {time}".strip() for day, time in zip(column("date"), column("time"), strict=True)],
        "timezone": each(column("time zone"), lambda zone: _ZONES.get(zone.casefold(), "")),
        "store_name": column("location"),
        "total": each(column("total collected"), lambda total: total or "0"),
        "tip": column("tip"),
        "channel": each([option or other for option, other in options], channel),
        "coupon": column("discount name"),
        "server": column("staff name"),
    }


def _item(row: Cells, lines: LineNumbers) -> Iterator[Record]:
    order = row["transaction id"]
    if row["event type"].casefold() == "refund" or not row["item"]:
        return
    values = {
        "order_id": order,
        "line": lines.next(order),
        "product": row["item"],
        "category": row["category"],
        "quantity": row["qty"],
        "price": row["net sales"],
    }
    yield Record("order_items", values)


SQUARE: Final = Till(
    "square",
    (
        Sheet("orders", ("transaction id", "total collected", "event type"), _sale, by_column=ByColumn(_PLAIN, _sales)),
        Sheet("order_items", ("transaction id", "item", "qty", "event type"), _item),
        Sheet("customers", ("square customer id", "email address"), _customer),
    ),
    dates=("date", "birthday"),
    numbers=("gross sales", "discounts", "net sales", "tax", "tip", "total collected", "qty"),
)
