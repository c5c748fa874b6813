"""Orders in: sales, and with ``refunds`` what was given back; guests, walk-ins and stores as the file names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import repeat
from typing import Any, Final

from sqlalchemy import bindparam, exists, func, select, update

from connectors.csvblocks import Block
from connectors.records import RowError
from engine.database.bulk import find_many, insert_unknown
from engine.database.facts_delta import apply_delta
from engine.database.tables import coupons, orders
from engine.intake.clocks import Clocks
from engine.intake.desk import BATCH, Desk, Row, lost_zeros
from engine.intake.guests import Guest, Guests
from engine.intake.redeem import redeem
from engine.intake.refunds import Refunds
from engine.intake.sale_rows import Sale, read_sale
from engine.intake.sales import SaleColumns, Sales
from engine.intake.zoning import follow_stores
from engine.language.offers import Offer, load_offers

_COMPARED: Final = ("customer_id", "store_id", "ordered_at", "day", "clock", "total", "channel", "coupon", "server")
_INSERTED: Final = ("source", "external_id", *_COMPARED)
_KNOWN: Final = ("external_id", "id", *_COMPARED)
_EXTERNAL_ID: Final = _INSERTED.index("external_id")
_FIRST_COMPARED: Final = _INSERTED.index(_COMPARED[0])
_CUSTOMER: Final = _COMPARED.index("customer_id")
_COUPON: Final = _COMPARED.index("coupon")
_AT: Final = _COMPARED.index("ordered_at")

#: So many changes wait for the rest of their file, in which another row may say otherwise of the same order.
HELD: Final = 10_000

#: What is compared of an order, in the order of ``_COMPARED``.
Values = tuple[Any, ...]
Owners = dict[str, Guest | None]


class Orders:
    """Writes orders, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._guests = Guests(desk)
        self._refunds = Refunds(desk)
        self._clocks = Clocks(desk)
        self._columns = SaleColumns(desk, self._clocks)
        self._after_id: int = desk.conn.scalar(select(func.coalesce(func.max(orders.c.id), 0))) or 0
        self._inserted = False
        self._sales: list[Sales] = []  #: of blocks that wait until they are enough to be written
        self._alone: list[Sale] = []  #: and what was set apart in them
        self._some_known = False  #: of the batch before
        self._held: dict[str, tuple[int, Values, Values]] = {}  #: external id -> id, how it is, how it is to be

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in, row by row."""
        self._take(Sales.of(()), self._read(rows), lambda _: [])

    def write_block(
        self, block: Block, columns: Mapping[str, Sequence[str]], alone: Callable[[], Sequence[Row]]
    ) -> None:
        """Take a block in by its columns, and what is set apart in it, by then, row by row: ``alone`` gives it.

        Blocks of few rows wait for each other, until ``write_rest``.
        """
        self._sales.append(self._columns.read(block, columns))
        self._alone += self._read(alone())
        # Where ids may have lost their zeros, rows are refused with all their cells, and only this block's are at hand.
        if sum(len(sales.lines) for sales in self._sales) + len(self._alone) >= BATCH or self._desk.zero_widths:
            self._take_all(block.cells)

    def write_rest(self) -> None:
        """Take in the blocks that wait for more."""
        self._take_all(lambda _: [])

    def finish(self) -> None:
        """Write what waits, attach refunds to their sales and take the new orders into the facts."""
        self._change()
        self._refunds.finish()
        if self._inserted:
            apply_delta(self._desk.conn, after_id=self._after_id, as_of=self._desk.now)
        if self._inserted or self._desk.any_touched:
            follow_stores(self._desk)

    def _read(self, rows: Sequence[Row]) -> list[Sale]:
        found = []
        for row in rows:
            try:
                found.append(read_sale(self._desk, row))
            except RowError as error:
                self._desk.refuse(row, str(error))
        return found

    def _take_all(self, cells: Callable[[int], list[str]]) -> None:
        """Take in the blocks that were read since the last time: of a wide file several together."""
        sales, alone, self._sales, self._alone = self._sales, self._alone, [], []
        if sales:
            self._take(Sales.joined(sales), alone, cells)

    def _take(self, sales: Sales, alone: list[Sale], cells: Callable[[int], list[str]]) -> None:
        owners, lost = self._guests.by_id_or_lost(_names(sales, alone))
        if lost:
            for place, guest in enumerate(sales.guests):
                if guest in lost:
                    row = Row(sales.lines[place], cells(place), {})
                    self._desk.refuse(row, str(lost_zeros(guest, lost[guest], "customer_id")))
            for sale in alone:
                if sale.customer in lost:
                    self._desk.refuse(sale.row, str(lost_zeros(sale.customer, lost[sale.customer], "customer_id")))
            sales = sales.kept([place for place, guest in enumerate(sales.guests) if guest not in lost])
            alone = [sale for sale in alone if sale.customer not in lost]
        contacts = [sale.contact for sale in alone if sale.contact and sale.contact.addresses]
        others = self._guests.by_contact(contacts) if contacts else {}
        others |= self._by_name(alone)
        if others:
            owners = owners | others
        given_back = [sale for sale in alone if sale.kind != "sale"]
        if given_back:
            of = [owners.get(sale.guest_key) for sale in given_back]
            self._refunds.add(
                sale.refund(guest.id if guest else None) for sale, guest in zip(given_back, of, strict=True)
            )
        # Last of all: the server takes the sales while the next batch is read.
        self._write(sales.with_others([sale.fields() for sale in alone if sale.kind == "sale"]), owners)

    def _by_name(self, sales: list[Sale]) -> Owners:
        """A till that gives no more than a name: a guest who is alone in having it, else a walk-in."""
        nameless = [sale for sale in sales if sale.contact and not sale.contact.addresses]
        if not nameless:
            return {}
        owners: Owners = {}
        known = self._guests.by_name(sale.contact.name for sale in nameless if sale.contact)
        for sale in nameless:
            guest = known.get(sale.contact.name) if sale.contact else None
            if guest is None:
                self._desk.warn("a guest is named without a contact and is not known: counted as a walk-in")
                continue
            sale.customer = f"\0{guest.id}"
            owners[sale.customer] = guest
        return owners

    # Writing

    def _write(self, sales: Sales, owners: Owners) -> None:
        report = self._desk.report
        guests = list(map(owners.get, sales.guests))
        walk_ins = guests.count(None)
        report.known_guests += len(guests) - walk_ins
        report.walk_ins += walk_ins
        gone: set[str] = set()  #: orders of erased guests
        if walk_ins and (self._guests.any_gone or None in owners.values()):
            of_erased = [key in owners and guest is None for key, guest in zip(sales.guests, guests, strict=True)]
            report.erased += sum(of_erased)
            gone = {text for text, erased in zip(sales.external_ids, of_erased, strict=True) if erased}
        rows = self._rows(sales, guests)
        if len(rows) > len(by_id := {row[_EXTERNAL_ID]: row for row in rows}):
            report.unchanged += len(rows) - len(by_id)  # one order twice in a batch: the last row says how it is
            rows = list(by_id.values())
        conn = self._desk.conn  # from here on it is known how it went with the batch before
        inserting = insert_unknown(conn, orders, _INSERTED, rows, _KNOWN, look_first=self._some_known)
        self._desk.meanwhile(inserting, partial(self._written, rows, by_id, gone))

    def _written(
        self,
        rows: Sequence[tuple[Any, ...]],
        by_id: Mapping[str, tuple[Any, ...]],
        gone: set[str],
        known: dict[str, tuple[Any, ...]],
    ) -> None:
        """Go on with the rows of a batch that are in, but for the known ones."""
        report = self._desk.report
        self._some_known = bool(known)  # a file that brings some again mostly goes on so
        fresh = [row for row in rows if row[_EXTERNAL_ID] not in known] if known else rows
        self._inserted |= bool(fresh)
        changed = _changed(known, by_id, gone)
        report.new += len(fresh)
        report.unchanged += len(known) - len(changed)
        self._redeem({row[_EXTERNAL_ID]: row[_FIRST_COMPARED:] for row in fresh if row[-2]})
        if known:
            self._hold(known, changed)

    def _rows(self, sales: Sales, guests: Sequence[Guest | None]) -> list[tuple[Any, ...]]:
        """Give the rows of the table, as ``_INSERTED`` names its columns."""
        shops = zones = [home := self._desk.home_zone]
        if not self._desk.has_one_zone:
            shops = [store.zone_id if store else zone for store, zone in zip(sales.stores, sales.zones, strict=True)]
            zones = [
                guest.zone_id if guest else store.zone_id if store else home
                for guest, store in zip(guests, sales.stores, strict=True)
            ]
        days, clocks = self._clocks.days_and_clocks(sales.ordered_at, _one_or_all(zones), _one_or_all(shops))
        return list(
            zip(
                repeat(self._desk.source),
                sales.external_ids,
                [guest and guest.id for guest in guests],
                [store and store.id for store in sales.stores],
                sales.ordered_at,
                days,
                clocks,
                sales.totals,
                sales.channels,
                sales.coupons,
                sales.servers,
                strict=False,
            )
        )

    def _hold(self, known: Iterable[str], changed: Mapping[str, tuple[int, Values, Values]]) -> None:
        """Keep changes for the end: of an order that stands in the file again the last row says how it is."""
        again = self._held.keys() & known
        self._desk.report.unchanged += len(again)
        for external_id in again:
            del self._held[external_id]
        self._held |= changed
        if len(self._held) >= HELD:
            self._change()

    def _change(self) -> None:
        """Write the changes that wait."""
        if not self._held:
            return
        changed, self._held = self._held, {}
        write = update(orders).where(orders.c.id == bindparam("its_id"))
        write = write.values({name: bindparam(f"its_{name}") for name in _COMPARED})
        names = [f"its_{name}" for name in _COMPARED]
        self._desk.conn.execute(
            write,
            [{"its_id": number, **dict(zip(names, after, strict=True))} for number, _, after in changed.values()],
        )
        self._desk.touch(row[_CUSTOMER] for _, *both in changed.values() for row in both)
        self._desk.report.changed += len(changed)
        self._redeem(
            {
                external_id: after
                for external_id, (_, before, after) in changed.items()
                if (before[_COUPON], before[_CUSTOMER]) != (after[_COUPON], after[_CUSTOMER])
            }
        )

    # Coupons

    @cached_property
    def _offers(self) -> dict[str, Offer]:
        return load_offers(self._desk.config.root, self._desk.config.business.currency)[0]

    @cached_property
    def _any_coupon(self) -> bool:
        open_ones = coupons.c.code.is_not(None), coupons.c.redeemed_at.is_(None)
        return bool(self._desk.conn.scalar(select(exists().where(*open_ones))))

    def _redeem(self, rows: Mapping[str, Values]) -> None:
        rows = {external_id: row for external_id, row in rows.items() if row[_COUPON]}
        if not rows or not self._any_coupon:
            return
        ids = dict(find_many(self._desk.conn, orders, self._desk.source, rows, ("external_id", "id")))
        for external_id, row in sorted(rows.items(), key=lambda each: each[1][_AT]):
            at, coupon = datetime.fromtimestamp(row[_AT], UTC), row[_COUPON]
            # A till joins the names of several discounts of one sale with commas.
            named = dict.fromkeys([coupon, *(part.strip() for part in coupon.split(","))])
            for text in named:
                self._desk.report.redeemed += redeem(
                    self._desk.conn, code=text, customer_id=row[_CUSTOMER], till_name=text, order_id=ids[external_id],
                    at=at, offers=self._offers,
                )  # fmt: skip


def _names(sales: Sales, alone: Sequence[Sale]) -> dict[str, str]:
    """Give what the file calls each guest who has an id, by the last row that speaks of the guest."""
    if alone:
        told = zip(sales.lines, sales.guests, sales.names, strict=True)
        in_order = sorted([*told, *((sale.row.line, sale.customer, sale.name) for sale in alone)])
        names = {guest: name for _, guest, name in in_order}
    elif any(sales.names):
        names = dict(zip(sales.guests, sales.names, strict=True))
    else:
        names = dict.fromkeys(sales.guests, "")
    names.pop("", None)
    return names


def _one_or_all(zones: list[int]) -> list[int]:
    return zones[:1] if len(set(zones)) == 1 else zones


def _changed(
    known: Mapping[str, tuple[Any, ...]], rows: Mapping[str, tuple[Any, ...]], gone: set[str]
) -> dict[str, tuple[int, Values, Values]]:
    """Give those that are not as they were: {external id: (id, before, after)}."""
    found = {}
    for external_id, (number, *before) in known.items():
        was, after = tuple(before), rows[external_id][_FIRST_COMPARED:]
        if external_id in gone and after[_CUSTOMER] is None:
            after = (was[_CUSTOMER], *after[1:])  # of an erased guest: whatever erasure made of it
        if was != after:
            found[external_id] = (number, was, after)
    return found
