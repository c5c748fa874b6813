"""Orders in: sales, and with ``refunds`` what was given back; guests, walk-ins and stores as the file names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from sqlalchemy import bindparam, exists, func, insert, select, update

from connectors.records import RowError
from engine.database.facts_delta import apply_delta
from engine.database.tables import coupons, orders
from engine.intake import values
from engine.intake.contacts import read_contact
from engine.intake.desk import CHUNK, Desk, Row, Store, chunks, lost_zeros, pick
from engine.intake.guests import Contact, Guest, Guests
from engine.intake.redeem import redeem
from engine.intake.refunds import Refund, Refunds
from engine.intake.zoning import follow_stores
from engine.language.offers import Offer, load_offers
from engine.language.textkey import text_key

_COMPARED: Final = ("customer_id", "store_id", "ordered_at", "day", "clock", "total", "channel", "coupon", "server")
_KINDS: Final = {"", "sale", "refund", "void"}
_DAY: Final = 86_400


@dataclass(slots=True)
class Sale:
    """An order as its row gives it; who it belongs to is found for a whole batch at once."""

    row: Row
    external_id: str
    customer: str  #: the till's id of the guest, or ""
    contact: Contact | None
    store: Store | None
    ordered_at: int
    total: int
    kind: str

    @property
    def guest_key(self) -> str:
        """What the guest is known by: an id or a contact; "" for a walk-in."""
        return self.customer or (self.contact.external_id if self.contact else "")


class Orders:
    """Writes orders, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._guests = Guests(desk)
        self._refunds = Refunds(desk)
        self._after_id: int = desk.conn.scalar(select(func.coalesce(func.max(orders.c.id), 0))) or 0
        self._inserted = False

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        sales = []
        for row in rows:
            try:
                sales.append(self._read(row))
            except RowError as error:
                self._desk.refuse(row, str(error))
        sales, owners = self._with_owners(sales)
        self._write_sales([sale for sale in sales if sale.kind == "sale"], owners)
        given_back = [sale for sale in sales if sale.kind != "sale"]
        if given_back:
            self._refunds.add([self._refund(sale, owners.get(sale.guest_key)) for sale in given_back])

    def finish(self) -> None:
        """Attach refunds to their sales and take the new orders into the facts."""
        self._refunds.finish()
        if self._inserted:
            apply_delta(self._desk.conn, after_id=self._after_id, as_of=self._desk.now)
        if self._inserted or self._desk.touched:
            follow_stores(self._desk)

    # Reading

    def _read(self, row: Row) -> Sale:
        desk, cell = self._desk, row.values.get
        kind = cell("kind", "").casefold()
        if kind not in _KINDS:
            raise RowError(f'kind "{kind}" is none of sale, refund and void')
        kind = kind or "sale"
        currency = cell("currency", "").upper()
        if currency and currency != desk.config.business.currency:
            raise RowError(f"currency is {currency}; this home has {desk.config.business.currency} only")
        external_id = values.identifier(cell("order_id", ""), "order_id")
        store = desk.store(cell("store_id") or cell("store_name") or "", cell("timezone", ""))
        total = self._total(cell("total", ""), cell("tip", ""), kind)
        ordered_at = values.instant(cell("ordered_at", ""), "ordered_at", self._clock(row, store), desk.order)
        if ordered_at > desk.now_seconds + _DAY:
            desk.warn("the order lies in the future")
        customer = cell("customer_id", "")
        if customer:
            customer = values.identifier(customer, "customer_id")
        contact = None if customer else self._contact(row, store)
        return Sale(row, external_id, customer, contact, store, ordered_at, total, kind)

    def _total(self, text: str, tip: str, kind: str) -> int:
        if kind == "void" or (kind == "refund" and not text):
            return -1
        total = self._desk.money(text, "total")
        if tip:  # of a till whose totals hold it
            total -= self._desk.money(tip, "tip")
        if kind == "refund":
            return abs(total)
        if total < 0:
            raise RowError(f'total "{text}" is negative; money given back is a row with "refund" under "kind"')
        return total

    def _clock(self, row: Row, store: Store | None) -> Any:
        desk = self._desk
        named = row.values.get("timezone")
        zone_id = (desk.own_zone(named) if named else None) or (store.zone_id if store else desk.home_zone)
        return desk.zone(zone_id)

    def _contact(self, row: Row, store: Store | None) -> Contact | None:
        cell = row.values.get
        name = cell("guest_name") or ""
        email = read_contact(self._desk, "email", cell("guest_email") or "", store)
        phone = read_contact(self._desk, "sms", cell("guest_phone") or "", store)
        return Contact(email, phone, name) if email or phone or name else None

    # Guests

    def _with_owners(self, sales: list[Sale]) -> tuple[list[Sale], dict[str, Guest | None]]:
        desk = self._desk
        names = {sale.customer: sale.row.values.get("guest_name") or "" for sale in sales if sale.customer}
        lost = self._guests.without_zeros(names)
        if lost:
            for sale in sales:
                if sale.customer in lost:
                    desk.refuse(sale.row, str(lost_zeros(sale.customer, lost[sale.customer], "customer_id")))
            sales = [sale for sale in sales if sale.customer not in lost]
            names = {text: name for text, name in names.items() if text not in lost}
        owners = self._guests.by_id(names, names)
        contacts = [sale.contact for sale in sales if sale.contact and sale.contact.addresses]
        if contacts:
            owners |= self._guests.by_contact(contacts)
        self._by_name(sales, owners)
        return sales, owners

    def _by_name(self, sales: list[Sale], owners: dict[str, Guest | None]) -> None:
        """A till that gives no more than a name: a guest who is alone in having it, else a walk-in."""
        nameless = [sale for sale in sales if sale.contact and not sale.contact.addresses]
        if not nameless:
            return
        known = self._guests.by_name(sale.contact.name for sale in nameless if sale.contact)
        for sale in nameless:
            guest = known.get(sale.contact.name) if sale.contact else None
            if guest is None:
                self._desk.warn("a guest is named without a contact and is not known: counted as a walk-in")
                continue
            sale.customer = f"\0{guest.id}"
            owners[sale.customer] = guest

    # Writing

    def _write_sales(self, sales: list[Sale], owners: dict[str, Guest | None]) -> None:
        report = self._desk.report
        rows: dict[str, dict[str, Any]] = {}
        for sale in sales:
            guest = owners.get(sale.guest_key) if sale.guest_key else None
            if guest is None:
                report.walk_ins += 1
                report.erased += bool(sale.guest_key and sale.guest_key in owners)
            else:
                report.known_guests += 1
            rows[sale.external_id] = self._columns(sale, guest)
        report.unchanged += len(sales) - len(rows)  # one order twice in a batch: the last row says how it is
        known = self._known(rows)
        fresh = [row for external_id, row in rows.items() if external_id not in known]
        changed = []
        gone = {sale.external_id for sale in sales if sale.guest_key and owners.get(sale.guest_key) is None}
        for external_id, before in known.items():
            after = rows[external_id]
            if external_id in gone and after["customer_id"] is None:
                after["customer_id"] = before["customer_id"]  # of an erased guest: whatever erasure made of it
            if any(before[name] != after[name] for name in _COMPARED):
                changed.append((before, after))
        if fresh:
            self._desk.conn.execute(insert(orders), fresh)
            self._inserted = True
        self._change(changed)
        report.new += len(fresh)
        report.changed += len(changed)
        report.unchanged += len(known) - len(changed)
        self._redeem(fresh)
        of_coupon = ("coupon", "customer_id")
        self._redeem([after for before, after in changed if pick(before, of_coupon) != pick(after, of_coupon)])

    def _columns(self, sale: Sale, guest: Guest | None) -> dict[str, Any]:
        desk, cell, store = self._desk, sale.row.values.get, sale.store
        zone_id = guest.zone_id if guest else store.zone_id if store else desk.home_zone
        shop = desk.zone(store.zone_id) if store else self._clock(sale.row, None)
        return {
            "source": desk.source,
            "external_id": sale.external_id,
            "customer_id": guest.id if guest else None,
            "store_id": store.id if store else None,
            "ordered_at": sale.ordered_at,
            "day": values.day_of(sale.ordered_at, desk.zone(zone_id), desk.config.day_starts),
            "clock": values.week_clock(sale.ordered_at, shop, desk.config.day_starts),
            "total": sale.total,
            "channel": text_key(cell("channel") or "") or None,
            "coupon": cell("coupon") or None,
            "server": cell("server") or None,
        }

    def _known(self, external_ids: Any) -> dict[str, dict[str, Any]]:
        o = orders.c
        columns = (o.external_id, o.id, *(o[name] for name in _COMPARED))
        found: dict[str, dict[str, Any]] = {}
        for chunk in chunks(external_ids, CHUNK):
            mine = select(*columns).where(o.source == self._desk.source, o.external_id.in_(chunk))
            for row in self._desk.conn.execute(mine).mappings():
                found[row["external_id"]] = {**row, "ordered_at": int(row["ordered_at"].timestamp())}
        return found

    def _change(self, changed: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
        if not changed:
            return
        write = update(orders).where(orders.c.id == bindparam("its_id"))
        write = write.values({name: bindparam(f"its_{name}") for name in _COMPARED})
        self._desk.conn.execute(
            write, [{f"its_{name}": (before | after)[name] for name in ("id", *_COMPARED)} for before, after in changed]
        )
        for before, after in changed:
            self._desk.touched.update(who for who in (before["customer_id"], after["customer_id"]) if who)

    def _refund(self, sale: Sale, guest: Guest | None) -> Refund:
        return Refund(
            external_id=sale.external_id,
            kind=sale.kind,
            at=sale.ordered_at,
            amount=None if sale.total < 0 else sale.total,
            customer_id=guest.id if guest else None,
            store_id=sale.store.id if sale.store else None,
        )

    # Coupons

    @cached_property
    def _offers(self) -> dict[str, Offer]:
        return load_offers(self._desk.config.root, self._desk.config.business.currency)[0]

    @cached_property
    def _any_coupon(self) -> bool:
        open_ones = coupons.c.code.is_not(None), coupons.c.redeemed_at.is_(None)
        return bool(self._desk.conn.scalar(select(exists().where(*open_ones))))

    def _redeem(self, rows: list[dict[str, Any]]) -> None:
        rows = [row for row in rows if row["coupon"]]
        if not rows or not self._any_coupon:
            return
        known = self._known(row["external_id"] for row in rows)
        for row in sorted(rows, key=lambda row: row["ordered_at"]):
            order_id = known[row["external_id"]]["id"]
            at = datetime.fromtimestamp(row["ordered_at"], UTC)
            # A till joins the names of several discounts of one sale with commas.
            named = dict.fromkeys([row["coupon"], *(part.strip() for part in row["coupon"].split(","))])
            for text in named:
                self._desk.report.redeemed += redeem(
                    self._desk.conn, code=text, customer_id=row["customer_id"], till_name=text, order_id=order_id,
                    at=at, offers=self._offers,
                )  # fmt: skip
