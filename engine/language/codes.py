"""Coupon codes: drawn at random, easy to read aloud, and with a check character that finds a slip of the pen.

A code is twelve characters from an alphabet without 0 O 1 I L U, and a thirteenth that checks them: Luhn's algorithm
for an alphabet of N = 30 (*Luhn mod N*). From the right, every second of the twelve is doubled, beginning with the
last; the two digits (base 30) of each result are added up; the check character is what makes the sum a multiple of 30.
It finds every single wrong character, and nearly every two neighbours that changed places.
"""

from __future__ import annotations

import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12

_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_N = len(ALPHABET)


def draw() -> str:
    """Draw a new code: 30 ** 12 of them, so that nobody guesses one. Thirteen characters, no blanks."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return body + check_character(body)


def check_character(body: str) -> str:
    """Give the character that checks ``body``; raises ``KeyError`` for a character outside the alphabet."""
    total = 0
    for place, character in enumerate(reversed(body)):
        value = _VALUE[character] * (2 if place % 2 == 0 else 1)
        total += value // _N + value % _N
    return ALPHABET[-total % _N]


def read(text: str) -> str | None:
    """Give the code that somebody typed or a till exported, in the form in which it is stored; None if it is none.

    Case, blanks and hyphens do not count. A text with a wrong check character is no code.
    """
    code = "".join(text.split()).replace("-", "").upper()
    if len(code) != LENGTH + 1 or any(character not in _VALUE for character in code):
        return None
    return code if check_character(code[:-1]) == code[-1] else None


def shown(code: str) -> str:
    """Give the code as guests read it, in groups of four: ``K7QM-2XRT-9BWN-H``."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))
