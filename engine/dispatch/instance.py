"""Which database this is, and whether it is still the one that everything was sent from.

A copy of a database, or one that was restored from a backup, would send again what has gone out. Before anything is
checked or sent, its place is compared with the one it was last used at, and its trail with the journal beside it and
with a witness outside of the home.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, Engine, and_, bindparam, insert, or_, select, update

from engine.database.engines import reading
from engine.database.places import is_same_machine, is_same_place, place_of
from engine.database.retention import horizon
from engine.database.sql import Id, upsert
from engine.database.tables import audit, dispatches, instance
from engine.dispatch import journal
from engine.dispatch.journal import Record
from engine.dispatch.states import State, move_all
from engine.evaluation.clock import last_believed

Why = Literal["copied", "restored"]
#: So many records at the end of each of the journal's files are looked for in the database.
LOOKED_AT: Final = 64
CURE: Final = "regulars restore --reconcile"
#: The trail's word for a record of the journal that a person has settled: see ``reconcile.py``.
SETTLED: Final = "reconciled"

#: What it was called before. Such a row is of no dispatch: by that the trail is not read as a whole.
_BEFORE: Final = select(audit.c.before).where(
    audit.c.dispatch_id.is_(None), audit.c.action == "reconcile", audit.c.before.is_not(None)
)
_FENCE = and_(audit.c.action == "move", audit.c.before == "claimed", audit.c.after == "handoff")
_KNOWN: Final = select(audit.c.dispatch_id, audit.c.token).where(
    audit.c.dispatch_id.in_(bindparam("ids", expanding=True, type_=Id)), or_(_FENCE, audit.c.action == SETTLED)
)

_SAID: Final[dict[Why, str]] = {
    "copied": (
        "This database is a copy: it was last used at another place, where Regulars may still be sending from it. "
        f"Nothing is checked or sent from here. If this is the one to go on with, stop the other one and call: {CURE}"
    ),
    "restored": (
        "This database is older than what has been sent from this home: it was restored from a backup. So that nobody "
        f"gets anything twice, nothing is checked or sent. Call: {CURE}"
    ),
}


class StrangeDatabaseError(Exception):
    """The database was copied or restored, so nothing may be checked or sent. The text is plain, with the cure."""

    def __init__(self, why: Why) -> None:
        super().__init__(_SAID[why])
        self.why: Why = why


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies about a database: its home's journal, and the folder outside of every home where witnesses lie."""

    journal: Path
    witnesses: Path | None  #: None: nobody is asked
    machine: str  #: names this computer; empty where it has no name
    others: tuple[Path, ...] = ()  #: journals of other machines that send from the same database, as far as given

    @property
    def journals(self) -> tuple[Path, ...]:
        """All journals at hand, the home's own first."""
        return (self.journal, *self.others)


@dataclass(frozen=True, slots=True)
class Beside:
    """The last hand-overs that are known outside of the database."""

    latest: Sequence[Record]  #: the ends of the journal's files
    witness: tuple[int, int] | None  #: dispatch id and token
    witnessed_at: datetime | None  #: when it was written


def surroundings(root: Path) -> Surroundings:
    """Give what lies about the database of the home at ``root``, on this machine."""
    from platformdirs import user_state_path

    return Surroundings(root / journal.FOLDER, user_state_path("regulars", appauthor=False), machine_id())


def identity(conn: Connection) -> str:
    """Give the database's identity, 32 hexadecimal digits, made at the first time."""
    known = conn.scalar(select(instance.c.identity))
    if known is None:
        made = upsert(conn, instance).values(id=1, identity=fresh())
        conn.execute(made.on_conflict_do_nothing())
        known = conn.scalar(select(instance.c.identity))
    return str(known)


def fresh() -> str:
    """Make an identity that no other database has."""
    return secrets.token_hex(16)


