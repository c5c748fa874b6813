"""A crowd of guests with heavy-tailed orders, written straight into SQLite: for speed, not for the eye.

The same size gives the same rows. Orders have the numbers of their time, as a till gives them: a guest's lie far apart.
Each of the shipped rules matches somebody; some guests share an address, are suppressed, refused, or staff.
"""

from __future__ import annotations

import math
import random
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Index
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, DropIndex

from engine.database.engines import open_db
from engine.database.facts import rebuild
from engine.database.tables import metadata
from engine.language.keys import endpoint_hash

AS_OF: Final = datetime(2026, 5, 4, 15, tzinfo=UTC)
ORDERS_A_GUEST: Final = 10
#: Goes up with every change of what is made here: what was kept of an older crowd is not used.
VERSION: Final = 4

#: The key of every home of the crowd.
KEY: Final = bytes(range(32))
ZONES: Final = ("America/Chicago", "America/New_York", "America/Los_Angeles")
#: Stores by number; each is in the zone of its number, in turn.
STORES: Final = 9
CATEGORIES: Final = ("Coffee", "Pastry", "Lunch", "Catering")
_YEARS: Final = 730
_TODAY: Final = AS_OF.astimezone(ZoneInfo(ZONES[0])).toordinal()
_NOW: Final = int(AS_OF.timestamp())
_DAY: Final = 86_400
_PAGE: Final = 5_000


def fill(file: Path, guests: int) -> None:
    """Fill the migrated, empty database in ``file``; memory does not grow with the guests."""
    conn = sqlite3.connect(file, isolation_level=None)
    scratch = file.with_suffix(".scratch")
    scratch.unlink(missing_ok=True)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144", "foreign_keys=OFF"):
            conn.execute(f"PRAGMA {pragma}")
        conn.execute("ATTACH ? AS scratch", [str(scratch)])
        conn.execute("PRAGMA scratch.journal_mode=OFF")
        conn.execute("PRAGMA scratch.synchronous=OFF")
        indexes = _loose(conn)
        conn.execute("BEGIN")
        _places(conn)
        _people(conn, guests)
        _orders(conn, guests)
        conn.execute("COMMIT")
        for index in indexes:
            conn.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    finally:
        conn.close()
        scratch.unlink(missing_ok=True)
    db = open_db(f"sqlite:///{file}")
    with db.begin() as facts:
        rebuild(facts, AS_OF)
    db.dispose()


