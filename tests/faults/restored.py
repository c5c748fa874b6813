"""An earlier copy of the database is put back beside the journal that went on; the model goes back with it.

What the journal knows is kept in the model as a list that never goes back: ``model.journal``.
"""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from engine.database.places import file_of
from engine.dispatch.instance import StrangeDatabaseError, Surroundings, identity, recognise
from engine.dispatch.journal import FOLDER
from engine.dispatch.reconcile import reconcile
from engine.language.times import business_day

from .reference_model import FOUR, OPEN, ZONE, Model

if TYPE_CHECKING:
    from .machine import World

#: What the world knows beside its model and what a database that goes back forgets with it.
FORGOTTEN = ("no", "shut", "gone", "acknowledged", "numbers")


def same(row: Any) -> tuple[object, ...]:
    return row.key[0], row.key[2], row.endpoint


class Remembering(Model):
    """The reference model, with a journal beside it and what a restored database has forgotten."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.journal, self.known, self.lost, self.family = [], set(), [], set()
        self.identity, self.place = "", 0

    def evaluate(self, *how: Any) -> None:
        before = len(self.rows)
        super().evaluate(*how)
        for row in self.rows[before:]:
            if row.state in OPEN and any(each.same == same(row) and each.expires > self.now for each in self.lost):
                row.state, row.reason = "held", "restored"

    def become(self, row: Any, state: str, reason: str | None = None, due: Any = None) -> None:
        super().become(row, state, reason, due)
        if state == "handoff":
            written = {"identity": self.identity, "id": row.id, "token": row.token, "at": self.now}
            self.known.add(len(self.journal))
            self.journal.append(SimpleNamespace(**written, expires=row.expires, same=same(row)))


@dataclass(frozen=True)
class Copy:
    """A copy of the database, and what was so when it was made."""

    file: str
    model: dict[str, Any]
    world: dict[str, Any]
    taken: int  #: so much the other side had accepted


def around(world: World) -> Surroundings:
    return Surroundings(world.where.root / FOLDER, None, "here")


def place(world: World) -> int:
    return file_of(world.db).stat().st_ino if world.where.kind == "sqlite" else 0


def keep(world: World) -> None:
    """Copy the database, as a backup does."""
    world.db.dispose()
    file = f"{file_of(world.db)}.{len(world.copies)}"
    shutil.copyfile(file_of(world.db), file)
    told = {each: getattr(world, each) for each in FORGOTTEN}
    model = {name: each for name, each in vars(world.model).items() if name not in ("do", "journal")}
    world.copies.append(Copy(file, *deepcopy((model, told)), len(world.taken)))


def put_back(world: World, copy: Copy, *, moved: bool, noticed: bool) -> None:
    """Put a copy back, in the file's place or (``moved``) as another file, and reconcile.

    ``noticed``: somebody has called the engine before, and it has refused.
    """
    world.db.dispose()
    file = file_of(world.db)
    if moved:  # the old one stays where it was: its number on the disk is not free
        file.rename(f"{file}.old")
    shutil.copyfile(copy.file, file)
    model, told = deepcopy((copy.model, copy.world))
    vars(world.model).update(model, now=world.now)
    vars(world).update(told)
    world.about = {row.id: row for row in world.model.rows}
    named = {world.name_of(row) for row in world.model.rows}
    # What left behind the fence's back since then nobody can know of.
    world.taken = [each for number, each in enumerate(world.taken) if number < copy.taken or each.asked]
    world.forgotten |= {each.name for each in world.taken} - named
    unknown = [number for number in range(len(world.model.journal)) if number not in world.model.known]
    why = "restored" if unknown else "copied" if place(world) != world.model.place else None
    if noticed and why is not None:
        with pytest.raises(StrangeDatabaseError) as refused:
            recognise(world.db, around(world), world.now)
        assert refused.value.why == why
    done = reconcile(world.db, around(world), name="Ana", now=world.now, day_starts=FOUR)
    assert (done.why is None) == (why is None)
    if why is not None:
        _reconcile(world.model, unknown, covered=bool(world.model.journal) and why != "copied")
    # What left of a database that was put back over this one is not this one's row: that waits for a person.
    waiting = {world.name_of(row) for row in world.model.rows if (row.state, row.reason) == ("held", "restored")}
    world.forgotten |= waiting & {each.name for each in world.taken}
    with world.db.begin() as conn:
        world.model.identity = identity(conn)
    world.model.place = place(world)
    world.model.family.add(world.model.identity)


def _reconcile(model: Any, unknown: list[int], *, covered: bool) -> None:
    """What the journal knows to have gone out is uncertain, or is remembered; else everything waits for a person."""
    rows = {row.id: row for row in model.rows}
    last: dict[int, SimpleNamespace] = {}
    for number in unknown:
        record = model.journal[number]
        row = rows.get(record.id)
        if row and record.identity in model.family and same(row)[:2] == record.same[:2]:
            last[record.id] = max(record, last.get(record.id, record), key=lambda each: each.token)
        if record.id not in last or (same(row), row.expires) != (record.same, record.expires):
            model.lost.append(record)
            for row in model.rows:
                if row.state in OPEN and same(row) == record.same:
                    model.become(row, "held", "restored")
    for number, record in last.items():
        row = rows[number]
        row.token = max(row.token, record.token)
        if row.state in (*OPEN, "handoff", "dead"):
            model.become(row, "uncertain", "restored")
            row.handed = record.at
            row.day = row.purpose == "marketing" and business_day(record.at, ZONE, FOUR).toordinal()
    if not covered:
        model.approved = set()
        for row in model.rows:
            after = {"pending": "held", "claimed": "held", "handoff": "uncertain"}.get(row.state)
            if after:
                model.become(row, after, "copied")
    model.known |= set(unknown)
    model.lost = [each for each in model.lost if each.expires > model.now]
