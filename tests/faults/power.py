"""Power loss: what a process wrote is recorded call by call, and the disk that a power cut leaves is built from it.

What was synced is there. What was written since may be there, or not, or a part of it, sector by sector and in any order;
a new name is there once its folder was synced. On each such disk the next run goes, and all is held against the server,
which remembers. ``-shm`` is left out: SQLite makes it anew from the log.
"""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import postgres_server
from sqlalchemy import select

from engine.database.engines import open_db
from engine.database.tables import dispatches
from engine.dispatch.journal import FOLDER, Record, records

from .day import Cafe, counted, keys_of, url_of
from .forge import Done, attached, strace
from .tally import Counts, ForbiddenError, MissingError, Scale, Tally

SECTOR = 512
_CALLS = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,mkdir,sendto"
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")

# ---------------------------------------------------------------------------------------------------------------------
# What a disk holds.


@dataclass
class Inode:
    """A file: what is surely on the disk, and what was written since, oldest first: (offset, bytes), or a new length."""

    synced: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    length: int = 0  #: as the process sees it, with what a failed sync has thrown away

    @property
    def now(self) -> bytes:
        return _applied(self.synced, self.pending)

    def sync(self) -> None:
        self.synced, self.pending = self.now, []

    def sync_failed(self) -> None:
        """Linux takes the pages for clean then: they are not on the disk, and no later sync brings them there."""
        self.length, self.pending = max(self.length, len(self.now)), []

    def after_a_cut(self, chance: Random, kept: float) -> bytes:
        """Give what is read after a power cut; each sector written since is there with the chance ``kept``."""
        survived: list[tuple[int, bytes] | int] = []
        for each in self.pending:
            if isinstance(each, int):
                survived += [each] if chance.random() < kept else []
                continue
            offset, data = each
            first = SECTOR - offset % SECTOR
            cuts = [0, *range(first, len(data), SECTOR), len(data)]
            survived += [
                (offset + begin, data[begin:end]) for begin, end in itertools.pairwise(cuts) if chance.random() < kept
            ]
        return _applied(self.synced, survived)


def _applied(data: bytes, changes: Sequence[tuple[int, bytes] | int]) -> bytes:
    held = bytearray(data)
    for each in changes:
        if isinstance(each, int):
            del held[each:]
            held.extend(bytes(each - len(held)))
        else:
            offset, written = each
            held.extend(bytes(max(0, offset - len(held))))
            held[offset : offset + len(written)] = written
    return bytes(held)


