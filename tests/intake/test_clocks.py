"""The store's clock of an order, and the keys that rules compare, as imports keep them."""

from __future__ import annotations

import os
import random
import struct
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.numbers import Numbers
from engine.database.tables import customers, events, orders, ratings, stores
from engine.intake.clocks import Clocks
from engine.intake.desk import Desk
from engine.intake.rejects import Rejects
from engine.intake.report import ImportReport
from tests.intake.conftest import KEY, NOW, csv

STORES = "store_id,name,timezone\nÄ1,Mill Lane,{zone}\n"
ORDERS = (
    "order_id,customer_id,ordered_at,store_id,total\n"
    "O1,C1,2026-05-03T06:30:00+00:00,Ä1,5\n"  # Sunday 01:30 in Chicago, 08:30 in Berlin
    "O2,,2026-05-03T06:30:00+00:00,Ä1,5\n"
    "O3,C1,2026-05-03T06:30:00+00:00,,5\n"
)
SATURDAY, SUNDAY = 5 * 1440, 6 * 1440


def test_an_order_knows_the_weekday_and_minute_of_its_store_and_follows_it(home: Any) -> None:
    home.take(STORES.format(zone="Europe/Berlin"))
    home.take(ORDERS)
    berlin = SUNDAY + 8 * 60 + 30
    assert home.rows(orders, "clock") == [berlin, berlin, SATURDAY + 90]  # without a store by the home's
    report = home.take(ORDERS)
    assert (report.new, report.changed) == (0, 0)
    home.take(STORES.format(zone="America/Chicago"))
    assert home.rows(orders, "clock") == [SATURDAY + 90] * 3


def test_what_rules_compare_is_folded_beyond_ascii_and_follows_the_file(home: Any) -> None:
    home.take(STORES.format(zone="America/Chicago"))
    home.take("customer_id,gender,Stufe,seats,vegan\nC1,Écrivaine,GRÖSSE,4,yes\n")
    home.take("rating_id,customer_id,rated_at,score,source\nR1,C1,2026-05-01 10:00,5,ÜBER  all\n")
    home.take("event_id,customer_id,name,at,Kind\nE1,C1,Café Tasting,2026-05-01 10:00,WEISS\n")
    assert home.rows(stores, "external_key") == ["ä1"]
    assert home.rows(ratings, "platform_key") == ["über all"]
    assert home.rows(events, "name_key", "data_keys") == [("café tasting", {"kind": "weiss"})]
    assert home.rows(customers, "gender_key", "attribute_keys") == [
        ("écrivaine", {"stufe": "grösse", "seats": "4", "vegan": "yes"})
    ]
    home.take("customer_id,gender,Stufe\nC1,,Klein\n")
    assert home.rows(customers, "gender_key", "attribute_keys") == [
        (None, {"stufe": "klein", "seats": "4", "vegan": "yes"})
    ]


def test_a_guest_of_two_clocks_by_each_of_which_the_other_store_is_theirs_stays_by_one(home: Any) -> None:
    home.take(csv("store_id,name,timezone", "NY,Harbour,America/New_York", "TK,Ginza,Asia/Tokyo"))
    clocks = []
    visits = {"07:00": "TK", "09:00": "TK", "18:00": "NY", "20:00": "NY"}  # one day in Tokyo, and one in New York
    rows = (f"{at},A,2026-04-20T{at}:00+00:00,{store},5" for at, store in visits.items())
    home.take(csv("order_id,customer_id,ordered_at,store_id,total", *rows))
    for number in range(3):
        home.take(csv("order_id,ordered_at,total", f"walk-in {number},2026-04-21 10:00,5"))
        home.facts("A")
        clocks.append(home.zone_names()["A"])
    assert clocks == ["America/New_York"] * 3


