"""kill -9 before every system call of evaluate, email, groups of emails, SMS, coupon and erase, injected by strace.

Each try: the home as it was, a worker that is killed, what the rows say at that moment, a second worker that nobody
kills, and the witness. Not one line of the engine is changed for it.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from .lanes import Lane, lane
from .outcomes import decided, given, traces_left
from .places import KINDS
from .scenes import send
from .tally import KNOWN_AS_GONE, Counts, ForbiddenError, MissingError, Scale, Tally, states_of

_KILLED = -9
#: How strace shows the end of a message.
DOT = '"\\r\\n.\\r\\n"'
#: What a raw row may be whose message was accepted: the fence was passed.
_PASSED = KNOWN_AS_GONE | {"handoff"}
#: Lanes at once in `make faults`.
LANES = 2
SAMPLE = 8
#: The scenes in which every call is a moment to be killed at.
STRUCK = ("evaluate", "email", "group", "sms", "coupon", "erase")


class Call(NamedTuple):
    """One system call of a worker: the ``time``-th of its name. strace counts each name by itself."""

    name: str
    time: int
    line: str

    def __str__(self) -> str:
        return f"before {self.name} no. {self.time}"


class Strace:
    """Attached to a worker that still waits at its gate. ``before``: the call before which it is killed."""

    def __init__(self, worker: int, *, before: Call | None = None, log: Path | None = None) -> None:
        program = shutil.which("strace")
        if program is None:
            raise MissingError("strace is not installed")
        command = [program, "-f", "-p", str(worker), "-s", "64", "-o", str(log or "/dev/null"), "-e", "trace=all"]
        if before is not None:
            command += ["-e", f"inject={before.name}:signal=SIGKILL:when={before.time}"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        if "attached" not in said:
            self.end()
            raise ForbiddenError(f"strace may not trace here: {said.strip()}")

    def end(self) -> None:
        assert self._process.stderr is not None
        self._process.stderr.read()
        self._process.stderr.close()
        self._process.wait()


def calls(traced: Lane) -> list[Call]:
    """Let a worker do the scene's task to its end; give its system calls. The first is the one at the gate."""
    log = traced.place.root / "calls"
    worker = traced.fork()
    strace = Strace(worker, log=log)
    traced.go(worker)
    assert traced.wait(worker)[1] == 0, "the scene fails without any kill"
    strace.end()
    found, times = [], Counter[str]()
    for line in log.read_text(errors="replace").splitlines():
        said = re.match(r"\d+ +(\w+)\(", line)
        if said:
            times[said[1]] += 1
            found.append(Call(said[1], times[said[1]], line))
    return found


def moments(made: Sequence[Call]) -> list[int]:
    """Give the places of the calls around the fence's commit, the journal, the dot or first byte, and the record."""
    leaves = [n for n, call in enumerate(made) if DOT in call.line or '"POST ' in call.line]
    synced = [n for n, call in enumerate(made) if call.name in ("fdatasync", "fsync") or "COMMIT" in call.line]
    if not leaves:
        return [each for n in synced for each in (n, n + 1)]
    dot = leaves[-1]
    near = [n for n in synced if n < dot][-2:] + [n for n in synced if n > dot][:1]
    return [dot - 1, dot, dot + 1, dot + 2, dot + 3, *(each for n in near for each in (n, n + 1))]


@dataclass
class Tried:
    """What a series of kills came to. ``passed``: how many rows were in handoff at the moment of the kill."""

    kills: int = 0
    passed: int = 0
    claimed: int = 0
    claimed_accepted: int = 0
    counts: Counts = field(default_factory=Counts)

    def __add__(self, other: Tried) -> Tried:
        return Tried(
            self.kills + other.kills,
            self.passed + other.passed,
            self.claimed + other.claimed,
            self.claimed_accepted + other.claimed_accepted,
            self.counts + other.counts,
        )


