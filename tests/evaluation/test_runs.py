"""Runs: which rules are due, dry run and run, pauses, brakes, files that change, and the sum that must be right."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_world import CONFIG, Cafe, at, home_of, write_home
from sqlalchemy import select, update

from engine.database.facts import rebuild
from engine.database.tables import dispatches, matches, rule_versions, rules, runs
from engine.evaluation.runner import run_due
from engine.vocabulary.home import load_home

MONDAY = at("2026-05-04 10:00")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BIRTHDAY = "id: birthday\ntrigger:\n  birthday:\n"
LAPSED = "id: lapsed\ntrigger:\n  lapsed:\n    after: 10 days\n    up_to: 13 days\n"
ORDERED = "id: ordered\ntrigger:\n  ordered:\n"


def decided(cafe: Cafe) -> set[tuple[Any, ...]]:
    return {(row.rule_id, row.customer_id, row.occasion, row.verdict, row.reason, row.closes) for row in cafe.matches}


def few_guests(cafe: Cafe) -> list[int]:
    """Birthdays and last orders over a fortnight."""
    guests = []
    for day in range(14):
        guest = cafe.guest(birthday=(MONDAY + day * DAY).month * 100 + (MONDAY + day * DAY).day)
        cafe.order(guest, MONDAY + (day - 14) * DAY + HOUR)
        guests.append(guest)
    return guests


# -- when a rule is due ------------------------------------------------------------------------------------------------


def test_a_rule_never_evaluated_is_due_and_then_with_each_slot_of_its_schedule(cafe: Cafe) -> None:
    rule = f"{BIRTHDAY}schedule: daily at 10:00\n"
    moments = ("05-04 09:00", "05-04 09:59", "05-04 10:00", "05-04 23:00", "05-05 10:15")
    due = [cafe.run(rule, now=at(f"2026-{moment}")).rules[0].due for moment in moments]
    assert due == [True, False, True, False, True]


def test_only_forces_one_rule_and_leaves_the_others(cafe: Cafe) -> None:
    cafe.run(BIRTHDAY, LAPSED, now=MONDAY)
    result = cafe.run(BIRTHDAY, LAPSED, now=MONDAY + HOUR, only="lapsed")
    assert [(rule.rule, rule.due) for rule in result.rules] == [("lapsed", True)]


def test_a_rule_that_is_not_active_does_nothing(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    found = []
    for active in (
        "false",
        "\n  from: 2026-05-05",
        "\n  until: 2026-05-03",
        "\n  from: 2026-05-04\n  until: 2026-05-04",
    ):
        result = cafe.run(f"{BIRTHDAY}active: {active}\n", now=MONDAY, only="birthday")
        found.append((result.rules[0].due, result.rules[0].matched))
    assert found == [(False, 0)] * 3 + [(True, 1)]


def test_a_clock_that_went_back_evaluates_nothing_and_says_so(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    cafe.run(LAPSED, now=MONDAY + DAY)
    result = cafe.run(BIRTHDAY, now=MONDAY)
    assert (result.rules, result.run) == ((), None)
    assert "2026-05-04 10:00" in (result.notice or "")
    assert cafe.matches == []
    assert cafe.run(BIRTHDAY, now=MONDAY + DAY - timedelta(seconds=60)).notice is None


# -- level semantics ---------------------------------------------------------------------------------------------------


def test_daily_hourly_and_once_after_a_pause_within_the_window_decide_the_same(cafe: Cafe) -> None:
    guests = few_guests(cafe)
    for guest in guests[:3]:
        cafe.rating(guest, MONDAY + 2 * HOUR, 1)
    rating = "id: rating\ntrigger:\n  low_rating: 2\nactions:\n  - alert: hello\nschedule: every 15 minutes\n"
    ends = MONDAY + DAY + 6 * HOUR
    found = []
    for moments in ([MONDAY + number * HOUR for number in range(31)], [MONDAY, MONDAY + DAY, ends], [ends]):
        for moment in moments:
            cafe.run(f"{BIRTHDAY}schedule: every 15 minutes\n", rating, now=moment)
        found.append(decided(cafe))
        with cafe.db.begin() as conn:
            for table in (dispatches, matches, runs, rule_versions):
                conn.execute(table.delete())
            conn.execute(update(rules).values(watermark=None))
    assert len(found[0]) == 2 + 3
    assert found[0] == found[1] == found[2]


def test_what_closed_during_a_pause_is_listed_once_as_expired(cafe: Cafe) -> None:
    guests = few_guests(cafe)
    cafe.run(BIRTHDAY, LAPSED, now=MONDAY)
    cafe.run(BIRTHDAY, LAPSED, now=MONDAY + 7 * DAY)
    again = cafe.run(BIRTHDAY, LAPSED, now=MONDAY + 7 * DAY + HOUR, only="birthday")
    assert again.rules[0].matched == 0
    names = {row.id: row.rule for row in cafe.rows(rules)}
    verdicts = {(names[row.rule_id], row.customer_id): (row.verdict, row.reason) for row in cafe.matches}
    expired, act = ("refused", "expired"), ("act", None)
    birthdays = {guest: act if day in {0, 6, 7} else expired for day, guest in enumerate(guests[:8])}
    assert {who: verdict for (rule, who), verdict in verdicts.items() if rule == "birthday"} == birthdays
    # Last orders of 14 to 1 days ago on Monday: open then at 10, 11, 12 days, on the next Monday at the same ages.
    lapsed = {who: verdict for (rule, who), verdict in verdicts.items() if rule == "lapsed"}
    assert lapsed == {
        **dict.fromkeys(guests[2:5], act),
        **dict.fromkeys(guests[5:9], expired),
        **dict.fromkeys(guests[9:12], act),
    }
    assert {row.state for row in cafe.dispatches} == {"held"}


def test_a_first_run_lists_nothing_as_expired(cafe: Cafe) -> None:
    few_guests(cafe)
    result = cafe.run(BIRTHDAY, LAPSED, ORDERED, now=MONDAY + 9 * DAY)
    assert all("expired" not in rule.refused for rule in result.rules)


def test_at_risk_that_opened_and_closed_in_a_pause_is_expired_and_what_was_open_before_is_not(cafe: Cafe) -> None:
    rule = "id: risk\ntrigger:\n  at_risk:\n    min_visits: 3\n    at_least: 5 days\n    up_to: 20 days\n"
    weekly, daily = cafe.guest(), cafe.guest()
    last = MONDAY - 12 * DAY
    for visit in range(4):
        cafe.order(weekly, last - visit * 5 * DAY)
        cafe.order(daily, last - visit * DAY)
    assert cafe.verdicts(rule, MONDAY) == {daily: ("act", None)}  # 12 days: over 3 x 1, not yet over 3 x 5
    with cafe.db.begin() as conn:
        conn.execute(matches.delete().where(matches.c.customer_id == 0))
    assert cafe.verdicts(rule, MONDAY + 30 * DAY) == {weekly: ("refused", "expired")}
    assert cafe.verdicts(rule, MONDAY + 31 * DAY) == {}


def test_orders_of_a_pause_expire_by_the_second(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.run(ORDERED, now=MONDAY)
    before, unseen, open_still = (cafe.order(guest, MONDAY + offset) for offset in (-HOUR, HOUR, 2 * DAY))
    assert cafe.verdicts(ORDERED, MONDAY + 4 * DAY) != {}
    found = {row.occasion: (row.verdict, row.reason) for row in cafe.matches}
    assert found == {unseen: ("refused", "expired"), open_still: ("act", None)}
    assert before not in found


# -- dry run, second run -----------------------------------------------------------------------------------------------


def test_a_dry_run_is_the_run_and_leaves_no_trace(cafe: Cafe) -> None:
    few_guests(cafe)
    cafe.run(BIRTHDAY, now=MONDAY - DAY)
    before = cafe.counts()
    written = (BIRTHDAY, LAPSED, f"{ORDERED}holdout: 30%\n")
    dry = [cafe.run(*written, now=MONDAY, dry_run=True).to_json() for _ in range(2)]
    assert cafe.counts() == before
    live = cafe.run(*written, now=MONDAY).to_json()
    assert dry[0] == dry[1]
    assert dry[0]["run"] is None
    assert {key: dry[0][key] for key in ("rules", "queued", "balanced")} == {
        key: live[key] for key in ("rules", "queued", "balanced")
    }
    assert sum(rule["matched"] for rule in live["rules"]) > 5


def test_a_second_run_adds_nothing(cafe: Cafe) -> None:
    few_guests(cafe)
    written = (BIRTHDAY, LAPSED, ORDERED)
    cafe.run(*written, now=MONDAY)
    before = decided(cafe), len(cafe.dispatches)
    for rule in ("birthday", "lapsed", "ordered"):
        result = cafe.run(*written, now=MONDAY, only=rule)
        assert (result.rules[0].matched, result.queued) == (0, {})
    assert (decided(cafe), len(cafe.dispatches)) == before


def test_the_run_balances_in_the_database(cafe: Cafe) -> None:
    few_guests(cafe)
    cafe.guest(birthday=504, email=None)
    rule = f"{BIRTHDAY}actions:\n  - coupon: treat\n  - email: gift\n  - wait: 2 days\n  - sms: hello\nholdout: 20%\n"
    (result,) = cafe.run(rule, now=MONDAY).rules
    assert result.matched == result.act + result.control + sum(result.refused.values()) == len(cafe.matches)
    assert sum(result.queued.values()) == result.act * 3 == len(cafe.dispatches)


# -- brakes ------------------------------------------------------------------------------------------------------------


def test_a_rule_waits_for_its_first_approval_then_goes(cafe: Cafe) -> None:
    few_guests(cafe)
    first = cafe.run(BIRTHDAY, now=MONDAY)
    assert first.rules[0].held == "first_approval"
    cafe.approve("birthday")
    second = cafe.run(BIRTHDAY, now=MONDAY + DAY)
    assert (second.rules[0].held, second.queued) == (None, {"pending": 1})
    changed = cafe.run(f"{BIRTHDAY}conditions:\n  orders: 1\n", now=MONDAY + 2 * DAY)
    assert (changed.rules[0].held, changed.queued) == (None, {"pending": 1})
    assert [(row.state, row.reason) for row in cafe.dispatches] == [
        ("held", "first_approval"),
        ("pending", None),
        ("pending", None),
    ]


@pytest.mark.parametrize("approvals", ["always", "two"])
def test_a_changed_rule_waits_again_where_each_change_wants_approval(cafe: Cafe, approvals: str) -> None:
    few_guests(cafe)
    cafe.home = home_of(CONFIG.replace("approvals: first", f"approvals: {approvals}"))
    cafe.run(BIRTHDAY, now=MONDAY)
    cafe.approve("birthday")
    assert cafe.run(f"{BIRTHDAY}about: New words only.\n", now=MONDAY + DAY).rules[0].held is None
    assert cafe.run(f"{BIRTHDAY}conditions:\n  orders: 1\n", now=MONDAY + 2 * DAY).rules[0].held == "changed"


def test_more_than_max_matches_wait_and_none_is_left_out(cafe: Cafe) -> None:
    for _ in range(3):
        cafe.guest(birthday=504)
        cafe.guest(birthday=505)
    rule = f"{BIRTHDAY}limits:\n  max_matches: 3\n"
    cafe.run(rule, now=MONDAY - DAY)
    cafe.approve("birthday")
    assert cafe.run(rule, now=MONDAY).queued == {"pending": 3}
    tighter = f"{BIRTHDAY}limits:\n  max_matches: 2\n"
    result = cafe.run(tighter, now=MONDAY + DAY)
    assert (result.rules[0].held, result.queued) == ("max_matches", {"held": 3})


def test_a_run_that_writes_to_more_than_its_share_waits_from_the_51st_guest_on(cafe: Cafe) -> None:
    cafe.run(BIRTHDAY, now=MONDAY - DAY)
    cafe.approve("birthday")
    for number in range(101):
        cafe.guest(birthday=504 if number < 50 else 505)
    few = cafe.run(BIRTHDAY, now=MONDAY)
    assert (few.rules[0].act, few.rules[0].held) == (50, None)
    many = cafe.run(BIRTHDAY, now=MONDAY + DAY)
    assert (many.rules[0].act, many.rules[0].held, many.queued) == (51, "blast", {"held": 51})


# -- fresh data --------------------------------------------------------------------------------------------------------


def test_rules_of_absence_wait_for_fresh_data_and_say_what_is_missing(cafe: Cafe) -> None:
    cafe.home = home_of(CONFIG.replace("fresh: off", "fresh: 2 days"))
    guest = cafe.guest(birthday=504)
    risk = "id: risk\ntrigger:\n  at_risk:\n"
    nothing = cafe.run(LAPSED, now=MONDAY)
    assert nothing.rules[0].problems == ("waits for data: there are no orders yet; import the till's orders",)
    cafe.order(guest, MONDAY - 10 * DAY)
    stale = cafe.run(LAPSED, risk, BIRTHDAY, now=MONDAY)
    assert [(rule.rule, rule.matched, bool(rule.problems)) for rule in stale.rules] == [
        ("lapsed", 0, True),
        ("risk", 0, True),
        ("birthday", 1, False),
    ]
    assert "the newest order is of 2026-04-24 10:00, older than 2 days" in stale.rules[0].problems[0]
    walk_in = MONDAY - 2 * DAY
    cafe.order(None, walk_in)
    assert cafe.run(LAPSED, now=MONDAY).rules[0].matched == 1


def test_fresh_counts_business_days(cafe: Cafe) -> None:
    cafe.home = home_of(CONFIG.replace("fresh: off", "fresh: 2 days"))
    cafe.order(None, at("2026-05-02 04:00"))
    waits = [
        bool(cafe.run(LAPSED, now=at(m), only="lapsed").rules[0].problems)
        for m in ("2026-05-05 03:59", "2026-05-05 04:00")
    ]
    assert waits == [False, True]


def test_what_closed_while_waiting_for_data_is_listed_when_it_comes(cafe: Cafe) -> None:
    cafe.home = home_of(CONFIG.replace("fresh: off", "fresh: 2 days"))
    guest = cafe.guest()
    cafe.order(guest, MONDAY - 9 * DAY)
    cafe.order(None, MONDAY)
    cafe.run(LAPSED, now=MONDAY)
    assert cafe.run(LAPSED, now=MONDAY + 4 * DAY).rules[0].problems
    cafe.order(None, MONDAY + 5 * DAY)
    assert cafe.verdicts(LAPSED, MONDAY + 5 * DAY) == {guest: ("refused", "expired")}


# -- files that change -------------------------------------------------------------------------------------------------


def active(cafe: Cafe) -> dict[str, bool]:
    return {row.rule: row.active for row in cafe.rows(rules)}


def run_home(cafe: Cafe, root: Path, now: datetime) -> Any:
    with cafe.db.begin() as conn:
        rebuild(conn, now)
    return run_due(cafe.db, load_home(root, {}), now)


def test_a_rule_whose_file_is_gone_is_switched_off_and_a_broken_one_stays(cafe: Cafe, tmp_path: Path) -> None:
    body = "trigger:\n  birthday:\nactions:\n  - email: hello\n"
    root = write_home(tmp_path, files={f"rules/{name}.yaml": f"id: {name}\n{body}" for name in ("a", "b")})
    run_home(cafe, root, MONDAY)
    assert active(cafe) == {"a": True, "b": True}
    (root / "rules/a.yaml").write_text("id: a\ntriger:\n", encoding="utf-8")
    (root / "rules/b.yaml").unlink()
    result = run_home(cafe, root, MONDAY + DAY)
    # The broken file may be either of the two, renamed: nothing is taken for gone.
    assert (result.rules, active(cafe)) == ((), {"a": True, "b": True})
    (root / "rules/a.yaml").write_text(f"id: a\n{body}", encoding="utf-8")
    run_home(cafe, root, MONDAY + 2 * DAY)
    assert active(cafe) == {"a": True, "b": False}
    (root / "rules/b.yaml").write_text(f"id: b\n{body}", encoding="utf-8")
    run_home(cafe, root, MONDAY + 3 * DAY)
    assert active(cafe) == {"a": True, "b": True}


def test_a_rules_folder_that_is_not_there_for_a_moment_ends_no_journey(cafe: Cafe, tmp_path: Path) -> None:
    body = "id: a\ntrigger:\n  birthday:\nactions:\n  - email: hello\n"
    root = write_home(tmp_path, files={"rules/a.yaml": body})
    run_home(cafe, root, MONDAY)
    (root / "rules/a.yaml").unlink()
    (root / "rules").rmdir()
    run_home(cafe, root, MONDAY + DAY)
    assert active(cafe) == {"a": True}


def test_a_renamed_file_or_a_reworded_rule_sends_nothing_again(cafe: Cafe, tmp_path: Path) -> None:
    cafe.guest(birthday=504)
    body = "id: a\ntrigger:\n  birthday:\nactions:\n  - email: hello\n"
    root = write_home(tmp_path, files={"rules/a.yaml": body})
    assert run_home(cafe, root, MONDAY).rules[0].act == 1
    (root / "rules/a.yaml").rename(root / "rules/z.yaml")
    assert run_home(cafe, root, MONDAY + DAY).rules[0].matched == 0
    (root / "rules/z.yaml").write_text(f"{body}about: Other words.\n", encoding="utf-8")
    (result,) = run_home(cafe, root, MONDAY + DAY).rules
    assert result.matched == 0
    assert [(row.rule, row.path) for row in cafe.rows(rules)] == [("a", "rules/z.yaml")]


def test_two_files_with_one_id_both_wait(cafe: Cafe, tmp_path: Path) -> None:
    cafe.guest(birthday=504)
    body = "id: a\ntrigger:\n  birthday:\nactions:\n  - email: hello\n"
    root = write_home(tmp_path, files={"rules/a.yaml": body, "rules/a-copy.yaml": body})
    home = load_home(root, {})
    assert (home.rules, home.broken) == ((), {"rules/a.yaml", "rules/a-copy.yaml"})


def test_a_broken_segment_stops_the_rules_that_use_it_and_no_other(cafe: Cafe, tmp_path: Path) -> None:
    body = "trigger:\n  birthday:\nactions:\n  - email: hello\nconditions:\n  "
    segments = (
        "broken:\n  conditions:\n    spend:\n      atleast: 500\nuses:\n  conditions:\n    any:\n      - segment: broken\n"
        "fine:\n  conditions:\n    orders: 0\n"
    )
    named = {f"rules/{name}.yaml": f"id: {name}\n{body}segment: {name}\n" for name in ("broken", "uses", "fine")}
    home = load_home(write_home(tmp_path, files={"config/segments.yaml": segments, **named}), {})
    assert [rule.id for rule in home.rules] == ["fine"]
    assert home.broken == {"rules/broken.yaml", "rules/uses.yaml"}
    assert {problem.code for problem in home.problems} == {"unknown-key", "broken-segment"}


# -- many guests -------------------------------------------------------------------------------------------------------


def test_a_holdout_of_10_percent_is_about_that_and_the_same_for_ever(cafe: Cafe) -> None:
    from sqlalchemy import BigInteger, literal

    from engine.database.packed import values_cte
    from engine.evaluation.permission import bucket

    ids = [*range(1, 5001), *range(2**31 - 3, 2**31 + 2000), *range(10**12, 10**12 + 3000)]
    table = values_cte("ids", ("id",), [(each,) for each in ids])
    with cafe.db.connect() as conn:
        found: dict[str, list[int]] = {
            salt: list(conn.scalars(select(bucket(table.c.id, salt)).order_by(table.c.id)))
            for salt in ("a", "win-back")
        }
        assert conn.scalar(select(bucket(literal(4711, BigInteger), "win-back"))) == 4679
    for buckets in found.values():
        assert all(0 <= each < 10_000 for each in buckets)
        assert 0.085 < sum(each < 1000 for each in buckets) / len(ids) < 0.115
    both = sum(a < 1000 and b < 1000 for a, b in zip(found["a"], found["win-back"], strict=True))
    assert both / len(ids) < 0.02
