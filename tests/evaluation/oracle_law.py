"""What implied consent is worth, in plain Python: written from docs/compliance.md and the files of the countries."""

from __future__ import annotations

from datetime import datetime

from oracle_world import Guest, World, day_of, shift

#: By country and channel: so long after the last order, and after it was noted (None: that does not make it last). Without
#: an end it never ends; a channel that is not named knows no implied consent.
Ends = tuple[str | None, str | None]
IMPLIED: dict[str, dict[str, Ends | None]] = {
    "US": {"email": None},
    "CA": {"email": ("2 years", "6 months"), "sms": ("2 years", "6 months")},
    "GB": {"email": None, "sms": None},
    "IE": {"email": ("12 months", None), "sms": ("12 months", None)},
    "DE": {"email": None},
}


def worth_of_implied(
    world: World, guest: Guest, now: datetime, channel: str, *, noted: datetime, last_order: datetime | None
) -> str | None:
    """Why implied consent does not count, or None. Both countries must let it; a country without a file says nothing."""
    # The calendar is the business's own.
    home = Guest(0, world.zone, None, None)
    today = day_of(now, home)
    laws = [IMPLIED[country] for country in {world.country, country_of(world, guest)} if country in IMPLIED]
    if any(channel not in law for law in laws):
        return "no_consent"
    for ends in (law[channel] for law in laws):
        if ends is None:
            continue
        since = zip((last_order, noted), ends, strict=True)
        if not any(at and length and today < shift(day_of(at, home), length) for at, length in since):
            return "consent_ended"
    return None


def country_of(world: World, guest: Guest) -> str:
    """The country of the phone number, else of the guest's own store, else of the business."""
    return world.phone_countries.get(guest.sms or 0) or world.store_countries.get(guest.store or 0) or world.country
