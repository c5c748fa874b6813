"""Chance that falls the same on every Python: built on ``random()`` alone, the one method whose values never change."""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of chance of its own; nothing else in the program moves it."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random  # noqa: S311 (a generated café, not a secret)

    def chance(self, probability: float) -> bool:
        """Tell whether something happens that happens this often (0 to 1)."""
        return self.random() < probability

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from ``low`` to ``high``, both included."""
        return low + int(self.random() * (high - low + 1))

    def pick(self, things: Sequence[T]) -> T:
        """Draw one of ``things``, each equally likely."""
        return things[int(self.random() * len(things))]

    def wait(self, mean: float) -> float:
        """Draw a waiting time with this mean: short ones often, long ones seldom."""
        return -math.log(1.0 - self.random()) * mean

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """Give ``things`` in a random order."""
        return [thing for _, thing in sorted(((self.random(), thing) for thing in things), key=lambda pair: pair[0])]


class Wheel:
    """A choice between things of different weight."""

    def __init__(self, weights: Sequence[tuple[int, float]]) -> None:
        self.values = [value for value, _ in weights]
        self.marks = list(accumulate(weight for _, weight in weights))

    def spin(self, dice: Dice) -> int:
        """Draw one of the values."""
        return self.values[bisect(self.marks, dice.random() * self.marks[-1])]
