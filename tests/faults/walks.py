"""Hypothesis does whatever can be done to a café, in any order, and the engine stays as the reference model says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.vocabulary.home import Home

from . import restored
from .machine import DEATHS, World, to_the_next_change
from .machine_homes import VARIANTS, all_homes
from .places import place
from .scripted import Turn
from .tally import Counts, Scale, Tally

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW_NOT, GONE = ("pending", "not_now"), ("uncertain", "no_answer")
#: Everything that a connector may do, and what becomes of the message by the tables of dispatch.md.
TURNS = [
    Turn(),
    Turn(("pending", "not_now"), "not_now"),
    Turn(("pending", "not_now"), "not_now", early=True),
    Turn(("pending", "not_now"), "not_now", channel="slow", retry=HOUR),
    Turn(("pending", "not_now"), "not_now", channel="failure", early=True),
    Turn(("pending", "not_now"), "not_now", channel="breaker", early=True),
    Turn(("pending", "not_now"), "not_now", channel="stop", early=True, counts=False),
    Turn(("rejected", "no_such_address"), "no", "hard"),
    Turn(("rejected", "no_such_address"), "no", "hard", early=True),
    Turn(("rejected", "mailbox_full"), "no", "soft"),
    Turn(("rejected", "unusable"), "no", "unusable"),
    Turn(("rejected", "refused"), "no"),
    Turn(("rejected", "sender_refused"), "no", channel="breaker"),
    Turn(("blocked", "opted_out"), "no", "opted_out"),
    Turn(("uncertain", "no_answer"), "unknown"),
    Turn(("uncertain", "no_answer"), "unknown", channel="failure"),
    Turn(("uncertain", "no_answer"), "unknown", raises=True),
    Turn(("pending", "not_now"), "unknown", raises=True, early=True),
    Turn(("uncertain", "no_fence"), asks=0),
    Turn(("pending", "not_now"), "not_now", asks=2, counts=False),
    Turn(dies="prepared"),
    Turn(dies="handed"),
    Turn(dies="accepted"),
    *(Turn(before=what) for what in ("another worker", "stop", "opt out", "erase")),
    *(Turn(after=what) for what in ("another worker", "stop", "opt out", "erase")),
    Turn(("uncertain", "no_answer"), "unknown", after="another worker"),
    Turn(("pending", "not_now"), "not_now", after="another worker"),
    Turn(("rejected", "no_such_address"), "no", "hard", after="another worker"),
]
#: By how much the clock goes on between two things that happen; to the left of zero it is set back.
LEAPS = [
    *(timedelta(minutes=each) for each in (1, 6, 20, 61, -10, -90)),
    *(each * HOUR for each in (4, 9, 15)),
    *(each * DAY for each in (1, 2, 3, 7, 30, 400, -1, -5)),
]
RULES = st.sampled_from(["visit", "thanks"])
GUESTS = st.integers(0, 3)
CHANNELS = st.sampled_from(["email", "sms"])
TURN = st.one_of(st.just(Turn()), st.sampled_from(TURNS))


class Machine(RuleBasedStateMachine):
    """The rules; what they do stands in ``machine.py``."""

    kind = "sqlite"
    homes = None

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world = World(self.stack.enter_context(place(self.kind)), self.homes)

    def teardown(self) -> None:
        self.stack.close()

    @initialize()
    def open(self) -> None:
        self.a_day_at_the_cafe(HOUR, range(4), [])

    @rule(guest=GUESTS)
    def a_guest_comes(self, guest):
        self.world.visit(self.world.guests[guest])

    @rule(rule=RULES)
    def evaluate(self, rule):
        self.world.evaluate(rule)

    @rule(by=st.sampled_from(LEAPS), guests=st.lists(GUESTS, max_size=3), turns=st.lists(TURN, max_size=3))
    def a_day_at_the_cafe(self, by, guests, turns):
        self.world.later(by)
        for guest in guests:
            self.world.visit(self.world.guests[guest])
        for each in ("visit", "thanks"):
            self.world.evaluate(each)
            self.world.approve(each)
        self.world.send(turns)

    @rule(turns=st.lists(TURN, max_size=4), near=st.booleans())
    def send(self, turns, near):
        self.world.send(turns, near=near)

    @rule(dies=st.sampled_from(sorted(DEATHS)), near=st.booleans())
    def be_killed(self, dies, near):
        self.world.send([], near=near, dies=dies)

    @rule(by=st.sampled_from(LEAPS))
    def the_clock_goes(self, by):
        self.world.later(by)

    @rule(by=st.sampled_from([-2 * HOUR, -HOUR, timedelta(0), HOUR]))
    def the_clocks_are_changed(self, by):
        self.world.later(to_the_next_change(self.world.now) + by)

    @rule(guest=GUESTS, channel=CHANNELS, word=st.sampled_from(["yes", "no"]))
    def a_guest_says(self, guest, channel, word):
        self.world.says(self.world.guests[guest], channel, word)

    @rule(guest=st.integers(1, 2), channel=CHANNELS)
    def suppress(self, guest, channel):
        self.world.suppress(self.world.guests[guest], channel)

    @rule(guest=GUESTS)
    def erase(self, guest):
        self.world.erase(self.world.guests[guest])

    @rule(variant=st.sampled_from(list(VARIANTS)))
    def edit(self, variant):
        self.world.edit(variant)

    @rule(button=st.sampled_from(["stop", "start", "start"]))
    def press(self, button):
        self.world.press(button)

    @rule(rule=RULES)
    def approve(self, rule):
        self.world.approve(rule)

    @rule(rule=RULES)
    def reject(self, rule):
        self.world.reject(rule)

    @rule(what=st.sampled_from(["cancel", "sent", "retry", "send-again", "let go"]))
    def decide(self, what):
        self.world.decide(what)

    @precondition(lambda self: self.kind == "sqlite")
    @rule()
    def back_up(self):
        restored.keep(self.world)

    @precondition(lambda self: self.world.copies)
    @rule(
        which=st.integers(0, 9),
        moved=st.booleans(),
        noticed=st.booleans(),
        imported=st.booleans(),
        later=st.sampled_from([timedelta(0), HOUR, DAY]),
    )
    def restore(self, which, moved, noticed, imported, later):
        """Put a copy back, reconcile, and go on: the till's visits are imported again, or not."""
        copies = self.world.copies
        self.world.later(later)
        restored.put_back(self.world, copies[which % len(copies)], moved=moved, noticed=noticed)
        if imported:
            self.world.import_again()

    @invariant()
    def the_engine_is_as_the_model_says(self):
        self.world.agree()

    @invariant()
    def what_is_promised_holds(self):
        self.world.hold()


#: Things that are done to one café; with what must hold looked at after each.
STEPS = 30


def walk(kind: str, homes: Mapping[str, Home], examples: int, number: int | None = None) -> None:
    """Let Hypothesis do things to ``examples`` cafés; raises what did not hold, with the shortest way there.

    ``number`` is a seed; without one the examples are those of the profile.
    """
    machine = type(f"On_{kind}", (Machine,), {"kind": kind, "homes": homes})
    if number is not None:
        machine = seed(number)(machine)
    how = settings(
        max_examples=examples, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=how)


def _fault(kind: str, sample: int, everything: int, scale: Scale) -> Tally:
    examples = scale.pick(sample, everything)
    with tempfile.TemporaryDirectory() as folder:
        try:
            walk(kind, all_homes(Path(folder)), examples, scale.seed)
        except AssertionError as error:
            return Tally.of("walks", examples * STEPS, Counts(wrong=(str(error)[:2_000],)))
    return Tally.of("walks", examples * STEPS, Counts(), allowed=0)


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "random walks against the model, sqlite": partial(_fault, "sqlite", 10, 2_000),
    "random walks against the model, postgres": partial(_fault, "postgres", 2, 100),
}
