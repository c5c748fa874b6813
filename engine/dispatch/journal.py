"""The journal: what was handed over, written beside the database and not in it, before it leaves.

A database that is restored from a backup knows less than the world; the journal still knows what went out since then.
One file a month in the home's folder ``journal``; each line one dispatch, with a checksum and no personal data:

    1 IDENTITY DISPATCH TOKEN AT RULE STEP PART CHANNEL TO EXPIRES_AT CONTENT CRC

Times are epoch seconds, TO is the keyed hash of the endpoint (of the guest, where the step has none), CONTENT the hash
of the bytes. A record begins with a line break and is one write in append mode, so several processes may write (taking
turns where that is no one step), and what a power loss or a full disk tore is no part of the next record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, unquote

from connectors.disk import sync, sync_folder
from engine.dispatch.claims import Claim
from engine.language.keys import guest_hash

FOLDER: Final = "journal"
#: So long a month's file is kept after its end: no occasion is older.
KEPT: Final = timedelta(days=400)

_FORMAT: Final = "1"
_FIELDS: Final = 13
_NAME: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\.log")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_IDENTITY: Final = re.compile(r"[0-9a-f]{32}")
#: A dispatch and a token fit into one number of 64 bits with its sign (``proofs.py``).
TOKEN_BITS: Final = 20
_MOST: Final = {"dispatch": 1 << 63 - TOKEN_BITS, "token": 1 << TOKEN_BITS, "step": 1 << 31}
#: As the columns of ``lost_handoffs``.
_LONGEST_RULE, _LONGEST_CHANNEL = 100, 8
#: What ``last`` reads of a file's end at once: some three hundred records.
_BLOCK: Final = 65_536


#: Whether a write in append mode is one step: elsewhere it is a look for the end, and then a write.
APPENDS: Final = os.name == "posix"
#: Held for a write where it is not.
LOCK: Final = ".lock"


class JournalError(Exception):
    """The journal cannot be written or read, so nothing may leave. The text is a plain sentence with the cure."""


@dataclass(frozen=True, slots=True)
class Record:
    """One dispatch that was about to leave."""

    identity: str  #: of the database, 32 hexadecimal digits
    dispatch_id: int
    token: int
    at: datetime
    rule: str
    step: int
    part: int
    channel: str
    to: bytes  #: 32 bytes: the keyed hash of the endpoint, or of the guest where the step has none
    expires_at: datetime
    content_hash: bytes

    @property
    def key(self) -> str:
        """Name the hand-over: no other record of any database has this name."""
        return f"{self.identity}:{self.dispatch_id}:{self.token}"


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A line that is no record. ``torn``: its end is missing, as where the disk was full; else it was changed since."""

    file: str
    line: int  #: 1 is the first
    torn: bool


def record_of(claim: Claim, identity: str, key: bytes, *, at: datetime, content_hash: bytes) -> Record:
    """Give the record of a dispatch that passed the fence at ``at``. ``key`` is the home's."""
    return Record(
        identity=identity,
        dispatch_id=claim.id,
        token=claim.token,
        at=at,
        rule=claim.rule,
        step=claim.step,
        part=claim.part,
        channel=claim.channel,
        to=claim.endpoint_hash or guest_hash(key, claim.source, claim.external_id),
        expires_at=claim.expires_at,
        content_hash=content_hash,
    )


