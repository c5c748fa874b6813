"""What only PostgreSQL is told of an index or a table, kept until such a database is opened.

To check the names of such options SQLAlchemy loads the dialect with all its drivers: 25 ms of a command on SQLite.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ClauseElement, Index, Table

_Thing = TypeVar("_Thing", Index, Table)

#: None: PostgreSQL was opened, nothing needs to be kept any more.
_kept: list[tuple[Index | Table, dict[str, Any]]] | None = []


def on_postgresql(thing: _Thing, **options: Any) -> _Thing:
    """Give the index or table back; its ``options``, without ``postgresql_`` before them, count on PostgreSQL."""
    if _kept is None:
        _tell(thing, options)
    else:
        _kept.append((thing, options))
    return thing


def partial_index(name: str, *columns: str, where: ClauseElement) -> Index:
    """Give an index of those rows alone of which ``where`` is true, on both databases."""
    return on_postgresql(Index(name, *columns, sqlite_where=where), where=where)


def tell_postgresql() -> None:
    """Let the options count from now on: before a PostgreSQL database is opened."""
    global _kept
    kept, _kept = _kept, None
    for thing, options in kept or ():
        _tell(thing, options)


def _tell(thing: Index | Table, options: dict[str, Any]) -> None:
    thing.dialect_kwargs.update({f"postgresql_{name}": value for name, value in options.items()})
