"""``validate --watch``: check again whenever a file of the home has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from engine.language.phrases import Phrase, listed, phrase

#: Seconds between two looks. Asking some dozens of files for their time costs nothing, on any disk and any system.
PAUSE: Final = 0.5

State = Mapping[str, tuple[int, int]]


def state(root: Path, folders: tuple[str, ...]) -> State:
    """Give time of change (nanoseconds) and size of every file below the folders of the home, by its path there."""
    found = {}
    for folder in folders:
        for file in sorted((root / folder).rglob("*")):
            try:
                known = file.stat()
            except OSError:  # it was there a moment ago
                continue
            if file.is_file():
                found[file.relative_to(root).as_posix()] = (known.st_mtime_ns, known.st_size)
    return found


def changes(look: Callable[[], State], sleep: Callable[[float], object]) -> Iterator[list[str]]:
    """Give the files that have changed since the last turn, each time some have; the first turn comes at once.

    An editor writes a file in several steps: a change is given when it has stood for one pause.
    """
    told = look()
    yield []
    while True:
        sleep(PAUSE)
        if look() == told:
            continue
        seen = _settled(look, sleep)
        changed = sorted(name for name in told.keys() | seen.keys() if told.get(name) != seen.get(name))
        told = seen
        if changed:
            yield changed


def _settled(look: Callable[[], State], sleep: Callable[[float], object]) -> State:
    seen = look()
    while True:
        sleep(PAUSE)
        later = look()
        if later == seen:
            return seen
        seen = later


def heading(changed: list[str]) -> Phrase:
    """Say which files have changed."""
    return phrase("Changed: {files}", files=listed(changed))


def watching() -> Phrase:
    """Say that nothing more comes until a file changes."""
    return phrase("Watching for changes; Ctrl-C ends it.")


def ended() -> Phrase:
    """Say that the watch is over."""
    return phrase("No longer watching.")
