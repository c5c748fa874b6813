"""How values, types and near misses are named to an owner: the phrases that messages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from engine.language.formats import WANTS, parse_phone

_LONGEST_NUMBER: Final = 18  # digits: what every database holds
_SHOWN: Final = 60  # letters of a value that a message repeats

#: What the signs of a formula are in words.
_SIGNS: Final = {
    **dict.fromkeys((">=", "=>", "≥"), "at_least"),
    **dict.fromkeys(("<=", "=<", "≤"), "at_most"),
    **dict.fromkeys(("=", "=="), "equals"),
    ">": "more_than",
    "<": "less_than",
}

_TYPE_WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section, its lines indented below it",
}


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Give the word that was probably meant, or None. Case, hyphens, underscores and blanks do not count."""
    plain = {_plain(one): one for one in words}
    wanted = _plain(word)
    if wanted in plain:
        return plain[wanted]
    close = get_close_matches(wanted, plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Give `` - did you mean "...?"`` for the end of a message, or nothing."""
    near = nearest(word, words)
    return f' - did you mean "{near}"?' if near else ""


def found(value: Any) -> str:
    """Name a value of YAML to its owner, such as ``the number 90``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{short(value)}"' if value else "an empty text"
    return "a list" if isinstance(value, list) else "a section"


def _plain(word: str) -> str:
    return re.sub(r"[-_\s]", "", word).casefold()


def short(text: str) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def one_of(words: Iterable[Any]) -> str:
    """List words as they are written in YAML."""
    return ", ".join(str(word).lower() if isinstance(word, bool) else str(word) for word in words)


def types(schema: Mapping[str, Any]) -> list[str]:
    """Give the types that a schema allows."""
    allowed = schema.get("type", [])
    return [allowed] if isinstance(allowed, str) else list(allowed)


def wanted(schema: Mapping[str, Any]) -> str:
    """Name what a schema wants, such as ``a duration such as 90 days``."""
    parts = []
    for kind in types(schema):
        if kind == "string" and schema.get("format") in WANTS:
            parts.append(WANTS[schema["format"]])
        elif kind in {"number", "integer"} and schema.get("format") == "money":
            parts.append(WANTS["money"])
        elif kind == "string" and "enum" in schema:
            parts.append(f"one of {one_of(schema['enum'])}")
        elif kind in _TYPE_WORDS:
            parts.append(_TYPE_WORDS[kind])
    said = " or ".join(dict.fromkeys(parts)) or "something else"
    example = next(iter(schema.get("examples", ())), None)
    if example is not None and "such as" not in said and not isinstance(example, (dict, list)):
        said += f" such as {example}"
    return said


def section_hint(schema: Mapping[str, Any]) -> str:
    """List the words of a section."""
    known = schema.get("properties")
    return f"Known: {one_of(known)}." if known else ""


def type_hint(schema: Mapping[str, Any], value: Any, key: str) -> str:
    """Say how to write a value that has another type than ``key`` wants."""
    allowed, kind = types(schema), schema.get("format")
    label = f"{key}: " if key and not key.isdigit() else ""
    if isinstance(value, str):
        written = _with_words(schema, value, key)
        if written:
            return written
        number = _number_in(value) if {"number", "integer"} & set(allowed) else ""
        if number:
            return f"Write: {label}{number}" if len(number) <= _LONGEST_NUMBER else "That is more than any number here."
    elif isinstance(value, dict):
        if "array" in allowed:
            glued = any(name.startswith("-") for name in value)
            each = "each entry of a list begins with a - and a space."
            return f"A space is missing after the -: {each}" if glued else each.capitalize()
    elif "string" in allowed and "enum" not in schema and not isinstance(value, list):
        written = _as_text(value, str(kind))
        return f"Write: {label}{written}"
    if "array" in allowed and _fits_an_entry(schema, value):
        return f"As a list of one: {label}[{value}]"
    return section_hint(schema)


def _fits_an_entry(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a plain value could be an entry of the list that is wanted."""
    of_entry = types(schema.get("items", {}))
    if isinstance(value, str):
        return not of_entry or "string" in of_entry
    return not isinstance(value, (list, dict))


def _number_in(text: str) -> str:
    """Read a number out of ``1,000``, ``49,50`` or ``$5``; nothing where there is none."""
    number = re.sub(r"(?<=[0-9])[,' \u00a0](?=[0-9]{3}(?![0-9]))", "", text)
    number = re.sub(r"[^0-9.\-]", "", re.sub(r",(?=[0-9]{1,2}\b)", ".", number))
    return number if re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", number) else ""


def _with_words(schema: Mapping[str, Any], value: str, key: str) -> str:
    """Say how to write ``>= 3`` in words, and a word that wants a line of its own; nothing for other texts."""
    known = schema.get("properties", {})
    if value in known and "object" in types(schema):
        return f'Write "{value}:" on a line of its own, indented below "{key}:".'
    compared = re.fullmatch(r"\s*(>=|=>|<=|=<|==|>|<|=|≥|≤)\s*(.+?)\s*", value)
    number = _number_in(compared[2]) if compared else ""
    if compared and number and _SIGNS[compared[1]] in known:
        return f'Write below "{key}:", indented: {_SIGNS[compared[1]]}: {number}'
    return ""


def _is_phone(text: str) -> bool:
    try:
        parse_phone(text)
    except ValueError:
        return False
    return True


def _as_text(value: Any, kind: str) -> str:
    """Write a number or a truth value as the text that was meant."""
    if isinstance(value, bool):
        return f'"{str(value).lower()}"'
    if kind == "share":
        return f"{value * 100 if 0 < value < 1 else value:g}%"
    if kind == "clock" and value in range(24):
        return f'"{value:02}:00"'
    if kind == "phone" and not _is_phone(f"+{value}"):
        return f'"+... {value}", with your country\'s code after the plus sign'
    return {"duration": f"{value} days", "phone": f'"+{value}"'}.get(kind, f'"{value}"')
