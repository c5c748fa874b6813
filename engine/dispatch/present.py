"""Values as a template sees them: money, days and moments that write themselves in the guest's language and zone.

The values of a message are kept as plain data (``values.py``); here they get their forms, by the shapes in
``placeholders.py``. Text of guests is cleaned of what would steer a mail program or a phone; it is never parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from engine.language.formats import currency_digits
from engine.language.placeholders import ANYTHING, NAMES, ListOf, Shape
from engine.language.sms import clean
from engine.language.templates import languages

if TYPE_CHECKING:
    from babel import Locale

#: Whole texts with lines of their own; every other text is one line.
_WITH_LINES: Final = frozenset({"comment"})
#: Under this name the filters find the style of the message that is being rendered.
STYLE: Final = "_style"


@dataclass(frozen=True)
class Style:
    """How values are written in one message: in whose language, zone and currency."""

    language: str  #: of the template's file, such as zh-Hans
    country: str
    zone: ZoneInfo
    currency: str

    @property
    def locale(self) -> Locale:
        """The nearest locale that babel knows: language and country, language, English."""
        return _locale(self.language, self.country)

    def money(self, minor_units: int) -> str:
        """Write an amount of the home's currency: ``$12.50``."""
        from babel.numbers import format_currency

        amount = Decimal(minor_units).scaleb(-currency_digits(self.currency))
        return _plain_blanks(format_currency(amount, self.currency, locale=self.locale))

    def full_day(self, day: date) -> str:
        """Write a day with its year: ``May 4, 2026``."""
        return _full_day(day.toordinal(), self.locale)

    def weekday(self, day: date) -> str:
        """Write a day with its weekday and without the year: ``Mon, May 4``."""
        from babel.dates import format_skeleton

        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return _plain_blanks(format_skeleton("MMMEd", moment, tzinfo=UTC, locale=self.locale))

    def clock(self, moment: datetime) -> str:
        """Write the clock in the guest's zone: ``6:12 PM``."""
        from babel.dates import format_time

        return _plain_blanks(format_time(moment, "short", tzinfo=self.zone, locale=self.locale))


class Money(int):
    """An amount in minor units that prints itself: ``{{ order.total }}``."""

    style: Style

    def __str__(self) -> str:
        return self.style.money(self)


class Day(date):
    """A day that prints itself: ``{{ coupon.valid_until }}``."""

    style: Style

    def __str__(self) -> str:
        return self.style.full_day(self)


class Instant(datetime):
    """A moment on the guest's clock that prints itself as its day; ``| time`` gives the hour."""

    style: Style

    def __str__(self) -> str:
        return self.style.full_day(self)


