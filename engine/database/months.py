"""The ledger by months: what was decided in one month is kept together, and goes together.

Three tables grow with every message: the outbox, its trail, and what providers told later. Each of their rows bears the
month of its match, so a month is whole: on PostgreSQL it is a partition of each of the three, and to forget it is to
drop them; on SQLite they are plain tables. A partition is made ahead of its month; a row whose month has none yet goes
to the partition by default, and into its own as soon as that is made, so no insert ever fails.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Pool,
    PrimaryKeyConstraint,
    String,
    Table,
    and_,
    bindparam,
    column,
    event,
    false,
    func,
    literal,
    or_,
    select,
    table,
    union,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

#: What a table of the ledger is given; SQLite knows nothing of it.
BY_MONTH: Final[dict[str, Any]] = {"postgresql_partition_by": "RANGE (month)"}
LEDGER: Final = ("audit", "delivery_events", "dispatches")
#: So many months after the present one have their partitions already.
AHEAD: Final = 2

#: What PostgreSQL is told of each partition: it passes nothing of this on from the whole. Every step of a message is a
#: new version of its row, in the same page where there is room: the outbox keeps a third of each free (its moves are
#: never HOT, for its indexes know the state), and is vacuumed while its dead rows are few. The trail is only added to.
_STORAGE: Final = {
    "dispatches": (
        "fillfactor=70, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=1000, "
        "autovacuum_analyze_scale_factor=0.02, autovacuum_analyze_threshold=1000, autovacuum_vacuum_cost_delay=1"
    ),
    "audit": "autovacuum_vacuum_insert_scale_factor=0.1, autovacuum_analyze_scale_factor=0.05",
    "delivery_events": "autovacuum_vacuum_insert_scale_factor=0.1, autovacuum_analyze_scale_factor=0.05",
}
#: Any constant of ours: two that make months at once take turns.
_LOCK: Final = 7_346_858_275
_FIRST_OF_YEAR, _LAST_OF_YEAR, _A_YEAR = 1, 12, 100


def month_of(at: datetime | int) -> int:
    """Give the month in which an instant (aware, or epoch seconds) lies in UTC: 202611."""
    moment = datetime.fromtimestamp(at, UTC) if isinstance(at, int) else at.astimezone(UTC)
    return moment.year * _A_YEAR + moment.month


def following(month: int) -> int:
    """Give the month after one."""
    return month + 1 if month % _A_YEAR < _LAST_OF_YEAR else (month // _A_YEAR + 1) * _A_YEAR + _FIRST_OF_YEAR


def begins(month: int) -> datetime:
    """Give the first instant of a month."""
    return datetime(month // _A_YEAR, month % _A_YEAR, 1, tzinfo=UTC)


def ends(month: int) -> datetime:
    """Give the first instant after a month."""
    return begins(following(month))


def is_month(its: ColumnElement[int], *months: int) -> ColumnElement[bool]:
    """SQL: a row's month is (one of) these. They are written out, not bound: so PostgreSQL opens their partitions only.

    With a bind a prepared statement locks every partition before it knows which one it needs.
    """
    which = [its == bindparam(None, month, Integer, literal_execute=True) for month in sorted(set(months))]
    return which[0] if len(which) == 1 else or_(false(), *which)


def the_month(name: str = "month") -> ColumnElement[int]:
    """SQL: the month that each execution of a statement names, as ``is_month`` spells one."""
    return bindparam(name, type_=Integer, literal_execute=True)


def in_the_month(its: ColumnElement[int], name: str = "month") -> ColumnElement[bool]:
    """SQL: a row is of ``the_month``, for what is looked up by another key: no index is gone through for the month.

    A vacuum that comes by while a run fills its month takes the partition for empty, and then each index seems to cost
    the same: PostgreSQL went through that of the numbers for each match, and one rule's statement of a preview of a
    million guests was not done after fourteen minutes. An OR leaves partitions out, but is no condition of one index.
    """
    month = the_month(name)
    return or_(its == month, and_(its > month, its < month + 1))


def of_its_moment(context: Any) -> int:
    """Give the month of a row that is of no dispatch: that of its own ``at``. For a column's default."""
    return month_of(context.get_current_parameters()["at"])


