"""From the text of a cell to a value. Whatever cannot be right raises ``RowError`` with the reason and the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

from connectors.amounts import parse_amount
from connectors.dates import DateOrder, UndecidedDateError, parse_day, parse_moment
from connectors.numbers import Numbers
from connectors.records import RowError
from engine.language.contacts import normalise
from engine.language.times import business_day, parse_clock, start_of

_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
_FLOAT = re.compile(r"\d+[.,]0+")
_LONGEST_ID: Final = 200
_MONTH_DAY = re.compile(r"(?:(\d{4})-)?(\d{1,2})-(\d{1,2})")
_DATE_ONLY = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}")
#: What tills write where they know no birthday.
_SENTINELS: Final = {(1970, 1, 1), (1900, 1, 1), (1899, 12, 30), (1, 1, 1), (1800, 1, 1)}
_DAYS_OF: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LUNAR_MONTH: Final = 30
_OLDEST_BIRTH: Final = 1900
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 9998  # of the days after it some cannot be told
_WORDS: Final[dict[str, Literal["yes", "no"]]] = {"yes": "yes", "no": "no"}
_MOST_MONEY: Final = 10**12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

NO_ADDRESS: Final = "email is not an email address: correct it, or leave it empty"
ROUNDED: Final = "a spreadsheet rounded it: format the column as text and export again"


def identifier(text: str, column: str) -> str:
    """Read an id; it must be there."""
    if not text:
        raise RowError(f"{column} is empty")
    if text[0] == "'":
        text = text.lstrip("'").strip()
    if _SCIENTIFIC.fullmatch(text) or _FLOAT.fullmatch(text):
        raise RowError(f'{column} "{text}": {ROUNDED}')
    fits_as_id(text, column)
    return text


def fits_as_id(text: str, column: str) -> None:
    """Raise ``RowError`` for a text that is too long for an id."""
    if len(text) > _LONGEST_ID:
        raise RowError(f"{column} has {len(text)} characters; {_LONGEST_ID} are the most")


def phone(text: str, country: str) -> str:
    """Read a phone number, of ``country`` unless it begins with +; gives E.164."""
    bare = text.lstrip("'").strip()
    if _SCIENTIFIC.fullmatch(bare):
        raise RowError(f'phone "{bare}": {ROUNDED}')
    try:
        return normalise("sms", bare.removesuffix(".0"), country)
    except ValueError as error:
        raise RowError(f"phone {error}") from None


def email(text: str) -> str:
    """Read a guest's email address; gives it normalised. What tills write for "none" leads nowhere and is refused."""
    from email_validator import SPECIAL_USE_DOMAIN_NAMES

    try:
        address = normalise("email", text)
    except ValueError:
        raise RowError(NO_ADDRESS) from None
    if address.rpartition("@")[2].rpartition(".")[2] in SPECIAL_USE_DOMAIN_NAMES:
        raise RowError(NO_ADDRESS)
    return address


def consent(text: str, column: str) -> Literal["yes", "no", "implied"] | None:
    """Read what a guest said to marketing: yes, no or nothing; or ``implied``, that the guest bought and said nothing.

    Anything else is refused, for consent is never guessed.
    """
    return "implied" if text.casefold() == "implied" else yes_no(text, column)


def yes_no(text: str, column: str) -> Literal["yes", "no"] | None:
    """Read yes, no or nothing; anything else is refused."""
    word = text.casefold()
    if not word:
        return None
    if word in _WORDS:
        return _WORDS[word]
    raise RowError(f'{column} "{text}" is neither yes nor no; leave it empty where it is not known')


@dataclass(frozen=True, slots=True)
class Birthday:
    """A birthday; ``year`` is None where it is not known. ``month_day`` is month * 100 + day."""

    year: int | None
    month_day: int


