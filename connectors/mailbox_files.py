"""Letters in files: a maildir, where what is read moves from ``new`` to ``cur``, and an mbox, which stays as it is."""

from __future__ import annotations

import errno
import itertools
import mailbox
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from connectors.mailbox import LARGEST, MOST, Letter, MailboxError

#: What a disk says that knows no second name of a file.
_NO_LINKS = {
    getattr(errno, name) for name in ("EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK") if hasattr(errno, name)
}


class Maildir:
    """The folder that has ``new``, ``cur`` and ``tmp`` in it. The oldest letters first; links are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left = 0

    def letters(self) -> Iterator[Letter]:
        """Give what lies in ``new``. A letter that cannot be read keeps back no other, and is told after them."""
        if not (self._folder / "cur").is_dir():
            raise MailboxError(f"{self._folder} is no maildir: it lacks the folders new and cur.")
        try:
            names = sorted(each.name for each in os.scandir(self._folder / "new") if not each.name.startswith("."))
        except OSError as error:
            raise _unreadable(self._folder, error) from None
        self.left = max(0, len(names) - MOST)
        unreadable: list[tuple[str, OSError]] = []
        for name in names[:MOST]:
            try:
                raw = self._read(name)
            except OSError as error:
                unreadable.append((name, error))
                continue
            if raw is not None:
                yield Letter(name, raw)
        if unreadable:
            name, why = unreadable[0]
            others = f" So it is with {len(unreadable) - 1} more there." if unreadable[1:] else ""
            raise MailboxError(f"{_unreadable(self._folder / 'new' / _shown(name), why)}{others}")

    def settle(self, letter: Letter, *, understood: bool) -> None:
        """Move the letter to ``cur``, with the flag S (seen) where it was understood."""
        base = letter.name.partition(":")[0]
        try:
            for number in itertools.count():
                if self._move(letter.name, f"{_another(base, number)}:2,{'S' if understood else ''}"):
                    return
        except FileNotFoundError:  # another reader was faster
            return
        except OSError as error:
            raise _unreadable(self._folder / "cur", error) from None

    def close(self) -> None:
        """Nothing is kept open."""

    def _move(self, name: str, to: str) -> bool:
        """Move a letter from ``new``; False where another letter has that name: a rename would replace it."""
        source, target = self._folder / "new" / name, self._folder / "cur" / to
        try:
            os.link(source, target)
        except FileExistsError:
            if not source.samefile(target):
                return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                return False
            source.rename(target)
            return True
        source.unlink()
        return True

    def _read(self, name: str) -> bytes | None:
        """Give a letter's beginning; None for what is gone meanwhile, or is no plain file."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(self._folder / "new" / name, flags)
        except FileNotFoundError:
            return None
        except OSError:
            if (self._folder / "new" / name).is_symlink():
                return None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read(LARGEST)


class Mbox:
    """One file with all letters, the newest last. It is only read, every time anew: known letters change nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.left = 0

    def letters(self) -> Iterator[Letter]:
        """Give all letters, the oldest first: none is ever marked, so none can wait for another time."""
        if not self._file.is_file():
            lies = "it is no plain file" if self._file.exists() else "there is no such file"
            raise MailboxError(f"{self._file} is no mbox: {lies}.")
        try:
            box = mailbox.mbox(self._file, create=False)
        except OSError as error:
            raise _unreadable(self._file, error) from None
        try:
            keys = list(box.iterkeys())
            if not keys and _begins(self._file):
                raise MailboxError(f'{self._file} is no mbox: no line in it begins with "From ", as each letter would.')
            for key in keys:
                with box.get_file(key) as file:
                    yield Letter(str(key), file.read(LARGEST))
        except OSError as error:
            raise _unreadable(self._file, error) from None
        finally:
            box.close()

    def settle(self, letter: Letter, *, understood: bool) -> None:
        """Leave it as it is."""

    def close(self) -> None:
        """Nothing is kept open."""


def _begins(file: Path) -> bool:
    """Tell whether there is anything in a file, as far as that is looked at."""
    with file.open("rb") as stream:
        return bool(stream.read(LARGEST).strip())


def _another(base: str, number: int) -> str:
    """Give a letter's name, the ``number``-th that is like it: the moment stays in front, what is told of it behind."""
    moment, dot, rest = base.partition(".")
    return f"{moment}.R{number}{rest}" if number else f"{moment}{dot}{rest}"


def _shown(name: str) -> str:
    """Give a file's name as it may be shown: anybody may have sent it."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)


def _unreadable(place: Path, error: OSError) -> MailboxError:
    return MailboxError(f"{place} cannot be read: {error.strerror or type(error).__name__}.")
