"""Two crons in one second: `regulars run` by two processes at the same moment, with the lock file and without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from .lanes import Lane, lane
from .outcomes import decided, given
from .places import KINDS
from .scenes import keys_of
from .tally import Counts, Scale, Tally

SAMPLE, EVERYTHING = 2, 50
SCENES = ("run", "run without lock")


def both(traced: Lane, expected: object) -> Counts:
    """Let two runs go at once, and one more; give what is not as if there had been one."""
    traced.back()
    workers = [traced.fork() for _ in range(2)]
    for worker in workers:
        traced.go(worker)
    ended = [traced.wait(worker)[1] for worker in workers]
    wrong = [] if ended == [0, 0] and traced.run() == 0 else ["a run failed"]
    wrong += [] if end_of(traced) == expected else [f"it ended otherwise: {end_of(traced)} instead of {expected}"]
    traced.keys = keys_of(traced.db, traced.home)
    return traced.reconcile() + Counts(wrong=tuple(wrong))


def end_of(traced: Lane) -> object:
    return decided(traced.db), given(traced.db)


def some(traced: Lane, scene: str, tries: int) -> Tally:
    """Play two crons so often."""
    began, counts = time.monotonic(), Counts()
    traced.play(scene)
    traced.witness.seen = lambda _: None  # which messages there will be, nobody knows yet
    assert traced.run() == 0
    expected = end_of(traced)
    for _ in range(tries):
        counts += both(traced, expected)
    name = f"two crons in one second, {scene}, {traced.place.kind}"
    return Tally.of(name, tries, counts, seconds=time.monotonic() - began, allowed=0)


def _fault(scene: str, kind: str, scale: Scale) -> Tally:
    with lane(kind) as traced:
        return some(traced, scene, scale.pick(SAMPLE, EVERYTHING))


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    f"two crons in one second, {scene}, {kind}": partial(_fault, scene, kind) for scene in SCENES for kind in KINDS
}
