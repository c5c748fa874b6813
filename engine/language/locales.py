"""Codes that a home and its files name: of countries, currencies and languages, with the one that was meant."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

from engine.language.phrases import meant, phrase


def parse_country(text: str) -> str:
    """Read an ISO country code such as ``US``."""
    from babel.core import get_global

    if text.upper() in get_global("territory_currencies"):
        if text != text.upper():
            raise ValueError(phrase('"{text}" is not a country code{meant}', text=text, meant=meant(text.upper())))
        return text
    from babel import Locale

    names = {str(name).casefold(): code for code, name in Locale("en").territories.items() if code.isalpha()}
    names |= {"uk": "GB", "usa": "US", "england": "GB", "scotland": "GB", "wales": "GB", "america": "US"}
    close = get_close_matches(text.casefold(), names, n=1, cutoff=0.75)
    instead = meant(names[close[0]] if close else None)
    raise ValueError(
        phrase('"{text}" is not a country code of two letters such as US, GB or CN{meant}', text=text, meant=instead)
    )


def parse_country_or_default(text: str) -> str:
    """Read a country code, or ``default``: all countries that are not named."""
    return text if text == "default" else parse_country(text)


def parse_currency(text: str) -> str:
    """Read an ISO currency code such as ``USD``."""
    from babel import Locale
    from babel.core import get_global

    known = {code for entries in get_global("territory_currencies").values() for code, *_ in entries}
    if text in known:
        return text
    locale = Locale("en")
    names = {str(name).casefold(): code for code, name in locale.currencies.items() if code in known}
    names |= {code.casefold(): code for code in known} | {"$": "USD", "€": "EUR", "£": "GBP", "rmb": "CNY", "¥": "CNY"}
    close = get_close_matches(text.casefold(), names, n=1, cutoff=0.6)
    instead = meant(names[close[0]] if close else None)
    raise ValueError(
        phrase(
            '"{text}" is not a currency code of three letters such as USD, EUR or CNY{meant}', text=text, meant=instead
        )
    )


@lru_cache(10_000)
def is_language(text: str) -> bool:
    """Tell whether a tag such as ``en`` is a language, without looking for what was meant: a file has many rows."""
    from babel import Locale, UnknownLocaleError

    try:
        Locale.parse(text, sep="-")
    except (UnknownLocaleError, ValueError):
        return False
    return True


def parse_language(text: str) -> str:
    """Read a language tag such as ``en``, ``pt-BR`` or ``zh-Hans``."""
    if is_language(text):
        return text
    from babel import Locale

    names = {str(name).casefold(): code.replace("_", "-") for code, name in Locale("en").languages.items()}
    close = get_close_matches(text.casefold(), names, n=1, cutoff=0.75)
    near = names[close[0]] if close else text.replace("_", "-") if "_" in text else ""
    raise ValueError(
        phrase('"{text}" is not a language such as en, de or zh-Hans{meant}', text=text, meant=meant(near))
    )
