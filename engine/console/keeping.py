"""What the doctor says of the database's place, its months, its journal and its backups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Connection, func, select

from engine.console.session import Session
from engine.console.words import counted, moment
from engine.database.months import month_of, waits_for_its_own
from engine.database.tables import audit, runs
from engine.dispatch import instance as instances
from engine.dispatch.instance import StrangeDatabaseError, surroundings
from engine.dispatch.journal import JournalError, files

#: In the trail: a backup was made.
BACKUP: Final = "backup"
#: A backup that is older is told of, and so is a home that has run for so long without any.
OLD: Final = timedelta(days=7)


def findings(
    session: Session, conn: Connection, now: datetime
) -> Iterator[tuple[Literal["good", "care", "bad"], str, str]]:
    """Give a verdict, what it is about, and a sentence each; nothing is changed."""
    around = surroundings(session.home.root)
    folder = around.journal
    try:
        files(folder)
        if (why := instances.strange(session.db, around)) is not None:
            yield "bad", "database", str(StrangeDatabaseError(why))
    except JournalError as error:
        yield "bad", "journal", str(error)
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        yield "bad", "journal", f"{folder} cannot be written, so nothing can be sent: it must belong to who calls `run`"
    if waits_for_its_own(conn, month_of(now)):
        said = "this one has no partition yet, so its messages stand in the one by default: let the role that owns the "
        yield "care", "months", f"{said}tables call `regulars months` each month (docs/chain.md, Roles)"
    last = conn.scalar(select(func.max(audit.c.at)).where(audit.c.action == BACKUP))
    if last is not None:
        when, days = moment(last, session.zone), (now - last).days
        age = "" if now - last <= OLD else f", {counted(days, 'day')} old: call `regulars backup` every day"
        yield "care" if age else "good", "backup", f"the last one is of {when}{age}"
        return
    first = conn.scalar(select(func.min(runs.c.started_at)))
    if first is not None and now - first > OLD:
        yield "care", "backup", "there is none yet: `regulars backup` makes one; call it every day"
