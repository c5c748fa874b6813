"""The journal: what was handed over, written beside the database and not in it, before it leaves.

A database that is restored from a backup knows less than the world; the journal still knows what went out since then.
One file a month in the home's folder ``journal``; each line one dispatch, with a checksum and no personal data:

    1 IDENTITY DISPATCH TOKEN AT RULE STEP PART CHANNEL TO EXPIRES_AT CONTENT CRC

Times are epoch seconds, TO is the keyed hash of the endpoint (of the guest, where the step has none), CONTENT the hash
of the bytes. A record begins with a line break and is one write in append mode, so several processes may write, and
what a power loss or a full disk tore is no part of the next record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
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
#: What ``last`` reads of a file's end at once: some three hundred records.
_BLOCK: Final = 65_536


class JournalError(Exception):
    """The journal cannot be written, so nothing may leave. The text is a plain sentence with the cure."""


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
    """A line that is no record. ``torn``: its end is missing, so its message never left; else it was changed since."""

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
    last: Record | None = None  #: the last that was written
    _handle: int | None = field(default=None, init=False, repr=False)
    _file: Path | None = field(default=None, init=False, repr=False)

    def note(self, together: Sequence[Claim], *, at: datetime, content_hash: bytes) -> None:
        """Write that these passed the fence at ``at``, and return when the disk has it.

        Raises ``JournalError``: then the message may not leave. A record of one that did not leave does no harm.
        """
        records = [record_of(each, self.identity, self.key, at=at, content_hash=content_hash) for each in together]
        text = "".join(f"\n{_line(each)}" for each in records).encode("ascii")
        try:
            handle = self._opened(self.folder / f"{at.astimezone(UTC):%Y-%m}.log")
            if os.write(handle, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 (as if the system had said so)
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
    else:
        cure = f"{(error.strerror or type(error).__name__).lower()}. Check the disk"
    return (
        f"Nothing is sent: what goes out must first be written into the folder {FOLDER}/ of the home, and {cure}; "
        "the next run sends what waits."
    )


# ---------------------------------------------------------------------------------------------------------------------
# Reading.


def files(folder: Path) -> list[Path]:
    """Give the files of the journal, the oldest month first; none where there is no folder."""
    return sorted(each for each in folder.glob("*.log") if _NAME.fullmatch(each.name))


def records(folder: Path, since: datetime | None = None) -> Iterator[Record | Spoilt]:
    """Read the journal from the month of ``since`` on (None: all), file by file; records before ``since`` are left out.

    Raises ``OSError`` where a file cannot be read.
    """
    first = "" if since is None else f"{since.astimezone(UTC):%Y-%m}.log"
    for file in files(folder):
        if file.name < first:
            continue
        with file.open("rb") as lines:
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
    """Delete the files of months that ended ``KEPT`` ago; give how many. A file that cannot be deleted stays."""
    count = 0
    for file in files(folder):
        year, month = int(file.name[:4]), int(file.name[5:7])
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if end + KEPT <= now:
            with contextlib.suppress(OSError):
                file.unlink()
                count += 1
    return count


def _backwards(file: Path) -> Iterator[bytes]:
    """Give the lines of a file from its end, in blocks."""
    with file.open("rb") as stream:
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
    _, identity, dispatch_id, token, at, rule, step, part, channel, to, expires_at, content_hash = fields
    return Record(
        identity=identity,
        dispatch_id=int(dispatch_id),
        token=int(token),
        at=datetime.fromtimestamp(int(at), UTC),
        rule=unquote(rule),
        step=int(step),
        part=int(part),
        channel=channel,
        to=bytes.fromhex(to),
        expires_at=datetime.fromtimestamp(int(expires_at), UTC),
        content_hash=bytes.fromhex(content_hash),
    )
