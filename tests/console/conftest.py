"""A small home with real files and a real database, made once and copied for each test."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from engine.console.importing import import_files
from engine.console.session import opened
from engine.database.engines import open_db
from engine.starter.home import HomeAnswers, create_home

#: 10:00 in Chicago, on a Monday.
AT = "2026-05-04T10:00"
NOW = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)
RULES = ("07-low-rating", "06-birthday", "11-win-back")

CUSTOMERS = """\
customer_id,name,email,phone,birthday,joined_at,language,tags,email_consent,sms_consent,consent_at
G1,Li Wei,li.wei@example.com,+13125550101,,2025-01-05 10:00,en,,yes,yes,2025-01-05
G2,王小明,xiaoming@example.com,+13125550102,,2025-01-05 10:00,zh,,yes,,2025-01-05
G3,Ada Moss,ada@example.com,+13125550103,,2025-01-05 10:00,en,,no,no,2025-01-05
G4,@HYPERLINK(1),hyper@example.com,,,2025-01-05 10:00,en,,yes,,2025-01-05
G5,Bea Cole,bea@example.com,+13125550105,05-11,2025-01-05 10:00,en,,yes,,2025-01-05
G6,Dan Low,dan@example.com,,,2025-01-05 10:00,en,,no,,2025-01-05
"""
ORDERS = [("O1", "G6", "2026-05-03 18:00", "12.00"), ("O2", "G5", "2026-04-20 09:00", "4.00")] + [
    (f"O{guest}{number}", f"G{guest}", f"2026-{month} 12:00", "9.50")
    for guest in (1, 2, 3, 4)
    for number, month in enumerate(("01-05", "01-12", "01-25"), start=1)
]


def write_files(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    (folder / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["order_id", "customer_id", "ordered_at", "total"])
        writer.writerows(ORDERS)
    (folder / "ratings.csv").write_text(
        "rating_id,customer_id,order_id,rated_at,score,comment,source\nR1,G6,O1,2026-05-03 19:00,1,Cold soup,receipt\n",
        encoding="utf-8",
    )
    return [folder / name for name in ("customers.csv", "orders.csv", "ratings.csv")]


def make_home(root: Path) -> Path:
    """A home of three rules, so that a test of a command does not check twelve of them."""
    create_home(root, answers=HomeAnswers())
    for file in (root / "rules").iterdir():
        if file.stem not in RULES:
            file.unlink()
    used = {"low-rating", "low-rating-alert", "birthday", "win-back", "win-back-reminder"}
    for folder in (root / "templates").iterdir():
        if folder.name not in used:
            shutil.rmtree(folder)
    return root


def fill(root: Path, environ: dict[str, str]) -> None:
    with opened(root, environ, lambda: NOW) as session:
        for report in import_files(session, write_files(root.parent / f"files-{root.name}"), NOW):
            assert not report.failed, report.sentence()


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_home(tmp_path_factory.mktemp("console") / "home")
    fill(root, {})
    return root


@pytest.fixture
def home(_filled: Path, tmp_path: Path) -> Path:
    """A home with six guests: four have lapsed, one of them without consent; one rated badly, one has her birthday."""
    root = tmp_path / "home"
    shutil.copytree(_filled, root)
    return root


@pytest.fixture(params=["sqlite", "postgres"])
def either_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same home on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        root: Path = request.getfixturevalue("home")
        return root
    url = request.getfixturevalue("postgres_url")
    root = make_home(tmp_path / "home")
    config = root / "config" / "regulars.yaml"
    text = config.read_text(encoding="utf-8").replace("sqlite:///regulars.db ", "env:DATABASE_URL ")
    config.write_text(text, encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", url)
    fill(root, {"DATABASE_URL": url})
    return root


Regulars = Callable[..., Result]


@pytest.fixture
def regulars(monkeypatch: pytest.MonkeyPatch) -> Regulars:
    """Runs one command line; the clock stands at ``NOW``."""
    import cli

    monkeypatch.setattr(cli, "clock", lambda: NOW)

    def run(*words: object, **options: Any) -> Result:
        result = CliRunner().invoke(cli.main, [str(word) for word in words], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def at_home(regulars: Regulars, home: Path) -> Regulars:
    """Runs one command line in the home."""
    return lambda *words, **options: regulars("--home", home, *words, **options)


@pytest.fixture
def database(home: Path) -> Iterator[Engine]:
    db = open_db(f"sqlite:///{home / 'regulars.db'}")
    yield db
    db.dispose()


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]
