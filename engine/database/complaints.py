"""What to say when a database cannot be used: one or two plain sentences, never an address or a password."""

from __future__ import annotations

import errno
import re
import sqlite3

from sqlalchemy.exc import DBAPIError

_LOCKED = (
    "The database is locked: another program has been writing to it for more than ten seconds. "
    "Try again in a moment, or end the program that holds it."
)
_HELD = (
    "Another command has been writing what this one needs for more than ten seconds, such as an import on another "
    "machine. Nothing is half-done: try again when that has ended (docs/chain.md, Watching it, says who it is)."
)
_READ_ONLY = "The database is read-only: this user may not write to its file or its folder."
_FULL = "The disk is full, so the database could not be written. Nothing is half-done: free some space and try again."
_BROKEN_DISK = "The disk reported an error while the database was read or written. Check the disk and its free space."
_NO_ROOM = "The disk is full, so a file could not be written. Free some space and try again."
_BAD_DISK = "The disk reported an error while a file was read or written. Check the disk and its free space."
_DAMAGED = "The database file is damaged. Restore it from a backup."
_NO_DATABASE = (
    "The database file is not a SQLite database. Either `database` in config/regulars.yaml names another file, or it "
    "is damaged: then restore it from a backup."
)
_CANNOT_OPEN = (
    "The database file cannot be opened: its folder does not exist, or this user may not read and write there."
)
_UNREACHABLE = (
    "The PostgreSQL server cannot be reached. Check that it is running, and the host and port in `database` in "
    "config/regulars.yaml."
)
_NO_ENTRY = (
    "The PostgreSQL server refused the user or the password. Check them in `database` in config/regulars.yaml, or in "
    "the variable that it names."
)
_NO_SUCH_DATABASE = "The PostgreSQL server has no database of that name. Create it first: createdb regulars"
_WRITES_NOTHING = (
    "The PostgreSQL server takes no writes here: it is a replica, or the role or the database is set to read only. "
    "Name the server that is written to in `database` in config/regulars.yaml."
)
_INSECURE = (
    "The connection to the PostgreSQL server could not be made as secure as `sslmode` in `database` in "
    "config/regulars.yaml wants: see whether the server offers TLS, and whether its certificate and `sslrootcert` fit."
)
_TOO_MANY = "The PostgreSQL server has no connection left. Try again in a moment."
_TOO_LONG = (
    "The database did not answer in time, so the question was taken back: nothing is half-done. Try again when no "
    "import or run is under way; if it stays so, give it longer, with ?options=-c%20statement_timeout%3D10min behind "
    "`database` in config/regulars.yaml."
)
_ASLEEP = (
    "The PostgreSQL server ended a connection that had done nothing for too long in the middle of its work, such as "
    "while its output was not read. What was under way is undone: try again."
)
_LOST = "The PostgreSQL server ended the connection. What was under way is undone: try again."

_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _CANNOT_OPEN,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,  # the file beside the database that could not grow
    sqlite3.SQLITE_IOERR: _BROKEN_DISK,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _NO_DATABASE,
    sqlite3.SQLITE_CANTOPEN: _CANNOT_OPEN,
}

_OF_FILES = {errno.ENOSPC: _NO_ROOM, errno.EDQUOT: _NO_ROOM, errno.EIO: _BAD_DISK}