def kill_before(traced: Lane, when: Call, expected: object) -> Tried:
    """Kill a worker before that call, let another one go on, and look what became of everything."""
    traced.back()
    worker = traced.fork()
    strace = Strace(worker, before=when)
    traced.go(worker)
    status = traced.wait(worker)[1]
    strace.end()
    traced.settled()
    raw = states_of(traced.db)
    accepted = {traced.keys[key] for key in traced.witness.accepted if key in traced.keys}
    wrong = [f"{when}: accepted and {raw[each]}" for each in sorted(accepted) if raw[each] not in _PASSED]
    if status not in (0, _KILLED) or traced.run() != 0:
        wrong.append(f"{when}: a worker failed")
    wrong += [f"{when}: {each}" for each in unlike(traced, expected)]
    counts = traced.reconcile()
    after = states_of(traced.db)
    wrong += [
        f"{when}: uncertain, and it was {raw[each]} when the worker died"
        for each, state in after.items()
        if state == "uncertain" and raw.get(each) not in _PASSED
    ]
    return Tried(
        kills=int(status == _KILLED),
        passed=list(raw.values()).count("handoff"),
        claimed=list(raw.values()).count("claimed"),
        claimed_accepted=[raw[each] for each in accepted].count("claimed"),
        counts=counts + Counts(wrong=tuple(wrong)),
    )


def end_of(traced: Lane) -> object:
    """Give how a scene has ended, to compare it with one that nobody disturbed."""
    return _ENDS[traced.scene.name](traced)


def unlike(traced: Lane, expected: object) -> list[str]:
    ended = end_of(traced)
    return [] if ended == expected else [f"it ended otherwise: {ended} instead of {expected}"]


def _erased(traced: Lane) -> object:
    send(traced.db, traced.home)  # what is left goes out; of the erased guest nothing is
    traced.witness.settled()
    sent = sorted(traced.keys[each] for each in traced.witness.accepted)
    return traces_left(traced.db, traced.root), sent


_ENDS: dict[str, Callable[[Lane], object]] = {
    "evaluate": lambda traced: decided(traced.db),
    "email": lambda traced: len(states_of(traced.db)),
    "group": lambda traced: len(states_of(traced.db)),
    "sms": lambda traced: len(states_of(traced.db)),
    "coupon": lambda traced: given(traced.db),
    "erase": _erased,
}


def undisturbed(traced: Lane, scene: str) -> tuple[list[Call], object]:
    """Play the scene once without a kill; give its calls and how it ends."""
    traced.play(scene)
    made = calls(traced)
    return made, end_of(traced)


def series(kind: str, scene: str, share: int, shares: int) -> tuple[Tried, int]:
    """Kill before every call, or before each of one share of them; give also how many there are."""
    with lane(kind) as traced:
        made, expected = undisturbed(traced, scene)
        return reduce(Tried.__add__, (kill_before(traced, each, expected) for each in made[share::shares])), len(made)


def spread(made: Sequence[Call], many: int, seed: int) -> list[Call]:
    """Give ``many`` calls: those around what matters, and of the rest one from each equal stretch."""
    chosen = {each for each in moments(made)[: many * 3 // 4] if each < len(made)}
    left = many - len(chosen)
    dice = random.Random(seed)
    chosen |= {dice.randrange(len(made) * n // left, len(made) * (n + 1) // left) for n in range(left)}
    return [made[each] for each in sorted(chosen)]


def some(traced: Lane, scene: str, scale: Scale) -> Tally:
    """Kill before a sample of the calls, in a lane that is there already."""
    began = time.monotonic()
    made, expected = undisturbed(traced, scene)
    chosen = spread(made, scale.tries or SAMPLE, scale.seed)
    tried = reduce(Tried.__add__, (kill_before(traced, each, expected) for each in chosen))
    return row(scene, traced.place.kind, tried, len(made), time.monotonic() - began)


def row(scene: str, kind: str, tried: Tried, calls: int, seconds: float) -> Tally:
    note = f"{tried.kills} kills before {calls} system calls; {tried.claimed} rows left in claimed, of them accepted "
    note += f"{tried.claimed_accepted}; {tried.passed} in handoff"
    return Tally.of(
        f"kill -9 in {scene}, {kind}", tried.kills, tried.counts, seconds=seconds, note=note, allowed=tried.passed
    )


def _fault(scene: str, kind: str, scale: Scale) -> Tally:
    if not scale.everything or scale.tries:
        with lane(kind) as traced:
            return some(traced, scene, scale)
    began = time.monotonic()
    with ProcessPoolExecutor(LANES, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(series, [kind] * LANES, [scene] * LANES, range(LANES), [LANES] * LANES))
    tried = reduce(Tried.__add__, (part for part, _ in parts))
    return row(scene, kind, tried, max(many for _, many in parts), time.monotonic() - began)


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    f"kill -9 in {scene}, {kind}": partial(_fault, scene, kind) for scene in STRUCK for kind in KINDS
}
