"""Festivals under our own names, with their dates in each country.

Days that never move, nth weekdays and those around Easter are worked out here; lunar ones by lunar-python; days that a
country publishes by the library ``holidays``, which is imported only where a rule names one of them. A festival is kept
on its own day: days off that are moved because it falls on a weekend are none of ours.
"""

from __future__ import annotations

import calendar
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Final

from engine.language.lunar import lunar_days, solar_term
from engine.language.phrases import Phrase, phrase

#: Gives the days of a year, almost always one: those of the Islamic calendar come twice in some.
Rule = Callable[[int], tuple[date, ...]]

#: Wherever no rule of its own is known.
ELSEWHERE: Final = "*"
_MON, _THU, _FRI, _SUN = 0, 3, 4, 6
#: Of these years alone the library knows days that are published or estimated.
_PUBLISHED_UNTIL: Final = 2035


@dataclass(frozen=True)
class Festival:
    """A festival: how to call it, and its days by country; ``ELSEWHERE`` stands for all that are not named."""

    name: Phrase
    rules: Mapping[str, Rule]

    def rule(self, country: str) -> Rule | None:
        """Give the rule of a country; None where the festival is not known there."""
        return self.rules.get(country) or self.rules.get(ELSEWHERE)


def _fixed(month: int, day: int) -> Rule:
    return lambda year: (date(year, month, day),)


def _nth(month: int, weekday: int, number: int) -> Rule:
    """The nth weekday of a month; ``number`` -1 is the last one."""

    def days(year: int) -> tuple[date, ...]:
        if number > 0:
            first = date(year, month, 1)
            return (first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1)),)
        last = date(year, month, calendar.monthrange(year, month)[1])
        return (last - timedelta(days=(last.weekday() - weekday) % 7),)

    return days


def _after(rule: Rule, days: int) -> Rule:
    return lambda year: tuple(day + timedelta(days=days) for day in rule(year))


