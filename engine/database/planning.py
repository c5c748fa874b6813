"""What the databases must be told about the way they go about a statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from sqlalchemy import Connection, Select, bindparam, func, select, true

_WHOLE: Final[tuple[str, ...]] = ("enable_seqscan",)
_BY_LIST: Final[tuple[str, ...]] = (*_WHOLE, "plan_cache_mode")
_AT_ONCE: Final[tuple[str, ...]] = (*_WHOLE, "enable_hashjoin", "enable_mergejoin", "enable_material")
#: A commit waits for the disk. One that does not is there for everybody at once, and on the disk with the next that
#: does, whoever makes it: what is sent was claimed by one that waited, so nothing goes out that a crash takes back.
_WAITS: Final = "synchronous_commit"
_ASKED: Final = select(*(func.current_setting(name).label(name) for name in {*_AT_ONCE, *_BY_LIST}))
#: What is not set to ``off``.
_OTHER: Final = {"plan_cache_mode": "force_custom_plan"}
#: In ``Connection.info``: how the database is set for this connection.
_AS_IT_IS: Final = "planning as it is"


def _set(names: Sequence[str]) -> Select[tuple[str, ...]]:
    # true: for this transaction
    return select(*(func.set_config(name, bindparam(name), true()).label(f"{name}_now") for name in names))


_SET: Final = {names: _set(names) for each in (_WHOLE, _BY_LIST, _AT_ONCE) for names in (each, (*each, _WAITS))}


def by_index(conn: Connection, *, followed: bool = False) -> AbstractContextManager[None]:
    """Let PostgreSQL read no table from end to end meanwhile where an index would do.

    It checks each row's foreign keys by a plan that it made when the table was as good as empty, and keeps: the first
    run of a home would read all matches for each dispatch of them (measured: 90 times slower with 10,000 matches).
    ``followed``: the transaction ends with it, and one of the same run comes after it that waits for the disk: so
    nothing is set back, and this one's commit waits for nothing.
    """
    return _without(conn, _WHOLE, followed=followed)


def by_list(conn: Connection) -> AbstractContextManager[None]:
    """Let PostgreSQL plan anew for each list of a statement meanwhile, and read nothing whole where an index would do.

    From its sixth time on a statement is planned for any list, which is taken for one of ten numbers; and of a table
    without statistics a list of some hundred guests is taken for most of it.
    """
    return _without(conn, _BY_LIST, followed=False)


def one_by_one(conn: Connection, *, followed: bool = False) -> AbstractContextManager[None]:
    """Let PostgreSQL look up each of few rows meanwhile, where it would prepare a whole table to meet them.

    It takes the few for many, or a page that lies in memory for one on the disk, and reads all guests (measured at a
    million of them: 2 to 10 times slower than to look up those who have moved since yesterday). ``followed``: as above.
    """
    return _without(conn, _AT_ONCE, followed=followed)


@contextmanager
def _without(conn: Connection, names: tuple[str, ...], *, followed: bool) -> Iterator[None]:
    if conn.dialect.name != "postgresql":
        yield
        return
    if followed:
        conn.execute(_SET[*names, _WAITS], _values((*names, _WAITS)))
        yield
        return
    before: Mapping[str, str] | None = conn.info.get(_AS_IT_IS)
    if before is None:
        before = conn.info[_AS_IT_IS] = dict(conn.execute(_ASKED).mappings().one())
    conn.execute(_SET[names], _values(names))
    yield  # after an error the transaction is rolled back, and this with it
    conn.execute(_SET[names], {name: before[name] for name in names})


def _values(names: Sequence[str]) -> dict[str, str]:
    return {name: _OTHER.get(name, "off") for name in names}
