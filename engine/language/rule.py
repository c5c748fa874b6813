"""A rule as the engine sees it: frozen, checked, and without a trace of YAML.

The words themselves (trigger, conditions, actions) are objects of ``engine/vocabulary``, of which this room knows
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from engine.language.budgets import Budget, Kind
from engine.language.times import ClockRange, Duration, Schedule

Purpose = Literal["marketing", "service"]


@dataclass(frozen=True)
class Branch:
    """One branch of a split: the guests whose bucket of ``salt`` (0 to 9,999) is in ``[low, high)``."""

    salt: str
    low: int
    high: int


@dataclass(frozen=True)
class Step:
    """One entry of ``actions``, for the guests of its branches; waits and splits are not steps of their own.

    After a split whose branches wait differently, one entry is several steps of one number: one for each way that leads
    there, with that way's waits. A guest goes one way, and so has one of them.
    """

    number: int  #: 1-based place in the file, waits, splits and steps in branches counted: stable in the log
    word: str  #: email, sms, coupon, alert
    settings: Any  #: the action's own frozen dataclass
    waits: tuple[Duration, ...] = ()  #: all waits before it on its way, in order
    label: str = ""  #: how people name it: ``4``, or ``2.morning.1`` in a branch; empty: as its number
    branches: tuple[Branch, ...] = ()  #: whose it is, outer splits first; none: everybody's
    only_if: tuple[Any, ...] = ()  #: conditions that must hold at the step's own time
    at: tuple[str | int, ...] = ()  #: where it stands in the rule's data

    @property
    def name(self) -> str:
        """Give the name for people."""
        return self.label or str(self.number)


@dataclass(frozen=True)
class Send:
    """When messages of the rule may go out, besides the home's hours."""

    between: ClockRange | None = None
    on: frozenset[int] | None = None  #: weekdays, Monday is 0
    within: Duration | None = None  #: not out this long after the match: expired
    spread: Duration | None = None  #: due times are spread over this long


@dataclass(frozen=True)
class Active:
    """Whether the rule runs on a day: a switch, or a span with both ends included."""

    switch: bool = True
    since: date | None = None
    until: date | None = None

    def on(self, day: date) -> bool:
        """Tell whether the rule is active on ``day``."""
        return self.switch and (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True)
class Limits:
    """Brakes: how soon again, how many before a person must approve, and how much a day or a month."""

    again_after: Duration | None = None
    max_matches: int | None = None
    budget: Mapping[Kind, Budget] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """One rule file, checked. ``body`` is the plain data it was made from; a journey under way keeps it."""

    id: str
    path: str
    about: str
    trigger: Any
    conditions: tuple[Any, ...]
    steps: tuple[Step, ...]
    stop_if: tuple[Any, ...]
    schedule: Schedule
    purpose: Purpose
    topic: str | None
    priority: int
    send: Send
    active: Active
    limits: Limits
    holdout: int  #: basis points, 0 to 10,000
    body: Mapping[str, Any] = field(repr=False)
    #: Of a version that is kept: the conditions of segments that have left the home since.
    segments: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)

    @property
    def content_hash(self) -> bytes:
        """Hash of what an approval covers: all but the words that only describe or time the rule."""
        covered = {
            key: value
            for key, value in self.body.items()
            if key in {"trigger", "conditions", "actions", "limits", "stop_if", "purpose", "topic"}
        }
        return hashlib.sha256(json.dumps(covered, sort_keys=True, ensure_ascii=False).encode()).digest()

    @property
    def version_hash(self) -> bytes:
        """Hash of the whole rule: two versions differ in it, a reformatted file does not."""
        return hashlib.sha256(json.dumps(dict(self.body), sort_keys=True, ensure_ascii=False).encode()).digest()

    def step(self, number: int) -> Step:
        """Give the step of that number (``KeyError`` where the rule has none).

        Where one entry is several steps, they differ in waits and branches only, which matter to the outbox alone.
        """
        for step in self.steps:
            if step.number == number:
                return step
        raise KeyError(number)
