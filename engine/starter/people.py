"""The guests of the generated café: who they are, how they may be reached, how often they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from engine.starter import cafe_words as words
from engine.starter.dice import Dice, Wheel

GUESTS: Final = 5000
FIRST_DAY: Final = date(2024, 5, 4)
LAST_DAY: Final = date(2026, 5, 3)
DAYS: Final = (LAST_DAY - FIRST_DAY).days + 1


@dataclass(frozen=True, slots=True)
class Habit:
    """How a kind of guest comes: every ``gap`` days or so, and again with probability ``stays``."""

    gap: float
    stays: float
    lunch: float


#: Most come seldom, a few nearly every day: the tail is where a café lives.
ONCE, SELDOM, STEADY, REGULAR, DAILY, OFFICE = range(6)
HABITS: Final = (
    Habit(30, 0.08, 0.10),
    Habit(38, 0.72, 0.10),
    Habit(16, 0.90, 0.06),
    Habit(7, 0.967, 0.05),
    Habit(2.6, 0.99, 0.04),
    Habit(13, 0.93, 0.0),
)
KINDS: Final = Wheel([(ONCE, 31), (SELDOM, 40), (STEADY, 20.2), (REGULAR, 5.2), (DAILY, 0.8), (OFFICE, 2.8)])
#: How often one who comes for lunch comes at noon.
LUNCH_CROWD: Final = 0.45
#: Shares of guests whose language is not that of the home.
CHINESE, SPANISH = 0.12, 0.05
STORE_OF_GUEST: Final = Wheel([(0, 46), (1, 31), (2, 23)])


@dataclass(slots=True)
class Guest:
    """One guest, as the customers' file tells it, and the habits that the visits are made from."""

    number: int
    kind: int
    store: int
    first_day: int  #: of the café's days, from 0
    first_name: str
    last_name: str
    language: str
    email: str = ""
    phone: str = ""
    birthday: str = ""
    calendar: str = ""
    joined_at: str = ""
    gender: str = ""
    company: str = ""
    referred_by: str = ""
    zone: str = ""
    email_consent: str = ""
    sms_consent: str = ""
    consent_at: str = ""
    consent_source: str = ""
    collects: bool = False  #: points
    lunch: float = 0.0
    tags: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The customer's id at the till."""
        return f"G{self.number:04d}"

    @property
    def name(self) -> str:
        """The whole name in the order in which its language has it."""
        if self.first_name.isascii():
            return f"{self.first_name} {self.last_name}"
        return f"{self.last_name}{self.first_name}"


def reserved_numbers(dice: Dice) -> list[str]:
    """Every number that is reserved for fiction in our area codes, in a random order, without those of the stores."""
    numbers = [f"+1{area}55501{last:02d}" for area in words.AREA_CODES.split() for last in range(100)]
    return dice.shuffled([number for number in numbers if number not in STORE_NUMBERS])


STORE_NUMBERS: Final = ("+12175550110", "+13125550120", "+12165550130", "+12175550111", "+13125550121", "+12165550131")


