"""A disk that is full, or that fails: at the k-th write, at the k-th sync, at chosen moments of a message.

What an owner sees then is a sentence and exit code 75, and when the disk is well again the next run finishes the day.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import postgres_server

from engine.database.engines import open_db

from .day import Cafe, counted, url_of
from .forge import Done, attached
from .power import Recorded, forgotten, need_strace, recorded
from .tally import Counts, ForbiddenError, Scale, Tally, states_of

WRITES = "write,pwrite64"
SYNCS = "fsync,fdatasync"
#: Calls that make or change names: a full disk has no room for these either.
NAMES = "mkdir,rename"
#: How a run may end on a bad disk: it went on, a message could not be made, or not now.
ENDS = frozenset({0, 75})
LATER = (20, 300)  #: minutes after which the next runs go


def unfit(done: Done) -> tuple[str, ...]:
    """Say what is wrong with how a command ended: it has to say in a sentence that it cannot be now."""
    if done.status != 0 or done.told is None:
        return (f"the process ended with {done.status}",)
    code, said = done.told["code"], done.told["err"]
    if code not in ENDS:
        return (f"exit {code}: {said}",)
    if "Traceback" in said or "Error" in said:
        return (f"it does not say it in words: {said}",)
    if code and not (said.strip().endswith(".") and said.count("\n") <= LINES):
        return (f"exit {code}, but: {said!r}",)
    return ()


LINES = 4


def finished(cafe: Cafe, root: Path) -> Counts:
    """Let the next runs go, with all well again, and count."""
    wrong: tuple[str, ...] = ()
    for minutes in LATER:
        done = cafe.run(root, minutes=minutes)
        if done.told is None or done.told["code"] != 0:
            wrong += (f"the next run: {done}",)
        if "pending" not in states(root).values():
            return counted(cafe, root, minutes=minutes) + Counts(wrong=wrong)
    return counted(cafe, root, minutes=LATER[-1]) + Counts(wrong=(*wrong, "it still waits"))


def states(root: Path) -> dict[int, str]:
    """Read the states of a home's dispatches."""
    db = open_db(url_of(root))
    try:
        return states_of(db)
    finally:
        db.dispose()


def points(cafe: Cafe, calls: str, wanted: int, chance: Random) -> Sequence[tuple[str, int]]:
    """Give ``wanted`` of a whole day's calls of these kinds, evenly spread: (kind, its number, from 1); or all of them."""
    run = recorded(cafe)
    shutil.rmtree(run.root)
    made = Counter(line.partition("(")[0].rpartition(" ")[2] for line in run.calls)
    found = [(kind, number) for kind in calls.split(",") for number in range(1, made[kind] + 1)]
    if wanted >= len(found):
        return found
    step = len(found) / wanted
    return [found[int(step * (number + chance.random()))] for number in range(wanted)]


@contextmanager
def cafe_in(room: Path | None = None) -> Iterator[Cafe]:
    need_strace()
    with tempfile.TemporaryDirectory(dir=room or postgres_server.ROOM) as folder, Cafe(Path(folder), guests=2) as cafe:
        yield cafe


def full_at(calls: str, sample: int) -> Callable[[Scale], Tally]:
    """Let the k-th of these calls, or all from it on, find no room on the disk."""

    def fault(scale: Scale) -> Tally:
        chance, counts, tries, told = Random(scale.seed), Counts(), 0, 0
        with cafe_in() as cafe:
            for kind, k in points(cafe, calls, scale.pick(sample, 10**6), chance):
                how = chance.choice(("", "+", "+"))
                root = cafe.home()
                child = cafe.command(root, "run")
                with attached(child.pid, ["-e", f"trace={kind}", "-e", f"inject={kind}:error=ENOSPC:when={k}{how}"]):
                    done = child.run()
                told += bool(done.told and done.told["code"] == 75)
                counts += Counts(wrong=tuple(f"{kind} {k}{how}: {each}" for each in unfit(done)))
                counts += finished(cafe, root)
                shutil.rmtree(root)
                tries += 1
        return Tally.of("", tries, counts, note=f"{told} of {tries} said so and ended with 75")

    return fault


def sync_fails(scale: Scale) -> Tally:
    """Let the k-th sync fail, as a dying disk does; then also cut the power: what a failed sync held is nowhere."""
    chance, counts, tries, told, cuts = Random(scale.seed), Counts(), 0, 0, 0
    with cafe_in() as cafe:
        for kind, k in points(cafe, SYNCS, scale.pick(4, 10**6), chance):
            run = recorded(cafe, inject=f"{kind}:error=EIO:when={k}")
            told += bool(run.done.told and run.done.told["code"] == 75)
            counts += Counts(wrong=tuple(f"{kind} {k}: {each}" for each in unfit(run.done)))
            cuts += len(run.dots)
            counts += finished(cafe, run.root)
            counts += Counts(lost=_forgotten_after_a_cut(run))
            shutil.rmtree(run.root)
            tries += 1
    return Tally.of("", tries, counts, note=f"{told} of {tries} ended with 75; {cuts} power cuts at a dot after it")


def _forgotten_after_a_cut(run: Recorded) -> int:
    lost = 0
    for dot in run.dots:
        disk = run.disk(dot)
        disk.cut(Random(0), 0.0)
        lost += forgotten(run, run.accepted[: disk.gone])
    return lost


# ---------------------------------------------------------------------------------------------------------------------
# A small disk of its own, filled to the brim.


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[Path]:
    """Mount a disk of that size. Raises ``ForbiddenError`` where that is not permitted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise ForbiddenError("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave not one byte free."""
    with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while ballast.write(bytes(size)):
                    pass


#: When the disk is full: at the first word of the conversation that is named, or before the run begins.
MOMENTS = ("before the run", "MAIL", "DATA", "DOT")


def to_the_brim(scale: Scale) -> Tally:
    """Fill the disk before the run, before the fence, and after the dot; then make room."""
    counts, tries, told = Counts(), 0, 0
    with tempfile.TemporaryDirectory(dir=postgres_server.ROOM) as room, Cafe(Path(room), guests=2) as cafe:
        for moment in MOMENTS * scale.pick(1, 5):
            with small_disk(Path(room) / f"disk{tries}") as disk:
                root = cafe.home(disk)
                if moment == MOMENTS[0]:
                    fill(disk)
                cafe.mail.heard = lambda word, at=moment, disk=disk: fill(disk) if word == at else None
                done = cafe.run(root)
                cafe.mail.heard = lambda _: None
                (disk / "ballast").unlink(missing_ok=True)
                told += bool(done.told and done.told["code"] == 75)
                counts += Counts(wrong=tuple(f"full at {moment}: {each}" for each in unfit(done)))
                counts += finished(cafe, root)
                tries += 1
    return Tally.of("", tries, counts, note=f"{told} of {tries} said so and ended with 75")


FAULTS = {
    "disk full at the k-th write": full_at(WRITES, 4),
    "disk full at the k-th new name": full_at(NAMES, 1),
    "disk filled to the brim": to_the_brim,
    "EIO at the k-th sync": sync_fails,
}