def birthday(
    text: str, calendar: str, order: DateOrder | None, today: date | None, column: str = "birthday"
) -> Birthday | None:
    """Read ``1990-05-14``, ``05-14``, ``0000-05-14`` or a till's date; None for what tills write for "unknown".

    A day after ``today`` is refused; with None as ``today`` it may lie ahead.
    """
    found = _MONTH_DAY.fullmatch(text.lstrip("'"))
    if found:
        year, month, day = int(found[1] or 0), int(found[2]), int(found[3])
    else:
        try:
            on = parse_day(text, order)
        except ValueError as error:
            raise RowError(f"{column} {error}") from None
        year, month, day = on.year, on.month, on.day
    if (year, month, day) in _SENTINELS:
        return None
    longest = _LUNAR_MONTH if calendar == "lunar" else _DAYS_OF[month - 1] if 1 <= month <= len(_DAYS_OF) else 0
    if not 1 <= month <= len(_DAYS_OF) or not 1 <= day <= longest:
        raise RowError(f'{column} "{text}" is a day that does not exist')
    if year and calendar != "lunar" and (month, day) == (2, 29) and not _is_leap(year):
        raise RowError(f'{column} "{text}" is a day that does not exist')
    if today is not None and year > today.year:
        raise RowError(f'{column} "{text}" lies in the future')
    return Birthday(year if year >= _OLDEST_BIRTH else None, month * 100 + day)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def instant(text: str, column: str, zone: ZoneInfo, order: DateOrder | None) -> int:
    """Read a moment, on the clock of ``zone`` unless it names an offset; gives epoch seconds."""
    try:
        moment = parse_moment(text, order)
        if moment.year < _FIRST_YEAR:
            raise RowError(f'{column} "{text}" is what a till writes where it knows no date')
        if moment.year > _LAST_YEAR:
            raise RowError(f'{column} "{text}" is what a till writes where it means never')
        return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())
    except UndecidedDateError as error:
        raise RowError(f"{column} {error}") from None
    except (ValueError, OverflowError) as error:
        raise RowError(f"{column} {error}" if text else f"{column} is empty") from None


def end_of(text: str, column: str, zone: ZoneInfo, order: DateOrder | None, day_starts: time) -> int:
    """Read a moment at which something ends; a bare date is the last whole business day."""
    if not _DATE_ONLY.fullmatch(text):
        return instant(text, column, zone, order)
    try:
        last = parse_day(text, order)
        if last.year > _LAST_YEAR:
            raise RowError(f'{column} "{text}" is what a till writes where it means never: leave it empty')
        return int(start_of(last + timedelta(days=1), zone, day_starts).timestamp())
    except (ValueError, OverflowError) as error:
        raise RowError(f"{column} {error}") from None


def day(text: str, column: str, order: DateOrder | None) -> int:
    """Read a date; gives its ordinal."""
    try:
        return parse_day(text, order).toordinal()
    except ValueError as error:
        raise RowError(f"{column} {error}") from None


def day_of(seconds: int, zone: ZoneInfo, day_starts: time) -> int:
    """Give the business day of an instant in epoch seconds, as an ordinal."""
    return business_day(datetime.fromtimestamp(seconds, UTC), zone, day_starts).toordinal()


def week_clock(seconds: int, zone: ZoneInfo, day_starts: time) -> int:
    """Give the weekday of the business day (Monday 0) * 1440 + the minute on the clock of ``zone``."""
    local = datetime.fromtimestamp(seconds, zone)
    return (day_of(seconds, zone, day_starts) - 1) % 7 * 1440 + local.hour * 60 + local.minute


def clock(text: str, column: str) -> str:
    """Read HH:MM."""
    try:
        minutes = parse_clock(f"0{text}" if text[1:2] == ":" else text)
    except ValueError as error:
        raise RowError(f"{column}: {error}") from None
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def money(text: str, column: str, digits: int, currency: str, numbers: Numbers) -> int:
    """Read an amount in the home's currency; gives minor units."""
    try:
        amount = parse_amount(text.lstrip("'"), digits, currency, numbers)
    except ValueError as error:
        raise RowError(f"{column} {error}" if text else f"{column} is empty") from None
    if abs(amount) > _MOST_MONEY:
        raise RowError(f'{column} "{text}" is more than any bill')
    return int(amount.scaleb(digits))


def whole(text: str, column: str, numbers: Numbers) -> int:
    """Read a whole number; thousands may be marked."""
    number = decimal(text, column, numbers, 0)
    if number != int(number) or abs(number) >= 2**31:
        raise RowError(f'{column} "{text}" is not a whole number')
    return int(number)


def decimal(text: str, column: str, numbers: Numbers, decimals: int | None = None) -> Decimal:
    """Read a number such as 4, 4.5 or 4,5; ``decimals``: how many such a number has, where that is known."""
    try:
        return numbers.decimal(text, decimals)
    except ValueError as error:
        raise RowError(f"{column} {error}" if text else f"{column} is empty") from None
