"""What a run did, or a dry run would do, for a person to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from engine.console.page import Column, Page, visible
from engine.console.words import counted, day, moment, reason, tally
from engine.dispatch.states import INSIDE
from engine.evaluation.results import RuleResult, RunResult
from engine.language.phrases import said
from engine.language.rule import Rule
from engine.language.times import business_day
from engine.vocabulary.home import Home

if TYPE_CHECKING:
    from engine.evaluation.preview import First, Part, Planned, Preview, RulePreview

_WAITS: Final = "waits for data: "


def dry_run_report(
    page: Page, home: Home, result: RunResult, preview: Preview, *, reach: Mapping[str, int], waiting_files: int
) -> None:
    """Say what a run at that moment would do: the reachable, the data's age, and each rule."""
    zone = home.config.business.timezone
    page.line(f"Dry run for {moment(result.as_of, zone)} ({zone}): nothing is sent and nothing is kept.", "strong")
    page.line()
    _reach(page, home, result, reach)
    if waiting_files:
        page.line(
            f"{counted(waiting_files, 'file')} in {home.config.inbox.name}/ {'is' if waiting_files == 1 else 'are'} "
            "not looked at by a dry run: `regulars import FILE` takes one in now, the next run all of them.",
            "care",
        )
    rules = {rule.id: rule for rule in home.rules}
    waiting = _waiting_for_data(page, result)
    found = [each for each in result.rules if (each.matched or each.problems) and each.rule not in waiting]
    for each in found:
        _rule(page, home, rules[each.rule], each, preview.rules.get(each.rule))
    _others(page, home, result, {each.rule for each in found} | waiting)


def run_report(page: Page, home: Home, result: RunResult) -> None:
    """Say what the evaluation of a run found and queued."""
    zone = home.config.business.timezone
    if result.run is None:  # nothing was evaluated: the notice says why
        return
    page.line(f"Run {result.run} for {moment(result.as_of, zone)} ({zone})", "strong")
    found = [each for each in result.rules if each.matched]
    if found:
        page.table(
            [Column("rule"), *(Column(name, right=True) for name in ("matched", "act", "control", "refused"))],
            [(each.rule, each.matched, each.act, each.control, sum(each.refused.values())) for each in found],
            indent=2,
        )
    waiting = _waiting_for_data(page, result, indent=2)
    for each in result.rules:
        for problem in each.problems if each.rule not in waiting else ():
            page.line(f"{each.rule}: {problem}.", "bad" if each.bug else "care", indent=2)
        if not each.balanced:
            page.line(f"{each.rule}: the numbers do not add up; this run is red. Please report it.", "bad", indent=2)
    _others(page, home, result, {each.rule for each in result.rules if each.matched or each.problems})
    if result.queued:
        page.line(f"Queued: {tally(result.queued)}.")
    _held(page, [each for each in result.rules if each.held])


def _waiting_for_data(page: Page, result: RunResult, *, indent: int = 0) -> set[str]:
    """Say once for all rules of absence what they wait for, and which they are; give those."""
    names: dict[str, list[str]] = {}
    for each in result.rules:
        if len(each.problems) == 1 and each.problems[0].startswith(_WAITS):
            names.setdefault(each.problems[0].removeprefix(_WAITS), []).append(each.rule)
    for why, rules in names.items():
        page.line(
            f"{'Waits' if len(rules) == 1 else 'Wait'} for data: {', '.join(rules)}. {why[:1].upper()}{why[1:]}.",
            "care",
            indent=indent,
        )
    return {rule for rules in names.values() for rule in rules}


def sent_report(page: Page, sent: Mapping[str, int], *, inside: int = 0) -> None:
    """Say what became of what was due. ``inside``: so many of the sent are coupons, points and tags."""
    done, waits = {state: count for state, count in sent.items() if state != "pending"}, sent.get("pending", 0)
    if inside and done.get("sent"):
        done["sent"] -= inside
        done = {"coupons, points and tags": inside, **{state: count for state, count in done.items() if count}}
    said = f"Sent and done: {tally(done)}." if done else "Nothing was sent." if waits else "Nothing was due to be sent."
    page.line(said + (f" {counted(waits, 'message')} {'waits' if waits == 1 else 'wait'}." if waits else ""))


