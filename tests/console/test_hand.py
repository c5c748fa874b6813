"""What staff decide about single messages and about what a rule has waiting; each with a trail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from engine.console.session import opened
from engine.database.tables import audit, dispatches

from .conftest import AT, NOW, Regulars, lines

Messages = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ran(regulars: Regulars, either_home: Path) -> Regulars:
    """A home that has run once; nothing was approved."""

    def run(*words: object, **options: object):
        return regulars("--home", either_home, *words, **options)

    assert run("run", "--as-of", AT).exit_code == 0
    return run


@pytest.fixture
def db(ran: Regulars, either_home: Path) -> Iterator[Engine]:
    import os

    with opened(either_home, os.environ, lambda: NOW) as session:
        yield session.db


@pytest.fixture
def messages(ran: Regulars) -> Messages:
    return lambda *words: lines(ran("log", "--format", "json", *words))


def trail(db: Engine) -> list[tuple[str, str, str]]:
    with db.connect() as conn:
        rows = conn.execute(
            select(audit).where(audit.c.action == "move", audit.c.who == "staff").order_by(audit.c.id)
        ).all()
    return [(row.actor, row.before, row.after) for row in rows]


def put(db: Engine, number: int, state: str) -> None:
    with db.begin() as conn:
        conn.execute(update(dispatches).where(dispatches.c.id == number).values(state=state))


def test_an_owner_who_does_not_want_a_held_blast_rejects_it(ran: Regulars, db: Engine, messages: Messages):
    held = [each for each in messages("--state", "held") if each["rule"] == "win-back"]
    assert held
    said = ran("approve", "win-back", "--reject", "--by", "Dana")
    assert (said.exit_code, said.stdout) == (
        0,
        f"win-back: {len(held)} steps cancelled; these guests do not get them.\n",
    )
    assert {each["state"] for each in messages("--rule", "win-back")} <= {"cancelled", "blocked"}
    assert trail(db) == [("Dana", "held", "cancelled")] * len(held)
    assert {each["rule"] for each in messages("--state", "held")} == {"birthday", "low-rating"}
    ran("approve", "--all", "--by", "Dana")
    ran("dispatch", "--as-of", AT)
    assert "sent" not in {each["state"] for each in messages("--rule", "win-back")}
    assert ran("approve", "win-back", "--reject").stdout == "win-back: nothing was waiting.\n"


def test_what_a_worker_has_under_way_is_told_when_its_rule_is_rejected(ran: Regulars, db: Engine, messages: Messages):
    held = [each["id"] for each in messages("--state", "held") if each["rule"] == "win-back"]
    put(db, held[0], "claimed")
    put(db, held[1], "handoff")
    lines = ran("approve", "win-back", "--reject").stdout.splitlines()
    assert lines[0].startswith(f"win-back: {len(held) - 2} steps cancelled")
    told = "win-back: 2 more steps are under way and may still go out; `regulars stop` keeps back what has not left."
    assert lines[1:] == [told]
    assert ran("approve", "win-back", "--reject").stdout.splitlines() == [told]


def test_a_rule_whose_file_is_gone_can_be_rejected_too(ran: Regulars, either_home: Path):
    (either_home / "rules" / "11-win-back.yaml").unlink()
    assert "cancelled; these guests" in ran("approve", "win-back", "--reject").stdout


def test_what_was_given_up_or_is_uncertain_goes_out_by_hand(ran: Regulars, db: Engine, messages: Messages):
    ran("approve", "--all", "--by", "Dana")
    first, second, *_ = (each["id"] for each in messages("--channel", "email"))
    put(db, first, "uncertain")
    put(db, second, "dead")
    for said in (
        ran("dispatch", "resolve", first, "--send-again", "--by", "Dana", "--as-of", AT),
        ran("dispatch", "retry", second, "--by", "Dana", "--as-of", AT),
    ):
        queued = "1 message queued again, for the next run or `regulars dispatch`.\n"
        assert (said.exit_code, said.stdout) == (0, queued)
    assert trail(db)[-2:] == [("Dana", "uncertain", "pending"), ("Dana", "dead", "pending")]
    ran("dispatch", "--as-of", AT)
    with db.connect() as conn:
        chosen = select(func.count()).where(dispatches.c.id.in_([first, second]), dispatches.c.state == "sent")
        assert conn.scalar(chosen) == 2


def test_single_messages_are_cancelled_and_the_others_stay(ran: Regulars, db: Engine, messages: Messages):
    one, other, *_ = (each["id"] for each in messages("--state", "held", "--channel", "email"))
    said = ran("dispatch", "cancel", one, "--by", "Dana")
    assert (said.exit_code, said.stdout) == (0, "1 message cancelled.\n")
    states = {each["id"]: each["state"] for each in messages()}
    assert (states[one], states[other]) == ("cancelled", "held")
    assert trail(db) == [("Dana", "held", "cancelled")]


def test_staff_who_know_that_an_uncertain_one_arrived_say_so(ran: Regulars, db: Engine, messages: Messages):
    ran("approve", "--all", "--by", "Dana")
    first, second, *_ = (each["id"] for each in messages("--channel", "email"))
    put(db, first, "uncertain")
    put(db, second, "dead")
    said = ran("dispatch", "resolve", first, second, "--sent", "--by", "Dana")
    assert (said.exit_code, said.stdout) == (1, "1 message noted as sent.\n")
    assert said.stderr == f"{second} stays dead: only what is uncertain is resolved.\n"
    assert ran("dispatch", "resolve", second, "--sent").stdout == "Nothing was changed.\n"
    assert trail(db)[-1:] == [("Dana", "uncertain", "sent")]


def test_what_cannot_be_moved_is_named_and_why(ran: Regulars, db: Engine, messages: Messages):
    held, late, dead, *_ = (each["id"] for each in messages("--state", "held"))
    put(db, late, "dead")
    put(db, dead, "dead")
    with db.begin() as conn:
        conn.execute(update(dispatches).where(dispatches.c.id == late).values(expires_at=NOW))
    said = ran("dispatch", "retry", held, late, dead)
    assert said.exit_code == 1
    assert said.stdout.startswith("1 message queued again")
    assert sorted(said.stderr.splitlines()) == sorted(
        [
            f"{held} stays held: only what is dead is retried; `regulars dispatch resolve` is for what is uncertain.",
            f"{late} stays dead: it is too late for it.",
        ]
    )
    said = ran("dispatch", "cancel", late)
    assert said.stderr == f"{late} stays dead: only what is held or pending can be cancelled.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dispatch", "7"], "No such command '7'"),
        (["dispatch", "retry"], "Missing argument 'ID...'"),
        (["dispatch", "resolve", 1], "Give --sent or --send-again: only a person can know which."),
        (["dispatch", "retry", 1, sys.maxsize], f"The log has no message {sys.maxsize}; `regulars log` shows the"),
        (["dispatch", "cancel", "x"], "'x' is not a valid int"),
        (["dispatch", "--limit", 1, "cancel", 1], "--limit, --workers and --as-of are for sending what is due"),
        (["approve"], "Name one rule, or give --all."),
        (["approve", "--all", "--reject"], "--reject needs the name of a rule."),
        (["approve", "win-bak", "--reject"], 'There is no rule "win-bak" - did you mean "win-back"?'),
    ],
)
def test_what_is_mistyped_changes_nothing(at_home: Regulars, database: Engine, words: list[object], said: str):
    at_home("run", "--as-of", AT)
    result = at_home(*words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert trail(database) == []