@dataclass
class Journal:
    """The journal in ``folder``, for one worker; the file is opened with the first record."""

    folder: Path
    identity: str  #: of the database that is sent from
    key: bytes = field(repr=False)  #: the home's
    sender: str = ""  #: the journal's own name: see ``senders.py``
    last: Record | None = None  #: the last that was written
    _handle: int | None = field(default=None, init=False, repr=False)
    _file: Path | None = field(default=None, init=False, repr=False)

    def note(self, handed: Sequence[tuple[Claim, bytes]], *, at: datetime) -> None:
        """Write that these passed the fence at ``at``, each with its content's hash, and return when the disk has it.

        In one write, and the disk is asked once. Raises ``JournalError``: then no message may leave. A record of one
        that did not leave does no harm.
        """
        records = [record_of(each, self.identity, self.key, at=at, content_hash=left) for each, left in handed]
        text = "".join(f"\n{_line(each)}" for each in records).encode("ascii")
        try:
            handle = self._opened(self.folder / f"{at.astimezone(UTC):%Y-%m}.log")
            with contextlib.nullcontext() if APPENDS else _taking_turns(self.folder):
                if os.write(handle, text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 (as the system would say it)
            sync(handle)
        except OSError as error:
            self.close()  # a file whose fsync failed once tells nothing true later
            raise JournalError(_why(error)) from error
        self.last = records[-1]

    def close(self) -> None:
        """Close the file; the next record opens it again."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
        self._handle = self._file = None

    def _opened(self, file: Path) -> int:
        """Give the open file, anew where the month has changed or somebody has put another one in its place."""
        if self._handle is not None and (file != self._file or not _is_still(self._handle, file)):
            self.close()
        if self._handle is None:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._handle, self._file = os.open(file, flags, 0o600), file
            sync_folder(self.folder)  # else a power loss takes the file's name
            sync_folder(self.folder.parent)
        return self._handle


def _taking_turns(folder: Path) -> contextlib.AbstractContextManager[object]:
    from filelock import FileLock

    return FileLock(folder / LOCK)


def _is_still(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _why(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        cure = "the disk is full. Free some space"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        cure = "this user may not write there. Let the folder and its files belong to who runs Regulars"
    elif error.errno in {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENXIO}:
        cure = "something else stands in its place. Take that away"
    else:
        cure = f"{(error.strerror or type(error).__name__).lower()}. Check the disk"
    return (
        f"Nothing is sent: what goes out must first be written into the folder {FOLDER}/ of the home, and {cure}; "
        "the next run sends what waits."
    )


# ---------------------------------------------------------------------------------------------------------------------
# Reading.


def files(folder: Path) -> list[Path]:
    """Give the files of the journal, the oldest month first; none where there is no folder.

    Raises ``JournalError`` where something else stands in the folder's place, or it cannot be looked into.
    """
    try:
        if os.path.lexists(folder) and not stat.S_ISDIR(folder.stat().st_mode):
            raise JournalError(_unreadable(folder, "it is not a folder"))
        return sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name))
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise JournalError(_unreadable(folder, "it is a link that leads nowhere")) from error
        return []
    except OSError as error:
        raise JournalError(_unreadable(folder, (error.strerror or type(error).__name__).lower())) from error


@contextlib.contextmanager
def to_read(file: Path) -> Iterator[BinaryIO]:
    """Open a file to read it, and never wait for one that is no file. Raises ``JournalError``."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise JournalError(_unreadable(file, "it is not a file"))
        with os.fdopen(handle, "rb") as stream:
            yield stream
    except OSError as error:
        raise JournalError(_unreadable(file, (error.strerror or type(error).__name__).lower())) from error


def _unreadable(path: Path, why: str) -> str:
    return (
        f"What went out is written in {path}, which cannot be read ({why}), so nothing is checked or sent. "
        "Put back what belongs there; where nobody has it, move away what stands there, and call `regulars verify`."
    )


def records(folder: Path, since: datetime | None = None) -> Iterator[Record | Spoilt]:
    """Read the journal from the month of ``since`` on (None: all), file by file; records before ``since`` are left out.

    Raises ``JournalError`` where a file cannot be read.
    """
    first = "" if since is None else f"{since.astimezone(UTC):%Y-%m}.log"
    for file in files(folder):
        if file.name < first:
            continue
        with to_read(file) as lines:
            for number, line in enumerate(lines, 1):
                each = _read(line.rstrip(b"\n"), file.name, number)
                if isinstance(each, Spoilt) or (each is not None and (since is None or each.at >= since)):
                    yield each


def last(folder: Path, most: int) -> list[Record]:
    """Give the last ``most`` records of each month that can be read, the newest first; reads the files' ends only.

    Of each month, because a clock that was ahead, or a run at a later time, leaves a file that stays the last.
    """
    found: list[Record] = []
    for file in reversed(files(folder)):
        lines = (_read(line, file.name, 0) for line in _backwards(file))
        found += islice((each for each in lines if isinstance(each, Record)), most)
    return found


def prune(folder: Path, now: datetime) -> int:
    """Delete the files of months that ended ``KEPT`` ago; give how many. What cannot be deleted stays."""
    count, found = 0, []
    with contextlib.suppress(JournalError):
        found = files(folder)
    for file in found:
        year, month = int(file.name[:4]), int(file.name[5:7])
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if end + KEPT <= now:
            with contextlib.suppress(OSError):
                file.unlink()
                count += 1
    return count


def _backwards(file: Path) -> Iterator[bytes]:
    """Give the lines of a file from its end, in blocks."""
    with to_read(file) as stream:
        at, rest = stream.seek(0, os.SEEK_END), b""
        while at > 0:
            size = min(_BLOCK, at)
            at = stream.seek(at - size)
            rest, *lines = (stream.read(size) + rest).split(b"\n")
            yield from reversed(lines)
        yield rest


def _line(record: Record) -> str:
    fields = (
        _FORMAT,
        record.identity,
        record.dispatch_id,
        record.token,
        int(record.at.timestamp()),
        quote(record.rule, safe=""),
        record.step,
        record.part,
        record.channel,
        record.to.hex(),
        int(record.expires_at.timestamp()),
        record.content_hash.hex(),
    )
    text = " ".join(map(str, fields))
    return f"{text} {zlib.crc32(text.encode('ascii')):08x}"


def _read(line: bytes, file: str, number: int) -> Record | Spoilt | None:
    """Read one line; None for an empty one."""
    if not line:
        return None
    text, _, crc = line.rpartition(b" ")
    fields = text.decode("ascii", errors="replace").split(" ")
    if len(fields) != _FIELDS - 1 or crc != b"%08x" % zlib.crc32(text):
        return Spoilt(file, number, torn=len(fields) < _FIELDS - 1 or len(crc) < len("00000000"))
    return _parsed(fields) or Spoilt(file, number, torn=False)


def _parsed(fields: Sequence[str]) -> Record | None:
    """Give the record of these fields; None where one is not what it must be: a checksum proves nothing of that."""
    version, identity, dispatch_id, token, at, rule, step, part, channel, to, expires_at, content_hash = fields
    name, most = unquote(rule), _MOST
    if not (
        version == _FORMAT
        and _IDENTITY.fullmatch(identity)
        and all(map(_NUMBER.fullmatch, (dispatch_id, token, at, step, part, expires_at)))
        and all(map(_HASH.fullmatch, (to, content_hash)))
        and (int(dispatch_id) < most["dispatch"] and int(token) < most["token"])
        and max(int(step), int(part)) < most["step"]
        and (0 < len(name) <= _LONGEST_RULE and name.isprintable() and 0 < len(channel) <= _LONGEST_CHANNEL)
    ):
        return None
    try:
        moments = [datetime.fromtimestamp(int(each), UTC) for each in (at, expires_at)]
    except (ValueError, OverflowError, OSError):  # no year that there is
        return None
    return Record(
        identity=identity,
        dispatch_id=int(dispatch_id),
        token=int(token),
        at=moments[0],
        rule=name,
        step=int(step),
        part=int(part),
        channel=channel,
        to=bytes.fromhex(to),
        expires_at=moments[1],
        content_hash=bytes.fromhex(content_hash),
    )
