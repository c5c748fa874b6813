"""Which conditions turn true by themselves: by time passing, or by what happens to others.

One that does not can turn true only by what is written of the guest, which is noted (``engine/database/touched.py``).
A rule all of whose conditions are such need look only at the guests for whom its trigger has opened since its last
evaluation, and at those of whom something was written: nobody else can have become a candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.vocabulary.conditions import AllOf, AnyOf, NoneOf, Segment


def turn(members: Sequence[Any], segments: Mapping[str, Sequence[Any]], *, to: bool) -> bool:
    """Tell whether conditions that must all hold may turn true (``to``) or false by themselves.

    A condition that does not declare how it turns (``turns``) may turn either way.
    """
    return any(_turns(member, segments, to=to) for member in members)


def _turns(member: Any, segments: Mapping[str, Sequence[Any]], *, to: bool) -> bool:
    if isinstance(member, Segment):
        return turn(segments[member.name], segments, to=to)
    if isinstance(member, NoneOf):
        return any(turn(group, segments, to=not to) for group in member.members)
    if isinstance(member, (AnyOf, AllOf)):
        return any(turn(group, segments, to=to) for group in member.members)
    declared = getattr(member, "turns", None)
    return True if declared is None else bool(declared(to=to))
