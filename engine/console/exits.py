"""How a command ends: the exit codes, and what is said about each kind of end."""

from __future__ import annotations

import errno
import platform
import traceback
from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final

FINE: Final = 0
WRONG: Final = 1  #: problems in what the owner wrote, a channel that a provider stopped, or a red run
USAGE: Final = 2
BUG: Final = 3
NOT_NOW: Final = 75  #: another run, a full disk, a locked database: the next call tries again
INTERRUPTED: Final = 130
READER_GONE: Final = 141  #: what read our output has enough, as after ``| head``


class Refusal(Exception):  # noqa: N818 (an answer, not a mistake of the program)
    """A command cannot do what it was asked; the text is plain sentences without personal data."""

    code: int = WRONG


class MistypedError(Refusal):
    """An argument names nothing that exists, or cannot be read."""

    code = USAGE


class NotNowError(Refusal):
    """It cannot be done now; the same call may work later."""

    code = NOT_NOW


def unknown(what: str, name: str, known: Iterable[str], *, where: str = "") -> MistypedError:
    """Say that there is no ``what`` of that name, with the nearest one, else with all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        hint = f' - did you mean "{close[0]}"?'
    elif names:
        hint = f". There are: {', '.join(names)}"
    else:
        hint = f". There are none yet{where}"
    return MistypedError(f'there is no {what} "{name}"{hint}')


def expected(error: BaseException, *, color: bool = False, language: str = "en") -> tuple[int, str] | None:
    """Give exit code and text for an error that a person can do something about; None for a bug."""
    from engine.dispatch.channels import CannotSendError
    from engine.dispatch.instance import StrangeDatabaseError
    from engine.dispatch.journal import JournalError
    from engine.language.keys import KeyFileError
    from engine.language.problems import ProblemsError, to_text
    from engine.language.secret import SecretError
    from engine.starter.home import HomeError

    if isinstance(error, ProblemsError):
        return WRONG, to_text(error.problems, color=color, language=language).rstrip("\n")
    if isinstance(error, Refusal):
        return error.code, _sentence(error)
    if isinstance(error, (KeyFileError, SecretError, HomeError)):
        return WRONG, _sentence(error)
    if isinstance(error, (CannotSendError, JournalError, StrangeDatabaseError)):
        return NOT_NOW, _sentence(error)
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        place = f" {error.filename}" if error.filename else ""
        return NOT_NOW, f"This user may not write or read{place}: {error.strerror}."
    from engine.database.complaints import explain

    said = explain(error)
    return None if said is None else (NOT_NOW, said)


def end(error: Exception, *, command: str, now: datetime, color: bool, language: str = "en") -> tuple[int, str]:
    """Give the exit code and what is said; a bug is written down, and the text says where."""
    told = expected(error, color=color, language=language)
    if told is not None:
        return told
    file = write_bug(error, command=command, version=installed(), now=now)
    where = f"What is needed to find it, and nothing of your guests, is in {file}" if file else "It could not be logged"
    return BUG, f"This is a bug in Regulars ({type(error).__name__}). {where}. Please report it."


def installed() -> str:
    """Give the version that is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("regulars")
    except PackageNotFoundError:  # a checkout that was never installed
        return "of a checkout"


def write_bug(error: BaseException, *, command: str, version: str, now: datetime) -> Path | None:
    """Write what is needed to find a bug, and nothing of guests; give the file, None where it cannot be written.

    Only places in the program and the kinds of the errors: their texts may hold what was in the data.
    """
    from platformdirs import user_log_dir

    lines = [
        f"Regulars {version}, Python {platform.python_version()}, {platform.system()} {platform.release()}",
        f"{now.isoformat(timespec='seconds')}  regulars {command}".rstrip(),
        "",
    ]
    seen: BaseException | None = error
    while seen is not None:
        lines += [f"{type(seen).__module__}.{type(seen).__qualname__}"]
        lines += [
            f"  {_own(frame.filename)}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(seen.__traceback__)
        ]
        seen = seen.__cause__ or seen.__context__
    try:
        folder = Path(user_log_dir("regulars", appauthor=False))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"bug-{now:%Y%m%d-%H%M%S}.log"
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError:
        return None
    return file


def _own(file: str) -> str:
    """Shorten a path to its part inside the packages: a home folder's name is nobody's business."""
    parts = Path(file).parts
    for start in ("site-packages", "engine", "connectors"):
        if start in parts:
            place = len(parts) - 1 - parts[::-1].index(start)
            return "/".join(parts[place + (start == "site-packages") :])
    return parts[-1] if parts else file


def _sentence(error: BaseException) -> str:
    """Begin with a capital and end with a stop."""
    text = str(error).strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ")", ":")) else f"{text}."
