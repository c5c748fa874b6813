"""Workers killed with -9, and run again: nothing twice, nothing missing, and what is unknown is called unknown."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from engine.database.tables import dispatches
from engine.dispatch.links import message_id

from .smtp_sink import SmtpSink
from .world import a_home

WORKER = Path(__file__).parent / "worker.py"


@pytest.fixture
def sink():
    sink = SmtpSink()
    yield sink
    sink.close()


@pytest.fixture
def workers(cafe, tmp_path, sink):
    """Runs workers, one after the other; each call gives the exit status of one."""
    a_home(tmp_path)
    url = cafe.db.url.render_as_string(hide_password=False)
    maker = subprocess.Popen(
        [sys.executable, str(WORKER), url, str(tmp_path), str(sink.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(kill_at=None):
        """Run one worker; kill it when the sink hears its ``kill_at``-th line."""
        heard = []

        def hear(_):
            heard.append(None)
            if len(heard) == kill_at:
                os.kill(number, signal.SIGKILL)

        maker.stdin.write("make one\n")
        maker.stdin.flush()
        number = int(maker.stdout.readline())
        sink.heard = hear
        maker.stdin.write("let it go\n")
        maker.stdin.flush()
        return int(maker.stdout.readline())

    yield run
    maker.stdin.close()
    maker.stdout.close()
    maker.wait()


def reconcile(cafe, sink, made, home):
    """Hold the rows against what the server accepted: the invariants I1 to I4."""
    with cafe.db.begin() as conn:
        rows = conn.execute(select(dispatches.c.id, dispatches.c.state)).all()
    by_id = {message_id(home.key, row.id, "hello@corner.example"): row.state for row in rows}
    assert len(sink.accepted) == len(set(sink.accepted)), "accepted twice"
    assert {by_id[each] for each in sink.accepted} <= {"sent", "uncertain"}
    assert {each for each, state in by_id.items() if state == "sent"} <= set(sink.accepted)
    assert {row.state for row in rows} <= {"sent", "uncertain"}
    assert {row.id for row in rows} == set(made)
    return [row.state for row in rows]


def test_killed_at_ten_random_moments_and_run_again(cafe, sink, workers, tmp_path):
    made = [cafe.message() for _ in range(40)]
    moments = random.Random(20260504)  # the same moments every time
    killed = [workers(kill_at=moments.randint(1, 24)) for _ in range(10)]
    assert killed.count(-signal.SIGKILL) >= 8  # the last may find nothing left
    assert workers() == 0
    states = reconcile(cafe, sink, made, a_home(tmp_path))
    assert states.count("uncertain") <= 10  # one for each kill at most
    assert len(sink.accepted) >= 30


@pytest.mark.parametrize("line", ["EHLO", "MAIL", "RCPT", "DATA", "DOT"])
def test_a_kill_before_the_dot_is_as_if_nothing_had_been_and_after_it_uncertain(cafe, sink, workers, tmp_path, line):
    message = cafe.message()
    assert workers(kill_at=["EHLO", "MAIL", "RCPT", "DATA", "DOT"].index(line) + 1) == -signal.SIGKILL
    assert workers() == 0
    assert reconcile(cafe, sink, [message], a_home(tmp_path)) == ["uncertain" if line == "DOT" else "sent"]
    assert len(sink.accepted) == 1
