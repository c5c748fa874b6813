"""What goes wrong with one rule, a clock or a date stays there: the others run, and nothing is promised in vain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from small_world import Cafe, at, rule_of
from sqlalchemy import Connection, delete, select, update
from test_runs import BIRTHDAY, DAY, MONDAY, ORDERED, few_guests

from engine.database.facts import rebuild
from engine.database.tables import dispatches, matches
from engine.evaluation.balance import Balance
from engine.evaluation.queue import Queue
from engine.evaluation.runner import run_due
from engine.vocabulary.conditions import Orders


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_rule_whose_query_fails_stops_no_other(cafe: Cafe, monkeypatch: pytest.MonkeyPatch, dry_run: bool) -> None:
    from sqlalchemy import literal_column

    few_guests(cafe)
    monkeypatch.setattr(Orders, "sql", lambda *_: literal_column("no_such_column") == 1)
    failing = rule_of(f"id: a-failing\n{ORDERED.split(chr(10), 1)[1]}conditions:\n  orders: 1\n")
    with cafe.db.begin() as conn:
        rebuild(conn, MONDAY)
    home = replace(cafe.home, rules=(failing, rule_of(BIRTHDAY)))
    result = run_due(cafe.db, home, MONDAY, dry_run=dry_run)
    assert [(rule.bug is not None, rule.matched) for rule in result.rules] == [(True, 0), (False, 1)]
    assert not result.balanced
    assert "no_such_column" not in str(result.rules[0].problems)
    assert len(cafe.matches) == (0 if dry_run else 1)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_rule_with_a_bug_stops_no_other_and_keeps_it_for_the_log(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    few_guests(cafe)

    def broken(*_: object) -> object:
        raise KeyError("Ann Guest")

    monkeypatch.setattr(Orders, "sql", broken)
    failing = rule_of(f"id: a-failing\n{ORDERED.split(chr(10), 1)[1]}conditions:\n  orders: 1\n")
    with cafe.db.begin() as conn:
        rebuild(conn, MONDAY)
    home = replace(cafe.home, rules=(failing, rule_of(BIRTHDAY)))
    result = run_due(cafe.db, home, MONDAY, dry_run=dry_run)
    assert [(type(rule.bug), rule.matched) for rule in result.rules] == [(KeyError, 0), (type(None), 1)]
    assert "Ann Guest" not in str(result.to_json())
    assert not result.balanced


def test_a_trial_at_a_later_time_hides_nothing_from_the_runs_that_follow(cafe: Cafe) -> None:
    guest = cafe.guest(birthday=504)
    home = replace(cafe.home, rules=(rule_of(BIRTHDAY),))
    with cafe.db.begin() as conn:
        rebuild(conn, MONDAY)
    trial = run_due(cafe.db, home, at("2030-05-10 10:00"), started_at=MONDAY - DAY)
    assert trial.rules[0].due
    result = run_due(cafe.db, home, MONDAY)
    assert (result.notice, result.rules[0].due) == (None, True)
    assert [match.customer_id for match in cafe.matches] == [guest]
    assert not run_due(cafe.db, home, MONDAY + timedelta(minutes=15)).rules[0].due


def test_a_coupon_that_is_over_is_promised_to_nobody(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    actions = "actions:\n  - coupon:\n      offer: treat\n      valid: 2026-05-03\n  - email: gift\n"
    (result,) = cafe.run(f"{BIRTHDAY}{actions}", now=MONDAY).rules
    assert result.matched == 0
    assert "its coupon was valid until 2026-05-03" in result.problems[0]
    last_day = actions.replace("2026-05-03", "2026-05-04")
    assert cafe.run(f"{BIRTHDAY}{last_day}", now=MONDAY).rules[0].act == 1


@pytest.mark.parametrize("trouble", ["missing", "of another guest", "of one who gets nothing", "without a reason"])
def test_a_run_that_does_not_add_up_is_red(cafe: Cafe, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    from engine.evaluation import runner

    def spoilt(conn: Connection, queue: Queue) -> None:
        write(conn, queue)
        first, last, none = conn.scalars(select(matches.c.id).order_by(matches.c.customer_id)).all()
        its = dispatches.c.match_id == last, dispatches.c.step == 2
        if trouble == "missing":
            conn.execute(delete(dispatches).where(*its))
        elif trouble != "without a reason":
            whose = first if trouble == "of another guest" else none
            conn.execute(update(dispatches).where(*its).values(match_id=whose, part=1))

    def unreasoned(balance: Balance) -> Any:
        if trouble == "without a reason":
            balance.conn.execute(update(matches).where(matches.c.verdict == "refused").values(reason=None))
        return judged(balance)

    write, judged = runner.write_dispatches, Balance.judged
    monkeypatch.setattr(runner, "write_dispatches", spoilt)
    monkeypatch.setattr(Balance, "judged", unreasoned)
    cafe.guest(birthday=504)
    cafe.guest(birthday=504)
    cafe.guest(birthday=504, email=None)
    home = replace(cafe.home, rules=(rule_of(f"{BIRTHDAY}actions:\n  - coupon: treat\n  - email: gift\n"),))
    with cafe.db.begin() as conn:
        rebuild(conn, MONDAY)
    (result,) = run_due(cafe.db, home, MONDAY).rules
    assert (result.matched, result.act, result.bug, result.balanced) == (3, 2, None, False)
