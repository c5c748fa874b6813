"""How a database is opened, and what to say when it cannot be used.

SQLite runs in autocommit mode and every transaction is begun by us: left to itself Python's driver opens none before a
leading ``WITH ... INSERT``, so that a rollback keeps the rows (measured: 5 of 5 survived).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    func,
    make_url,
    select,
    true,
)
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from engine.database.complaints import DatabaseUnavailable, explain, note_role

__all__ = [
    "ANSWER",
    "DOZING",
    "PATIENCE",
    "DatabaseUnavailable",
    "break_off",
    "broken_references",
    "empty_the_log",
    "explain",
    "followed",
    "hang_up",
    "integrity",
    "journal_mode",
    "open_db",
    "reading",
    "room",
    "sleep_on",
    "snapshot",
    "takes_writers",
    "without_foreign_keys",
]

#: How long a writer waits for another one before it gives up, and a caller for a server to answer: in seconds.
PATIENCE = 10

#: From so many bytes on SQLite writes its log back into the file, and to so many it cuts it when it begins it anew. By
#: default it writes back after 4 MB: the rules of one run touch the same pages of an index one after another, and each
#: page was written back for each (a run at a million guests: half of its commits' time).
_LOG = 64 * 1024 * 1024
#: So many bytes of pages a connection keeps where nobody asks for more (``room``). A sort may take as much again: with
#: 32 MB a run that matches a million guests took 105 MB of memory, and twice what a tenth of the matches took.
_PAGES = 4 * 1024 * 1024

#: So many seconds PostgreSQL has to take in that it is to break off.
_TOLD = 5

#: An engine's option, and in ``Connection.info`` whether its commits wait for the disk.
_FOLLOWED, _WAITS = "regulars_followed", "waits for the disk"

#: Written as it is: SQLite does not find a key that is escaped, and an erasure can look for what it erases.
_json = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))

#: After so many seconds in the pool a connection is asked whether it still lives: the answer costs as long as half a
#: transaction, and a worker begins several for each message.
DOZING = 5
#: So many seconds a command for which a person waits gives the database for one answer.
ANSWER = 60

#: The fence, the caps and the facts rest on READ COMMITTED with explicit row locks, whatever the server's default is.
#: A lock is waited for as long as on SQLite: the fence holds a mail server's line open meanwhile. What is committed is
#: on the disk: else a crash of the server would take back what has gone out. Who falls asleep in a transaction, or is
#: gone with its whole machine, keeps no lock for long: ten minutes, and two.
_POSTGRESQL_OPTIONS = (
    r"-c jit=off -c timezone=UTC -c default_transaction_isolation=read\ committed"
    f" -c lock_timeout={PATIENCE}s -c synchronous_commit=on -c idle_in_transaction_session_timeout=600s"
    " -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
)

#: So often a statement is executed before the driver has it prepared; at the fence, where all are the same, once.
_PREPARED = 5
PREPARED_AT_ONCE = 1

#: What psycopg says besides what it raises is no sentence for an owner, and may repeat what stands in a row.
_UNHEARD = logging.NullHandler()


def open_db(url: str, *, answer: int | None = None) -> Engine:
    """Open the database at ``url``: ``sqlite:////absolute/path``, ``sqlite://`` (in memory) or ``postgresql://...``.

    Nothing is connected yet. ``answer``: PostgreSQL ends a statement that takes more seconds; None: as long as the role
    may, which has no limit unless its owner gave it one. Raises ``DatabaseUnavailable`` where the address is none,
    names another kind of database, or the driver is not installed.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise DatabaseUnavailable(
            "The database's address cannot be read. Write sqlite:///regulars.db or "
            "postgresql://user:password@host:5432/database; special characters in a password are written as %40 for @."
        ) from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        return _open_sqlite(parsed)
    if parsed.drivername in {"postgresql", "postgresql+psycopg", "postgres"}:
        return _open_postgresql(parsed.set(drivername="postgresql+psycopg"), answer)
    raise DatabaseUnavailable(
        f"Regulars does not work with {parsed.drivername!r}. It works with SQLite (sqlite:///regulars.db) and with "
        "PostgreSQL (postgresql://user:password@host:5432/database)."
    )


def reading(db: Engine) -> Engine:
    """Give the same database, over the same connections, for transactions that only read.

    On SQLite they take no write lock: a log can be read while a run is writing. On PostgreSQL a write is refused.
    """
    return db.execution_options(regulars_reading=True, postgresql_readonly=True)


