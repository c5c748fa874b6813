from __future__ import annotations

import logging
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Engine, cast, column, create_engine, func, insert, inspect, literal, select, table
from sqlalchemy.exc import DBAPIError, IntegrityError

from engine.database import engines
from engine.database.engines import (
    ANSWER,
    DatabaseUnavailable,
    broken_references,
    empty_the_log,
    explain,
    followed,
    open_db,
    reading,
    room,
    without_foreign_keys,
)
from engine.database.tables import runs, stores, switch, zones


def zone_names(db: Engine) -> list[str]:
    with db.connect() as conn:
        return list(conn.scalars(select(zones.c.name).order_by(zones.c.name)))


def test_a_leading_with_insert_is_rolled_back(db: Engine):
    names = select(literal("Asia/Shanghai").label("name")).cte("names")
    statement = insert(zones).from_select(["name"], select(names.c.name)).add_cte(names)
    with db.connect() as conn:
        conn.execute(statement)
        assert conn.scalar(select(func.count()).select_from(zones)) == 1
        conn.rollback()
    assert zone_names(db) == []


def test_a_statement_that_begins_with_the_word_with_is_rolled_back(db: Engine):
    with db.connect() as conn:
        conn.exec_driver_sql(
            "WITH names(name) AS (SELECT 'Asia/Shanghai') INSERT INTO zones (name) SELECT name FROM names"
        )
        conn.rollback()
    assert zone_names(db) == []


def test_without_our_begin_the_driver_would_have_kept_the_rows(tmp_path: Path):
    plain = create_engine(f"sqlite:///{tmp_path}/plain.db")
    with plain.connect() as conn:
        conn.exec_driver_sql("CREATE TABLE zones (name TEXT)")
        conn.commit()
        conn.exec_driver_sql(
            "WITH names(name) AS (SELECT 'Asia/Shanghai') INSERT INTO zones (name) SELECT name FROM names"
        )
        conn.rollback()
        kept = conn.scalar(select(func.count()).select_from(table("zones", column("name"))))
    plain.dispose()
    assert kept == 1


def test_savepoints_roll_back_only_what_came_after_them(db: Engine):
    with db.begin() as conn:
        conn.execute(insert(zones).values(name="Europe/Berlin"))
        savepoint = conn.begin_nested()
        conn.execute(insert(zones).values(name="Asia/Tokyo"))
        savepoint.rollback()
    assert zone_names(db) == ["Europe/Berlin"]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("journal_size_limit", 64 * 1024 * 1024),
        ("synchronous", 2),
        ("fullfsync", 1),
        ("checkpoint_fullfsync", 1),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("busy_timeout", 10_000),
    ],
)
def test_sqlite_is_set_up_for_safety(tmp_path: Path, pragma: str, value: object):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.connect() as conn:
        assert conn.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    db.dispose()


def test_on_sqlite_only_what_is_followed_does_not_wait_for_the_disk(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    waits = []
    for each in (db, followed(db), followed(db), db, reading(db)):
        with each.begin() as conn:
            waits.append(conn.exec_driver_sql("PRAGMA synchronous").scalar())
    assert waits == [2, 1, 1, 2, 2]
    db.dispose()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jit", "off"),
        ("lock_timeout", "10s"),
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("application_name", "regulars"),
        ("transaction_isolation", "read committed"),
        ("work_mem", "5MB"),
        ("idle_in_transaction_session_timeout", "10min"),
        ("statement_timeout", "1min"),
    ],
)
def test_postgresql_is_set_up_whatever_the_servers_habits_and_keeps_the_owners_options(
    postgres_url: str, setting: str, value: str
):
    db = open_db(f"{postgres_url}&options=-c%20work_mem%3D5MB", answer=ANSWER)
    with db.connect() as conn:
        assert conn.scalar(select(func.current_setting(setting))) == value
    db.dispose()


