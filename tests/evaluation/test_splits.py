"""Branches: who goes which way, whose rows are written, and that the numbers still prove it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from small_world import Cafe, at, rule_of
from sqlalchemy import BigInteger, Engine, case, cast, func, literal, select, update

from engine.database.tables import dispatches
from engine.evaluation.permission import in_branches
from engine.language.rule import Branch, Step

NOW = at("2026-05-04 10:00")
DAY = timedelta(days=1)
MILLION = 1_000_000
SPLIT = """
id: journey
trigger:
  birthday:
actions:
  - email: hello
  - split:
      short:
        share: 25%
        actions:
          - wait: 1 day
          - email:
              template: hello
              subject: Short
      long:
        share: 75%
        actions:
          - wait: 5 days
          - email:
              template: hello
              subject: Long
          - wait: 2 days
          - alert: hello
  - wait: 1 day
  - email:
      template: hello
      subject: All
"""


def arm(salt: str, low: int, high: int) -> Step:
    return Step(1, "email", None, branches=(Branch(salt, low, high),))


def counted(db: Engine, *steps: Step, first: int = 1) -> list[int]:
    """How many of a million guests in a row are sent the way of each step."""
    numbers = select(literal(first, BigInteger).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < first + MILLION - 1))
    mine = (func.sum(case((in_branches(cast(numbers.c.n, BigInteger), step), 1), else_=0)) for step in steps)
    with db.connect() as conn:
        return [int(count) for count in conn.execute(select(*mine)).one()]


@pytest.mark.parametrize("salt", ["split win-back 1", "split win-back 2", "split birthday 1"])
def test_of_a_million_guests_each_branch_has_its_share(db: Engine, salt: str) -> None:
    bounds = (0, 1_000, 3_000, 6_000, 10_000)
    counts = counted(db, *(arm(salt, low, high) for low, high in pairwise(bounds)))
    assert sum(counts) == MILLION
    for count, (low, high) in zip(counts, pairwise(bounds), strict=True):
        assert count == pytest.approx(MILLION * (high - low) // 10_000, abs=2_000)


def test_two_splits_know_nothing_of_each_other(db: Engine) -> None:
    first, second = Branch("split win-back 1", 0, 5_000), Branch("split win-back 2", 0, 5_000)
    both = Step(1, "email", None, branches=(first, second))
    other_rule = Step(1, "email", None, branches=(first, Branch("split birthday 1", 0, 5_000)))
    held_out = Step(1, "email", None, branches=(first, Branch("win-back", 0, 5_000)))
    for count in counted(db, both, other_rule, held_out, first=7_000_000):
        assert count == pytest.approx(MILLION // 4, abs=2_500)


def test_a_step_of_a_branch_is_named_after_it_and_numbered_in_the_order_of_the_file() -> None:
    rule = rule_of(SPLIT)
    named = {step.number: (step.name, step.word) for step in rule.steps}
    assert named == {
        1: ("1", "email"),
        4: ("2.short.2", "email"),
        6: ("2.long.2", "email"),
        8: ("2.long.4", "alert"),
        10: ("4", "email"),
    }


def test_a_guest_gets_the_rows_of_one_branch_and_those_after_it_follow_on_its_time(cafe: Cafe) -> None:
    guests = [cafe.guest(birthday=504) for _ in range(60)]
    rule = rule_of(SPLIT)
    result = cafe.run(rule, now=NOW)
    assert result.rules[0].act == len(guests)
    subjects = {step.number: getattr(step.settings, "subject", None) for step in rule.steps}
    ways = Counter()
    for match in cafe.matches:
        mine = [(row.step, (row.due_at - NOW) // DAY) for row in cafe.dispatches if row.match_id == match.id]
        ways[tuple((subjects[step] or step, days) for step, days in mine)] += 1
    short, long = ((1, 0), ("Short", 1), ("All", 2)), ((1, 0), ("Long", 5), (8, 7), ("All", 8))
    assert set(ways) == {short, long}
    assert 3 <= ways[short] <= 30


def test_a_guest_stays_in_the_branch_whoever_else_comes(cafe: Cafe) -> None:
    first = [cafe.guest(birthday=504) for _ in range(20)]
    cafe.run(rule_of(SPLIT), now=NOW)
    before = {match.customer_id: steps_of(cafe, match.id) for match in cafe.matches}
    for _ in range(20):
        cafe.guest(birthday=504)
    cafe.run(rule_of(SPLIT.replace("email: hello", "email: hello\n  - email: hello", 1)), now=NOW + 365 * DAY)
    after = {match.customer_id: steps_of(cafe, match.id) for match in cafe.matches if match.customer_id in first}
    assert {guest: 4 in steps for guest, steps in before.items()} == {
        guest: 5 in steps for guest, steps in after.items()
    }


def steps_of(cafe: Cafe, match: int) -> set[int]:
    return {row.step for row in cafe.dispatches if row.match_id == match}


def test_a_split_within_a_split_and_a_coupon_in_one_branch(cafe: Cafe) -> None:
    rule = rule_of(
        """
trigger:
  birthday:
actions:
  - split:
      gift:
        share: 50%
        actions:
          - coupon: treat
          - split:
              mail:
                share: 50%
                actions:
                  - email: gift
              text:
                share: 50%
                actions:
                  - sms: gift
      plain:
        share: 50%
        actions:
          - email: hello
"""
    )
    assert [step.name for step in rule.steps] == ["1.gift.1", "1.gift.2.mail.1", "1.gift.2.text.1", "1.plain.1"]
    for number in range(80):
        cafe.guest(birthday=504, sms=f"+1312555{number:04}")
    cafe.run(rule, now=NOW)
    ways = Counter(tuple(row.channel for row in cafe.dispatches if row.match_id == match.id) for match in cafe.matches)
    assert set(ways) == {("coupon", "email"), ("coupon", "sms"), ("email",)}
    assert {row.state for row in cafe.dispatches} == {"held"}


def test_who_cannot_be_reached_in_the_own_branch_is_refused_and_others_are_not(cafe: Cafe) -> None:
    rule = """
trigger:
  birthday:
actions:
  - split:
      mail:
        share: 50%
        actions:
          - email: hello
      text:
        share: 50%
        actions:
          - sms: hello
"""
    for _ in range(40):
        cafe.guest(birthday=504)  # without a phone
    verdicts = Counter(cafe.verdicts(rule, NOW).values())
    assert set(verdicts) == {("act", None), ("refused", "no_endpoint")}
    assert {row.channel for row in cafe.dispatches} == {"email"}
    assert len(cafe.dispatches) == verdicts["act", None]


@pytest.mark.parametrize("trouble", ["missing", "another branch's"])
def test_a_row_that_is_missing_or_of_another_branch_makes_the_run_red(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    from engine.evaluation import runner

    def spoilt(conn, queue):  # type: ignore[no-untyped-def]
        write(conn, queue)
        wrong = conn.scalar(select(func.max(dispatches.c.id)).where(dispatches.c.step.in_((4, 6))))
        other = {4: 6, 6: 4}
        step = conn.scalar(select(dispatches.c.step).where(dispatches.c.id == wrong))
        if trouble == "missing":
            conn.execute(dispatches.delete().where(dispatches.c.id == wrong))
        else:
            conn.execute(update(dispatches).where(dispatches.c.id == wrong).values(step=other[step]))

    write = runner.write_dispatches
    monkeypatch.setattr(runner, "write_dispatches", spoilt)
    cafe.guest(birthday=504)
    with pytest.raises(AssertionError, match="balanced=False"):
        cafe.run(rule_of(SPLIT), now=NOW)
