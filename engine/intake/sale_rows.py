"""One order as its row gives it, read with every word that an owner may need about what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.records import RowError
from engine.intake import values
from engine.intake.contacts import read_contact
from engine.intake.desk import Desk, Row, Store
from engine.intake.guests import Contact
from engine.intake.refunds import Refund
from engine.language.textkey import text_key

_KINDS: Final = {"", "sale", "refund", "void"}
DAY: Final = 86_400


@dataclass(slots=True)
class Sale:
    """An order, a refund or a void. Who it belongs to is found for a whole batch at once."""

    row: Row
    external_id: str
    customer: str  #: the till's id of the guest, or ""
    contact: Contact | None
    store: Store | None
    zone_id: int  #: whose clock the row is on
    ordered_at: int
    total: int
    kind: str

    @property
    def guest_key(self) -> str:
        """What the guest is known by: an id or a contact; "" for a walk-in."""
        return self.customer or (self.contact.external_id if self.contact else "")

    @property
    def name(self) -> str:
        """What the file calls the guest."""
        return self.row.values.get("guest_name") or ""

    def fields(self) -> tuple[object, ...]:
        """Give it as a row of ``Sales``."""
        cell = self.row.values.get
        return (
            self.row.line,
            self.external_id,
            self.guest_key,
            self.name,
            self.store,
            self.zone_id,
            self.ordered_at,
            self.total,
            text_key(cell("channel") or "") or None,
            cell("coupon") or None,
            cell("server") or None,
        )

    def refund(self, customer_id: int | None) -> Refund:
        """Give what was given back, to whom."""
        return Refund(
            external_id=self.external_id,
            kind=self.kind,
            at=self.ordered_at,
            amount=None if self.total < 0 else self.total,
            customer_id=customer_id,
            store_id=self.store.id if self.store else None,
        )


def read_sale(desk: Desk, row: Row) -> Sale:
    """Read a row. Raises ``RowError``."""
    cell = row.values.get
    kind = cell("kind", "").casefold()
    if kind not in _KINDS:
        raise RowError(f'kind "{kind}" is none of sale, refund and void')
    kind = kind or "sale"
    currency = cell("currency", "").upper()
    if currency and currency != desk.config.business.currency:
        raise RowError(f"currency is {currency}; this home has {desk.config.business.currency} only")
    external_id = values.identifier(cell("order_id", ""), "order_id")
    store = desk.store(cell("store_id") or cell("store_name") or "", cell("timezone", ""))
    total = _total(desk, cell("total", ""), cell("tip", ""), kind)
    zone_id = _clock(desk, row, store)
    ordered_at = desk.instant(cell("ordered_at", ""), "ordered_at", desk.zone(zone_id))
    if ordered_at > desk.now_seconds + DAY:
        desk.warn("the order lies in the future")
    customer = cell("customer_id", "")
    if customer:
        customer = values.identifier(customer, "customer_id")
    contact = None if customer else _contact(desk, row, store)
    return Sale(row, external_id, customer, contact, store, zone_id, ordered_at, total, kind)


def _total(desk: Desk, text: str, tip: str, kind: str) -> int:
    if kind == "void" or (kind == "refund" and not text):
        return -1
    total = desk.money(text, "total")
    if tip:  # of a till whose totals hold it
        total -= desk.money(tip, "tip")
    if kind == "refund":
        return abs(total)
    if total < 0:
        raise RowError(f'total "{text}" is negative; money given back is a row with "refund" under "kind"')
    return total


def _clock(desk: Desk, row: Row, store: Store | None) -> int:
    named = row.values.get("timezone")
    return (desk.own_zone(named) if named else None) or (store.zone_id if store else desk.home_zone)


def _contact(desk: Desk, row: Row, store: Store | None) -> Contact | None:
    cell = row.values.get
    name = cell("guest_name") or ""
    email = read_contact(desk, "email", cell("guest_email") or "", store)
    phone = read_contact(desk, "sms", cell("guest_phone") or "", store)
    return Contact(email, phone, name) if email or phone or name else None
