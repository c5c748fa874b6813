"""A sample of what `make faults` does with kill -9 and with two crons in one second.

All in one lane a database, whose workers have warmed up.
"""

import pytest

from . import crons, crowd
from .kills import DOT, STRUCK, kill_before, some, undisturbed
from .lanes import lane
from .places import KINDS
from .tally import Tally


@pytest.fixture(scope="module", params=KINDS)
def traced(request):
    if request.param == "postgres":
        request.getfixturevalue("postgres_server")
    with lane(request.param) as made:
        yield made


@pytest.mark.parametrize("scene", STRUCK)
def test_a_worker_killed_before_any_of_its_system_calls_sends_nothing_twice_and_loses_nothing(traced, scene, sample):
    row = sample(lambda scale: some(traced, scene, scale))
    assert row.tries >= 6
    assert (row.window > 0) == (scene in ("email", "group", "sms")), "the sample has kills between fence and record"
    if scene in ("email", "group"):
        assert row.uncertain == row.window  # each that had passed the fence; of an SMS the look-up may find more


def test_the_kill_comes_before_the_call_and_not_after_it(traced, sample):
    """Before the dot is sent nothing is accepted; before the call after it, it is."""

    def around_the_dot(scale):
        made, expected = undisturbed(traced, "email")
        dot = next(n for n, call in enumerate(made) if DOT in call.line)
        accepted = []
        for when in (made[dot], made[dot + 1]):
            tried = kill_before(traced, when, expected)
            accepted.append(sum(traced.witness.accepted.values()))
            assert (tried.kills, tried.passed) == (1, 1)
        assert accepted == [0, 1]
        return Tally("kills around the dot")

    sample(around_the_dot)


def test_workers_killed_at_random_and_begun_again_send_nothing_twice_and_lose_nothing(traced, sample):
    row = sample(lambda scale: crowd.some(traced, crowd.SAMPLE, scale.seed))
    assert row.tries >= crowd.SAMPLE
    assert "left in claimed, of them accepted 0;" in row.note


@pytest.mark.parametrize("scene", crons.SCENES)
def test_two_runs_at_once_are_as_one(traced, scene, sample):
    assert sample(lambda _: crons.some(traced, scene, crons.SAMPLE)).tries == crons.SAMPLE