def make_months(conn: Connection, at: datetime, *, ahead: int = AHEAD) -> list[int]:
    """Make the partitions of the month of ``at`` and of so many after it, as far as they are missing; give which.

    Commits nothing. What stood in the partition by default moves into its own. A role that may not make tables makes
    none: the owner does it (``regulars months``), and the rows wait in the partition by default. SQLite has none.
    """
    if conn.dialect.name != "postgresql":
        return []
    wanted = [month_of(at)]
    while len(wanted) <= ahead:
        wanted.append(following(wanted[-1]))
    if not _missing(conn, wanted) or not may_make(conn):
        return []
    conn.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    missing = _missing(conn, wanted)
    for name, month in missing:
        conn.execute(_Create(name, month))
        conn.execute(_MoveIn(name, month))
        conn.execute(_Attach(name, month))
    return sorted({month for _, month in missing})


def drop_month(conn: Connection, month: int) -> None:
    """Drop the partitions of a month, and with them all that they hold; PostgreSQL only."""
    for name in LEDGER:
        conn.execute(_Drop(name, month))


def partitions(conn: Connection, name: str = "dispatches") -> list[int]:
    """Give the months that have a partition of their own, oldest first; none on SQLite."""
    if conn.dialect.name != "postgresql":
        return []
    found = conn.scalars(select(_classes.c.relname).where(_classes.c.oid.in_(_parts(name))))
    return sorted(int(each.rpartition("_")[2]) for each in found if not each.endswith("_default"))


def waiting_months(conn: Connection, *, age: float) -> tuple[int, ...] | None:
    """Give the months in which something is pending, as this connection saw it at most ``age`` seconds ago.

    None on SQLite, where it makes no difference. To plan a claim over two years of partitions takes PostgreSQL fifty
    times as long as to carry it out; over those in which something waits, hardly any time.
    """
    if conn.dialect.name != "postgresql":
        return None
    then, months = conn.info.get(_WAITING, (0.0, ()))
    if time.monotonic() - then > age or not months or then <= _LOOK_ANEW.get(conn.engine.pool, then - 1):
        d = _outbox.c
        each = [
            select(literal(month).label("month")).where(
                select(d.month).where(is_month(d.month, month), d.state == _PENDING).exists()
            )
            for month in partitions(conn)
        ]
        astray = select(_default_outbox.c.month).where(_default_outbox.c.state == _PENDING).distinct()
        then, months = time.monotonic(), tuple(sorted(conn.scalars(union(*each, astray))))
        conn.info[_WAITING] = (then, months)
    return tuple(months)


def look_anew(db: Engine) -> None:
    """Let no connection go by the months that it saw something waiting in before now."""
    _LOOK_ANEW[db.pool] = time.monotonic()


def waits_for_its_own(conn: Connection, month: int) -> bool:
    """Tell whether something of a month stands in PostgreSQL's partition by default, as its own was never made."""
    if conn.dialect.name != "postgresql":
        return False
    its = _default_outbox.c.month
    return conn.scalar(select(its).where(its == month).limit(1)) is not None


def may_make(conn: Connection) -> bool:
    """Tell whether this PostgreSQL role may make and drop partitions: only the owner of the tables may."""
    return bool(conn.scalar(select(func.pg_has_role(_owner("dispatches"), "USAGE"))))


def analyze(conn: Connection, *names: str) -> None:
    """Let the planner see what tables hold now: nothing does so by itself for a partitioned one, nor in time for a big
    import. Only what belongs to the role is looked at."""  # noqa: D205, D209
    if conn.dialect.name == "postgresql":
        for name in names:
            if conn.scalar(select(func.pg_has_role(_owner(name), "USAGE"))):
                conn.execute(_Analyze(name, 0))


