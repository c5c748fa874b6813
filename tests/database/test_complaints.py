from __future__ import annotations

import errno
import sqlite3
from contextlib import suppress
from pathlib import Path
from select import poll

import pytest
from sqlalchemy import Engine, create_engine, event, func, insert, inspect, select
from sqlalchemy.exc import ProgrammingError

from engine.database import engines
from engine.database.complaints import passes
from engine.database.engines import explain, open_db, reading
from engine.database.tables import zones


def complaint(url: str) -> str | None:
    """What is said when a row is written at ``url``."""
    db = open_db(url)
    try:
        with db.begin() as conn:
            conn.execute(insert(zones).values(name="Asia/Tokyo"))
    except Exception as exc:  # noqa: BLE001 (whatever comes is what is explained)
        return explain(exc)
    finally:
        db.dispose()
    return "it could be written"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    zones.create(db)
    db.dispose()
    return tmp_path / "regulars.db"


def test_locked(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "PATIENCE", 0)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = complaint(f"sqlite:///{file}")
    other.close()
    assert said == (
        "The database is locked: another program has been writing to it for more than ten seconds. "
        "Try again in a moment, or end the program that holds it."
    )


def test_read_only(file: Path):
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    assert complaint(url) == "The database is read-only: this user may not write to its file or its folder."
    db = open_db(url)
    with reading(db).connect() as conn:
        assert conn.scalar(select(func.count()).select_from(zones)) == 0
    db.dispose()


def test_not_a_database(tmp_path: Path):
    (tmp_path / "orders.csv").write_text("order_id,customer_id,total\n" * 100)
    assert str(complaint(f"sqlite:///{tmp_path}/orders.csv")).startswith("The database file is not a SQLite database.")


def test_damaged(file: Path):
    kept = file.read_bytes()
    file.write_bytes(kept[:100] + b"\xff" * (len(kept) - 100))
    assert complaint(f"sqlite:///{file}") == "The database file is damaged. Restore it from a backup."


def test_a_folder_that_does_not_exist(tmp_path: Path):
    assert complaint(f"sqlite:///{tmp_path}/nowhere/regulars.db") == (
        "The database file cannot be opened: its folder does not exist, or this user may not read and write there."
    )