def next_day(guests: int) -> Iterator[dict[str, Any]]:
    """Give the orders of the day after ``AS_OF``, as rows of the table: one a guest of every seventy-third or so."""
    for number, guest in enumerate(range(guests % 73 + 1, guests + 1, 73)):
        store = guest % STORES + 1
        at = AS_OF + timedelta(seconds=60 + number * 36_000 * 73 // (guests + 73))  # until 20:00 in Chicago
        local = at.astimezone(ZoneInfo(ZONES[(store - 1) % len(ZONES)]))
        yield {
            "source": "crowd",
            "external_id": f"n{number:09}",
            "customer_id": guest,
            "store_id": store,
            "ordered_at": at,
            "day": local.toordinal(),
            "clock": local.weekday() * 1440 + local.hour * 60 + local.minute,
            "total": 300 + guest * 7919 % 2200,
        }


def _loose(conn: sqlite3.Connection) -> list[Index]:
    """Drop the indexes of the largest tables: made at the end they take a third of the time."""
    found = [
        index
        for name in ("orders", "order_items", "customers", "consents", "ratings", "points", "customer_facts")
        for index in sorted(metadata.tables[name].indexes, key=lambda each: str(each.name))
    ]
    for index in found:
        conn.execute(str(DropIndex(index).compile(dialect=sqlite.dialect())))
    return found


def _write(conn: sqlite3.Connection, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" for _ in columns.split(","))
    conn.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _places(conn: sqlite3.Connection) -> None:
    _write(conn, "zones", "id, name", enumerate(ZONES, start=1))
    stores = (
        (number, "crowd", str(number), str(number), f"Store {number}", f"store {number}", _zone(number), "US", "{}")
        for number in range(1, STORES + 1)
    )
    _write(
        conn, "stores", "id, source, external_id, external_key, name, name_key, zone_id, country, attributes", stores
    )
    products = ((number, name, name, name.lower(), name.lower()) for number, name in enumerate(CATEGORIES, start=1))
    _write(conn, "products", "id, name, category, name_key, category_key", products)


def _zone(store: int) -> int:
    return (store - 1) % len(ZONES) + 1


def _store(guest: int) -> int:
    return guest % STORES + 1


def _people(conn: sqlite3.Connection, guests: int) -> None:
    dice = random.Random(guests)
    everybody = iter(range(1, guests + 1))
    while page := list(islice(everybody, _PAGE)):
        _write(
            conn, "endpoints", "id, channel, hash, address, suppressed_at, suppressed_why, country", _endpoints(page)
        )
        _write(
            conn,
            "customers",
            "id, source, external_id, name, first_name, birthday_md, language, zone_id, store_id, tier, tier_key, "
            "email_id, sms_id, attributes, attribute_keys",
            (_customer(guest, dice) for guest in page),
        )
        columns = "endpoint_id, customer_id, topic, basis, state, at, source"
        _write(conn, "consents", columns, (row for guest in page for row in _consents(guest)))
        tagged = ((guest, "staff" if guest % 2 else "vip", _NOW - 90 * _DAY) for guest in page if guest % 250 < 2)
        _write(conn, "tags", "customer_id, tag, at", tagged)
        columns = "source, external_id, customer_id, at, points, ledger"
        _write(conn, "points", columns, (_points(guest, dice) for guest in page if guest % 3 == 0))
        columns = "source, external_id, customer_id, store_id, rated_at, score"
        _write(conn, "ratings", columns, (_rating(guest, dice) for guest in page if guest % 10 < 3))


def _email(guest: int) -> int | None:
    """The endpoint: one guest of twenty has no address, one of a hundred that of the guest before."""
    if guest % 20 == 7:
        return None
    return guest * 2 - 2 if guest % 100 == 50 else guest * 2


def _sms(guest: int) -> int | None:
    return guest * 2 + 1 if guest % 5 < 2 else None


def _endpoints(page: Iterable[int]) -> Iterator[tuple[Any, ...]]:
    for guest in page:
        gone = (_NOW - 50 * _DAY, "hard_bounce") if guest % 100 == 13 else (None, None)
        if _email(guest) == guest * 2:
            number = guest * 2
            address = f"guest-{guest}@example.com"
            yield number, "email", endpoint_hash(KEY, "email", address), address, *gone, None
        if _sms(guest) is not None:
            number = guest * 2 + 1
            phone = f"+1{2_025_550_000 + guest % 7_000_000_000}"
            yield number, "sms", endpoint_hash(KEY, "sms", phone), phone, None, None, "US"


def _customer(guest: int, dice: random.Random) -> tuple[Any, ...]:
    store, gold = _store(guest), guest % 97 == 0
    birthday = dice.randint(1, 12) * 100 + dice.randint(1, 28) if guest % 10 < 7 else None
    tier = ("Gold", "gold") if gold else (None, None)
    own = (f"Guest {guest}", "Guest", birthday, "en", _zone(store), store, *tier, _email(guest), _sms(guest))
    return guest, "crowd", str(guest), *own, "{}", "{}"


def _consents(guest: int) -> Iterator[tuple[Any, ...]]:
    """Seven of ten have said yes to email, nine of ten of those with a number to SMS; a few took it back since."""
    email, sms, at = _email(guest), _sms(guest), _NOW - 900 * _DAY
    if email is not None and guest % 10 < 7:
        yield email, guest, None, "express", "yes", at, "crowd"
        if guest % 40 == 1:
            yield email, guest, "offers" if guest % 80 == 1 else None, "express", "no", at + 400 * _DAY, "crowd"
    if sms is not None and guest % 10 < 9:
        yield sms, guest, None, "express", "yes", at, "crowd"


def _points(guest: int, dice: random.Random) -> tuple[Any, ...]:
    at = _NOW - int(dice.uniform(1, 700) * _DAY)
    return "crowd", str(guest), guest, at, int(dice.expovariate(1 / 150)) + 10, "points"


def _rating(guest: int, dice: random.Random) -> tuple[Any, ...]:
    at = _NOW - int(dice.uniform(0, 700) * _DAY)
    return "crowd", str(guest), guest, _store(guest), at, dice.choice((1, 2, 3, 4, 4, 5, 5, 5))


def _orders(conn: sqlite3.Connection, guests: int) -> None:
    """Write the orders in the order of their time, then what hangs on them: one of five names an item."""
    conn.execute(
        "CREATE TABLE scratch.o (at INTEGER, guest INTEGER, store INTEGER, day INTEGER, clock INTEGER, total INTEGER)"
    )
    dice = random.Random(guests + 1)
    midnights = [_midnights(ZoneInfo(zone)) for zone in ZONES]
    rows = (row for guest in range(1, guests + 1) for row in _orders_of(guest, dice, midnights))
    conn.executemany("INSERT INTO scratch.o VALUES (?, ?, ?, ?, ?, ?)", rows)
    conn.execute(
        "INSERT INTO orders (source, external_id, customer_id, store_id, ordered_at, day, clock, total, channel) "
        "SELECT 'crowd', printf('%010d', row_number() OVER (ORDER BY at, guest)), guest, store, at, day, clock, total, "
        "CASE WHEN total % 4 = 0 THEN 'takeaway' ELSE 'dine-in' END FROM scratch.o ORDER BY at, guest"
    )
    conn.execute("DROP TABLE scratch.o")
    conn.execute(
        "INSERT INTO order_items (order_id, line, product_id, quantity, price) "
        "SELECT id, '1', CASE WHEN id % 400 = 0 THEN 4 WHEN id % 20 < 9 THEN 3 ELSE 1 + id % 2 END, 1000, total "
        "FROM orders WHERE id % 5 = 0 ORDER BY id"
    )
    conn.execute(
        "INSERT INTO refunds (source, external_id, order_id, kind, refunded_at, amount) "
        "SELECT source, external_id, id, 'refund', ordered_at + 600, total / 2 FROM orders "
        f"WHERE id % 500 = 0 AND ordered_at + 600 < {_NOW} ORDER BY id"
    )
    conn.execute("UPDATE orders SET refunded_at = ordered_at + 600 WHERE id IN (SELECT order_id FROM refunds)")


def _midnights(zone: ZoneInfo) -> array[int]:
    """The instant from which minutes of each business day are counted, by how many days ago; none is of the clocks."""
    found: array[int] = array("q")
    for ago in range(4 * _YEARS):
        noon = datetime.combine(date.fromordinal(_TODAY - ago), datetime.min.time().replace(hour=12), zone)
        found.append(int(noon.timestamp()) - _DAY // 2)
    return found


def _orders_of(guest: int, dice: random.Random, midnights: list[array[int]]) -> Iterator[tuple[int, ...]]:
    """Log-normal in number, ten on average, in two years; open from 07:00 to 21:00 on the store's clock."""
    count = max(1, min(400, round(math.exp(dice.gauss(1.6, 1.2)))))
    store, draw = _store(guest), dice.random
    starts, rhythm = midnights[_zone(store) - 1], _YEARS / count
    ago = draw() * min(_YEARS, rhythm * 4)
    for _ in range(count):
        day = min(int(ago), 4 * _YEARS - 1)
        minute = 420 + int(draw() * 840)
        at = starts[day] + minute * 60
        if at < _NOW:
            ordinal = _TODAY - day
            yield at, guest, store, ordinal, (ordinal - 1) % 7 * 1440 + minute, 300 + int(draw() * 2200)
        ago += 0.3 - math.log(1 - draw()) * rhythm
