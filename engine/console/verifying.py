"""`regulars verify`: proves anew, over everything that is written down, what Regulars promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from engine.console.exits import FINE, WRONG
from engine.console.page import Page, Style, counter
from engine.console.session import Session
from engine.console.words import counted
from engine.database.engines import explain, integrity, snapshot
from engine.database.tables import audit, instance
from engine.dispatch.instance import surroundings
from engine.dispatch.journal import FOLDER, Record, Spoilt, records
from engine.dispatch.journeys import Journeys
from engine.dispatch.leaks import leaks
from engine.dispatch.origins import origins
from engine.dispatch.proofs import Noted, Proof, prove
from engine.dispatch.senders import name_of

#: What each proof says where it holds.
_HOLDS: Final[Mapping[str, str]] = {
    "histories": "each is a path of the table of moves, handed over at most once",
    "journal": "each hand-over stands in the journal and in the database",
    "ends": "everything is done, or waits for something that will end",
    "sums": "each match has one outcome, and all steps of its rule",
    "budgets": "what is noted as used is what was handed over",
    "coupons": "each is of one step that was done, and exists once",
    "events": "each is about something that was handed over",
    "months": "each is whole, and nothing is of a step that is not there",
    "origins": "whatever a match or a step names is there, and both are of one guest",
    "privacy": "no address, no number and no name of a guest",
    "database": "it is whole",
}
_BACKUP: Final = (
    "no command writes this: somebody changed the database by hand, or it is a bug. `regulars stop`, keep a copy for "
    "the report, and go on from your backup"
)
#: What to do where it does not hold.
_CURES: Final[Mapping[str, str]] = {
    "histories": _BACKUP,
    "journal": (
        "where lines are missing or changed, somebody has been at journal/: the database is whole, so do not go back "
        "to a backup for that; put back what was taken out. Where the trail or the outbox lacks a hand-over, the "
        "database was brought back: `regulars restore --reconcile`. What it has twice went out twice: please report "
        "it, and anything here that nobody has done by hand"
    ),
    "ends": "`regulars dispatch` ends what is over; what is still here after it is a bug: please report it",
    "sums": _BACKUP,
    "budgets": "`regulars doctor --rebuild-facts` counts them anew",
    "coupons": _BACKUP,
    "events": "somebody else's report, or a database that is older than it: `regulars log` shows these messages",
    "months": _BACKUP,
    "origins": _BACKUP,
    "privacy": "please report it: the report needs the column, not the text",
    "database": "`regulars stop`, and go on from your backup; nothing else was asked of it",
}


def verify(session: Session, shape: str, now: datetime) -> tuple[str, int]:
    """Prove everything; give what is said and the exit code."""
    page, code = Page(), FINE
    with counter("Steps") as progress:
        for proof in _proofs(session, now, progress):
            code = WRONG if proof.wrong else code
            if shape == "json":
                page.json_lines([_json(proof)])
            else:
                _say(page, proof)
    return page.text, code


def _proofs(session: Session, now: datetime, progress: Callable[[int], None]) -> Iterator[Proof]:
    with snapshot(session.db).connect() as conn:
        whole = _whole(conn)
        yield whole
        if whole.wrong:  # nothing that is read from it proves anything
            return
        beside = _Beside(session.home.root / FOLDER, frozenset(_identities(conn)))
        noted = Noted.read(conn, beside.records())
    with snapshot(session.db).connect() as conn:  # what was handed over meanwhile is in both, or only in this
        rule, sender = Journeys(session.home).rule, name_of(surroundings(session.home.root))
        for proof in prove(conn, journal=noted, rule=rule, now=now, progress=progress, sender=sender):
            if proof.name == "journal":
                beside.tell(proof)
            yield proof
        yield origins(conn)
        yield leaks(conn)


def _identities(conn: Connection) -> Iterator[str]:
    """Give the names by which the journal knows this database: its own, and those that it had before it was a copy."""
    yield from conn.scalars(select(instance.c.identity))
    yield from conn.scalars(select(audit.c.before).where(audit.c.action == "reconcile", audit.c.before.is_not(None)))


@dataclass
class _Beside:
    """The journal as far as it is of this database."""

    folder: Path
    identities: frozenset[str]
    torn: int = 0
    changed: list[Spoilt] = field(default_factory=list)

    def records(self) -> Iterator[Record]:
        for each in records(self.folder):
            if isinstance(each, Record):
                if each.identity in self.identities:
                    yield each
            elif each.torn:
                self.torn += 1
            else:
                self.changed.append(each)

    def tell(self, proof: Proof) -> None:
        """Say of which lines nothing is known."""
        for each in self.changed:
            proof.fault(None, f"line {each.line} of journal/{each.file} was changed since it was written", "I2")
        if self.torn:
            proof.notes.append(f"{counted(self.torn, 'line')} of it broke off, as where the disk was full")


def _whole(conn: Connection) -> Proof:
    proof = Proof("database", "I7")
    try:
        wrong = integrity(conn)
    except DBAPIError as error:
        wrong = [(explain(error) or "it cannot be read").rstrip(".")]
    if wrong is None:
        proof.looked_at = "PostgreSQL"
        proof.notes.append("it has no check of its own that a query could ask: pg_amcheck on the server looks at it")
        return proof
    proof.looked_at = "every page, index and reference of SQLite"
    for said in wrong:
        proof.fault(None, said)
    return proof


def _say(page: Page, proof: Proof) -> None:
    holds = f"{proof.wrong:,} wrong" if proof.wrong else _HOLDS[proof.name]
    if proof.name == "database" and proof.notes:
        holds = "not asked"
    about = f"{proof.name} ({proof.invariant})" if proof.invariant else proof.name
    style: Style = "bad" if proof.wrong else "care" if proof.notes else "good"
    page.line(f"{_mark(proof):<6}{about}: {proof.looked_at}: {holds}.", style)
    for problem in proof.problems:
        whose = "" if problem.dispatch_id is None else f"{problem.dispatch_id}: "
        page.line(f"      {whose}{problem.said}.")
    if proof.wrong > len(proof.problems):
        page.line(f"      {proof.wrong - len(proof.problems):,} more.", "faint")
    if proof.wrong:
        page.line(f"      What to do: {_CURES[proof.name]}.", "care")
    for note in proof.notes:
        page.line(f"      {note[:1].upper()}{note[1:]}.", "faint")


def _mark(proof: Proof) -> str:
    return "wrong" if proof.wrong else "look" if proof.notes else "ok"


def _json(proof: Proof) -> dict[str, Any]:
    """Give the object that ``verify --format json`` prints on one line."""
    return {
        "check": proof.name,
        "invariant": proof.invariant or None,
        "verdict": _mark(proof),
        "looked_at": proof.looked_at,
        "wrong": proof.wrong,
        "problems": [
            {"id": each.dispatch_id, "invariant": each.invariant or None, "said": each.said} for each in proof.problems
        ],
        "notes": proof.notes,
        "cure": _CURES[proof.name] if proof.wrong else None,
    }