def test_disk_full(file: Path):
    db = open_db(f"sqlite:///{file}")
    event.listen(db, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 4"))
    with pytest.raises(Exception, match="full") as caught, db.begin() as conn:
        conn.execute(insert(zones), [{"name": f"Zone/{number}"} for number in range(10_000)])
    db.dispose()
    assert str(explain(caught.value)).startswith("The disk is full, so the database could not be written.")


def test_disk_full_beside_the_database():
    assert str(explain(OSError(errno.ENOSPC, "No space left on device"))).startswith("The disk is full")
    assert explain(FileNotFoundError(errno.ENOENT, "no such file")) is None


def test_a_server_that_is_not_there():
    assert complaint("postgresql://cafe:hush-hush@127.0.0.1:1/cafe") == (
        "The PostgreSQL server cannot be reached. Check that it is running, and the host and port in `database` in "
        "config/regulars.yaml."
    )


def test_a_wrong_password(postgres_server, empty_postgres_url: str):
    postgres_server.run("DROP ROLE IF EXISTS locked_out")
    postgres_server.run("CREATE ROLE locked_out LOGIN PASSWORD 'right'")
    url = empty_postgres_url.replace("//postgres@", "//locked_out:hush-hush@")
    said = str(complaint(url))
    assert said.startswith("The PostgreSQL server refused the user or the password.")
    assert "hush-hush" not in said
    assert complaint(url.replace(":hush-hush", "")) == said


def test_a_database_that_was_never_created(postgres_server):
    said = complaint(postgres_server.url("no_such_database"))
    assert said == "The PostgreSQL server has no database of that name. Create it first: createdb regulars"


def test_a_user_without_rights(postgres_server, postgres_url: str):
    postgres_server.run("DROP ROLE IF EXISTS onlooker")
    postgres_server.run("CREATE ROLE onlooker LOGIN")
    said = complaint(postgres_url.replace("//postgres@", "//onlooker@"))
    assert said == (
        'The PostgreSQL role "onlooker" may not do that: permission denied for table zones. Call it as a role that may '
        "(docs/chain.md, Roles), or let the owner of the tables say: "
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "onlooker"'
    )


@pytest.mark.parametrize(
    ("lacks", "said", "cure"),
    [
        ("USAGE ON SEQUENCE zones_id_seq", "permission denied for sequence zones_id_seq", "SEQUENCES IN SCHEMA public"),
        ("CONNECT ON DATABASE {}", 'permission denied for database "{}"', "GRANT CONNECT, TEMPORARY ON DATABASE"),
    ],
)
def test_each_right_that_a_role_lacks_is_named_with_its_statement(
    postgres_server, empty_postgres_url: str, lacks: str, said: str, cure: str
):
    name = empty_postgres_url.partition("?")[0].rpartition("/")[2]
    db = open_db(empty_postgres_url)
    zones.create(db)
    with db.begin() as conn, suppress(ProgrammingError), conn.begin_nested():
        conn.exec_driver_sql("CREATE ROLE lacking LOGIN")
    with db.begin() as conn:
        conn.exec_driver_sql("GRANT SELECT, INSERT ON zones TO lacking")
        conn.exec_driver_sql("GRANT USAGE ON SEQUENCE zones_id_seq TO lacking")
        conn.exec_driver_sql(f"REVOKE {lacks} FROM PUBLIC, lacking".format(f'"{name}"'))
    db.dispose()
    told = str(complaint(empty_postgres_url.replace("//postgres@", "//lacking@")))
    assert said.format(name) in told
    assert cure in told


def test_a_role_that_may_not_log_in_is_not_taken_for_a_server_that_is_away(postgres_server, empty_postgres_url: str):
    postgres_server.run("DROP ROLE IF EXISTS shut_out")
    postgres_server.run("CREATE ROLE shut_out NOLOGIN")
    assert complaint(empty_postgres_url.replace("//postgres@", "//shut_out@")) == (
        'The PostgreSQL server refused the connection: role "shut_out" is not permitted to log in. '
        "Let its administrator see to it."
    )
    postgres_server.run("ALTER ROLE shut_out LOGIN CONNECTION LIMIT 0")
    said = complaint(empty_postgres_url.replace("//postgres@", "//shut_out@"))
    assert said == "The PostgreSQL server has no connection left. Try again in a moment."


def test_a_read_only_server(postgres_url: str):
    db = open_db(f"{postgres_url}&options=-c%20default_transaction_read_only%3Don")
    with reading(db).connect() as conn:
        assert conn.scalar(select(func.count()).select_from(zones)) == 0
    with pytest.raises(Exception, match="read-only") as caught, db.begin() as conn:  # over the same connection
        conn.execute(insert(zones).values(name="Asia/Tokyo"))
    db.dispose()
    assert str(explain(caught.value)).startswith("The PostgreSQL server takes no writes here: it is a replica")


def test_a_row_that_another_transaction_holds(postgres_url: str):
    db = open_db(f"{postgres_url}&options=-c%20lock_timeout%3D1")
    with db.begin() as conn:
        conn.execute(insert(zones).values(name="Asia/Tokyo"))
    with db.begin() as first, db.connect() as second:
        first.execute(select(zones).with_for_update())
        with pytest.raises(Exception, match="lock timeout") as caught:
            second.execute(select(zones).with_for_update())
    db.dispose()
    assert str(explain(caught.value)).startswith("Another command has been writing what this one needs")
    assert passes(caught.value)


def test_a_question_that_takes_too_long(postgres_url: str):
    db = open_db(postgres_url)
    with db.connect() as conn:
        conn.execute(select(func.set_config("statement_timeout", "1", False)))  # not sooner: to connect takes its time
        with pytest.raises(Exception, match="statement timeout") as caught:
            conn.execute(select(func.pg_sleep(60)))
    db.dispose()
    assert str(explain(caught.value)).startswith("The database did not answer in time")
    assert passes(caught.value)


def _hangs_up(socket: int, *, within: int) -> bool:
    """Tell whether the other side has closed: what is sent while it does takes its last words away."""
    waiting = poll()
    waiting.register(socket, 0)  # a hang-up is always told
    return bool(waiting.poll(within * 1000))


def test_a_transaction_in_which_nothing_happens(postgres_url: str):
    db = open_db(postgres_url)
    with db.connect() as conn:
        conn.execute(select(func.set_config("idle_in_transaction_session_timeout", "1", False)))
        assert _hangs_up(conn.connection.driver_connection.fileno(), within=30)
        with pytest.raises(Exception, match="idle-in-transaction") as caught:
            conn.execute(select(func.pg_backend_pid()))
    db.dispose()
    assert str(explain(caught.value)).startswith("The PostgreSQL server ended a connection that had done nothing")


def test_a_server_that_goes_away_in_the_middle(postgres_server, postgres_url: str):
    db = open_db(postgres_url)
    with db.connect() as conn:
        pid = conn.scalar(select(func.pg_backend_pid()))
        postgres_server.run(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(Exception, match="terminat") as caught:
            conn.execute(insert(zones).values(name="Asia/Tokyo"))
    assert explain(caught.value) == (
        "The PostgreSQL server ended the connection. What was under way is undone: try again."
    )
    assert inspect(db).has_table("zones"), "the next use connects anew"
    db.dispose()


def test_a_mistake_of_the_program_is_not_explained_away(db: Engine):
    with db.connect() as conn, pytest.raises(Exception) as caught:
        conn.exec_driver_sql("SELECT nonsense FROM nowhere")
    assert explain(caught.value) is None
    assert explain(ValueError("something else")) is None


def test_the_same_is_said_of_the_drivers_own_exceptions(file: Path, postgres_server):
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(file.parent / "nowhere" / "x.db")
    assert str(explain(caught.value)).startswith("The database file cannot be opened")
    with pytest.raises(Exception) as caught:
        create_engine(postgres_server.url("no_such_database")).raw_connection()
    assert str(explain(caught.value)).startswith("The PostgreSQL server has no database of that name")