def easter(year: int) -> tuple[date, ...]:
    """Give Easter Sunday of the western churches: the anonymous Gregorian rule, as Meeus writes it."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return (date(year, month, day + 1),)


def _easter(days: int) -> Rule:
    return _after(easter, days)


def _french_mothers_day(year: int) -> tuple[date, ...]:
    """The last Sunday of May; where that is Whit Sunday, the first of June."""
    last, (whitsun,) = _nth(5, _SUN, -1)(year), _easter(49)(year)
    return _nth(6, _SUN, 1)(year) if last == (whitsun,) else last


def _lunar(month: int, day: int) -> Rule:
    return lambda year: lunar_days(year, month, day)


def _published(country: str, name: str) -> Rule:
    """The first day of each holiday of that English name; the library marks some as estimated."""

    def days(year: int) -> tuple[date, ...]:
        if year > _PUBLISHED_UNTIL:
            return ()
        found = [day for day, names in _holidays_of(country, year).items() if name in names]
        return tuple(day for day in sorted(found) if day.year == year and day - timedelta(days=1) not in found)

    return days


@cache
def _holidays_of(country: str, year: int) -> dict[date, list[str]]:
    import holidays

    made: Any = holidays.country_holidays
    with warnings.catch_warnings():  # the library warns of years that it does not know
        warnings.simplefilter("ignore")
        categories = made(country).supported_categories
        # A holiday that begins on the last day of the year before began then.
        found = made(country, years=[year - 1, year], observed=False, categories=categories, language="en_US")
        return {day: [name.partition(" (")[0].strip() for name in all_.split(";")] for day, all_ in found.items()}


_SECOND_SUNDAY_OF_MAY = _nth(5, _SUN, 2)
_THIRD_SUNDAY_OF_JUNE = _nth(6, _SUN, 3)
_US_THANKSGIVING = _nth(11, _THU, 4)
_MAY_DAY = _fixed(5, 1)
_CHINESE = ("CN", "HK", "TW", "SG")


def _in(rule: Rule, *countries: str, **others: Rule) -> dict[str, Rule]:
    """Give rules by country: one for all of ``countries``, ``others`` by their own."""
    return {**dict.fromkeys(countries, rule), **others}


def _all(rule: Rule, **others: Rule) -> dict[str, Rule]:
    return {ELSEWHERE: rule, **others}


FESTIVALS: Final[dict[str, Festival]] = {
    # The year round
    "new-year": Festival(phrase("New Year's Day"), _all(_fixed(1, 1))),
    "epiphany": Festival(phrase("Epiphany"), _all(_fixed(1, 6))),
    "candlemas": Festival(phrase("Candlemas"), _all(_fixed(2, 2))),
    "valentines-day": Festival(phrase("Valentine's Day"), _all(_fixed(2, 14))),
    "womens-day": Festival(phrase("Women's Day"), _all(_fixed(3, 8))),
    "white-day": Festival(phrase("White Day"), _in(_fixed(3, 14), "JP", "KR", *_CHINESE)),
    "hinamatsuri": Festival(phrase("Hinamatsuri"), _in(_fixed(3, 3), "JP")),
    "st-patricks-day": Festival(
        phrase("Saint Patrick's Day"), _in(_fixed(3, 17), "US", "CA", "GB", "IE", "AU", "NZ")
    ),
    "earth-day": Festival(phrase("Earth Day"), _all(_fixed(4, 22))),
    "anzac-day": Festival(phrase("Anzac Day"), _in(_fixed(4, 25), "AU", "NZ")),
    "cinco-de-mayo": Festival(phrase("Cinco de Mayo"), _in(_fixed(5, 5), "US")),
    "love-day": Festival(phrase("520, the Day of Love"), _in(_fixed(5, 20), *_CHINESE)),
    "tanabata": Festival(phrase("Tanabata"), _in(_fixed(7, 7), "JP")),
    "coffee-day": Festival(phrase("Coffee Day"), _all(_fixed(10, 1), US=_fixed(9, 29))),
    "halloween": Festival(phrase("Halloween"), _all(_fixed(10, 31))),
    "bonfire-night": Festival(phrase("Bonfire Night"), _in(_fixed(11, 5), "GB")),
    "singles-day": Festival(phrase("Singles' Day"), _in(_fixed(11, 11), *_CHINESE)),
    "pepero-day": Festival(phrase("Pepero Day"), _in(_fixed(11, 11), "KR")),
    "veterans-day": Festival(phrase("Veterans Day"), _in(_fixed(11, 11), "US")),
    "remembrance-day": Festival(phrase("Remembrance Day"), _in(_fixed(11, 11), "CA", "GB", "AU")),
    "st-nicholas-day": Festival(phrase("Saint Nicholas' Day"), _in(_fixed(12, 6), "DE", "AT", "CH")),
    "christmas-eve": Festival(phrase("Christmas Eve"), _all(_fixed(12, 24))),
    "christmas": Festival(phrase("Christmas Day"), _all(_fixed(12, 25))),
    "boxing-day": Festival(phrase("Boxing Day"), _in(_fixed(12, 26), "GB", "IE", "CA", "AU", "NZ", "HK")),
    "new-years-eve": Festival(phrase("New Year's Eve"), _all(_fixed(12, 31))),
    # The family
    "mothers-day": Festival(
        phrase("Mother's Day"),
        _in(
            _SECOND_SUNDAY_OF_MAY, "US", "CA", "DE", "AT", "CH", "AU", "NZ", "JP", "IN", *_CHINESE,
            GB=_easter(-21), IE=_easter(-21), FR=_french_mothers_day, KR=_fixed(5, 8),
        ),
    ),
    "fathers-day": Festival(
        phrase("Father's Day"),
        _in(
            _THIRD_SUNDAY_OF_JUNE, "US", "CA", "GB", "IE", "FR", "JP", "IN", "CN", "HK", "SG",
            DE=_easter(39), AT=_nth(6, _SUN, 2), CH=_nth(6, _SUN, 1), AU=_nth(9, _SUN, 1), NZ=_nth(9, _SUN, 1),
            TW=_fixed(8, 8), KR=_fixed(5, 8),
        ),
    ),
    "childrens-day": Festival(
        phrase("Children's Day"),
        _in(
            _fixed(4, 4), "TW", "HK",
            CN=_fixed(6, 1), JP=_fixed(5, 5), KR=_fixed(5, 5), IN=_fixed(11, 14), SG=_nth(10, _FRI, 1),
            DE=_fixed(9, 20),
        ),
    ),
    "teachers-day": Festival(
        phrase("Teachers' Day"),
        _in(
            _fixed(9, 10), "CN", "HK",
            TW=_fixed(9, 28), KR=_fixed(5, 15), IN=_fixed(9, 5), SG=_nth(9, _FRI, 1),
        ),
    ),
    # The country
    "national-day": Festival(
        phrase("the national holiday"),
        {
            "US": _fixed(7, 4), "CA": _fixed(7, 1), "DE": _fixed(10, 3), "FR": _fixed(7, 14), "AU": _fixed(1, 26),
            "CN": _fixed(10, 1), "HK": _fixed(10, 1), "TW": _fixed(10, 10), "SG": _fixed(8, 9), "JP": _fixed(2, 11),
            "KR": _fixed(10, 3), "IN": _fixed(8, 15), "CH": _fixed(8, 1), "AT": _fixed(10, 26), "NZ": _fixed(2, 6),
        },
    ),
    "independence-day": Festival(
        phrase("Independence Day"), {"US": _fixed(7, 4), "IN": _fixed(8, 15), "KR": _fixed(8, 15)}
    ),
    "republic-day": Festival(phrase("Republic Day"), _in(_fixed(1, 26), "IN")),
    "juneteenth": Festival(phrase("Juneteenth"), _in(_fixed(6, 19), "US")),
    "memorial-day": Festival(phrase("Memorial Day"), _in(_nth(5, _MON, -1), "US")),
    "labour-day": Festival(
        phrase("Labour Day"),
        _in(
            _MAY_DAY, "CN", "HK", "TW", "SG", "KR", "IN", "DE", "FR", "AT",
            US=_nth(9, _MON, 1), CA=_nth(9, _MON, 1), GB=_nth(5, _MON, 1), IE=_nth(5, _MON, 1), NZ=_nth(10, _MON, 4),
        ),
    ),
    "thanksgiving": Festival(phrase("Thanksgiving"), {"US": _US_THANKSGIVING, "CA": _nth(10, _MON, 2)}),
    "black-friday": Festival(phrase("Black Friday"), _all(_after(_US_THANKSGIVING, 1))),
    # Around Easter
    "carnival": Festival(
        phrase("Carnival"), _in(_easter(-47), "US", "CA", "FR", DE=_easter(-48), AT=_easter(-47), CH=_easter(-47))
    ),
    "pancake-day": Festival(phrase("Pancake Day"), _in(_easter(-47), "GB", "IE", "CA", "AU", "NZ")),
    "good-friday": Festival(phrase("Good Friday"), _all(_easter(-2))),
    "easter": Festival(phrase("Easter Sunday"), _all(easter)),
    "easter-monday": Festival(phrase("Easter Monday"), _all(_easter(1))),
    # By the moon
    "lunar-new-year-eve": Festival(
        phrase("Lunar New Year's Eve"),
        _all(_after(_lunar(1, 1), -1), KR=_after(_published("KR", "Korean New Year"), -1)),
    ),
    "lunar-new-year": Festival(phrase("Lunar New Year"), _all(_lunar(1, 1), KR=_published("KR", "Korean New Year"))),
    "lantern-festival": Festival(phrase("the Lantern Festival"), _all(_lunar(1, 15))),
    "qingming": Festival(phrase("Qingming"), _all(lambda year: solar_term(year, "清明"))),
    "dragon-boat": Festival(phrase("the Dragon Boat Festival"), _all(_lunar(5, 5))),
    "qixi": Festival(phrase("Qixi"), _all(_lunar(7, 7))),
    "mid-autumn": Festival(phrase("the Mid-Autumn Festival"), _all(_lunar(8, 15), KR=_published("KR", "Chuseok"))),
    "double-ninth": Festival(phrase("the Double Ninth Festival"), _all(_lunar(9, 9))),
    "dongzhi": Festival(phrase("Dongzhi, the winter solstice"), _all(lambda year: solar_term(year, "冬至"))),
    "laba": Festival(phrase("the Laba Festival"), _all(_lunar(12, 8))),
    "seollal": Festival(phrase("Seollal"), _all(_published("KR", "Korean New Year"))),
    "chuseok": Festival(phrase("Chuseok"), _all(_published("KR", "Chuseok"))),
    "holi": Festival(phrase("Holi"), _all(_published("IN", "Holi"))),
    "diwali": Festival(phrase("Diwali"), _all(_published("IN", "Diwali"), SG=_published("SG", "Diwali"))),
    "eid-al-fitr": Festival(
        phrase("Eid al-Fitr"),
        _all(
            _published("AL", "Eid al-Fitr"), SG=_published("SG", "Eid al-Fitr"), IN=_published("IN", "Eid al-Fitr")
        ),
    ),
    "eid-al-adha": Festival(
        phrase("Eid al-Adha"),
        _all(
            _published("AL", "Eid al-Adha"), SG=_published("SG", "Eid al-Adha"), IN=_published("IN", "Eid al-Adha")
        ),
    ),
    "hanukkah": Festival(phrase("the first day of Hanukkah"), _all(_published("IL", "Hanukkah"))),
}  # fmt: skip

#: What owners call them too.
ALSO: Final[dict[str, str]] = {
    **dict.fromkeys(("chinese-new-year", "spring-festival", "cny", "tet", "春节", "春節"), "lunar-new-year"),
    **dict.fromkeys(("除夕", "chinese-new-years-eve", "spring-festival-eve"), "lunar-new-year-eve"),
    **dict.fromkeys(("元宵", "元宵节", "yuanxiao", "lantern"), "lantern-festival"),
    **dict.fromkeys(("清明", "清明节", "tomb-sweeping-day"), "qingming"),
    **dict.fromkeys(("端午", "端午节", "duanwu", "dragon-boat-festival"), "dragon-boat"),
    **dict.fromkeys(("七夕", "七夕节", "chinese-valentines-day"), "qixi"),
    **dict.fromkeys(("中秋", "中秋节", "moon-festival", "mooncake-festival", "mid-autumn-festival"), "mid-autumn"),
    **dict.fromkeys(("重阳", "重阳节", "double-nine", "chongyang"), "double-ninth"),
    **dict.fromkeys(("冬至", "winter-solstice"), "dongzhi"),
    **dict.fromkeys(("腊八", "腊八节"), "laba"),
    **dict.fromkeys(("情人节", "valentine", "valentines", "st-valentines-day"), "valentines-day"),
    **dict.fromkeys(("母亲节", "mothering-sunday", "muttertag", "mother"), "mothers-day"),
    **dict.fromkeys(("父亲节", "vatertag", "father"), "fathers-day"),
    **dict.fromkeys(("parents-day",), "mothers-day"),
    **dict.fromkeys(("圣诞节", "圣诞", "xmas", "noel", "christmas-day"), "christmas"),
    **dict.fromkeys(("平安夜", "heiligabend"), "christmas-eve"),
    **dict.fromkeys(("国庆", "国庆节", "bastille-day", "canada-day", "australia-day"), "national-day"),
    **dict.fromkeys(("劳动节", "labor-day", "may-day"), "labour-day"),
    **dict.fromkeys(("儿童节", "childrens"), "childrens-day"),
    **dict.fromkeys(("妇女节", "三八节"), "womens-day"),
    **dict.fromkeys(("双十一", "double-eleven", "11-11"), "singles-day"),
    **dict.fromkeys(("元旦", "new-years-day", "new-years"), "new-year"),
    **dict.fromkeys(("跨年", "silvester", "sylvester"), "new-years-eve"),
    **dict.fromkeys(("mardi-gras", "fasching", "karneval", "rosenmontag"), "carnival"),
    **dict.fromkeys(("shrove-tuesday",), "pancake-day"),
    **dict.fromkeys(("deepavali", "divali"), "diwali"),
    **dict.fromkeys(("eid", "hari-raya", "hari-raya-puasa"), "eid-al-fitr"),
    **dict.fromkeys(("hari-raya-haji",), "eid-al-adha"),
    **dict.fromkeys(("chanukah", "hanukah"), "hanukkah"),
    **dict.fromkeys(("520", "may-twentieth"), "love-day"),
    **dict.fromkeys(("international-coffee-day", "national-coffee-day"), "coffee-day"),
    **dict.fromkeys(("international-womens-day",), "womens-day"),
    **dict.fromkeys(("4th-of-july", "fourth-of-july", "july-4th"), "independence-day"),
}
