"""The databases that tests run on: SQLite always, and PostgreSQL wherever its programs are installed.

One throw-away server serves a whole test run, all its workers too. It listens on a socket in a folder of its own, is started
by the first test that needs it and stopped at the end. Without a server those tests skip, saying why; with
REGULARS_REQUIRE_POSTGRES=1 they fail.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
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

#: Where this run's server lives; the workers of pytest-xdist inherit it.
_FOLDER = "REGULARS_TEST_POSTGRES"
_PREFIX = "regulars-postgres-"

#: Nothing here outlives the run, so nothing waits for a disk. The zone and the isolation are odd on purpose: `open_db` says
#: what it needs, whatever the server's habits are.
_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=200",
    "shared_buffers=32MB",
    "max_wal_size=128MB",
    "timezone=+05",
    "default_transaction_isolation=serializable",
)


def _room() -> Path:
    """Where tests keep their files: in memory, where there is enough of it. To make a database takes a tenth there."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH:
        return memory
    return Path(tempfile.gettempdir())


_ENOUGH = 4 * 1024**3
_ROOM = _room()


class PostgresServer:
    """The run's server: gives empty databases and databases that are migrated already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = (f"t_{os.getpid()}_{number}" for number in itertools.count())

    def url(self, name: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{name}?host={self._folder}"

    def create(self, template: str = "template0") -> str:
        """Make a database; gives its name."""
        name = next(self._names)
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        self.run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres", autocommit=True) as conn:
            conn.execute(statement)

    @property
    def migrated(self) -> str:
        """The name of the template in which all tables stand, made once in a run."""
        name, done = "migrated", self._folder / "migrated"
        with FileLock(f"{self._folder}.lock"):
            if not done.exists():
                self.run(f'CREATE DATABASE "{name}" TEMPLATE "template0"')
                db = open_db(self.url(name))
                migrate(db)
                db.dispose()
                done.touch()
        return name


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_ROOM))
        os.environ[_FOLDER] = f"{_ROOM}/{_PREFIX}{os.getpid()}"


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _remove(Path(os.environ.pop(_FOLDER)))


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The run's PostgreSQL server; skips (or fails) where there can be none."""
    programs = _programs()
    folder = Path(os.environ[_FOLDER])
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _clear_up_after_killed_runs()
            _start(programs, folder)
    return PostgresServer(folder)


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


def _programs() -> Path:
    """The folder of PostgreSQL's programs, the newest installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: float(file.parts[4]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if found is None:
        _without_postgres("PostgreSQL is not installed here (no initdb in /usr/lib/postgresql/*/bin or on PATH)")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        _without_postgres("psycopg is not installed: pip install -e '.[postgres]'")
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        _without_postgres("PostgreSQL does not run as root, and there is no user postgres to run it as")
    return Path(found).parent


def _without_postgres(reason: str) -> NoReturn:
    if os.environ.get("REGULARS_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"REGULARS_REQUIRE_POSTGRES=1, but: {reason}", pytrace=False)
    pytest.skip(reason)


def _as_server(*command: str | Path) -> None:
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    # Files, not pipes: the server keeps what it inherits open, and a pipe would never end.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False, **user
        )
        said.seek(0)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed:\n{said.read().decode(errors='replace')}")


def _start(programs: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    _as_server(
        programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
    )
    who = data / "pg_hba.conf"
    who.write_text(f"local all locked_out scram-sha-256\n{who.read_text()}")  # for the test of a wrong password
    (folder / "programs").symlink_to(programs)
    options = " ".join(f"-c {setting}" for setting in _SETTINGS)
    _as_server(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", f"-k {folder} {options}", "start")


def _remove(folder: Path) -> None:
    if (folder / "data" / "postmaster.pid").exists():
        _as_server((folder / "programs").readlink() / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}.lock").unlink(missing_ok=True)


def _clear_up_after_killed_runs() -> None:
    for old in _ROOM.glob(f"{_PREFIX}*[0-9]"):
        try:
            os.kill(int(old.name.removeprefix(_PREFIX)), 0)
        except ProcessLookupError:
            with contextlib.suppress(PermissionError, RuntimeError):  # another user's
                _remove(old)
        except PermissionError:  # another user's, and alive
            continue
