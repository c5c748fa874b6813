"""A database that was copied or restored is recognised before anything is checked or sent."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from engine.database import places
from engine.database.engines import open_db
from engine.database.months import month_of
from engine.database.places import copy_sqlite, file_of, is_same_machine, is_same_place, never_reuse, place_of
from engine.database.tables import audit, dispatches, forgotten_months, instance, runs
from engine.dispatch import instance as instances
from engine.dispatch.instance import StrangeDatabaseError, Surroundings, identity, recognise
from engine.dispatch.stages import send_due

from .world import NOW, Cafe, Clock, a_desk, a_home


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path / "journal", tmp_path / "state", "machine-1")


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


def why(db, around):
    try:
        recognise(db, around, NOW)
    except StrangeDatabaseError as error:
        return error.why if "regulars restore --reconcile" in str(error) else "no cure"
    return None


def copy_of(db, tmp_path, request, name="copy"):
    """A copy of a whole database: its file, or a new database of the same server."""
    if db.dialect.name == "sqlite":
        copy_sqlite(db, tmp_path / f"{name}.db")
        return open_db(f"sqlite:///{tmp_path}/{name}.db")
    db.dispose()
    server = request.getfixturevalue("postgres_server")
    return open_db(server.url(server.create(db.url.database)))


def stopped(db):
    with db.begin() as conn:
        return conn.scalar(select(instance.c.stopped_why))


def sent_by(cafe, home, around):
    """Send all that is due, by a desk that knows what lies beside the database; give it, closed."""
    desk = replace(a_desk(cafe, home, Clock()), around=around)
    send_due(desk)
    desk.close()
    return desk


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("disk", "is_kept"), [("ext4", True), ("fuse.sshfs", False), ("exfat", False), ("fuseblk", True)]
)
def test_a_file_system_that_gives_numbers_anew_at_each_mount_makes_no_copy(db, tmp_path, monkeypatch, disk, is_kept):
    file = file_of(db)
    device = file.stat().st_dev
    (tmp_path / "mounts").write_text(f"36 35 {os.major(device)}:{os.minor(device)} / / rw - {disk} /dev/sda1 rw\n")
    monkeypatch.setattr(places, "MOUNTS", tmp_path / "mounts")
    with db.begin() as conn:
        now = place_of(conn, "m1")
    assert now == (f"m1:{file.stat().st_ino}" if is_kept else "m1:")
    assert is_same_place(f"m1:{file.stat().st_ino + 1}", now) == (not is_kept)


def test_the_first_look_remembers_the_place(db, around):
    known = recognise(db, around, NOW)
    with db.begin() as conn:
        row = conn.execute(select(instance)).one()
        assert (row.identity, row.place) == (known, place_of(conn, "machine-1"))
    assert len(known) == 32
    assert recognise(db, around, NOW) == known


def test_a_copy_is_recognised_and_holds_everything(around, cafe, tmp_path, request):
    db = cafe.db
    recognise(db, around, NOW)
    numbers = {
        state: cafe.message(cafe.guest(), state=state) for state in ("pending", "claimed", "handoff", "held", "sent")
    }
    other = copy_of(db, tmp_path, request)
    copied = Cafe(other)
    assert why(other, around) == "copied"
    assert {state: copied.outcome(number) for state, number in numbers.items()} == {
        "pending": "held: copied",
        "claimed": "held: copied",
        "handoff": "uncertain: copied",
        "held": "held",
        "sent": "sent",
    }
    assert why(other, around) == stopped(other) == "copied"
    with other.begin() as conn:
        assert len(conn.execute(select(audit).where(audit.c.action == "stop")).all()) == 1
    assert why(db, around) is None
    other.dispose()


def test_another_machine_is_another_place_and_one_without_a_name_is_not(tmp_path, around):
    assert is_same_place("m1:7", "m1:7")
    assert not is_same_place("m1:7", "m2:7")
    assert not is_same_place("m1:7", "m1:8")
    assert is_same_place(":7", "m1:7")
    assert is_same_machine("m1:7", "m1:8")
    assert not is_same_machine(":7", ":8")


def test_a_home_that_is_moved_on_its_disk_is_the_same(cafe, around, home, tmp_path, db):
    if db.dialect.name != "sqlite":
        pytest.skip("a file")
    recognise(db, around, NOW)
    db.dispose()
    (tmp_path / "elsewhere").mkdir()
    file = shutil.move(file_of(db), tmp_path / "elsewhere" / "regulars.db")
    moved = open_db(f"sqlite:///{file}")
    assert why(moved, around) is None
    moved.dispose()
    copied = open_db(f"sqlite:///{shutil.copyfile(file, tmp_path / 'regulars.db')}")
    assert why(copied, around) == "copied"
    copied.dispose()


def test_a_database_older_than_its_journal_was_restored(cafe, around, tmp_path, request):
    home, db = a_home(tmp_path), cafe.db
    recognise(db, around, NOW)
    cafe.message()
    before = copy_of(db, tmp_path, request)
    send_due(a_desk(cafe, home, Clock()))
    assert why(db, around) is None
    assert why(before, around) == stopped(before) == "restored"
    before.dispose()


def test_a_journal_of_another_database_is_not_ours(cafe, around, home, db):
    cafe.message()
    send_due(a_desk(cafe, home, Clock()))
    with db.begin() as conn:
        conn.execute(update(instance).values(identity="f" * 32))
    assert why(db, around) == "restored"


def test_a_backup_is_not_sent_from(db, around):
    recognise(db, around, NOW)
    with db.begin() as conn:
        conn.execute(update(instance).values(backup_at=NOW))
    assert why(db, around) == "restored"


def test_a_witness_outside_of_the_home_knows_of_a_home_that_was_restored_as_a_whole(cafe, around, home, db, tmp_path):
    cafe.message()
    desk = sent_by(cafe, home, around)
    with db.begin() as conn:
        known = identity(conn)
    number, _ = map(int, (around.witnesses / known).read_text().split())
    assert why(db, around) is None
    instances.bear_witness(around, replace(desk.left, dispatch_id=number + 1))
    assert why(db, around) == "restored"


def test_what_is_only_written_into_files_is_not_witnessed(cafe, around, home, db, tmp_path):
    from connectors.file import FileConnector

    cafe.message()
    desk = replace(a_desk(cafe, home, Clock(), email=FileConnector(tmp_path / "outbox")), around=around)
    send_due(desk)
    desk.close()
    assert not around.witnesses.exists()


def test_a_witness_that_cannot_be_written_stops_nothing(cafe, around, home, db):
    around.witnesses.write_text("in the way")
    number = cafe.message()
    sent_by(cafe, home, around)
    assert cafe.state(number) == "sent"
    assert why(db, around) is None


def test_ids_that_were_given_are_not_given_again(db, cafe):
    first = cafe.message()
    with db.begin() as conn:
        never_reuse(conn, dispatches, first + 50)
        never_reuse(conn, dispatches, first)
    assert cafe.message() > first + 50


def test_before_the_first_row_too(db, cafe):
    with db.begin() as conn:
        never_reuse(conn, dispatches, 70)
    assert cafe.message() > 70


def test_the_machine_has_a_name_or_none():
    assert ":" not in instances.machine_id()


def test_a_record_of_a_clock_that_was_ahead_hides_no_later_one(cafe, around, home, tmp_path, request):
    recognise(cafe.db, around, NOW)
    cafe.message(expires_at=NOW + timedelta(days=90), due_at=NOW)
    send_due(a_desk(cafe, home, Clock(NOW + timedelta(days=60))))
    cafe.message()
    before = copy_of(cafe.db, tmp_path, request)
    send_due(a_desk(cafe, home, Clock()))
    assert [file.name for file in around.journal.iterdir()] != ["2026-05.log"]
    assert why(before, around) == "restored"
    before.dispose()


@pytest.mark.parametrize("later", [400, 402])
def test_what_was_forgotten_on_purpose_is_no_news_to_a_machine_that_still_has_it(cafe, around, home, db, later):
    """It only sends, or was off: nothing has pruned its journal, and its last message is one that is forgotten."""
    cafe.message()
    sent_by(cafe, home, around)
    with db.begin() as conn:
        witness = around.witnesses / identity(conn)
        os.utime(witness, (NOW.timestamp(), NOW.timestamp()))
        for its in (audit, dispatches):
            conn.execute(delete(its))
        at = NOW + timedelta(days=later)
        conn.execute(insert(runs).values(as_of=at, started_at=at, finished_at=at, host="here", pid=1))
    assert why(db, around) == "restored"
    with db.begin() as conn:
        conn.execute(update(instance).values(stopped_why=None))
        conn.execute(insert(forgotten_months).values(month=month_of(NOW), at=at, dispatches=1))
    assert why(db, around) == ("restored" if later == 400 else None)
