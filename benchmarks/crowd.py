"""A crowd of guests with heavy-tailed orders, written straight into a database: for speed, not for the eye."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, insert

from engine.database.facts import rebuild
from engine.database.tables import consents, customers, endpoints, orders, ratings, stores, zones
from engine.language.times import business_day
from engine.vocabulary.home import Home

AS_OF = datetime(2026, 5, 4, 15, tzinfo=UTC)
ORDERS_A_GUEST = 10
#: Goes up with every change of what is made here: what was kept of an older crowd is not used.
VERSION = 1
_PAGE = 10_000


def fill(db: Engine, home: Home, guests: int) -> int:
    """Write that many guests with ten orders each on average (log-normal) in two years; give the number of orders."""
    dice = random.Random(guests)
    zone = home.config.business.timezone
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name=str(zone)))
        conn.execute(
            insert(stores).values(
                id=1, source="crowd", external_id="1", name="One", name_key="one", zone_id=1, attributes={}
            )
        )
    written = 0
    for first in range(1, guests + 1, _PAGE):
        page = range(first, min(first + _PAGE, guests + 1))
        rows = [order for guest in page for order in _orders_of(guest, dice, zone, home)]
        with db.begin() as conn:
            conn.execute(insert(endpoints), [_endpoint(guest) for guest in page])
            conn.execute(insert(customers), [_customer(guest, dice) for guest in page])
            conn.execute(insert(consents), [_consent(guest) for guest in page if guest % 10 < 7])
            conn.execute(insert(orders), rows)
            conn.execute(insert(ratings), [_rating(guest, dice) for guest in page if guest % 3 == 0])
        written += len(rows)
    with db.begin() as conn:
        rebuild(conn, AS_OF)
    return written


def _orders_of(guest: int, dice: random.Random, zone: ZoneInfo, home: Home) -> list[dict[str, object]]:
    count = max(1, min(400, round(math.exp(dice.gauss(1.6, 1.2)))))
    rhythm = 730 / count
    at = AS_OF - timedelta(days=dice.uniform(0, min(730, rhythm * 4)))
    rows = []
    for number in range(count):
        rows.append(
            {
                "source": "crowd",
                "external_id": f"{guest}-{number}",
                "customer_id": guest,
                "store_id": 1,
                "ordered_at": at,
                "day": business_day(at, zone, home.config.day_starts).toordinal(),
                "total": dice.randint(300, 2500),
            }
        )
        at -= timedelta(days=dice.expovariate(1 / rhythm), hours=1)
    return rows


def _endpoint(guest: int) -> dict[str, object]:
    return {
        "id": guest,
        "channel": "email",
        "hash": guest.to_bytes(32, "big"),
        "address": f"guest-{guest}@example.com",
    }


def _customer(guest: int, dice: random.Random) -> dict[str, object]:
    return {
        "id": guest,
        "source": "crowd",
        "external_id": str(guest),
        "first_name": "Guest",
        "zone_id": 1,
        "store_id": 1,
        "email_id": guest,
        "birthday_md": dice.randint(1, 12) * 100 + dice.randint(1, 28),
        "attributes": {},
    }


def _consent(guest: int) -> dict[str, object]:
    return {
        "endpoint_id": guest,
        "customer_id": guest,
        "basis": "express",
        "state": "yes",
        "at": AS_OF - timedelta(days=900),
        "source": "crowd",
    }


def _rating(guest: int, dice: random.Random) -> dict[str, object]:
    return {
        "source": "crowd",
        "external_id": str(guest),
        "customer_id": guest,
        "rated_at": AS_OF - timedelta(days=dice.uniform(0, 700)),
        "score": dice.choice([1, 2, 3, 4, 4, 5, 5, 5]),
    }
