"""The holdout of the whole home: the same guests get no marketing of any rule."""

from __future__ import annotations

from dataclasses import replace

from small_world import CONFIG, Cafe, at, home_of, rule_of

NOW = at("2026-05-04 10:00")
RULE = "id: {id}\ntrigger:\n  birthday:\n{more}actions:\n  - email: hello\n"


def with_holdout(cafe: Cafe, share: str = "30%") -> list[int]:
    cafe.home = home_of(f"{CONFIG}holdout: {share}\n")
    return [cafe.guest(birthday=504) for _ in range(100)]


def controls(cafe: Cafe, name: str, more: str = "") -> set[int]:
    verdicts = cafe.verdicts(rule_of(RULE.format(id=name, more=more)), NOW)
    assert set(verdicts.values()) <= {("act", None), ("control", None)}
    return {guest for guest, (verdict, _) in verdicts.items() if verdict == "control"}


def test_the_same_guests_get_nothing_of_any_rule(cafe: Cafe) -> None:
    with_holdout(cafe)
    held_out = controls(cafe, "one")
    assert 15 <= len(held_out) <= 45
    assert controls(cafe, "two") == held_out
    assert {match.customer_id for match in cafe.matches if match.verdict == "act"}.isdisjoint(held_out)


def test_a_rules_own_holdout_comes_on_top_and_draws_others(cafe: Cafe) -> None:
    with_holdout(cafe)
    held_out, both = controls(cafe, "one"), controls(cafe, "two", "holdout: 50%\n")
    assert held_out < both
    assert 40 <= len(both) <= 85


def test_service_reaches_them(cafe: Cafe) -> None:
    with_holdout(cafe)
    assert controls(cafe, "sorry", "purpose: service\n") == set()


def test_no_share_holds_nobody_out(cafe: Cafe) -> None:
    with_holdout(cafe, "0%")
    assert controls(cafe, "one") == set()
    assert replace(cafe.home.config, holdout=0) == cafe.home.config
