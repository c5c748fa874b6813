"""Endpoints and consent: who may be reached where, and what was said about it. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Row, insert, select, update

from connectors.records import RowError
from engine.database.by_keys import by_keys
from engine.database.consent import lock_endpoints
from engine.database.sql import upsert
from engine.database.tables import consents, customers, endpoints
from engine.intake import values
from engine.intake.desk import CHUNK, Desk, Store, chunks
from engine.language.contacts import Channel, country_of_number
from engine.language.keys import endpoint_hash

#: What a cell says: ``implied`` is a yes that the guest did not say (a soft opt-in).
Consent = Literal["yes", "no", "implied"]
#: When, in epoch seconds, and what.
Word = tuple[int, Consent]


@dataclass(frozen=True, slots=True)
class Address:
    """An address as a file gave it, normalised."""

    channel: Channel
    hash: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a file says about marketing to one endpoint. ``at`` is epoch seconds, None where it names no date."""

    endpoint_id: int
    state: Consent
    at: int | None
    source: str
    evidence: str


def read_address(desk: Desk, channel: Channel, text: str, store: Store | None) -> Address | None:
    """Read the contact in a cell; an empty one is None. Raises ``RowError``."""
    if not text:
        return None
    known = values.email(text) if channel == "email" else values.phone(text, desk.country_of(store))
    return Address(channel, endpoint_hash(desk.key, channel, known), known)


def read_contact(desk: Desk, channel: Channel, text: str, store: Store | None) -> Address | None:
    """Read a contact that only helps to tell who a guest is; one that cannot be one is passed over."""
    try:
        return read_address(desk, channel, text, store)
    except RowError:
        desk.warn("a guest's contact is neither an email address nor a phone number")
        return None


def endpoint_ids(desk: Desk, addresses: Iterable[Address]) -> dict[bytes, int | None]:
    """Give the endpoint of every address, made where it is new; None for one that was erased: it stays so.

    A number that has told us to stop before anybody here had it was known by its hash alone: now it has an address.
    """
    wanted = {(address.channel, address.hash): address for address in addresses}
    rows = _known(desk, wanted.values())
    known = {row.hash: row.number for row in rows}
    nameless = {row.hash for row in rows if row.nameless}
    for address in wanted.values():
        if address.hash in nameless:
            mine = (endpoints.c.channel == address.channel, endpoints.c.hash == address.hash)
            desk.conn.execute(update(endpoints).where(*mine).values(address=address.text))
    fresh = [
        {
            "channel": address.channel,
            "hash": address.hash,
            "address": address.text,
            "country": country_of_number(address.text) if address.channel == "sms" else None,
        }
        for address in wanted.values()
        if address.hash not in known
    ]
    if fresh:
        desk.conn.execute(upsert(desk.conn, endpoints).on_conflict_do_nothing(), fresh)
        known |= find_endpoints(desk, (address for address in wanted.values() if address.hash not in known))
    return known


def find_endpoints(desk: Desk, addresses: Iterable[Address]) -> dict[bytes, int | None]:
    """Give the endpoints that are known of these addresses; None for an erased one. Hashes differ between channels."""
    return {row.hash: row.number for row in _known(desk, addresses)}


def holders(desk: Desk, endpoint_ids: Iterable[int]) -> list[Row[Any]]:
    """Give the guests whose address is one of these endpoints, the oldest first, and nobody who was erased."""
    c, wanted = customers.c, sorted(set(endpoint_ids))
    columns = (c.id, c.source, c.external_id, c.zone_id, c.email_id, c.sms_id)
    found = {
        row.id: row
        for own in (c.email_id, c.sms_id)
        for row in by_keys(desk.conn, columns, own, wanted, c.erased_at.is_(None))
    }
    return [found[number] for number in sorted(found)]


class _Endpoint(NamedTuple):
    hash: bytes
    number: int | None  #: None: erased
    nameless: bool  #: nobody had the address until now


