"""A template's text in pieces that mean the same wherever they stand, so that each is looked at once for a whole home.

To read a text Jinja takes it apart letter by letter, and a home's texts say the same few things again and again. Where
a text holds nothing but values and ``if``, it is sound where each of its pieces is; all others Jinja reads whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: What stands between the marks of code: no mark, neither by itself nor inside quotes, and no quote that stays open.
_INSIDE: Final = r"(?:[^{}'\"\\]|'[^{}'\\]*'|\"[^{}\"\\]*\")*"
_CODE: Final = re.compile(rf"\{{\{{(?P<value>{_INSIDE})\}}\}}|\{{%(?P<tag>{_INSIDE})%\}}")
_MARK: Final = re.compile(r"\{[{%#]")
_TAG: Final = re.compile(r"\s*(?P<word>if|elif|else|endif)\b(?P<test>.*)", re.DOTALL)
_DEEPEST: Final = 10  #: Python, into which Jinja turns it, bears a hundred


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text taken apart: each piece of code once, as a text by itself."""

    codes: frozenset[str]
    parts: tuple[str, ...]  #: the whole text where it has no ``if``: plain, code, plain, code ... plain; else empty


@lru_cache(maxsize=1_000)
def pieces(text: str) -> Pieces | None:
    """Take a text apart; None where it holds more than values and ``if``, or where that is not certain."""
    codes: set[str] = set()
    parts: list[str] = []
    open_ifs: list[bool] = []  # whether each has had its else
    at = 0
    for found in _CODE.finditer(text):
        parts += [text[at : found.start()], found.group()]
        at = found.end()
        code = _value(found["value"]) if found["value"] is not None else _tag(found["tag"], open_ifs)
        if code is None:
            return None
        codes.add(code)
    parts.append(text[at:])
    if open_ifs or any(plain.endswith("{") or _MARK.search(plain) for plain in parts[::2]):
        return None
    return Pieces(frozenset(codes - {""}), () if any(part.startswith("{%") for part in parts[1::2]) else tuple(parts))


def _value(inside: str) -> str | None:
    """Give a value as a text by itself; None where it takes the space around it away too."""
    return None if inside[:1] in {"-", "+"} or inside[-1:] == "-" else f"{{{{{inside}}}}}"


def _tag(inside: str, open_ifs: list[bool]) -> str | None:
    """Give the question of a tag as a text by itself, "" where it asks nothing; None for what is no plain ``if``."""
    found = _TAG.fullmatch(inside)
    if found is None or inside[-1:] in {"-", "+"}:
        return None
    word, test = found["word"], found["test"]
    if word == "if":
        open_ifs.append(False)
        return f"{{% if{test}%}}{{% endif %}}" if len(open_ifs) <= _DEEPEST else None
    if not open_ifs or (word != "elif" and test.strip()) or (word != "endif" and open_ifs[-1]):
        return None
    if word == "elif":
        return f"{{% if{test}%}}{{% endif %}}"
    if word == "else":
        open_ifs[-1] = True
    else:
        open_ifs.pop()
    return ""
