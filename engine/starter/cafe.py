"""A café made up from nothing: 5,000 guests and two years of orders, as the CSV files that a till would give.

The same bytes on every machine and Python. Names are invented, addresses are under example.com, numbers are of the
ranges reserved for fiction, so that nothing of it can reach a person.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from engine.starter import cafe_words as words
from engine.starter.dice import Dice, Wheel
from engine.starter.people import DAYS, FIRST_DAY, STORE_NUMBERS, Crowd, Guest
from engine.starter.visits import MINUTES, Order, Till

SEED: Final = "Corner Café"
#: The morning after the last order, on the home's clock: the day for which the demo is run.
AS_OF: Final = "2026-05-04T10:00"

STORE_IDS: Final = ("mill-lane", "lakeside", "harbour-street")
CITIES: Final = ("Springfield", "Chicago", "Cleveland")
STORES: Final = (
    ("Mill Lane", "IL", "America/Chicago", "12 Mill Lane, Springfield, IL 62701", "Dana Whitlock"),
    ("Lakeside", "IL", "America/Chicago", "480 Lakeside Walk, Chicago, IL 60601", "Ravi Menon"),
    ("Harbour Street", "OH", "America/New_York", "7 Harbour Street, Cleveland, OH 44113", "Ines Calder"),
)
SCORES: Final = Wheel([(5, 55), (4, 25), (3, 10), (2, 6), (1, 4)])
REWARD: Final = 200  #: points for a free lunch; one point for each whole dollar, good for a year
#: Saturday, 2 May 2026, from noon at Lakeside: the machine broke down.
BROKEN_DAY, BROKEN_STORE, BROKEN_FROM = DAYS - 2, 1, 12 * 60


@dataclass(frozen=True, slots=True)
class Cafe:
    """How much was written."""

    guests: int
    orders: int
    walk_ins: int
    items: int
    ratings: int
    points: int
    files: tuple[Path, ...]  #: in the order in which they are imported


@cache
def _day(number: int) -> str:
    return (FIRST_DAY + timedelta(number)).isoformat()


def _at(minute: int) -> str:
    """A moment on the store's clock, as a till writes it."""
    day, rest = divmod(minute, MINUTES)
    return f"{_day(day)} {rest // 60:02d}:{rest % 60:02d}"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def write_cafe(folder: Path) -> Cafe:
    """Write the seven files of the café into ``folder`` (made where missing) and tell how much there is."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = Dice(SEED)
    guests = Crowd(dice).guests()
    orders = Till(dice).orders(guests)
    files = (
        _write(folder / "stores.csv", STORE_HEADER, _stores()),
        _write(folder / "customers.csv", CUSTOMER_HEADER, _customers(guests, orders)),
        _write(folder / "orders.csv", ORDER_HEADER, _orders(orders, dice)),
        _write(folder / "order_items.csv", ITEM_HEADER, items := _items(orders)),
        _write(folder / "ratings.csv", RATING_HEADER, ratings := _ratings(orders, dice)),
        _write(folder / "points.csv", POINTS_HEADER, points := _points(orders, dice)),
        _write(folder / "events.csv", EVENT_HEADER, _events(guests, dice)),
    )
    walk_ins = sum(order.guest is None for order in orders)
    return Cafe(len(guests), len(orders), walk_ins, len(items), len(ratings), len(points), files)


def _write(file: Path, header: str, rows: Iterable[Sequence[object]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return file


STORE_HEADER = (
    "store_id,name,country,city,region,timezone,language,"
    "address,phone,manager_name,manager_email,manager_phone,opens,closes,closed_on"
)
CUSTOMER_HEADER = (
    "customer_id,name,first_name,email,phone,birthday,birthday_calendar,joined_at,language,timezone,store_id,gender,city,"
    "company,tier,tags,referred_by,email_consent,sms_consent,consent_at,consent_source"
)
ORDER_HEADER = "order_id,customer_id,ordered_at,store_id,total,currency,channel,kind,coupon,server"
ITEM_HEADER = "order_id,line,product,category,quantity,price"
RATING_HEADER = "rating_id,customer_id,order_id,rated_at,score,comment,source"
POINTS_HEADER = "entry_id,customer_id,at,points,expires_at,reason,ledger"
EVENT_HEADER = "event_id,customer_id,store_id,name,at,people"

Row = tuple[object, ...]


def _stores() -> list[Row]:
    rows: list[Row] = []
    for number, (name, region, zone, address, manager) in enumerate(STORES):
        mail = f"{manager.split()[0].lower()}@corner.example"
        place = (STORE_IDS[number], name, "US", CITIES[number], region, zone, "en", address)
        rows.append((*place, STORE_NUMBERS[number], manager, mail, STORE_NUMBERS[number + 3], "07:00", "19:00", ""))
    return rows


def _customers(guests: list[Guest], orders: list[Order]) -> list[Row]:
    """The customers' file; tiers are by what a guest spent in the last year."""
    spent: dict[int, int] = {}
    for order in orders:
        if order.guest and order.minute >= (DAYS - 365) * MINUTES:
            spent[order.guest.number] = spent.get(order.guest.number, 0) + order.total
    rows: list[Row] = []
    for guest in guests:
        cents = spent.get(guest.number, 0)
        tier = ("gold" if cents >= 50_000 else "silver" if cents >= 25_000 else "bronze") if guest.collects else ""  # noqa: PLR2004 (dollars)
        person = (guest.id, guest.name, guest.first_name, guest.email, guest.phone, guest.birthday, guest.calendar)
        place = (guest.joined_at, guest.language, guest.zone, STORE_IDS[guest.store], guest.gender, CITIES[guest.store])
        ties = (guest.company, tier, ";".join(guest.tags), guest.referred_by)
        consent = (guest.email_consent, guest.sms_consent, guest.consent_at, guest.consent_source)
        rows.append((*person, *place, *ties, *consent))
    return rows


