"""Two machines, each with a home and a journal of its own, send from one PostgreSQL database at the same time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dispatch.whole import MORNING
from dispatch.world import CHICAGO
from sqlalchemy import func, select

from engine.database.tables import dispatches
from engine.dispatch.journal import FOLDER, Record, records

from .test_crew import GUESTS, POSTGRES, desk, environ, held, home, root, witness

__all__ = ["desk", "environ", "home", "root", "witness"]

#: Read by every Python that a machine starts, workers too: its name.
NAMED = "import os, socket\nname = os.environ['MACHINE']\nsocket.gethostname = lambda: name\n"
MACHINES = ("north", "south")


@pytest.fixture
def machines(root: Path, home, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory):
    """Start ``regulars dispatch`` on each; gives what ran, when all have ended."""
    named = tmp_path_factory.mktemp("named")
    (named / "sitecustomize.py").write_text(NAMED)
    roots = {"north": root, "south": tmp_path_factory.mktemp("south") / "home"}
    shutil.copytree(root, roots["south"], ignore=shutil.ignore_patterns(FOLDER, "*.csv"))
    program = [sys.executable, "-c", "import cli; cli.main()"]
    words = ["dispatch", "--workers", "2", "--as-of", f"{MORNING.astimezone(CHICAGO):%Y-%m-%dT%H:%M}"]
    path = os.pathsep.join([str(named), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])

    def start() -> dict[str, subprocess.CompletedProcess[str]]:
        pipe = subprocess.PIPE
        begun = {
            name: subprocess.Popen(
                [*program, "--home", str(roots[name]), *words],
                env={**os.environ, **environ, "PYTHONPATH": path, "MACHINE": name}, stdout=pipe, stderr=pipe, text=True,
            )
            for name in MACHINES
        }  # fmt: skip
        ended = {name: process.communicate() for name, process in begun.items()}
        return {name: subprocess.CompletedProcess([], begun[name].returncode, *said) for name, said in ended.items()}

    return start, roots


@POSTGRES
def test_two_machines_share_the_work_and_each_message_goes_once(db, witness, machines):
    start, roots = machines
    holders: set[str] = set()
    both = threading.Event()

    def hold(word: str) -> None:
        """Let nobody go on before machines of both names have claimed something: a dot's answer is waited for longest."""
        if word != "DOT" or both.is_set():
            return
        with db.connect() as conn:
            holders.update(conn.scalars(select(func.split_part(dispatches.c.lease_holder, ":", 1)).distinct()))
        if holders >= set(MACHINES):
            both.set()
        else:
            both.wait(240)

    witness.heard = hold
    done = start()
    witness.heard = lambda _: None
    assert {name: (each.returncode, each.stderr) for name, each in done.items()} == {
        "north": (0, ""),
        "south": (0, ""),
    }
    assert both.is_set()
    witness.settled()
    assert held(db, witness) == {"sent": GUESTS}
    assert len(witness.accepted) == GUESTS + 1  # and one alert with all in it
    noted = {
        name: [each for each in records(path / FOLDER) if isinstance(each, Record)] for name, path in roots.items()
    }
    ids = {name: {each.dispatch_id for each in found} for name, found in noted.items()}
    assert ids["north"]
    assert ids["south"]
    assert ids["north"].isdisjoint(ids["south"])
    assert len(ids["north"] | ids["south"]) == 2 * GUESTS  # each email, and each guest of the alert
