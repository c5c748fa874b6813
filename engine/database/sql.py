"""The few things that dialects spell differently, and the types that are ours.

An unknown dialect raises: a wrong guess about a date or a lock would be silent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Table,
    Text,
    Values,
    and_,
    case,
    cast,
    column,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

#: PostgreSQL takes 65,535 binds a statement, SQLite 32,766, and the rest of the statement needs some too.
_MOST_BINDS = 10_000

#: SQLite gives rowid semantics (and AUTOINCREMENT) to INTEGER primary keys only.
Id = BigInteger().with_variant(Integer(), "sqlite")


class EpochSeconds(TypeDecorator[datetime]):
    """An instant: an aware ``datetime`` in Python, whole UTC epoch seconds (BIGINT) in the database.

    Integers take half the room of ISO text and compare 1.7 times faster (measured; ``benchmarks``).
    A naive datetime raises ``ValueError``: it would be read in whatever zone the machine is in.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, dialect: Dialect) -> int | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Turn an aware datetime into epoch seconds; integers (seconds already) pass."""
        if value is None or isinstance(value, int):
            return value
        if value.tzinfo is None:
            msg = f"an instant needs a time zone: {value!r}"
            raise ValueError(msg)
        return int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Turn epoch seconds into an aware UTC datetime."""
        return None if value is None else datetime.fromtimestamp(value, UTC)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:  # noqa: ARG002 (SQLAlchemy's signature)
        """Compare with an instant as an instant, with a number as seconds."""
        return BigInteger() if isinstance(value, int) else self


