"""The partial indexes of the outbox: of which states they are, and how a query says that it asks for some of these.

A ledger of years is read by these alone: what waits, what is under way and what waits for a person is a small part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Index, and_, bindparam, column

#: What is not yet begun: by when it is too late.
WAITING: Final = ("held", "pending")
#: What a worker has, by its lease; and what a person may be asked about.
TAKEN: Final = ("claimed", "dead", "handoff", "uncertain")


def holds(states: Sequence[str]) -> str:
    """Say, as an index does, of which rows it is."""
    return f"state IN ({', '.join(map(repr, states))})"


def known(name: str, *columns: str, of: str | None = None) -> Index:
    """Give an index of the rows alone in which a column says something (``of``, or its last): no others are entered.

    A query reads it that compares this column, or says that it is not NULL; what else is asked for is found elsewhere.
    """
    where = column(of or columns[-1]).is_not(None)
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


def in_index_of(state: ColumnElement[str], states: Sequence[str]) -> ColumnElement[bool]:
    """SQL: the row is in that index, said beside the very state that is asked for.

    SQLite reads a partial index only where the query says of the column what the index says, in the same words.
    """
    return state.in_(bindparam(None, list(states), expanding=True, literal_execute=True))


def is_in(state: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    """SQL: the row is in that state; it is looked for in the index that is of it, if one is."""
    index = next((states for states in (WAITING, TAKEN) if wanted in states), None)
    return state == wanted if index is None else and_(in_index_of(state, index), state == wanted)
