"""The few things that dialects spell differently, and the types that are ours.

An unknown dialect raises: a wrong guess about a date or a lock would be silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    Integer,
    Join,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
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
from sqlalchemy.types import TypeDecorator, TypeEngine

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


def least_of(first: ColumnElement[Any], *more: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """Give the smallest of several values of one row, of the type of the first; NULL where any of them is NULL."""
    return _Least(first, *(_as_value(each, first) for each in more), type_=first.type)


def greatest_of(first: ColumnElement[Any], *more: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """Give the greatest of several values of one row, of the type of the first; NULL where any of them is NULL."""
    return _Greatest(first, *(_as_value(each, first) for each in more), type_=first.type)


def written_out(number: int) -> ColumnElement[int]:
    """SQL: a whole number that is no bind, also where one statement is executed with many rows of binds."""
    return literal_column(str(int(number)), BigInteger)


def spelled_in(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """SQL: the column is one of these few. ``IN`` is written anew at every execution; this is written once."""
    return or_(*(column == each for each in values))


@cache
def alias_of(of: Table, name: str) -> FromClause:
    """Give the table under another name: made once, for to copy its columns takes longer than a daily run's statement.

    For sub-queries that never stand inside one another under the same name.
    """
    return of.alias(name)


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


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: the column, but SQLite finds no rows by its index: something else finds fewer. PostgreSQL counts better."""
    return _Unindexed(column, type_=column.type)


def writer(last_run: ColumnElement[int]) -> ColumnElement[int]:
    """SQL: who writes: the number of the transaction (PostgreSQL); the last run where there is one writer (SQLite)."""
    return _Writer(last_run, type_=BigInteger())


def oldest_under_way(last_run: ColumnElement[int]) -> ColumnElement[int]:
    """SQL: the lowest ``writer`` whose changes this transaction may not see yet."""
    return _OldestUnderWay(last_run, type_=BigInteger())


class PerDialect(FunctionElement[Any]):
    """A function that each dialect spells in its own way, below."""

    word: str
    inherit_cache = True

    def __init__(self, *arguments: ColumnElement[Any], type_: TypeEngine[Any]) -> None:
        super().__init__(*arguments)
        self.type = type_


class _Least(PerDialect):
    word = "least_of"
    inherit_cache = True


class _Greatest(PerDialect):
    word = "greatest_of"
    inherit_cache = True


class _JsonText(PerDialect):
    word = "json_text"
    inherit_cache = True


class _JsonNumber(PerDialect):
    word = "json_number"
    inherit_cache = True


class _InTurn(Join):
    """A join whose left side is found first."""

    inherit_cache = True


def in_turn(first: FromClause, then: FromClause, on: ColumnElement[bool]) -> Join:
    """Join what is found first with a table that is looked at for each of it: the databases keep this order.

    SQLite knows nothing of how many rows a table has that travels in the statement, and PostgreSQL nothing of how many
    of them fit: it would look at every order once for each zone (measured at a million guests: 2 to 5 times slower).
    ``then`` is a table, an alias or a CTE; PostgreSQL is told of a CTE only.
    """
    return _InTurn(first, then, on)


@compiles(_InTurn, "sqlite")
def _in_turn_sqlite(element: _InTurn, compiler: SQLCompiler, **options: Any) -> str:
    joined = str(compiler.visit_join(element, **options))  # type: ignore[no-untyped-call]
    then = compiler.process(element.right, **{**options, "asfrom": True})
    return joined.replace(f" JOIN {then} ON ", f" CROSS JOIN {then} ON ", 1)


@compiles(_InTurn, "postgresql")
def _in_turn_postgresql(element: _InTurn, compiler: SQLCompiler, **options: Any) -> str:
    joined = str(compiler.visit_join(element, **options))  # type: ignore[no-untyped-call]
    if element.onclause is None or not isinstance(element.right, CTE):  # of a table it knows how many rows there are
        return joined
    then = compiler.process(element.right, **{**options, "asfrom": True})
    on = compiler.process(element.onclause, **{**options, "asfrom": False})
    # OFFSET 0: what stands within is looked at for each row of the first, and not before it.
    within = f"SELECT * FROM {then} WHERE {on} OFFSET 0"  # noqa: S608 (put together by the compiler)
    name = compiler.preparer.quote(element.right.name)
    return joined.replace(f" JOIN {then} ON {on}", f" JOIN LATERAL ({within}) AS {name} ON true", 1)


class _Unindexed(PerDialect):
    word = "unindexed"
    inherit_cache = True


class _Writer(PerDialect):
    word = "writer"
    inherit_cache = True


class _OldestUnderWay(PerDialect):
    word = "oldest_under_way"
    inherit_cache = True


@compiles(PerDialect)
def _unknown_dialect(element: PerDialect, compiler: SQLCompiler, **_: Any) -> str:
    raise CompileError(f"{element.word} is not spelled out for {compiler.dialect.name}: see engine/database/sql.py")


@compiles(_Least, "sqlite")
def _least_sqlite(element: _Least, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.min(*element.clauses), **options)


@compiles(_Greatest, "sqlite")
def _greatest_sqlite(element: _Greatest, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(func.max(*element.clauses), **options)


def _if_all_known(element: PerDialect, result: ColumnElement[Any]) -> ColumnElement[Any]:
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


@compiles(_Unindexed, "sqlite")
def _unindexed_sqlite(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return f"+{compiler.process(column, **options)}"


@compiles(_Unindexed, "postgresql")
def _unindexed_postgresql(element: _Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return compiler.process(column, **options)


@compiles(_Writer, "sqlite")
@compiles(_OldestUnderWay, "sqlite")
def _tick_sqlite(element: PerDialect, compiler: SQLCompiler, **options: Any) -> str:
    (last_run,) = element.clauses
    return compiler.process(last_run, **options)


@compiles(_Writer, "postgresql")
def _writer_postgresql(_: _Writer, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(cast(cast(func.pg_current_xact_id(), Text), BigInteger), **options)


@compiles(_OldestUnderWay, "postgresql")
def _oldest_postgresql(_: _OldestUnderWay, compiler: SQLCompiler, **options: Any) -> str:
    oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
    return compiler.process(cast(cast(oldest, Text), BigInteger), **options)


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