def test_what_the_driver_would_say_besides_what_it_raises_is_on_no_terminal(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a command: pytest has its own
    db = open_db(postgres_url)
    twice = [{"name": f"Mars/{number // 2}"} for number in range(400)]  # enough that many are under way
    with pytest.raises(IntegrityError), db.begin() as conn:
        conn.execute(insert(zones), twice)
    db.dispose()
    assert capsys.readouterr() == ("", "")


def test_work_has_all_the_time_that_its_role_has(postgres_url: str):
    db = open_db(postgres_url)
    with db.connect() as conn:
        assert conn.scalar(select(func.current_setting("statement_timeout"))) == "0"
    db.dispose()


def test_a_connection_that_was_idle_is_asked_first_whether_it_lives(
    postgres_server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    db = open_db(postgres_url)
    with db.connect() as conn:
        pid = conn.scalar(select(func.pg_backend_pid()))
    monkeypatch.setattr(engines, "DOZING", -1)
    with db.connect() as conn:
        assert conn.scalar(select(func.pg_backend_pid())) == pid
    postgres_server.run(f"SELECT pg_terminate_backend({pid}, 5000)")
    with db.connect() as conn:
        assert conn.scalar(select(func.pg_backend_pid())) != pid
    db.dispose()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights in another way")
def test_a_new_database_is_its_owners_alone_and_an_old_one_keeps_its_rights(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.begin() as conn:
        zones.create(conn)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        "regulars.db": 0o600,
        "regulars.db-wal": 0o600,
        "regulars.db-shm": 0o600,
    }
    db.dispose()
    (tmp_path / "regulars.db").chmod(0o640)
    with db.connect() as conn:
        conn.scalar(select(func.count()).select_from(zones))
    db.dispose()
    assert (tmp_path / "regulars.db").stat().st_mode & 0o777 == 0o640


def test_a_database_in_memory_is_one_database_for_all_its_connections():
    db = open_db("sqlite://")
    with db.begin() as conn:
        zones.create(conn)
        conn.execute(insert(zones).values(name="Asia/Shanghai"))
    assert zone_names(db) == ["Asia/Shanghai"]
    db.dispose()


def test_foreign_keys_are_kept(db: Engine):
    with pytest.raises(DBAPIError), db.begin() as conn:
        conn.execute(
            insert(stores).values(source="x", external_id="1", name="A", name_key="a", zone_id=7, attributes={})
        )


def test_two_writers_wait_for_each_other_instead_of_failing(db: Engine):
    """Each of four reads, then writes what it read plus one: no update is lost and none fails."""
    with db.begin() as conn:
        conn.execute(insert(runs).values(as_of=0, started_at=0, host="h", pid=0))
    at_once = threading.Barrier(4)
    failures: list[BaseException] = []

    def count_up() -> None:
        at_once.wait()
        try:
            for _ in range(10):
                with db.begin() as conn:
                    seen = conn.scalar(select(runs.c.pid).with_for_update())
                    conn.execute(runs.update().values(pid=seen + 1))
        except DBAPIError as exc:
            failures.append(exc)

    writers = [threading.Thread(target=count_up) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    with db.connect() as conn:
        assert conn.scalar(select(runs.c.pid)) == 40


def test_who_only_reads_does_not_wait_for_a_writer_and_sees_what_was_committed(db: Engine):
    with db.connect() as writer:
        writer.execute(insert(zones).values(name="Asia/Tokyo"))
        with reading(db).connect() as reader:
            assert reader.scalar(select(func.count()).select_from(zones)) == 0
        writer.commit()
    with reading(db).connect() as reader:
        assert reader.scalar(select(func.count()).select_from(zones)) == 1


def test_after_a_reader_the_same_connection_writes_again(db: Engine):
    with reading(db).connect() as reader:
        reader.scalar(select(func.count()).select_from(zones))
    with db.begin() as conn:
        conn.execute(insert(zones).values(name="Asia/Tokyo"))
    assert zone_names(db) == ["Asia/Tokyo"]


def test_an_instant_comes_back_as_it_went_in_and_is_kept_as_seconds(db: Engine):
    at = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
    with db.begin() as conn:
        conn.execute(insert(switch).values(id=1, stopped_at=at))
        assert conn.scalar(select(switch.c.stopped_at)) == at
        assert conn.scalar(select(cast(switch.c.stopped_at, BigInteger))) == 1_777_888_800
        assert conn.scalar(select(switch.c.id).where(switch.c.stopped_at == at)) == 1
        assert conn.scalar(select(switch.c.id).where(switch.c.stopped_at > 1_777_888_799)) == 1


def test_a_naive_datetime_is_refused(db: Engine):
    with db.connect() as conn, pytest.raises(Exception, match="an instant needs a time zone"):
        conn.execute(insert(switch).values(id=1, stopped_at=datetime(2026, 5, 4, 10, 0)))  # noqa: DTZ001 (that is the point)


def test_what_was_deleted_is_in_no_file_any_more(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.begin() as conn:
        zones.create(conn)
        conn.execute(insert(zones).values(name="Wilhelmina-Ypsilanti"))
    with db.begin() as conn:
        conn.execute(zones.delete())
    empty_the_log(db)
    kept = [file.name for file in tmp_path.iterdir() if b"Wilhelmina" in file.read_bytes()]
    db.dispose()
    assert kept == []


def test_a_long_reader_that_keeps_deleted_data_in_the_log_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.database.engines.PATIENCE", 0)
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.begin() as conn:
        zones.create(conn)
    with reading(db).connect() as reader:
        reader.scalar(select(func.count()).select_from(zones))
        with db.begin() as conn:
            conn.execute(insert(zones).values(name="Asia/Tokyo"))
        with pytest.raises(DatabaseUnavailable, match="deleted data is still in the file"):
            empty_the_log(db)
    db.dispose()


def test_emptying_the_log_asks_nothing_of_postgresql(postgres_url: str):
    db = open_db(postgres_url)
    empty_the_log(db)
    assert inspect(db).has_table("zones")
    db.dispose()


def test_foreign_keys_are_watched_again_after_a_change_of_tables(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.begin() as conn:
        zones.create(conn)
        stores.create(conn)
    store = insert(stores).values(source="x", external_id="1", name="A", name_key="a", zone_id=7, attributes={})
    with without_foreign_keys(db) as conn:
        conn.execute(store)
        assert broken_references(conn) == 1
        conn.rollback()
    with pytest.raises(DBAPIError), db.begin() as conn:
        conn.execute(store)
    db.dispose()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://root@localhost/cafe", "Regulars does not work with 'mysql'. It works with SQLite"),
        ("postgresql+psycopg2://localhost/cafe", "Regulars does not work with 'postgresql+psycopg2'"),
        ("regulars.db", "The database's address cannot be read"),
        ("", "The database's address cannot be read"),
        ("postgresql://cafe:hush-hush@localhost:port/cafe", "The database's address cannot be read"),
    ],
)
def test_an_address_that_is_no_use_is_refused_in_plain_words_without_its_password(url: str, sentence: str):
    with pytest.raises(DatabaseUnavailable) as refused:
        open_db(url)
    assert str(refused.value).startswith(sentence)
    assert "hush-hush" not in str(refused.value)
    assert explain(refused.value) == str(refused.value)


def test_the_other_spelling_of_postgresql_is_understood(postgres_url: str):
    db = open_db(postgres_url.replace("postgresql://", "postgres://"))
    assert inspect(db).has_table("zones")
    db.dispose()


def test_a_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseUnavailable, match=r"pip install 'regulars\[postgres\]'"):
        open_db("postgresql://localhost/cafe")


def test_sqlite_itself_writes_ahead_so_that_a_file_closed_well_is_one_file(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    with db.begin() as conn:
        zones.create(conn)
    db.dispose()
    assert [file.name for file in tmp_path.iterdir()] == ["regulars.db"]
    with sqlite3.connect(tmp_path / "regulars.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()


def test_pages_are_as_many_as_asked_and_then_as_many_as_before_even_after_an_error(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path / 'shop.db'}")
    during: list[int] = []

    def fail() -> None:
        with room(conn, 8 * 1024 * 1024):
            during.append(conn.exec_driver_sql("PRAGMA cache_size").scalar_one())
            conn.exec_driver_sql("SELECT * FROM nowhere")

    with db.connect() as conn:
        before = conn.exec_driver_sql("PRAGMA cache_size").scalar_one()
        with pytest.raises(DBAPIError):
            fail()
        assert during == [-8192]  # kilobytes, and not pages
        assert conn.exec_driver_sql("PRAGMA cache_size").scalar_one() == before == -4096


def test_what_closed_its_connection_is_told_and_not_that_it_is_closed(tmp_path: Path):
    db = open_db(f"sqlite:///{tmp_path / 'shop.db'}")

    def break_off() -> None:
        with db.connect() as conn, room(conn, 8 * 1024 * 1024):
            conn.connection.driver_connection.close()
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        break_off()


def test_a_server_is_not_asked_for_pages(db: Engine):
    with db.connect() as conn, room(conn, 8 * 1024 * 1024):
        assert conn.scalar(select(literal(1))) == 1
