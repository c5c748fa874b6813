"""The benchmark's own PostgreSQL server: its data are kept between runs, and what is committed is on the disk."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.postgres_server import NoServerError, as_server, find_programs, give_to_server, initialise, launch

#: As an owner would set it on a machine like this one: a quarter of a small server's memory, and every commit synced.
SETTINGS: Final = (
    "listen_addresses=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=1GB",
    "effective_cache_size=8GB",
    "work_mem=64MB",
    "maintenance_work_mem=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "random_page_cost=1.1",
    "max_connections=100",
    "timezone=UTC",
)

__all__ = ["NoServerError", "Server", "serving"]


class Server:
    """Makes databases, copies and drops them."""

    def __init__(self, socket: Path, data: Path) -> None:
        self._socket = socket
        self.data = data

    def url(self, name: str) -> str:
        """Give the address of a database."""
        return f"postgresql://postgres@/{name}?host={self._socket}"

    def version(self) -> str:
        """Give the server's version."""
        return str(self._ask("SHOW server_version")[0][0])

    def names(self) -> list[str]:
        """Give the names of all databases."""
        return [row[0] for row in self._ask("SELECT datname FROM pg_database")]

    def create(self, name: str, template: str = "template0") -> None:
        """Make a database, as a copy of another one that nobody is connected to."""
        self._ask(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self._ask(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def rename(self, name: str, to: str) -> None:
        """Give a database another name."""
        self._ask(f'ALTER DATABASE "{name}" RENAME TO "{to}"')

    def _ask(self, statement: str) -> list[tuple[str, ...]]:
        import psycopg

        with psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres", autocommit=True) as conn:
            asked = conn.execute(statement.encode())
            return asked.fetchall() if asked.description else []


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start the server that keeps its data in ``folder``, made where there is none; stop it at the end.

    Raises ``NoServerError`` where there is no PostgreSQL.
    """
    programs = find_programs()
    version = programs.parent.name
    data = (folder / f"postgresql-{version}").absolute()
    with tempfile.TemporaryDirectory(prefix="regulars-bench-", dir="/tmp") as socket:
        give_to_server(Path(socket))
        if (data / "postmaster.pid").exists():  # of a run that was killed: the folder is ours alone
            stop(programs, data)
        if not (data / "PG_VERSION").exists():
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            give_to_server(data)
            initialise(programs, data)
        launch(programs, data, Path(socket), SETTINGS)
        try:
            yield Server(Path(socket), data)
        finally:
            stop(programs, data)


def stop(programs: Path, data: Path) -> None:
    """Stop the server of ``data``, where it runs."""
    with contextlib.suppress(RuntimeError):
        as_server(programs / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
