"""What the doctor says of the country files: which count, how old they are, and what in them is not sure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final, Literal

from sqlalchemy import Connection, select

from engine.database.tables import customer_facts
from engine.language.compliance import COMPLIANCE_FOLDER, CountryLaw
from engine.language.config import Config

#: A file that nobody compared with its sources for so many days should be looked at again.
_OLD: Final = 365


def about_the_law(conn: Connection, config: Config, today: date) -> Iterator[tuple[Literal["good", "care"], str]]:
    """Give what is to be said, with whether somebody should look."""
    law = config.law
    guests = conn.scalars(select(customer_facts.c.country).distinct().order_by(customer_facts.c.country))
    counting = dict.fromkeys([law.home, *(country for country in guests if country)])
    known = [law.countries[country] for country in counting if country in law.countries]
    unknown = [country for country in counting if country not in law.countries]
    if known:
        said = ", ".join(f"{each.country} of {each.as_of}" for each in known)
        doubts = "; ".join(filter(None, map(_doubts, known)))
        yield "good", f"files count for {said}{f'; not sure: {doubts}' if doubts else ''}; this is no legal advice"
    for country in unknown:
        where = f"write {COMPLIANCE_FOLDER}/{country.lower()}.yaml with your lawyer"
        what = "your country" if country == law.home else f"your guests' country {country}"
        rests = "implied consent counts for nobody" if country == law.home else "the rules of your own country are kept"
        yield "care", f"there is no file on the law of {what}: {rests}; {where}"
    for each in known:
        if each.newer is not None:
            yield "care", f"{each.path} is of {each.as_of}; Regulars comes with one of {each.newer}: compare the two"
        elif (today - each.as_of).days > _OLD:
            yield "care", f"{each.path} was last compared with the law on {each.as_of}: have it looked at again"
        if each.lacks_number("sms"):
            cure = f"add own: refusal_number to {COMPLIANCE_FOLDER}/{each.country.lower()}.yaml in your home"
            yield "care", f"no advertising by SMS goes to guests of {each.country}, for want of a free number: {cure}"


def _doubts(law: CountryLaw) -> str:
    said = ", ".join(f"{each.what} {each.sure}" for each in law.doubts)
    return f"{law.country} {said}" if said else ""
