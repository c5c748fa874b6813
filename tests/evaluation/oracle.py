"""What the rule language means, in plain Python: slow, and written from its reference, not from the engine.

A rule is the plain data of its YAML. ``decide`` gives the matches of one run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from fractions import Fraction
from itertools import count
from typing import Any

from oracle_conditions import know, meets
from oracle_seen import Seen
from oracle_triggers import TRIGGERS, occasions
from oracle_world import Guest, Match, World, day_of, exact, shift

#: Steps that do something whether or not a message can reach the guest.
DOES = frozenset({"alert", "webhook", "tag", "points"})


def decide(  # noqa: PLR0912 (the order of the verdicts is told in one place)
    world: World, rule: dict[str, Any], now: datetime, past: Iterable[Match], watermark: datetime | None
) -> list[Match]:
    """The matches of a rule at a moment: who, on which occasion, with which verdict and reason."""
    ((word, given),) = rule["trigger"].items()
    earlier = [match for match in past if match.rule == rule["id"]]
    known = {(match.guest, match.occasion) for match in earlier}
    marketing = rule.get("purpose") != "service"
    again = rule.get("limits", {}).get(
        "again_after",
        {
            "lapsed": _setting(given, "after", "90 days"),
            "at_risk": "60 days",
            "low_rating": "7 days",
            "expiring": _setting(given, "within", "7 days"),
        }.get(word),
    )
    found = []
    for guest in world.guests:
        seen = Seen(world, guest, now, rule.get("topic"), watermark=watermark)
        if guest.joined is not None and guest.joined > now and not seen.orders():
            continue
        for occasion, opens, closes in occasions(seen, word, given):
            missed = watermark is not None and watermark < opens < closes <= now
            if (
                (missed or opens <= now < closes)
                and (guest.id, occasion) not in known
                and meets(seen, rule.get("conditions", {}))
            ):
                found.append((seen, occasion, closes, missed))
    found.sort(key=lambda each: (each[0].guest.id, each[2], each[1]))
    used: dict[int, int] = {}
    acted: set[int] = set()
    matches = []
    for seen, occasion, closes, missed in found:
        guest, reason = seen.guest, None
        if missed:
            reason = "expired"
        elif again and any(_too_soon(seen, match, again) for match in earlier):
            reason = "again_too_soon"
        elif marketing and world.exclude and meets(seen, world.exclude):
            reason = "excluded"
        else:
            blocks = {}
            for channel in ("email", "sms"):
                endpoint = getattr(guest, channel)
                blocks[channel] = seen.block(endpoint, marketing=marketing)
                if blocks[channel] is None and used.setdefault(endpoint, guest.id) != guest.id:
                    blocks[channel] = "duplicate_endpoint"
            steps = steps_of(rule["actions"], guest.id, rule["id"])
            messages = [word for word, asked in steps if word in {"email", "sms"} and not _to_others(asked)]
            does_more = any(_does_something(word, asked) for word, asked in steps)
            if messages and not does_more and all(blocks[channel] for channel in messages):
                reason = blocks[messages[0]]
            elif again and guest.id in acted:
                reason = "again_too_soon"
            else:
                acted.add(guest.id)
        verdict = "refused" if reason else "control" if bucket(guest.id, rule["id"]) < _share(rule) else "act"
        matches.append(Match(rule["id"], guest.id, occasion, verdict, reason, closes, now, guest.email, guest.sms))
    return matches


def knows(rule: dict[str, Any]) -> bool:
    """Whether the oracle knows all words of a rule."""
    return set(rule["trigger"]) <= set(TRIGGERS) and know(rule.get("conditions", {}))


def steps_of(actions: list[dict[str, Any]], guest: int, rule: str) -> list[tuple[str, Any]]:
    """The steps of a guest: of a split only those of the guest's own branch."""
    numbers = count(1)

    def walk(some: list[dict[str, Any]], *, mine: bool) -> Iterator[tuple[str, Any]]:
        for step in some:
            for word, asked in step.items():
                if word != "split":
                    yield from [(word, asked)] if mine and word != "only_if" else []
                    continue
                drawn, low = bucket(guest, f"split {rule} {next(numbers)}"), Fraction(0)
                for branch in asked.values():
                    high = low + Fraction(branch["share"].rstrip("%")) * 100
                    yield from walk(branch["actions"], mine=mine and low <= drawn < high)
                    low = high

    return list(walk(actions, mine=True))


def _setting(given: Any, word: str, otherwise: str) -> str:
    """A setting of the trigger; the plain value of ``lapsed`` is its ``after``."""
    if isinstance(given, dict):
        return str(given.get(word, otherwise))
    return given if given and word == "after" else otherwise


def _to_others(asked: Any) -> bool:
    return isinstance(asked, dict) and "to" in asked


def _does_something(word: str, asked: Any) -> bool:
    """Whether a step does something that needs no message to the guest."""
    always = isinstance(asked, dict) and asked.get("always", False)
    return word in DOES or always or (word == "email" and _to_others(asked))


def _share(rule: dict[str, Any]) -> Fraction:
    return Fraction(rule.get("holdout", "0%").rstrip("%")) * 100


def is_active(rule: dict[str, Any], now: datetime, home: Guest) -> bool:
    """Whether the rule is looked at: a switch, or days of the home, both included."""
    active = rule.get("active", True)
    if isinstance(active, bool):
        return active
    today = day_of(now, home).isoformat()
    return active.get("from", today) <= today <= active.get("until", today)


def _too_soon(seen: Seen, match: Match, again: str) -> bool:
    guest = seen.guest
    same = (
        match.guest == guest.id
        or (guest.email and match.email == guest.email)
        or (guest.sms and match.sms == guest.sms)
    )
    if not same or match.verdict == "refused":
        return False
    span = exact(again)
    return seen.now < match.at + span if span else seen.today < shift(day_of(match.at, guest), again)


def bucket(guest: int, rule: str) -> int:
    prime, digest = 2**31 - 1, hashlib.sha256(rule.encode()).digest()
    factor, shifted = int.from_bytes(digest[:8]) % (prime - 1) + 1, int.from_bytes(digest[8:16]) % prime
    x = (guest % prime * factor + shifted) % prime
    return (x * x % prime + shifted) % prime * 16807 % prime % 10_000
