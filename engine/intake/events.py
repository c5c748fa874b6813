"""One event in, from the command line or the web: what a file of events would say in a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, select, update

from engine.database.tables import events
from engine.language.textkey import text_key, text_keys

#: Where events come from that no till's file has.
SOURCE: Final = "regulars"
#: What is a number and no code: 12, -3, 4.50; not 007, 1e5 or +49.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,6})?")

Recorded = Literal["new", "changed", "unchanged"]


def event_data(given: Mapping[str, str]) -> dict[str, Any]:
    """Give the columns ``data`` and ``data_keys`` of an event: numbers as numbers, to be compared as such."""
    data = {name: _value(text) for name, text in given.items() if text}
    return {"data": data, "data_keys": text_keys(dict(given))}


def _value(text: str) -> str | int | float:
    if _NUMBER.fullmatch(text) is None:
        return text
    return float(text) if "." in text else int(text)


def record_event(
    conn: Connection,
    external_id: str,
    *,
    name: str,
    customer_id: int | None,
    store_id: int | None,
    at: datetime,
    data: Mapping[str, str],
) -> Recorded:
    """Write one event under its own id; the same id again changes it, and the same event again changes nothing."""
    row = {
        "customer_id": customer_id,
        "store_id": store_id,
        "name": name,
        "name_key": text_key(name),
        "at": at,
        **event_data(data),
    }
    known = select(events).where(events.c.source == SOURCE, events.c.external_id == external_id).with_for_update()
    before = conn.execute(known).mappings().one_or_none()
    if before is None:
        conn.execute(insert(events).values(source=SOURCE, external_id=external_id, **row))
        return "new"
    if all(before[column] == value for column, value in row.items()):
        return "unchanged"
    conn.execute(update(events).where(events.c.id == before["id"]).values(**row))
    return "changed"
