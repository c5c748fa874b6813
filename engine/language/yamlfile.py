"""Read an owner's YAML: plain data and the place of everything in it, side by side.

Scalars follow the core schema of YAML 1.2, because PyYAML's YAML 1.1 makes ``10:00`` the number 600, ``NO`` false and
a phone number an integer. Here only ``true``/``false``, ``null``, decimal, ``0o`` and ``0x`` integers and plain floats
are not text. Departures, each to keep what an owner means: digits with a leading zero or a leading ``+`` stay text (an
id would lose its zeros, a phone number its plus), so does what has an exponent (``12e4`` is a till's code), and so does
a number that 64 bits do not hold.

Aliases, anchors and tags are refused, duplicate keys are shown at both places, size and depth are bounded, and nothing
that the parser says reaches the owner unexplained (``yamlstumbles.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from engine.language import yamlerrors
from engine.language.document import Document, Path, problem_in
from engine.language.phrases import phrase
from engine.language.problems import Problem, Severity, whole_file
from engine.language.yamlerrors import ODD_SPACES, Place
from engine.language.yamlstumbles import explain

__all__ = ["Document", "Path", "find", "load", "parse", "scalar", "wrong_name"]

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 40
_INT64: Final = 2**63

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is seven times faster; wheels have it
_BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # the parser counts lines by these
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)")
_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OPENING, _CLOSING = "“”„‘’「『«", "“”‘’」』»"


def load(file: FilePath, shown: str) -> tuple[Document | None, list[Problem]]:
    """Read one file. ``shown`` is the path as the owner knows it, relative to the home.

    Never raises for what the file holds or for a file that cannot be read. A document may come together with problems:
    then everything else in it can still be checked. Without a document there is at least one error.
    """
    if re.search(r"\.ya?ml\.txt$", file.name, re.IGNORECASE):
        return None, [wrong_name(shown)]
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return None, [_unreadable(file, shown, error)]
    if len(raw) > MAX_BYTES:
        cure = phrase("Is it the right file? Rules and settings are a few kilobytes; data belong into inbox/ as CSV.")
        message = phrase("the file is larger than {size} kB", size=MAX_BYTES // 1024)
        return None, [whole_file(shown, message, "too-large", hint=cure)]
    text, problem = _decode(raw, shown)
    return (None, [problem]) if problem else parse(text, shown)


def parse(text: str, shown: str) -> tuple[Document | None, list[Problem]]:
    """Read YAML from text, as ``load`` does from a file."""
    text = text.removeprefix("\ufeff")
    lines = tuple(_BREAKS.split(text))
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        before = _BREAKS.split(text[: forbidden.start()])
        place = Place(len(before), len(before[-1]) + 1, 1)
        return None, [problem_in(shown, lines, place, yamlerrors.forbidden(forbidden.group()))]
    return _Reader(shown, text, lines).read()


def find(folder: FilePath, shown: str) -> tuple[list[tuple[FilePath, str]], list[Problem]]:
    """List the YAML files of a folder and below, sorted: pairs of file and shown path, and files that are misnamed.

    Hidden files and editors' copies are left out; a folder that does not exist has no files.
    """
    files: list[tuple[FilePath, str]] = []
    problems: list[Problem] = []
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        inside = file.relative_to(folder)
        if any(part.startswith((".", "~")) for part in inside.parts) or not file.is_file():
            continue
        name = f"{shown}/{inside.as_posix()}"
        if re.search(r"\.ya?ml$", file.name, re.IGNORECASE):
            files.append((file, name))
        elif re.search(r"\.ya?ml\.txt$", file.name, re.IGNORECASE):
            problems.append(wrong_name(name))
    return files, problems


def wrong_name(shown: str) -> Problem:
    """Say that a file ends in ``.yaml.txt``, which Windows' Notepad makes and Explorer hides."""
    cure = phrase(
        "Rename it to {name}. In Notepad choose Save as, Save as type: All files; in Explorer switch on View, Show, "
        "File name extensions to see the ending.",
        name=shown[:-4].rsplit("/", 1)[-1],
    )
    return whole_file(shown, phrase("the file's name ends in .txt, so it is not read"), "file-name", hint=cure)


