"""A rule's own hours beside those of the law."""

from __future__ import annotations

from engine.language.contacts import Channel
from engine.language.phrases import phrase
from engine.language.rule import Send
from engine.language.times import ClockRange, Hours, goes_beyond, windows_meet
from engine.vocabulary.reading import Reader

_NAMES = {"email": "email", "sms": "SMS"}


def check_law(reader: Reader, channel: Channel, send: Send) -> None:
    """Compare ``send`` with the legal hours of the home's country: the stricter wins, and may leave nothing."""
    config = reader.around.config
    law = config.law.countries.get(config.law.home)
    if reader.data.get("purpose") == "service" or law is None or channel not in law.hours:
        return
    legal = law.hours[channel].open
    whole = send.between or ClockRange.parse("00:00-24:00")
    window = Hours(tuple(whole if send.on is None or day in send.on else None for day in range(7)))
    values = {"country": law.country, "channel": _NAMES[channel], "legal": legal}
    if not windows_meet(config.law.opening(config.hours[channel], channel, None, "marketing"), send.between, send.on):
        said = phrase(
            'the law of {country} allows advertising by {channel} at {legal} only: with "send" and the hours in '
            "config/regulars.yaml nothing could ever go out",
            **values,
        )
        cure = phrase("{file} says where that is from.", file=law.path)
        reader.under("send").problem(said, "outside-law", key=True, hint=cure)
    elif send.between is not None and goes_beyond(window, legal):
        said = phrase(
            '"between" goes beyond what the law of {country} allows for advertising by {channel}: {legal}', **values
        )
        cure = phrase("It goes out where both are open; {file} says where that is from.", file=law.path)
        reader.under("send", "between").problem(said, "outside-law", hint=cure, severity="warning")