@dataclass
class Disk:
    """A folder as it stands, and as it would stand after a power cut. Files are named by their paths."""

    root: Path
    names: dict[str, Inode | None] = field(default_factory=dict)  #: as synced; None: a folder
    changes: list[tuple[str, Inode | None, bool]] = field(default_factory=list)  #: since: (path, what, is there)
    open: dict[int, tuple[str, Inode | None, bool]] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    gone: int = 0  #: how many messages the mail server has been handed

    @classmethod
    def of(cls, root: Path) -> Disk:
        paths = sorted(root.rglob("*"))
        return cls(root, {str(each): None if each.is_dir() else Inode(each.read_bytes()) for each in paths})

    @property
    def current(self) -> dict[str, Inode | None]:
        return _renamed(self.names, self.changes)

    def happened(self, line: str) -> None:
        """Take over one call that strace has written down."""
        found = _CALL.search(line)
        failed = found is not None and int(found[3]) < 0
        if found is None or (failed and "sync" not in found[1]):
            return
        name, arguments, result = found[1], found[2], int(found[3])
        strings = [bytes.fromhex(each.replace("\\x", "")) for each in _STRING.findall(arguments)]
        handles = [int(each) for each, _ in _DESCRIPTOR.findall(arguments)]
        if name == "sendto":
            self.gone += strings[0].endswith(b"\r\n.\r\n")
        elif name == "openat":
            self._opened(_path(strings[0]), arguments, result)
        elif name in {"rename", "unlink", "mkdir"}:
            self._named(name, [_path(each) for each in strings])
        elif handles[0] in self.open:
            self._written(name, handles[0], arguments, strings, result)

    def _opened(self, path: str, flags: str, handle: int) -> None:
        self.open.pop(handle, None)
        if not path.startswith(f"{self.root}/") and path != str(self.root):
            return
        if path == str(self.root) or "O_DIRECTORY" in flags or (path in self.current and self.current[path] is None):
            self.open[handle] = (path, None, False)
            return
        inode = self.current.get(path)
        if inode is None:
            inode = Inode()
            self.changes.append((path, inode, True))
        elif "O_TRUNC" in flags:
            inode.pending.append(0)
        self.open[handle] = (path, inode, "O_APPEND" in flags)
        self.places[handle] = 0

    def _named(self, call: str, paths: Sequence[str]) -> None:
        if not paths[0].startswith(f"{self.root}/"):
            return
        if call == "mkdir":
            self.changes.append((paths[0], None, True))
            return
        inode = self.current.get(paths[0])
        self.changes.append((paths[0], inode, False))
        if call == "rename":
            self.changes[-1:] = [(paths[1], inode, True), (paths[0], inode, False)]

    def _written(self, call: str, handle: int, arguments: str, strings: Sequence[bytes], result: int) -> None:
        path, inode, appends = self.open[handle]
        if call in {"fsync", "fdatasync"}:
            if result < 0:
                if inode is not None:
                    inode.sync_failed()
            elif inode is not None:
                inode.sync()
            else:
                self._synced_folder(path)
        elif inode is not None and call == "ftruncate":
            inode.pending.append(int(arguments.rpartition(",")[2], 0))
        elif inode is not None and call == "pwrite64":
            inode.pending.append((int(arguments.rpartition(",")[2], 0), strings[0][:result]))
        elif inode is not None and call == "write":
            place = max(inode.length, len(inode.now)) if appends else self.places[handle]
            inode.pending.append((place, strings[0][:result]))
            self.places[handle] = place + result

    def _synced_folder(self, folder: str) -> None:
        mine = [each for each in self.changes if each[0].rpartition("/")[0] == folder]
        self.names = _renamed(self.names, mine)
        self.changes = [each for each in self.changes if each not in mine]

    def cut(self, chance: Random, kept: float) -> int:
        """Leave at ``root`` what a power cut would leave; give how many bytes that were written are not there."""
        ordered = chance.randint(0, len(self.changes)) if 0 < kept < 1 else round(kept) * len(self.changes)
        names = _renamed(self.names, self.changes[:ordered])
        for path in sorted(self.root.rglob("*"), reverse=True):
            if str(path) not in names or path.name.endswith("-shm"):
                path.rmdir() if path.is_dir() else path.unlink()
        for path in sorted(names):
            inode = names[path]
            if path.endswith("-shm") or not Path(path).parent.is_dir():
                continue  # a folder that is not there has nothing in it
            if inode is None:
                Path(path).mkdir(exist_ok=True)
                continue  # a file that is there keeps its number: by that a database knows that it is no copy
            Path(path).write_bytes(inode.after_a_cut(chance, kept))
            Path(path).chmod(0o600)
        lasting = (inode for path, inode in self.current.items() if inode and not path.endswith("-shm"))
        waiting = (each for inode in lasting for each in inode.pending)
        return sum(len(each[1]) for each in waiting if not isinstance(each, int))


def _renamed(
    names: dict[str, Inode | None], changes: Sequence[tuple[str, Inode | None, bool]]
) -> dict[str, Inode | None]:
    found = dict(names)
    for path, inode, there in changes:
        if there:
            found[path] = inode
        else:
            found.pop(path, None)
    return found


def _path(raw: bytes) -> str:
    return raw.decode()


# ---------------------------------------------------------------------------------------------------------------------
# The trials.


@dataclass
class Recorded:
    """A run as it was written down: its home, the calls, and what the server accepted, in order."""

    cafe: Cafe
    root: Path
    before: Disk
    calls: Sequence[str]
    accepted: Sequence[str]
    done: Done

    def disk(self, after: int) -> Disk:
        """Give the disk as it is after so many calls."""
        disk = self._copy()
        for line in self.calls[:after]:
            disk.happened(line)
        return disk

    def _copy(self) -> Disk:
        names = {path: None if each is None else Inode(each.synced) for path, each in self.before.names.items()}
        return Disk(self.root, names)

    @property
    def dots(self) -> list[int]:
        """After which calls a message has just gone out."""
        ended = _hex(b"\r\n.\r\n") + '"'
        return [number for number, line in enumerate(self.calls, 1) if "sendto(" in line and ended in line]

    @property
    def beginning(self) -> int:
        """After which call the home is written to for the first time."""
        return next(number for number, line in enumerate(self.calls) if "pwrite64(" in line)


