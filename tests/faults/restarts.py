"""PostgreSQL goes away in the middle: at the k-th statement, before the k-th commit, and after it, its answer lost.

The quick way ends the connection (`pg_terminate_backend`); the thorough one restarts the server as a crash would. The
server is of this test's own, and waits for its disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import postgres_server
import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from .day import Cafe
from .storage import finished, unfit
from .tally import Counts, MissingError, Scale, Tally

SETTINGS = tuple(
    each for each in postgres_server.SETTINGS if not each.startswith(("fsync", "synchronous_commit", "full_page"))
)
_seen = 0


def break_at(what: str) -> None:
    """Of this process: break what it does with the database. ``what``: number, how, and the server's folder.

    Statements and commits are counted together from 1. ``before``: the connection ends, then it is asked.
    ``lost``: a commit is made, then the connection ends; a statement is as with ``before``. ``restart``: the server.
    """
    number, how, folder = what.split(",")

    def due() -> bool:
        global _seen  # noqa: PLW0603 (one process, one fault)
        _seen += 1
        return _seen == int(number)

    def asked(conn: Any, *_: Any) -> None:
        if conn.dialect.name == "postgresql" and due():
            _end(conn.connection.driver_connection, how, folder)

    really = PGDialect_psycopg.do_commit

    def committed(self: Any, raw: Any) -> None:
        if not due():
            really(self, raw)
            return
        driver = raw.driver_connection
        if how == "lost":
            really(self, raw)
            _end(driver, how, folder)
            driver.execute("SELECT 1")  # the driver's own complaint, in the commit's place
        _end(driver, how, folder)
        really(self, raw)

    event.listen(Engine, "before_cursor_execute", asked)
    PGDialect_psycopg.do_commit = committed


def _end(driver: psycopg.Connection, how: str, folder: str) -> None:
    if how == "restart":
        restart(Path(folder))
        return
    with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [driver.info.backend_pid])


def count_only(where: str) -> None:
    """Of this process: count, and leave the number in a file."""
    break_at("0,before,")

    def noted(*_: Any) -> None:
        Path(where).write_text(str(_seen))

    event.listen(Engine, "before_cursor_execute", noted)


def restart(folder: Path) -> None:
    """Crash the server and start it again; return when it answers."""
    program = (folder / "programs").readlink() / "pg_ctl"
    postgres_server.as_server(program, "-D", folder / "data", "-m", "immediate", "-w", "-l", folder / "log", "restart")


@contextmanager
def own_server() -> Iterator[tuple[postgres_server.PostgresServer, Path]]:
    """Start a server that waits for its disk. Raises ``MissingError`` where there can be none."""
    try:
        programs = postgres_server.find_programs()
    except postgres_server.NoServerError as reason:
        raise MissingError(str(reason)) from None
    folder = Path(tempfile.mkdtemp(dir=postgres_server.ROOM, prefix="regulars-own-")) / "server"
    folder.parent.chmod(0o755)
    try:
        postgres_server.start(programs, folder, SETTINGS)
        yield postgres_server.PostgresServer(folder), folder
    finally:
        postgres_server.remove(folder)
        shutil.rmtree(folder.parent, ignore_errors=True)


def statements(cafe: Cafe) -> int:
    """Count the statements and commits of a whole day."""
    root = cafe.home()
    done = cafe.command(root, "run", seed=f"faults.restarts:count_only:{root}/count").run()
    assert done.told["code"] == 0, done
    return int((root / "count").read_text()) + 1


def gone(hows: tuple[str, ...], sample: int) -> Any:
    """Let the database go away at the k-th statement or commit of a day; the next runs find it back."""

    def fault(scale: Scale) -> Tally:
        chance, counts, tries, told = Random(scale.seed), Counts(), 0, 0
        room = tempfile.TemporaryDirectory(dir=postgres_server.ROOM)
        with own_server() as (server, folder), room as root, Cafe(Path(root), guests=2, server=server) as cafe:
            total = statements(cafe)
            wanted = scale.pick(sample, total * len(hows))
            for number in range(wanted):
                every = wanted == total * len(hows)
                k = 1 + (number // len(hows) if every else int((number + chance.random()) * total / wanted))
                how = hows[number % len(hows)]
                home = cafe.home()
                done = cafe.command(home, "run", seed=f"faults.restarts:break_at:{k},{how},{folder}").run()
                told += bool(done.told and done.told["code"] == 75)
                counts += Counts(wrong=tuple(f"{how} {k}: {each}" for each in unfit(done)))
                counts += finished(cafe, home)
                tries += 1
        return Tally.of(
            "", tries, counts, note=f"{told} of {tries} said so and ended with 75; {total} statements a day"
        )

    return fault


FAULTS = {
    "PostgreSQL ends the connection at the k-th statement": gone(("before", "lost"), 4),
    "PostgreSQL is restarted at the k-th statement": gone(("restart",), 1),
}
