"""The databases that are measured on: made once for a size, kept in a folder, opened as homes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from benchmarks import crowd, loading
from benchmarks.measure import Skipped
from benchmarks.postgres import NoServerError, Server, serving
from engine.database.engines import open_db
from engine.database.migrations import REVISIONS, migrate
from engine.database.tables import metadata
from engine.language.keys import KEY_FILE
from engine.starter.home import HomeAnswers, create_home
from engine.vocabulary.home import Home, load_home

DATABASES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True)
class World:
    """One database of one size with the crowd in it, and a home of its own that points at it."""

    name: str  #: sqlite or postgresql
    size: int
    url: str
    root: Path  #: of the home
    home: Home
    db: Engine
    ground: Ground = field(repr=False)

    @contextmanager
    def copy(self) -> Iterator[World]:
        """Give a copy of the database, and a new home for it, both thrown away at the end."""
        with self.ground.copied(self) as mine:
            yield mine


@dataclass
class Ground:
    """Where databases of any size come from. ``size``: of this call, in guests with ten orders each."""

    size: int
    keep: Path
    scratch: Path
    databases: Sequence[str] = DATABASES
    missing: str = ""  #: why there is no PostgreSQL
    _server: Server | None = None
    _open: dict[tuple[str, int], World] = field(default_factory=dict)
    _numbers: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _shared: dict[tuple[str, ...], World] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.keep.mkdir(parents=True, exist_ok=True)
        for left in self.keep.glob("scratch-*"):  # of a run that was killed
            if left.absolute() != self.scratch:
                shutil.rmtree(left, ignore_errors=True)
        if "postgresql" in self.databases:
            try:
                self._server = self._stack.enter_context(serving(self.keep))
                for name in self._server.names():
                    if name.startswith("copy-"):
                        self._server.drop(name)
            except (NoServerError, RuntimeError, PermissionError) as why:
                self.missing = str(why).strip().replace("\n", " ")
        return self

    def __exit__(self, *_: object) -> None:
        for world in self._open.values():
            world.db.dispose()
        self._stack.close()

    def server(self) -> Server:
        """Give the server of PostgreSQL; ``Skipped`` where there is none."""
        if self._server is None:
            raise Skipped(self.missing or "PostgreSQL was not asked for")
        return self._server

    def world(self, name: str, size: int | None = None) -> World:
        """Give the world of that database and size, made now where there is none. Roll back what you write in it."""
        guests = size or self.size
        if (name, guests) not in self._open:
            url = self._sqlite(guests) if name == "sqlite" else self._postgresql(guests)
            self._open[name, guests] = self._opened(name, guests, url)
        return self._open[name, guests]

    def version(self) -> str:
        """Give PostgreSQL's version, or why it has none."""
        if self._server is None:
            return f"none ({self.missing or 'not asked for'})"
        return self._server.version()

    def shared(self, what: str, world: World, made: Callable[[World], AbstractContextManager[World]]) -> World:
        """Give a world that several measures use, made when first asked for; each leaves it as it was."""
        key = (what, world.name, str(world.size))
        if key not in self._shared:
            self._shared[key] = self._stack.enter_context(made(world))
        return self._shared[key]

    @contextmanager
    def copied(self, world: World) -> Iterator[World]:
        """Copy a world's database; see ``World.copy``."""
        self._numbers += 1
        world.db.dispose()
        if world.name == "sqlite":
            file = self.scratch / f"copy-{self._numbers}.db"
            clone(Path(world.url.removeprefix("sqlite:///")), file)
            url = f"sqlite:///{file}"
        else:
            name = f"copy-{os.getpid()}-{self._numbers}"
            self.server().create(name, self._key(world.size))
            url = self.server().url(name)
        mine = self._opened(world.name, world.size, url)
        try:
            yield mine
        finally:
            mine.db.dispose()
            if world.name == "sqlite":
                for each in self.scratch.glob(f"{file.name}*"):
                    each.unlink()
            else:
                self.server().drop(name)
            shutil.rmtree(mine.root)

    @contextmanager
    def home(self, url: str) -> Iterator[Path]:
        """Give the folder of a new home for that database, thrown away at the end."""
        root = self._home(url)
        yield root
        shutil.rmtree(root)

    def _home(self, url: str) -> Path:
        self._numbers += 1
        root = self.scratch / f"home-{self._numbers}"
        create_home(root, answers=HomeAnswers())
        config = root / "config" / "regulars.yaml"
        written = config.read_text(encoding="utf-8")
        line = next(line for line in written.splitlines() if line.startswith("database:"))
        config.write_text(written.replace(line, f"database: {url}"), encoding="utf-8")
        (root / KEY_FILE).write_text(f"{crowd.KEY.hex()}\n", encoding="ascii")
        return root

    def _opened(self, name: str, size: int, url: str) -> World:
        root = self._home(url)
        return World(name, size, url, root, load_home(root, os.environ), open_db(url), self)

    def _key(self, size: int) -> str:
        return f"crowd-{size}-{_tables()}-{crowd.VERSION}"

    def _sqlite(self, size: int) -> str:
        """Give the address of the file, filled first where there is none."""
        file = (self.keep / f"{self._key(size)}.db").absolute()
        if not file.exists():
            making = file.with_suffix(".making")
            for old in self.keep.glob(f"crowd-{size}-*"):  # of other tables or an older crowd, or half made
                old.unlink()
            db = open_db(f"sqlite:///{making}")
            migrate(db)
            db.dispose()
            crowd.fill(making, size)
            loading.settle(making)
            making.rename(file)
        return f"sqlite:///{file}"

    def _postgresql(self, size: int) -> str:
        """Give the address of the database, filled first from the file of SQLite where there is none."""
        server, name = self.server(), self._key(size)
        if name not in server.names():
            source = Path(self._sqlite(size).removeprefix("sqlite:///"))
            making = f"making-{size}"
            for old in server.names():
                if old == making or old.startswith(f"crowd-{size}-"):
                    server.drop(old)
            server.create(making)
            db = open_db(server.url(making))
            migrate(db)
            loading.transfer(source, db)
            db.dispose()
            server.rename(making, name)
        return server.url(name)


def clone(file: Path, to: Path) -> None:
    """Copy a file, without copying its blocks where the file system can share them."""
    subprocess.run(["cp", "--reflink=auto", str(file), str(to)], check=True)


def _tables() -> str:
    """What a kept database's tables must be: the revision, and a digest of all their definitions."""
    dialect = sqlite.dialect()
    told = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    told += [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.sorted_tables
        for index in loading.indexes_of(table)
    ]
    return f"{REVISIONS[-1]}{hashlib.sha256(''.join(told).encode()).hexdigest()[:8]}"