def test_no_clock_is_changed_twice_within_six_days_so_that_its_ends_tell_whether_a_span_is_steady() -> None:
    data = {_tzif(name): name for name in sorted(zoneinfo.available_timezones())}
    spans = ((after - before, name) for raw, name in data.items() for before, after in pairwise(_changes(raw, name)))
    shortest, name = min(spans)
    assert timedelta(days=6) < shortest < timedelta(days=7), name  # some of Brazil had a summer time of a week in 2000


WRITTEN: list[Callable[[datetime], str]] = [
    lambda at: f"{at:%Y-%m-%d %H:%M}",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z",
    lambda at: f"{at:%Y-%m-%d %H:%M}+02:00",
    lambda at: f"{at:%Y-%m-%d %H:%M:%S} -0430",
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}+00:00",
    lambda at: f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}",
    lambda at: f"{at:%d/%m/%Y, %H:%M}",
    lambda at: (
        f"{at.day}-{at.month}-{at.year} {at.hour % 12 or 12}:{at:%M %p}"
        if at.hour
        else f"{at.day}-{at.month}-{at.year}"
    ),
]


@pytest.mark.parametrize("spoilt", [0.0, 0.3])
def test_moments_of_a_column_are_what_each_is_by_itself(home: Any, spoilt: float) -> None:
    """However they are written; where nothing is odd and no clock is changed, none has to be looked at alone."""
    dice = random.Random(0 if os.environ.get("CI") else None)
    days = [59, 65, 66, 67, 68, 120] if spoilt else range(120, 210)
    with home.db.begin() as conn:
        report = ImportReport(home.root / "some.csv")
        numbers, rejects = Numbers(list, None, ""), Rejects(report.file, [], ",")
        desk = Desk(conn, home.config, KEY, "csv", report, rejects, NOW, numbers, lambda: "day-first")
        for write in WRITTEN * 10:
            moments = [
                NOW.replace(month=1, day=1) + timedelta(dice.choice(days), dice.random() * 86_400) for _ in range(30)
            ]
            texts = [_spoilt(write(at), dice) if dice.random() < spoilt else write(at) for at in moments]
            odd: set[int] = set()
            found = Clocks(desk).instants(texts, [desk.home_zone], odd)
            assert spoilt or not odd, texts
            for place in set(range(len(texts))) - odd:
                assert found[place] == desk.instant(texts[place], "at", home.config.business.timezone), texts


def _spoilt(text: str, dice: random.Random) -> str:
    """With a sign more, less or another, or as another file would write it."""
    at, sign = dice.randrange(len(text)), dice.choice([*" ,.:+-TZ0259W", " +0200", "+02", "+05:30", ".5", " PM", ""])
    other = dice.choice(WRITTEN)(NOW.replace(day=dice.randrange(1, 28), hour=dice.randrange(24)))
    return dice.choice(
        [
            text[:at] + sign + text[at:],
            text[:at] + sign + text[at + 1 :],
            text + sign,
            text[:at],
            text.replace("-", ""),
            other,
        ]
    )


def _tzif(name: str) -> bytes:
    """A zone's data, from where zoneinfo takes them."""
    for root in zoneinfo.TZPATH:
        if (file := Path(root, name)).is_file():
            return file.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()


def _changes(raw: bytes, name: str) -> list[datetime]:
    """When a clock is changed since 1989; of the yearly rule behind the last known change, to the day."""
    head = raw.rindex(b"TZif")  # of the block of 64 bits
    (count,) = struct.unpack_from(">I", raw, head + 32)
    known = [datetime(1989, 1, 1, tzinfo=UTC).timestamp(), *struct.unpack_from(f">{count}q", raw, head + 44)]
    since = [at for at in known if at >= known[0]]
    looked = [datetime.fromtimestamp(at, UTC) for at in (*since, *(since[-1] + day * 86_400 for day in range(1, 550)))]
    offsets = [at.astimezone(zoneinfo.ZoneInfo(name)).utcoffset() for at in looked]
    return [at for at, (before, after) in zip(looked[1:], pairwise(offsets), strict=True) if before != after]
