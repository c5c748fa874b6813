"""One home and one database that are brought back to the same beginning again and again, and workers to be killed there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine

from engine.database.engines import open_db
from engine.dispatch.journal import FOLDER, Record, records
from engine.vocabulary.home import Home

from . import places
from .scenes import SCENES, Scene, begin, furnish, keys_of
from .tally import Counts, integrity, reconcile
from .witness import Witness

#: How many others use the database.
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_MAKER = Path(__file__).with_name("maker.py")


class Lane:
    """``db`` is the driver's own engine; nobody is killed while it is used. Made by ``lane``."""

    def __init__(self, place: places.Place, witness: Witness) -> None:
        self.place = place
        self.db: Engine = place.db
        self.root = place.root / "home"
        self.kept, self.empty = place.root / "kept", place.root / "empty"
        self.witness = witness
        self.scene: Scene
        self.home: Home
        self.keys: dict[str, int] = {}
        self.unwritten: list[str] = []  #: what was accepted before the journal had it
        self.root.mkdir()
        if place.kind == "sqlite":
            (place.root / "regulars.db").rename(self.root / "regulars.db")
            self.db = open_db(self.url)
        assert integrity(self.db) == []  # makes what PostgreSQL checks itself with, for all that is copied from here
        self._keep(self.empty)
        self._maker = subprocess.Popen(
            [sys.executable, str(_MAKER), self.url, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )

    @property
    def url(self) -> str:
        return f"sqlite:///{self.root / 'regulars.db'}" if self.place.kind == "sqlite" else self.place.url

    def play(self, name: str) -> None:
        """Begin a scene in an empty home, and keep how it begins."""
        self._bring(self.empty)
        self.witness.seen = self._is_written
        self.scene = SCENES[name]
        furnish(self.root, self.scene, mail_port=self.witness.mail_port, sms_port=self.witness.sms_port)
        self.home = begin(self.db, self.root, self.scene)
        self.keys = keys_of(self.db, self.home)
        self._keep(self.kept)
        self._ask(f"play {name}")
        self.back()

    def back(self) -> None:
        """Bring home and database back to how the scene began."""
        self._bring(self.kept)
        self.witness.forget()
        self.unwritten.clear()

    def _keep(self, folder: Path) -> None:
        self.db.dispose()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root, folder)
        if self.place.kind == "postgres":
            copy = f"{self._name}_{folder.name}"
            self._postgres().run(f'DROP DATABASE IF EXISTS "{copy}"')
            self._postgres().run(f'CREATE DATABASE "{copy}" TEMPLATE "{self._name}"')

    def _bring(self, folder: Path) -> None:
        self.db.dispose()
        shutil.rmtree(self.root)
        shutil.copytree(folder, self.root)
        if self.place.kind == "postgres":
            self._postgres().drop(self._name)
            self._postgres().run(f'CREATE DATABASE "{self._name}" TEMPLATE "{self._name}_{folder.name}"')

    # Workers

    def fork(self) -> int:
        """Make a worker that waits at its gate; gives its number."""
        return int(self._ask("fork"))

    def go(self, worker: int) -> None:
        self._ask(f"go {worker}")

    def wait(self, worker: int | None = None) -> tuple[int, int]:
        """Wait for a worker's end, or for the first that ends; gives its number and its status (-9: killed)."""
        number, status = self._ask(f"wait {worker or 'any'}").split()
        return int(number), int(status)

    def run(self) -> int:
        """Let one worker do the task that nobody kills; gives its status."""
        worker = self.fork()
        self.go(worker)
        return self.wait(worker)[1]

    def settled(self) -> None:
        """Wait until nothing is under way any more that a dead worker began: at the witness, or in PostgreSQL."""
        self.witness.settled()
        if self.place.kind == "postgres":
            with self.db.connect() as conn:
                while conn.exec_driver_sql(_OTHERS).scalar():  # a dead one's COMMIT may be on its way
                    conn.rollback()

    def reconcile(self) -> Counts:
        """Hold the rows, the journal and the trail against what the witness accepted."""
        self.settled()
        return reconcile(self.db, self.witness.accepted, self.keys) + Counts(wrong=tuple(self.unwritten))

    def _is_written(self, key: str) -> None:
        """Called by the witness at the moment of an acceptance, before it answers."""
        written = {each.dispatch_id for each in records(self.root / FOLDER) if isinstance(each, Record)}
        if self.keys.get(key) not in written:
            self.unwritten.append("a message was accepted that the journal did not have yet")

    def close(self) -> None:
        assert self._maker.stdin is not None
        assert self._maker.stdout is not None
        self._maker.stdin.close()
        self._maker.stdout.close()
        self._maker.wait()
        self.db.dispose()
        if self.place.kind == "postgres":
            for folder in (self.kept, self.empty):
                self._postgres().run(f'DROP DATABASE IF EXISTS "{self._name}_{folder.name}"')

    def _ask(self, command: str) -> str:
        assert self._maker.stdin is not None
        assert self._maker.stdout is not None
        self._maker.stdin.write(command + "\n")
        self._maker.stdin.flush()
        said = self._maker.stdout.readline().strip()
        if not said:
            raise RuntimeError(f"the maker of workers is gone after {command!r}")
        return said

    @property
    def _name(self) -> str:
        return str(self.db.url.database)

    @staticmethod
    def _postgres() -> places.PostgresServer:
        return places.server()


@contextlib.contextmanager
def lane(kind: str) -> Iterator[Lane]:
    """Give a lane on ``sqlite`` or ``postgres``."""
    witness = Witness()
    try:
        with places.place(kind) as place:
            made = Lane(place, witness)
            try:
                yield made
            finally:
                made.close()
    finally:
        witness.close()
