"""What a person reads: lines and tables of the right width, coloured only where somebody watches."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.language.phrases import said

if TYPE_CHECKING:
    from rich.console import Console

#: Nothing is folded where a program reads.
_ENDLESS: Final = 100_000
_STEERING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: How a spreadsheet knows a formula; in a guest's name it must not be one.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Style = Literal["good", "bad", "care", "faint", "strong"]
_COLORS: Final[dict[Style, str]] = {
    "good": "green",
    "bad": "red",
    "care": "yellow",
    "faint": "bright_black",
    "strong": "bold",
}


def watched() -> bool:
    """Tell whether a person watches: progress is shown, browsers are opened and questions asked only then."""
    return sys.stdout.isatty() and sys.stdin.isatty()


def colored() -> bool:
    """Tell whether to colour: on a terminal, unless ``NO_COLOR`` or a dumb terminal says otherwise."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def speak_utf8() -> None:
    """Let no guest's name and no path end a command: what a terminal cannot show becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is, where a person watches; gives ``progress(done, all)``."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(visible(name), total=None)
        yield lambda done, all_: shown.update(task, completed=done, total=all_)


@contextmanager
def counter(label: str) -> Iterator[Callable[[int], None]]:
    """Count what is done, where a person watches; gives ``progress(more)``."""
    if not sys.stderr.isatty():
        yield lambda _more: None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = (TextColumn("{task.description} {task.completed:,.0f}"),)
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=None)
        yield lambda more: shown.advance(task, more)


def visible(text: str) -> str:
    """Give a guest's text on one line, with nothing in it that would steer the terminal."""
    return "".join(
        " " if char in "\t\n\r" else "\ufffd" if char in _BIDI or unicodedata.category(char) in _STEERING else char
        for char in text
    )


def csv_line(values: Iterable[object]) -> str:
    """Give one line of CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    stream = io.StringIO()
    # With \r\n as the line's end the writer quotes a \r inside a cell too.
    csv.writer(stream, lineterminator="\r\n").writerow([_harmless(value) for value in values])
    return stream.getvalue().removesuffix("\r\n") + "\n"


def _harmless(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; numbers stand at the right, ``whole`` cells are never folded over lines.

    ``most`` is how many columns of the terminal a cell may fill; the rest of it is cut off.
    """

    title: str
    right: bool = False
    style: Style | None = None
    whole: bool = False
    most: int | None = None


class Page:
    """Gathers what a command says, phrases in ``language``; ``text`` gives all of it, ending with a line break."""

    def __init__(self, *, color: bool | None = None, width: int | None = None, language: str = "en") -> None:
        self.language = language
        self._color = colored() if color is None else color
        self._width = width
        self._console: Console | None = None
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """Give what was said so far."""
        return "".join(self._parts)

    @property
    def width(self) -> int:
        """How many columns there are to fill."""
        return self._open().width

    def line(self, text: str = "", style: Style | None = None, *, indent: int = 0) -> None:
        """Say one line. Text of guests goes through ``visible`` first."""
        from rich.padding import Padding
        from rich.text import Text

        made = Text(said(text, self.language), _COLORS[style] if style else "")
        self._say(Padding(made, (0, 0, 0, indent)) if indent else made)

    def heading(self, text: str) -> None:
        """Say a heading, with an empty line above."""
        if self._parts:
            self.line()
        self.line(text, "strong")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, indent: int = 0) -> None:
        """Say a table; every cell is made harmless. A title row is left out where no column has a title."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        made = Table(
            box=None,
            show_header=any(column.title for column in columns),
            header_style="bold",
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for column in columns:
            made.add_column(
                column.title,
                justify="right" if column.right else "left",
                style=_COLORS[column.style] if column.style else "",
                overflow="fold",
                no_wrap=column.whole,
            )
        for row in rows:
            cells = [Text(visible("" if cell is None else str(said(cell, self.language)))) for cell in row]
            for column, text in zip(columns, cells, strict=True):
                if column.most is not None:
                    text.truncate(column.most, overflow="ellipsis")
            made.add_row(*cells)
        self._say(Padding(made, (0, 0, 0, indent), expand=False) if indent else made)

    def verbatim(self, text: str) -> None:
        """Say a text of several lines as it is."""
        self._parts.append(text if text.endswith("\n") else f"{text}\n")

    def json_lines(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Say one JSON object a line."""
        for each in objects:
            self._parts.append(json.dumps(each, ensure_ascii=False) + "\n")

    def _say(self, what: Any) -> None:
        console = self._open()
        with console.capture() as capture:
            console.print(what)
        self._parts.append("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n")

    def _open(self) -> Console:
        if self._console is None:
            from rich.console import Console

            width = self._width or (None if sys.stdout.isatty() else _ENDLESS)
            self._console = Console(
                force_terminal=self._color,
                no_color=not self._color,
                color_system="standard" if self._color else None,
                width=width,
                highlight=False,
                markup=False,
                emoji=False,
                legacy_windows=False,
            )
        return self._console
