"""Stores in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, union

from connectors.records import RowError
from engine.database.tables import customers, orders, stores
from engine.intake import values
from engine.intake.desk import Desk, Row, Store
from engine.intake.guest_cells import attributes, language
from engine.intake.upserts import find, merge
from engine.intake.zoning import follow_stores, move_store
from engine.language.locales import parse_country
from engine.language.textkey import text_key

_TEXTS = ("city", "region", "address", "manager_name")


class Stores:
    """Writes stores, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        for row in rows:  # one by one: few, and each may name another column
            try:
                self._write(row)
            except RowError as error:
                self._desk.refuse(row, str(error))

    def finish(self) -> None:
        """Nothing is left to do."""

    def _write(self, row: Row) -> None:
        desk = self._desk
        external_id = values.identifier(row.values.get("store_id", ""), "store_id")
        before = find(desk, stores, [external_id]).get(external_id)
        columns = self._columns(row, before)
        result = merge(desk, stores, {external_id: columns})
        after = {**(before or {}), **columns}
        store_id = find(desk, stores, [external_id])[external_id]["id"]
        desk.keep_store(Store(store_id, after["zone_id"], after.get("country"), external_id, after["name_key"]))
        if external_id in result.before:
            self._tell(store_id, result.before[external_id], after)

    def _columns(self, row: Row, before: Any) -> dict[str, Any]:
        desk, cells = self._desk, row.values
        name = cells.get("name", "")
        if not name:
            raise RowError("name is empty")
        zone_id = desk.own_zone(cells.get("timezone", ""))
        if zone_id is None and (before is None or "timezone" in cells):
            zone_id = desk.home_zone
        columns: dict[str, Any] = {
            "name": name,
            "name_key": text_key(name),
            "zone_id": zone_id or before["zone_id"],
            "attributes": attributes(desk, "stores", cells, before),
        }
        columns |= {column: cells[column] or None for column in _TEXTS if column in cells}
        country = _country(cells.get("country", "")) or desk.config.business.country
        readers: dict[str, Callable[[str], Any]] = {
            "country": _country,
            "language": lambda text: language(desk, text),
            "opens": lambda text: values.clock(text, "opens"),
            "closes": lambda text: values.clock(text, "closes"),
            "closed_on": lambda text: values.day(text, "closed_on", desk.order(text)),
            "phone": lambda text: values.phone(text, country),
            "manager_phone": lambda text: values.phone(text, country),
            "manager_email": values.email,
        }
        return columns | {
            column: read(cells[column]) if cells[column] else None
            for column, read in readers.items()
            if column in cells
        }

    def _tell(self, store_id: int, before: Any, after: Any) -> None:
        """What a store says of its guests has changed: their clock, their country, and which store is theirs."""
        desk = self._desk
        if any(before[column] != after[column] for column in ("closed_on", "zone_id", "country")):
            own = select(customers.c.id).where(customers.c.store_id == store_id)
            visitors = select(orders.c.customer_id).where(
                orders.c.store_id == store_id, orders.c.customer_id.is_not(None)
            )
            desk.touch(select(union(own, visitors).subquery().c[0]))
        if before["zone_id"] != after["zone_id"]:
            move_store(desk, store_id, after["zone_id"])
            follow_stores(desk)


def _country(text: str) -> str | None:
    try:
        return parse_country(text.upper()) if text else None
    except ValueError as error:
        raise RowError(f"country {error}") from None
