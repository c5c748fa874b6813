"""Whom a row speaks of: by the till's id, or by contact; a guest not met before is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from sqlalchemy import exists, func, select, update

from engine.database.bulk import find_many, insert_new
from engine.database.tables import customers
from engine.intake.contacts import Address, endpoint_ids, find_endpoints, holders
from engine.intake.desk import CHUNK, Desk, chunks
from engine.intake.ids import CONTACT, erased_id

#: So many guests of a file are kept in mind, some 10 MB.
_IN_MIND: Final = 40_000
_ASKED: Final = ("external_id", "id", "zone_id")
#: What is known of a guest who is made: all but the source as ``_New`` has it.
_MADE: Final = ("source", "external_id", "name", "email_id", "sms_id")
_New = tuple[str, str | None, int | None, int | None]


class Guest(NamedTuple):
    """A customer as far as an order needs to know."""

    id: int
    zone_id: int


@dataclass(frozen=True, slots=True)
class Contact:
    """How a till that has no ids names a guest."""

    email: Address | None
    phone: Address | None
    name: str

    @property
    def addresses(self) -> list[Address]:
        """The addresses that there are, the surer one first."""
        return [address for address in (self.email, self.phone) if address]

    @property
    def external_id(self) -> str:
        """The id under which such a guest is made; "" without an address."""
        return f"{CONTACT}{self.addresses[0].hash.hex()}" if self.addresses else ""


class Guests:
    """Finds and makes the guests of one file."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._met: dict[str, Guest | None] = {}  #: by their ids, as long as they are not too many
        self.any_gone = False  #: some of them is an erased one

    @cached_property
    def _any_erased(self) -> bool:
        return bool(self._desk.conn.scalar(select(exists().where(customers.c.erased_at.is_not(None)))))

    def erased(self, external_ids: Iterable[str]) -> set[str]:
        """Give those ids under which somebody was known who was erased."""
        if not self._any_erased:
            return set()
        desk = self._desk
        hashed = {erased_id(desk.key, desk.source, text): text for text in external_ids}
        return {hashed[text] for text in self._known(hashed)}

    def by_id(self, external_ids: Iterable[str], names: dict[str, str] | None = None) -> dict[str, Guest | None]:
        """Give the guest of every id; one not met before is made, an erased one is None.

        ``names``: what the file calls a guest, by id, for those who are made.
        """
        wanted = set(external_ids)
        found: dict[str, Guest | None] = dict(self._known(wanted))
        return found | self._met_first(wanted - found.keys(), names or {})

    def _met_first(self, unknown: set[str], names: dict[str, str]) -> dict[str, Guest | None]:
        gone = self.erased(unknown) if unknown else set()
        made = [(text, names.get(text) or None, None, None) for text in sorted(unknown - gone)]
        return dict.fromkeys(gone) | self._make(made)

    def by_id_or_lost(self, names: dict[str, str]) -> tuple[dict[str, Guest | None], dict[str, str]]:
        """Give the guest of every id as ``by_id`` does, but for ids that lost their zeros: those as ``without_zeros``.

        ``names``: what the file calls the guest of each id. There are guests of earlier batches among those that are
        given; ``any_gone`` tells whether one of them was erased. Not to be changed.
        """
        if len(self._met) > _IN_MIND:
            self._met.clear()
        met = self._met
        # One by one: to take the keys of one dict from another's goes through all of both.
        met |= self._known(text for text in names if text not in met)
        unknown = {text for text in names if text not in met}
        lost = self._desk.without_zeros(unknown) if unknown and self._desk.zero_widths else {}
        fresh = self._met_first(unknown - lost.keys(), names)
        self.any_gone |= None in fresh.values()
        met |= fresh
        return met, lost

    def without_zeros(self, external_ids: Iterable[str]) -> dict[str, str]:
        """Give the ids that nobody has, but somebody has with zeros in front: {as written: as known}."""
        desk = self._desk
        if not desk.zero_widths:
            return {}
        wanted = set(external_ids)
        return desk.without_zeros(wanted - self._known(wanted).keys())

    def by_contact(self, contacts: Iterable[Contact]) -> dict[str, Guest | None]:
        """Give the guest of every contact, by ``external_id``; None for one that was erased.

        A guest of the same till goes before one of another, an older one before a newer. Contacts with email and phone
        are looked at first: they tell that two others are one guest.
        """
        found: dict[str, Guest | None] = {}
        wanted: dict[int, dict[str, Contact]] = {2: {}, 1: {}}
        for contact in contacts:
            wanted[len(contact.addresses)][contact.external_id] = contact
        for full in (wanted[2], wanted[1]):
            found |= self._of_contacts({key: contact for key, contact in full.items() if key not in found})
        return found

    def _of_contacts(self, wanted: dict[str, Contact]) -> dict[str, Guest | None]:
        desk = self._desk
        known = find_endpoints(desk, (address for contact in wanted.values() for address in contact.addresses))
        owners = self._owners([number for number in known.values() if number])
        found: dict[str, Guest | None] = {}
        fresh = []
        for external_id, contact in wanted.items():
            reached = [known[address.hash] for address in contact.addresses if address.hash in known]
            mine = [owners[number] for number in reached if number in owners]
            if mine:
                found[external_id] = mine[0]
                self._learn(mine[0], contact, known)
            elif None in reached:
                found[external_id] = None
            else:
                fresh.append(contact)
        return found | self._made_of(fresh)

    def _learn(self, guest: Guest, contact: Contact, known: dict[bytes, int | None]) -> None:
        """A guest whom only receipts speak of is reached at every address that they give."""
        if not contact.email or not contact.phone or (contact.email.hash in known and contact.phone.hash in known):
            return
        c = customers.c
        reached = endpoint_ids(self._desk, contact.addresses)
        write = (
            update(customers)
            .where(c.id == guest.id, c.external_id.startswith(CONTACT))
            .values(
                email_id=func.coalesce(c.email_id, reached[contact.email.hash]),
                sms_id=func.coalesce(c.sms_id, reached[contact.phone.hash]),
            )
        )
        self._desk.conn.execute(write)
        self._desk.touch([guest.id])

    def by_name(self, names: Iterable[str]) -> dict[str, Guest]:
        """Give the guests of this till that are alone in having a name."""
        found: dict[str, list[Guest]] = {}
        for chunk in chunks(set(names), CHUNK):
            mine = customers.c.source == self._desk.source
            columns = (customers.c.name, customers.c.id, customers.c.zone_id)
            for row in self._desk.conn.execute(select(*columns).where(mine, customers.c.name.in_(chunk))):
                found.setdefault(row.name, []).append(Guest(row.id, row.zone_id))
        return {name: guests[0] for name, guests in found.items() if len(guests) == 1}

    def _known(self, external_ids: Iterable[str]) -> dict[str, Guest]:
        return _guests(find_many(self._desk.conn, customers, self._desk.source, external_ids, _ASKED))

    def _owners(self, endpoints: list[int]) -> dict[int, Guest]:
        found: dict[int, Guest] = {}
        for row in sorted(holders(self._desk, endpoints), key=lambda row: row.source != self._desk.source):
            for number in (row.email_id, row.sms_id):
                found.setdefault(number, Guest(row.id, row.zone_id))
        return found

    def _made_of(self, contacts: list[Contact]) -> dict[str, Guest | None]:
        reached = endpoint_ids(self._desk, (address for contact in contacts for address in contact.addresses))

        def endpoint(address: Address | None) -> int | None:
            return reached[address.hash] if address else None

        return self._make(
            [
                (contact.external_id, contact.name or None, endpoint(contact.email), endpoint(contact.phone))
                for contact in contacts
            ]
        )

    def _make(self, rows: Sequence[_New]) -> dict[str, Guest | None]:
        desk = self._desk
        if not rows:
            return {}
        names = (*_MADE, "zone_id", "own_zone", "attributes", "attribute_keys")
        fresh = [(desk.source, *row, desk.home_zone, False, "{}", "{}") for row in rows]
        rows_made, inserting = insert_new(desk.conn, customers, names, fresh, _ASKED)
        made = _guests(rows_made)
        desk.report.new_guests += len(made)
        desk.meanwhile(inserting, lambda _: desk.touch(guest.id for guest in made.values()))
        return dict(made)


def _guests(rows: Iterable[tuple[Any, ...]]) -> dict[str, Guest]:
    return {external_id: Guest(number, zone_id) for external_id, number, zone_id in rows}
