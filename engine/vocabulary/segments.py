"""Segments that use segments: circles are found, and what would grow beyond what a database takes is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

from engine.language.phrases import listed, phrase
from engine.vocabulary.conditions import Condition, Segment
from engine.vocabulary.reading import Reader

#: A segment is written in place wherever it is used: twice two of twice two soon are a million conditions.
MOST_CONDITIONS: Final = 300
DEEPEST: Final = 20

Members = Mapping[str, Sequence[Condition]]


def wrong_ones(reader: Reader, segments: Members) -> set[str]:
    """Note segments that go round in a circle, nest too deeply or grow too large; give their names.

    ``reader`` stands at the top of the file.
    """
    wrong: set[str] = set()
    left = {name: set(used_in(members)) & segments.keys() for name, members in segments.items()}
    while circle := _circle(left):
        reader.under(circle[0]).problem(
            phrase("segments go round in a circle: {path}", path=listed(circle, " -> ")), "segment-cycle", key=True
        )
        wrong.update(circle)
        left = {name: used - wrong for name, used in left.items() if name not in wrong}
    depth: dict[str, int] = {}
    size: dict[str, int] = {}
    for name in TopologicalSorter(left).static_order():
        depth[name] = 1 + max((depth[used] for used in left[name]), default=0)
        size[name] = sum(size.get(used, 0) if used else 1 for used in _parts(segments[name]))
        if left[name] & wrong:
            continue  # told there
        if depth[name] > DEEPEST:
            said, most = phrase("is made of segments in segments, {number} deep", number=depth[name]), DEEPEST
        elif size[name] > MOST_CONDITIONS:
            said, most = phrase("comes to {number} conditions", number=size[name]), MOST_CONDITIONS
        else:
            continue
        reader.under(name).problem(
            phrase('the segment "{name}" {what}; {most} are the most', name=name, what=said, most=most),
            "segment-too-large",
            key=True,
            hint=phrase("write what it means with fewer words, or use fewer segments in it"),
        )
        wrong.add(name)
    return wrong


def _circle(used: Mapping[str, set[str]]) -> list[str]:
    """Give a path of segments that comes back to its beginning, the one that stands first in the file; or nothing."""
    try:
        TopologicalSorter(used).prepare()
    except CycleError as error:
        round_about: list[str] = error.args[1][:0:-1]  # each uses the next
        first = min(round_about, key=list(used).index)
        start = round_about.index(first)
        return [*round_about[start:], *round_about[:start], first]
    return []


def used_in(members: Sequence[Condition]) -> list[str]:
    """Give the segments that conditions use, in groups too."""
    return [name for name in _parts(members) if name]


def _parts(members: Sequence[Condition]) -> Iterator[str]:
    """Yield the segment's name for each one that is used, and "" for each other condition."""
    for member in members:
        groups = getattr(member, "members", None)
        if groups is None:
            yield member.name if isinstance(member, Segment) else ""
        for group in groups or ():
            yield from _parts(group)
