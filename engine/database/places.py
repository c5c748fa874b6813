"""Where a database lives, and how a whole one is copied: what each dialect has of its own for that."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Table, column, func, insert, literal, select, table, update
from sqlalchemy.exc import CompileError

from connectors.disk import sync_file
from engine.database.complaints import DamagedDatabaseError, DatabaseUnavailable
from engine.database.engines import PATIENCE

#: What Linux says of every mounted file system.
MOUNTS = Path("/proc/self/mountinfo")
#: File systems that give a file another number each time that they are mounted; and those of ``fuse``.
_RENUMBERING: Final = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "9p", "virtiofs", "cifs", "smb3", "fuse"})


def file_of(db: Engine) -> Path | None:
    """Give the file of a SQLite database; None for one in memory, and for PostgreSQL."""
    name = db.url.database
    return Path(name) if db.dialect.name == "sqlite" and name and name != ":memory:" else None


def place_of(conn: Connection, machine: str) -> str | None:
    """Give where the database lives, two parts with a colon between; a part that nobody knows is empty.

    SQLite: ``machine`` (which names this computer) and the file's number on its disk, which a file keeps when it is
    moved and no copy has; where a file system gives numbers anew it says nothing. PostgreSQL: the server's and the
    database's own number. None for a database in memory.
    """
    if conn.dialect.name == "sqlite":
        file = file_of(conn.engine)
        return None if file is None else f"{machine}:{_number_of(file)}"
    if conn.dialect.name != "postgresql":
        raise CompileError(f"place_of is not spelled out for {conn.dialect.name}: see engine/database/places.py")
    server = ""
    if conn.scalar(select(func.has_function_privilege("pg_control_system()", "execute"))):
        server = str(conn.scalar(select(func.pg_control_system().table_valued("system_identifier").c[0])))
    databases = table("pg_database", column("oid"), column("datname"))
    number = conn.scalar(select(databases.c.oid).where(databases.c.datname == func.current_database()))
    return f"{server}:{number}"


def _number_of(file: Path) -> str:
    """Give a file's number on its disk; empty where that is not kept."""
    known = file.stat()
    device = f"{os.major(known.st_dev)}:{os.minor(known.st_dev)}" if hasattr(os, "major") else ""
    with contextlib.suppress(OSError, IndexError):
        for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == device and kind.split()[0].partition(".")[0] in _RENUMBERING:
                return ""
    return str(known.st_ino)


def is_same_place(one: str, other: str) -> bool:
    """Tell whether two places may be one: what is not known of either says nothing against it."""
    pairs = zip(one.split(":"), other.split(":"), strict=True)
    return all(not left or not right or left == right for left, right in pairs)


def is_same_machine(one: str, other: str) -> bool:
    """Tell whether two places are surely on one machine, or one server."""
    return bool(one.partition(":")[0]) and one.partition(":")[0] == other.partition(":")[0]


def never_reuse(conn: Connection, its: Table, beyond: int) -> None:
    """Let the ids of a table go on above ``beyond``: those up to it have been given to rows that this database lost."""
    highest = conn.scalar(select(func.max(its.c.id))) or 0
    if conn.dialect.name == "postgresql":
        sequence = func.pg_get_serial_sequence(its.name, "id")
        counted = conn.scalar(select(func.nextval(sequence)))
        conn.execute(select(func.setval(sequence, max(beyond, highest, int(counted or 0)))))
        return
    if conn.dialect.name != "sqlite":
        raise CompileError(f"never_reuse is not spelled out for {conn.dialect.name}: see engine/database/places.py")
    counters = table("sqlite_sequence", column("name"), column("seq"))
    counted = conn.scalar(select(counters.c.seq).where(counters.c.name == its.name))
    if counted is None:
        conn.execute(insert(counters).values(name=literal(its.name), seq=max(beyond, highest)))
    elif counted < beyond:
        conn.execute(update(counters).where(counters.c.name == its.name).values(seq=beyond))


def copy_sqlite(source: Engine, target: Path) -> None:
    """Copy a whole SQLite database, also one in use, into ``target``: a new file, or a database that becomes this.

    What stood in ``target`` is replaced in one transaction. Raises ``DatabaseUnavailable`` where the copy is damaged
    or the target is in use for too long, and the driver's errors, which ``explain`` knows.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT, 0o600))  # for its owner alone, from its first byte on
    end = time.monotonic() + PATIENCE

    def still(status: int, *_: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > end:
            raise DatabaseUnavailable("The database is in use by another program. Try again in a moment.")

    copy = sqlite3.connect(target, timeout=1, isolation_level=None)
    with contextlib.closing(copy), source.connect() as conn:
        raw = cast(Any, conn.connection.driver_connection)
        raw.backup(copy, pages=-1, progress=still)
    check_sqlite(target)
    sync_file(target)


def check_sqlite(file: Path) -> None:
    """Raise ``DamagedDatabaseError``, or the driver's errors, where SQLite's own check finds fault with the file."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as conn:
        (said,) = conn.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise DamagedDatabaseError("The database file is damaged: it does not pass SQLite's own check.")
