"""A database that is locked, read-only or damaged: nothing is sent from what cannot be trusted, and a sentence says why.

Locked by another program at the claim, at the fence, after the dot; a file cut, overwritten, emptied, or that is no
database; garbage in the log beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import postgres_server
import psycopg

from .day import Cafe, url_of
from .restarts import own_server
from .storage import finished, small_disk, unfit
from .tally import Counts, Scale, Tally

IMPATIENT = "faults.day:impatient:0.2"


class Holder:
    """Another program that takes the database for itself at the first word that is named, in a thread of its own."""

    def __init__(self, hold: Callable[[], Callable[[], object]]) -> None:
        self._hold, self._release, self.held = hold, None, 0  # type: tuple[Any, Any, int]

    def at(self, moment: str, *, seconds: float | None) -> Callable[[str], None]:
        """Give what hears the conversation. ``seconds``: how long it holds; None: until it is told."""

        def heard(word: str) -> None:
            if word == moment and not self.held:
                self.held += 1
                self._release = self._hold()
                if seconds is not None:
                    threading.Timer(seconds, self.release).start()

        return heard

    def release(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


def holding_sqlite(root: Path) -> Callable[[], Callable[[], object]]:
    def hold() -> Callable[[], object]:
        other = sqlite3.connect(root / "regulars.db", isolation_level=None, timeout=10, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        return other.close

    return hold


def holding_postgres(root: Path) -> Callable[[], Callable[[], object]]:
    def hold() -> Callable[[], object]:
        other = psycopg.connect(url_of(root).partition("&options")[0])
        other.execute("LOCK TABLE dispatches, endpoints IN ACCESS EXCLUSIVE MODE")
        return other.close

    return hold


#: At which word of the conversation, for how long, and whether the run can still finish its day.
LOCKS = (
    ("EHLO", None, False),  # before the fence, and until the run has ended
    ("DATA", None, False),  # at the fence
    ("DATA", 0.1, True),  # for a moment
    ("DOT", 1.5, True),  # after the dot, longer than it waits for a lock: what is known is written down all the same
)


def locked(kind: str) -> Callable[[Scale], Tally]:
    """Another program holds the database longer than anybody waits."""

    def fault(scale: Scale) -> Tally:
        counts, tries = Counts(), 0
        with _cafe(kind) as cafe:
            for moment, seconds, finishes in LOCKS[1::2] if kind == "postgres" and not scale.everything else LOCKS:
                root = cafe.home()
                if kind == "postgres":
                    (root / "database.url").write_text(url_of(root) + "&options=-c%20lock_timeout%3D200ms")
                holder = Holder(holding_postgres(root) if kind == "postgres" else holding_sqlite(root))
                cafe.mail.heard = holder.at(moment, seconds=seconds)
                done = cafe.command(root, "run", seed=IMPATIENT).run()
                cafe.mail.heard = lambda _: None
                holder.release()
                wrong = unfit(done) + ((f"exit {done.told['code']}",) if (done.told["code"] == 0) != finishes else ())
                wrong += () if holder.held else ("it was never locked",)
                if moment == "DATA" and not finishes and cafe.mail.accepted:
                    wrong += ("sent without a fence",)
                counts += Counts(wrong=tuple(f"locked at {moment} for {seconds}: {each}" for each in wrong))
                counts += finished(cafe, root)
                tries += 1
        return Tally.of("", tries, counts, allowed=0)

    return fault


@contextmanager
def _cafe(kind: str) -> Iterator[Cafe]:
    with tempfile.TemporaryDirectory(dir=postgres_server.ROOM) as room:
        if kind == "sqlite":
            with Cafe(Path(room), guests=2) as cafe:
                yield cafe
            return
        with own_server() as (server, _), Cafe(Path(room), guests=2, server=server) as cafe:
            yield cafe


# ---------------------------------------------------------------------------------------------------------------------
# A file that cannot be trusted.


def _overwritten(file: Path, chance: Random) -> None:
    raw = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 40)):
        at = chance.randrange(len(raw))
        raw[at : at + 16] = chance.randbytes(min(16, len(raw) - at))
    file.write_bytes(raw)


def _pages(file: Path, chance: Random) -> None:
    raw = bytearray(file.read_bytes())
    for _ in range(chance.randint(1, 12)):
        at = 4096 * chance.randrange(len(raw) // 4096)
        raw[at : at + 4096] = chance.choice((bytes(4096), chance.randbytes(4096)))
    file.write_bytes(raw)


def _cut(file: Path, chance: Random) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: chance.randrange(1, len(raw))])


def _log(file: Path, chance: Random) -> None:
    file.with_name(f"{file.name}-wal").write_bytes(chance.randbytes(chance.randint(1, 40_000)))


#: What befalls the file -> whether the day can be finished on it all the same.
DAMAGES: dict[str, tuple[Callable[[Path, Random], object], bool]] = {
    "overwritten bytes": (_overwritten, False),
    "overwritten pages": (_pages, False),
    "cut short": (_cut, False),
    "a text file": (lambda file, _: file.write_text("order_id,customer_id\n" * 99), False),
    "garbage in its log": (_log, True),
}


def damaged(scale: Scale) -> Tally:
    """Spoil the file of a day half done: whatever is sent from it after that went out once only, and no traceback."""
    chance, counts, tries, refused = Random(scale.seed), Counts(), 0, 0
    with _cafe("sqlite") as cafe:
        for name, (spoilt, whole) in [*DAMAGES.items()] * scale.pick(1, 60):
            root = cafe.home()
            first = cafe.command(root, "run", seed=IMPATIENT)
            holder = Holder(holding_sqlite(root))
            seen = iter(range(9))
            second = holder.at("DATA", seconds=None)
            cafe.mail.heard = lambda word, at=second, seen=seen: at(word) if word != "DATA" or next(seen) == 1 else None
            first.run()  # one guest has their email, the other waits
            cafe.mail.heard = lambda _: None
            holder.release()
            for beside in ("-wal", "-shm"):
                (root / f"regulars.db{beside}").unlink(missing_ok=True)
            spoilt(root / "regulars.db", chance)
            done = cafe.run(root, minutes=20)
            said = () if done.told and done.told["code"] != 3 and "Traceback" not in done.told["err"] else (str(done),)
            refused += done.told["code"] == 75
            times = {each: cafe.mail.accepted.count(each) for each in cafe.mail.accepted}
            counts += Counts(
                twice=sum(each - 1 for each in times.values()), wrong=tuple(f"{name}: {each}" for each in said)
            )
            if whole:
                counts += finished(cafe, root)
            tries += 1
            shutil.rmtree(root)
    return Tally.of("", tries, counts, note=f"{refused} of {tries} were told to be damaged and sent nothing")


def vanished(scale: Scale) -> Tally:
    """Empty the file, or take it away, after a day: a new database is no leave to send it all again."""
    counts, tries = Counts(), 0
    with _cafe("sqlite") as cafe:
        for emptied in (True, False) * scale.pick(1, 3):
            root = cafe.home()
            assert cafe.run(root).told["code"] == 0
            before = len(cafe.mail.accepted)
            file = root / "regulars.db"
            file.write_bytes(b"") if emptied else file.unlink()
            for inbox in (root / "inbox" / "done").iterdir():
                inbox.rename(root / "inbox" / inbox.name)  # the till's files come again
            done = cafe.command(root, "approve", "win-back", "--by", "Ana", minutes=20).run()
            done = cafe.run(root, minutes=20)
            wrong = () if done.told["code"] == 75 else (f"exit {done.told['code']}: {done.told['err']}",)
            counts += Counts(twice=len(cafe.mail.accepted) - before, wrong=wrong)
            tries += 1
    return Tally.of("", tries, counts, allowed=0)


def read_only(scale: Scale) -> Tally:
    """Let the home's disk take no writes, before the first run and after it."""
    counts, tries = Counts(), 0
    with _cafe("sqlite") as cafe:
        for ran in (False, True) * scale.pick(1, 3):
            with small_disk(cafe.room / f"disk{tries}") as disk:
                root = cafe.home(disk)
                if ran:
                    cafe.run(root)
                before = len(cafe.mail.accepted)
                subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                done = cafe.run(root, minutes=10)
                subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
                wrong = unfit(done) + (("it did not say so",) if done.told["code"] != 75 else ())
                wrong += () if len(cafe.mail.accepted) == before else ("sent from a disk that takes nothing",)
                counts += finished(cafe, root) + Counts(wrong=wrong)
                tries += 1
    return Tally.of("", tries, counts, allowed=0)


FAULTS = {
    "SQLite on a disk that is read-only": read_only,
    "SQLite locked by another program": locked("sqlite"),
    "PostgreSQL locked by another session": locked("postgres"),
    "SQLite damaged": damaged,
    "SQLite emptied or taken away": vanished,
}
