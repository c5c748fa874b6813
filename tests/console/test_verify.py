"""`regulars verify`: one line a proof, problems with their ids and the cure, exit 1 when something is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import update

from engine.database.engines import open_db
from engine.database.tables import dispatches

from .conftest import AT, Regulars, lines


@pytest.fixture
def ran(regulars: Regulars, either_home: Path) -> Regulars:
    def run(*words: object, **options: object):
        return regulars("--home", either_home, *words, **options)

    run("run", "--as-of", AT)
    run("approve", "--all", "--by", "Dana")
    assert run("dispatch", "--as-of", AT).exit_code == 0
    return run


CHECKS = [
    "database", "histories", "journal", "ends", "sums", "budgets", "coupons", "events", "months", "origins", "privacy",
]  # fmt: skip


def test_a_home_that_has_sent_is_proved_line_by_line(ran: Regulars):
    result = ran("verify", "--as-of", AT)
    assert result.exit_code == 0, result.stdout
    told = [line for line in result.stdout.splitlines() if line[0] != " "]
    assert [line[6:].partition(":")[0].partition(" (")[0] for line in told] == CHECKS
    assert not any(line.startswith("wrong") for line in told)


def test_a_row_changed_by_hand_is_named_with_its_id_and_the_cure(ran: Regulars, either_home: Path):
    import os

    db = open_db(os.environ.get("DATABASE_URL") or f"sqlite:///{either_home / 'regulars.db'}")
    with db.begin() as conn:
        changed = update(dispatches).where(dispatches.c.channel == "email", dispatches.c.state == "sent")
        first = min(conn.scalars(changed.values(state="pending", finished_at=None).returning(dispatches.c.id)))
    db.dispose()
    result = ran("verify", "--as-of", AT)
    assert result.exit_code == 1
    assert f"      {first}: it is pending, and its trail ends in sent.\n" in result.stdout
    assert "      What to do: no command writes this: somebody changed the database by hand" in result.stdout
    told = {each["check"]: each for each in lines(ran("verify", "--format", "json", "--as-of", AT))}
    assert told["histories"]["verdict"] == "wrong"
    assert told["histories"]["problems"][0] == {
        "id": first,
        "invariant": "I3",
        "said": "it is pending, and its trail ends in sent",
    }
    assert told["sums"] | {"looked_at": "", "cure": None} == {
        "check": "sums",
        "invariant": "I4",
        "verdict": "ok",
        "looked_at": "",
        "wrong": 0,
        "problems": [],
        "notes": [],
        "cure": None,
    }


def test_a_file_with_a_page_overwritten_is_not_asked_further(at_home: Regulars, home: Path):
    at_home("run", "--as-of", AT)
    file = home / "regulars.db"
    db = open_db(f"sqlite:///{file}")
    with db.connect() as conn:
        page = conn.exec_driver_sql("SELECT rootpage FROM sqlite_schema WHERE name = 'ix_dispatches_customer_day'")
        root = page.scalar_one()
        size = conn.exec_driver_sql("PRAGMA page_size").scalar_one()
    db.dispose()
    with file.open("r+b") as stream:
        stream.seek((root - 1) * size)
        stream.write(b"\x0a" + b"\x00" * (size - 1))
    result = at_home("verify")
    assert result.exit_code == 1
    first, *rest = result.stdout.splitlines()
    assert first.startswith("wrong database (I7): ")
    assert all(line.startswith("      ") for line in rest)
    assert "go on from your backup" in rest[-1]


def test_the_journal_beside_is_asked_too(ran: Regulars, either_home: Path):
    (file,) = (either_home / "journal").glob("*.log")
    written = file.read_bytes()
    count = sum(line != b"" for line in written.split(b"\n"))
    assert count > 1
    assert f"ok    journal (I2, I3): {count} records: " in ran("verify", "--as-of", AT).stdout
    lost = written[: written.rindex(b"\n")]
    file.write_bytes(lost + b"\n1 torn")
    said = ran("verify", "--as-of", AT)
    assert said.exit_code == 1
    assert "and the journal does not know of it.\n" in said.stdout
    assert "1 line of it broke off, as where the disk was full.\n" in said.stdout
    file.write_bytes(written.replace(b" email ", b" fmail ", 1))
    said = ran("verify", "--as-of", AT).stdout
    assert "somebody has been at journal/: the database is whole" in said
    assert "go on from your backup" not in said
    assert re.search(r"^      line \d+ of journal/2026-05\.log was changed since it was written\.$", said, re.MULTILINE)


@pytest.mark.parametrize("command", ["verify", "dispatch", "restore --reconcile", "doctor"])
def test_a_journal_that_cannot_be_read_is_told_with_the_cure(at_home: Regulars, home: Path, command: str):
    at_home("run", "--as-of", AT)
    (home / "journal").mkdir(exist_ok=True)
    (home / "journal" / "2026-05.log").mkdir()
    said = at_home(*command.split())
    assert said.exit_code == (1 if command == "doctor" else 75), said.output
    assert "move away what stands there, and call `regulars verify`" in " ".join(said.output.split())
