"""Bringing a backup back, and what is done so that nobody gets twice what has gone out since."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

from connectors.disk import sync_file
from engine.console.backing_up import DATABASE, KEPT
from engine.console.exits import MistypedError, Refusal
from engine.console.page import Page
from engine.console.session import Clock, alone, check_key, opened
from engine.console.words import counted
from engine.database.complaints import is_damage
from engine.database.engines import open_db, reading
from engine.database.migrations import migrate
from engine.database.places import check_sqlite, copy_sqlite, file_of
from engine.dispatch.instance import surroundings
from engine.dispatch.journal import files
from engine.dispatch.reconcile import Reconciled, reconcile
from engine.language.keys import KEY_FILE
from engine.vocabulary.home import Home, load_home

_SQLITE: Final = b"SQLite format 3\0"
_CONFIG: Final = "config/regulars.yaml"


def restored(
    root: Path,
    environ: Mapping[str, str],
    clock: Clock,
    file: Path | None,
    *,
    by: str | None,
    journals: Sequence[Path] = (),
) -> str:
    """Bring the backup ``file`` back (None: that was done by other means) and reconcile; say what was done.

    ``journals`` are those of other machines that send from the same database.
    """
    page = Page()
    for folder in journals:
        if not files(folder):
            raise MistypedError(f"there is no journal in {folder}: give a folder journal/ of another machine's home")
    if file is not None:
        with _unpacked(root, file, page) as database:
            home = load_home(root, environ, clock().date())
            with alone(root):
                _bring_back(home, database, clock(), page)
    with opened(root, environ, clock) as session, alone(root):
        now = clock()
        day_starts = session.home.config.day_starts
        around = replace(surroundings(root), others=tuple(journals))
        done = reconcile(session.db, around, name=session.by(by), now=now, day_starts=day_starts)
        _tell(page, done)
    return page.text


@contextlib.contextmanager
def _unpacked(root: Path, file: Path, page: Page) -> Iterator[Path]:
    """Give the backup's database as a file of its own, for a while; an empty home gets the other files too."""
    if not file.is_file():
        raise MistypedError(f"{file} is no file")
    staged = root / f".restoring-{DATABASE}"
    try:
        with file.open("rb") as stream:
            is_database = stream.read(len(_SQLITE)) == _SQLITE
        root.mkdir(parents=True, exist_ok=True)
        staged.touch(mode=0o600)
        if is_database:
            shutil.copyfile(file, staged)
        else:
            _unpack(root, file, staged, page)
        yield staged
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            staged.with_name(staged.name + ending).unlink(missing_ok=True)


def _unpack(root: Path, file: Path, staged: Path, page: Page) -> None:
    fresh, found, files = not (root / _CONFIG).exists(), False, 0
    try:
        with tarfile.open(file, "r:*") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                source = archive.extractfile(member) if member.isfile() else None
                if source is None or path.is_absolute() or ".." in path.parts:
                    continue
                wanted = fresh and path.parts[0] in KEPT
                missing_key = member.name == KEY_FILE and not (root / KEY_FILE).exists()
                if member.name == DATABASE:
                    target, found = staged, True
                elif wanted or missing_key:
                    target, files = root / path, files + 1
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch(mode=0o600)
                with target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except (tarfile.TarError, EOFError) as error:
        raise MistypedError(f"{file} is no backup of Regulars, or it is damaged ({type(error).__name__})") from None
    if not found:
        raise Refusal(
            f"There is no database in {file}: it was on a PostgreSQL server. Bring that back with pg_restore, then "
            "call `regulars restore --reconcile`"
        )
    if files:
        page.line(f"{counted(files, 'file')} of the config, rules, templates and the key are back.", "good")


def _bring_back(home: Home, database: Path, now: datetime, page: Page) -> None:
    """Let the home's database become what ``database`` is; the one that was there is kept beside it."""
    live = open_db(home.config.database_url)
    target = file_of(live)
    if target is None:
        raise Refusal(
            "The home's database is on a PostgreSQL server: bring it back there with pg_restore, then call "
            "`regulars restore --reconcile`"
        )
    check_sqlite(database)
    source = open_db(f"sqlite:///{database}")
    try:
        migrate(source)
        with reading(source).connect() as conn:
            check_key(conn, home)
        if target.exists():
            kept = target.with_name(f"{target.stem}-before-restore-{now:%Y%m%d-%H%M%S}{target.suffix}")
            _keep(target, kept)
            page.line(f"The database that was there is kept as {kept.name}.", "faint")
        copy_sqlite(source, target)
    finally:
        source.dispose()
        live.dispose()
    page.line("The database is back as it was at the backup.", "good")


def _keep(target: Path, kept: Path) -> None:
    """Keep a database under another name: a copy of a sound one, a damaged one with all that lies beside it."""
    live = open_db(f"sqlite:///{target}")
    try:
        copy_sqlite(live, kept)
    except Exception as error:
        if not is_damage(error):
            raise
        live.dispose()
        kept.unlink(missing_ok=True)
        for ending in ("-wal", "-shm", ""):
            beside = target.with_name(target.name + ending)
            if beside.exists():
                beside.replace(kept.with_name(kept.name + ending))
        sync_file(kept)
    finally:
        live.dispose()


def _tell(page: Page, done: Reconciled) -> None:
    """Say what was found out, what became of it, and what comes next."""
    if done.why is None:
        page.line("Nothing has gone out that the database does not know: it may send.", "good")
        return
    if done.uncertain:
        page.line(
            f"{counted(done.uncertain, 'message')} went out after the backup and may have arrived: uncertain now, and "
            "not sent again by themselves.",
            "care",
        )
    if done.lost:
        page.line(
            f"{counted(done.lost, 'message')} went out of which the database knows nothing any more: what a run finds "
            "for the same guest and step again is held.",
            "care",
        )
    if done.kept:
        page.line(
            f"{counted(done.kept, 'hand-over')} of the journal belong to messages that have their end here already: "
            "nothing changes for them.",
            "faint",
        )
    if not done.covered:
        why = "The database is a copy" if done.why == "copied" else "The journal does not tell what went out since"
        if done.absent and done.why != "copied":
            others = "1 other journal has" if done.absent == 1 else f"{done.absent} other journals have"
            why = f"{others} hand-overs of this database, as of another machine, not given with --journal DIR"
        held = "1 step is held" if done.held == 1 else f"{counted(done.held, 'step')} are held"
        page.line(
            f"{why}, so nothing goes out without you: {held} now, and {counted(done.rules, 'rule')} must be approved "
            "again.",
            "care",
        )
    if done.why == "restored":
        page.line(
            "What else happened since the backup is forgotten. Before the next run enter who unsubscribed and who "
            "was erased again, and import the till's files of those days. Codes of coupons that went out since are "
            "unknown here: honour them by hand.",
            "care",
        )
    page.heading("Next")
    if done.uncertain:
        page.line(
            "regulars log --state uncertain    then: regulars dispatch resolve ID --sent or --send-again", indent=2
        )
    if not done.covered:
        page.line("regulars log --state held         then: regulars approve RULE, or --reject", indent=2)
    page.line("regulars run --dry-run            shows what the next run would do", indent=2)