def _known(desk: Desk, addresses: Iterable[Address]) -> list[_Endpoint]:
    hashes: dict[Channel, list[bytes]] = {}
    for address in addresses:
        hashes.setdefault(address.channel, []).append(address.hash)
    e = endpoints.c
    known = []
    for channel, theirs in hashes.items():
        for row in by_keys(
            desk.conn, (e.id, e.hash, e.address, e.suppressed_why), e.hash, theirs, e.channel == channel
        ):
            erased = row.address is None and row.suppressed_why == "erased"
            known.append(_Endpoint(bytes(row.hash), None if erased else row.id, row.address is None and not erased))
    return known


def news(desk: Desk, statements: Sequence[Said]) -> list[bool]:
    """Tell of each statement whether it says something new, and hold the endpoints of those that do.

    A dated word is new where the word in force at its date was another. A word without a date speaks for the day of the
    import: an undated yes counts only where nothing was said of the endpoint, so it never undoes a no; but it may turn
    an implied yes into one that the guest said. An implied one counts only where nothing was ever said, whatever its
    date; with a later date than the last it is a new enquiry.

    To be asked before customers are written: who locks both, as the fence does, takes endpoints first. What a guest
    said elsewhere in the meantime is read again once it can no longer change; the others' endpoints stay free.
    """
    history = _history(desk, {said.endpoint_id for said in statements})
    spoken = sorted(
        {said.endpoint_id for said, new in zip(statements, _new(desk, statements, history), strict=True) if new}
    )
    for chunk in chunks(spoken, CHUNK):
        lock_endpoints(desk.conn, chunk)
    words = _history(desk, spoken)
    about = [said.endpoint_id in words for said in statements]
    again = iter(_new(desk, [said for said, held in zip(statements, about, strict=True) if held], words))
    return [held and next(again) for held in about]


def append(desk: Desk, statements: Iterable[tuple[Said, int]]) -> None:
    """Write statements down, each with the customer who made it."""
    rows = [_row(desk, said, customer_id) for said, customer_id in statements]
    if rows:
        desk.conn.execute(insert(consents), rows)


def _new(desk: Desk, statements: Iterable[Said], history: Mapping[int, Sequence[Word]]) -> list[bool]:
    words = {endpoint: list(said) for endpoint, said in history.items()}
    found = []
    for said in statements:
        known = words[said.endpoint_id]
        at = _at(desk, said)
        found.append(_says_more(said, at, known))
        if found[-1]:
            known.append((at, said.state))
            known.sort(key=lambda word: word[0])
    return found


def _says_more(said: Said, at: int, known: Sequence[Word]) -> bool:
    """Tell whether a word is new beside those known, oldest first; said ones and implied ones are apart."""
    spoken = [word for word in known if word[1] != "implied"]
    if said.state == "implied":
        before = [when for when, _ in known if when <= at]
        return not spoken and (not known or (said.at is not None and (not before or at > before[-1])))
    if said.at is None and said.state == "yes":
        return not spoken
    in_force = [state for when, state in spoken if when <= at]
    return not in_force or in_force[-1] != said.state


def _at(desk: Desk, said: Said) -> int:
    return desk.now_seconds if said.at is None else said.at


def _history(desk: Desk, endpoint_ids: Collection[int]) -> dict[int, list[Word]]:
    """Every word on all marketing of these endpoints, oldest first."""
    found: dict[int, list[Word]] = {endpoint: [] for endpoint in endpoint_ids}
    for chunk in chunks(sorted(endpoint_ids), CHUNK):
        words = (
            select(consents.c.endpoint_id, consents.c.at, consents.c.state, consents.c.basis)
            .where(consents.c.endpoint_id.in_(chunk), consents.c.topic.is_(None))
            .order_by(consents.c.at, consents.c.id)
        )
        for row in desk.conn.execute(words):
            implied = row.state == "yes" and row.basis == "implied"
            found[row.endpoint_id].append((int(row.at.timestamp()), "implied" if implied else row.state))
    return found


def _row(desk: Desk, said: Said, customer_id: int) -> dict[str, Any]:
    return {
        "endpoint_id": said.endpoint_id,
        "customer_id": customer_id,
        "topic": None,
        "basis": "implied" if said.state == "implied" else "express",
        "state": "no" if said.state == "no" else "yes",
        "at": _at(desk, said),
        "source": said.source,
        "evidence": said.evidence,
    }
