"""The order of a run: take in what lies in the inbox, evaluate, send."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from engine.console import ledger
from engine.console.brakes import closed, silent, stopped
from engine.console.exits import FINE, NOT_NOW, WRONG
from engine.console.given_up import GivenUp, given_up
from engine.console.importing import complaint, take_inbox, told
from engine.console.page import Page, colored, counter
from engine.console.report import dry_run_report, run_report, sent_report
from engine.console.session import Clock, Session, alone, rule_named
from engine.dispatch.desk import Desk, Summary, open_desk
from engine.dispatch.instance import StrangeDatabaseError
from engine.dispatch.journal import FOLDER, JournalError, prune
from engine.dispatch.stages import send_due, send_until, stay_for_rate
from engine.evaluation.clock import Watch
from engine.evaluation.permission import implied_terms, reachable
from engine.evaluation.register import register
from engine.evaluation.results import RuleResult, RunResult
from engine.evaluation.runner import run_due
from engine.intake.inbox import waiting
from engine.intake.report import ImportReport
from engine.language.keys import KeyFileError
from engine.language.phrases import Phrase, phrase, said
from engine.language.problems import ProblemsError, errors, to_text
from engine.language.times import business_day, start_of
from engine.vocabulary.home import load_home

if TYPE_CHECKING:
    from engine.console.bouncing import Back
    from engine.console.cost import Costs
    from engine.console.crew import Crew
    from engine.evaluation.preview import Preview

Progress = Callable[[int], None]
#: So long does a run stay where only a rate keeps messages back; then the next one, in a quarter of an hour, goes on.
BRIEFLY: Final = timedelta(minutes=10)
COUNTED: Final = "Sent and done:"


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
    """All that one run, dry or not, did.

    ``preview``, ``costs`` and ``reach`` (whom marketing may reach, by channel) are given of a dry run, ``summary`` of
    another.
    """

    session: Session
    result: RunResult
    preview: Preview | None = None
    costs: Costs | None = None
    reach: Mapping[str, int] = field(default_factory=dict)
    imports: Sequence[ImportReport] = field(default=())
    summary: Summary | None = None
    closed: Sequence[str] = ()  #: what kept messages in
    stopped: bool = False  #: a provider's answer has stopped a channel until a person acts
    given_up: GivenUp = field(default=GivenUp())
    silent: Sequence[str] = ()  #: the servers that do not answer, a sentence each
    halted: str = ""  #: why nothing may leave for now, a sentence
    back: Back | None = None  #: the mail that came back; None: the config does not say where it lies

    @property
    def failed(self) -> bool:
        """Tell whether it ends with exit code 1: a problem in what the owner wrote, a stopped channel, or a red run."""
        return (
            not self.result.balanced
            or bool(errors(self.session.home.problems))
            or any(each.failed for each in self.imports)
            or self.stopped
            or bool(self.summary is not None and self.summary.problems)
            or self.given_up.by_owner
        )

    def exit_code(self) -> int:
        """Give how it ended: 75 where all is well but a server. Raises the first bug that kept a rule from its work."""
        for rule in self.result.rules:
            if rule.bug is not None:
                raise rule.bug
        if self.halted:
            return NOT_NOW
        unread = self.back is not None and self.back.problems
        return WRONG if self.failed else NOT_NOW if self.silent or unread else FINE

    @property
    def sent(self) -> Mapping[str, int]:
        """Count what was sent and done, by new state."""
        return {} if self.summary is None else self.summary.to_json()

    def printed(self, shape: str) -> str:
        """Give what is printed: the one JSON object, or the report."""
        if shape == "json":
            cost = {} if self.costs is None else {"cost": self.costs.to_json()}
            return json.dumps({**self.result.to_json(self.sent), **cost}, ensure_ascii=False) + "\n"
        page, home = Page(language=self.session.language), self.session.home
        for each in self.imports:
            page.verbatim(told(each))
        if self.preview is not None:
            files = len(waiting(home.config))
            dry_run_report(page, home, self.result, self.preview, reach=self.reach, waiting_files=files)
            if self.costs is not None:
                from engine.console.cost import cost_report

                cost_report(page, self.costs)
        else:
            if self.back is not None and (said_back := self.back.brief()):
                page.line(said_back)
            run_report(page, home, self.result)
            sent_report(page, self.sent, inside=0 if self.summary is None else self.summary.inside)
        return page.text

    def complaints(self) -> str:
        """Give what stopped a file, a rule or a message, for the end of it all."""
        stopped = [complaint(each) for each in self.imports if each.failed]
        stopped += [f"{self.result.notice[:1].upper()}{self.result.notice[1:]}."] if self.result.notice else []
        stopped += [self.halted] if self.halted else []
        stopped += [*self.closed, *self.silent]
        stopped += self.summary.problems if self.summary is not None else []
        stopped += self.given_up.sentences
        stopped += [] if self.back is None else [*self.back.own_fault, *self.back.problems]
        problems, language = errors(self.session.home.problems), self.session.language
        text = "".join(f"{sentence}\n" for sentence in stopped)
        if problems:
            heading = said(_left_out(len(self.session.home.broken)), language)
            text += f"\n{heading}:\n{to_text(problems, color=colored(), language=language)}"
        return text


def _left_out(broken: int) -> Phrase:
    if broken == 1:
        return phrase("1 broken rule was left out")
    return phrase("{n} broken rules were left out", n=broken) if broken else phrase("problems")


def dry(session: Session, at: datetime, *, only: str | None) -> Ran:
    """Evaluate and roll back."""
    from engine.console.cost import Costs
    from engine.evaluation.preview import Preview

    preview, costs = Preview(session.zone), Costs(session.home, at)
    reach: dict[str, int] = {}

    def look(conn: Connection, run: int, results: Sequence[RuleResult]) -> None:
        preview.look(conn, run, results)
        costs.look(conn, run, results)
        reach.update(reachable(conn, implied_terms(session.home.config, at)))

    result = run_due(session.db, session.home, at, only=only, dry_run=True, look=look)
    return Ran(session, result, preview=preview, costs=costs, reach=reach)


def run(
    session: Session, at: datetime, *, only: str | None, dry_run: bool, wait: bool, rehearsal: bool, workers: int = 1
) -> Ran:
    """Run, or show what a run would do. ``rehearsal``: ``at`` is not the clock's time."""
    rule = None if only is None else rule_named(session.home, only).id
    if dry_run:
        return dry(session, at, only=rule)
    with counter(COUNTED) as progress:
        return live(session, at, only=rule, wait=wait, rehearsal=rehearsal, progress=progress, workers=workers)