def followed(db: Engine) -> Engine:
    """Give the same database for transactions after which this process makes another one, which waits for the disk.

    On SQLite these do not wait themselves: the log is one file, so it lies on the disk up to the last that waits, and a
    crash of the machine before that takes the last of them back, never one without those after it. On PostgreSQL the
    transaction says so itself (``planning``).
    """
    return db.execution_options(**{_FOLLOWED: True})


def takes_writers(db: Engine) -> bool:
    """Tell whether several connections can write at once; on SQLite each waits for the other's commit."""
    return db.dialect.name != "sqlite"


def sleep_on(conn: Connection) -> None:
    """Let this transaction sleep for as long as it must, where it waits for another one of the same process."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", true())))


def break_off(raw: Any) -> None:
    """Have PostgreSQL break off what it does for a driver's connection; to be called by another thread than its own.

    That a statement was broken off is raised where it was asked.
    """
    with suppress(Exception):  # of a server that is gone
        raw.cancel_safe(timeout=_TOLD)


def hang_up(raw: Any) -> None:
    """Close a driver's connection whose server no longer answers, from another thread than its own."""
    with suppress(Exception):
        raw.close()


def snapshot(db: Engine) -> Engine:
    """Give the same database for transactions that only read, and see nothing of what others write meanwhile.

    SQLite's always see one state; PostgreSQL is asked for it.
    """
    only_reading = reading(db)
    if db.dialect.name == "sqlite":
        return only_reading
    return only_reading.execution_options(isolation_level="REPEATABLE READ")


def integrity(conn: Connection) -> list[str] | None:
    """Let SQLite look at every page, index and reference; give what is wrong in its words.

    None for PostgreSQL, which has no such question: there a damaged page is an error of the query that reads it.
    """
    if conn.dialect.name != "sqlite":
        return None
    told = [line for row in conn.exec_driver_sql("PRAGMA integrity_check") for line in str(row[0]).splitlines()]
    wrong = [line for line in told if line != "ok" and not line.startswith("***")]  # a heading
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").all()
    return wrong + [f"row {row[1]} of {row[0]} points at a row of {row[2]} that does not exist" for row in broken]


@contextmanager
def without_foreign_keys(db: Engine) -> Iterator[Connection]:
    """Give a connection with no transaction yet on which SQLite does not watch foreign keys.

    SQLite rebuilds a table to change it, and dropping the old one would delete what points at it. The pragma does
    nothing inside a transaction, so it comes before.
    """
    with db.connect() as conn:
        if db.dialect.name != "sqlite":
            yield conn
            return
        _pragma(conn, "foreign_keys = OFF")
        try:
            yield conn
        finally:
            conn.rollback()
            _pragma(conn, "foreign_keys = ON")


def broken_references(conn: Connection) -> int:
    """Count rows that point at nothing, where the database was told not to watch (SQLite); elsewhere 0."""
    return len(conn.exec_driver_sql("PRAGMA foreign_key_check").all()) if conn.dialect.name == "sqlite" else 0


def journal_mode(conn: Connection) -> str | None:
    """Give how SQLite keeps its journal, which should be ``wal``; None for a database that has no such thing."""
    return str(_pragma(conn, "journal_mode")[0]) if conn.dialect.name == "sqlite" else None


@contextmanager
def room(conn: Connection, size: int) -> Iterator[None]:
    """Let SQLite keep so many bytes of pages meanwhile, then as many as before; each sort may take as much again."""
    if conn.dialect.name != "sqlite":
        yield
        return
    raw: Any = conn.connection.driver_connection
    (before,) = raw.execute("PRAGMA cache_size").fetchone()
    raw.execute(f"PRAGMA cache_size = -{size // 1024}")
    try:
        yield
    finally:
        with suppress(sqlite3.ProgrammingError):  # it was closed meanwhile, and that is told by who used it
            raw.execute(f"PRAGMA cache_size = {before}")


def empty_the_log(db: Engine) -> None:
    """Write SQLite's write-ahead log back and cut it to nothing: what was deleted is then in no file of the home.

    To be called after an erasure has committed. Waits for readers; PostgreSQL keeps old versions of rows until its own
    vacuum. Raises ``DatabaseUnavailable`` where a long reader keeps the log in use.
    """
    if db.dialect.name != "sqlite":
        return
    with db.connect() as conn:
        busy, _, _ = _pragma(conn, "wal_checkpoint(TRUNCATE)")
    if busy:
        raise DatabaseUnavailable(
            "Another program is reading the database, so deleted data is still in the file regulars.db-wal. "
            "Close that program and try again."
        )


