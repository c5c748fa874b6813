"""What the databases must be told about the way they go about a statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from sqlalchemy import Connection, Select, bindparam, func, select, true

_WHOLE: Final[tuple[str, ...]] = ("enable_seqscan",)
_AT_ONCE: Final[tuple[str, ...]] = (*_WHOLE, "enable_hashjoin", "enable_mergejoin", "enable_material")
_ASKED: Final = select(*(func.current_setting(name).label(name) for name in _AT_ONCE))
#: In ``Connection.info``: how the database is set for this connection.
_AS_IT_IS: Final = "planning as it is"


def _set(names: Sequence[str]) -> Select[tuple[str, ...]]:
    # true: for this transaction
    return select(*(func.set_config(name, bindparam(name), true()).label(f"{name}_now") for name in names))


_SET: Final = {names: _set(names) for names in (_WHOLE, _AT_ONCE)}


def by_index(conn: Connection) -> AbstractContextManager[None]:
    """Let PostgreSQL read no table from end to end meanwhile where an index would do.

    It checks each row's foreign keys by a plan that it made when the table was as good as empty, and keeps: the first
    run of a home would read all matches for each dispatch of them (measured: 90 times slower with 10,000 matches).
    """
    return _without(conn, _WHOLE)


def one_by_one(conn: Connection) -> AbstractContextManager[None]:
    """Let PostgreSQL look up each of few rows meanwhile, where it would prepare a whole table to meet them.

    It takes the few for many, or a page that lies in memory for one on the disk, and reads all guests (measured at a
    million of them: 2 to 10 times slower than to look up those who have moved since yesterday).
    """
    return _without(conn, _AT_ONCE)


@contextmanager
def _without(conn: Connection, names: tuple[str, ...]) -> Iterator[None]:
    if conn.dialect.name != "postgresql":
        yield
        return
    before: Mapping[str, str] | None = conn.info.get(_AS_IT_IS)
    if before is None:
        before = conn.info[_AS_IT_IS] = dict(conn.execute(_ASKED).mappings().one())
    conn.execute(_SET[names], dict.fromkeys(names, "off"))
    yield  # after an error the transaction is rolled back, and this with it
    conn.execute(_SET[names], {name: before[name] for name in names})
