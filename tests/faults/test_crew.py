"""Several workers at once, one of them killed, all called off: nothing twice, nothing missing, and it is said."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from dispatch.whole import BIRTHDAY, MORNING, OFFERS, evaluated
from dispatch.world import CONFIG, Clock
from sqlalchemy import func, select, update

from engine.console.crew import Crew, _Hand
from engine.database.complaints import DatabaseUnavailable
from engine.database.tables import channels, coupons, dispatches
from engine.dispatch.desk import open_desk
from engine.dispatch.history import check
from engine.dispatch.stages import send_due
from engine.intake.importer import import_file
from engine.vocabulary.home import load_home

from .witness import Witness

GUESTS = 110
GROUP = 4  # the default of `email: smtp: connections`
#: A worker is a process that takes a second to begin: what does not depend on the database is tried on one.
SQLITE, POSTGRES = (pytest.mark.parametrize("db", [kind], indirect=True) for kind in ("sqlite", "postgres"))
STEPS = """
actions:
  - coupon:
      offer: cake
  - email:
      template: win-back
  - alert:
      to: manager
      template: staff
      once_per: run
"""


@pytest.fixture
def witness():
    witness = Witness()
    yield witness
    witness.close()


@pytest.fixture
def environ(db):
    return {"DATABASE_URL": db.url.render_as_string(hide_password=False)}


@pytest.fixture
def root(db, environ, witness, tmp_path):
    """A home whose 110 guests all have their birthday: a coupon and an email each, and one alert for all."""
    for name, files in {
        "win-back": {"subject.txt": "For you", "email.txt": "Dear {{ customer.name }}, {{ coupon.code }}."},
        "staff": {
            "subject.txt": "Birthdays",
            "email.txt": "{{ customer.name }}",
        },
    }.items():
        folder = tmp_path / "templates" / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "birthday.yaml").write_text(BIRTHDAY.partition("actions:")[0] + STEPS.lstrip())
    smtp = f"  smtp: {{host: 127.0.0.1, port: {witness.mail_port}, tls: none}}\n"
    text = CONFIG.replace("  connector: file\n", f"  connector: smtp\n{smtp}") + "database: env:DATABASE_URL\n"
    text = text.replace("12 Mill Lane, Springfield, IL 62701", "3 Lime Street, Springfield, IL 62701")
    text += "limits: {blast: 100%}\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "offers.yaml").write_text(OFFERS)
    (tmp_path / "config" / "regulars.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def home(db, root, environ):
    from engine.language.keys import make_key

    make_key(root)
    home = load_home(root, environ)
    assert home.problems == ()
    rows = "".join(
        f"c{number},Guest {number},g{number}@example.com,1990-05-04,yes,2026-01-02\n" for number in range(GUESTS)
    )
    (root / "customers.csv").write_text(f"customer_id,name,email,birthday,email_consent,consent_at\n{rows}")
    assert not import_file(db, home.config, home.key, root / "customers.csv", now=MORNING).problem
    evaluated(db, home)
    return home


@pytest.fixture
def desk(db, root, home, environ):
    desk = open_desk(db, home, now=Clock(MORNING), rehearsal=True)
    desk.crew = Crew(2, root, environ, Clock(MORNING), rehearsal=True)
    yield desk
    desk.close()


def held(db, witness):
    """Hold the rows against what was accepted; gives the emails' states."""
    assert witness.accepted
    assert max(witness.accepted.values()) == 1, "accepted twice"
    with db.begin() as conn:
        rows = conn.execute(select(dispatches.c.channel, dispatches.c.state)).all()
        assert list(check(conn)) == []
        assert conn.scalar(select(func.count()).select_from(coupons).where(coupons.c.code.is_not(None))) == GUESTS
    assert {state for channel, state in rows if channel == "coupon"} == {"sent"}
    assert {state for channel, state in rows} <= {"sent", "uncertain"}
    return Counter(state for channel, state in rows if channel == "email")


def test_four_workers_send_everything_once_and_their_sums_are_added_up(db, witness, desk):
    desk.crew = replace(desk.crew, workers=4)
    pids = set()
    witness.seen = lambda _: pids.update(each.pid for each in multiprocessing.active_children())
    done = send_due(desk)
    witness.settled()
    assert held(db, witness) == {"sent": GUESTS}
    assert len(witness.accepted) == GUESTS + 1  # and one alert with all in it
    assert done.to_json() == {"sent": 3 * GUESTS}
    assert done.inside == GUESTS
    assert done.problems == []
    assert len(pids) == 4


def kills_one(witness, *, after):
    """Kill one worker when more messages than that are accepted; gives a list in which its process then stands."""
    killed = []
    first = threading.Lock()  # the witness hears each connection in a thread of its own

    def kill(_):
        with first:
            if not killed and sum(witness.accepted.values()) > after:
                killed.append(multiprocessing.active_children()[0].pid)
                os.kill(killed[0], signal.SIGKILL)

    witness.seen = kill
    return killed


