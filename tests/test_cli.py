"""How the program starts, speaks and ends: exit codes, signals, pipes, bugs, a database that cannot be used."""

from __future__ import annotations

import gc
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

import cli
from engine.console import exits
from engine.database import engines
from engine.database.engines import DatabaseUnavailable
from engine.starter.home import HomeAnswers, create_home


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = create_home(tmp_path_factory.mktemp("cli") / "home", answers=HomeAnswers())
    for file in (root / "rules").iterdir():
        if file.stem != "01-welcome":
            file.unlink()
    assert CliRunner().invoke(cli.main, ["--home", str(root), "schedule"]).exit_code == 0
    return root


@pytest.fixture
def home(_home: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(_home, tmp_path / "home"))


def regulars(*words: object, **options: Any) -> Any:
    return CliRunner().invoke(cli.main, [str(word) for word in words], **options)


def program(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


#: What is loaded only by what needs it: to change tables, to send, to draw, to reckon festivals, another database, to
#: say what is wrong.
LATER = "alembic|css_inline|email_validator|holidays|jsonschema|lunar_python|psycopg|twilio"
AT_ONCE = f"{LATER}|babel|rich|croniter|cryptography|jinja2|mjml|phonenumbers|sqlalchemy|yaml"


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], AT_ONCE),
        (["validate"], rf"{LATER}|croniter|cryptography|http\.client|imaplib|rich"),
        (
            ["run"],
            rf"{LATER}|croniter|cryptography|engine\.console\.cost|engine\.evaluation\.preview|http\.client|imaplib|multiprocessing",
        ),
    ],
)
def test_a_command_loads_nothing_heavy_that_it_does_not_need(home: Path, words: list[str], heavy: str):
    code = f"import re, sys, cli\ntry:\n    cli.main({words})\nexcept SystemExit:\n    pass\nprint(sorted(m for m in sys.modules if re.fullmatch('{heavy}', m)))"
    environ = {**os.environ, "REGULARS_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_is_called_leaves_the_process_of_its_caller_as_it_was(home: Path):
    before = gc.get_threshold(), gc.get_freeze_count()
    assert regulars("--home", home, "run").exit_code == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_every_command_explains_itself():
    def walk(command: Any, words: tuple[str, ...]) -> None:
        result = regulars(*words, "--help")
        assert result.exit_code == 0, words
        assert re.search(r"\n\n  [A-Z][^\n]+", result.stdout), words
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(cli.main, ())


def test_the_commands_are_those_of_the_contract():
    wanted = "init demo validate words schema import event run approve dispatch schedule stop start preview log customer coupon doctor receive bounces dkim verify backup restore months"
    assert sorted(cli.main.commands) == sorted(wanted.split())


def test_version():
    assert re.fullmatch(r"regulars, version \d+\.\d+\.\d+\n", regulars("--version").stdout)


def test_the_home_may_stand_in_the_environment(home: Path):
    assert regulars("validate", env={"REGULARS_HOME": str(home)}).stdout == "No problem found.\n"
    assert regulars("schema").exit_code == 0


def test_a_folder_that_is_no_home_is_said_so(tmp_path: Path):
    for command in (["run"], ["log"], ["validate"], ["schedule"], ["doctor"]):
        result = regulars("--home", tmp_path, *command)
        assert result.exit_code == 1
        assert "is not a home of Regulars" in result.output or command == ["doctor"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["rnu"], ["run", "--as-off", "x"], ["approve", "a", "b"], ["dispatch", "x"], ["log", "--limit", "0"]]
)
def test_a_mistyped_command_is_2(home: Path, words: list[str]):
    result = regulars("--home", home, *words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


# -- the database that cannot be used -----------------------------------------------------------------------------------


def test_a_locked_database_is_75(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "PATIENCE", 0.05)
    holder = sqlite3.connect(home / "regulars.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        result = regulars("--home", home, "run")
    finally:
        holder.close()
    assert result.exit_code == 75
    assert result.stderr.startswith("The database is locked: another program has been writing to it")
    assert regulars("--home", home, "run").exit_code == 0


def test_a_read_only_database_is_75(home: Path, monkeypatch: pytest.MonkeyPatch):
    from sqlalchemy import event

    from engine.console import session

    def read_only(url: str, **options: Any) -> Any:
        db = engines.open_db(url, **options)
        event.listen(db, "connect", lambda raw, _: raw.execute("PRAGMA query_only = ON"))
        return db

    monkeypatch.setattr(session, "open_db", read_only)
    result = regulars("--home", home, "run")
    assert result.exit_code == 75
    assert result.stderr == "The database is read-only: this user may not write to its file or its folder.\n"


def test_a_damaged_database_is_75(home: Path):
    (home / "regulars.db").write_bytes(b"this is no database, and long enough to be seen as none" * 100)
    result = regulars("--home", home, "run")
    assert result.exit_code == 75
    assert result.stderr.startswith("The database file is not a SQLite database.")
    assert "wrong database: The database file is not" in regulars("--home", home, "doctor").stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatabaseUnavailable("The disk is full."), 75),
        (OSError(28, "No space left on device"), 75),
        (PermissionError(13, "Permission denied", "/home-of-shop/outbox"), 75),
        (exits.Refusal("no"), 1),
        (exits.MistypedError("what"), 2),
        (exits.NotNowError("later"), 75),
        (KeyError("x"), None),
        (OperationalError("SELECT 1", {}, Exception("something new")), None),
    ],
)
def test_ends(error: Exception, code: int | None):
    told = exits.expected(error)
    assert (told[0] if told else None) == code
    if told:
        assert re.fullmatch(r"[A-Z].*[.!?]", told[1])


