"""A YAML file that was read: its data, and the place of every part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.language.problems import Problem, Severity
from engine.language.yamlerrors import Place, Said

Path = tuple[str | int, ...]

# A secret must not be printed, not even beside the message that it does not belong there.
_SECRETS = (
    re.compile(r"://[^:/@\s]*:(?P<secret>[^\s]+)@"),
    re.compile(
        r"(?i)[\"']?\b[a-z_]*(?:password|secret|token|key)[\"']?\s*[:：]\s*(?!\s|#|(?:[\"']?(?:env|file):))(?P<secret>.+)$"
    ),
    re.compile(r"^\s*(?P<secret>[A-Za-z0-9+/]{40,}={0,2})\s*$"),  # of a key in PEM
)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file, read.

    ``data`` is plain: dict with str keys, list, str, int, float, bool, None; the top is always a dict. ``broken`` are
    the paths about which a problem has been given already and whose data stand in for what could not be read.
    """

    shown: str
    text: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)
    keys: dict[Path, Place] = field(repr=False)
    values: dict[Path, Place] = field(repr=False)
    broken: frozenset[Path] = field(default=frozenset(), repr=False)
    #: All paths at which the file itself is wrong (a key twice, an alias, a tag): nothing there means what it says.
    spoilt: frozenset[Path] = field(default=frozenset(), repr=False)

    def place(self, at: Path, on: Literal["value", "key"] = "value") -> Place:
        """Find where ``at`` stands; what is not in the file is placed at the nearest section that is.

        A section, or a key with nothing after it, is shown by its key.
        """
        known = at
        while known and known not in self.values:
            known = known[:-1]
        on = on if known == at else "key"
        value = self.values.get(known)
        key = self.keys.get(known)
        if key is not None and (on == "key" or value is None or value.width == 0):
            return key
        if value is not None and known:
            return value if value.width else Place(value.line, value.column, self._rest(value))
        first = next(iter(self.keys.values()), None)
        return first or Place(1, 1, 1)

    def place_in(self, at: Path, part: str) -> Place:
        """Find a word or several of the text at ``at``; the whole text where they do not stand in one of its lines."""
        whole, key = self.place(at), self.keys.get(at)
        for number in range(whole.line - 1, len(self.lines) if part else 0):
            line, from_here = self.lines[number], whole.column - 1 if number == whole.line - 1 else 0
            indent = len(line) - len(line.lstrip())
            if number >= whole.line and line.strip() and (key is None or indent < key.column):
                break
            found = re.compile(rf"(?<![\w.]){re.escape(part)}(?!\w)").search(line, from_here)
            if found:
                return Place(number + 1, found.start() + 1, len(part))
        return whole

    def problem(
        self,
        at: Path,
        message: str,
        code: str,
        *,
        on: Literal["value", "key"] = "value",
        hint: str = "",
        severity: Severity = "error",
    ) -> Problem:
        """Make a problem at the place of ``at``."""
        return self.problem_at(self.place(at, on), message, code, hint=hint, severity=severity)

    def problem_at(
        self, place: Place, message: str, code: str, *, hint: str = "", severity: Severity = "error"
    ) -> Problem:
        """Make a problem at a place found otherwise, such as inside a text."""
        return problem_in(self.shown, self.lines, place, (message, code, hint), severity)

    def is_broken(self, at: Path) -> bool:
        """Whether ``at`` or a section around it could not be read, so that nothing more should be said of it."""
        return any(at[:length] in self.broken for length in range(len(at) + 1))

    def is_spoilt(self, at: Path) -> bool:
        """Whether the file is wrong at ``at``, above it or anywhere below: what stands there must not be used."""
        return any(path[: len(at)] == at or at[: len(path)] == path for path in self.spoilt)

    def _rest(self, place: Place) -> int:
        return max(len(self.lines[place.line - 1].rstrip()) - place.column + 1, 1)


def masked(line: str) -> str:
    """Put stars over what looks like a secret in a source line; its length stays."""
    for pattern in _SECRETS:
        found = pattern.search(line)
        if found:
            start, end = found.span("secret")
            line = line[:start] + "*" * (end - start) + line[end:]
    return line


def problem_in(
    shown: str,
    lines: tuple[str, ...],
    place: Place,
    said: Said,
    severity: Severity = "error",
) -> Problem:
    """Make a problem at a place of a file that is known by its lines. ``said``: message, code, hint."""
    message, code, hint = said
    excerpt = masked(lines[place.line - 1]) if place.line <= len(lines) else ""
    width = min(max(place.width, 1), max(len(excerpt) - place.column + 1, 1))
    return Problem(shown, place.line, place.column, message, code, severity, hint, width, excerpt)
