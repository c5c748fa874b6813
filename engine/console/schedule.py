"""When rules are looked at, how to call ``run`` by itself, and whether the calls that were made can work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from engine.console.page import Column, Page
from engine.console.session import Session
from engine.console.words import moment
from engine.database.tables import dispatches, rules, runs
from engine.language.contacts import Channel
from engine.language.hours import Hours, Opening, is_open
from engine.language.rule import Rule
from engine.language.schedules import Schedule
from engine.language.times import business_day
from engine.vocabulary.home import Home

EVERY_MINUTES: Final = 15
#: Fewer runs than this say nothing about a habit.
FEWEST: Final = 3
_LOOK_BACK: Final = timedelta(days=14)
_SLACK: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Slots:
    """One rule's times: the last evaluation, and the next ones; none for a rule that is switched off."""

    rule: Rule
    last: datetime | None
    following: tuple[datetime, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the stable keys of ``schedule --format json``."""
        return {
            "rule": self.rule.id,
            "schedule": self.rule.schedule.text,
            "last": None if self.last is None else self.last.isoformat(),
            "next": [at.isoformat() for at in self.following],
        }


def slots(session: Session, now: datetime, *, number: int = 3) -> list[Slots]:
    """Give each rule's last evaluation and its next slots, the soonest rule first."""
    config = session.home.config
    with session.look() as conn:
        last: dict[str, datetime | None] = {
            row.rule: row.watermark for row in conn.execute(select(rules.c.rule, rules.c.watermark))
        }
    found = []
    for rule in session.home.rules:
        following: list[datetime] = []
        if rule.active.on(business_day(now, config.business.timezone, config.day_starts)):
            at = now
            for _ in range(number):
                at = rule.schedule.next(at, config.business.timezone)
                following.append(at)
        found.append(Slots(rule, last.get(rule.id), tuple(following)))
    return sorted(found, key=lambda each: (not each.following, each.following[:1], each.rule.id))


def shown(session: Session, now: datetime, shape: str) -> str:
    """Say when each rule is looked at, as a table or as JSON, one object a line."""
    page, zone = Page(language=session.language), session.zone
    found = slots(session, now)
    if shape == "json":
        page.json_lines(each.to_json() for each in found)
        return page.text
    page.table(
        [Column("rule"), Column("schedule"), Column("last"), Column("next"), Column("then")],
        [
            (
                each.rule.id,
                each.rule.schedule.sentence,
                moment(each.last, zone) or "never",
                moment(each.following[0], zone) if each.following else "switched off",
                ", ".join(moment(at, zone) for at in each.following[1:]),
            )
            for each in found
        ],
    )
    return page.text


# ---------------------------------------------------------------------------------------------------------------------
# Calling it.


def program() -> list[str]:
    """Give the words that start this Regulars from anywhere."""
    called = Path(sys.argv[0])
    if called.is_file() and called.stem == "regulars":
        return [str(called.absolute())]
    return [sys.executable, "-m", "cli"]


def calls(root: Path) -> Iterator[tuple[str, str]]:
    """Give for cron, launchd and Windows' Task Scheduler what to enter where, and the lines."""
    words = [*program(), "--home", str(root), "run"]
    line = shlex.join(words).replace("%", "\\%")  # cron takes a bare % for the end of the line
    yield "Linux and others with cron: run `crontab -e` and add the line", f"*/{EVERY_MINUTES} * * * * {line}"
    yield (
        "macOS: save as ~/Library/LaunchAgents/regulars.plist and run `launchctl load` with that file's name",
        _plist(words),
    )
    task = " ".join(f'\\"{word}\\"' if " " in word or "\\" in word else word for word in words)
    yield (
        "Windows: in a command prompt",
        f'schtasks /Create /TN "Regulars" /SC MINUTE /MO {EVERY_MINUTES} /TR "{task}"',
    )


def _plist(words: Sequence[str]) -> str:
    from xml.sax.saxutils import escape

    arguments = "".join(f"    <string>{escape(word)}</string>\n" for word in words)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
        '<plist version="1.0">\n<dict>\n'
        "  <key>Label</key>\n  <string>regulars</string>\n"
        f"  <key>ProgramArguments</key>\n  <array>\n{arguments}  </array>\n"
        f"  <key>StartInterval</key>\n  <integer>{EVERY_MINUTES * 60}</integer>\n"
        "</dict>\n</plist>"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Whether the calls that were made can work.


def recent_runs(conn: Connection, now: datetime) -> list[datetime]:
    """Give when runs were started in the last fortnight, oldest first; rehearsals at another time are left out."""
    rows = conn.execute(
        select(runs.c.started_at, runs.c.as_of).where(runs.c.started_at > now - _LOOK_BACK).order_by(runs.c.started_at)
    )
    return [row.started_at for row in rows if abs(row.started_at - row.as_of) < _SLACK]


def recent_channels(conn: Connection, now: datetime) -> set[str]:
    """Give the channels on which something went out in the last fortnight: a waiting run sends at other hours."""
    handed = select(dispatches.c.channel).where(dispatches.c.handed_at > now - _LOOK_BACK).distinct()
    return set(conn.scalars(handed))


def habits(home: Home, started: Sequence[datetime], sent_on: Collection[str], now: datetime) -> list[str]:
    """Say what is wrong with how often, and when, runs are started. ``started`` is sorted."""
    if len(started) < FEWEST:
        return []
    config = home.config
    today = business_day(now, config.business.timezone, config.day_starts)
    active = [rule for rule in home.rules if rule.active.on(today)]
    gaps = sorted(later - earlier for earlier, later in pairwise(started))
    usual = gaps[len(gaps) // 2]
    said = []
    rarer: dict[str, list[str]] = {}
    for rule in active:
        if shortest_gap(rule.schedule, now, config.business.timezone) < usual - _SLACK:
            rarer.setdefault(rule.schedule.sentence, []).append(rule.id)
    for sentence, names in rarer.items():
        said.append(
            f"runs are started every {_span(usual)} or so, but {_list(names)} should be looked at {sentence}: "
            f"call `regulars run` every {EVERY_MINUTES} minutes"
        )
    never = [rule.id for rule in active if not _ever_open(home, rule, started, sent_on)]
    if never:
        said.append(
            f"no run of the last {_LOOK_BACK.days} days was in the hours in which messages of {_list(never)} may go "
            f"out: call `regulars run` every {EVERY_MINUTES} minutes, or once a day `regulars run --wait`"
        )
    return said


def shortest_gap(schedule: Schedule, now: datetime, zone: ZoneInfo) -> timedelta:
    """Give the least time between two of the next slots."""
    times, at = [], now
    for _ in range(8):
        at = schedule.next(at, zone)
        times.append(at)
    return min(later - earlier for earlier, later in pairwise(times))


def _ever_open(home: Home, rule: Rule, started: Sequence[datetime], sent_on: Collection[str]) -> bool:
    """Tell whether each channel of the rule has sent, or some run was at an hour at which it may (the home's clock)."""
    zone = home.config.business.timezone
    channels = {channel for step in rule.steps if (channel := step.settings.channel)}
    return all(
        channel in sent_on
        or any(is_open(at, zone, _hours(home, rule, channel), rule.send.between, rule.send.on) for at in started)
        for channel in channels
    )


def _hours(home: Home, rule: Rule, channel: Channel) -> Hours | Opening:
    return home.config.law.opening(home.config.hours[channel], channel, None, rule.purpose)


def _span(gap: timedelta) -> str:
    minutes = round(gap.total_seconds() / 60)
    if minutes < 90:  # noqa: PLR2004
        return f"{max(minutes, 1)} minutes"
    hours = round(minutes / 60)
    return f"{hours} hours" if hours < 36 else f"{round(hours / 24)} days"  # noqa: PLR2004


def _list(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