# -- bugs ---------------------------------------------------------------------------------------------------------------


def break_it(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]) -> None:
    from engine.console import schedule

    def broken(*_: object) -> str:
        raise error()

    monkeypatch.setattr(schedule, "shown", broken)


def test_a_bug_is_3_and_its_log_holds_nothing_of_guests(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("platformdirs.user_log_dir", lambda *_, **__: str(tmp_path / "state"))
    break_it(monkeypatch, lambda: RuntimeError("li.wei@example.com broke it"))
    result = regulars("--home", home, "schedule", "--as-of", "2026-05-04T10:00")
    assert result.exit_code == 3
    assert result.stdout == ""
    (log,) = (tmp_path / "state").iterdir()
    assert str(log) in result.stderr
    assert "Traceback" not in result.stderr
    written = log.read_text(encoding="utf-8")
    assert "builtins.RuntimeError" in written
    assert re.search(r"test_cli\.py:\d+ broken", written)
    assert re.search(r"^Regulars \S+, Python 3\.\d+\.\d+", written)
    assert "li.wei" not in written + result.stderr
    assert str(home) not in written


def test_a_bug_of_a_bug_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platformdirs.user_log_dir", lambda *_, **__: str(tmp_path))
    error = ValueError("second")
    error.__cause__ = KeyError("first")
    file = exits.write_bug(error, command="run", version="1", now=cli.clock())
    assert file is not None
    assert re.findall(r"^builtins\.\w+", file.read_text(), re.MULTILINE) == ["builtins.ValueError", "builtins.KeyError"]


def test_a_log_that_cannot_be_written_is_no_second_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("platformdirs.user_log_dir", lambda *_, **__: str(tmp_path / "file"))
    code, said = exits.end(KeyError("x"), command="run", now=cli.clock(), color=False)
    assert (code, "It could not be logged" in said) == (3, True)


# -- real processes -----------------------------------------------------------------------------------------------------


def test_the_reader_of_a_pipe_may_leave(home: Path):
    command = [sys.executable, "-m", "cli", "--home", home, "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == exits.READER_GONE


def test_control_c_is_130(home: Path):
    command = [sys.executable, "-m", "cli", "--home", home, "run", "--wait"]
    pause = "import cli, engine.console.run as r, time, sys\nr.run = lambda *a, **k: (print('waiting', flush=True), time.sleep(60))\ncli.main()"
    command[1:3] = ["-c", pause]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said == "\nInterrupted. The next run takes up what was under way.\n"


def test_a_terminal_that_knows_no_chinese_ends_no_command(home: Path):
    rule = home / "rules" / "01-welcome.yaml"
    rule.write_text(rule.read_text("utf-8").replace("id: welcome", "id: 欢迎"), "utf-8")
    done = program("--home", home, "validate", env={**os.environ, "PYTHONIOENCODING": "cp1252"}, encoding="utf-8")
    assert done.returncode == 1
    assert "欢迎" in done.stdout


def test_a_piped_report_is_plain_and_whole(home: Path):
    done = program("--home", home, "schedule", env={**os.environ, "COLUMNS": "20", "FORCE_COLOR": "1"})
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[0].startswith("rule     schedule")
