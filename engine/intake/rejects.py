"""The file of refused rows: what the input said, with the line and the reason, beside the input."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from filecmp import cmp
from itertools import count
from pathlib import Path
from typing import Any, Final, TextIO

from connectors.csvfile import FileError
from engine.intake.kinds import REFUSED_LINE, REFUSED_REASON

SUFFIX: Final = ".rejects.csv"
#: What the name of such a file looks like.
PATTERN: Final = "*.rejects*.csv"


class Rejects:
    """Written while the input is read, under a name of its own until the import is committed."""

    def __init__(self, beside: Path, header: Sequence[str], delimiter: str) -> None:
        self._beside = beside
        self._draft = beside.with_name(f".{beside.stem}.{os.getpid()}{SUFFIX}")
        self._header = header
        self._delimiter = delimiter
        self._stream: TextIO | None = None
        self._writer: Any = None

    def add(self, line: int, reason: str, cells: Sequence[str]) -> None:
        """Write one refused row. Raises ``FileError`` where the folder is not writable."""
        if self._stream is None:
            self._stream = self._open()
            self._writer = csv.writer(self._stream, delimiter=self._delimiter)
            self._writer.writerow([*self._header, REFUSED_LINE, REFUSED_REASON])
        width = len(self._header)
        padded = [*cells[:width], *[""] * (width - len(cells))]
        self._writer.writerow([*padded, line, reason])

    def _open(self) -> TextIO:
        try:
            handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # for nobody else's eyes
            return os.fdopen(handle, "w", encoding="utf-8-sig", newline="")  # the mark is for spreadsheets
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise FileError(f"rows are refused, and the file for them cannot be written beside it: {why}") from None

    def publish(self) -> Path | None:
        """Give the file its name after the commit; None where nothing was refused.

        A file of that name with other contents may be one that the owner is correcting: it stays.
        """
        if self._stream is None:
            return None
        self._stream.close()
        self._stream = None
        for number in count(1):
            free = self._beside.with_name(self._beside.stem + (SUFFIX if number == 1 else f".rejects-{number}.csv"))
            if not free.exists() or cmp(free, self._draft, shallow=False):
                self._draft.replace(free)
                return free
        return None

    def discard(self) -> None:
        """Forget everything: the import did not go in."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._draft.unlink(missing_ok=True)