def scalar(text: str) -> str | int | float | bool | None:
    """Give a plain (unquoted) scalar its value by the core schema of YAML 1.2, with the departures named above."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) <= 20:  # noqa: PLR2004 - no 64-bit number is longer, and int() of a long text is slow
        number: int | None = None
        if _INTEGER.fullmatch(text):
            number = int(text)
        elif _OTHER_BASE.fullmatch(text):
            number = int(text, 0)
        if number is not None:
            return number if -_INT64 <= number < _INT64 else text
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _unreadable(file: FilePath, shown: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        twin = file.with_name(file.name + ".txt")
        if twin.exists():
            return wrong_name(shown + ".txt")
        return whole_file(shown, phrase("the file does not exist"), "missing-file")
    if isinstance(error, PermissionError):
        cure = phrase("Give the account that runs Regulars the right to read it.")
        return whole_file(shown, phrase("the file may not be read by this account"), "unreadable", hint=cure)
    if isinstance(error, IsADirectoryError):
        return whole_file(shown, phrase("this is a folder, not a file"), "unreadable")
    why = error.strerror or type(error).__name__
    return whole_file(shown, phrase("the file cannot be read: {why}", why=why), "unreadable")


def _decode(raw: bytes, shown: str) -> tuple[str, Problem | None]:
    cure = phrase("Save it as UTF-8: in Notepad, Save as, Encoding: UTF-8; in Excel, do not edit it there.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", whole_file(shown, phrase("the file is saved as UTF-16"), "encoding", hint=cure)
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace").split("\n")
        try:
            chinese = bool(raw.decode("gbk")) and raw[error.start + 1] > 0x3F  # noqa: PLR2004
        except (UnicodeDecodeError, IndexError):
            chinese = False
        older = phrase("GBK (Chinese)") if chinese else "Windows-1252"
        said = phrase("the file is not saved as UTF-8, perhaps as {older}: this sign cannot be read", older=older)
        return "", Problem(shown, len(before), len(before[-1]) + 1, said, "encoding", hint=cure)


@dataclass(slots=True)
class _Frame:
    """A collection that is being filled. ``path`` is None where what is read goes nowhere."""

    into: dict[str, Any] | list[Any]
    path: Path | None
    key: str | None = None  #: of the mapping, read and waiting for its value
    child: Path | None = None  #: where that value goes
    is_key: bool = False  #: this collection stands where a key should: nothing of it is kept


class _Reader:
    """Builds data, places and problems from the parser's events, without recursion."""

    def __init__(self, shown: str, text: str, lines: tuple[str, ...]) -> None:
        self.shown, self.text, self.lines = shown, text, lines
        self.problems: list[Problem] = []
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.broken: set[Path] = set()
        self.spoilt: set[Path] = set()
        self.stack: list[_Frame] = []
        self.top: list[Any] = []

    def read(self) -> tuple[Document | None, list[Problem]]:
        try:
            for event in self._events():
                if not self._take(event):
                    return None, self.problems
        except yaml.MarkedYAMLError as error:
            if not any(problem.code == "quotes-needed" for problem in self.problems):  # that is why it stopped
                self._say(*explain(self.lines, error))
            return None, self.problems
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            said = phrase("this is not YAML that can be read ({why})", why=type(error).__name__)
            self._say(Place(1, 1, 1), said, "yaml")
            return None, self.problems
        if not self.top or (self.top[0] is None and () not in self.broken):
            cure = phrase("Has it been saved? `regulars init` makes a home with examples.")
            if self.shown.startswith("config/") and self.shown != "config/regulars.yaml":
                cure = phrase(
                    "Has it been saved? A home does without this file: delete it where nothing is to stand in it."
                )
            hint = "" if self.text.strip() else cure
            self.problems.append(whole_file(self.shown, phrase("the file is empty"), "empty-file", hint=hint))
            return None, self.problems
        data = self.top[0]
        if not isinstance(data, dict):
            if not self.problems:
                self._say(*yamlerrors.not_a_mapping(self.lines, data, self.values[()]))
            return None, self.problems
        broken, spoilt = frozenset(self.broken), frozenset(self.spoilt | self.broken)
        return Document(self.shown, self.text, data, self.lines, self.keys, self.values, broken, spoilt), self.problems

    def _events(self) -> Iterator[yaml.Event]:
        return iter(yaml.parse(self.text, _LOADER))

    def _say(self, place: Place, message: str, code: str, hint: str = "", *, severity: Severity = "error") -> None:
        self.problems.append(problem_in(self.shown, self.lines, place, (message, code, hint), severity))

    def _take(self, event: yaml.Event) -> bool:
        """Take one event; False ends the reading."""
        if isinstance(event, yaml.DocumentStartEvent) and self.top:
            said = phrase("a second document begins here; a file holds one")
            cure = phrase("Put the second part into a file of its own, or remove the line with ---.")
            self._say(self._place(event), said, "second-document", cure)
            return False
        if not isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
            return True
        if isinstance(event, yaml.CollectionEndEvent):
            frame = self.stack.pop()
            if frame.is_key:
                self.stack[-1].key, self.stack[-1].child = "", None
            return True
        frame_above = self.stack[-1] if self.stack else None
        is_key = frame_above is not None and isinstance(frame_above.into, dict) and frame_above.key is None
        path = frame_above.path if frame_above is not None and is_key else self._path_of_value(frame_above)
        if self._refuse_marks(event) and path is not None:
            self.spoilt.add(path)
        if frame_above is not None and is_key:
            self._take_key(frame_above, event)
        else:
            self._take_value(frame_above, event)
        if len(self.stack) > MAX_DEPTH:
            said = phrase("more than {most} levels inside one another", most=MAX_DEPTH)
            self._say(self._place(event), said, "too-deep")
            return False
        return True

    def _take_key(self, frame: _Frame, event: yaml.NodeEvent) -> None:
        place = self._place(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse_key(frame, event, place)
            return
        key = str(event.value)
        value = key if event.style else scalar(key)
        path = None if frame.path is None else (*frame.path, key)
        frame.key, frame.child = key, path
        if path is None:
            return
        if path in self.keys:
            frame.child = None
            self.spoilt.add(path)
            self._say(place, *yamlerrors.duplicate_key(path, self.keys[path]))
            return
        self.keys[path] = place
        said = None if isinstance(value, str) else yamlerrors.key_type(key, value)
        if key == "<<":
            said = yamlerrors.MERGE_KEY
        elif key[:1] in ODD_SPACES:
            said = yamlerrors.odd_space(key)
        if said:
            self.broken.add(path)
            self._say(place, *said)

    def _refuse_key(self, frame: _Frame, event: yaml.NodeEvent, place: Place) -> None:
        start = place.column - 1
        in_braces = self.lines[place.line - 1][max(start - 1, 0) : start + 1] == "{{"
        self._say(place, *(yamlerrors.PLACEHOLDER if in_braces else yamlerrors.COLLECTION_KEY))
        if frame.path:
            self.broken.add(frame.path)
        elif frame.path is not None:
            self.spoilt.add(frame.path)
        frame.key, frame.child = "", None
        if isinstance(event, yaml.CollectionStartEvent):
            frame.key = None
            self.stack.append(_Frame([], None, is_key=True))

    def _take_value(self, frame: _Frame | None, event: yaml.NodeEvent) -> None:
        path = self._path_of_value(frame)
        value: Any = None
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style else scalar(event.value)
            if path is not None and not event.style and isinstance(value, str):
                self._warn_of_typographic_quotes(value, event)
        elif isinstance(event, yaml.MappingStartEvent):
            value = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        elif path is not None:
            self.broken.add(path)  # an alias, told already
        if path is not None:
            self.values[path] = self._place(event)
        self._store(frame, path, value)
        if isinstance(event, yaml.CollectionStartEvent):
            self.stack.append(_Frame(value, path))

    def _path_of_value(self, frame: _Frame | None) -> Path | None:
        if frame is None:
            return ()
        if isinstance(frame.into, dict):
            return frame.child
        return None if frame.path is None else (*frame.path, len(frame.into))

    def _store(self, frame: _Frame | None, path: Path | None, value: Any) -> None:
        if frame is None:
            self.top.append(value)
        elif isinstance(frame.into, list):
            frame.into.append(value)
        else:
            if path is not None and frame.key is not None:
                frame.into[frame.key] = value
            frame.key, frame.child = None, None

    def _refuse_marks(self, event: yaml.NodeEvent) -> bool:
        """Refuse aliases, anchors and tags; tell whether there was one."""
        tag = getattr(event, "tag", None)
        if event.anchor is None and tag is None:
            return False
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            self._say(place, *yamlerrors.alias(str(event.anchor)))
            return True
        if event.anchor is not None:
            self._say(place._replace(width=len(str(event.anchor)) + 1), *yamlerrors.anchor(str(event.anchor)))
        if tag is not None:
            self._say(place._replace(width=1), *yamlerrors.TAG)
        return True

    def _warn_of_typographic_quotes(self, value: str, event: yaml.ScalarEvent) -> None:
        if len(value) > 1 and value[0] in _OPENING and value[-1] in _CLOSING:
            self._say(self._place(event), *yamlerrors.TYPOGRAPHIC_QUOTES, severity="warning")

    def _place(self, event: yaml.Event) -> Place:
        """Where a node stands; the width of a section and of nothing is 0."""
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        if isinstance(event, yaml.CollectionStartEvent):
            return Place(start.line + 1, start.column + 1, 0)
        if end.line == start.line:
            width = end.column - start.column
        else:
            width = max(len(self.lines[start.line].rstrip()) - start.column, 1)
        return Place(start.line + 1, start.column + 1, width)
