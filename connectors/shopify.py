"""Shopify's exports: customers, and orders with their lines in one file; columns by name.

An order's own cells stand in its first line only; the lines below it hold further products. What was refunded stands
beside the order without a time, so it counts from the order on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

from connectors.records import Cells, LineNumbers, Record
from connectors.tills import Sheet, Till, renamed, whole_name

_CUSTOMER: Final = {
    "customer id": "customer_id",
    "email": "email",
    "phone": "phone",
    "default address city": "city",
    "city": "city",
    "default address company": "company",
    "company": "company",
    "tags": "tags",
    "accepts email marketing": "email_consent",
    "accepts marketing": "email_consent",
    "accepts sms marketing": "sms_consent",
}
#: Shopify names the shop's own fields by their address: "Birthday (customer.metafields.facts.birth_date)".
_BIRTHDAY: Final = re.compile(r"customer\.metafields\.[\w-]+\.(?:birth_?date|birthday)\)?$")
#: Not paid yet, or never to be: the order comes with a later export.
_NOT_PAID: Final = {"pending", "authorized", "expired"}
#: Where the sale was made; whatever else Shopify names there is an app.
_CHANNELS: Final = {"web": "online", "pos": ""}


def _customer(row: Cells, _: LineNumbers) -> Iterator[Record]:
    values = {"customer_id": ""} | renamed(row, _CUSTOMER) | whole_name(row)  # older lists name guests by contact only
    birthday = next((name for name in row.names if _BIRTHDAY.search(name)), None)
    if birthday is not None:
        values["birthday"] = row[birthday]
    # Before ids, numbers and zips stands an apostrophe, so that spreadsheets leave them alone.
    yield Record("customers", {name: value.removeprefix("'") for name, value in values.items()})


def _order(row: Cells, lines: LineNumbers) -> Iterator[Record]:
    status = row["financial status"].casefold()
    order = row["name"]
    if row["total"]:
        if status in _NOT_PAID:
            lines.forget(order)
            return
        lines.begin(order)
        yield from _sale(row, status)
    if row["lineitem name"] and lines.knows(order):
        yield _line(row, lines.next(order))


def _sale(row: Cells, status: str) -> Iterator[Record]:
    values = {
        "order_id": row["name"],
        "guest_name": row["billing name"] or row["shipping name"],
        "guest_email": row["email"],
        "guest_phone": (row["phone"] or row["billing phone"]).removeprefix("'"),
        "ordered_at": row["created at"] or row["paid at"],
        "store_name": row["location"],
        "total": row["total"] or "0",
        "currency": row["currency"],
        "channel": _CHANNELS.get(row["source"].casefold(), row["source"]),
        "coupon": row["discount code"],
        "server": row["employee"],
        "kind": "sale",
    }
    yield Record("orders", values)
    if row["cancelled at"] or status == "voided":
        yield Record("orders", {**values, "ordered_at": row["cancelled at"] or values["ordered_at"], "kind": "void"})
    elif row["refunded amount"].strip("0."):
        yield Record("orders", {**values, "total": row["refunded amount"], "kind": "refund"})


def _line(row: Cells, number: str) -> Record:
    values = {
        "order_id": row["name"],
        "line": number,
        "product": row["lineitem name"],
        "quantity": row["lineitem quantity"],
        "price": _price(row),
    }
    return Record("order_items", values)


def _price(row: Cells) -> str:
    """Give the line's price: Shopify writes that of one piece, always with a point before decimals."""
    try:
        each, pieces = Decimal(row["lineitem price"]), Decimal(row["lineitem quantity"] or "1")
        return str(each * pieces - Decimal(row["lineitem discount"] or "0"))
    except InvalidOperation:
        return row["lineitem price"]  # refused where amounts are read, with the cell's own words


SHOPIFY: Final = Till(
    "shopify",
    (
        Sheet("orders", ("name", "financial status", "lineitem name", "total"), _order),
        Sheet("customers", ("email", "accepts email marketing", "total spent"), _customer),
        Sheet("customers", ("email", "accepts marketing", "total spent"), _customer),
    ),
    dates=("created at", "paid at", "cancelled at"),
    numbers=("total", "refunded amount", "lineitem quantity", "lineitem price", "lineitem discount"),
)
