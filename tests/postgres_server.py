"""The throw-away PostgreSQL server of a whole test run: one for all its workers, on a socket in a folder of its own.

It is started by the first that needs it and stopped at the end of the run. `NoServerError` says why there can be none.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.database.engines import open_db
from engine.database.migrations import migrate

#: Where this run's server lives; the workers of pytest-xdist inherit it.
_FOLDER = "REGULARS_TEST_POSTGRES"
_PREFIX = "regulars-postgres-"

#: Nothing here outlives the run, so nothing waits for a disk. The zone and the isolation are odd on purpose: `open_db` says
#: what it needs, whatever the server's habits are.
SETTINGS = (
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


def room() -> Path:
    """Where tests keep their files: in memory, where there is enough of it. To make a database takes a tenth there."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH:
        return memory
    return Path(tempfile.gettempdir())


_ENOUGH = 4 * 1024**3
ROOM = room()


#: Of databases that this process made.
_NUMBERS = itertools.count()


class PostgresServer:
    """The run's server: gives empty databases and databases that are migrated already."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{name}?host={self._folder}"

    def create(self, template: str = "template0") -> str:
        """Make a database; gives its name."""
        name = f"t_{os.getpid()}_{next(_NUMBERS)}"
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


class NoServerError(Exception):
    """Why PostgreSQL cannot be had on this machine."""


def announce() -> None:
    """Name the folder of this run's server; processes of this run inherit it."""
    os.environ[_FOLDER] = f"{ROOM}/{_PREFIX}{os.getpid()}"


def stop() -> None:
    """Stop this run's server, if it was ever started."""
    remove(Path(os.environ.pop(_FOLDER)))


def running() -> PostgresServer:
    """Give the run's server, started now if nobody needed it before. Raises `NoServerError`."""
    programs = find_programs()
    folder = Path(os.environ[_FOLDER])
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _clear_up_after_killed_runs()
            start(programs, folder)
    return PostgresServer(folder)


def find_programs() -> Path:
    """The folder of PostgreSQL's programs, the newest installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: float(file.parts[4]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if found is None:
        raise NoServerError("PostgreSQL is not installed here (no initdb in /usr/lib/postgresql/*/bin or on PATH)")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise NoServerError("psycopg is not installed: pip install -e '.[postgres]'") from None
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        raise NoServerError("PostgreSQL does not run as root, and there is no user postgres to run it as")
    return Path(found).parent


def as_server(*command: str | Path) -> None:
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    # Files, not pipes: the server keeps what it inherits open, and a pipe would never end.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False, **user
        )
        said.seek(0)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed:\n{said.read().decode(errors='replace')}")


def start(programs: Path, folder: Path, settings: Sequence[str] = SETTINGS) -> None:
    folder.mkdir(mode=0o700)
    give_to_server(folder)
    data = folder / "data"
    initialise(programs, data)
    who = data / "pg_hba.conf"
    who.write_text(f"local all locked_out scram-sha-256\n{who.read_text()}")  # for the test of a wrong password
    (folder / "programs").symlink_to(programs)
    launch(programs, data, folder, settings)


def give_to_server(folder: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")


def initialise(programs: Path, data: Path) -> None:
    as_server(
        programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
    )


def launch(programs: Path, data: Path, socket: Path, settings: Sequence[str]) -> None:
    """Start the server of ``data``, with its socket and its log in ``socket``."""
    options = " ".join(f"-c {setting}" for setting in settings)
    as_server(programs / "pg_ctl", "-D", data, "-w", "-l", socket / "log", "-o", f"-k {socket} {options}", "start")


def remove(folder: Path) -> None:
    if (folder / "data" / "postmaster.pid").exists():
        as_server((folder / "programs").readlink() / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}.lock").unlink(missing_ok=True)


def _clear_up_after_killed_runs() -> None:
    for old in ROOM.glob(f"{_PREFIX}*[0-9]"):
        try:
            os.kill(int(old.name.removeprefix(_PREFIX)), 0)
        except ProcessLookupError:
            with contextlib.suppress(PermissionError, RuntimeError):  # another user's
                remove(old)
        except PermissionError:  # another user's, and alive
            continue
