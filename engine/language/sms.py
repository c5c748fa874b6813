"""What a text costs as an SMS: its encoding and how many segments it takes (GSM 03.38, 3GPP TS 23.038)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("^{}\\[~]|€\f")  # an escape and a sign: two units that must not be parted
_LIMITS: Final[dict[Encoding, tuple[int, int]]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

Encoding = Literal["GSM-7", "UCS-2"]


@dataclass(frozen=True, slots=True)
class Segments:
    """``units`` are septets for GSM-7 and 16-bit units for UCS-2; ``outside`` are the signs that GSM-7 lacks."""

    encoding: Encoding
    units: int
    count: int
    outside: str = ""


def segments(text: str) -> Segments:
    """Count what a text takes, as it would be sent. The empty text takes one segment."""
    outside = "".join(dict.fromkeys(char for char in text if char not in _BASIC and char not in _EXTENDED))
    encoding: Encoding = "UCS-2" if outside else "GSM-7"
    sizes = [_units(char, encoding) for char in text]
    alone, each = _LIMITS[encoding]
    total = sum(sizes)
    if total <= alone:
        return Segments(encoding, total, 1, outside)
    count, room = 1, each
    for size in sizes:
        if size > room:
            count, room = count + 1, each
        room -= size
    return Segments(encoding, total, count, outside)


def clean(text: str) -> str:
    """Take out what no phone shows (control signs, marks of direction); line breaks become line feeds, tabs blanks."""
    if text.isascii() and text.isprintable():  # as most are
        return text
    text = re.sub("\r\n|[\r\x85\u2028\u2029\x0b\x0c]", "\n", text).replace("\t", " ")
    text = _BIDI.sub("", text)
    if all(map(str.isprintable, text.split("\n"))):
        return text
    return "".join(char for char in text if char == "\n" or unicodedata.category(char) not in {"Cc", "Cs"})


def _units(char: str, encoding: Encoding) -> int:
    if encoding == "GSM-7":
        return 2 if char in _EXTENDED else 1
    return 2 if ord(char) > 0xFFFF else 1  # noqa: PLR2004
