"""Who sends from one database: each machine's home has a journal of its own, and a restore must ask all of them.

A journal is known by a name that stays with its folder, and that no copy of the folder has. The database lists who
sends from it; and beside its journal every home keeps the list as it last saw it, for a database that is brought back
has forgotten who came later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, delete, select

from engine.database.engines import reading
from engine.database.sql import upsert
from engine.database.tables import senders
from engine.dispatch.instance import Surroundings
from engine.dispatch.journal import to_read

#: In a journal's folder: who it is, and whom it has seen sending from the same database.
FILE: Final = "senders"
_LINE: Final = re.compile(r"(mine|seen) ([0-9a-f]{32})")


def name_of(around: Surroundings) -> str:
    """Give the name of the home's journal, 32 hexadecimal digits; empty while there is none."""
    try:
        number = around.journal.stat().st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{around.machine}:{number}".encode()).hexdigest()[:32]


def enlist(db: Engine, around: Surroundings, now: datetime) -> str:
    """Let the database and the journal know who sends from here, and who else does; give the journal's name.

    What cannot be written beside the journal is left out: then this journal does not vouch for itself elsewhere.
    """
    with contextlib.suppress(OSError):
        around.journal.mkdir(mode=0o700, exist_ok=True)
    name = name_of(around)
    if not name:
        return ""  # without a journal nothing is sent
    with reading(db).connect() as conn:
        known = set(conn.scalars(select(senders.c.name)))
    if name not in known:
        with db.begin() as conn:
            conn.execute(upsert(conn, senders).values(name=name, since=now).on_conflict_do_nothing())
    mine, seen = _read(around.journal)
    _write(around.journal, name, (mine | seen | known) - {name})
    return name


def absent(conn: Connection, around: Surroundings) -> set[str]:
    """Give the names of those known to send from this database whose journals are not at hand.

    Raises ``JournalError`` where the list beside a journal cannot be read.
    """
    here, known = {name_of(around)}, set(conn.scalars(select(senders.c.name)))
    for folder in around.journals:
        mine, seen = _read(folder)
        known |= mine | seen
        if folder != around.journal:
            here |= mine
    return known - here


def forget_others(conn: Connection, around: Surroundings) -> None:
    """Let only this home be known: a person decides about everything, and who sends again is listed again."""
    name = name_of(around)
    conn.execute(delete(senders).where(senders.c.name != name))
    if name:
        _write(around.journal, name, set())


def _read(folder: Path) -> tuple[set[str], set[str]]:
    """Give the names that the journal has, and those that it has seen."""
    file = folder / FILE
    if not os.path.lexists(file):
        return set(), set()
    with to_read(file) as lines:
        found = [_LINE.fullmatch(line.decode("ascii", errors="replace").strip()) for line in lines]
    names = [(each[1], each[2]) for each in found if each is not None]
    return {name for kind, name in names if kind == "mine"}, {name for kind, name in names if kind == "seen"}


def _write(folder: Path, name: str, seen: set[str]) -> None:
    text = "".join(f"{line}\n" for line in (f"mine {name}", *(f"seen {each}" for each in sorted(seen))))
    file, draft = folder / FILE, folder / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        if file.is_file() and file.read_text(encoding="ascii", errors="replace") == text:
            return
        draft.write_text(text, encoding="ascii")
        draft.replace(file)
