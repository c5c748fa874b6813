"""Taking in files, those named on the command line and those in the inbox, with a bar where a person watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine.console.exits import MistypedError, unknown
from engine.console.page import visible
from engine.console.session import Session
from engine.console.words import counted
from engine.intake.inbox import take_in
from engine.intake.kinds import KINDS
from engine.intake.report import ImportReport
from engine.language.problems import ProblemsError, errors

if TYPE_CHECKING:
    from engine.intake.mapping import Mapping

#: Shows how far one file is: (name) -> context manager that gives ``progress(bytes read, all bytes)``.
Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@contextmanager
def no_bar(_: str) -> Iterator[Callable[[int, int], None]]:
    """Show nothing."""
    yield lambda _read, _size: None


def kind_and_files(words: Sequence[str]) -> tuple[str | None, list[Path]]:
    """Tell the kind, where the first word is one, from the files; a file that is not there is mistyped."""
    kind = None
    if len(words) > 1 and not Path(words[0]).exists():
        if words[0] not in KINDS:
            raise unknown("kind of file", words[0], KINDS)
        kind, words = words[0], words[1:]
    files = [Path(word) for word in words]
    for file in files:
        if not file.is_file():
            said = "is a folder: name the files in it" if file.is_dir() else "is not there"
            raise MistypedError(f"the file {file} {said}")
    return kind, files


def import_files(
    session: Session,
    files: Sequence[Path],
    now: datetime,
    *,
    kind: str | None = None,
    mapping: str | None = None,
    bar: Bar = no_bar,
) -> Iterator[ImportReport]:
    """Import each file, in the order in which one rests on the other; give each report as it comes."""
    from engine.intake.importer import import_file  # only here: a run whose inbox is empty has no use for it

    config, key = session.home.config, session.home.key
    columns = None if mapping is None else _mapping(config.root, mapping)
    if kind is None and len(files) > 1:
        files = sorted(files, key=lambda each: _rank(session, each))
    for file in files:
        with bar(file.name) as progress:
            report = import_file(session.db, config, key, file, kind=kind, mapping=columns, now=now, progress=progress)
        yield report


def take_inbox(session: Session, now: datetime) -> list[ImportReport]:
    """Import what lies in the inbox."""
    return take_in(session.db, session.home.config, session.home.key, now)


def told(report: ImportReport) -> str:
    """Say what an import understood and did. A till's texts are in it: nothing of them steers the terminal."""
    said = report.problem.split("\n") if report.problem else report.sentences()
    if report.problem:
        said[0] = f"{report.file.name}: {said[0]}"
    return "".join(f"{visible(line)}\n" for line in said)


def complaint(report: ImportReport) -> str:
    """Say in a line why an import failed: the first row that was refused stands for the others."""
    if report.problem:
        return told(report).rstrip("\n")
    line, why = report.refusals[0]
    first = f"{counted(report.refused, 'row')} refused; the first in line {line}: {why}"
    return visible(f"{report.file.name}: {first}")


def _mapping(root: Path, name: str) -> Mapping:
    from engine.intake.mapping import load_mapping

    found, problems = load_mapping(root, name)
    if errors(problems) or found is None:
        raise ProblemsError(problems)
    return found


def _rank(session: Session, file: Path) -> int:
    from connectors.csvfile import FileError
    from engine.intake.importer import peek

    try:
        return list(KINDS).index(peek(session.home.config, file))
    except FileError:
        return len(KINDS)
