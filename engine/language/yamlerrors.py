"""What is wrong with a piece of YAML, in an owner's words: a message, a code, and the cure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from engine.language.phrases import phrase


class Place(NamedTuple):
    """A place in a file: line and column from 1, width in characters."""

    line: int
    column: int
    width: int


Told = tuple[Place, str, str, str]
Said = tuple[str, str, str]

ODD_SPACES: Final = ("\u00a0", "\u3000", "\u2007", "\u202f", "\u2002", "\u2003", "\u2009", "\u200b", "\ufeff")

TAG: Final[Said] = (
    phrase("a tag (a word that begins with !) cannot be used here"),
    "tag",
    phrase('Text that begins with "!" needs quotes around it.'),
)
MERGE_KEY: Final[Said] = (
    phrase("merging with << cannot be used here"),
    "alias",
    phrase("Write the lines out where they are wanted."),
)
PLACEHOLDER: Final[Said] = (
    phrase("text that begins with {{{{ needs quotes around it"),
    "quotes-needed",
    phrase('Such as: subject: "{{{{ customer.first_name }}}}, we miss you"'),
)
COLLECTION_KEY: Final[Said] = (
    phrase("the name of a setting must be a word, not a list or a section"),
    "key-type",
    phrase("Text that begins with [, {{ or ? needs quotes around it."),
)
TYPOGRAPHIC_QUOTES: Final[Said] = (
    phrase("these are a word processor's quotation marks: they become part of the text"),
    "typographic-quotes",
    phrase("To quote, use the straight signs \" or '."),
)
NO_SPACE_AFTER_DASH: Final[Said] = (
    phrase("a space is missing after the -"),
    "missing-space",
    phrase("Each entry of a list begins with a - and a space."),
)
TAB: Final[Said] = (
    phrase("this line is indented with a tab; YAML takes spaces only"),
    "tab",
    phrase("Replace each tab by two spaces; most editors do it by themselves (Convert indentation to spaces)."),
)
_FULL_WIDTH: Final[Said] = (
    phrase('this colon is the full-width "：" of a Chinese or Japanese keyboard; YAML wants ":" and a space'),
    "full-width-colon",
    phrase("Switch the keyboard to English and type the colon again, with a space after it."),
)
FULL_WIDTH_COMMA: Final = re.compile("[，、；]")
FULL_WIDTH_COMMA_CURE: Final = phrase('Between two entries of a list stands the "," of an English keyboard.')


def forbidden(char: str) -> Said:
    """Name a character that no text file holds."""
    if char == "\0":
        return (
            phrase("the file holds a NUL sign: it is saved as UTF-16, or is no text file at all"),
            "encoding",
            phrase("Save it as UTF-8: in Notepad, Save as, Encoding: UTF-8."),
        )
    message = phrase("an invisible control sign (U+{code:04X}) stands here", code=ord(char))
    return message, "control-sign", phrase("Delete it and type it anew.")


def duplicate_key(path: tuple[str | int, ...], first: Place) -> Said:
    """Say that a key stands twice in one section; ``first`` is where it stood before."""
    key = path[-1]
    cure = phrase("Remove one of the two.")
    if any(part in {"conditions", "stop_if", "any", "all", "none", "only_if", "exclude"} for part in path[:-1]):
        cure = phrase(
            'To ask "{key}" twice, list both under all: such as\n  all:\n    - {key}: ...\n    - {key}: ...', key=key
        )
    message = phrase(
        '"{key}" is already given on line {line}, column {column}', key=key, line=first.line, column=first.column
    )
    return message, "duplicate-key", cure


def key_type(key: str, value: object) -> Said:
    """Say that a key is a number, a truth value or nothing."""
    if value is None:
        message = phrase("a setting's name is missing before the colon")
        return message, "key-type", phrase("Write the name, or remove the line.")
    message = phrase("the name of a setting must be a word, not the number {key}", key=key)
    if isinstance(value, bool):
        message = phrase("the name of a setting must be a word, not the yes-or-no value {key}", key=key)
    return message, "key-type", phrase("If it is meant: {yaml}", yaml=f'"{key}":')


def odd_space(key: str) -> Said:
    """Say that a name begins with a space that is none to YAML, as copying from a web page brings."""
    name = key.strip().strip("".join(ODD_SPACES))
    if key[0] == "\u3000":
        return (
            phrase('before "{name}" stands the full-width space of a Chinese or Japanese keyboard', name=name),
            "odd-space",
            phrase("Switch the keyboard to English and type plain spaces."),
        )
    return (
        phrase('before "{name}" stands a space that is no plain space (U+{code:04X})', name=name, code=ord(key[0])),
        "odd-space",
        phrase("It comes with text copied from a web page or a chat. Delete it and type plain spaces."),
    )


def alias(name: str) -> Said:
    """Say that an alias, such as ``*friends``, is refused."""
    return phrase("an alias (*{name}) cannot be used here", name=name), "alias", _in_quotes(f'"*{name}"')


def anchor(name: str) -> Said:
    """Say that an anchor, such as ``&friends``, is refused."""
    return phrase("an anchor (&{name}) cannot be used here", name=name), "alias", _in_quotes(f'"&{name} ..."')


def _in_quotes(yaml: str) -> str:
    return phrase("If the text is meant, put it in quotes: {yaml}", yaml=yaml)


def colon_trouble(text: str) -> Said | None:
    """Explain a text that was meant to be ``name: value``: a full-width colon, or no space after the colon."""
    if re.match(r"[^\s:：]+\s*：", text):
        return _FULL_WIDTH
    found = re.match(r"([A-Za-z_][\w-]*):(?!//)\S", text)
    if found:
        name = found.group(1)
        message = phrase('a space is missing after the colon of "{name}"', name=name)
        return message, "missing-space", phrase("Write: {yaml}", yaml=f"{name}: ...")
    return None


def not_a_mapping(lines: tuple[str, ...], data: object, place: Place) -> Told:
    """Explain a file whose top is a text, a number or a list."""
    if isinstance(data, str):
        said = colon_trouble(data)
        if said:
            return place_of_colon(lines, place.line - 1, said), *said
    what = phrase("one text") if isinstance(data, str) else phrase("one value")
    if isinstance(data, list):
        what = phrase("a list")
    place = place if place.width else place._replace(width=1)
    message = phrase("the file holds {what}, not settings", what=what)
    return place, message, "not-settings", phrase("Each line has the form  name: value")


def place_of_colon(lines: tuple[str, ...], line: int, said: Said) -> Place:
    """Place the caret under the colon that is wrong, on this line or, in a text of several lines, below."""
    sign = "：" if said[1] == "full-width-colon" else ":"
    for number in range(line, len(lines)):
        if sign in lines[number]:
            return Place(number + 1, lines[number].index(sign) + 1, 1)
    return Place(line + 1, 1, 1)
