"""Customers whose facts are to be made anew, noted in a temporary table: their number does not fill the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, MetaData, Select, Table, Text, bindparam, cast, select
from sqlalchemy.schema import CreateTable, DropTable

from engine.database.packed import json_elements, listed
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
#: Travels as one text: ten times as fast as a row for each.
_LISTED = select(
    cast(json_elements(bindparam("ids", type_=Text)).table_valued("value", name="one").c.value, BigInteger)
)
_page = select(_number).where(_number > _LAST).order_by(_number).limit(PAGE)


def note(conn: Connection, who: Select[Any] | Iterable[int | None], **asked: object) -> None:
    """Note customers: ids, read in pages, or a select of one column of them. Twice is once, NULL is nobody.

    ``asked``: the binds of the select. They are forgotten with the transaction, if not before.
    """
    conn.execute(CreateTable(_noted, if_not_exists=True))
    if isinstance(who, Select):
        _note(conn, who, asked)
        return
    rest = iter(who)
    while page := list(islice(rest, PAGE)):
        _note(conn, _LISTED, {"ids": listed([each for each in page if each is not None])})


def _note(conn: Connection, who: Select[Any], asked: dict[str, Any]) -> None:
    wanted = who.subquery("wanted")
    (number,) = wanted.c
    told = select(number).where(number.is_not(None))
    conn.execute(upsert(conn, _noted).from_select(["customer_id"], told).on_conflict_do_nothing(), asked)


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