@POSTGRES
def test_a_killed_worker_is_told_and_its_messages_are_taken_up_at_once(db, witness, desk):
    killed = kills_one(witness, after=20)
    done = send_due(desk)
    witness.settled()
    states = held(db, witness)
    assert states["uncertain"] <= 2 * 4  # the group at its dots, and the answers to the one before
    assert states["sent"] + states["uncertain"] == GUESTS
    (said,) = done.problems
    assert said.startswith("A worker was ended from outside (SIGKILL). What it had under way was freed at once")
    assert len(killed) == 1


@SQLITE
def test_ctrl_c_lets_each_end_its_message_and_leaves_nothing_under_way(db, witness, desk):
    done = []

    def press(count):
        done.append(count)
        if sum(done) > 30:
            raise KeyboardInterrupt

    desk.progress = press
    with pytest.raises(KeyboardInterrupt):
        send_due(desk)
    assert multiprocessing.active_children() == []
    with db.begin() as conn:
        states = set(conn.scalars(select(dispatches.c.state).distinct()))
    assert states == {"pending", "sent"}
    desk.progress = lambda _: None
    send_due(desk)
    witness.settled()
    assert held(db, witness) == {"sent": GUESTS}


@SQLITE
def test_a_limit_is_for_all_together_and_few_are_sent_by_this_process(db, witness, desk):
    send_due(desk, limit=61)
    witness.settled()
    assert sum(witness.accepted.values()) == 61
    witness.seen = lambda _: multiprocessing.active_children() and pytest.fail("it needed others")
    send_due(desk, limit=20)
    desk.carriers.close()
    witness.settled()
    assert sum(witness.accepted.values()) == 81


@SQLITE
def test_what_waits_for_a_channel_that_is_stopped_is_worth_no_other_worker(db, witness, desk, monkeypatch):
    with db.begin() as conn:
        conn.execute(update(dispatches).where(dispatches.c.channel != "email").values(state="cancelled"))
        conn.execute(channels.insert().values(channel="email", stopped_at=MORNING, stopped_why="535"))
    monkeypatch.setattr("engine.console.crew._Hand.start", lambda *_: pytest.fail("it needed others"))
    assert send_due(desk).messages == 0
    assert not witness.accepted


@SQLITE
@pytest.mark.parametrize(
    ("is_told", "said"), [(True, "was freed at once; 2 may have"), (False, "is taken up by a later")]
)
def test_what_a_dead_worker_may_have_handed_over_is_counted(db, desk, monkeypatch, is_told, said):
    """Of six that it had claimed and not reported two had passed the fence; Windows does not tell who is gone."""
    monkeypatch.setattr("engine.dispatch.abandoned.is_gone", lambda _: is_told)
    with db.begin() as conn:
        ids = conn.scalars(select(dispatches.c.id).where(dispatches.c.channel == "email").limit(6)).all()
        holds = {"lease_holder": "here:1:a", "leased_until": MORNING + timedelta(minutes=15)}
        for number, state in zip(ids, ["claimed"] * 4 + ["handoff"] * 2, strict=True):
            conn.execute(update(dispatches).where(dispatches.c.id == number).values(state=state, **holds))
    dead, pipe = SimpleNamespace(join=lambda: None, exitcode=-9), SimpleNamespace(close=lambda: None)
    assert Crew._ended(desk, _Hand(dead, pipe, "here:1:a", under_way=6)) == 2
    assert said in desk.summary.problems[0]


@POSTGRES
def test_a_killed_worker_does_not_lift_the_limit(db, witness, desk):
    killed = kills_one(witness, after=10)
    send_due(desk, limit=61)
    desk.carriers.close()
    witness.settled()
    assert len(killed) == 1
    with db.begin() as conn:
        rows = select(dispatches.c.channel, dispatches.c.state).where(dispatches.c.state.in_(("sent", "uncertain")))
        states = Counter(conn.execute(rows.where(dispatches.c.channel != "coupon")).all())
    alert = sum(states.pop(("alert", state), 0) for state in ("sent", "uncertain"))
    assert alert in {0, GUESTS}
    # What was handed over unheard is taken from the limit: it may have been accepted.
    assert states["email", "sent"] + states["email", "uncertain"] + bool(alert) == 61
    assert 61 - GROUP <= sum(witness.accepted.values()) <= 61


@SQLITE
def test_workers_without_a_database_are_told(desk):
    desk.crew = Crew(
        2, desk.crew.root, {"DATABASE_URL": "sqlite:////nowhere/at/all.db"}, desk.crew.clock, rehearsal=True
    )
    with pytest.raises(DatabaseUnavailable):
        send_due(desk)