def is_partition(name: str | None) -> bool:
    """Tell whether a table is a part of the ledger's."""
    return any((name or "").startswith(f"{each}_") and (name or "") not in LEDGER for each in LEDGER)


_WAITING: Final = "regulars.waiting_months"
_LOOK_ANEW: Final = WeakKeyDictionary[Pool, float]()
#: Written out, as the index of what is due has it.
_PENDING: Final[ColumnElement[str]] = bindparam("pending", "pending", String, literal_execute=True)
_outbox = table("dispatches", column("month"), column("state"))
_default_outbox = table("dispatches_default", column("month"), column("state"))
_classes = table("pg_class", column("oid"), column("relname"), column("relowner"), column("relnamespace"))
_inherits = table("pg_inherits", column("inhrelid"), column("inhparent"))


def _parts(name: str) -> Any:
    return select(_inherits.c.inhrelid).where(_inherits.c.inhparent == func.to_regclass(name))


def _owner(name: str) -> Any:
    return select(_classes.c.relowner).where(_classes.c.oid == func.to_regclass(name)).scalar_subquery()


def _missing(conn: Connection, months: Sequence[int]) -> list[tuple[str, int]]:
    there = {name: set(partitions(conn, name)) for name in LEDGER}
    return [(name, month) for month in months for name in LEDGER if month not in there[name]]


class _OfMonth(ExecutableDDLElement):
    """A statement about one month's partition of one table."""

    inherit_cache = False

    def __init__(self, name: str, month: int) -> None:
        self.name, self.month = name, month


class _Create(_OfMonth): ...


class _MoveIn(_OfMonth): ...


class _Attach(_OfMonth): ...


class _Drop(_OfMonth): ...


class _Default(_OfMonth): ...


class _Analyze(_OfMonth): ...


@compiles(_Create, "postgresql")
def _create(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    its = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS"
    return f"CREATE TABLE {element.name}_{element.month} (LIKE {element.name} {its}) WITH ({_STORAGE[element.name]})"


@compiles(_MoveIn, "postgresql")
def _move_in(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    gone = f"DELETE FROM {element.name}_default WHERE month = {element.month} RETURNING *"  # noqa: S608 (a name and a number of ours)
    return f"WITH gone AS ({gone}) INSERT INTO {element.name}_{element.month} SELECT * FROM gone"  # noqa: S608


@compiles(_Attach, "postgresql")
def _attach(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    bounds = f"FROM ({element.month}) TO ({following(element.month)})"
    return f"ALTER TABLE {element.name} ATTACH PARTITION {element.name}_{element.month} FOR VALUES {bounds}"


@compiles(_Drop, "postgresql")
def _drop(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    return f"DROP TABLE {element.name}_{element.month}"


@compiles(_Default, "postgresql")
def _default(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    return f"CREATE TABLE {element.name}_default PARTITION OF {element.name} DEFAULT WITH ({_STORAGE[element.name]})"


@compiles(_Analyze, "postgresql")
def _analyze(element: _OfMonth, _compiler: DDLCompiler, **_: Any) -> str:
    return f"ANALYZE {element.name}"


@compiles(PrimaryKeyConstraint, "postgresql")
def _key_with_month(constraint: PrimaryKeyConstraint, compiler: DDLCompiler, **options: Any) -> str:
    """PostgreSQL wants the month in every key of a partitioned table; the sequence alone makes the id unique."""
    written = str(compiler.visit_primary_key_constraint(constraint, **options))
    by_month = constraint.table.dialect_options["postgresql"]["partition_by"]
    return written.replace("(id)", "(id, month)") if by_month else written


def with_default(its: Table) -> Table:
    """Let a table of the ledger be made with its partition by default."""

    def make(_: Table, conn: Connection, **_options: Any) -> None:
        if conn.dialect.name == "postgresql":
            conn.execute(_Default(its.name, 0))

    event.listen(its, "after_create", make)
    return its
