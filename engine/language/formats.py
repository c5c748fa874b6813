"""The kinds of text that a setting may want: ``format`` in our schemas, its parser, and how to name it to an owner.

A parser takes what the YAML holds and raises ``ValueError`` with a whole sentence where it is written otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from engine.language.budgets import Budget
from engine.language.contacts import mail_address, parse_phone, parse_sms_sender
from engine.language.durations import Duration, parse_calendar_day, parse_clock, parse_date, parse_share
from engine.language.hours import CLOSED, DAY_NAMES, DAYS, GROUPS, ClockRange, Hours
from engine.language.locales import parse_country, parse_country_or_default, parse_currency, parse_language
from engine.language.phrases import Phrase, listed, meant, phrase, told
from engine.language.schedules import Schedule
from engine.language.signing import parse_record, parse_selector
from engine.language.zones import parse_zone

OFF: Final = "off"
FOREVER: Final = "forever"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAILBOX = re.compile(r"\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<name>[^\"<>]*?))\s*<(?P<address>[^<>]*)>\s*")
_LONGEST_SLUG: Final = 64
_MOST_MONEY: Final = 10**12


class Mailbox(NamedTuple):
    """Who a message comes from: a name that guests read (perhaps empty) and an address."""

    name: str
    address: str


def parse_slug(text: str) -> str:
    """Read a name such as ``win-back-90``: small letters, digits, single hyphens."""
    if len(text) > _LONGEST_SLUG:
        raise ValueError(phrase("this name has {n} letters; {most} are the most", n=len(text), most=_LONGEST_SLUG))
    if _SLUG.fullmatch(text):
        return text
    near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    raise ValueError(
        phrase(
            '"{text}" is not a name such as win-back-90 (small letters a to z, digits, hyphens){meant}',
            text=text,
            meant=meant(near),
        )
    )


def parse_email_address(text: str) -> str:
    """Read an email address of the business: letters stay as they are, the domain is normalised."""
    try:
        return mail_address(text)
    except ValueError as error:
        raise ValueError(phrase('"{text}" {why}', text=text, why=told(error))) from None


def parse_mailbox(text: str) -> Mailbox:
    """Read ``Corner Café <hello@corner.example>``, or an address alone."""
    found = _MAILBOX.fullmatch(text)
    if not found:
        return Mailbox("", parse_email_address(text.strip()))
    name = re.sub(r"\\(.)", r"\1", found.group("quoted") or "") or found.group("name") or ""
    if any(unicodedata.category(char) == "Cc" for char in name):
        raise ValueError(phrase("the sender's name holds an invisible control sign"))
    return Mailbox(name, parse_email_address(found.group("address").strip()))


_LONGEST_URL: Final = 500  # links stand in a header, with a token; no line of one has more than 998 letters
_URL: Final = re.compile(r"(?:(?![<>\"\\^`{|}])[!-~])+")  # they stand between angle brackets there


def parse_url(text: str) -> str:
    """Read the address of a web page, without blanks, question mark or fragment; a last ``/`` is dropped."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _URL.fullmatch(text):
        raise ValueError(phrase('"{text}" is not a web address such as https://corner.example/r', text=text))
    if (count := len(text)) > _LONGEST_URL:
        raise ValueError(phrase("a web address of {count} letters: {most} is the most", count=count, most=_LONGEST_URL))
    if parts.query or parts.fragment or parts.username:
        raise ValueError(phrase('"{text}" must end with the path: nothing of the kind ?a=b, #c or user@', text=text))
    return text.rstrip("/")


def parse_endpoint(text: str) -> str:
    """Read where something is posted to, kept as it is written: its path, its last ``/`` and what follows a ``?``."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        raise ValueError(phrase('"{text}" is not an address such as https://corner.example/hook?code=abc', text=text))
    if parts.fragment or "@" in parts.netloc:
        raise ValueError(phrase('"{text}" must have nothing of the kind #c or user@', text=text))
    return text


def parse_host(text: str) -> str:
    """Read the name or number of a server."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9a-fA-F:]+", text):
        raise ValueError(
            phrase('"{text}" is not the name of a server such as mail.corner.example (no https://, no port)', text=text)
        )
    return text


def parse_secret(text: str) -> str:
    """Read a reference to a secret, ``env:NAME`` or ``file:PATH``; the secret itself is refused and not repeated."""
    if re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*", text):
        return text
    raise ValueError(phrase("a secret does not stand in this file; say where it is, env:NAME or file:PATH"))


