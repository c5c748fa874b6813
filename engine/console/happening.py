"""Recording an event by hand, or from a script: a guest came to a tasting, it rains, there are leftovers."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, or_, select

from engine.console.exits import MistypedError, unknown
from engine.console.page import Page, visible
from engine.console.session import Session, customer_named, instant
from engine.console.words import moment
from engine.database.sql import one_importer
from engine.database.tables import stores
from engine.intake.events import record_event
from engine.language.phrases import phrase
from engine.language.textkey import text_key

#: So long may an event's own id be, and its name.
LONGEST: Final = 200


def record(
    session: Session,
    name: str,
    *,
    customer: str | None,
    store: str | None,
    time: str | None,
    data: Iterable[str],
    number: str | None,
) -> str:
    """Record an event and say so. ``number`` is its own id: the same one again changes what is known of that event.

    ``data`` holds texts ``key=value``. Raises ``MistypedError`` for a guest, a store, a time or data that is none.
    """
    if not text_key(name) or len(name) > LONGEST or (number is not None and not 0 < len(number.strip()) <= LONGEST):
        raise MistypedError(
            phrase("an event has a name, and an id if you give one, of 1 to {most} letters", most=LONGEST)
        )
    at = session.clock() if time is None else instant(time, session.zone, option="--at")
    known = _read(data)
    with session.db.begin() as conn:
        one_importer(conn)
        guest = None if customer is None else customer_named(conn, session.home, customer)
        if guest is not None and guest.erased_at is not None:
            raise MistypedError(phrase("this guest was erased: nothing is recorded"))
        state = record_event(
            conn,
            number.strip() if number else secrets.token_hex(16),
            name=name,
            customer_id=None if guest is None else guest.id,
            store_id=None if store is None else _store(conn, store),
            at=at,
            data=known,
        )
    page = Page()
    page.line(f"{_DONE[state]}: {visible(name)}, {moment(at, session.zone)}, {_whose(customer, store)}.", "good")
    return page.text


_DONE: Final = {"new": "Recorded", "changed": "Changed", "unchanged": "Known already"}


def _whose(customer: str | None, store: str | None) -> str:
    if customer is not None:
        return f"of guest {visible(customer)}"
    return "for every guest" if store is None else f"for every guest of {visible(store)}"


def _read(data: Iterable[str]) -> dict[str, str]:
    read: dict[str, str] = {}
    for each in data:
        key, equals, value = (part.strip() for part in each.partition("="))
        if not key or not equals or '"' in key or "\\" in key:
            raise MistypedError(phrase('--data "{given}": write key=value, such as table=12', given=each))
        read[key] = value
    return read


def _store(conn: Connection, name: str) -> int:
    """Give the store of that id or name."""
    is_it = or_(stores.c.external_id == name, stores.c.name_key == text_key(name))
    found = conn.scalars(select(stores.c.id).where(is_it).order_by(stores.c.id)).all()
    if not found:
        raise unknown("store", name, conn.scalars(select(stores.c.name)))
    if len(found) > 1:
        raise MistypedError(phrase('there are several stores "{name}": name one by its id', name=name))
    return int(found[0])