class Crowd:
    """Draws the guests, one after the other."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.numbers = reserved_numbers(dice)
        self.first = words.FIRST_NAMES.split()
        self.last = words.LAST_NAMES.split()
        self.spanish = (words.SPANISH_FIRST.split(), words.SPANISH_LAST.split())
        self.chinese = (words.CHINESE_FIRST.split(), words.CHINESE_LAST.split())
        self.taken: set[str] = set()

    def guests(self) -> list[Guest]:
        """Draw all guests; about one in thirty shares the address of the one before: a couple."""
        guests: list[Guest] = []
        for number in range(1, GUESTS + 1):
            guest = self._guest(number)
            if guests and guests[-1].email and self.dice.chance(0.033):
                self._marry(guest, guests[-1])
            if guests and self.dice.chance(0.05):
                guest.referred_by = self.dice.pick(guests).id
            guests.append(guest)
        return guests

    def _guest(self, number: int) -> Guest:
        dice = self.dice
        kind = KINDS.spin(dice)
        before = dice.chance(0.1)  # knew the café before its records begin
        day = dice.between(0, 20) if before else int(DAYS * dice.random() ** 0.85)
        first, last, spelling, language = self._name()
        guest = Guest(number, kind, STORE_OF_GUEST.spin(dice), day, first, last, language)
        guest.gender = dice.pick(("f", "m", "", ""))
        if kind == OFFICE:
            guest.company = dice.pick(words.OFFICES)
        if dice.chance(0.01):
            guest.zone = "America/Denver"
        guest.lunch = LUNCH_CROWD if dice.chance(0.13) and kind != OFFICE else HABITS[kind].lunch
        guest.collects = dice.chance(0.7)
        joined = FIRST_DAY - timedelta(dice.between(30, 900)) if before else FIRST_DAY + timedelta(day)
        guest.joined_at = f"{joined} {dice.between(8, 17):02d}:{dice.between(0, 59):02d}" if before or day % 7 else ""
        self._reach(guest, spelling)
        self._consent(guest, joined)
        self._birthday(guest)
        self._tags(guest)
        return guest

    def _name(self) -> tuple[str, str, str, str]:
        """First name, last name, their spelling in an address, and the language."""
        dice = self.dice
        draw = dice.random()
        if draw < CHINESE:
            first, first_spelling = dice.pick(self.chinese[0]).split(":")
            last, last_spelling = dice.pick(self.chinese[1]).split(":")
            return first, last, f"{first_spelling}.{last_spelling}", "zh"
        spanish = draw < CHINESE + SPANISH
        first = dice.pick(self.spanish[0] if spanish else self.first)
        last = dice.pick(self.spanish[1] if spanish else self.last)
        language = "es" if spanish else dice.pick(("en", "en", "", "", ""))
        return first, last, f"{first}.{last}".lower(), language

    def _reach(self, guest: Guest, spelling: str) -> None:
        if self.dice.chance(0.91):
            local = spelling if spelling not in self.taken else f"{spelling}{guest.number}"
            self.taken.add(local)
            guest.email = f"{local}@example.com"
        if self.dice.chance(0.83):
            guest.phone = self.numbers.pop()

    def _consent(self, guest: Guest, joined: date) -> None:
        dice = self.dice
        if guest.email:
            guest.email_consent = "yes" if dice.chance(0.69) else dice.pick(("no", "no", ""))
        if guest.phone:
            guest.sms_consent = "yes" if dice.chance(0.43) else dice.pick(("no", "", ""))
        if guest.email_consent or guest.sms_consent:
            guest.consent_at = guest.joined_at or f"{joined} 12:00"
            guest.consent_source = dice.pick(("sign-up form", "till tablet", "paper card"))

    def _birthday(self, guest: Guest) -> None:
        dice = self.dice
        if not dice.chance(0.7):
            return
        if guest.language == "zh" and dice.chance(0.2):
            guest.calendar = "lunar"
            # The 25th of the third month is 11 May in 2026: a week after the demo's day.
            guest.birthday = "03-25" if dice.chance(0.15) else f"{dice.between(1, 12):02d}-{dice.between(1, 29):02d}"
            return
        leap = date(2024, 1, 1) + timedelta(dice.between(0, 365))  # a leap year: somebody is born on 29 February
        guest.birthday = f"{leap:%m-%d}"
        if dice.chance(0.6):
            year = dice.between(1950, 2006)
            guest.birthday = f"{year - year % 4 if guest.birthday == '02-29' else year}-{guest.birthday}"

    def _tags(self, guest: Guest) -> None:
        if guest.number % 640 == 0:
            guest.tags.append("staff")
        elif guest.number % 470 == 0:
            guest.tags.append("friend")
        if self.dice.chance(0.18):
            guest.tags.append(self.dice.pick(words.TAGS))

    def _marry(self, guest: Guest, partner: Guest) -> None:
        """Let two guests share a name, an email address and perhaps a number."""
        guest.last_name, guest.language = partner.last_name, partner.language
        if partner.language == "zh":
            guest.first_name = self.dice.pick(self.chinese[0]).split(":")[0]
        elif not guest.first_name.isascii():
            guest.first_name = self.dice.pick(self.first)
        guest.email, guest.email_consent = partner.email, partner.email_consent
        guest.consent_at, guest.consent_source = partner.consent_at, partner.consent_source
        if partner.phone and self.dice.chance(0.5):
            guest.phone, guest.sms_consent = partner.phone, partner.sms_consent