def recognise(db: Engine, around: Surroundings, now: datetime) -> str:
    """Give the database's identity where it may be sent from, and remember its place at the first time.

    Else raises ``StrangeDatabaseError``; of a copy everything that is not final is then held. Raises
    ``JournalError`` where the journal cannot be read.
    """
    seen = _beside(db, around)
    if seen is not None:
        with reading(db).connect() as conn:
            row = conn.execute(select(instance)).one()
            if row.place == place_of(conn, around.machine) and why(conn, around, seen) is None:
                return str(row.identity)
    with db.begin() as conn:
        known, found = identity(conn), why(conn, around)
        if found is not None:
            _stop(conn, found, now)
        elif conn.scalar(select(instance.c.place)) is None:
            conn.execute(update(instance).values(place=place_of(conn, around.machine)))
    if found is not None:
        raise StrangeDatabaseError(found)
    return known


def strange(db: Engine, around: Surroundings) -> Why | None:
    """Tell what keeps the database from sending, also while others send from it; None: nothing. Changes nothing.

    Raises ``JournalError`` where the journal cannot be read.
    """
    seen = _beside(db, around)
    if seen is None:
        return None
    with reading(db).connect() as conn:
        return why(conn, around, seen)


def _beside(db: Engine, around: Surroundings) -> Beside | None:
    """Read what is known outside, before a transaction is begun that is held against it; None: it was never used.

    The other way round, what is handed over in between would be news to the database.
    """
    with reading(db).connect() as conn:
        known = conn.scalar(select(instance.c.identity))
    return None if known is None else _outside(around, str(known))


def _outside(around: Surroundings, known: str) -> Beside:
    latest = [each for folder in around.journals for each in journal.last(folder, LOOKED_AT)]
    return Beside(latest, witnessed(around, known), _witnessed_at(around, known))


def why(conn: Connection, around: Surroundings, seen: Beside | None = None) -> Why | None:
    """Tell what keeps the database from sending; None: nothing. It must have its identity already.

    ``seen`` is what is known outside; None: it is read here, while nobody else can hand anything over.
    """
    row = conn.execute(select(instance)).one()
    if row.stopped_why is not None:
        return "copied" if row.stopped_why == "copied" else "restored"
    if row.backup_at is not None or is_behind(conn, seen or _outside(around, row.identity)):
        return "restored"
    place = place_of(conn, around.machine)
    return "copied" if row.place is not None and place is not None and not is_same_place(row.place, place) else None


def is_behind(conn: Connection, seen: Beside) -> bool:
    """Tell whether the journal's end, or the witness, knows of a hand-over that the database does not."""
    known = known_keys(conn, seen.latest)
    news = [each.at for each in seen.latest if each.key not in known]
    if seen.witness is not None and seen.witnessed_at is not None and not known_pairs(conn, [seen.witness]):
        news.append(seen.witnessed_at)
    return bool(news) and max(news) >= _remembered_since(conn)


def _remembered_since(conn: Connection) -> datetime:
    """Give since when every hand-over is known, whatever months were forgotten on purpose.

    What is forgotten was done fourteen months before a run whose clock was believed. A machine that only sends, or was
    off, has it in its journal still.
    """
    last = None if horizon(conn) is None else last_believed(conn)
    return datetime.min.replace(tzinfo=UTC) if last is None else last - journal.KEPT


def is_copy(conn: Connection, around: Surroundings) -> bool:
    """Tell whether the database may be in use elsewhere: it lies at another place, and not just anew on its machine."""
    row = conn.execute(select(instance)).one()
    place = place_of(conn, around.machine)
    if row.stopped_why == "copied":
        return True
    if row.place is None or place is None or is_same_place(row.place, place):
        return False
    return not is_same_machine(row.place, place)


