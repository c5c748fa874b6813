"""Ratings, points and events in: what happened to a guest at a moment, beside orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from connectors.records import RowError
from engine.database.by_keys import by_keys
from engine.database.ledger import settle
from engine.database.tables import events, orders, points, ratings
from engine.intake import values
from engine.intake.desk import Desk, Row, Store, lost_zeros
from engine.intake.events import event_data
from engine.intake.guests import Guest, Guests
from engine.intake.kinds import KINDS
from engine.intake.upserts import merge
from engine.language.textkey import text_key

Read = Callable[[Row, Guest | None], dict[str, Any]]
_LONGEST_LEDGER = 64


class Moments:
    """What the three kinds share: whom a row speaks of, and writing what their readers make of it."""

    def __init__(self, desk: Desk, kind: str, table: Table) -> None:
        self._desk = desk
        self._key = KINDS[kind].key
        self._table = table
        self._guests = Guests(desk)

    def take(self, rows: Sequence[Row], read: Read) -> dict[str, dict[str, Any]]:
        """Write a batch; gives what went in, by external id."""
        desk = self._desk
        guests = self._guests_of(rows)
        taken: dict[str, dict[str, Any]] = {}
        for row in rows:
            customer = row.values.get("customer_id", "").lstrip("'")
            guest = guests.get(customer)
            try:
                external_id = values.identifier(row.values.get(self._key, ""), self._key)
                if customer and isinstance(guest, RowError):
                    raise guest
                if customer and guest is None:
                    desk.report.erased += 1
                    continue
                columns = read(row, guest if isinstance(guest, Guest) else None)
            except RowError as error:
                desk.refuse(row, str(error))
                continue
            desk.report.unchanged += external_id in taken
            taken[external_id] = columns
        merge(desk, self._table, taken)
        return taken

    def _guests_of(self, rows: Sequence[Row]) -> Mapping[str, Guest | RowError | None]:
        named = {row.values.get("customer_id", "").lstrip("'") for row in rows} - {""}
        found: dict[str, Guest | RowError | None] = {}
        for text in list(named):
            try:
                values.identifier(text, "customer_id")
            except RowError as error:
                found[text] = error
        lost = self._guests.without_zeros(named - found.keys())
        found |= {text: lost_zeros(text, known, "customer_id") for text, known in lost.items()}
        return found | self._guests.by_id(named - found.keys())


class Ratings:
    """Writes ratings, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._moments = Moments(desk, "ratings", ratings)

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        of_orders = self._orders({row.values.get("order_id", "") for row in rows} - {""})
        self._moments.take(rows, lambda row, guest: self._read(row, guest, of_orders))

    def finish(self) -> None:
        """Nothing is left to do: no fact rests on a rating."""

    def _orders(self, external_ids: set[str]) -> dict[str, Any]:
        o = orders.c
        columns = (o.external_id, o.id, o.store_id, o.customer_id)
        rows = by_keys(self._desk.conn, columns, o.external_id, external_ids, o.source == self._desk.source)
        return {row.external_id: row for row in rows}

    def _read(self, row: Row, guest: Guest | None, of_orders: Mapping[str, Any]) -> dict[str, Any]:
        desk, cells = self._desk, row.values
        order = of_orders.get(cells.get("order_id", ""))
        if cells.get("order_id") and order is None:
            desk.warn("the order of the rating is not known (yet)")
        store = desk.stores.get(order.store_id) if order else None
        return {
            "customer_id": guest.id if guest else order.customer_id if order else None,
            "order_id": order.id if order else None,
            "store_id": store.id if store else None,
            "rated_at": desk.instant(cells.get("rated_at", ""), "rated_at", _clock(desk, store)),
            "score": float(values.decimal(cells.get("score", ""), "score", desk.numbers)),
            "comment": cells.get("comment") or None,
            "platform": cells.get("source") or None,
            "platform_key": text_key(cells.get("source") or "") or None,
        }


class Points:
    """Writes entries of points, batch by batch; at the end every touched ledger is worked out anew."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._moments = Moments(desk, "points", points)
        self._touched: set[int] = set()

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        before = self._owners(rows)
        taken = self._moments.take(rows, self._read)
        self._touched.update(before.values(), (row["customer_id"] for row in taken.values()))

    def finish(self) -> None:
        """Say which lots the uses took from."""
        report = self._desk.report
        if report.new or report.changed:
            settle(self._desk.conn, sorted(self._touched))
            self._desk.touch(self._touched)

    def _owners(self, rows: Sequence[Row]) -> dict[str, int]:
        """Whose the entries were: one that moves to another guest touches both."""
        p = points.c
        ids = {row.values.get("entry_id", "") for row in rows}
        columns, mine = (p.external_id, p.customer_id), p.source == self._desk.source
        return {row.external_id: row.customer_id for row in by_keys(self._desk.conn, columns, p.external_id, ids, mine)}

    def _read(self, row: Row, guest: Guest | None) -> dict[str, Any]:
        desk, cells = self._desk, row.values
        if guest is None:
            raise RowError("customer_id is empty")
        zone = desk.zone(guest.zone_id)
        number = values.whole(cells.get("points", ""), "points", desk.numbers)
        if not number:
            raise RowError("points is 0")
        ledger = cells.get("ledger") or "points"
        if len(ledger) > _LONGEST_LEDGER:
            raise RowError(f"ledger has {len(ledger)} characters; {_LONGEST_LEDGER} are the most")
        expires = cells.get("expires_at", "")
        starts = desk.config.day_starts
        return {
            "customer_id": guest.id,
            "at": desk.instant(cells.get("at", ""), "at", zone),
            "points": number,
            "expires_at": values.end_of(expires, "expires_at", zone, desk.order(expires), starts) if expires else None,
            "reason": cells.get("reason") or None,
            "ledger": ledger,
        }


class Events:
    """Writes events, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._moments = Moments(desk, "events", events)

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        self._moments.take(rows, self._read)

    def finish(self) -> None:
        """Nothing is left to do: no fact rests on an event."""

    def _read(self, row: Row, guest: Guest | None) -> dict[str, Any]:
        desk, cells = self._desk, row.values
        if not cells.get("name"):
            raise RowError("name is empty")
        store = desk.store(cells.get("store_id", ""))
        known = KINDS["events"].columns
        data = {name: text for name, text in cells.items() if name not in known and text}
        return {
            "customer_id": guest.id if guest else None,
            "store_id": store.id if store else None,
            "name": cells["name"],
            "name_key": text_key(cells["name"]),
            "at": desk.instant(cells.get("at", ""), "at", _clock(desk, store)),
            **event_data(data),
        }


def _clock(desk: Desk, store: Store | None) -> Any:
    return desk.zone(store.zone_id if store else desk.home_zone)
