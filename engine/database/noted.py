"""Customers whose facts are to be made anew, noted in a temporary table: their number does not fill the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Column, Connection, MetaData, Select, Table, bindparam, select
from sqlalchemy.schema import CreateTable, DropTable

from engine.database.sql import Id, upsert

#: So many customers are made anew by one statement.
PAGE: Final = 2_000

#: Of one connection alone, and of one transaction.
_noted = Table(
    "facts_noted",
    MetaData(),
    Column("customer_id", Id, primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
_number = _noted.c.customer_id
_LAST = bindparam("last", type_=Id)
_page = select(_number).where(_number > _LAST).order_by(_number).limit(PAGE)


def note(conn: Connection, who: Select[Any] | Iterable[int | None], **asked: object) -> None:
    """Note customers: ids, read in pages, or a select of one column of them. Twice is once, NULL is nobody.

    ``asked``: the binds of the select. They are forgotten with the transaction, if not before.
    """
    conn.execute(CreateTable(_noted, if_not_exists=True))
    into = upsert(conn, _noted)
    if isinstance(who, Select):
        wanted = who.subquery("wanted")
        (number,) = wanted.c
        conn.execute(
            into.from_select(["customer_id"], select(number).where(number.is_not(None))).on_conflict_do_nothing(), asked
        )
        return
    rest = iter(who)
    while page := list(islice(rest, PAGE)):
        if rows := [{"customer_id": each} for each in page if each is not None]:
            conn.execute(into.on_conflict_do_nothing(), rows)


def noted() -> Select[tuple[int]]:
    """SQL: all who are noted; only after ``note``."""
    return select(_number)


def take_noted(conn: Connection) -> Iterator[Sequence[int]]:
    """Yield all who are noted in pages by key, and forget them. Whoever is noted meanwhile may be left out."""
    conn.execute(CreateTable(_noted, if_not_exists=True))
    last = -1
    while page := conn.scalars(_page, {"last": last}).all():
        yield page
        last = page[-1]
    conn.execute(DropTable(_noted))
