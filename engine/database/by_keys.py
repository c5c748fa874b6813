"""Rows by many keys of one kind: each is looked up in its index, however little the database knows of the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    String,
    Text,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.types import TypeEngine

from engine.database.sql import written_out

#: So many keys go into one statement.
_CHUNK: Final = 1_000


def each_of(
    wanted: FromClause, columns: Sequence[ColumnElement[Any]], key: ColumnElement[Any], *mine: ColumnElement[bool]
) -> Select[Any]:
    """SQL of PostgreSQL: these columns of the rows of each key that the one column of ``wanted`` has."""
    (each,) = wanted.c
    # OFFSET 0: looked for once for each key, and the two are not put together in another way.
    one = select(*columns).where(*mine, key == each).offset(written_out(0)).lateral("one")
    return select(*one.c).select_from(wanted.join(one, true()))


def by_keys(
    conn: Connection, columns: Sequence[Column[Any]], key: Column[Any], keys: Iterable[Any], *mine: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """Give these columns of the rows whose ``key`` is one of ``keys`` and for which all of ``mine`` holds.

    An index begins with what ``mine`` compares and ends with ``key``; to be asked within ``planning.by_index``. Of a
    source without statistics PostgreSQL would go through all rows for each thousand keys, and from the eleventh time on
    compare each row with each key.
    """
    rest = iter(keys)
    if conn.dialect.name != "postgresql":
        while chunk := list(islice(rest, _CHUNK)):
            yield from conn.execute(select(*columns).where(*mine, key.in_(chunk))).all()
        return
    type_: TypeEngine[Any] = Text() if isinstance(key.type, String) else key.type
    listed = func.unnest(bindparam("its_keys", type_=ARRAY(type_))).table_valued("its_key", name="wanted")
    statement = each_of(listed.render_derived(), columns, key, *mine)
    while chunk := list(islice(rest, _CHUNK)):
        yield from conn.execute(statement, {"its_keys": chunk}).all()
