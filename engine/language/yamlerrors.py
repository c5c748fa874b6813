"""What is wrong with a piece of YAML, in an owner's words: a message, a code, and the cure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Place(NamedTuple):
    """A place in a file: line and column from 1, width in characters."""

    line: int
    column: int
    width: int


Told = tuple[Place, str, str, str]
Said = tuple[str, str, str]

ODD_SPACES: Final = ("\u00a0", "\u3000", "\u2007", "\u202f", "\u2002", "\u2003", "\u2009", "\u200b", "\ufeff")

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
NO_SPACE_AFTER_DASH: Final[Said] = (
    "a space is missing after the -",
    "missing-space",
    "Each entry of a list begins with a - and a space.",
)
TAB: Final[Said] = (
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
            return place_of_colon(lines, place.line - 1, said), *said
    what = "a list" if isinstance(data, list) else "one text" if isinstance(data, str) else "one value"
    place = place if place.width else place._replace(width=1)
    return place, f"the file holds {what}, not settings", "not-settings", "Each line has the form  name: value"


def place_of_colon(lines: tuple[str, ...], line: int, said: Said) -> Place:
    """Place the caret under the colon that is wrong, on this line or, in a text of several lines, below."""
    sign = "：" if said[1] == "full-width-colon" else ":"
    for number in range(line, len(lines)):
        if sign in lines[number]:
            return Place(number + 1, lines[number].index(sign) + 1, 1)
    return Place(line + 1, 1, 1)
