"""Rows by many keys of one kind: each is looked up in its index, however little the database knows of the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

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
    """SQL of PostgreSQL: these columns of the rows of each key in the first column of ``wanted``, behind its others."""
    each, *others = wanted.c
    # OFFSET 0: looked for once for each key, and the two are not put together in another way.
    one = select(*columns).where(*mine, key == each).offset(written_out(0)).lateral("one")
    return select(*others, *one.c).select_from(wanted.join(one, true()))


def by_keys(
    conn: Connection, columns: Sequence[Column[Any]], key: Column[Any], keys: Iterable[Any], *mine: ColumnElement[bool]
) -> Iterator[Row[Any]]:
    """Give these columns of the rows whose ``key`` is one of ``keys`` and for which all of ``mine`` holds.

    An index begins with what ``mine`` compares and ends with ``key``; to be asked within ``planning.by_index``. Of a
    source without statistics PostgreSQL would go through all rows for each thousand keys, and from the eleventh time on
    compare each row with each key.
    """
    if conn.dialect.name != "postgresql":
        statement = select(*columns).where(*mine, key.in_(bindparam("its_keys", expanding=True, type_=key.type)))
    else:
        statement = each_of(_listed(key), columns, key, *mine)
    yield from _by_chunks(conn, statement, keys)


class Part(NamedTuple):
    """Rows of one table: these columns of those whose ``key`` is given and for which all of ``mine`` holds."""

    columns: Sequence[Column[Any]]
    key: Column[Any]
    mine: Sequence[ColumnElement[bool]] = ()


def by_keys_of_two(conn: Connection, first: Part, then: Part, keys: Iterable[Any]) -> Iterator[Row[Any]]:
    """Give rows of ``first`` by its keys, each with those of ``then`` whose key is the first of its columns.

    That one is not given. As ``by_keys``; PostgreSQL goes from the first table to the second, and never the other way.
    """
    own, *others = first.columns
    if conn.dialect.name != "postgresql":
        wanted = first.key.in_(bindparam("its_keys", expanding=True, type_=first.key.type))
        both = own.table.join(then.key.table, then.key == own)
        statement = select(*others, *then.columns).select_from(both).where(wanted, *first.mine, *then.mine)
    else:
        found = each_of(_listed(first.key), first.columns, first.key, *first.mine).subquery("found")
        statement = each_of(found, then.columns, then.key, *then.mine)
    yield from _by_chunks(conn, statement, keys)


def _listed(key: Column[Any]) -> FromClause:
    type_: TypeEngine[Any] = Text() if isinstance(key.type, String) else key.type
    listed = func.unnest(bindparam("its_keys", type_=ARRAY(type_))).table_valued("its_key", name="wanted")
    return listed.render_derived()


def _by_chunks(conn: Connection, statement: Select[Any], keys: Iterable[Any]) -> Iterator[Row[Any]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _CHUNK)):
        yield from conn.execute(statement, {"its_keys": chunk}).all()
