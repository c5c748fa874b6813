"""What the YAML parser stumbles over, in an owner's words.

The parser names the rule that was broken and the place where it noticed, often the line after the mistake. Each
function here gives the place of the mistake, what is wrong, a code, and the cure.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import yaml


class Place(NamedTuple):
    """A place in a file: line and column from 1, width in characters."""

    line: int
    column: int
    width: int


Told = tuple[Place, str, str, str]
Said = tuple[str, str, str]

ODD_SPACES: Final = ("\u00a0", "\u3000", "\u2007", "\u202f", "\u2002", "\u2003", "\u2009", "\u200b", "\ufeff")
_STARTS = "@`%*&!|>,}]{["

TAG: Final[Said] = (
    "a tag (a word that begins with !) cannot be used here",
    "tag",
    'Text that begins with "!" needs quotes around it.',
)
MERGE_KEY: Final[Said] = ("merging with << cannot be used here", "alias", "Write the lines out where they are wanted.")
PLACEHOLDER: Final[Said] = (
    "text that begins with {{ needs quotes around it",
    "quotes-needed",
    'Such as: subject: "{{ customer.first_name }}, we miss you"',
)
COLLECTION_KEY: Final[Said] = (
    "the name of a setting must be a word, not a list or a section",
    "key-type",
    "Text that begins with [, { or ? needs quotes around it.",
)
TYPOGRAPHIC_QUOTES: Final[Said] = (
    "these are a word processor's quotation marks: they become part of the text",
    "typographic-quotes",
    "To quote, use the straight signs \" or '.",
)
_TAB: Final[Said] = (
    "this line is indented with a tab; YAML takes spaces only",
    "tab",
    "Replace each tab by two spaces; most editors do it by themselves (Convert indentation to spaces).",
)
_FULL_WIDTH: Final[Said] = (
    'this colon is the full-width "：" of a Chinese or Japanese keyboard; YAML wants ":" and a space',
    "full-width-colon",
    "Switch the keyboard to English and type the colon again, with a space after it.",
)


def forbidden(char: str) -> Said:
    """Name a character that no text file holds."""
    if char == "\0":
        return (
            "the file holds a NUL sign: it is saved as UTF-16, or is no text file at all",
            "encoding",
            "Save it as UTF-8: in Notepad, Save as, Encoding: UTF-8.",
        )
    return f"an invisible control sign (U+{ord(char):04X}) stands here", "control-sign", "Delete it and type it anew."


def duplicate_key(path: tuple[str | int, ...], first: Place) -> Said:
    """Say that a key stands twice in one section; ``first`` is where it stood before."""
    key = path[-1]
    cure = "Remove one of the two."
    if any(part in {"conditions", "stop_if", "any", "all", "none", "only_if", "exclude"} for part in path[:-1]):
        cure = f'To ask "{key}" twice, list both under all: such as\n  all:\n    - {key}: ...\n    - {key}: ...'
    return f'"{key}" is already given on line {first.line}, column {first.column}', "duplicate-key", cure


def key_type(key: str, value: object) -> Said:
    """Say that a key is a number, a truth value or nothing."""
    if value is None:
        return "a setting's name is missing before the colon", "key-type", "Write the name, or remove the line."
    what = "yes-or-no value" if isinstance(value, bool) else "number"
    return f"the name of a setting must be a word, not the {what} {key}", "key-type", f'If it is meant: "{key}":'


def odd_space(key: str) -> Said:
    """Say that a name begins with a space that is none to YAML, as copying from a web page brings."""
    name = key.strip().strip("".join(ODD_SPACES))
    return (
        f'before "{name}" stands a space that is no plain space (U+{ord(key[0]):04X})',
        "odd-space",
        "It comes with text copied from a web page or a chat. Delete it and type plain spaces.",
    )


def alias(name: str) -> Said:
    """Say that an alias, such as ``*friends``, is refused."""
    return f"an alias (*{name}) cannot be used here", "alias", f'If the text is meant, put it in quotes: "*{name}"'


def anchor(name: str) -> Said:
    """Say that an anchor, such as ``&friends``, is refused."""
    return f"an anchor (&{name}) cannot be used here", "alias", f'If the text is meant, put it in quotes: "&{name} ..."'


def colon_trouble(text: str) -> Said | None:
    """Explain a text that was meant to be ``name: value``: a full-width colon, or no space after the colon."""
    if re.match(r"[^\s:：]+\s*：", text):
        return _FULL_WIDTH
    found = re.match(r"([A-Za-z_][\w-]*):(?!//)\S", text)
    if found:
        name = found.group(1)
        return f'a space is missing after the colon of "{name}"', "missing-space", f"Write: {name}: ..."
    return None


def not_a_mapping(lines: tuple[str, ...], data: object, place: Place) -> Told:
    """Explain a file whose top is a text, a number or a list."""
    if isinstance(data, str):
        said = colon_trouble(data)
        if said:
            return _of_sign(lines, place.line - 1, said), *said
    what = "a list" if isinstance(data, list) else "one text" if isinstance(data, str) else "one value"
    place = place if place.width else place._replace(width=1)
    return place, f"the file holds {what}, not settings", "not-settings", "Each line has the form  name: value"


def explain(lines: tuple[str, ...], error: yaml.MarkedYAMLError) -> Told:
    """Explain what stopped the parser."""
    trouble, context = str(error.problem or ""), str(error.context or "")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    since = error.context_mark.line if error.context_mark else line
    line = min(line, len(lines) - 1)
    if "quoted scalar" in context and "escape" in trouble:
        return _escape(lines, line, column)
    if "quoted scalar" in context and error.context_mark:
        return _unclosed_quote(lines, since, error.context_mark.column)
    return (
        _of_lines(lines, line, since)
        or _of_quotes(lines, line, column, error)
        or _of_colons(lines, line, column, since, trouble)
        or _of_structure(lines, line, column, error)
    )


def _of_lines(lines: tuple[str, ...], line: int, since: int) -> Told | None:
    """Look for signs that are wrong by themselves: tabs, odd spaces, full-width colons, a missing space."""
    near = [number for number in dict.fromkeys((since, _above(lines, line), line)) if 0 <= number < len(lines)]
    for number in near:
        text = lines[number]
        blank = text[: len(text) - len(text.lstrip())]
        if "\t" in blank:
            return Place(number + 1, blank.index("\t") + 1, 1), *_TAB
        if any(sign in blank for sign in ODD_SPACES):
            at = min(blank.index(sign) for sign in ODD_SPACES if sign in blank)
            return Place(number + 1, at + 1, 1), *odd_space(text[at:])
    for number in near:
        said = colon_trouble(re.sub(r"^\s*(- +)*", "", lines[number]))
        if said:
            return _of_sign(lines, number, said), *said
    return None


def _of_quotes(lines: tuple[str, ...], line: int, column: int, error: yaml.MarkedYAMLError) -> Told | None:
    trouble, context = str(error.problem or ""), str(error.context or "")
    text = lines[line]
    braces = re.search(r"(?:^|[:\-]\s+)(\{\{)", text)
    if braces:
        return Place(line + 1, braces.start(1) + 1, 2), *PLACEHOLDER
    before = text[:column].rstrip()
    if before[-1:] in {'"', "'"} and ("expected key" in trouble or "block end" in trouble):
        cure = (
            'An apostrophe inside single quotes is written twice, or take double quotes: "it\'s".'
            if before[-1] == "'"
            else 'A " inside double quotes is written \\", or put the whole text in single quotes.'
        )
        return (
            Place(line + 1, column + 1, max(len(text.rstrip()) - column, 1)),
            "text stands after the closing quote",
            "text-after-quote",
            cure,
        )
    started = error.context_mark if "alias" in context or "anchor" in context else None
    if started is not None:
        line, column = started.line, started.column
    sign = lines[line][column : column + 1]
    if "block scalar" in context and error.context_mark:
        line, column = error.context_mark.line, error.context_mark.column
        sign = lines[line][column : column + 1]
    if "directive" in context:
        column, sign = 0, "%"
    if sign and sign in f"{_STARTS}?" and "flow" not in context.replace("flow node", ""):
        written = lines[line][column:].split(" #")[0].strip()
        quoted = f"'{written}'" if '"' in written else f'"{written}"'
        said = f'text that begins with "{sign}" needs quotes around it'
        return Place(line + 1, column + 1, len(written)), said, "quotes-needed", f"Write: {quoted}"
    return None


def _of_colons(lines: tuple[str, ...], line: int, column: int, since: int, trouble: str) -> Told | None:
    if "expected ':'" in trouble:
        text = lines[since]
        start = len(text) - len(text.lstrip())
        words = text.strip()
        name = words.split(" ")[0]
        cure = f"Write: {name}: {words[len(name) :].strip()}".rstrip()
        return Place(since + 1, start + 1, len(words)), f'a colon is missing after "{name}"', "missing-colon", cure
    if "mapping values are not allowed" not in trouble:
        return None
    text, above = lines[line], _above(lines, line)
    indent = len(text) - len(text.lstrip())
    if above >= 0 and ": " not in text[:column].strip() and indent > _indent(lines[above]):
        said = "this line is indented further than the line above it, which has its value already"
        cure = (
            "Lines of one section begin in the same column; only what belongs to a line ending in a colon is indented."
        )
        return Place(line + 1, indent + 1, max(column - indent, 1)), said, "indentation", cure
    first = re.match(r"\s*(?:- +)*([^:]+):\s+", text)
    if first and first.end() <= column:
        value = text[first.end() :].rstrip()
        said = f'the text after "{first.group(1)}:" holds another colon; put quotes around it'
        quoted = value.replace("'", "''")
        return (
            Place(line + 1, first.end() + 1, len(value)),
            said,
            "colon-in-text",
            f"Write: {first.group(1)}: '{quoted}'",
        )
    return None


def _of_structure(lines: tuple[str, ...], line: int, column: int, error: yaml.MarkedYAMLError) -> Told:
    trouble, context = str(error.problem or ""), str(error.context or "")
    text = lines[line]
    if "flow" in context and error.context_mark:
        at = error.context_mark
        sign = lines[at.line][at.column : at.column + 1] or "["
        cure = "Or a comma is missing between two of its parts."
        return Place(at.line + 1, at.column + 1, 1), f'this "{sign}" is never closed', "unclosed-bracket", cure
    if "sequence entries" in trouble:
        said = "a list begins on a line of its own"
        return (
            Place(line + 1, column + 1, 1),
            said,
            "indentation",
            "Put the - on the next line, indented by two spaces.",
        )
    words = text.strip()
    indent = _indent(text)
    if words.startswith(":"):
        return Place(line + 1, indent + 1, 1), *key_type("", None)
    place = Place(line + 1, min(indent, max(len(text) - 1, 0)) + 1, max(len(words), 1))
    if words.startswith("- ") and _above(lines, line) >= 0:
        said = "this - does not stand below the list that it belongs to"
        return (
            place,
            said,
            "indentation",
            "All - of one list stand in the same column, below or right of the list's name.",
        )
    if "expected key" in trouble or "block end" in trouble or "mapping values" in trouble:
        used = sorted(
            {_indent(other) for other in lines[:line] if other.strip() and not other.lstrip().startswith("#")}
        )
        columns = ", ".join(str(number + 1) for number in used) or "1"
        said = f"the indentation of this line fits no line above: it begins in column {indent + 1}, they in {columns}"
        return place, said, "indentation", "Lines of one section begin in the same column."
    return (
        Place(line + 1, column + 1, 1),
        f"YAML cannot be read here: {trouble}",
        "yaml",
        "Check quotes and indentation.",
    )


def _unclosed_quote(lines: tuple[str, ...], line: int, column: int) -> Told:
    sign = lines[line][column : column + 1]
    width = max(len(lines[line].rstrip()) - column, 1)
    cure = f"Put a {sign} at the end of the text."
    return Place(line + 1, column + 1, width), "this quote is never closed", "unclosed-quote", cure


def _escape(lines: tuple[str, ...], line: int, column: int) -> Told:
    text = lines[line]
    at = text.rfind("\\", 0, column + 1)
    at = column if at < 0 else at
    said = f"{text[at : at + 2]} means nothing inside double quotes"
    return Place(line + 1, at + 1, 2), said, "bad-escape", "Write \\\\ for a backslash, or take single quotes."


def _of_sign(lines: tuple[str, ...], line: int, said: Said) -> Place:
    """Place the caret under the colon that is wrong, on this line or, in a text of several lines, below."""
    sign = "：" if said[1] == "full-width-colon" else ":"
    for number in range(line, len(lines)):
        if sign in lines[number]:
            return Place(number + 1, lines[number].index(sign) + 1, 1)
    return Place(line + 1, 1, 1)


def _above(lines: tuple[str, ...], line: int) -> int:
    """Give the number of the nearest line above that holds more than blanks or a comment; -1: there is none."""
    for number in range(line - 1, -1, -1):
        if lines[number].strip() and not lines[number].lstrip().startswith("#"):
            return number
    return -1


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
