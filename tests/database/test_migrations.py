from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import UpgradeOps
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, Inspector, Text, column, insert, inspect, select, table, update

from engine.database import migrations
from engine.database.engines import DatabaseUnavailable, open_db, without_foreign_keys
from engine.database.migrations import REVISIONS, VERSION_TABLE, migrate, schema_is_current
from engine.database.months import is_partition
from engine.database.tables import metadata, stores, zones

FOLDER = Path(migrations.__file__).parent


def described(inspector: Inspector) -> dict[str, object]:
    """Everything that a database knows about its tables, in an order of our own."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else str(value)

    def by_name(entries):
        return sorted(plain(entries), key=str)

    return {
        name: {
            "columns": by_name(inspector.get_columns(name)),
            "key": str(inspector.get_pk_constraint(name)),
            "foreign keys": by_name(inspector.get_foreign_keys(name)),
            "unique": by_name(inspector.get_unique_constraints(name)),
            "checks": by_name(inspector.get_check_constraints(name)),
            "indexes": by_name(inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
        if name != VERSION_TABLE
    }


def test_the_migrations_make_what_the_tables_say(db: Engine):
    """The failure prints the operations that a new migration needs."""
    with db.connect() as conn:
        options = {"version_table": VERSION_TABLE, "render_as_batch": True, "target_metadata": metadata}
        options["include_name"] = lambda name, kind, _: not (kind == "table" and is_partition(name))
        context = MigrationContext.configure(conn, opts=options)
        missing = produce_migrations(context, metadata).upgrade_ops
        assert isinstance(missing, UpgradeOps)
        assert missing.as_diffs() == [], render_python_code(missing, render_as_batch=True, migration_context=context)


def test_nothing_differs_that_alembic_does_not_compare(empty_db: Engine):
    """Checks, defaults, partial indexes, comments: as the database itself describes them."""
    metadata.create_all(empty_db)
    expected = described(inspect(empty_db))
    metadata.drop_all(empty_db)
    migrate(empty_db)
    assert len([name for name in expected if not is_partition(name)]) == len(metadata.tables)
    assert described(inspect(empty_db)) == expected


def test_ids_are_never_used_again(db: Engine):
    with db.begin() as conn:
        first = conn.scalar(insert(zones).values(name="Asia/Tokyo").returning(zones.c.id))
        conn.execute(zones.delete())
        assert conn.scalar(insert(zones).values(name="Asia/Tokyo").returning(zones.c.id)) > first


def test_no_table_that_the_migrations_change_gives_ids_again(db: Engine):
    """SQLite's own mark for it is lost where a table is made anew without it, and nothing else would tell."""
    if db.dialect.name == "postgresql":
        pytest.skip("its sequences never go back")
    with db.connect() as conn:
        made = dict(map(tuple, conn.execute(select(column("name"), column("sql")).select_from(table("sqlite_master")))))
    wanted = {each.name for each in metadata.sorted_tables if each.dialect_options["sqlite"]["autoincrement"]}
    assert {name for name in wanted if "AUTOINCREMENT" not in made[name]} == set()
    assert "coupons" in wanted


def test_every_migration_stands_in_the_list_of_revisions():
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    script = ScriptDirectory.from_config(config)
    assert tuple(each.revision for each in script.walk_revisions())[::-1] == REVISIONS


def test_a_migration_stays_what_it_was_when_the_tables_change():
    """None of them takes a table, a type or a constant from the code that lives on."""
    ours = {f"engine.database.migrations.{each}" for each in ("first", "growth")}
    parts = [*FOLDER.glob("first/*.py"), *FOLDER.glob("growth/*.py")]
    for file in [*FOLDER.glob("versions/*.py"), *parts]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in {"__future__", "alembic", "collections.abc", "typing", *ours}, file


def test_an_empty_database_is_not_current_until_it_is_migrated(empty_db: Engine):
    assert not schema_is_current(empty_db)
    migrate(empty_db)
    assert schema_is_current(empty_db)
    with empty_db.begin() as conn:
        conn.execute(insert(zones).values(name="Asia/Tokyo"))
    migrate(empty_db)
    with empty_db.connect() as conn:
        assert conn.scalar(select(zones.c.name)) == "Asia/Tokyo"


def test_processes_that_migrate_at_once_take_turns(empty_url: str):
    program = (
        "import sys\n"
        "from engine.database.engines import open_db\n"
        "from engine.database.migrations import migrate, schema_is_current\n"
        "db = open_db(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "migrate(db)\n"
        "assert schema_is_current(db)\n"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, empty_url]
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [(each.communicate()[1], each.returncode) for each in started] == [("", 0)] * 2


def test_a_database_of_a_newer_version_is_refused(db: Engine):
    with db.begin() as conn:
        conn.execute(update(migrations._version).values(version_num="0999"))
    for refuses in (schema_is_current, migrate):
        with pytest.raises(DatabaseUnavailable) as refused:
            refuses(db)
        assert str(refused.value) == (
            "The database was written by a newer Regulars: its tables are at 0999, and this one knows them up to "
            f"{REVISIONS[-1]}. Install the newer Regulars again."
        )


def test_a_database_with_the_tables_of_another_program_is_left_alone(empty_db: Engine):
    with empty_db.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE customers (whatever INTEGER)")
    with pytest.raises(DatabaseUnavailable, match=r"Another program keeps its tables in this database \(customers\)"):
        migrate(empty_db)
    assert inspect(empty_db).get_table_names() == ["customers"]


def test_a_migration_that_fails_leaves_nothing_behind(empty_db: Engine, monkeypatch: pytest.MonkeyPatch):
    from engine.database.migrations.first import decisions

    monkeypatch.setattr(decisions, "create", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate(empty_db)
    assert inspect(empty_db).get_table_names() == []
    monkeypatch.undo()
    migrate(empty_db)
    assert schema_is_current(empty_db)


def test_rows_that_point_at_nothing_after_a_migration_undo_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from engine.database.migrations.first import decisions

    create = decisions.create

    def create_badly() -> None:
        create()
        from alembic import op

        row = {"source": "x", "external_id": "1", "name": "A", "name_key": "a", "zone_id": 7, "attributes": "{}"}
        op.execute(insert(table("stores", *map(column, row))).values(row))

    monkeypatch.setattr(decisions, "create", create_badly)
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with pytest.raises(DatabaseUnavailable, match="1 of its rows point at rows that do not exist"):
        migrate(db)
    assert not schema_is_current(db)
    db.dispose()


def test_a_table_can_be_changed_without_losing_what_points_at_it(db: Engine):
    """SQLite rebuilds the table; with foreign keys watched that would fail, or delete by cascade."""
    with db.begin() as conn:
        zone = conn.scalar(insert(zones).values(name="Asia/Tokyo").returning(zones.c.id))
        conn.execute(
            insert(stores).values(source="x", external_id="1", name="A", name_key="a", zone_id=zone, attributes={})
        )
    with without_foreign_keys(db) as conn, conn.begin():
        operations = Operations(MigrationContext.configure(conn))
        with operations.batch_alter_table("zones") as batch:
            batch.add_column(Column("note", Text(), nullable=False, server_default=""))
            batch.alter_column("name", existing_nullable=False, new_column_name="iana")
    assert [column["name"] for column in inspect(db).get_columns("zones")] == ["id", "iana", "note"]
    with db.connect() as conn:
        assert conn.scalar(select(stores.c.zone_id)) == zone
