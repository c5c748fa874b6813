"""How values, types and near misses are named to an owner: the phrases that messages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from engine.language.formats import WANTS, parse_phone
from engine.language.phrases import Phrase, listed, meant, phrase

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

#: What people write for true and false.
_TRUTHS: Final = {
    **dict.fromkeys(("yes", "y", "on", "true", "是", "开", "对"), "true"),
    **dict.fromkeys(("no", "n", "off", "false", "否", "关", "不"), "false"),
}

_TYPE_WORDS: Final[Mapping[str, Phrase]] = {
    "string": phrase("a text"),
    "integer": phrase("a whole number"),
    "number": phrase("a number"),
    "boolean": phrase("true or false"),
    "array": phrase("a list"),
    "object": phrase("a section, its lines indented below it"),
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
    """Give `` - did you mean "...?"`` for the end of a message, as a value of its phrase; or nothing."""
    return meant(nearest(word, words))


def found(value: Any) -> Phrase:
    """Name a value of YAML to its owner, such as ``the number 90``."""
    if value is None:
        return phrase("nothing")
    if isinstance(value, bool):
        return phrase("the value {value}", value=str(value).lower())
    if isinstance(value, (int, float)):
        return phrase("the number {value}", value=value)
    if isinstance(value, str):
        return phrase('the text "{text}"', text=short(value)) if value else phrase("an empty text")
    return phrase("a list") if isinstance(value, list) else phrase("a section")


def _plain(word: str) -> str:
    return re.sub(r"[-_\s]", "", word).casefold()


def short(text: str) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def one_of(words: Iterable[Any]) -> Phrase:
    """List words as they are written in YAML."""
    return listed(str(word).lower() if isinstance(word, bool) else str(word) for word in words)


def types(schema: Mapping[str, Any]) -> list[str]:
    """Give the types that a schema allows."""
    allowed = schema.get("type", [])
    return [allowed] if isinstance(allowed, str) else list(allowed)


def wanted(schema: Mapping[str, Any]) -> Phrase:
    """Name what a schema wants, such as ``a duration such as 90 days``."""
    parts: list[Phrase] = []
    for kind in types(schema):
        if kind == "string" and schema.get("format") in WANTS:
            parts.append(WANTS[schema["format"]])
        elif kind in {"number", "integer"} and schema.get("format") == "money":
            parts.append(WANTS["money"])
        elif kind == "string" and "enum" in schema:
            parts.append(phrase("one of {words}", words=one_of(schema["enum"])))
        elif kind in _TYPE_WORDS:
            parts.append(_TYPE_WORDS[kind])
    said = listed(dict.fromkeys(parts), " or ") if parts else phrase("something else")
    example = next(iter(schema.get("examples", ())), None)
    if example is not None and "such as" not in said and not isinstance(example, (dict, list)):
        return phrase("{wanted} such as {example}", wanted=said, example=example)
    return said


def section_hint(schema: Mapping[str, Any]) -> str:
    """List the words of a section."""
    known = schema.get("properties")
    return phrase("Known: {words}.", words=one_of(known)) if known else ""


def type_hint(schema: Mapping[str, Any], value: Any, key: str) -> str:
    """Say how to write a value that has another type than ``key`` wants."""
    allowed, kind = types(schema), schema.get("format")
    label = f"{key}: " if key and not key.isdigit() else ""
    said = ""
    if isinstance(value, str):
        number = _number_in(value) if {"number", "integer"} & set(allowed) else ""
        said = _with_words(schema, value, key) or (_write_number(label, number) if number else "")
        truth = _TRUTHS.get(value.strip().casefold()) if "boolean" in allowed else None
        said = phrase("Write: {yaml}", yaml=f"{label}{truth}") if truth else said
    elif isinstance(value, dict):
        said = _entries_hint(value) if "array" in allowed else ""
    elif "string" in allowed and "enum" not in schema and not isinstance(value, list):
        said = phrase("Write: {yaml}", yaml=_as_text(value, str(kind), label))
    if not said and "array" in allowed and _fits_an_entry(schema, value):
        said = phrase("As a list of one: {yaml}", yaml=f"{label}[{value}]")
    return said or section_hint(schema)


def _write_number(label: str, number: str) -> str:
    if len(number) > _LONGEST_NUMBER:
        return phrase("That is more than any number here.")
    return phrase("Write: {yaml}", yaml=f"{label}{number}")


def _entries_hint(value: Mapping[str, Any]) -> str:
    if any(name.startswith("-") for name in value):
        return phrase("A space is missing after the -: each entry of a list begins with a - and a space.")
    return phrase("Each entry of a list begins with a - and a space.")


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
        return phrase('Write "{word}:" on a line of its own, indented below "{section}:".', word=value, section=key)
    compared = re.fullmatch(r"\s*(>=|=>|<=|=<|==|>|<|=|≥|≤)\s*(.+?)\s*", value)
    number = _number_in(compared[2]) if compared else ""
    if compared and number and _SIGNS[compared[1]] in known:
        return phrase(
            'Write below "{section}:", indented: {yaml}', section=key, yaml=f"{_SIGNS[compared[1]]}: {number}"
        )
    return ""


def _is_phone(text: str) -> bool:
    try:
        parse_phone(text)
    except ValueError:
        return False
    return True


def _as_text(value: Any, kind: str, label: str) -> str:
    """Write a number or a truth value, after its label, as the text that was meant."""
    if isinstance(value, bool):
        return f'{label}"{str(value).lower()}"'
    if kind == "share":
        return f"{label}{value * 100 if 0 < value < 1 else value:g}%"
    if kind == "clock" and value in range(24):
        return f'{label}"{value:02}:00"'
    if kind == "phone" and not _is_phone(f"+{value}"):
        return phrase("{yaml}, with your country's code after the plus sign", yaml=f'{label}"+... {value}"')
    written = {"duration": f"{value} days", "budget": f"{value} a month", "phone": f'"+{value}"'}
    return label + written.get(kind, f'"{value}"')
