"""A backup is one file; brought back, nothing goes out twice, whichever way it came."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import stat
import tarfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from engine.console import restoring

from .conftest import NOW

BIRTHDAY = ("--rule", "birthday")


def accepted(home: Path) -> Counter[str]:
    """The witness: how often each guest got each message."""
    mails = (home / "outbox").glob("*.eml")
    return Counter(
        f"{re.search(r'^To: (.*)$', file.read_text(), re.MULTILINE).group(1)} {file.stem.partition('~')[2]}"
        for file in mails
    )


@pytest.fixture(scope="module")
def _sent(_filled, tmp_path_factory):
    home = Path(shutil.copytree(_filled, tmp_path_factory.mktemp("sent") / "home"))
    with pytest.MonkeyPatch.context() as now:
        now.setattr(cli, "clock", lambda: NOW)
        for words in ("approve --all --by Ana", "run --rule win-back", f"backup {home}/kept.tar.gz", "run"):
            assert CliRunner().invoke(cli.main, ["--home", str(home), *words.split()]).exit_code == 0
    before = accepted(home)
    assert set(before.values()) == {1}
    assert len(before) > 3
    return home


@pytest.fixture
def sent(_sent, tmp_path):
    """A home that has sent half, was kept, and has sent the rest."""
    home = Path(shutil.copytree(_sent, tmp_path / "home"))
    with contextlib.closing(sqlite3.connect(home / "regulars.db")) as copy, copy:
        copy.execute("UPDATE instance SET place = NULL")  # this copy is not meant to be one
    return home


def comes_to_nothing_twice(home, regulars):
    before = accepted(home)
    assert regulars("--home", home, "run").exit_code in {0, 1}
    regulars("--home", home, "approve", "--all", "--by", "Ana")
    assert regulars("--home", home, "dispatch").exit_code in {0, 1}
    assert accepted(home) == before
    assert set(before.values()) == {1}


def test_a_backup_holds_the_home_for_its_owner_alone(home, regulars):
    (home / "secrets").mkdir()
    (home / "secrets" / "password").write_text("hush")
    said = regulars("--home", home, "backup")
    assert said.exit_code == 0
    (file,) = (home / "backups").iterdir()
    assert re.fullmatch(r"regulars-\d{4}-\d\d-\d\d-\d{4}\.tar\.gz", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert str(file) in said.output.replace("\n", "")
    with tarfile.open(file) as archive:
        names = set(archive.getnames())
        archive.extract("regulars.db", home / "out", filter="data")
    assert {"regulars.db", "regulars.key", "config/regulars.yaml", "rules", "templates"} <= names
    assert not any(name.startswith(("secrets", "journal", "outbox", "inbox")) for name in names)
    with sqlite3.connect(home / "out" / "regulars.db") as copy:
        assert copy.execute("SELECT count(*) FROM customers").fetchone()[0] > 5
        assert copy.execute("SELECT backup_at FROM instance").fetchone() == (int(NOW.timestamp()),)
    copy.close()
    assert regulars("--home", home, "backup").exit_code == 0
    assert len(list((home / "backups").iterdir())) == 2
    assert regulars("--home", home, "backup", file).exit_code == 2


def test_a_backup_is_brought_back(sent, regulars):
    said = regulars("--home", sent, "restore", sent / "kept.tar.gz", "--by", "Ana")
    assert said.exit_code == 0, said.output
    assert "honour them by hand" in said.output.replace("\n", " ")
    assert len(list(sent.glob("regulars-before-restore-*.db"))) == 1
    assert not list(sent.glob(".restoring*"))
    comes_to_nothing_twice(sent, regulars)
    again = regulars("--home", sent, "restore", "--reconcile", "--by", "Ana")
    assert "it may send" in again.output
    waiting = regulars("--home", sent, "restore", "--reconcile", "--hold", "--by", "Ana")
    assert "must be approved again" in waiting.output.replace("\n", " ")


def test_the_file_copied_back_sends_nothing_before_it_is_reconciled(sent, regulars):
    with tarfile.open(sent / "kept.tar.gz") as archive:
        archive.extract("regulars.db", sent / "out", filter="data")
    for ending in ("-wal", "-shm"):
        (sent / f"regulars.db{ending}").unlink(missing_ok=True)
    shutil.copyfile(sent / "out" / "regulars.db", sent / "regulars.db")
    before = accepted(sent)
    for command in ("run", "dispatch", "approve --all"):
        refused = regulars("--home", sent, *command.split())
        assert refused.exit_code == 75
        assert "regulars restore --reconcile" in refused.output
    assert regulars("--home", sent, "run", "--dry-run").exit_code == 0
    assert regulars("--home", sent, "log").exit_code == 0
    assert accepted(sent) == before
    assert regulars("--home", sent, "restore", "--reconcile", "--by", "Ana").exit_code == 0
    comes_to_nothing_twice(sent, regulars)


def test_a_copied_home_sends_nothing_before_a_person_says_so(sent, regulars, tmp_path):
    assert regulars("--home", sent, "dispatch").exit_code == 0  # remembers its place
    other = Path(shutil.copytree(sent, tmp_path / "other"))
    refused = regulars("--home", other, "run")
    assert (refused.exit_code, "is a copy" in refused.output.replace("\n", " ")) == (75, True)
    assert regulars("--home", sent, "run").exit_code == 0
    assert "must be approved again" in regulars("--home", other, "restore", "--reconcile").output.replace("\n", " ")
    comes_to_nothing_twice(other, regulars)


def test_a_lost_home_is_made_anew_from_its_backup(sent, regulars, tmp_path):
    other = tmp_path / "other"
    said = regulars("--home", other, "restore", sent / "kept.tar.gz", "--by", "Ana")
    assert said.exit_code == 0, said.output
    assert (other / "regulars.key").read_text() == (sent / "regulars.key").read_text()
    assert stat.S_IMODE((other / "regulars.key").stat().st_mode) == 0o600
    assert (other / "rules").is_dir()
    assert "must be approved again" in said.output.replace("\n", " ")
    assert regulars("--home", other, "run").exit_code == 0
    assert accepted(other) == {}


def test_a_damaged_database_is_laid_aside(sent, regulars):
    for ending in ("-wal", "-shm"):
        (sent / f"regulars.db{ending}").unlink(missing_ok=True)
    (sent / "regulars.db").write_bytes(b"no database at all " * 1000)
    assert regulars("--home", sent, "run").exit_code == 75
    assert regulars("--home", sent, "restore", sent / "kept.tar.gz", "--by", "Ana").exit_code == 0
    (kept,) = sent.glob("regulars-before-restore-*.db")
    assert kept.read_bytes().startswith(b"no database")
    comes_to_nothing_twice(sent, regulars)


@pytest.mark.parametrize("content", [b"", b"nothing", b"SQLite format 3\0 and no more"])
def test_what_is_no_backup_changes_nothing(home, regulars, content):
    (home / "odd").write_bytes(content)
    before = (home / "regulars.db").read_bytes()
    refused = regulars("--home", home, "restore", home / "odd")
    assert refused.exit_code in {2, 75}
    assert "Traceback" not in refused.output
    assert (home / "regulars.db").read_bytes() == before
    assert not list(home.glob("*before-restore*"))


def test_a_truncated_backup_changes_nothing(sent, regulars):
    file = sent / "kept.tar.gz"
    file.write_bytes(file.read_bytes()[:-2000])
    before = (sent / "regulars.db").read_bytes()
    assert regulars("--home", sent, "restore", file).exit_code == 2
    assert (sent / "regulars.db").read_bytes() == before


def test_a_backup_of_another_home_is_refused(home, regulars, tmp_path):
    assert regulars("--home", home, "backup", tmp_path / "kept.tar.gz").exit_code == 0
    (home / "regulars.key").write_text("ab" * 32)
    refused = regulars("--home", home, "restore", tmp_path / "kept.tar.gz")
    assert (refused.exit_code, "is not the key" in refused.output.replace("\n", " ")) == (75, True)


def test_postgresql_is_told_how(postgres_url, tmp_path, monkeypatch, regulars):
    from .conftest import make_home

    root = make_home(tmp_path / "home")
    config = root / "config" / "regulars.yaml"
    config.write_text(config.read_text().replace("sqlite:///regulars.db ", "env:DATABASE_URL "))
    monkeypatch.setenv("DATABASE_URL", postgres_url.replace("postgres@", "postgres:hush@"))
    said = regulars("--home", root, "backup", tmp_path / "kept.tar.gz").output.replace("\n", "")
    assert "pg_dump --format=custom" in said
    assert "hush" not in said
    with tarfile.open(tmp_path / "kept.tar.gz") as archive:
        assert "regulars.db" not in archive.getnames()
        assert "regulars.key" in archive.getnames()
    refused = regulars("--home", root, "restore", tmp_path / "kept.tar.gz")
    assert (refused.exit_code, "pg_restore" in refused.output) == (1, True)


def test_restore_wants_to_know_what(home, regulars):
    assert regulars("--home", home, "restore").exit_code == 2
    assert regulars("--home", home, "restore", home / "nowhere.tar.gz").exit_code == 2


def test_a_clock_before_the_program_was_made_sends_nothing(home, regulars, monkeypatch):
    monkeypatch.setattr(cli, "clock", lambda: datetime(2000, 1, 1, tzinfo=UTC))
    for command in ("run", "dispatch"):
        refused = regulars("--home", home, command)
        assert (refused.exit_code, "set the clock right" in refused.output.replace("\n", " ")) == (75, True)
    assert regulars("--home", home, "log").exit_code == 0


@pytest.mark.parametrize(("step", "after"), [("_keep", True), ("copy_sqlite", True), ("reconcile", False)])
def test_a_restore_that_was_killed_is_called_again(sent, regulars, monkeypatch, step, after):
    whole = getattr(restoring, step)

    def dying(*given, **named):
        if after:
            whole(*given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(restoring, step, dying)
        assert regulars("--home", sent, "restore", sent / "kept.tar.gz").exit_code == 130
    assert regulars("--home", sent, "restore", sent / "kept.tar.gz", "--by", "Ana").exit_code == 0
    comes_to_nothing_twice(sent, regulars)


def test_a_whole_home_brought_back_sends_nothing_before_it_is_reconciled(sent, regulars, tmp_path):
    """The journal came back with it; only the number of the file on its disk, and the witness, tell."""
    assert regulars("--home", sent, "dispatch").exit_code == 0  # remembers its place
    whole = Path(shutil.copytree(sent, tmp_path / "snapshot"))
    shutil.rmtree(sent)
    whole.rename(sent)
    assert regulars("--home", sent, "run").exit_code == 75
    assert regulars("--home", sent, "restore", "--reconcile", "--by", "Ana").exit_code == 0
    comes_to_nothing_twice(sent, regulars)


def test_a_folder_without_a_journal_is_refused_and_one_with_it_taken(sent, regulars, tmp_path):
    (tmp_path / "empty").mkdir()
    refused = regulars("--home", sent, "restore", "--reconcile", "--journal", tmp_path / "empty")
    assert (refused.exit_code, "There is no journal in" in refused.output) == (2, True)
    regulars("--home", sent, "restore", sent / "kept.tar.gz", "--by", "Ana")
    other = shutil.copytree(sent / "journal", tmp_path / "other")
    with contextlib.closing(sqlite3.connect(sent / "regulars.db")) as copy, copy:
        copy.execute("INSERT INTO senders VALUES (?, 0)", ("ab" * 16,))
    said = regulars("--home", sent, "restore", "--reconcile", "--journal", other).output
    assert "1 other journal has hand-overs of this database, as of another machine" in " ".join(said.split())
    assert "must be approved again" in " ".join(said.split())
    assert "it may send" in regulars("--home", sent, "restore", "--reconcile").output