class Record(SimpleNamespace):
    """Named values, as in ``customer.name``; false where all of them are empty."""

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Attributes:
    """A guest's own columns: one that this guest does not have is empty."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._values.get(name, "")

    __getitem__ = __getattr__

    def _all(self) -> Mapping[str, Any]:
        return self._values

    def __bool__(self) -> bool:
        return bool(self._values)


@dataclass
class Picture:
    """A QR code: ``cid:...`` in HTML, where its use is noted so that it travels along; the code itself in text."""

    code: str
    used: dict[str, str] = field(repr=False)  #: content id to code, of the whole message
    name: str = "qr"

    def __html__(self) -> str:
        self.used[self.name] = self.code
        return f"cid:{self.name}"

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True)
class Dresser:
    """Gives the values of one message their forms. ``pictures`` gathers the QR codes that the message shows."""

    style: Style
    pictures: dict[str, str]

    def dress(self, values: Mapping[str, Any], shapes: Mapping[str, Shape] = NAMES) -> dict[str, Any]:
        """Give every name that a template may use, or those of ``shapes``; what this message does not have is None."""
        return {
            **{name: self._value(name, shape, values.get(name)) for name, shape in shapes.items()},
            STYLE: self.style,
        }

    def _value(self, name: str, shape: Shape, value: Any) -> Any:
        if isinstance(shape, str):
            if value is None or value == "":
                return 0 if shape == "number" else ""
            return _FORMS[shape](self, name, value)
        if isinstance(shape, ListOf):
            return [self._value(name, shape.of, one) for one in value or ()]
        if value is None:
            return None
        return Record(**{key: self._value(key, below, value.get(key)) for key, below in shape.items()})

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, Mapping):
            value = in_language(value, self.style.language)
        cleaned = clean(str(value))
        return cleaned.strip() if name in _WITH_LINES else " ".join(cleaned.split())

    def _number(self, _name: str, value: float) -> float:
        return int(value) if float(value).is_integer() else value

    def _money(self, _name: str, value: int) -> Money:
        money = Money(value)
        money.style = self.style
        return money

    def _day(self, _name: str, value: str) -> Day:
        day = Day.fromisoformat(value)
        day.style = self.style
        return day

    def _instant(self, _name: str, value: str) -> Instant:
        moment = Instant.fromisoformat(value).astimezone(self.style.zone)
        moment.style = self.style
        return moment

    def _image(self, _name: str, value: str) -> Picture:
        number = len(self.pictures) + 1
        return Picture(value, self.pictures, f"qr-{number}-{value.lower()}@coupon")

    def _anything(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return Attributes({str(key): self._anything(str(key), below) for key, below in value.items()})
        if isinstance(value, list):
            return [self._anything(name, below) for below in value]
        return self._text(name, value) if isinstance(value, str) else value


class Leaves(Mapping[str, str]):
    """The values of one message as its guest reads them: ``customer.first_name`` to text, what is empty left out.

    They get their forms when somebody asks for them: most connectors take the finished message.
    """

    def __init__(self, style: Style, values: Mapping[str, Any]) -> None:
        self._style = style
        self._values = values

    @cached_property
    def _texts(self) -> dict[str, str]:
        dressed = Dresser(self._style, {}).dress(self._values)
        return {name: text for name, text in _leaves("", dressed) if text and not name.startswith("_")}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    below: Mapping[str, Any] | None = None
    if isinstance(value, (Record, Attributes)):
        below = value.__dict__ if isinstance(value, Record) else value._all()  # noqa: SLF001 (a public name would be one of a guest's columns)
    elif isinstance(value, Mapping):
        below = value
    elif isinstance(value, list):
        below = {str(number): one for number, one in enumerate(value, start=1)}
    if below is None:
        yield name, "" if value is None else str(value)
        return
    for key, one in below.items():
        yield from _leaves(f"{name}.{key}" if name else key, one)


_FORMS: Final[Mapping[str, Callable[[Dresser, str, Any], Any]]] = {
    "text": Dresser._text,  # noqa: SLF001 (the table of this class's own forms)
    "number": Dresser._number,  # noqa: SLF001
    "money": Dresser._money,  # noqa: SLF001
    "day": Dresser._day,  # noqa: SLF001
    "instant": Dresser._instant,  # noqa: SLF001
    "image": Dresser._image,  # noqa: SLF001
    ANYTHING: Dresser._anything,  # noqa: SLF001
}


def filters() -> dict[str, Callable[..., Any]]:
    """Give our filters. Each writes what it is for, in the style of the message, and leaves everything else alone."""
    from jinja2 import Undefined, pass_context
    from jinja2.runtime import Context

    @pass_context
    def money(context: Context, value: Any) -> Any:
        amount = isinstance(value, (int, float)) and not isinstance(value, bool)
        return context[STYLE].money(round(value)) if amount else value

    @pass_context
    def day_with_year(context: Context, value: Any) -> Any:
        return context[STYLE].full_day(value) if isinstance(value, date) else value

    @pass_context
    def day_of_week(context: Context, value: Any) -> Any:
        return context[STYLE].weekday(value) if isinstance(value, date) else value

    @pass_context
    def clock(context: Context, value: Any) -> Any:
        return context[STYLE].clock(value) if isinstance(value, datetime) else value

    def default(value: Any, instead: Any = "", boolean: bool = True) -> Any:  # noqa: ARG001 (Jinja's own signature)
        return instead if isinstance(value, Undefined) or value is None or value == "" else value

    return {"money": money, "date": day_with_year, "day": day_of_week, "time": clock, "default": default, "d": default}


def in_language(texts: Mapping[str, str], language: str) -> str:
    """Choose among texts by language; the first that was written where none fits."""
    known = {tag.casefold(): text for tag, text in texts.items()}
    for wanted in languages([language]):
        if wanted.casefold() in known:
            return known[wanted.casefold()]
    return next(iter(texts.values()), "")


def _plain_blanks(text: str) -> str:
    """Narrow and unbreakable blanks would make a whole SMS twice as dear."""
    return text.replace("\u202f", " ").replace("\xa0", " ")


@lru_cache(maxsize=1024)  # the coupons of one day end on one day
def _full_day(day: int, locale: Locale) -> str:
    from babel.dates import format_date

    return _plain_blanks(format_date(date.fromordinal(day), "long", locale=locale))


@lru_cache(maxsize=64)
def _locale(language: str, country: str) -> Locale:
    from babel import Locale, UnknownLocaleError

    tags = [tag.replace("-", "_") for tag in languages([language]) if tag]
    for tag in (*(f"{tag}_{country}" for tag in tags), *tags):
        try:
            return Locale.parse(tag)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")