def live(
    session: Session,
    at: datetime,
    *,
    only: str | None,
    wait: bool,
    rehearsal: bool,
    progress: Progress,
    workers: int = 1,
) -> Ran:
    """Take in, evaluate and send; one run of a home at a time, but for a run that only waits for due times.

    Raises ``NotNowError`` while another one has the home.
    """
    if not rehearsal:
        session.check_clock()
    clock = clock_of(session, at if rehearsal else None)
    since = clock()
    desk = open_desk(session.db, session.home, now=clock, rehearsal=rehearsal, progress=progress, sleep=time.sleep)
    desk.crew = _crew(session, workers, clock, rehearsal=rehearsal)
    try:
        with alone(session.home.root):
            with ledger.sole_run(session):
                ledger.make_ready(session, at, since)
                # Before anything is sent: who wants no more, or whose address is gone, gets nothing of this run.
                back = None if rehearsal else _came_back(session, at)
                imports = take_inbox(session, at)
                ledger.tell_planner(session, imports)
                watch = None if rehearsal else Watch(session.uptime())
                result = run_due(
                    session.db, session.home, at, only=only, started_at=session.clock(), watch=watch, workers=workers
                )
                ledger.tell_planner(session, (), result)
            halted = _halted(lambda: send_due(desk))
        if wait or not halted:
            halted = _halted(lambda: _stay(session, desk, clock, wait=wait))
    finally:
        desk.close()
    if not rehearsal and result.notice is None:
        _prune(session, clock)
        ledger.forget_old(session, clock())
    ran = Ran(session, result, imports=imports, summary=desk.summary, halted=halted, back=back)
    return _with_what_waits(ran, since, clock())


def _crew(session: Session, workers: int, clock: Clock, *, rehearsal: bool) -> Crew | None:
    """Give the crew of several workers; one alone needs none, nor what starts processes."""
    if workers <= 1:
        return None
    from engine.console.crew import Crew

    return Crew.of(session, workers, clock, rehearsal=rehearsal)


def _prune(session: Session, clock: Clock) -> None:
    prune(session.home.root / FOLDER, ledger.sure_time(session, clock()))


