"""One file with all that a home is: the database as it is now, config, rules, templates and the key."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import IO, Final

from sqlalchemy import URL, insert, update

from connectors.disk import sync, sync_file
from engine.console.exits import MistypedError
from engine.console.keeping import BACKUP
from engine.console.page import Page
from engine.console.session import Session
from engine.console.words import moment
from engine.database.engines import open_db
from engine.database.places import copy_sqlite, file_of
from engine.database.tables import audit, instance
from engine.dispatch.instance import identity
from engine.language.keys import KEY_FILE

FOLDER: Final = "backups"
#: The database's name inside of a backup.
DATABASE: Final = "regulars.db"
#: Its last file: the SHA-256 of each before it, in hexadecimal, by which damage is noticed.
CONTENTS: Final = "contents.json"
#: What of a home is in a backup besides; not the journal, which only the home itself can have up to date.
KEPT: Final = ("config", "rules", "templates", ".vscode", ".gitignore", KEY_FILE)


def backup(session: Session, file: Path | None, now: datetime) -> str:
    """Write a backup into ``file`` (None: into the home's folder ``backups``); say where it is and what is in it."""
    target = (file or _named(session, now)).expanduser().absolute()
    if target.exists():
        raise MistypedError(f"{target} is there already; name another file, or none")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft, database = target.with_name(f".{target.name}.draft"), target.with_name(f".{target.name}.db")
    with _removed(draft, database):
        if file_of(session.db) is not None:
            with session.db.begin() as conn:
                identity(conn)  # before the copy: both are one, though nothing was ever run
            copy_sqlite(session.db, database)
            _mark(database, now)
        _pack(session.home.root, database, draft)
        draft.replace(target)
    sync_file(target)
    with session.db.begin() as conn:
        conn.execute(insert(audit).values(at=now, actor=session.by(None), action=BACKUP))
    return _said(session, target, now)


def _named(session: Session, now: datetime) -> Path:
    local = now.astimezone(session.zone)
    names = (f"regulars-{local:{form}}.tar.gz" for form in ("%Y-%m-%d-%H%M", "%Y-%m-%d-%H%M%S"))
    files = [session.home.root / FOLDER / name for name in names]
    return next((each for each in files if not each.exists()), files[-1])


@contextlib.contextmanager
def _removed(*files: Path) -> Iterator[None]:
    """Leave none of these files behind, nor what SQLite keeps beside them."""
    try:
        yield
    finally:
        for each in files:
            for ending in ("", "-wal", "-shm", "-journal"):
                each.with_name(each.name + ending).unlink(missing_ok=True)


def _mark(database: Path, now: datetime) -> None:
    """Let the copy know that it is one: brought back by hand, it sends nothing before it is reconciled."""
    copy = open_db(f"sqlite:///{database}")
    try:
        with copy.begin() as conn:
            identity(conn)
            conn.execute(update(instance).values(backup_at=now))
    finally:
        copy.dispose()


def _pack(root: Path, database: Path, draft: Path) -> None:
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:gz", dereference=True) as archive:
            sums: dict[str, str] = {}
            for name in KEPT:
                for each in (root / name, *sorted((root / name).rglob("*"))):
                    _add(archive, each, each.relative_to(root).as_posix(), sums)
            _add(archive, database, DATABASE, sums)
            listed = json.dumps(sums, indent=1).encode()
            member = tarfile.TarInfo(CONTENTS)
            member.size, member.mode = len(listed), 0o600
            archive.addfile(member, io.BytesIO(listed))
        stream.flush()
        sync(stream.fileno())


class _Summed:
    """A file that is read, with the checksum of what was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.total = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        portion = self._stream.read(size)
        self.total.update(portion)
        return portion


def _add(archive: tarfile.TarFile, file: Path, name: str, sums: dict[str, str]) -> None:
    """Put a file or folder in, without the names of who owns it here; leave out what is neither, and what is not."""
    if file.is_symlink() or not (file.is_file() or file.is_dir()):
        return
    member = archive.gettarinfo(file, name)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    if member.isdir():
        archive.addfile(member)
        return
    with file.open("rb") as stream:
        summed = _Summed(stream)
        archive.addfile(member, summed)
    sums[name] = summed.total.hexdigest()


def _said(session: Session, target: Path, now: datetime) -> str:
    page, whole = Page(), file_of(session.db) is not None
    what = f"the database as of {moment(now, session.zone)}, " if whole else ""
    page.line(f"{target}: {what}config, rules, templates and {KEY_FILE}.", "good")
    if not whole:
        command = (
            f"pg_dump --format=custom --file={quote(str(target.with_name('regulars.dump')))} {_address(session.db.url)}"
        )
        page.line(
            "The database is on a PostgreSQL server and not in it. Save it too; it asks for the password:", "care"
        )
        page.line(command, indent=2)
    page.line("Whoever has it can read who your guests are: keep it where only you can, and not only on this machine.")
    page.line("Not in it: secrets/, inbox/, outbox/, and the journal, which must never be brought back.", "faint")
    return page.text


def _address(url: URL) -> str:
    """Give the address of a PostgreSQL database without its password, quoted for a shell."""
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return quote(plain.render_as_string())
