"""Many rows' values in one execution of a statement: PostgreSQL takes them as arrays, one for each column.

Executed for each row by itself, a statement costs the driver as much for each as the server needs to carry it out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, String, Text, bindparam, column, func
from sqlalchemy.types import TypeEngine


def takes_arrays(conn: Connection) -> bool:
    """Tell whether the database can do so; SQLite is asked row by row, in the same process."""
    return conn.dialect.name == "postgresql"


def any_of(name: str, its_type: TypeEngine[Any]) -> ColumnElement[Any]:
    """SQL: any of a list that is bound as one value; to be compared with ``==``."""
    return func.any(bindparam(name, type_=ARRAY(its_type)))


def alike(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Give the names whose values are the same in all rows, of which there is at least one."""
    first, *others = rows
    return frozenset(name for name, value in first.items() if all(each[name] == value for each in others))


def as_columns(types: Mapping[str, TypeEngine[Any]], same: Collection[str]) -> dict[str, ColumnElement[Any]]:
    """SQL: what stands for each row's values in a statement; those that are the ``same`` in all are plain binds.

    ``as_values`` gives what is bound.
    """
    listed = {
        name: Text() if isinstance(its_type, String) else its_type
        for name, its_type in types.items()
        if name not in same
    }
    columns = {name: bindparam(f"its_{name}", type_=its_type) for name, its_type in types.items() if name in same}
    if not listed:
        return {**columns}
    arrays = [bindparam(f"its_{name}", type_=ARRAY(its_type)) for name, its_type in listed.items()]
    names = [column(name, its_type) for name, its_type in listed.items()]
    given = func.unnest(*arrays).table_valued(*names)
    return {**columns, **given.render_derived("given").c}


def as_values(rows: Sequence[Mapping[str, Any]], same: Collection[str]) -> dict[str, Any]:
    """Give what is bound for these rows."""
    return {f"its_{name}": value if name in same else [each[name] for each in rows] for name, value in rows[0].items()}
