"""Letters in files: a maildir, where what is read moves from ``new`` to ``cur``, and an mbox, which stays as it is."""

from __future__ import annotations

import mailbox
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from connectors.mailbox import LARGEST, MOST, Letter, MailboxError


class Maildir:
    """The folder that has ``new``, ``cur`` and ``tmp`` in it. The oldest letters first; links are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left = 0

    def letters(self) -> Iterator[Letter]:
        """Give what lies in ``new``."""
        if not (self._folder / "cur").is_dir():
            raise MailboxError(f"{self._folder} is no maildir: it lacks the folders new and cur.")
        try:
            names = sorted(each.name for each in os.scandir(self._folder / "new") if not each.name.startswith("."))
        except OSError as error:
            raise _unreadable(self._folder, error) from None
        self.left = max(0, len(names) - MOST)
        for name in names[:MOST]:
            raw = self._read(name)
            if raw is not None:
                yield Letter(name, raw)

    def settle(self, letter: Letter, *, understood: bool) -> None:
        """Move the letter to ``cur``, with the flag S (seen) where it was understood."""
        base = letter.name.partition(":")[0]
        try:
            (self._folder / "new" / letter.name).rename(self._folder / "cur" / f"{base}:2,{'S' if understood else ''}")
        except FileNotFoundError:  # another reader was faster
            return
        except OSError as error:
            raise _unreadable(self._folder, error) from None

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self, name: str) -> bytes | None:
        """Give a letter's beginning; None for what is gone meanwhile, or is no plain file."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(self._folder / "new" / name, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if (self._folder / "new" / name).is_symlink():
                return None
            raise _unreadable(self._folder, error) from None
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
        """Give the newest letters, the oldest of them first."""
        if not self._file.is_file():
            raise MailboxError(f"{self._file} is no mbox: there is no such file.")
        try:
            box = mailbox.mbox(self._file, create=False)
        except OSError as error:
            raise _unreadable(self._file, error) from None
        try:
            keys = box.keys()
            self.left = max(0, len(keys) - MOST)
            for key in keys[-MOST:]:
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


def _unreadable(place: Path, error: OSError) -> MailboxError:
    return MailboxError(f"{place} cannot be read: {error.strerror or type(error).__name__}.")