def _open_sqlite(url: URL) -> Engine:
    in_memory = url.database in {None, "", ":memory:"}
    # None is the driver's autocommit mode: it begins nothing by itself, and our listener begins everything.
    arguments = {"isolation_level": None, "timeout": PATIENCE, "check_same_thread": False}
    if in_memory:
        db = create_engine(url, connect_args=arguments, json_serializer=_json, poolclass=StaticPool)
    else:
        db = create_engine(url, connect_args=arguments, json_serializer=_json)
    event.listen(db, "connect", _set_up_sqlite)
    event.listen(db, "begin", _begin_sqlite)
    return db


def _set_up_sqlite(raw: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA secure_delete = ON")  # erased names must not stay in free pages
    raw.execute("PRAGMA synchronous = FULL")  # in WAL mode NORMAL loses the last commits on power loss (measured)
    raw.execute("PRAGMA fullfsync = 1")  # on macOS a commit waits for the disk's own cache too
    raw.execute("PRAGMA checkpoint_fullfsync = 1")
    raw.execute(f"PRAGMA journal_size_limit = {_LOG}")
    (page,) = raw.execute("PRAGMA page_size").fetchone()
    raw.execute(f"PRAGMA wal_autocheckpoint = {_LOG // page}")
    raw.execute(f"PRAGMA cache_size = -{_PAGES // 1024}")
    (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    if mode not in {"wal", "memory"}:  # it stays with the file, and a file that is read-only now can still be read
        if raw.execute("PRAGMA page_count").fetchone() == (0,):
            _, _, file = raw.execute("PRAGMA database_list").fetchone()
            Path(file).chmod(0o600)  # guests' names and numbers are nobody else's; the log beside it gets the same
        raw.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(conn: Connection) -> None:
    options = conn.get_execution_options()
    waits = not options.get(_FOLLOWED, False)
    if conn.info.get(_WAITS, True) != waits:
        conn.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")
        conn.info[_WAITS] = waits
    # A transaction that reads first and writes later could not wait for another writer: it would fail at once.
    conn.exec_driver_sql("BEGIN" if options.get("regulars_reading", False) else "BEGIN IMMEDIATE")


def _open_postgresql(url: URL, answer: int | None) -> Engine:
    try:
        import psycopg  # noqa: F401 (only to say plainly what is missing)
    except ImportError:
        raise DatabaseUnavailable(
            "PostgreSQL needs a driver that is not installed: pip install 'regulars[postgres]'"
        ) from None
    own = url.query.get("options", ())  # the owner's come last and so win
    limit = [] if answer is None else [f"-c statement_timeout={answer}s"]
    options = [_POSTGRESQL_OPTIONS, *limit, *([own] if isinstance(own, str) else own)]
    arguments: dict[str, Any] = {"options": " ".join(options)}
    if "application_name" not in url.query:
        arguments["application_name"] = "regulars"
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = PATIENCE
    logging.getLogger("psycopg").addHandler(_UNHEARD)
    db = create_engine(url, connect_args=arguments, json_serializer=_json)
    event.listen(db, "checkin", _lay_down)
    event.listen(db, "checkout", partial(_wake, db))
    event.listen(db, "handle_error", _note_role)
    return db


def _note_role(context: ExceptionContext) -> None:
    if context.connection is not None and not context.connection.invalidated:
        raw: Any = context.connection.connection.driver_connection
        note_role(context.original_exception, raw.info.user)


def _lay_down(raw: Any, entry: ConnectionPoolEntry) -> None:
    if raw is not None:
        # SQLAlchemy says READ WRITE on a connection that was to read only: no replica takes that, and no role that is
        # set to read only would be kept from writing.
        raw.read_only = None
        raw.prepare_threshold = _PREPARED
    entry.info["since"] = time.monotonic()


def _wake(db: Engine, raw: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    """Ask a connection that was idle whether the server still knows it; where not, the pool makes another."""
    if time.monotonic() - entry.info.get("since", time.monotonic()) > DOZING:
        try:
            db.dialect.do_ping(raw)
        except db.dialect.loaded_dbapi.Error:
            raise DisconnectionError from None


def _pragma(conn: Connection, pragma: str) -> Any:
    """Run a pragma outside every transaction; give its first row."""
    cursor = conn.connection.cursor()
    try:
        cursor.execute(f"PRAGMA {pragma}")
        return cursor.fetchone()
    finally:
        cursor.close()