def _hex(data: bytes) -> str:
    return "".join(f"\\x{each:02x}" for each in data)


def recorded(cafe: Cafe, *, seed: str = "", inject: str = "") -> Recorded:
    """Let one run go and write down what it did to the disk. ``inject``: what strace does to it besides.

    Raises ``MissingError`` where strace cannot.
    """
    need_strace()
    root = cafe.home()
    before = Disk.of(root)
    child = cafe.command(root, "run", seed=seed)
    with tempfile.NamedTemporaryFile("r", dir=root.parent, encoding="ascii") as log:
        options = ["-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-o", log.name]
        with attached(child.pid, [*options, *(["-e", f"inject={inject}"] if inject else [])]):
            done = child.run()
        calls = log.read().splitlines()
    assert not any("unfinished" in line for line in calls), "one thread, one call at a time"
    return Recorded(cafe, root, before, calls, list(cafe.mail.accepted), done)


def need_strace() -> None:
    """Raise ``MissingError`` where strace is not at hand, ``ForbiddenError`` where it may not trace."""
    if shutil.which("strace") is None:
        raise MissingError("strace is not installed here")
    if strace() is None:
        raise ForbiddenError("strace may not trace other processes here")


def forgotten(run: Recorded, emails: Sequence[str]) -> int:
    """Count what the server accepted of which the database on this disk, or the journal beside it, knows nothing."""
    db = open_db(url_of(run.root))
    try:
        keys = keys_of(db, run.root)
        with db.begin() as conn:
            known = select(dispatches.c.id).where(dispatches.c.state.in_(("handoff", "sent", "uncertain")))
            fenced = set(conn.scalars(known))
        noted = {each.dispatch_id for each in records(run.root / FOLDER) if isinstance(each, Record)}
        return sum(1 for each in emails if keys.get(each) not in fenced & noted)
    finally:
        db.dispose()


def moments(run: Recorded, chance: Random, count: int) -> Iterator[tuple[int, float]]:
    """Give points of the record, with the share of what is not synced that survives: at each dot, then anywhere."""
    for dot in run.dots:
        yield dot, 0.0
    yield len(run.calls), 0.0  # the run has ended, and a second later it is dark
    for number in range(count):
        anywhere = chance.randint(run.beginning, len(run.calls))
        at = chance.choice(run.dots) if number % 3 == 0 else anywhere
        yield at, chance.choice((0.0, 0.2, 0.5, 0.5, 0.9, 1.0))


def power_cut(scale: Scale) -> Tally:
    """Cut the power at every dot and at random points; the next run goes on what is left."""
    chance = Random(scale.seed)
    tries, dropped, counts = 0, 0, Counts()
    with tempfile.TemporaryDirectory(dir=postgres_server.ROOM) as room, Cafe(Path(room)) as cafe:
        run = recorded(cafe)
        assert run.done.told["code"] == 0
        assert len(run.dots) == len(run.accepted) == cafe.guests
        for after, kept in moments(run, chance, scale.pick(4, 600)):
            disk = run.disk(after)
            dropped += disk.cut(chance, kept) > 0
            gone = list(run.accepted[: disk.gone])
            counts += Counts(lost=forgotten(run, gone))
            cafe.mail.accepted[:] = gone
            done = cafe.run(run.root)
            wrong = () if done.told["code"] == 0 else (f"after call {after}, {kept}: {done.told['err']}",)
            counts += counted(cafe, run.root) + Counts(wrong=wrong)
            tries += 1
        normal = without_sync(cafe)
    if normal[0] < normal[1]:
        counts += Counts(wrong=("this does not bite: a database that does not wait for the disk forgets nothing",))
    note = f"in {dropped} of {tries} something unsynced was dropped; with synchronous=NORMAL {normal[0]} of {normal[1]} forget"
    # A group's answers are on the disk with the next group's fence: all of a channel's may be unknown at once.
    return Tally.of("power cut", tries, counts, note=note, allowed=tries * cafe.guests)


def without_sync(cafe: Cafe) -> tuple[int, int]:
    """Let the database not wait for the disk: give how many of the images forget a message, and how many there are."""
    run = recorded(cafe, seed="faults.day:hasty:")
    lost = 0
    for dot in run.dots:
        disk = run.disk(dot)
        disk.cut(Random(0), 0.0)
        lost += forgotten(run, run.accepted[: disk.gone]) > 0
    return lost, len(run.dots)


FAULTS = {"power cut": power_cut}
