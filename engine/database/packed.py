"""Small tables of whole numbers that travel with a statement, or lie in a column as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    BindParameter,
    ColumnElement,
    Text,
    Values,
    cast,
    column,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from engine.database.sql import PerDialect

#: Each bind is made, compiled and handed over by itself, which for a table of some hundred rows takes longer than the
#: statement; and only few would have room. The databases need as long for the one text (measured).
_MOST_BINDS = 100
_BIG: Final = BigInteger()


def values_cte(name: str, columns: Sequence[str], rows: Sequence[Sequence[int]]) -> CTE:
    """A small table of whole numbers that travels in the statement: ``name(column, ...) AS (VALUES (...), ...)``.

    Every number is a bind of type BIGINT; where they are many, all travel in one as JSON. No rows make an
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


def json_elements(listed: ColumnElement[str]) -> FunctionElement[Any]:
    """Give the elements of a JSON list, texts or what casts to a number; to be used as ``table_valued``."""
    return _JsonElements(listed, type_=Text())


def json_list(ids: ColumnElement[int]) -> ColumnElement[str]:
    """SQL: whole numbers of several rows as one JSON list."""
    return _JsonList(ids, type_=Text())


def listed(ids: Sequence[int]) -> str:
    """Pack whole numbers into one text, for ``json_elements``."""
    return json.dumps(list(ids), separators=(",", ":"))


class IdList(TypeDecorator[Sequence[int]]):
    """Whole numbers in one bind: a JSON list as text on SQLite, an array on PostgreSQL.

    PostgreSQL would read a text anew for each row that it compares with it (measured: 80 microseconds for 2,000 ids).
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give the dialect's own type."""
        return dialect.type_descriptor(ARRAY(BigInteger) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        """Make of the numbers what the dialect takes."""
        return listed(value or ()) if dialect.name == "sqlite" else list(value or ())


def one_of(number: ColumnElement[int], ids: ColumnElement[Sequence[int]]) -> ColumnElement[bool]:
    """SQL: the number is one of those in a bind (``IdList``): one bind, however many, and each execution has its own.

    PostgreSQL sees a literal array: it knows how many rows to expect, and looks a number up where it reads a table.
    """
    # No Boolean: SQLAlchemy would ask SQLite whether it equals 1, and no index knows that.
    return _OneOf(number, ids, type_=NullType())


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
        super().__init__(*(column(each, _BIG) for each in columns), name=name)
        # One type for all, and no look at what each may be: they are hundreds a rule.
        self._numbers = [BindParameter(None, number, _BIG, unique=True) for row in rows for number in row]

    @property
    def _data(self) -> Any:  # type: ignore[override]  # read there, and written by Values.data only
        """The rows, as the compiler of ``Values`` wants them."""
        wide = len(self._column_args)
        return ([tuple(self._numbers[at : at + wide]) for at in range(0, len(self._numbers), wide)],)


class _JsonRows(PerDialect):
    """The elements of a JSON list, as rows of one column ``value``."""

    word = "json_rows"
    inherit_cache = True


class _JsonCell(PerDialect):
    """The whole number at a place of a JSON list."""

    word = "json_cell"
    inherit_cache = True


class _JsonElements(PerDialect):
    word = "json_elements"
    inherit_cache = True


class _JsonList(PerDialect):
    word = "json_list"
    inherit_cache = True


class _OneOf(PerDialect):
    word = "one_of"
    inherit_cache = True


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


@compiles(_JsonElements, "sqlite")
def _json_elements_sqlite(element: _JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.json_each(*element.clauses), **options)


@compiles(_JsonElements, "postgresql")
def _json_elements_postgresql(element: _JsonElements, compiler: SQLCompiler, **options: Any) -> str:
    (listed,) = element.clauses
    return compiler.process(func.json_array_elements_text(cast(listed, JSON)), **options)


@compiles(_JsonList, "sqlite")
def _json_list_sqlite(element: _JsonList, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.json_group_array(*element.clauses), **options)


@compiles(_JsonList, "postgresql")
def _json_list_postgresql(element: _JsonList, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(cast(func.json_agg(*element.clauses), Text), **options)


@compiles(_OneOf, "sqlite")
def _one_of_sqlite(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    number, ids = element.clauses
    values = func.json_each(ids).table_valued("value")
    # As it comes a value has no type, and SQLite would walk through the table and compare.
    return compiler.process(number.in_(select(cast(values.c.value, BigInteger))), **options)


@compiles(_OneOf, "postgresql")
def _one_of_postgresql(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    number, ids = element.clauses
    return compiler.process(number == func.any(ids), **options)
