"""Bringing a backup back, and what is done so that nobody gets twice what has gone out since."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, select

from connectors.disk import sync_file
from engine.console.backing_up import DATABASE
from engine.console.exits import MistypedError, Refusal
from engine.console.page import Page
from engine.console.session import Clock, alone, check_key, opened
from engine.console.unpacking import move_in, unpack
from engine.console.words import counted
from engine.database.complaints import is_damage
from engine.database.engines import open_db, reading
from engine.database.migrations import is_of_regulars, migrate, schema_is_current
from engine.database.places import check_sqlite, copy_sqlite, file_of
from engine.database.tables import customers, endpoints
from engine.dispatch.instance import lineage, surroundings
from engine.dispatch.journal import files
from engine.dispatch.reconcile import Reconciled, reconcile
from engine.language.keys import KEY_FILE, KeyFileError, load_key
from engine.vocabulary.home import Home, load_home

_SQLITE: Final = b"SQLite format 3\0"


def restored(
    root: Path,
    environ: Mapping[str, str],
    clock: Clock,
    file: Path | None,
    *,
    by: str | None,
    hold: bool = False,
    journals: Sequence[Path] = (),
) -> str:
    """Bring the backup ``file`` back (None: that was done by other means) and reconcile; say what was done.

    ``journals`` are those of other machines that send from the same database; ``hold`` lets everything wait.
    """
    page = Page()
    for folder in journals:
        if not files(folder):
            raise MistypedError(f"there is no journal in {folder}: give a folder journal/ of another machine's home")
    if file is not None:
        if not file.is_file():
            raise MistypedError(f"{file} is no file")
        root.mkdir(parents=True, exist_ok=True)
        with alone(root), _staged(root, file) as staged:
            _look(root, staged)
            if came := move_in(staged, root):
                page.line(f"{counted(came, 'file')} of the config, rules, templates and the key are back.", "good")
            if not (staged / DATABASE).exists():
                raise Refusal(
                    f"There is no database in {file}: it was on a PostgreSQL server. Bring that back with pg_restore, "
                    "then call `regulars restore --reconcile`"
                )
            _bring_back(load_home(root, environ, clock().date()), staged / DATABASE, clock(), page)
    with opened(root, environ, clock) as session, alone(root):
        now = clock()
        day_starts = session.home.config.day_starts
        around = replace(surroundings(root), others=tuple(journals))
        done = reconcile(session.db, around, name=session.by(by), now=now, day_starts=day_starts, hold=hold)
        _tell(page, done)
    return page.text


@contextlib.contextmanager
def _staged(root: Path, file: Path) -> Iterator[Path]:
    """Lay out a backup, or a database alone, in a folder beside the home's own, for a while."""
    staged = root / ".restoring"
    shutil.rmtree(staged, ignore_errors=True)  # of one that was killed
    staged.mkdir(mode=0o700)
    try:
        with file.open("rb") as stream:
            is_database = stream.read(len(_SQLITE)) == _SQLITE
        if is_database:
            shutil.copyfile(file, staged / DATABASE)
        else:
            unpack(file, staged)
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _look(root: Path, staged: Path) -> None:
    """Refuse a database that is not ours, or of another key than the home has or gets; nothing was touched yet."""
    database = staged / DATABASE
    if not database.exists():
        return
    check_sqlite(database)
    source = open_db(f"sqlite:///{database}")
    try:
        if not is_of_regulars(source):
            raise MistypedError("The database in it is none of Regulars. Nothing was changed: take another backup")
        migrate(source)
        try:
            key = load_key(root)
        except KeyFileError:
            if not (staged / KEY_FILE).exists():
                raise
            key = load_key(staged)
        with reading(source).connect() as conn:
            check_key(conn, key)
    finally:
        source.dispose()


def _are_strangers(source: Engine, target: Path) -> bool:
    """Tell whether a database would take the place of one with guests, though neither was ever the other."""
    live = open_db(f"sqlite:///{target}")
    try:
        if not schema_is_current(live):
            return False
        with reading(live).connect() as conn, reading(source).connect() as other:
            ours, theirs = lineage(conn), lineage(other)
            strange = ours and not ours & theirs if theirs else not other.scalar(select(endpoints.c.id).limit(1))
            return bool(strange) and conn.scalar(select(customers.c.id).limit(1)) is not None
    except Exception as error:
        if not is_damage(error):
            raise
        return False
    finally:
        live.dispose()


def _bring_back(home: Home, database: Path, now: datetime, page: Page) -> None:
    """Let the home's database become what ``database`` is; the one that was there is kept beside it."""
    live = open_db(home.config.database_url)
    target = file_of(live)
    if target is None:
        raise Refusal(
            "The home's database is on a PostgreSQL server: bring it back there with pg_restore, then call "
            "`regulars restore --reconcile`"
        )
    source = open_db(f"sqlite:///{database}")
    try:
        if target.exists():
            if _are_strangers(source, target):
                raise MistypedError(
                    "The database in it is not an earlier state of this home's, which has guests. Nothing was changed. "
                    f"If it is to take its place all the same, move {target.name} away first"
                )
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