def values_cte(name: str, columns: Sequence[str], rows: Sequence[Sequence[int]]) -> CTE:
    """A small table of whole numbers that travels in the statement: ``name(column, ...) AS (VALUES (...), ...)``.

    Every number is a bind of type BIGINT; where they are too many for binds, all travel in one as JSON. No rows make an
    empty table of the same columns. Raises ``ValueError`` where a row has not one number for each column.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"each row of {name!r} needs {len(columns)} numbers: {', '.join(columns)}")
    if not rows:
        return select(*(cast(null(), BigInteger).label(each) for each in columns)).where(false()).cte(name)
    if len(rows) * len(columns) > _MOST_BINDS:
        return packed_cte(name, columns, literal(packed(rows), Text))
    return _Numbers(name, columns, rows).cte(name)


def packed(rows: Sequence[Sequence[int]]) -> str:
    """Pack rows of whole numbers into one text, for ``packed_cte``."""
    return json.dumps([list(row) for row in rows])


def packed_cte(name: str, columns: Sequence[str], rows: ColumnElement[str]) -> CTE:
    """The same table out of one text (``packed``): a bind that each execution may give anew."""
    one = _JsonRows(rows, type_=Text()).table_valued("value", name=f"{name}_packed")
    cells = (_JsonCell(one.c.value, literal_column(str(at)), type_=BigInteger()) for at in range(len(columns)))
    unpacked = select(*(cell.label(each) for cell, each in zip(cells, columns, strict=True)))
    return unpacked.cte(name).prefix_with("MATERIALIZED")


def least_of(first: ColumnElement[Any], *more: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """Give the smallest of several values of one row, of the type of the first; NULL where any of them is NULL."""
    return _Least(first, *(_as_value(each, first) for each in more), type_=first.type)


def greatest_of(first: ColumnElement[Any], *more: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """Give the greatest of several values of one row, of the type of the first; NULL where any of them is NULL."""
    return _Greatest(first, *(_as_value(each, first) for each in more), type_=first.type)


def spelled_in(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """SQL: the column is one of these few. ``IN`` is written anew at every execution; this is written once."""
    return or_(*(column == each for each in values))


def row_by_row(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """SQL: the same condition, for which no index is read: it holds for many more rows than those at hand."""
    return case((condition, 1), else_=0) == 1


def json_text(document: ColumnElement[Any], key: str) -> ColumnElement[str]:
    """Give the value at ``key`` of a JSON object as text: booleans ``true`` and ``false``, NULL where there is none.

    Lists and objects come as JSON in the database's own spacing: do not compare them.
    Raises ``ValueError`` for a key with a quotation mark or a backslash: SQLite's paths have no way to write one.
    """
    return _JsonText(*_at_key(document, key), type_=Text())


def _at_key(document: ColumnElement[Any], key: str) -> tuple[ColumnElement[Any], ...]:
    """The document, the key (PostgreSQL) and the path (SQLite)."""
    if '"' in key or "\\" in key:
        raise ValueError("a key of a JSON column holds no quotation mark and no backslash")
    return document, literal(key, Text), literal(f'$."{key}"', Text)


def json_number(document: ColumnElement[Any], key: str) -> ColumnElement[float]:
    """Give the number at ``key`` of a JSON object; NULL where there is none, or something that is no number.

    Raises ``ValueError`` as ``json_text`` does.
    """
    return _JsonNumber(*_at_key(document, key), type_=Double())


def _as_value(value: ColumnElement[Any] | Any, like: ColumnElement[Any]) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, like.type)


class _Numbers(Values):
    """``VALUES`` of whole numbers whose statement is compiled once: SQLAlchemy itself keeps none that holds plain data.

    The numbers are binds of the cache's key, so that the next statement of this shape only brings its own.
    """

    _traverse_internals = [  # noqa: RUF012 (SQLAlchemy's own way to say what a statement is made of)
        ("_column_args", InternalTraversal.dp_clauseelement_list),
        ("_numbers", InternalTraversal.dp_clauseelement_list),
        ("name", InternalTraversal.dp_string),
    ]

    def __init__(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
        super().__init__(*(column(each, BigInteger) for each in columns), name=name)
        self._numbers = [literal(number, BigInteger) for row in rows for number in row]

    @property
    def _data(self) -> Any:  # type: ignore[override]  # read there, and written by Values.data only
        """The rows, as the compiler of ``Values`` wants them."""
        wide = len(self._column_args)
        return ([tuple(self._numbers[at : at + wide]) for at in range(0, len(self._numbers), wide)],)


class _Ours(FunctionElement[Any]):
    """A function that each dialect spells in its own way, below."""

    word: str
    inherit_cache = True

    def __init__(self, *arguments: ColumnElement[Any], type_: TypeEngine[Any]) -> None:
        super().__init__(*arguments)
        self.type = type_


class _Least(_Ours):
    word = "least_of"
    inherit_cache = True


class _Greatest(_Ours):
    word = "greatest_of"
    inherit_cache = True


class _JsonText(_Ours):
    word = "json_text"
    inherit_cache = True


class _JsonNumber(_Ours):
    word = "json_number"
    inherit_cache = True


class _JsonRows(_Ours):
    """The elements of a JSON list, as rows of one column ``value``."""

    word = "json_rows"
    inherit_cache = True


class _JsonCell(_Ours):
    """The whole number at a place of a JSON list."""

    word = "json_cell"
    inherit_cache = True


@compiles(_Ours)
def _unknown_dialect(element: _Ours, compiler: SQLCompiler, **_: Any) -> str:
    raise CompileError(f"{element.word} is not spelled out for {compiler.dialect.name}: see engine/database/sql.py")


@compiles(_Least, "sqlite")
def _least_sqlite(element: _Least, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.min(*element.clauses), **options)


@compiles(_Greatest, "sqlite")
def _greatest_sqlite(element: _Greatest, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.max(*element.clauses), **options)


def _if_all_known(element: _Ours, result: ColumnElement[Any]) -> ColumnElement[Any]:
    """PostgreSQL's GREATEST and LEAST pass over NULL; SQLite's max and min do not."""
    return case((and_(*(each.is_not(None) for each in element.clauses)), result))


@compiles(_Least, "postgresql")
def _least_postgresql(element: _Least, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(_if_all_known(element, func.least(*element.clauses)), **options)


@compiles(_Greatest, "postgresql")
def _greatest_postgresql(element: _Greatest, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(_if_all_known(element, func.greatest(*element.clauses)), **options)


@compiles(_JsonText, "sqlite")
def _json_text_sqlite(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    document, _, path = element.clauses
    booleans: dict[str, Any] = {
        "true": literal_column("'true'"),
        "false": literal_column("'false'"),
    }  # json_extract gives 1 and 0
    value = cast(func.json_extract(document, path), Text)
    return compiler.process(case(booleans, value=func.json_type(document, path), else_=value), **options)


@compiles(_JsonText, "postgresql")
def _json_text_postgresql(element: _JsonText, compiler: SQLCompiler, **options: Any) -> str:
    document, key, _ = element.clauses
    return compiler.process(document.op("->>")(key).self_group(), **options)


@compiles(_JsonNumber, "sqlite")
def _json_number_sqlite(element: _JsonNumber, compiler: SQLCompiler, **options: Any) -> str:
    document, _, path = element.clauses
    number = func.json_type(document, path).in_((literal_column("'integer'"), literal_column("'real'")))
    return compiler.process(case((number, func.json_extract(document, path))), **options)


@compiles(_JsonNumber, "postgresql")
def _json_number_postgresql(element: _JsonNumber, compiler: SQLCompiler, **options: Any) -> str:
    document, key, _ = element.clauses
    number = func.json_typeof(document.op("->")(key)) == literal_column("'number'")
    return compiler.process(case((number, cast(document.op("->>")(key), Double))), **options)


@compiles(_JsonRows, "sqlite")
def _json_rows_sqlite(element: _JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.json_each(*element.clauses), **options)


@compiles(_JsonRows, "postgresql")
def _json_rows_postgresql(element: _JsonRows, compiler: SQLCompiler, **options: Any) -> str:
    (rows,) = element.clauses
    return compiler.process(func.json_array_elements(cast(rows, JSON)), **options)


@compiles(_JsonCell, "sqlite")
def _json_cell_sqlite(element: _JsonCell, compiler: SQLCompiler, **options: Any) -> str:
    row, at = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({row}, '$[{at}]')"


@compiles(_JsonCell, "postgresql")
def _json_cell_postgresql(element: _JsonCell, compiler: SQLCompiler, **options: Any) -> str:
    row, at = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST({row} ->> {at} AS BIGINT)"


def upsert(conn: Connection, table: Table) -> Any:
    """``INSERT`` into ``table`` that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``.

    Raises:
        CompileError: the dialect is neither SQLite nor PostgreSQL.
    """
    if conn.dialect.name == "sqlite":
        return sqlite_insert(table)
    if conn.dialect.name == "postgresql":
        return postgresql_insert(table)
    raise CompileError(f"upsert is not spelled out for {conn.dialect.name}: see engine/database/sql.py")


#: The lock of importers on PostgreSQL: any number that nobody else uses.
_IMPORTERS = 7_273_485_827


def one_importer(conn: Connection) -> None:
    """Let no two imports write at once, until the transaction ends; SQLite has one writer anyway.

    Raises:
        CompileError: the dialect is neither SQLite nor PostgreSQL.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_IMPORTERS)))
    elif conn.dialect.name != "sqlite":
        raise CompileError(f"one_importer is not spelled out for {conn.dialect.name}: see engine/database/sql.py")
