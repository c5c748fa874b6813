"""Where a fault happens: a folder and a migrated, empty database of its own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import postgres_server
from postgres_server import PostgresServer
from sqlalchemy import Engine

from engine.database.engines import open_db
from engine.database.migrations import migrate

from .tally import MissingError

KINDS = ("sqlite", "postgres")


@dataclass(frozen=True)
class Place:
    """``url`` is for ``open_db``, also in another process. ``root`` is an empty folder; SQLite's file lies in it."""

    kind: str
    root: Path
    url: str
    db: Engine


@contextmanager
def place(kind: str, *, room: Path | None = None) -> Iterator[Place]:
    """Give a place on ``sqlite`` or ``postgres``, and clear it away. ``room``: a folder to make it in."""
    with tempfile.TemporaryDirectory(dir=room or postgres_server.ROOM, prefix="regulars-fault-") as folder:
        root = Path(folder)
        if kind == "sqlite":
            shutil.copyfile(_migrated(), root / "regulars.db")
            yield from _opened(kind, root, f"sqlite:///{root / 'regulars.db'}")
            return
        postgres = server()
        name = postgres.create(postgres.migrated)
        try:
            yield from _opened(kind, root, postgres.url(name))
        finally:
            postgres.drop(name)


def _opened(kind: str, root: Path, url: str) -> Iterator[Place]:
    db = open_db(url)
    try:
        yield Place(kind, root, url, db)
    finally:
        db.dispose()


def server() -> PostgresServer:
    try:
        return postgres_server.running()
    except postgres_server.NoServerError as reason:
        raise MissingError(str(reason)) from None


@lru_cache
def _migrated() -> Path:
    """Make the SQLite file that every place begins as, once in a process."""
    folder = Path(tempfile.mkdtemp(dir=postgres_server.ROOM, prefix="regulars-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    db = open_db(f"sqlite:///{folder / 'regulars.db'}")
    migrate(db)
    db.dispose()
    return folder / "regulars.db"