#: By SQLSTATE: the whole code, or its class of two characters.
_POSTGRESQL = {
    "28": _NO_ENTRY,
    "08": _UNREACHABLE,
    "3D000": _NO_SUCH_DATABASE,
    "25006": _WRITES_NOTHING,
    "53100": _FULL,
    "53300": _TOO_MANY,
    "55P03": _HELD,
    "40P01": _HELD,
    "57014": _TOO_LONG,
    "57P": _LOST,
    "25P03": _ASLEEP,
    "58": _BROKEN_DISK,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
#: What a role lacks that PostgreSQL refuses, by its own words; ``{role}``, in quotes, is filled in.
_FORBIDDEN = "42501"
_NO_SCHEMA = "3F000"
_GRANTS = {
    r"for (?:table|relation|view)": "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    r"for sequence": "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    r"for schema": "GRANT USAGE ON SCHEMA public TO {role}",
    r"to create temporary tables in database (?P<name>\S+)": "GRANT TEMPORARY ON DATABASE {name} TO {role}",
}

#: What ends by itself, or by somebody else's hand, while a program waits.
_PASSING = frozenset({_LOCKED, _HELD, _UNREACHABLE, _TOO_MANY, _LOST, _TOO_LONG, _ASLEEP})


class DatabaseUnavailable(Exception):  # noqa: N818 (a state of the world, not a mistake of the program)
    """The database cannot be used now. Its text is a plain sentence or two without password or personal data."""


class DamagedDatabaseError(DatabaseUnavailable):
    """A database file was written to by something else than SQLite, or its disk lost a part of it."""


def is_damage(exc: BaseException) -> bool:
    """Tell whether an error says that the database file is damaged, or none."""
    return isinstance(exc, DamagedDatabaseError) or explain(exc) in {_DAMAGED, _NO_DATABASE}


def explain(exc: BaseException) -> str | None:
    """Say in plain words why the database cannot be used; ``None`` where ``exc`` is about something else.

    ``exc`` is what was caught: SQLAlchemy's, the driver's own, ``OSError``, or ours.
    """
    if isinstance(exc, DatabaseUnavailable):
        return str(exc)
    if isinstance(exc, DBAPIError) and exc.orig is not None:
        return _explain_postgresql(exc.orig, lost=exc.connection_invalidated) or explain(exc.orig)
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", 0)
        return _SQLITE.get(code) or _SQLITE.get(code & 0xFF)  # the low byte is the primary code
    if isinstance(exc, OSError):
        return _OF_FILES.get(exc.errno or 0)
    return _explain_postgresql(exc, lost=False)


def is_refused(exc: DBAPIError) -> bool:
    """Tell whether PostgreSQL said that the role may not do it, or sees nothing in which it could be done."""
    return getattr(exc.orig, "sqlstate", None) in {_FORBIDDEN, _NO_SCHEMA}


def passes(exc: BaseException) -> bool:
    """Tell whether a program that has the whole day should wait and try again: locked, restarted, out of reach."""
    return explain(exc) in _PASSING


def is_full(exc: BaseException) -> bool:
    """Tell whether PostgreSQL had no connection left, for anybody or for this role."""
    return explain(exc) == _TOO_MANY


def _explain_postgresql(exc: BaseException, *, lost: bool) -> str | None:
    """Look at the driver's exception without importing the driver: who has none has none of its exceptions."""
    if not type(exc).__module__.startswith("psycopg"):
        return None
    state = getattr(exc, "sqlstate", None)
    if state == _FORBIDDEN:
        return _forbidden(exc)
    if state is not None:
        return next((_POSTGRESQL[state[:n]] for n in (5, 3, 2) if state[:n] in _POSTGRESQL), None)
    if lost:
        return _LOST
    if type(exc).__name__ not in {"OperationalError", "ConnectionTimeout"}:
        return None
    # A connection that never came to be carries no code, only libpq's words.
    return _never_connected(str(exc))


def _never_connected(words: str) -> str:
    refused = words.rpartition("FATAL:")[2].strip() if "FATAL:" in words else ""
    if "authentication" in words or "no password supplied" in words:
        return _NO_ENTRY
    if "does not exist" in words and "database" in words:
        return _NO_SUCH_DATABASE
    if "too many" in refused or "connection slots" in refused:
        return _TOO_MANY
    if not refused or "the database system is" in refused:  # starting, shutting down: it ends by itself
        return _INSECURE if "SSL" in words or "certificate" in words else _UNREACHABLE
    said = refused.replace("\nDETAIL: ", ";").partition("\n")[0].strip().rstrip(".")
    cure = "Let its administrator see to it."
    if "permission denied for database" in said:
        cure = "Let the owner of that database say: GRANT CONNECT, TEMPORARY ON DATABASE ... TO the role."
    return f"The PostgreSQL server refused the connection: {said}. {cure}"


def _forbidden(exc: BaseException) -> str:
    """Say what PostgreSQL refused, to whom, and which statement would mend it."""
    said = str(getattr(getattr(exc, "diag", None), "message_primary", None) or "permission denied")
    role = next((f'"{note}"' for note in getattr(exc, "__notes__", ())), "")
    for pattern, grant in _GRANTS.items():
        if found := re.search(pattern, said):
            statement = grant.format(role=role or "the role", **found.groupdict())
            cure = f"Call it as a role that may (docs/chain.md, Roles), or let the owner of the tables say: {statement}"
            break
    else:
        cure = "Call it as the role that owns the tables (docs/chain.md, Roles)."
    return f"{f'The PostgreSQL role {role}' if role else 'This PostgreSQL role'} may not do that: {said}. {cure}"


def note_role(exc: BaseException, role: str) -> None:
    """Write on the driver's exception whose right was missing: it does not say that itself."""
    if getattr(exc, "sqlstate", None) == _FORBIDDEN:
        exc.add_note(role)
