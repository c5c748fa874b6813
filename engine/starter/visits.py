"""What the guests of the generated café, and its walk-ins, ordered: two years of it, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from engine.starter import cafe_words as words
from engine.starter.dice import Dice, Wheel
from engine.starter.people import DAYS, FIRST_DAY, HABITS, LUNCH_CROWD, OFFICE, ONCE, Guest

MINUTES: Final = 24 * 60
#: Opening hours are 07:00 to 19:00 on each store's clock.
MORNING, NOON, AFTERNOON = range(3)
SPANS: Final = ((7 * 60, 11 * 60 + 20), (11 * 60 + 30, 14 * 60 + 10), (14 * 60 + 15, 18 * 60 + 50))
PART_OF_DAY: Final = Wheel([(MORNING, 55), (NOON, 21), (AFTERNOON, 24)])
WEEKDAY: Final = (0.95, 0.9, 0.95, 1.0, 1.15, 1.45, 1.1)
MONTH: Final = (0.85, 0.88, 0.95, 1.0, 1.05, 1.0, 0.9, 0.88, 1.02, 1.08, 1.05, 1.15)
WALK_IN_STORE: Final = Wheel([(0, 40), (1, 36), (2, 24)])
#: On the last weekend every store let its guests taste the new lunch menu: some had lunch for the first time.
TASTING: Final = DAYS - 2
CHANNELS: Final = ("dine-in", "dine-in", "dine-in", "takeaway", "takeaway", "delivery")


@dataclass(slots=True)
class Order:
    """One order: when (minutes since the first day's midnight on the store's clock), where, what, whose."""

    minute: int
    store: int
    guest: Guest | None
    items: list[tuple[int, int]]  #: (index in the menu, quantity)
    channel: str
    total: int  #: cents
    number: int = 0


def _shelves() -> dict[str, Wheel]:
    """The menu by category, each product as often as it is ordered."""
    shelves: dict[str, list[tuple[int, float]]] = {}
    for index, (_, category, _, weight) in enumerate(words.MENU):
        shelves.setdefault(category, []).append((index, weight))
    return {category: Wheel(products) for category, products in shelves.items()}


class Till:
    """Draws orders."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.shelves = _shelves()
        self.catered = frozenset(self.shelves["Catering"].values)
        busy = []
        for number in range(DAYS):
            day = FIRST_DAY + timedelta(number)
            growth = 0.8 + 0.4 * number / DAYS
            busy.append((number, WEEKDAY[day.weekday()] * MONTH[day.month - 1] * growth))
        self.days = Wheel(busy)

    def orders(self, guests: list[Guest]) -> list[Order]:
        """Draw every order: 40 % by the guests, 60 % by walk-ins, numbered in the order of time."""
        orders = [order for guest in guests for order in self.orders_of(guest)]
        orders += [self.walk_in() for _ in range(len(orders) * 3 // 2)]
        orders.sort(key=lambda order: (order.minute, order.store))
        for number, order in enumerate(orders, start=100_001):
            order.number = number
        return orders

    def orders_of(self, guest: Guest) -> Iterator[Order]:
        """Draw the orders of one guest, from the first visit to the last."""
        dice, habit = self.dice, HABITS[guest.kind]
        if guest.kind == ONCE and dice.chance(0.15):
            return  # signed up and never came
        day = guest.first_day
        weekdays_only = guest.kind == OFFICE
        while True:
            while weekdays_only and (FIRST_DAY + timedelta(day)).weekday() >= 5:  # noqa: PLR2004 (Saturday)
                day += 1
            if day >= DAYS:
                return
            yield self._order(guest, day)
            if dice.chance(0.04):
                yield self._order(guest, day)
            if not dice.chance(habit.stays):
                return
            day += max(1, round(habit.gap * 0.3 + dice.wait(habit.gap * 0.7)))

    def walk_in(self) -> Order:
        """Draw an order of somebody whom nobody knows."""
        dice = self.dice
        part = PART_OF_DAY.spin(dice)
        items = self._items(part, 0.5)
        return self._finish(None, self.days.spin(dice), part, WALK_IN_STORE.spin(dice), items)

    def _order(self, guest: Guest, day: int) -> Order:
        dice = self.dice
        if guest.kind == OFFICE and dice.chance(0.35):
            items = [(self.shelves["Catering"].spin(dice), 1) for _ in range(dice.between(1, 3))]
            return self._finish(guest, day, MORNING, guest.store, items)
        tasting = day >= TASTING
        part = NOON if dice.chance(0.4 if tasting else guest.lunch) else PART_OF_DAY.spin(dice)
        wants_lunch = 0.9 if tasting or guest.lunch >= LUNCH_CROWD else 0.12
        store = guest.store if dice.chance(0.9) else dice.between(0, 2)
        return self._finish(guest, day, part, store, self._items(part, wants_lunch))

    def _items(self, part: int, wants_lunch: float) -> list[tuple[int, int]]:
        dice, draw = self.dice, self._draw
        if part == NOON and dice.chance(wants_lunch):
            items = [draw("Lunch")]
            if dice.chance(0.45):
                items.append(draw("Cold drinks" if dice.chance(0.5) else "Coffee"))
            return items
        items = [draw("Coffee" if dice.chance(0.82) else "Tea")]
        if part == MORNING and dice.chance(0.36):
            items.append(draw("Pastry" if dice.chance(0.75) else "Breakfast"))
        elif part == AFTERNOON and dice.chance(0.32):
            items.append(draw("Cakes"))
        if dice.chance(0.02):
            items.append(draw("Beans"))
        return items

    def _draw(self, category: str) -> tuple[int, int]:
        return self.shelves[category].spin(self.dice), 2 if self.dice.chance(0.08) else 1

    def _finish(self, guest: Guest | None, day: int, part: int, store: int, items: list[tuple[int, int]]) -> Order:
        minute = day * MINUTES + self.dice.between(*SPANS[part])
        total = sum(words.MENU[index][2] * quantity for index, quantity in items)
        channel = "delivery" if items[0][0] in self.catered else self.dice.pick(CHANNELS)
        return Order(minute, store, guest, items, channel, total)