def parse_since(text: str) -> date | Literal["match"]:
    """Read a date, or ``match``: after the match that a journey began with."""
    if text == "match":
        return "match"
    try:
        return parse_date(text)
    except ValueError as error:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise
        raise ValueError(phrase("{why}, and not the word match", why=told(error))) from None


def parse_validity(text: str) -> Duration | date | Literal["month end"]:
    """Read how long a coupon is valid: ``14 days``, ``2026-12-31`` or ``month end``."""
    if text == "month end":
        return "month end"
    if re.match(r"[0-9]{4}-", text):
        return parse_date(text)
    if re.search(r"\bend|月底|月末", text.casefold()):
        near = "month end" if re.search(r"month|月", text.casefold()) else None
        raise ValueError(
            phrase(
                '"{text}" is not a validity such as 14 days, 2026-12-31 or month end{meant}',
                text=text,
                meant=meant(near),
            )
        )
    duration = Duration.parse(text)
    if not duration.is_calendar or not duration.amount:
        raise ValueError(phrase('"{text}" is too short: a coupon is valid for whole days, such as 14 days', text=text))
    return duration


def parse_calendar_duration(text: str) -> Duration:
    """Read days, weeks, months or years, at least one."""
    duration = Duration.parse(text)
    if not duration.is_calendar or not duration.amount:
        raise ValueError(phrase('"{text}" is too short: whole days are wanted, such as 6 months', text=text))
    return duration


def parse_exact_duration(text: str) -> Duration:
    """Read hours or minutes."""
    duration = Duration.parse(text)
    if duration.is_calendar:
        raise ValueError(phrase('"{text}" counts days; hours or minutes are wanted, such as 2 hours', text=text))
    return duration


def parse_freshness(text: str) -> Duration | None:
    """Read how old data may be; ``off`` is None: any age."""
    return None if text == OFF else Duration.parse(text)


def parse_keeping(text: str) -> Duration | None:
    """Read how long the ledger is kept; ``forever`` is None. Not shorter than the journal, and a year's occasions."""
    kept = None if text == FOREVER else Duration.parse(text)
    if kept is not None and (not kept.is_calendar or kept.after(date(2023, 1, 1)) < date(2024, 3, 1)):
        raise ValueError(phrase("{text} is too short: 14 months at least, or forever", text=text))
    return kept


