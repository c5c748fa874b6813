"""``customer_dates``: the guests' attributes that the config declares as dates, so that their return finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from connectors.records import RowError
from engine.database.sql import one_importer
from engine.database.tables import customer_dates, customers, date_attributes
from engine.intake import values
from engine.intake.desk import BATCH, CHUNK, chunks
from engine.language.config import Config


def write_dates(conn: Connection, config: Config, guests: Mapping[int, Mapping[str, Any]]) -> None:
    """Write the dates of guests anew: their attributes, by customer id."""
    declared = _declared(config)
    for chunk in chunks(sorted(guests) if declared else (), CHUNK):
        d = customer_dates.c
        conn.execute(delete(customer_dates).where(d.customer_id.in_(chunk), d.name.in_(declared)))
        _insert(conn, (row for guest in chunk for row in _rows(guest, guests[guest], declared)))


def follow_declared(conn: Connection, config: Config) -> None:
    """Bring the dates in line with what the config declares by now; where that is as it was, it is one short look.

    A column that became a date after its import stands there as text: what is a date without a doubt is taken.
    """
    declared, known = _declared(config), set(conn.scalars(select(date_attributes.c.name)))
    if declared == known:
        return
    one_importer(conn)
    conn.execute(delete(date_attributes).where(date_attributes.c.name.in_(known - declared)))
    conn.execute(delete(customer_dates).where(customer_dates.c.name.in_(known ^ declared)))
    fresh = declared - known
    if not fresh:
        return
    conn.execute(insert(date_attributes), [{"name": name} for name in sorted(fresh)])
    last = 0
    while page := conn.execute(
        select(customers.c.id, customers.c.attributes)
        .where(customers.c.id > last, customers.c.erased_at.is_(None))
        .order_by(customers.c.id)
        .limit(BATCH)
    ).all():
        _insert(conn, (row for guest, attributes in page for row in _rows(guest, attributes, fresh)))
        last = page[-1].id


def _declared(config: Config) -> set[str]:
    return {name for name, kind in config.attributes.items() if kind == "date"}


def _insert(conn: Connection, rows: Iterator[dict[str, Any]]) -> None:
    if found := list(rows):
        conn.execute(insert(customer_dates), found)


def _rows(guest: int, attributes: Mapping[str, Any], names: set[str]) -> Iterator[dict[str, Any]]:
    for name in sorted(names & attributes.keys()):
        day = _day(attributes[name])
        if day is not None:
            yield {"customer_id": guest, "name": name, "year": day.year, "md": day.month_day}


def _day(value: Any) -> values.Birthday | None:
    """Read a date as an import stores it, or as a text that was never declared."""
    try:
        return values.birthday(value, "solar", None, None) if isinstance(value, str) else None
    except RowError:
        return None
