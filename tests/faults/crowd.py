"""Several workers at once on one database, each killed at random moments and begun again, until all is done.

There is no run lock. Half of the moments are counted by what the witness hears, so that many lie around the fence;
half are instants of a clock. The dice are seeded.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from multiprocessing import get_context

from dispatch.whole import MORNING
from sqlalchemy import func, select

from engine.database.tables import coupons, dispatches
from engine.dispatch.outbox import requeue

from .kills import LANES
from .lanes import Lane, lane
from .places import KINDS
from .tally import Counts, Scale, Tally

WORKERS = 3
#: Kills in `make test` and in `make faults`, on each database.
SAMPLE, EVERYTHING = 30, 5_000
#: Kills of one home before its workers are let go on to the end.
EACH = 60
#: The longest life of a worker that is killed by the clock, in seconds, and by what the witness hears, in words.
LONGEST, MOST_WORDS = 0.25, 40


@dataclass
class Left:
    """What the killed left behind, and how much of it had been accepted."""

    kills: int = 0
    claimed: int = 0
    claimed_accepted: int = 0
    handoff: int = 0
    handoff_accepted: int = 0
    dead: int = 0  #: given up after the third worker in a row that died on it; staff queued them again
    messages: int = 0
    counts: Counts = field(default_factory=Counts)

    def __add__(self, other: Left) -> Left:
        return Left(
            self.kills + other.kills,
            self.claimed + other.claimed,
            self.claimed_accepted + other.claimed_accepted,
            self.handoff + other.handoff,
            self.handoff_accepted + other.handoff_accepted,
            self.dead + other.dead,
            self.messages + other.messages,
            self.counts + other.counts,
        )


class Crowd:
    """Workers in one home. Only the thread that made it speaks to the maker; kills come from any."""

    def __init__(self, traced: Lane, dice: random.Random, kills: int) -> None:
        self.traced = traced
        self.dice = dice
        self.wanted = kills  #: kills still to come
        self.left = Left()
        self.words: dict[int, int] = {}  #: worker -> words of the witness until its end
        self.timers: dict[int, threading.Timer] = {}
        self.alive: set[int] = set()
        self.lock = threading.Lock()
        traced.witness.heard = self._heard

    def run(self) -> Left:
        """Go on until nothing waits any more."""
        while self.alive or self._waits():
            while len(self.alive) < WORKERS and self._waits():
                self._begin()
            worker, status = self.traced.wait()
            with self.lock:
                self.alive.discard(worker)
                self.words.pop(worker, None)
                timer = self.timers.pop(worker, None)
            if timer is not None:
                timer.cancel()
            if status == -signal.SIGKILL:
                self._look(worker)
            elif status != 0:
                self.left.counts += Counts(wrong=(f"a worker ended with {status}",))
                break
            if status == 0 and not self._waits():
                self._let_the_others_end()
        self.traced.witness.heard = lambda _: None
        return self.left

    def _begin(self) -> None:
        worker = self.traced.fork()
        with self.lock:
            self.alive.add(worker)
            doomed = self.wanted > len(self.words) + len(self.timers)
            if doomed and self.dice.random() < 0.5:
                self.words[worker] = self.dice.randint(1, MOST_WORDS)
            elif doomed:
                timer = threading.Timer(self.dice.uniform(0.02, LONGEST), self._kill, [worker])
                timer.daemon = True
                self.timers[worker] = timer
        self.traced.go(worker)
        if worker in self.timers:
            self.timers[worker].start()

    def _heard(self, _: str) -> None:
        with self.lock:
            self.words = {worker: left - 1 for worker, left in self.words.items()}
            over = [worker for worker, left in self.words.items() if left <= 0]
        for worker in over:
            self._kill(worker)

    def _kill(self, worker: int) -> None:
        with self.lock:
            if worker in self.alive:
                self.words.pop(worker, None)
                os.kill(worker, signal.SIGKILL)

    def _look(self, worker: int) -> None:
        """Say what a dead worker held, once nothing of what it sent is still on its way."""
        self.wanted -= 1
        self.left.kills += 1
        self.traced.witness.drained()
        holder = f"{socket.gethostname()}:{worker}:"
        query = select(dispatches.c.id, dispatches.c.state).where(dispatches.c.lease_holder.startswith(holder))
        with self.traced.db.begin() as conn:  # locked: its last COMMIT may be on its way
            held = conn.execute(query.with_for_update()).all()
        accepted = {self.traced.keys.get(key) for key in self.traced.witness.counted()}
        for row in held:
            if row.state == "claimed":
                self.left.claimed += 1
                self.left.claimed_accepted += row.id in accepted
            elif row.state == "handoff":
                self.left.handoff += 1
                self.left.handoff_accepted += row.id in accepted

    def _waits(self) -> bool:
        """Tell whether anything is not done; what was given up after three deaths is queued again, as staff would."""
        with self.traced.db.begin() as conn:
            dead = conn.scalars(select(dispatches.c.id).where(dispatches.c.state == "dead")).all()
            if dead and self.wanted <= 0:
                queued, late = requeue(conn, "dead", dead, actor="Ana", now=MORNING)
                assert not late
                self.left.dead += len(queued)
            open_ones = dispatches.c.state.in_(("pending", "claimed", "handoff"))
            return bool(conn.scalar(select(func.count()).where(open_ones)))

    def _let_the_others_end(self) -> None:
        for worker in list(self.alive):
            with self.lock:
                self.words.pop(worker, None)
                timer = self.timers.pop(worker, None)
            if timer is not None:
                timer.cancel()


def one_home(traced: Lane, dice: random.Random, kills: int) -> Left:
    """Play one home to its end under so many kills at most, and count."""
    traced.back()
    left = Crowd(traced, dice, kills).run()
    left.counts += traced.reconcile()
    left.messages = len(traced.keys)
    with traced.db.begin() as conn:
        codes = select(coupons.c.customer_id, func.count(coupons.c.code), func.count(coupons.c.revoked_at))
        drawn = conn.execute(codes.group_by(coupons.c.customer_id)).all()
    if [tuple(row[1:]) for row in drawn] != [(1, 0)] * traced.scene.guests:
        left.counts += Counts(wrong=(f"other coupons than one a guest: {drawn}",))
    if left.claimed_accepted:
        left.counts += Counts(wrong=(f"{left.claimed_accepted} were accepted and claimed",))
    return left


def homes(traced: Lane, kills: int, seed: int) -> Left:
    """Play one home after the other until so many workers were killed."""
    dice, left = random.Random(seed), Left()
    traced.play("crowd")
    while left.kills < kills:
        left += one_home(traced, dice, min(EACH, kills - left.kills))
    return left


def share(kind: str, kills: int, seed: int) -> Left:
    """Do a share of the kills in a lane of its own."""
    with lane(kind) as traced:
        return homes(traced, kills, seed)


def some(traced: Lane, kills: int, seed: int) -> Tally:
    """Kill so many, in a lane that is there already."""
    began = time.monotonic()
    return row(traced.place.kind, homes(traced, kills, seed), time.monotonic() - began)


def row(kind: str, left: Left, seconds: float) -> Tally:
    note = (
        f"{left.messages} messages; {left.claimed} rows left in claimed, of them accepted {left.claimed_accepted}; "
        f"{left.handoff} left in handoff, of them accepted {left.handoff_accepted}; {left.dead} given up and queued again"
    )
    name = f"{WORKERS} workers killed at random, {kind}"
    return Tally.of(name, left.kills, left.counts, seconds=seconds, note=note)


def _fault(kind: str, scale: Scale) -> Tally:
    kills, began = scale.pick(SAMPLE, EVERYTHING), time.monotonic()
    shares = [kills // LANES + (number < kills % LANES) for number in range(LANES)]
    with ProcessPoolExecutor(LANES, mp_context=get_context("spawn")) as pool:
        parts = pool.map(share, [kind] * LANES, shares, range(scale.seed, scale.seed + LANES))
        return row(kind, reduce(Left.__add__, parts), time.monotonic() - began)


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    f"{WORKERS} workers killed at random, {kind}": partial(_fault, kind) for kind in KINDS
}
