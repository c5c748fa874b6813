"""The databases that tests run on: SQLite always, and PostgreSQL wherever its programs are installed.

One throw-away server serves a whole test run (`postgres_server.py`). Without a server those tests skip, saying why; with
REGULARS_REQUIRE_POSTGRES=1 they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import postgres_server as server_of_the_run
import pytest
from hypothesis import HealthCheck, settings
from postgres_server import ROOM, NoServerError, PostgresServer
from sqlalchemy import Engine

from engine.database.engines import open_db
from engine.database.migrations import migrate

# A machine may be slow, and a test says nothing of time. In CI the examples are the same each time; elsewhere they roam.
settings.register_profile(
    "regulars",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("regulars")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(ROOM))
        server_of_the_run.announce()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        server_of_the_run.stop()


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The run's PostgreSQL server; skips (or fails) where there can be none."""
    try:
        return server_of_the_run.running()
    except NoServerError as reason:
        if os.environ.get("REGULARS_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"REGULARS_REQUIRE_POSTGRES=1, but: {reason}", pytrace=False)
        pytest.skip(str(reason))


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database of the test's own with nothing in it."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own."""
    name = postgres_server.create(postgres_server.migrated)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "regulars.db"
    db = open_db(f"sqlite:///{file}")
    migrate(db)
    db.dispose()
    return file


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A migrated, empty database; the test runs once on SQLite (a file in ``tmp_path``) and once on PostgreSQL."""
    if request.param == "sqlite":
        file = tmp_path / "regulars.db"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), file)
        url = f"sqlite:///{file}"
    else:
        url = request.getfixturevalue("postgres_url")
    db = open_db(url)
    yield db
    db.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def empty_db(empty_url: str) -> Iterator[Engine]:
    """A database without any table, on SQLite and on PostgreSQL."""
    db = open_db(empty_url)
    yield db
    db.dispose()
