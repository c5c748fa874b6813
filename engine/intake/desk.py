"""The desk at which one file is taken in: the open transaction, what is known already, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Select, func, insert, select

from connectors.dates import DateOrder, begins_with_year
from connectors.numbers import Numbers
from connectors.records import RowError
from engine.database.bulk import Inserting
from engine.database.facts import recompute_noted
from engine.database.noted import note
from engine.database.tables import customers, stores, zones
from engine.intake import values
from engine.intake.rejects import Rejects
from engine.intake.report import SHOWN, ImportReport
from engine.language.config import Config
from engine.language.formats import currency_digits
from engine.language.textkey import text_key
from engine.language.times import zone_named

#: So many rows are read, looked up and written together; so many ids go into one IN list.
BATCH: Final = 5_000
CHUNK: Final = 1_000

#: What goes on once rows are in, and is given what was known of them before, by external id.
Then = Callable[[dict[str, tuple[Any, ...]]], None]


@dataclass(slots=True)
class Row:
    """One record of the file with the row that it came from. A row may hold two."""

    line: int
    cells: list[str]
    values: dict[str, str]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """What an import needs to know of a store."""

    id: int
    zone_id: int
    country: str | None
    external_id: str
    name_key: str


@dataclass
class Desk:
    """Everything that the writers of one file share."""

    _conn: Connection  #: see ``conn``
    config: Config
    key: bytes = field(repr=False)
    source: str
    report: ImportReport
    rejects: Rejects
    now: datetime
    numbers: Numbers
    dates: Callable[[], DateOrder | None] = lambda: None  #: asked once, by the first date that wants to know
    is_till: bool = False  #: refunds may not name their sale, nor guests have ids
    any_touched: bool = False  #: there are customers whose facts are to be made anew
    _refused: dict[int, tuple[str, Row]] = field(default_factory=dict)
    _under_way: tuple[Inserting, Then] | None = None

    @property
    def conn(self) -> Connection:
        """The open transaction; what is under way in it is brought to its end first. Not to be kept."""
        self.settle()
        return self._conn

    def meanwhile(self, inserting: Inserting, then: Then) -> None:
        """Go on while rows are being inserted; before all else that is asked of the database ``then`` is told."""
        self._under_way = inserting, then

    def settle(self) -> None:
        """Bring to its end what is under way."""
        if self._under_way is not None:
            (inserting, then), self._under_way = self._under_way, None
            then(inserting.known())

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Leave nothing under way at the end, whatever it is."""
        try:
            yield
        except Exception:
            self.settle()  # what is wrong with the rows before is told first
            raise
        except BaseException:
            if self._under_way is not None:
                self._under_way[0].give_up()
            raise
        self.settle()

    def touch(self, customers: Select[Any] | Iterable[int | None]) -> None:
        """Note customers, by their ids, whose facts are to be made anew; None is nobody."""
        note(self.conn, customers)
        self.any_touched = True

    def make_facts(self) -> None:
        """Make the facts of those anew who were touched."""
        if self.any_touched:
            recompute_noted(self.conn, self.now)
            self.any_touched = False

    def refuse(self, row: Row, reason: str) -> None:
        """Leave a row out, with the reason; of several the first, the others follow from it."""
        self._refused.setdefault(row.line, (reason, row))

    def tell_refused(self) -> None:
        """Report what was refused since the last time, in the order of the file."""
        for line, (reason, row) in sorted(self._refused.items()):
            self.report.refused += 1
            if len(self.report.refusals) < SHOWN:
                self.report.refusals.append((line, reason))
            self.rejects.add(line, reason, row.cells)
        self._refused.clear()

    def warn(self, said: str) -> None:
        """Count a row that went in but is odd."""
        self.report.warnings[said] += 1

    def order(self, text: str) -> DateOrder | None:
        """Tell whether days or months come first in a date of the file; None where its year does, for all to see.

        Raises ``FileError`` where nothing in the file decides.
        """
        return None if not text or begins_with_year(text) else self._order

    @cached_property
    def _order(self) -> DateOrder | None:
        return self.dates()

    @cached_property
    def digits(self) -> int:
        """How many decimals the home's currency has."""
        return currency_digits(self.config.business.currency)

    def money(self, text: str, column: str) -> int:
        """Read an amount in the home's currency; gives minor units. Raises ``RowError``."""
        return values.money(text, column, self.digits, self.config.business.currency, self.numbers)

    def instant(self, text: str, column: str, zone: ZoneInfo) -> int:
        """Read a moment, on the clock of ``zone`` unless it names an offset: epoch seconds. Raises ``RowError``."""
        return values.instant(text, column, zone, self.order(text))

    @cached_property
    def now_seconds(self) -> int:
        """The time of the import in epoch seconds."""
        return int(self.now.timestamp())

    # Zones

    @cached_property
    def _zone_ids(self) -> dict[str, int]:
        return {row.name: row.id for row in self.conn.execute(select(zones))}

    @cached_property
    def _zones(self) -> dict[int, ZoneInfo]:
        return {number: ZoneInfo(name) for name, number in self._zone_ids.items()}

    def zone_id(self, zone: ZoneInfo) -> int:
        """Give the id of a zone; a new one gets a row."""
        found = self._zone_ids.get(zone.key)
        if found is None:
            found = self.conn.execute(insert(zones).values(name=zone.key).returning(zones.c.id)).scalar_one()
            self._zone_ids[zone.key] = found
            self._zones[found] = zone
        return found

    def known_zone(self, zone: ZoneInfo) -> int | None:
        """Give the id of a zone that has one."""
        return self._zone_ids.get(zone.key)

    def zone(self, zone_id: int) -> ZoneInfo:
        """Give the zone of an id."""
        _ = self._zone_ids
        return self._zones[zone_id]

    @property
    def has_one_zone(self) -> bool:
        """Tell whether there is no zone but the home's."""
        return self._zone_ids.keys() <= {self.config.business.timezone.key}

    @cached_property
    def home_zone(self) -> int:
        """The id of the home's zone."""
        return self.zone_id(self.config.business.timezone)

    def own_zone(self, text: str) -> int | None:
        """Read a zone that a file names; one that does not exist is warned of and passed over."""
        if not text:
            return None
        zone = zone_named(text)
        if zone is None:
            self.warn("timezone is not the name of one such as America/Chicago; the store's is used")
            return None
        return self.zone_id(zone)

    # Stores

    @cached_property
    def stores(self) -> dict[int, Store]:
        """Every store by its id."""
        columns = (stores.c.id, stores.c.zone_id, stores.c.country, stores.c.external_id, stores.c.name_key)
        return {row.id: Store(*row) for row in self.conn.execute(select(*columns))}

    @cached_property
    def _by_external_id(self) -> dict[str, int]:
        mine = select(stores.c.external_id, stores.c.id).where(stores.c.source == self.source)
        return {row.external_id: row.id for row in self.conn.execute(mine)}

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {store.name_key: store.id for store in sorted(self.stores.values(), key=lambda store: -store.id)}

    def store(self, named: str, zone: str = "") -> Store | None:
        """Give the store of an id or a name; one not met before is made, in ``zone`` or else in the home's.

        Raises ``RowError`` where it is not known, and too long.
        """
        if not named:
            return None
        return self.known_store(named) or self._new_store(named, zone)

    def known_store(self, named: str) -> Store | None:
        """Give the store of an id or a name, where there is one."""
        found = self._by_external_id.get(named) or self._by_name.get(text_key(named))
        return self.stores[found] if found else None

    def _new_store(self, named: str, zone: str) -> Store:
        values.fits_as_id(named, "store_id")
        zone_id = self.own_zone(zone) or self.home_zone
        key = text_key(named)
        row = {"source": self.source, "external_id": named, "name": named, "name_key": key, "zone_id": zone_id}
        made = insert(stores).values(**row, attributes={}).returning(stores.c.id)
        store = Store(self.conn.execute(made).scalar_one(), zone_id, None, named, key)
        self.keep_store(store)
        self.warn(f'store "{named}" was not known; it was made from its name')
        return store

    def keep_store(self, store: Store) -> None:
        """Remember a store that was written."""
        self.stores[store.id] = store
        self._by_external_id[store.external_id] = store.id
        self._by_name.setdefault(store.name_key, store.id)

    def country_of(self, store: Store | None) -> str:
        """Give the country whose phone numbers are meant at a store."""
        return (store and store.country) or self.config.business.country

    # Ids that lost their zeros

    @cached_property
    def zero_widths(self) -> list[int]:
        """How long the known ids of customers are that begin with a zero."""
        c = customers.c
        lengths = (
            select(func.length(c.external_id))
            .distinct()
            .where(c.source == self.source, c.external_id >= "0", c.external_id < "1")
        )
        return sorted(self.conn.scalars(lengths))

    def without_zeros(self, unknown: Iterable[str]) -> dict[str, str]:
        """Give those of the unknown ids that are known with zeros in front: {as written: as known}."""
        padded = {
            text.zfill(width): text
            for text in unknown
            if text.isdigit() and text[0] != "0"
            for width in self.zero_widths
            if width > len(text)
        }
        c = customers.c
        found: dict[str, str] = {}
        for chunk in chunks(list(padded), CHUNK):
            known = select(c.external_id).where(c.source == self.source, c.external_id.in_(chunk))
            found |= {padded[text]: text for text in self.conn.scalars(known)}
        return found


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Cut into lists of at most ``size``."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def lost_zeros(text: str, known: str, column: str) -> RowError:
    """Say that an id is known with zeros in front."""
    return RowError(f'{column} "{text}" is known as "{known}": a spreadsheet dropped the zeros; export it as text')


def pick(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Give some of a mapping's entries."""
    return {name: row[name] for name in names if name in row}
