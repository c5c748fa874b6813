"""How values, types and near misses are named to an owner: the phrases that messages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from engine.language.formats import FORMATS, WANTS
from engine.language.hours import DAYS
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

_ORDINALS: Final = {
    **{word: number for number, word in enumerate("first second third fourth fifth".split(), 1)},  # noqa: SIM905
    **dict.fromkeys(("1st", "第一", "第一次", "首次"), 1),
    **dict.fromkeys(("2nd", "第二次"), 2),
    **dict.fromkeys(("3rd", "第三次"), 3),
}
#: Sections that hold conditions.
_OF_CONDITIONS: Final = ("conditions", "stop_if", "all", "any", "none", "only_if", "exclude")

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


def type_hint(schema: Mapping[str, Any], value: Any, path: Sequence[str | int]) -> str:
    """Say how to write a value that has another type than what stands at ``path`` wants."""
    allowed, kind = types(schema), str(schema.get("format"))
    key = path[-1] if path else ""
    label = f"{key}: " if isinstance(key, str) and key else ""
    said = ""
    if isinstance(value, str):
        number = _number_in(value) if {"number", "integer"} & set(allowed) else ""
        said = _with_words(schema, value, key) or (_write_number(label, number) if number else "")
        truth = _TRUTHS.get(value.strip().casefold()) if "boolean" in allowed else None
        said = phrase("Write: {yaml}", yaml=f"{label}{truth}") if truth else said
        if not said and "count" in schema.get("properties", {}) and value.strip().casefold() in _ORDINALS:
            said = phrase("Write: {yaml}", yaml=f"{label}{_ORDINALS[value.strip().casefold()]}")
    elif isinstance(value, dict):
        said = _entries_hint(value) if "array" in allowed else ""
    elif isinstance(value, list) and "array" not in allowed:
        said = _first_hint(schema, value, key) or (_one_hint(path) if "string" in allowed else "")
    elif value is True and "null" in allowed:
        said = phrase("Write: {yaml}", yaml=label.rstrip())
    elif "string" in allowed and "enum" not in schema:
        # The kind of a list's entries counts where one entry may stand for the list.
        text = _as_text(value, kind if "format" in schema else str(schema.get("items", {}).get("format")), label)
        said = phrase("Write: {yaml}", yaml=text) if text else ""
    if not said and "array" in allowed and _fits_an_entry(schema, value):
        said = phrase("As a list of one: {yaml}", yaml=f"{label}[{value}]")
    return said or section_hint(schema)


def _first_hint(schema: Mapping[str, Any], value: Sequence[Any], key: str | int) -> str:
    """Say below which setting a list stands: the first, where that takes one."""
    first = next(iter(schema.get("properties", {}).items()), None)
    if first is None or "array" not in types(first[1]) or any(isinstance(each, (dict, list)) for each in value):
        return ""
    return phrase('Write below "{section}:", indented: {yaml}', section=key, yaml=f"{first[0]}: [{one_of(value)}]")


def _one_hint(path: Sequence[str | int]) -> str:
    """Say what to do where several stand and only one may."""
    above = path[-2] if len(path) > 1 else ""
    if above in _OF_CONDITIONS or isinstance(above, int):
        return phrase(
            "For one of several, list them below any, such as\n  any:\n    - {word}: ...\n    - {word}: ...",
            word=path[-1],
        )
    if above == "trigger":
        return phrase("A rule has one; for the others write a rule each.")
    return ""


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
    return not isinstance(value, (list, dict)) and (not of_entry or bool({"number", "integer"} & set(of_entry)))


def _number_in(text: str) -> str:
    """Read a number out of ``1,000``, ``49,50``, ``$5`` or ``1e3``; nothing where there is none, or two."""
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?[eE]\+?[0-9]{1,2}", text.strip()):
        return f"{Decimal(text.strip()):f}"
    number = re.sub(r"(?<=[0-9])[,' \u00a0](?=[0-9]{3}(?![0-9]))", "", text)
    number = re.sub(r",(?=[0-9]{1,2}\b)", ".", number)
    found = re.fullmatch(r"[^0-9.\-]*(-?[0-9]+(?:\.[0-9]+)?)[^0-9]*", number)
    return found[1] if found else ""


def _with_words(schema: Mapping[str, Any], value: str, key: str | int) -> str:
    """Say how to write ``>= 3`` in words, and a word that wants a line of its own; nothing for other texts."""
    known = schema.get("properties", {})
    if value in known and "object" in types(schema) and isinstance(key, int):
        return phrase('Write "- {word}:" with its colon, and the settings after it or indented below it.', word=value)
    if value in known and "object" in types(schema):
        return phrase('Write "{word}:" on a line of its own, indented below "{section}:".', word=value, section=key)
    compared = re.fullmatch(r"\s*(>=|=>|<=|=<|==|>|<|=|≥|≤)\s*(.+?)\s*", value)
    number = _number_in(compared[2]) if compared else ""
    if compared and number and _SIGNS[compared[1]] in known:
        return phrase(
            'Write below "{section}:", indented: {yaml}', section=key, yaml=f"{_SIGNS[compared[1]]}: {number}"
        )
    return ""


def _as_text(value: float | bool, kind: str, label: str) -> str:
    """Write a number or a truth value, after its label, as the text that was meant; nothing where nobody knows it."""
    if kind == "share" and not isinstance(value, bool):
        return f"{label}{value * 100 if 0 < value < 1 else value:g}%"
    kind = "phone" if kind == "sms-sender" else kind
    if kind == "phone" and not _fits("phone", f"+{value}"):
        return phrase("{yaml}, with your country's code after the plus sign", yaml=f'{label}"+... {value}"')
    written = f'"{str(value).lower()}"'
    if kind == "clock" and value in range(24):
        written = f'"{value:02}:00"'
    elif kind == "weekday" and value in range(8):
        written = DAYS[(int(value) - 1) % 7]  # Sunday is 0 or 7, and Monday 1
    elif kind == "date":
        written = re.sub(r"^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3", str(value))
    elif kind in {"duration", "budget", "phone"}:
        written = {"duration": f"{value} days", "budget": f"{value} a month", "phone": f'"+{value}"'}[kind]
    return f"{label}{written}" if _fits(kind, written.strip('"')) else ""


def _fits(kind: str, text: str) -> bool:
    """Tell whether a text is right for a kind of text; any is for what is none of the kinds."""
    try:
        FORMATS.get(kind, str)(text)
    except ValueError:
        return False
    return True
