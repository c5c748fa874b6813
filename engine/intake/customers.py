"""Customers in: who they are, where they may be reached, and what they said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, select, update

from connectors.records import RowError
from engine.database.sql import upsert
from engine.database.tables import customers, tags
from engine.database.tiers import plan_of
from engine.intake import values
from engine.intake.contacts import Address, Consent, Said, append, endpoint_ids, holders, news, read_address
from engine.intake.desk import CHUNK, Desk, Row, Store, chunks, lost_zeros
from engine.intake.guest_cells import attributes, language
from engine.intake.guest_cells import tags as read_tags
from engine.intake.guests import Guests
from engine.intake.ids import CONTACT, erased_id
from engine.intake.own_dates import write_dates
from engine.intake.tier_notes import note_changes
from engine.intake.upserts import Merged, find, ids, merge
from engine.intake.zoning import follow_stores, move_days
from engine.language.textkey import text_key, text_keys
from engine.language.zones import zone_named

_TEXTS: Final = ("name", "first_name", "gender", "city", "company", "tier", "referred_by")
_KEYED: Final = ("gender", "city", "tier")
_CALENDARS: Final = {"": "solar", "solar": "solar", "gregorian": "solar", "lunar": "lunar", "chinese": "lunar"}
_ENDPOINTS: Final = {"email": "email_id", "phone": "sms_id"}
_CHANNELS: Final[dict[str, Literal["email", "sms"]]] = {"email": "email", "phone": "sms"}
_CONSENTS: Final = {"email_consent": "email_id", "sms_consent": "sms_id"}


@dataclass(slots=True)
class Person:
    """A customer as a row gives it, before the database was asked."""

    row: Row
    external_id: str
    store: Store | None
    addresses: dict[str, Address | None] = field(default_factory=dict)  #: "email" and "phone", where the file has them
    said: dict[str, Consent] = field(default_factory=dict)  #: by column
    said_at: int | None = None
    columns: dict[str, Any] = field(default_factory=dict)


class Customers:
    """Writes customers, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._guests = Guests(desk)
        self._told: bool | None = None  #: tiers were told before this file

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        people: dict[str, Person] = {}
        for row in rows:
            try:
                person = self._read(row)
            except RowError as error:
                self._desk.refuse(row, str(error))
                continue
            self._desk.report.unchanged += person.external_id in people
            people[person.external_id] = person
        self._drop_erased(people)
        self._drop_without_zeros(people)
        self._give_endpoints(people)
        self._adopt(people)
        self._write(people)

    def finish(self) -> None:
        """Let guests live by the clock of their store."""
        if self._desk.any_touched:
            follow_stores(self._desk)

    # Reading

    def _read(self, row: Row) -> Person:
        desk, cells = self._desk, row.values
        external_id = values.identifier(cells.get("customer_id", "") or self._id_of_contact(row), "customer_id")
        store = desk.store(cells.get("store_id", ""))
        person = Person(row, external_id, store)
        for column, channel in _CHANNELS.items():
            if column in cells:
                person.addresses[column] = read_address(desk, channel, cells[column], store)
        for column in _CONSENTS:
            state = values.consent(cells.get(column, ""), column)
            if state:
                person.said[column] = state
        if cells.get("consent_at"):
            person.said_at = desk.instant(cells["consent_at"], "consent_at", self._clock(person))
            if person.said_at > desk.now_seconds:
                raise RowError("consent_at lies in the future")
        self._read_birthday(person)
        if "joined_at" in cells:
            text = cells["joined_at"]
            joined = desk.instant(text, "joined_at", self._clock(person)) if text else None
            person.columns["joined_at"] = joined
        person.columns |= {name: cells[name] or None for name in _TEXTS if name in cells}
        person.columns |= {f"{name}_key": text_key(cells[name]) or None for name in _KEYED if name in cells}
        if "language" in cells:
            person.columns["language"] = language(desk, cells["language"])
        if "store_id" in cells:
            person.columns["store_id"] = store.id if store else None
        values.fits_as_id(cells.get("referred_by", ""), "referred_by")
        attributes(desk, "customers", cells, None)  # what is wrong is told before anything is written
        return person

    def _id_of_contact(self, row: Row) -> str:
        """A till that gives its customers no id: they are known by their contact."""
        if "customer_id" in row.values and self._desk.is_till:
            for column, channel in _CHANNELS.items():
                address = read_address(self._desk, channel, row.values.get(column, ""), None)
                if address:
                    return f"{CONTACT}{address.hash.hex()}"
        return ""

    def _clock(self, person: Person) -> ZoneInfo:
        own = zone_named(person.row.values.get("timezone", ""))  # one that does not exist is told of when it is written
        return own or self._desk.zone(person.store.zone_id if person.store else self._desk.home_zone)

    def _read_birthday(self, person: Person) -> None:
        cells = person.row.values
        calendar = cells.get("birthday_calendar", "").casefold()
        if calendar not in _CALENDARS:
            raise RowError(f'birthday_calendar "{calendar}" is neither solar nor lunar')
        if "birthday_calendar" in cells:
            person.columns["birthday_calendar"] = _CALENDARS[calendar]
        if "birthday" not in cells:
            return
        text, known = cells["birthday"], None
        if text:
            known = values.birthday(text, _CALENDARS[calendar], self._desk.order(text), self._desk.now.date())
            if known is None:
                self._desk.warn(f"birthday {text} is what tills write where they know none; it was left out")
        person.columns["birthday_year"] = known.year if known else None
        person.columns["birthday_md"] = known.month_day if known else None

    # What the database says to it

    def _drop_erased(self, people: dict[str, Person]) -> None:
        for external_id in self._guests.erased(people):
            del people[external_id]
            self._desk.report.erased += 1
        # Who was brought by one of them keeps it, without the id that a till knows the person by.
        brought: set[str] = {named for person in people.values() if (named := person.columns.get("referred_by"))}
        gone = self._guests.erased(brought)
        for person in people.values():
            named = person.columns.get("referred_by")
            if named in gone:
                person.columns["referred_by"] = erased_id(self._desk.key, self._desk.source, named)

    def _drop_without_zeros(self, people: dict[str, Person]) -> None:
        for text, known in self._guests.without_zeros(people).items():
            self._desk.refuse(people.pop(text).row, str(lost_zeros(text, known, "customer_id")))

    def _give_endpoints(self, people: dict[str, Person]) -> None:
        given = [address for person in people.values() for address in person.addresses.values() if address]
        known = endpoint_ids(self._desk, given)
        for person in people.values():
            for column, address in person.addresses.items():
                endpoint = known[address.hash] if address else None
                person.columns[_ENDPOINTS[column]] = endpoint
                if address and endpoint is None:
                    self._desk.warn(f"{column} is of a guest who was erased: it stays unused")

    def _adopt(self, people: dict[str, Person]) -> None:
        """Guests whom the till's receipts named by contact get their id, now that the till's list gives one."""
        desk, c = self._desk, customers.c
        named = {
            person.columns[column]: person
            for person in people.values()
            for column in _ENDPOINTS.values()
            if person.columns.get(column) and not person.external_id.startswith(CONTACT)
        }
        taken = set(find(desk, customers, people)) if named else set()
        for row in holders(desk, named):
            person = named.get(row.email_id) or named.get(row.sms_id)
            of_receipts = row.source == desk.source and row.external_id.startswith(CONTACT)
            if of_receipts and person is not None and person.external_id not in taken:
                taken.add(person.external_id)
                desk.conn.execute(update(customers).where(c.id == row.id).values(external_id=person.external_id))

    # Writing

    def _write(self, people: dict[str, Person]) -> None:
        desk = self._desk
        known = find(desk, customers, people)
        said = self._news(people, known)
        rows = {key: self._row(person, known.get(key)) for key, person in people.items()}
        told = self._tiers_are_told()
        quiet = merge(desk, customers, rows, counted=False)
        internal = ids(desk, customers, people)
        append(desk, ((statement, internal[key]) for key, statement in said))
        tagged = self._tag(people, internal)
        self._count(people, quiet, tagged.union(key for key, _ in said))
        written = {internal[key]: rows[key]["attributes"] for key in (*quiet.new, *quiet.before)}
        write_dates(desk.conn, desk.config, written)
        desk.touch(written)
        if told:
            moves = {
                internal[key]: (before["tier_key"], rows[key]["tier_key"], rows[key]["zone_id"])
                for key, before in quiet.before.items()
                if before["tier_key"] != rows[key].get("tier_key", before["tier_key"])
            }
            note_changes(desk, moves)
        moved = [
            internal[key]
            for key, before in quiet.before.items()
            if before["zone_id"] != rows[key]["zone_id"] and before["id"]
        ]
        if moved:
            move_days(desk, moved)

    def _row(self, person: Person, before: Mapping[str, Any] | None) -> dict[str, Any]:
        desk = self._desk
        row = dict(person.columns)
        row |= self._zone(person, before)
        if "joined_at" in row or before is None:
            joined = row.get("joined_at")
            row["joined_at"] = joined
            zone = desk.zone(row["zone_id"])
            row["joined_day"] = None if joined is None else values.day_of(joined, zone, desk.config.day_starts)
        row["attributes"] = attributes(desk, "customers", person.row.values, before)
        row["attribute_keys"] = text_keys(row["attributes"])
        if before is None and "birthday_calendar" not in row:
            row["birthday_calendar"] = "solar"
        return row

    def _zone(self, person: Person, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Own, else the store's; one who has neither keeps what was found for them before, else has the home's."""
        desk, cells = self._desk, person.row.values
        if "timezone" in cells:
            own = desk.own_zone(cells["timezone"])
            if own is not None:
                return {"zone_id": own, "own_zone": True}
        elif before is not None and before["own_zone"]:
            return {"zone_id": before["zone_id"], "own_zone": True}
        store = person.store
        if store is None and "store_id" not in cells and before is not None and before["store_id"]:
            store = desk.stores[before["store_id"]]
        kept = before["zone_id"] if before is not None and not before["own_zone"] else desk.home_zone
        return {"zone_id": store.zone_id if store else kept, "own_zone": False}

    def _tiers_are_told(self) -> bool:
        """Tell whether the till has ever told tiers: the first file that does changes nobody's.

        Where config/loyalty.yaml has tiers, those of files are nothing that a rule speaks of.
        """
        desk, c = self._desk, customers.c
        if self._told is None:
            told = desk.conn.scalar(select(exists().where(c.source == desk.source, c.tier_key.is_not(None))))
            self._told = bool(told) and plan_of(desk.conn) is None
        return self._told

    def _news(self, people: Mapping[str, Person], known: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Said]]:
        """Give what is new about consent, and whose it is."""
        told = []
        for key, person in people.items():
            source = person.row.values.get("consent_source", "")
            for column, state in person.said.items():
                of = _CONSENTS[column]
                endpoint = person.columns[of] if of in person.columns else known.get(key, {}).get(of)
                if endpoint:
                    # A source is a word such as "till tablet"; a name or an address has no business there.
                    where = source if source and "@" not in source else "import"
                    told.append((key, Said(endpoint, state, person.said_at, where, f"{column}: {state}")))
        heard = news(self._desk, [said for _, said in told])
        return [each for each, new in zip(told, heard, strict=True) if new]

    def _tag(self, people: Mapping[str, Person], internal: Mapping[str, int]) -> set[str]:
        """Make the tags what the file says; gives whose changed."""
        wanted = {
            internal[key]: read_tags(person.row.values["tags"])
            for key, person in people.items()
            if "tags" in person.row.values
        }
        has: dict[int, set[str]] = {number: set() for number in wanted}
        for chunk in chunks(wanted, CHUNK):
            for row in self._desk.conn.execute(select(tags).where(tags.c.customer_id.in_(chunk))):
                has[row.customer_id].add(row.tag)
                if row.by_rule:  # the till knows nothing of it
                    wanted[row.customer_id].add(row.tag)
        changed = {number for number in wanted if wanted[number] != has[number]}
        for number in sorted(changed):
            gone = has[number] - wanted[number]
            if gone:
                self._desk.conn.execute(delete(tags).where(tags.c.customer_id == number, tags.c.tag.in_(gone)))
        fresh = [
            {"customer_id": number, "tag": tag, "at": self._desk.now}
            for number in sorted(changed)
            for tag in sorted(wanted[number] - has[number])
        ]
        if fresh:
            new = upsert(self._desk.conn, tags).on_conflict_do_nothing(index_elements=["customer_id", "tag"])
            self._desk.conn.execute(new, fresh)
        return {key for key in people if internal[key] in changed}

    def _count(self, people: Mapping[str, Person], quiet: Merged, beside: set[str]) -> None:
        report = self._desk.report
        changed = (quiet.before.keys() | beside) - quiet.new
        report.new += len(quiet.new)
        report.changed += len(changed)
        report.unchanged += len(people) - len(quiet.new) - len(changed)
