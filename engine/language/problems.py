"""Where something is wrong, what, and how to put it right: one record and its printers.

A problem is made once, at its place, and printed three ways: as text with a caret for a person, as JSON for a program,
and as a workflow command for GitHub's annotations.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from engine.language.phrases import phrase, said

Severity = Literal["error", "warning"]

_WINDOW = 110  # columns of a source line that are shown; a longer line is cut around the caret
_ZERO_WIDTH = frozenset({"Mn", "Me", "Cf"})
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Isolates and overrides of writing direction would let a file rearrange what the terminal shows.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_WARNING: Final = phrase("warning: ")
_RED, _YELLOW, _BOLD, _FAINT, _GREEN, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in what an owner wrote.

    ``path`` is the file as shown to the owner, relative to the home. ``line`` and ``column`` count from 1, in
    characters; ``width`` is how many characters the caret underlines; ``excerpt`` is the source line (empty: no line is
    printed, because the problem is about the whole file). ``code`` is stable and may be relied upon by programs.
    """

    path: str
    line: int
    column: int
    message: str
    code: str
    severity: Severity = "error"
    hint: str = ""
    width: int = 1
    excerpt: str = ""

    @property
    def is_error(self) -> bool:
        """Whether this stops what it is about; a warning does not."""
        return self.severity == "error"


class ProblemsError(Exception):
    """What was asked cannot be done because of problems in the owner's files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = ordered(problems)
        super().__init__("; ".join(_headline(p) for p in self.problems))


def whole_file(path: str, message: str, code: str, *, hint: str = "", severity: Severity = "error") -> Problem:
    """Give a problem of a file as a whole, such as one that cannot be read."""
    return Problem(path, 1, 1, message, code, severity, hint)


def ordered(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by place; what is said twice about one place is kept once."""
    key = {p: (p.path, p.line, p.column, p.severity, p.code, p.message) for p in problems}
    return sorted(key, key=key.__getitem__)


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Keep what is an error; leave the warnings out."""
    return [p for p in problems if p.is_error]


def display_width(text: str) -> int:
    """Count terminal columns: Chinese, Japanese, Korean and most emoji take two, combining marks none."""
    return sum(_columns(char) for char in text)


def to_text(problems: Iterable[Problem], *, color: bool = False, language: str = "en") -> str:
    """Print problems for a person: place, message and code, the line, a caret, the hint. Ends with a line break.

    Nothing gives the empty string.
    """
    return "".join(f"{_one(problem, color, language)}\n" for problem in ordered(problems))


def to_json(problem: Problem, language: str = "en") -> dict[str, str | int]:
    """Give the object that ``validate --format json`` prints on one line; keys and codes are stable in any language."""
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": said(problem.message, language),
        "hint": said(problem.hint, language),
    }


def to_github(problem: Problem, language: str = "en") -> str:
    """Give the workflow command that makes GitHub show the problem beside the line."""
    where = {
        "file": problem.path,
        "line": str(problem.line),
        "col": str(problem.column),
        "endColumn": str(problem.column + problem.width),
        "title": problem.code,
    }
    properties = ",".join(f"{name}={_github_property(value)}" for name, value in where.items())
    words = [said(text, language) for text in (problem.message, problem.hint) if text]
    return f"::{problem.severity} {properties}::{_github_data(chr(10).join(words))}"


def _headline(problem: Problem) -> str:
    warning = _WARNING if problem.severity == "warning" else ""
    return f"{problem.path}:{problem.line}:{problem.column}: {warning}{_visible(problem.message)} [{problem.code}]"


def _one(problem: Problem, color: bool, language: str) -> str:
    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if color else text

    loud = _RED if problem.is_error else _YELLOW
    warning = paint(said(_WARNING, language), _YELLOW) if not problem.is_error else ""
    message, hint = said(problem.message, language), said(problem.hint, language)
    where = paint(f"{problem.path}:{problem.line}:{problem.column}:", _BOLD)
    lines = [f"{where} {warning}{_visible(message)} {paint(f'[{problem.code}]', _FAINT)}"]
    if problem.excerpt:
        number = str(problem.line)
        margin = " " * len(number)
        shown, lead, span = _cut(problem.excerpt, problem.column, problem.width)
        caret = paint("^" + "~" * (span - 1), loud)
        lines.append(f"{paint(f'  {number} |', _FAINT)} {shown}")
        lines.append(f"{paint(f'  {margin} |', _FAINT)} {' ' * lead}{caret}")
    if hint:
        lines.extend(f"  {paint(_visible(line), _GREEN)}" for line in hint.splitlines())
    return "\n".join(lines)


def _cut(line: str, column: int, width: int) -> tuple[str, int, int]:
    """Give the part of the line to show, the columns before the caret, and the caret's length in columns."""
    at = min(max(column - 1, 0), len(line))
    before, marked, after = line[:at], line[at : at + max(width, 1)], line[at + max(width, 1) :]
    if display_width(line) > _WINDOW:
        before = _tail(before, _WINDOW // 2)
        marked = _head(marked, _WINDOW // 2)
        after = _head(after, max(_WINDOW - display_width(before) - display_width(marked), 0))
    before, marked, after = _visible(before), _visible(marked), _visible(after)
    return f"{before}{marked}{after}".rstrip(), display_width(before), max(display_width(marked), 1)


def _head(text: str, columns: int) -> str:
    if display_width(text) <= columns:
        return text
    while text and display_width(text) >= columns:
        text = text[: -max(1, (display_width(text) - columns) // 2)]
    return f"{text}…"


def _tail(text: str, columns: int) -> str:
    if display_width(text) <= columns:
        return text
    while text and display_width(text) >= columns:
        text = text[max(1, (display_width(text) - columns) // 2) :]
    return f"…{text}"


def _columns(char: str) -> int:
    category = unicodedata.category(char)
    if char in _BIDI or category in _CONTROL:
        return 1  # shown as a replacement sign
    if category in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _visible(text: str) -> str:
    """Replace what would steer a terminal; a tab becomes one space so that the caret stands right."""
    return "".join(
        " " if char == "\t" else "\ufffd" if char in _BIDI or unicodedata.category(char) in _CONTROL else char
        for char in text
    )


def _github_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")
