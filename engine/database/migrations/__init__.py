"""Bring a database to the tables of this version of Regulars.

A change of the tables after a release is a new file ``versions/000N_what.py`` and its number in ``REVISIONS``. The test
that compares the migrated database with ``tables.py`` prints the operations that are missing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, column, func, inspect, select, table

from engine.database.engines import DatabaseUnavailable, broken_references, reading, without_foreign_keys
from engine.database.tables import metadata

#: Every revision, oldest first: so the usual question, whether all is done, does not have to load Alembic (0.2 s).
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")

VERSION_TABLE = "regulars_version"
_version = table(VERSION_TABLE, column("version_num"))

#: Any constant of ours: two processes that migrate at once take turns on PostgreSQL.
_LOCK = 7_346_858_273


def schema_is_current(db: Engine) -> bool:
    """Tell whether the tables are those of this version; false for an empty or an older database. Takes no write lock.

    Raises ``DatabaseUnavailable`` for a database that a newer Regulars has migrated.
    """
    with reading(db).connect() as conn:
        return _standing(conn) == REVISIONS[-1]


def is_of_regulars(db: Engine) -> bool:
    """Tell whether Regulars made the tables, of this version or an older one; raises as ``schema_is_current``."""
    with reading(db).connect() as conn:
        return _standing(conn) is not None


def migrate(db: Engine) -> None:
    """Create the tables in an empty database, or bring older ones up to this version, all steps or none.

    Two processes at once take turns. Raises ``DatabaseUnavailable`` for a database that a newer Regulars has migrated,
    and for one in which another program has tables of our names.
    """
    if schema_is_current(db):
        return
    with without_foreign_keys(db) as conn, conn.begin():
        if conn.dialect.name == "postgresql":
            conn.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        standing = _standing(conn)  # again: another process may have been faster
        if standing == REVISIONS[-1]:
            return
        if standing is None:
            _refuse_strangers(conn)
        _upgrade(conn)
        if broken := broken_references(conn):
            raise DatabaseUnavailable(
                f"The database was left as it was: {broken} of its rows point at rows that do not exist. "
                "Restore it from a backup."
            )


def _standing(conn: Connection) -> str | None:
    """Give the revision that the database is at; ``None`` for one that was never migrated."""
    if not inspect(conn).has_table(VERSION_TABLE):
        return None
    version: str | None = conn.execute(select(_version.c.version_num)).scalar()
    if version is not None and version not in REVISIONS:
        raise DatabaseUnavailable(
            f"The database was written by a newer Regulars: its tables are at {version}, and this one knows them up to "
            f"{REVISIONS[-1]}. Install the newer Regulars again."
        )
    return version


def _refuse_strangers(conn: Connection) -> None:
    taken = sorted(set(inspect(conn).get_table_names()) & set(metadata.tables))
    if taken:
        raise DatabaseUnavailable(
            f"Another program keeps its tables in this database ({', '.join(taken[:3])}). "
            "Give Regulars a database of its own."
        )


def _upgrade(conn: Connection) -> None:
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = conn
    upgrade(config, "head")
