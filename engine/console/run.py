"""The order of a run: take in what lies in the inbox, evaluate, send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.console.session import Session
from engine.evaluation.preview import Preview
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due
from engine.language.problems import errors
from engine.language.times import business_day, start_of

if TYPE_CHECKING:
    from engine.dispatch.desk import Summary
    from engine.intake.report import ImportReport

Progress = Callable[[int], None]


@dataclass
class Rehearsal:
    """The clock of a run at another time than now: it stands still, and sleeping moves it on at once."""

    at: datetime

    def __call__(self) -> datetime:
        """Give the moment that is played."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Ran:
    """All that one run did. ``sent`` is by new state."""

    imports: tuple[ImportReport, ...]
    result: RunResult
    sent: Mapping[str, int]
    problems: tuple[str, ...] = field(default=())

    @property
    def red(self) -> bool:
        """Tell whether the numbers do not add up, or something could not go out."""
        return not self.result.balanced or bool(self.problems)


def dry_run(session: Session, at: datetime, *, only: str | None) -> tuple[RunResult, Preview]:
    """Evaluate and roll back."""
    preview = Preview(session.zone)
    result = run_due(session.db, session.home, at, only=only, dry_run=True, look=preview.look)
    return result, preview


def evaluate(session: Session, at: datetime, *, only: str | None) -> RunResult:
    """Evaluate for good."""
    return run_due(session.db, session.home, at, only=only, started_at=session.clock())


def send(
    session: Session,
    clock: Callable[[], datetime],
    progress: Progress,
    *,
    rehearsal: bool = False,
    limit: int | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Summary:
    """Send what is due; with ``sleep``, stay until the day's messages are out."""
    from engine.dispatch.desk import open_desk
    from engine.dispatch.stages import send_due, send_until

    desk = open_desk(session.db, session.home, now=clock, rehearsal=rehearsal, progress=progress)
    try:
        if sleep is None:
            return send_due(desk, limit=limit)
        return send_until(desk, until=end_of_day(session, clock()), sleep=sleep)
    finally:
        desk.carriers.close()


def end_of_day(session: Session, at: datetime) -> datetime:
    """Give the last second of the home's business day."""
    config = session.home.config
    tomorrow = business_day(at, session.zone, config.day_starts) + timedelta(days=1)
    return start_of(tomorrow, session.zone, config.day_starts) - timedelta(seconds=1)


def is_sound(session: Session) -> bool:
    """Tell whether no file of the home has an error."""
    return not errors(session.home.problems)
