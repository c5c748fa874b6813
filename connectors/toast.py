"""Toast's nightly exports: check details, item selections, payments; columns by name.

A check is the order: guests are known by it. What was given back stands with the payments. Toast has no list of guests
to export; they come with their checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from connectors.records import Cells, LineNumbers, Record
from connectors.tills import Sheet, Till, channel

_YES: Final = {"true", "yes", "1"}


def _check(row: Cells, _: LineNumbers) -> Iterator[Record]:
    values = {
        "order_id": row["check id"],
        "guest_name": row["customer"],
        "guest_email": row["customer email"],
        "guest_phone": row["customer phone"],
        "ordered_at": f"{row['opened date']} {row['opened time']}".strip(),
        "store_name": row["location"],
        "total": row["total"] or "0",
        "channel": channel(row["dining option"]),
        "coupon": row["reason of discount"],
        "server": row["server"],
        "kind": "sale",
    }
    yield Record("orders", values)


def _item(row: Cells, _: LineNumbers) -> Iterator[Record]:
    if row["void?"].casefold() in _YES or not row["menu item"]:
        return
    values = {
        "order_id": row["check id"],
        "line": row["item selection id"],
        "product": row["menu item"],
        "category": row["sales category"] or row["menu group"],
        "quantity": row["qty"],
        "price": row["net price"],
    }
    yield Record("order_items", values)


def _payment(row: Cells, _: LineNumbers) -> Iterator[Record]:
    # A voided payment says nothing of the check: it may have been paid in another way.
    if row["refund date"] and row["refund amount"].strip("$0."):
        values = {"order_id": row["check id"], "store_name": row["location"]}
        yield Record(
            "orders", {**values, "ordered_at": row["refund date"], "total": row["refund amount"], "kind": "refund"}
        )


TOAST: Final = Till(
    "toast",
    (
        Sheet("order_items", ("item selection id", "check id", "menu item"), _item),
        Sheet("orders", ("payment id", "check id", "refund amount"), _payment),
        Sheet("orders", ("check id", "opened date", "total"), _check),
    ),
    dates=("opened date", "refund date"),
    numbers=("total", "refund amount", "qty", "net price"),
)