def _came_back(session: Session, at: datetime) -> Back | None:
    """Take in what came back, where the config says where; what reads it takes a moment to be loaded."""
    settings = session.home.config.email.bounces
    if settings is None or not settings.read:
        return None
    from engine.console.bouncing import at_a_run

    return at_a_run(session, settings, at)


def _with_what_waits(ran: Ran, since: datetime, now: datetime) -> Ran:
    """Give it with what was given up since it began, and what keeps messages in."""
    session, dead = ran.session, ran.sent.get("dead")
    with session.look() as conn:
        quiet = silent(conn, session.home.config, now)
        return replace(
            ran,
            closed=[f"{about}: {why}." for about, why, _ in closed(conn, session.zone, now) if about not in quiet],
            stopped=bool(stopped(conn, session.zone)),
            silent=list(quiet.values()),
            given_up=given_up(conn, since) if dead else GivenUp(),
        )


def _stay(session: Session, desk: Desk, clock: Clock, *, wait: bool) -> Summary:
    """Stay until the day's messages are out, or a moment only: for the sake of a rate."""
    sleep = clock.sleep if isinstance(clock, Rehearsal) else time.sleep
    if not wait:
        return stay_for_rate(desk, until=clock() + BRIEFLY, sleep=sleep)
    until = end_of_day(session, clock())
    return send_until(desk, until=until, sleep=sleep, before=lambda: switch_rules(session, clock()))


def _halted(send: Callable[[], Summary]) -> str:
    """Send; give why nothing may leave for now, or nothing."""
    try:
        send()
    except (JournalError, StrangeDatabaseError) as error:
        return str(error)
    return ""


def clock_of(session: Session, at: datetime | None) -> Clock:
    """Give the clock to send by: the real one, or one that stands at ``at``."""
    return session.clock if at is None else Rehearsal(at)


def send(session: Session, at: datetime | None, *, limit: int | None, workers: int = 1) -> tuple[str, list[str], int]:
    """Send what is due now, or at ``at``: then only into files and to servers of this machine.

    A rule that was switched off, or whose file is gone, sends nothing. Gives what is said, what stopped a message, and
    the exit code.
    """
    if at is None:
        session.check_clock()
    clock = clock_of(session, at)
    since = clock()
    switch_rules(session, since)
    with counter(COUNTED) as progress:
        desk = open_desk(
            session.db, session.home, now=clock, rehearsal=at is not None, progress=progress, sleep=time.sleep
        )
        desk.crew = _crew(session, workers, clock, rehearsal=at is not None)
        try:
            halted = _halted(lambda: _send(session, desk, limit, clock))
        finally:
            desk.close()
    if at is None:
        _prune(session, clock)  # a machine may do nothing but send
    summary, page = desk.summary, Page()
    sent_report(page, summary.to_json(), inside=summary.inside)
    with session.look() as conn:
        dead = given_up(conn, since) if summary.states["dead"] else GivenUp()
        quiet = list(silent(conn, session.home.config, clock()).values())
        stops = [f"{about}: {why}." for about, why in stopped(conn, session.zone)]
    quiet += stops
    code = WRONG if summary.problems or dead.by_owner or stops else NOT_NOW if quiet else FINE
    if halted:
        return page.text, [halted, *summary.problems, *dead.sentences, *quiet], NOT_NOW
    return page.text, [*summary.problems, *dead.sentences, *quiet], code


def _send(session: Session, desk: Desk, limit: int | None, clock: Clock) -> Summary:
    done = send_due(desk, limit=limit)
    return done if limit is not None else _stay(session, desk, clock, wait=False)


def switch_rules(session: Session, at: datetime) -> None:
    """Read the home's files anew, and bring the rules' switches in line: somebody may have stopped one meanwhile.

    Files that cannot be read now change nothing: they are being written, and the next run says what is wrong with them.
    """
    try:
        home = load_home(session.home.root, session.environ)
    except (ProblemsError, KeyFileError):
        return
    with session.db.begin() as conn:
        register(conn, home, at)


def end_of_day(session: Session, at: datetime) -> datetime:
    """Give the last second of the home's business day."""
    config = session.home.config
    tomorrow = business_day(at, session.zone, config.day_starts) + timedelta(days=1)
    return start_of(tomorrow, session.zone, config.day_starts) - timedelta(seconds=1)
