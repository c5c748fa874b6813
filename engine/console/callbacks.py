"""What Twilio posts to a home's page, handed in at the command line: status callbacks and guests' SMS."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, TextIO

from engine.console.exits import FINE, WRONG, MistypedError
from engine.console.page import Page
from engine.console.session import Session
from engine.console.words import counted
from engine.dispatch.inbound import Inbound, Text, What, take_sms, take_text
from engine.dispatch.receipts import Receipt, Why, take_status
from engine.dispatch.signed import Signed
from engine.language.contacts import normalise

#: What is said, the refused lines, and the exit code.
Told = tuple[str, list[str], int]

_LONGEST_LINE: Final = 200_000
_WHY: Final[Mapping[Why, str]] = {
    "not_set_up": "`sms: twilio` and `links: base_url` in config/regulars.yaml are needed to prove it",
    "signature": "it is not signed by Twilio for the address in `links: base_url`, or was changed since",
    "malformed": "it has no message's SID and status",
    "account": "it is of another account at Twilio",
    "token": "its address names no SMS of this home",
    "sid": "it is about another message",
    "number": "its number is not the message's, or none",
}


def statuses(session: Session, files: Iterable[TextIO], at: datetime) -> Told:
    """Take in kept status callbacks, each by itself."""
    page, refused = Page(), []
    known = 0
    for place, request in _requests(files):
        receipt = Receipt("malformed") if request is None else take_status(session.db, session.home, request, at)
        if receipt.refused is not None:
            refused.append(f"{place}: {_NO_REQUEST if request is None else _WHY[receipt.refused]}.")
        elif receipt.new:
            page.line(_status(receipt), "bad" if receipt.kind == "undelivered" else "good")
        else:
            known += 1
    if known:
        page.line(f"{counted(known, 'callback')} told nothing new.")
    return page.text, refused, WRONG if refused else FINE


def _status(receipt: Receipt) -> str:
    code = f" ({receipt.code})" if receipt.code is not None else ""
    sent = "it was uncertain, and is sent" if receipt.settled else ""
    said = f"{receipt.kind}{code}" if receipt.kind is not None else ""
    return f"Message {receipt.dispatch_id}: {'; '.join(each for each in (said, sent) if each)}."


def texts(session: Session, files: Iterable[TextIO], at: datetime) -> Told:
    """Take in kept SMS of guests, each by itself."""
    refused, unread, done = [], [], Counter[What]()
    for place, request in _requests(files):
        inbound = (
            Inbound("refused", "malformed") if request is None else take_sms(session.db, session.home, request, at)
        )
        if inbound.why is not None:
            refused.append(f"{place}: {_NO_REQUEST if request is None else _WHY[inbound.why]}.")
        else:
            done[inbound.what] += 1
            if inbound.what == "other":
                unread.append(place)
    page = Page()
    for what, count in sorted(done.items()):
        page.line(f"{count:,} SMS: {_MEANT[what]}")
    if unread:  # a wish not to get more may be said in any words
        page.line(
            "Read what the guests wrote there, and enter a wish to stop with `regulars customer consent`:", "care"
        )
    for place in unread:
        page.line(f"  {place}")
    return page.text, refused, WRONG if refused else FINE


_NO_REQUEST: Final = 'this is no JSON object with the texts "url", "signature" and "body"'
_MEANT: Final[Mapping[What, str]] = {
    "stopped": "no more advertising goes to the number.",
    "stopped_before": "the number had been stopped before; nothing was changed.",
    "started": "the number may get again what it might before its STOP.",
    "not_stopped": "nothing was changed; the number had not been stopped by SMS.",
    "never_agreed": "nothing was changed; before its STOP the number had not agreed to advertising.",
    "erased": "nothing was changed; the number's guest was erased, and nothing goes there.",
    "help": "nothing was changed; HELP is answered by Twilio.",
    "other": "nothing was changed; this is none of the words that stop or start.",
}


def one_text(session: Session, number: str, text: str, at: datetime) -> Told:
    """Take in one SMS, as a person tells it."""
    try:
        known = normalise("sms", number, session.home.config.business.country)
    except ValueError as error:
        raise MistypedError(f'--from "{number}" {error}') from None
    inbound = take_text(session.db, session.home, Text(known, text), at)
    said = _MEANT[inbound.what]
    page = Page()
    page.line(f"{said[:1].upper()}{said[1:]}", "good" if inbound.what in {"stopped", "started"} else None)
    if inbound.unknown and inbound.what == "stopped":
        page.line("Nobody here has it. It is kept as a hash, so that a guest who is imported with it has opted out.")
    return page.text, [], FINE


def _requests(files: Iterable[TextIO]) -> Iterator[tuple[str, Signed | None]]:
    """Give each line's place and request; None where it is none. Empty lines are passed over."""
    for file in files:
        name = getattr(file, "name", "<stdin>")
        shown = "the input" if name == "<stdin>" else name
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{shown}, line {number}", _request(line) if len(line) < _LONGEST_LINE else None


def _request(line: str) -> Signed | None:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    url, signature, body = (given.get(name) for name in ("url", "signature", "body"))
    if not isinstance(url, str) or not isinstance(signature, str) or not isinstance(body, str):
        return None
    return Signed(url, signature, body)
