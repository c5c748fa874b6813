"""Whose the tables are in PostgreSQL, and what to say to a role that may not do what only their owner may."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, Table, column, func, select, table

from engine.database.complaints import DatabaseUnavailable
from engine.database.engines import reading

#: The table that says of which version the others are; see ``engine.database.migrations``.
_FIRST: Final = "regulars_version"
_databases = table("pg_database", column("datname"), column("datdba"))
_classes = table("pg_class", column("oid"), column("relowner"))


def say_who_migrates(db: Engine) -> str:
    """Say to a role that may not make or change the tables who may, or what that role lacks."""
    with reading(db).connect() as conn:
        there = conn.scalar(select(func.to_regclass(_FIRST))) is not None
        role, owner = _role(conn), _owner(conn, _FIRST) if there else _owner_of_database(conn)
        schema = conn.scalar(select(func.current_schema()))
        named = conn.scalar(select(func.current_database()))
    if role == owner:
        return (
            f'The PostgreSQL role "{role}" owns the database "{named}" and may make no tables in it. As the server\'s '
            f'administrator say in that database: GRANT USAGE, CREATE ON SCHEMA public TO "{role}"'
        )
    if schema is None:
        return (
            f'The PostgreSQL role "{role}" sees no table of the database "{named}". Let its owner, "{owner}", say: '
            f'GRANT USAGE ON SCHEMA public TO "{role}"'
        )
    state = "The tables are of an older Regulars" if there else f'There are no tables in the database "{named}" yet'
    verb = "change" if there else "make"
    return (
        f'{state}, and the PostgreSQL role "{role}" may not {verb} them. Let the role that owns them, "{owner}", '
        "call this Regulars once, such as: regulars months"
    )


def may_number(conn: Connection, its: Table) -> None:
    """Raise ``DatabaseUnavailable`` where ``never_reuse`` would be refused; SQLite asks nobody."""
    if conn.dialect.name != "postgresql":
        return
    if conn.scalar(select(func.has_sequence_privilege(func.pg_get_serial_sequence(its.name, "id"), "UPDATE"))):
        return
    raise DatabaseUnavailable(
        f'The PostgreSQL role "{_role(conn)}" may not say from which number on messages are counted. Nothing was '
        f'changed: call this as the role that owns the tables, "{_owner(conn, its.name)}".'
    )


def _role(conn: Connection) -> str:
    return str(conn.scalar(select(func.current_user())))


def _owner(conn: Connection, name: str) -> str:
    owned = select(func.pg_get_userbyid(_classes.c.relowner)).where(_classes.c.oid == func.to_regclass(name))
    return str(conn.scalar(owned))


def _owner_of_database(conn: Connection) -> str:
    owned = select(func.pg_get_userbyid(_databases.c.datdba)).where(_databases.c.datname == func.current_database())
    return str(conn.scalar(owned))
