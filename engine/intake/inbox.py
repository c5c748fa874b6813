"""The inbox: files laid there are taken in, in the order in which one rests on the other, and put away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from engine.intake.kinds import KINDS
from engine.intake.rejects import PATTERN
from engine.intake.report import ImportReport
from engine.language.config import Config

DONE: Final = "done"
_SUFFIXES: Final = {".csv", ".txt", ".tsv"}


def take_in(
    db: Engine,
    config: Config,
    key: bytes,
    now: datetime,
    *,
    progress: Callable[[Path], Callable[[int, int], None]] | None = None,
) -> list[ImportReport]:
    """Import what lies in the inbox; what went in is moved to ``inbox/done``, what could not be read stays.

    Files of refused rows stay beside where the input was. ``progress`` gives the callback for one file.
    """
    found = waiting(config)
    if not found:  # as in most runs of a day: what imports is not loaded for them
        return []
    from engine.intake.importer import import_file

    order = list(KINDS)
    reports = []
    for _, file in sorted((_rank(config, file, order), file) for file in found):
        report = import_file(db, config, key, file, now=now, progress=progress(file) if progress else None)
        if not report.problem:
            try:
                put_away(file)
            except OSError:
                report.warnings["all of the file went in, but it could not be moved into the folder done"] = report.rows
        reports.append(report)
    return reports


def waiting(config: Config) -> list[Path]:
    """Give the files that the next run takes in, by name."""
    folder = config.inbox
    return [file for file in sorted(folder.iterdir()) if _is_meant(file)] if folder.is_dir() else []


def put_away(file: Path) -> Path:
    """Move a file into the folder ``done`` beside it, under a free name; gives where it is now."""
    done = file.parent / DONE
    done.mkdir(mode=0o700, exist_ok=True)  # the names and addresses of guests
    for number in count(1):
        free = done / (file.name if number == 1 else f"{file.stem}-{number}{file.suffix}")
        if not free.exists():
            return file.rename(free)
    raise AssertionError


def _is_meant(file: Path) -> bool:
    return (
        file.is_file()
        and file.suffix.lower() in _SUFFIXES
        and not file.name.startswith(".")
        and not fnmatch(file.name, PATTERN)
    )


def _rank(config: Config, file: Path, order: list[str]) -> int:
    from connectors.csvfile import FileError
    from engine.intake.importer import peek

    try:
        return order.index(peek(config, file))
    except FileError:
        return len(order)
