"""One file with all that a home is: the database as it is now, config, rules, templates and the key."""

from __future__ import annotations

import contextlib
import os
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Final

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
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name in KEPT:
                if (root / name).exists():
                    archive.add(root / name, name, filter=_anonymous)
            if database.exists():
                archive.add(database, DATABASE, filter=_anonymous)
        stream.flush()
        sync(stream.fileno())


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Keep files and folders, without the names of who owns them here."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isfile() or member.isdir() else None


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