def _orders(orders: list[Order], dice: Dice) -> list[Row]:
    """The orders' file; one in 250 is given back, in whole or in part, and one in 1,000 was keyed in wrongly."""
    rows: list[Row] = []
    for order in orders:
        who = order.guest.id if order.guest else ""
        store = STORE_IDS[order.store]
        server = dice.pick(words.SERVERS)
        row = (order.number, who, _at(order.minute), store, _money(order.total), "USD", order.channel)
        rows.append((*row, "sale", "", server))
        draw = dice.random()
        if draw < 0.005 and order.minute % MINUTES < 18 * 60:  # noqa: PLR2004 (a share)
            kind = "void" if draw < 0.001 else "refund"  # noqa: PLR2004 (a share)
            amount = order.total if draw < 0.003 else order.total // 2  # noqa: PLR2004 (a share)
            back = (
                order.number,
                who,
                _at(order.minute + dice.between(3, 40)),
                store,
                _money(amount),
                "USD",
                order.channel,
            )
            rows.append((*back, kind, "", server))
    return rows


def _items(orders: list[Order]) -> list[Row]:
    menu = words.MENU
    return [
        (order.number, line, menu[index][0], menu[index][1], quantity, _money(menu[index][2] * quantity))
        for order in orders
        for line, (index, quantity) in enumerate(order.items, start=1)
    ]


def _ratings(orders: list[Order], dice: Dice) -> list[Row]:
    """One guest in eight rates an order; of those at the broken machine nearly all."""
    drawn: list[tuple[int, Order, int, str]] = []
    for order in orders:
        if order.guest is None:
            continue
        day, minute = divmod(order.minute, MINUTES)
        broken = day == BROKEN_DAY and order.store == BROKEN_STORE and minute >= BROKEN_FROM
        if not dice.chance(0.8 if broken else 0.125):
            continue
        score = dice.between(1, 2) if broken else SCORES.spin(dice)
        comment = dice.pick(words.BROKEN_MACHINE) if broken else _comment(score, order.guest.language, dice)
        drawn.append((order.minute + dice.between(20, 280), order, score, comment))
    drawn.sort(key=lambda rating: (rating[0], rating[1].number))
    rows: list[Row] = []
    for number, (minute, order, score, comment) in enumerate(drawn, start=1):
        if order.guest and minute < DAYS * MINUTES:
            source = dice.pick(("receipt", "receipt", "google"))
            rows.append((f"R{number:05d}", order.guest.id, order.number, _at(minute), score, comment, source))
    return rows


def _comment(score: int, language: str, dice: Dice) -> str:
    if score == 3:  # noqa: PLR2004 (neither good nor bad)
        return dice.pick(words.MIDDLING)
    good = score > 3  # noqa: PLR2004 (of five)
    if language == "zh":
        return dice.pick(words.PRAISE_ZH if good else words.COMPLAINTS_ZH)
    return dice.pick(words.PRAISE if good else words.COMPLAINTS)


def _points(orders: list[Order], dice: Dice) -> list[Row]:
    """The points' ledger: a lot for each order, and a use when a guest takes a reward from what has not run out."""
    lots: dict[int, deque[list[int]]] = {}
    rows: list[Row] = []
    for order in orders:
        guest, earned = order.guest, order.total // 100
        if guest is None or not guest.collects:
            continue
        day = order.minute // MINUTES
        mine = lots.setdefault(guest.number, deque())
        while mine and mine[0][0] <= day:
            mine.popleft()
        if sum(lot[1] for lot in mine) >= REWARD and dice.chance(0.05):
            rows.append((f"P{len(rows) + 1:06d}", guest.id, _at(order.minute), -REWARD, "", "reward", "points"))
            _take(mine, REWARD)
        mine.append([day + 365, earned])
        expires = _day(day + 365)
        rows.append((f"P{len(rows) + 1:06d}", guest.id, _at(order.minute), earned, expires, "order", "points"))
    return rows


def _take(lots: deque[list[int]], points: int) -> None:
    """Use the lots that run out first."""
    while points:
        used = min(points, lots[0][1])
        lots[0][1] -= used
        points -= used
        if not lots[0][1]:
            lots.popleft()


def _events(guests: list[Guest], dice: Dice) -> list[Row]:
    """Tables booked for the evening tastings, a few a month."""
    rows: list[Row] = []
    for month in range(23):
        for _ in range(dice.between(6, 12)):
            guest = dice.pick(guests)
            at = _at((month * 30 + dice.between(0, 29)) * MINUTES + 17 * 60)
            rows.append(
                (f"E{len(rows) + 1:04d}", guest.id, STORE_IDS[guest.store], "tasting booked", at, dice.between(1, 4))
            )
    return rows