def _reach(page: Page, home: Home, result: RunResult, reach: Mapping[str, int]) -> None:
    config = home.config
    page.line(
        f"May get marketing: {counted(reach.get('email', 0), 'guest')} by email, {reach.get('sms', 0):,} by SMS, "
        f"{reach.get('any', 0):,} by one or the other."
    )
    zone = config.business.timezone
    if result.newest_order is None:
        page.line("There are no orders yet: `regulars import FILE` brings them in.", "care")
        return
    days = (
        business_day(result.as_of, zone, config.day_starts) - business_day(result.newest_order, zone, config.day_starts)
    ).days
    age = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    asked = "rules of absence never wait (data: fresh is off)"
    if config.fresh is not None:
        asked = f"rules of absence wait when it is older than {config.fresh}"
    page.line(f"The newest order is of {moment(result.newest_order, zone)}, {age}; {asked}.")


def _rule(page: Page, home: Home, rule: Rule, result: RuleResult, preview: RulePreview | None) -> None:
    page.heading(rule.id)
    if rule.about:
        page.line(visible(rule.about), "faint", indent=2)
    for problem in result.problems:
        page.line(f"{problem[:1].upper()}{problem[1:]}.", "bad" if result.bug else "care", indent=2)
    if not result.matched:
        return
    refused = sum(result.refused.values())
    page.line(
        f"{counted(result.matched, 'guest')} matched: {result.act:,} act, {result.control:,} control (get nothing, to "
        f"compare), {refused:,} refused",
        indent=2,
    )
    if refused:
        page.table(
            [Column("", right=True), Column("")],
            [(f"{count:,}", reason(why)) for why, count in _most_first(result.refused)],
            indent=4,
        )
    if result.held:
        page.line(f"Held: {reason(result.held)}. To let it go out: regulars approve {rule.id}", "care", indent=2)
    if preview is None:
        return
    if preview.planned:
        page.table(
            [Column("step", right=True), Column("what"), Column("when"), Column("guests", right=True), Column("")],
            [_planned_row(home, rule, each) for each in preview.planned],
            indent=2,
        )
    for first in preview.firsts:
        page.line(_first(rule, first, home.config.business.timezone, page.language), indent=2)


def _planned_row(home: Home, rule: Rule, each: Planned) -> tuple[object, ...]:
    goes = each.state in {"pending", "held"}
    when = f"{day(each.day)} from {each.first.astimezone(home.config.business.timezone):%H:%M}" if goes else ""
    step = rule.step(each.step)
    why = each.state if goes and each.state == "held" else "" if goes else f"{each.state}: {reason(each.reason)}"
    return step.name, step.settings.sentence(), when, f"{each.count:,}", why


def _first(rule: Rule, first: First, zone: ZoneInfo, language: str) -> str:
    parts = [what for part in first.parts if (what := _part(rule, part, language))]
    name = visible(first.name) or "(no name)"
    other = any(
        part.due_at.replace(tzinfo=first.zone).utcoffset() != part.due_at.replace(tzinfo=zone).utcoffset()
        for part in first.parts
    )
    clock = f" (on the guest's clock, {first.zone})" if other and parts else ""
    return f"{visible(first.customer)} {name}: {', '.join(parts) or 'nothing that could go'}{clock}"


def _part(rule: Rule, part: Part, language: str) -> str:
    if part.state not in {"pending", "held"}:
        return ""
    what: str = said(rule.step(part.step).settings.sentence(), language)
    return what if part.channel in INSIDE else f"{what} {part.due_at:%a %d %b %H:%M}"


def _others(page: Page, home: Home, result: RunResult, told: set[str]) -> None:
    """Name the rules that found nobody, and those whose time has not come."""
    config = home.config
    rules = {rule.id: rule for rule in home.rules}
    today = business_day(result.as_of, config.business.timezone, config.day_starts)
    nobody = [each.rule for each in result.rules if each.due and each.rule not in told]
    off = [each.rule for each in result.rules if not each.due and not rules[each.rule].active.on(today)]
    later = [each.rule for each in result.rules if not each.due and each.rule not in off]
    if nobody or later or off:
        page.line()
    if nobody:
        page.line(f"Found nobody: {', '.join(nobody)}")
    for at, names in _by_time(later, lambda name: rules[name].schedule.next(result.as_of, config.business.timezone)):
        page.line(f"Not due before {moment(at, config.business.timezone)}: {', '.join(names)}", "faint")
    if off:
        page.line(f"Switched off: {', '.join(off)}", "faint")


def _by_time(names: Iterable[str], when: Callable[[str], datetime]) -> list[tuple[datetime, list[str]]]:
    timed = sorted((when(name), name) for name in names)
    return [(at, [name for _, name in each]) for at, each in groupby(timed, key=lambda pair: pair[0])]


def _held(page: Page, held: Sequence[RuleResult]) -> None:
    for each in held:
        page.line(f"{each.rule} waits for you: {reason(each.held)}. Look, then: regulars approve {each.rule}", "care")


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))
