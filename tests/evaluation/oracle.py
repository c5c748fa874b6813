"""What the rule language means, in plain Python: slow, and written from its reference, not from the engine.

A rule is the plain data of its YAML. ``decide`` gives the matches of one run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
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
        "again_after", {"lapsed": _after(given), "at_risk": "60 days", "low_rating": "7 days"}.get(word)
    )
    found = []
    for guest in world.guests:
        seen = Seen(world, guest, now, rule.get("topic"), watermark=watermark)
        for occasion, opens, closes in occasions(seen, word, given):
            missed = watermark is not None and watermark < opens < closes <= now
            if (
                (missed or opens <= now < closes)
                and (guest.id, occasion) not in known
                and meets(seen, rule.get("conditions", {}))
            ):
                found.append((seen, occasion, closes, missed))
    found.sort(key=lambda each: (each[0].guest.id, each[2], each[1]))
    steps = [step for each in rule["actions"] for step in each.items()]
    messages = [word for word, _ in steps if word in {"email", "sms"}]
    does_more = any(word in DOES or (word == "coupon" and _is_always(asked)) for word, asked in steps)
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


def _after(given: Any) -> str:
    return (given.get("after", "90 days") if isinstance(given, dict) else given) or "90 days"


def _is_always(asked: Any) -> bool:
    return isinstance(asked, dict) and asked.get("always", False)


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
