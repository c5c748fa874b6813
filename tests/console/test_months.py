"""The database's part in a run: its months, and that one machine evaluates at a time."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.database.engines import open_db
from engine.database.gate import one_run
from engine.vocabulary.home import load_home

from .conftest import AT, NOW, Regulars, lines

#: Ends who holds a lock of the application's in this database: the server's other databases are other tests'.
_ENDS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def open_home(root: Path):
    return open_db(load_home(root, os.environ).config.database_url)


def test_a_run_makes_its_month_and_those_to_come(regulars: Regulars, either_home: Path):
    at = ("--home", either_home)
    assert (
        regulars(*at, "months").stdout.startswith("Nothing was decided yet.")
        or "partition" in regulars(*at, "months").stdout
    )
    assert regulars(*at, "run", "--as-of", AT).exit_code == 0
    told = {row["month"]: row for row in lines(regulars(*at, "months", "--format", "json"))}
    postgres = "DATABASE_URL" in os.environ
    assert told["2026-05"]["steps"] > 0
    assert told["2026-05"]["kept_in"] == ("partition" if postgres else "table")
    assert ("2026-07" in told) == postgres
    assert "2026-05" in regulars(*at, "months").stdout


def test_the_doctor_says_that_nobody_makes_the_months(regulars: Regulars, either_home: Path, monkeypatch):
    def told() -> list[bool]:
        found = lines(regulars("--home", either_home, "doctor", "--format", "json"))
        cure = "let the role that owns the tables call `regulars months` each month"
        return [cure in row["said"] for row in found if row["about"] == "months"]

    with monkeypatch.context() as patch:
        patch.setattr("engine.console.ledger.make_months", lambda *_: [])  # as for a role that may not
        assert regulars("--home", either_home, "run", "--as-of", AT).exit_code == 0
    assert told() == [True] * ("DATABASE_URL" in os.environ)
    regulars("--home", either_home, "months")
    assert told() == []


def test_who_only_sends_prunes_the_journal_too(at_home: Regulars, monkeypatch):
    asked: list[datetime] = []
    monkeypatch.setattr("engine.console.run.prune", lambda _, until: asked.append(until))
    at_home("dispatch", "--as-of", AT)
    assert asked == []
    at_home("dispatch")
    assert asked == [NOW]


def test_a_run_forgets_what_the_config_lets_go(regulars: Regulars, either_home: Path):
    at = ("--home", either_home)
    regulars(*at, "run", "--as-of", AT)
    config = either_home / "config" / "regulars.yaml"
    config.write_text(config.read_text().replace("keep: 4 years", "keep: 14 months"), encoding="utf-8")
    db = open_home(either_home)
    with db.begin() as conn:  # as if it had been two years before
        conn.execute(text("UPDATE runs SET as_of = as_of - 730 * 86400"))
        conn.execute(text("UPDATE matches SET matched_at = matched_at - 730 * 86400"))
        conn.execute(
            text("UPDATE dispatches SET state = 'expired', month = 202405, finished_at = due_at - 730 * 86400")
        )
        conn.execute(text("UPDATE audit SET month = 202405"))
        steps = conn.scalar(text("SELECT count(*) FROM dispatches"))
    db.dispose()
    gone = regulars(*at, "months").stdout
    assert f"2024-05: {steps} steps are forgotten now." in gone
    told = {row["month"]: row for row in lines(regulars(*at, "months", "--format", "json"))}
    assert told["2024-05"]["forgotten"] is not None
    assert told["2024-05"]["steps"] == steps
    assert regulars(*at, "log").stdout == "The log has nothing of that kind.\n"


def test_a_clock_that_no_run_was_believed_at_forgets_nothing(regulars: Regulars, home: Path):
    at = ("--home", home)
    regulars(*at, "run", "--as-of", AT)
    db = open_home(home)
    with db.begin() as conn:  # as if the clock were twenty years ahead
        conn.execute(text("UPDATE runs SET as_of = as_of - 7300 * 86400, started_at = started_at - 7300 * 86400"))
        conn.execute(
            text("UPDATE dispatches SET state = 'expired', month = 200605, finished_at = due_at - 7300 * 86400")
        )
        conn.execute(text("UPDATE audit SET month = 200605"))
        steps = conn.scalar(text("SELECT count(*) FROM dispatches"))
    assert "forgotten now" not in regulars(*at, "months").stdout
    with db.begin() as conn:
        assert conn.scalar(text("SELECT count(*) FROM dispatches")) == steps > 0
        conn.execute(text("UPDATE runs SET started_at = started_at + 7300 * 86400"))
    db.dispose()
    assert "forgotten now" in regulars(*at, "months").stdout


def test_a_doubted_clock_with_nothing_to_hold_does_not_say_which_records_are_old(at_home: Regulars, monkeypatch):
    asked: list[datetime] = []
    monkeypatch.setattr("engine.console.run.prune", lambda _, until: asked.append(until))
    for days in (0, 1, 2000):
        monkeypatch.setattr("cli.clock", lambda days=days: NOW + timedelta(days=days))
        at_home("run", "--rule", "low-rating")
    assert asked == [NOW, NOW + timedelta(days=1), NOW + timedelta(days=1)]


@pytest.mark.parametrize("short", ["400 days", "1 year", "20 hours"])
def test_a_ledger_is_not_kept_for_less_than_the_journal(regulars: Regulars, home: Path, short: str):
    config = home / "config" / "regulars.yaml"
    config.write_text(config.read_text().replace("keep: 4 years", f"keep: {short}"), encoding="utf-8")
    result = regulars("--home", home, "validate")
    assert result.exit_code == 1
    assert f"{short} is too short: 14 months at least, or forever" in result.stdout + result.stderr


def test_a_question_that_takes_too_long_ends_with_its_cure(
    regulars: Regulars, either_home: Path, monkeypatch: pytest.MonkeyPatch
):
    if "DATABASE_URL" not in os.environ:
        pytest.skip("SQLite answers or is locked")
    db = open_home(either_home)
    monkeypatch.setenv("DATABASE_URL", f"{os.environ['DATABASE_URL']}&options=-c%20statement_timeout%3D100")
    with db.begin() as conn:
        conn.execute(text("LOCK TABLE dispatches IN ACCESS EXCLUSIVE MODE"))
        result = regulars("--home", either_home, "log")
    assert result.exit_code == 75
    assert result.stderr.startswith("The database did not answer in time, so the question was taken back")
    assert regulars("--home", either_home, "log").exit_code == 0
    db.dispose()


def test_a_run_of_another_machine_has_the_database(regulars: Regulars, either_home: Path):
    if "DATABASE_URL" not in os.environ:
        pytest.skip("SQLite is on one machine, and the lock file is its own")
    at = ("--home", either_home)
    db, other = open_home(either_home), open_home(either_home)
    with one_run(db) as free:
        assert free
        refused = regulars(*at, "run", "--as-of", AT)
        assert refused.exit_code == 75
        assert "Another run is evaluating this database on another machine" in refused.stderr
        assert regulars(*at, "dispatch", "--as-of", AT).exit_code == 0  # sending goes on
        assert regulars(*at, "run", "--dry-run", "--as-of", AT).exit_code == 0
        with other.connect() as conn:  # its machine loses the line
            assert conn.scalars(text(_ENDS)).all() == [True]
        assert regulars(*at, "run", "--as-of", AT).exit_code == 0
    with one_run(other) as free:
        assert free
    db.dispose()
    other.dispose()
    assert json.loads(regulars(*at, "run", "--as-of", AT, "--format", "json").stdout)["balanced"]
