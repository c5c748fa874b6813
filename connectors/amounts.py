"""Amounts as tills print them: signs, currency symbols, thousands, decimal commas, parentheses for money given back."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from connectors.numbers import BLANKS, NUMBER, Numbers, UndecidedNumberError

_PLAIN = re.compile(r"-?\d+(?:\.\d{1,2})?")
_MINUSES: Final = "-\u2212\u2013"
_DOLLARS: Final = frozenset(
    "USD CAD AUD NZD SGD HKD TWD MXN ARS CLP COP BRL UYU DOP JMD TTD BSD BBD BZD FJD".split()  # noqa: SIM905 (a line of codes reads better than thirty quoted ones)
)
#: Symbols and the currencies that use them.
_SYMBOLS: Final = {
    "€": {"EUR"},
    "£": {"GBP", "EGP", "GIP"},
    "₩": {"KRW"},
    "₹": {"INR"},
    "₽": {"RUB"},
    "₺": {"TRY"},
    "₫": {"VND"},
    "฿": {"THB"},
    "₱": {"PHP"},
    "₪": {"ILS"},
    "₦": {"NGN"},
    "₴": {"UAH"},
    "¥": {"JPY", "CNY"},
    "￥": {"JPY", "CNY"},
    "元": {"CNY", "TWD", "HKD"},
    "円": {"JPY"},
}


def parse_amount(text: str, digits: int, currency: str, numbers: Numbers) -> Decimal:
    """Read an amount of a currency with ``digits`` decimals; ``$-1,234.50``, ``(4,50 €)`` and ``1'234.50`` are fine.

    ``numbers`` reads those of the file.

    Raises:
        UndecidedNumberError: it may be two amounts.
        ValueError: no amount, an amount in another currency than ``currency``, or more decimals than it has.
    """
    if _PLAIN.fullmatch(text) and digits == 2:  # noqa: PLR2004 (what nearly every cell is)
        return Decimal(text)
    bare = BLANKS.sub("", text)
    negative = bare.startswith("(") and bare.endswith(")")
    bare = bare.strip("()")
    found = NUMBER.search(bare)
    if not found:
        raise ValueError(f'"{text}" is not an amount such as 12.50')
    around = bare[: found.start()] + bare[found.end() :]
    negative |= any(mark in around for mark in _MINUSES)
    _refuse_other_currency(text, around.strip(_MINUSES + "+."), currency)
    try:
        value = numbers.plain(found[0], digits)
    except UndecidedNumberError:
        raise
    except ValueError:
        raise ValueError(f'"{text}" is not an amount such as 12.50') from None
    if value != round(value, digits):
        raise ValueError(f'"{text}" has more decimals than the currency')
    return -value if negative else value


def _refuse_other_currency(text: str, mark: str, currency: str) -> None:
    code = 3
    if not mark or mark == currency:
        return
    if "$" in mark:
        fits = currency in _DOLLARS
    elif mark in _SYMBOLS:
        fits = currency in _SYMBOLS[mark]
    elif mark.isalpha() and len(mark) <= code:  # another ISO code, or a word such as kr, zł or Fr
        fits = len(mark) < code or not mark.isupper()
    else:
        raise ValueError(f'"{text}" is not an amount such as 12.50')
    if currency and not fits:
        raise ValueError(f'"{text}" is not in {currency}, the currency of this home')