def known_pairs(conn: Connection, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Give those of (dispatch id, lease token) whose hand-over the trail has, or that a person has settled."""
    wanted = set(pairs)
    rows = conn.execute(_KNOWN, {"ids": sorted({number for number, _ in wanted})})
    return {(row.dispatch_id, row.token) for row in rows} & wanted


def known_keys(conn: Connection, records: Iterable[Record]) -> set[str]:
    """Give the keys of those records that this database knows: its own, its forerunners', and settled strangers'."""
    chosen = list(records)
    ours = family(conn)
    pairs = known_pairs(conn, [(each.dispatch_id, each.token) for each in chosen if each.identity in ours])
    known = {each.key for each in chosen if each.identity in ours and (each.dispatch_id, each.token) in pairs}
    strangers = [each.key for each in chosen if each.identity not in ours]
    if strangers:
        settled = select(audit.c.subject).where(audit.c.action == SETTLED, audit.c.subject.in_(strangers))
        known |= set(conn.scalars(settled))
    return known


def family(conn: Connection) -> set[str]:
    """Give the database's identity, and those that it had before it was a copy."""
    return {identity(conn), *lineage(conn)}


def lineage(conn: Connection) -> set[str]:
    """Give what ``family`` gives, and nothing for a database that has no identity yet; writes nothing."""
    return {*map(str, conn.scalars(select(instance.c.identity))), *map(str, conn.scalars(_BEFORE))}


def _stop(conn: Connection, why: Why, now: datetime) -> None:
    """Note that nothing may be sent, once; of a copy hold everything that is not final."""
    changed = conn.execute(
        update(instance).where(instance.c.stopped_why.is_distinct_from(why)).values(stopped_why=why)
    ).rowcount
    if changed:
        conn.execute(insert(audit).values(at=now, actor="reconciler", action="stop", subject=why))
    if why == "copied":
        hold_all(conn, now, actor="reconciler")


def hold_all(conn: Connection, now: datetime, *, actor: str) -> int:
    """Let everything that is not final wait for a person; what may be under way becomes uncertain. Gives how many."""
    moves: tuple[tuple[State, State], ...] = (("pending", "held"), ("claimed", "held"), ("handoff", "uncertain"))
    return sum(
        len(moved)
        for before, after in moves
        for moved in move_all(
            conn, before, after, dispatches.c.id > 0, who="reconciler", now=now, actor=actor, reason="copied"
        )
    )


# ---------------------------------------------------------------------------------------------------------------------
# Outside of the home.


def witnessed(around: Surroundings, known: str) -> tuple[int, int] | None:
    """Give the last hand-over of that identity that this machine has witnessed: dispatch id and token."""
    if around.witnesses is None:
        return None
    try:
        number, token = (around.witnesses / known).read_text(encoding="ascii").split()
        return int(number), int(token)
    except (OSError, ValueError):
        return None


def _witnessed_at(around: Surroundings, known: str) -> datetime | None:
    with contextlib.suppress(OSError):
        if around.witnesses is not None:
            return datetime.fromtimestamp((around.witnesses / known).stat().st_mtime, UTC)
    return None


def bear_witness(around: Surroundings, record: Record) -> None:
    """Note outside of the home what was handed over last: a home restored as a whole cannot take it back with it.

    What cannot be written is left out: the journal is the promise, this is a courtesy.
    """
    if around.witnesses is None:
        return
    draft = around.witnesses / f".{record.identity}.{os.getpid()}"
    with contextlib.suppress(OSError):
        around.witnesses.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"{record.dispatch_id} {record.token}\n", encoding="ascii")
        draft.replace(around.witnesses / record.identity)


def machine_id() -> str:
    """Give the name that this computer has for itself; empty where it has none, as in many containers."""
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if name := Path(file).read_text(encoding="ascii").strip().replace(":", ""):
                return name
    command = {
        "posix": ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],
        "nt": ["reg", "query", r"HKLM\SOFTWARE\Microsoft\Cryptography", "/v", "MachineGuid"],
    }[os.name]
    wanted = "IOPlatformUUID" if os.name == "posix" else "MachineGuid"
    with contextlib.suppress(OSError):
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 (fixed words)
        lines = [line for line in told.splitlines() if wanted in line]
        return lines[0].split()[-1].strip('"').replace(":", "") if lines else ""
    return ""