def parse_money(value: float | str) -> Decimal:
    """Read an amount in the home's currency such as 50 or 49.50."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(phrase('"{value}" is not an amount such as 50 or 49.50', value=value)) from None
    if not amount.is_finite() or not 0 <= amount <= _MOST_MONEY:
        raise ValueError(phrase("{value} is not an amount: it must be 0 or more", value=value))
    return amount


def currency_digits(currency: str) -> int:
    """Give how many digits a currency has after the point: 2 for USD, 0 for JPY, 3 for KWD."""
    from babel.numbers import get_currency_precision

    return int(get_currency_precision(currency))


def minor_units(value: float | str, currency: str) -> int:
    """Give an amount in whole minor units. ``ValueError`` where it has more digits than the currency."""
    amount = parse_money(value).scaleb(digits := currency_digits(currency))
    if amount != amount.to_integral_value():
        exact = phrase("{value} is too exact: {currency} has no digits after the point", value=value, currency=currency)
        if digits:
            exact = phrase(
                "{value} is too exact: {currency} has {digits} digits after the point",
                value=value,
                currency=currency,
                digits=digits,
            )
        raise ValueError(exact)
    return int(amount)


def parse_day_hours(text: str) -> ClockRange | None:
    """Read the hours of one day, or ``closed``: None."""
    return None if text == CLOSED else ClockRange.parse(text)


def _parse_hours(value: str | Mapping[str, Any]) -> object:
    """Read hours; what is wrong with a single day of a section is told where that day stands."""
    if isinstance(value, str):
        return Hours.parse(value)
    if value and all(opened == CLOSED for opened in value.values()):
        raise ValueError(phrase("no day of the week is open"))
    return None


def fits(name: str, value: object) -> bool:
    """Whether a value is of a type that the format speaks about; other types are the business of ``type``."""
    more = {"money": (int, float), "hours": (dict,)}.get(name, ())
    return isinstance(value, (str, *more)) and not isinstance(value, bool)


#: Format -> parser of what ``fits``.
_OTHER_DAYS: Final = {
    **{name.casefold(): short for name, short in zip(DAY_NAMES, DAYS, strict=True)},
    **{f"{name.casefold()}s": short for name, short in zip(DAY_NAMES, DAYS, strict=True)},
    "tues": "tue",
    "thur": "thu",
    "thurs": "thu",
    "weds": "wed",
    "weekday": "weekdays",
    "weekends": "weekend",
}


def parse_weekday(text: str) -> str:
    """Read ``mon`` to ``sun``, ``weekdays`` or ``weekend``."""
    known = (*DAYS, *GROUPS)
    if text in known:
        return text
    word = text.strip().casefold()
    near = word if word in known else _OTHER_DAYS.get(word) or next(iter(get_close_matches(word, known, n=1)), "")
    raise ValueError(
        phrase('"{text}" is no day; the days are {days}{meant}', text=text, days=listed(known), meant=meant(near))
    )


FORMATS: Final[dict[str, Callable[[Any], object]]] = {
    "budget": Budget.parse,
    "calendar-duration": parse_calendar_duration,
    "calendar-day": parse_calendar_day,
    "clock": parse_clock,
    "clock-range": ClockRange.parse,
    "country": parse_country,
    "country-or-default": parse_country_or_default,
    "currency": parse_currency,
    "date": parse_date,
    "date-or-match": parse_since,
    "day-hours": parse_day_hours,
    "dkim-record": parse_record,
    "dkim-selector": parse_selector,
    "duration": Duration.parse,
    "email-address": parse_email_address,
    "exact-duration": parse_exact_duration,
    "freshness": parse_freshness,
    "keeping": parse_keeping,
    "host": parse_host,
    "hours": _parse_hours,
    "language": parse_language,
    "mailbox": parse_mailbox,
    "money": parse_money,
    "phone": parse_phone,
    "schedule": Schedule.parse,
    "sms-sender": parse_sms_sender,
    "secret": parse_secret,
    "share": parse_share,
    "slug": parse_slug,
    "url": parse_url,
    "endpoint": parse_endpoint,
    "validity": parse_validity,
    "weekday": parse_weekday,
    "zone": parse_zone,
}

#: Format -> what to tell an owner that is wanted.
WANTS: Final[dict[str, Phrase]] = {
    "budget": phrase("a budget such as 500 a month"),
    "calendar-duration": phrase("a duration of whole days such as 6 months"),
    "calendar-day": phrase("a day such as 2026-11-28, or 11-28 for each year"),
    "clock": phrase('a time of day such as "10:00"'),
    "clock-range": phrase("a range of hours such as 08:00-21:00"),
    "country": phrase("a country code such as US"),
    "country-or-default": phrase("a country code such as US, or default"),
    "currency": phrase("a currency code such as USD"),
    "date": phrase("a date such as 2026-05-04"),
    "day-hours": phrase("hours such as 10:00-18:00, or closed"),
    "date-or-match": phrase("a date such as 2026-05-04, or match"),
    "dkim-record": phrase("the text of a record such as v=DKIM1; k=rsa; p=MIIB..."),
    "dkim-selector": phrase("a selector such as mail2026"),
    "duration": phrase("a duration such as 90 days"),
    "email-address": phrase("an email address"),
    "exact-duration": phrase("hours or minutes such as 2 hours"),
    "freshness": phrase("a duration such as 2 days, or off"),
    "keeping": phrase("a duration such as 4 years, or forever"),
    "host": phrase("the name of a server such as mail.corner.example"),
    "hours": phrase("hours such as 08:00-21:00"),
    "language": phrase("a language such as en or zh-Hans"),
    "mailbox": phrase("a sender such as Corner Café <hello@corner.example>"),
    "money": phrase("an amount such as 50 or 49.50"),
    "phone": phrase('a phone number in quotes such as "+1 500 555 0100"'),
    "schedule": phrase("a schedule such as daily at 10:00"),
    "sms-sender": phrase('a phone number in quotes such as "+1 500 555 0100", or MG...'),
    "secret": phrase("a reference such as env:SMTP_PASSWORD"),
    "share": phrase("a share such as 10%"),
    "slug": phrase("a name such as win-back-90"),
    "url": phrase("a web address such as https://corner.example/r"),
    "endpoint": phrase("an address such as https://corner.example/hook?code=abc"),
    "validity": phrase("a duration such as 14 days, a date, or month end"),
    "weekday": phrase("a day such as sat, or weekdays or weekend"),
    "zone": phrase("a time zone such as America/Chicago"),
}
