"""Making a home: what only the owner knows is asked, checked as it is typed; and the home of the invented café."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Final

from engine.console.exits import MistypedError
from engine.console.importing import take_inbox
from engine.console.schemas import written
from engine.console.session import Clock, instant, opened
from engine.starter.cafe import AS_OF, write_cafe
from engine.starter.home import DEMO_ANSWERS, HomeAnswers, create_home

#: Asks one question: (text, suggestion, check) -> answer; ``check`` raises ``ValueError`` with what is wrong.
Ask = Callable[[str, str, Callable[[str], str]], str]

#: The zone of a country that has one only; elsewhere the owner has to say.
_ZONES: Final = {
    "AT": "Europe/Vienna", "BE": "Europe/Brussels", "CH": "Europe/Zurich", "CN": "Asia/Shanghai", "CZ": "Europe/Prague",
    "DE": "Europe/Berlin", "DK": "Europe/Copenhagen", "ES": "Europe/Madrid", "FI": "Europe/Helsinki",
    "FR": "Europe/Paris", "GB": "Europe/London", "GR": "Europe/Athens", "HK": "Asia/Hong_Kong", "IE": "Europe/Dublin",
    "IN": "Asia/Kolkata", "IT": "Europe/Rome", "JP": "Asia/Tokyo", "KR": "Asia/Seoul", "MY": "Asia/Kuala_Lumpur",
    "NL": "Europe/Amsterdam", "NO": "Europe/Oslo", "NZ": "Pacific/Auckland", "PL": "Europe/Warsaw",
    "PT": "Europe/Lisbon", "SE": "Europe/Stockholm", "SG": "Asia/Singapore", "TH": "Asia/Bangkok", "TW": "Asia/Taipei",
    "VN": "Asia/Ho_Chi_Minh",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: the name of the answer, the words, and how it is checked."""

    name: str
    words: str
    check: Callable[[str], str]


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("this is needed")
    return " ".join(text.split())


def _country(text: str) -> str:
    from engine.language.locales import parse_country

    return parse_country(text.strip())


def _language(text: str) -> str:
    from engine.language.locales import parse_language

    return parse_language(text.strip())


def _zone(text: str) -> str:
    from engine.language.zones import parse_zone

    return parse_zone(text.strip()).key


def _currency(text: str) -> str:
    from engine.language.locales import parse_currency

    return parse_currency(text.strip())


def _email(text: str) -> str:
    from engine.language.formats import parse_email_address

    return parse_email_address(text.strip()) if text.strip() else ""


def _phone(text: str) -> str:
    from engine.language.contacts import parse_phone

    return parse_phone(text) if text.strip() else ""


def _needed_phone(text: str) -> str:
    if not text.strip():
        raise ValueError("alerts need somebody to go to: give this, since there is no email address")
    return _phone(text)


QUESTIONS: Final = (
    Question("name", "Name of your café", _text),
    Question("address", "Postal address, which stands at the foot of every email", _text),
    Question("country", "Country, two letters", _country),
    Question("language", "Language of your guests", _language),
    Question("timezone", "Time zone", _zone),
    Question("currency", "Currency, three letters", _currency),
    Question("sender", "Email address that guests see and answer to", _email),
    Question("manager_email", "Email address that alerts go to", _email),
    Question("manager_phone", "Phone number that alerts go to, with + and the country's code", _phone),
)


def answers(given: Mapping[str, str | None], ask: Ask | None) -> HomeAnswers:
    """Give the owner's answers: those ``given``, the others asked for; without ``ask`` they are the sample café's.

    Raises ``MistypedError`` with the option's name for one that cannot be.
    """
    said: dict[str, str] = {}
    for question in QUESTIONS:
        value = given.get(question.name)
        if value is not None:
            try:
                said[question.name] = question.check(value)
            except ValueError as error:
                raise MistypedError(f"--{question.name.replace('_', '-')}: {error}") from None
        elif ask is not None:
            alone = question.name == "manager_phone" and not said["manager_email"]
            check = _needed_phone if alone else question.check
            said[question.name] = ask(question.words, _suggested(question.name, said), check)
        else:
            guess = _suggested(question.name, said)
            if not guess and question.name in {"timezone", "currency"}:
                raise MistypedError(f"--{question.name} is needed with --country {said['country']}")
            said[question.name] = guess or _SAMPLE[question.name]
    return HomeAnswers(**said)


_SAMPLE: Final[dict[str, str]] = {
    each.name: str(getattr(HomeAnswers(), each.name)) for each in fields(HomeAnswers) if each.name != "fresh"
}


def _suggested(name: str, said: Mapping[str, str]) -> str:
    """Suggest what follows from the country; for the rest what the sample has, where that is no invention."""
    country = said.get("country")
    if name == "timezone" and country not in {None, "US"}:
        return _ZONES.get(str(country), "")
    if name == "currency" and country not in {None, "US"}:
        return _currency_of(str(country))
    return _SAMPLE[name] if name in {"country", "language", "timezone", "currency"} else ""


def _currency_of(country: str) -> str:
    from babel.numbers import get_territory_currencies

    found = get_territory_currencies(country)
    return found[0] if found else ""


def make(
    root: Path,
    given: Mapping[str, str | None],
    ask: Ask | None,
    *,
    demo: bool,
    environ: Mapping[str, str],
    clock: Clock,
    say: Callable[[str], None],
) -> None:
    """Make a home with the owner's answers, or the demo's, and say what comes next."""
    if demo:
        root = make_demo_home(root, environ, clock, say)
        say(f"{root} is ready. Try: regulars --home {quote(str(root))} run --dry-run --as-of {AS_OF}")
        return
    root = create_home(root, answers=answers(given, ask))
    written(root, environ, "en")
    then = f"regulars --home {quote(str(root))} run --dry-run"
    say(f"{root} is ready. Lay your till's files into its inbox/, then: {then}")


def make_demo_home(root: Path, environ: Mapping[str, str], clock: Clock, say: Callable[[str], None]) -> Path:
    """Make the home of the invented café, its files imported through the inbox as on the demo's morning."""
    root = create_home(root, answers=DEMO_ANSWERS)
    written(root, environ, "en")
    with opened(root, environ, clock) as session:
        write_cafe(session.home.config.inbox)
        for report in take_inbox(session, instant(AS_OF, session.zone)):
            for sentence in report.sentences():
                say(sentence)
    return root
