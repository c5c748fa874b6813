"""One evaluation at one logical time: which rules are due, whom they match, what is queued, and whether it adds up."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from sqlalchemy import ColumnElement, Connection, Engine, case, func, insert, literal, not_, or_, select, update

from engine.database.complaints import explain
from engine.database.facts import bring_to, use_tiers
from engine.database.tables import dispatches, matches, orders, runs
from engine.database.tiers import TierPlan, plan_of
from engine.evaluation import clock
from engine.evaluation.compiler import Rows, write_matches
from engine.evaluation.permission import implied_terms, in_branches, reachable
from engine.evaluation.queue import Queue, write_dispatches
from engine.evaluation.register import (
    Registered,
    content_rows,
    register,
    remember_watermark,
    version_row,
    zones_in_use,
)
from engine.evaluation.results import RuleResult, RunResult
from engine.intake.own_dates import follow_declared
from engine.language.compliance import ImpliedTerms
from engine.language.rule import Rule, Step
from engine.language.times import business_day
from engine.vocabulary.actions import Coupon
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope, Zone

#: However small the base, this many matches of one rule need no brake.
BLAST_FLOOR = 50

#: Called inside the transaction, before a dry run is rolled back: (connection, run id, results).
Look = Callable[[Connection, int, Sequence[RuleResult]], None]


def run_due(
    db: Engine,
    home: Home,
    as_of: datetime,
    *,
    only: str | None = None,
    dry_run: bool = False,
    started_at: datetime | None = None,
    watch: clock.Watch | None = None,
    look: Look | None = None,
) -> RunResult:
    """Evaluate the rules that are due at ``as_of``, each with one statement, and queue what they decide.

    ``only`` forces the rule of that id and leaves the others. A dry run is the same statements in one transaction, a
    savepoint a rule, rolled back. A live run commits rule by rule: one that fails undoes nothing of the others.
    ``started_at`` is the clock's time where ``as_of`` is another. ``watch``: the clock is asked whether it jumped.
    """
    evaluation = _Evaluation(db, home, as_of, only, started_at or as_of, watch)
    if not dry_run:
        return evaluation.live(look)
    with db.connect() as conn, conn.begin() as transaction:
        result = evaluation.dry(conn, look)
        transaction.rollback()
    return result


@contextmanager
def _savepoint(conn: Connection) -> Iterator[Connection]:
    with conn.begin_nested():
        yield conn


@dataclass
class _Evaluation:
    db: Engine
    home: Home
    as_of: datetime
    only: str | None
    started_at: datetime
    watch: clock.Watch | None = None
    jumped: datetime | None = None  #: since when nothing vouches for the clock
    run: int = 0
    reach: Mapping[str, int] = field(default_factory=dict)
    implied: Mapping[str, ImpliedTerms] = field(default_factory=dict)
    newest: datetime | None = None
    plan: TierPlan | None = None
    zones: Sequence[Zone] = ()
    registered: Mapping[str, Registered] = field(default_factory=dict)

    def dry(self, conn: Connection, look: Look | None) -> RunResult:
        self._prepare(conn)
        results = [self._guarded(rule, _savepoint(conn)) for rule in self._chosen()]
        if look is not None:
            look(conn, self.run, results)
        return self._result(results, run=None)

    def live(self, look: Look | None) -> RunResult:
        with self.db.begin() as conn:
            notice = clock.went_back(conn, self.started_at, self.home.config.business.timezone)
            if notice is None:
                self._prepare(conn)
        if notice is not None:
            return replace(self._result([], run=None), dry_run=False, notice=notice)
        results = [self._guarded(rule, self.db.begin()) for rule in self._chosen()]
        result = replace(self._result(results, run=self.run), notice=self._doubt(results))
        with self.db.begin() as conn:
            state = "done" if result.balanced else "red"
            row = update(runs).where(runs.c.id == self.run)
            conn.execute(row.values(state=state, finished_at=self.started_at, summary=result.to_json()))
            if look is not None:
                look(conn, self.run, results)
        return result

    def _prepare(self, conn: Connection) -> None:
        if self.home.loyalty.sound:
            use_tiers(conn, self.home.tier_plan, self.as_of)
        self.plan = plan_of(conn)
        bring_to(conn, self.as_of)
        follow_declared(conn, self.home.config)
        self.registered = register(conn, self.home, self.as_of)
        self.zones = zones_in_use(conn)
        self.implied = implied_terms(self.home.config, self.as_of)
        self.reach = reachable(conn, self.implied)
        self.newest = conn.scalar(select(func.max(orders.c.ordered_at)).where(orders.c.ordered_at <= self.as_of))
        known = None if self.watch is None else self.watch.uptime
        if self.watch is not None:
            self.jumped = clock.jumped(conn, self.started_at, known, self.newest)
        made = conn.execute(
            insert(runs).values(
                as_of=self.as_of,
                started_at=self.started_at,
                host=socket.gethostname(),
                pid=os.getpid(),
                boot=None if known is None else known.boot,
                up=None if known is None else known.seconds,
                doubted=self.jumped is not None,
            )
        )
        assert made.inserted_primary_key is not None
        self.run = int(made.inserted_primary_key[0])

    def _doubt(self, results: Sequence[RuleResult]) -> str | None:
        if self.jumped is None or not any(each.held == "clock" for each in results):
            return None
        return clock.notice(self.jumped, self.started_at, self.home.config.business.timezone)

    def _chosen(self) -> list[Rule]:
        return [rule for rule in self.home.rules if self.only is None or rule.id == self.only]

    def _result(self, results: Sequence[RuleResult], run: int | None) -> RunResult:
        return RunResult(run, self.as_of, run is None, tuple(results), self.reach, self.newest)

    def _guarded(self, rule: Rule, transaction: AbstractContextManager[Connection]) -> RuleResult:
        """Evaluate one rule; what fails in it stays its own problem, what ails the database is everybody's."""
        row = self._seen_from_here(self.registered[rule.id])
        if not self._is_due(rule, row):
            return RuleResult(rule.id, rule.path, due=False)
        waiting = self._waits_for_data(rule) or self._promises_nothing(rule)
        if waiting is not None:
            return RuleResult(rule.id, rule.path, due=True, problems=(waiting,))
        try:
            with transaction as conn:
                return self._evaluate(conn, rule, row)
        except Exception as error:
            if explain(error) is not None:
                raise
            problem = f"could not be evaluated ({type(error).__name__}): a bug of Regulars; the other rules go on"
            return RuleResult(rule.id, rule.path, due=True, problems=(problem,), bug=error)

    def _seen_from_here(self, row: Registered) -> Registered:
        """A watermark ahead of the clock was set by a trial at a later time: it hides nothing from real runs."""
        ahead = row.watermark is not None and row.watermark > max(self.as_of, self.started_at + clock.SLACK)
        return replace(row, watermark=None) if ahead else row

    def _is_due(self, rule: Rule, row: Registered) -> bool:
        config = self.home.config
        if not rule.active.on(business_day(self.as_of, config.business.timezone, config.day_starts)):
            return False
        if self.only is not None or row.watermark is None:
            return True
        return rule.schedule.latest(row.watermark, self.as_of, config.business.timezone) is not None

    def _waits_for_data(self, rule: Rule) -> str | None:
        """Absence cannot be told from missing data: say which file is missing."""
        config = self.home.config
        if not rule.trigger.absence or config.fresh is None:
            return None
        if self.newest is None:
            return "waits for data: there are no orders yet; import the till's orders"
        zone = config.business.timezone
        newest = business_day(self.newest, zone, config.day_starts)
        fresh_until = config.fresh.after(newest) if config.fresh.is_calendar else None
        stale = (
            business_day(self.as_of, zone, config.day_starts) > fresh_until
            if fresh_until is not None
            else self.as_of - self.newest > config.fresh.delta()
        )
        if not stale:
            return None
        return (
            f"waits for data: the newest order is of {self.newest.astimezone(zone):%Y-%m-%d %H:%M}, older than "
            f"{config.fresh}; import the till's orders since then (data: fresh in config/regulars.yaml)"
        )

    def _promises_nothing(self, rule: Rule) -> str | None:
        """A coupon with a last day that has passed would be refused at the till."""
        config = self.home.config
        today = business_day(self.as_of, config.business.timezone, config.day_starts)
        for coupon in (step.settings for step in rule.steps if isinstance(step.settings, Coupon)):
            last = coupon.valid
            if isinstance(last, date) and last < today:
                return f"waits: its coupon was valid until {last}; give it another date, or switch the rule off"
        return None

    def _evaluate(self, conn: Connection, rule: Rule, row: Registered) -> RuleResult:
        home = self.home
        contents = content_rows(conn, rule, home.templates)
        rows = Rows(rule=row.id, version=version_row(conn, rule, row.id, self.as_of, home), run=self.run)
        scope = Scope(
            moment=self.as_of,
            zones=self.zones,
            day_starts=home.config.day_starts,
            segments=home.segments,
            topic=rule.topic,
            watermark=row.watermark,
            plan=self.plan,
            implied=self.implied,
        )
        write_matches(conn, rule, scope, rows, home.exclude, holdout=home.config.holdout)
        verdicts = self._verdicts(conn, row.id)
        act = sum(count for verdict, _, count in verdicts if verdict == "act")
        held = self._brake(rule, row, act)
        queue = Queue(
            rule=rule,
            rule_row=row.id,
            run=self.run,
            as_of=self.as_of,
            zones=self.zones,
            config=home.config,
            contents=contents,
            offers=home.offers,
            held=held if act else None,
            key=home.key,
        )
        write_dispatches(conn, queue)
        remember_watermark(conn, row.id, self.as_of, latest=self.started_at + clock.SLACK)
        queued = self._queued(conn, row.id)
        return RuleResult(
            rule=rule.id,
            path=rule.path,
            due=True,
            matched=self._matched(conn, row.id),
            act=act,
            control=sum(count for verdict, _, count in verdicts if verdict == "control"),
            refused={str(reason): count for verdict, reason, count in verdicts if verdict == "refused"},
            queued=queued,
            held=held if act else None,
            balanced=self._adds_up(conn, row.id, verdicts, queued, rule.steps),
        )

    def _matched(self, conn: Connection, rule_row: int) -> int:
        counted = select(func.count()).where(matches.c.run_id == self.run, matches.c.rule_id == rule_row)
        return int(conn.scalar(counted) or 0)

    def _adds_up(
        self,
        conn: Connection,
        rule_row: int,
        verdicts: Sequence[tuple[str, str | None, int]],
        queued: Mapping[str, int],
        steps: Sequence[Step],
    ) -> bool:
        """Check that each guest has one outcome with its reason, and each who is acted on every step of the own way.

        How many that are is worked out from the branches, as the rows were; so besides, no row is of another's branch.
        """
        m, of_rule = matches.c, (matches.c.run_id == self.run, matches.c.rule_id == rule_row)
        always = sum(not step.branches for step in steps)
        branched = [(step, in_branches(m.customer_id, step)) for step in steps if step.branches]
        parts = sum((case((mine, 1), else_=0) for _, mine in branched), start=literal(always))
        rows = select(func.count()).where(dispatches.c.match_id == m.id).correlate(matches).scalar_subquery()
        uneven = select(m.id).where(*of_rule, m.verdict == "act", rows != parts).limit(1)
        strays = [
            select(m.id)
            .join(dispatches, dispatches.c.match_id == m.id)
            .where(*of_rule, dispatches.c.step == number, not_(ours))
            for number, ours in _owners(branched).items()
        ]
        due = select(func.coalesce(func.sum(parts), 0)).where(*of_rule, m.verdict == "act")
        return (
            sum(count for _, _, count in verdicts) == self._matched(conn, rule_row)
            and all((verdict == "refused") == (reason is not None) for verdict, reason, _ in verdicts)
            and sum(queued.values()) == conn.scalar(due)
            and conn.scalar(uneven) is None
            and all(conn.scalar(stray.limit(1)) is None for stray in strays)
        )

    def _verdicts(self, conn: Connection, rule_row: int) -> list[tuple[str, str | None, int]]:
        counted = (
            select(matches.c.verdict, matches.c.reason, func.count())
            .where(matches.c.run_id == self.run, matches.c.rule_id == rule_row)
            .group_by(matches.c.verdict, matches.c.reason)
        )
        return [(verdict, reason, int(count)) for verdict, reason, count in conn.execute(counted)]

    def _queued(self, conn: Connection, rule_row: int) -> dict[str, int]:
        counted = (
            select(dispatches.c.state, func.count())
            .select_from(dispatches.join(matches, matches.c.id == dispatches.c.match_id))
            .where(matches.c.run_id == self.run, matches.c.rule_id == rule_row)
            .group_by(dispatches.c.state)
        )
        return {state: int(count) for state, count in conn.execute(counted.order_by(dispatches.c.state))}

    def _brake(self, rule: Rule, row: Registered, act: int) -> str | None:
        """Say why a person must approve before anything of this run goes out, or None."""
        config = self.home.config
        if not row.approved:
            return "first_approval"
        if config.approvals in {"always", "two"} and not row.approved_now:
            return "changed"
        if self.jumped is not None:
            return "clock"
        if rule.limits.max_matches is not None and act > rule.limits.max_matches:
            return "max_matches"
        if act > max(BLAST_FLOOR, self.reach["any"] * config.limits.blast_bp // 10_000):
            return "blast"
        return None


def _owners(branched: Sequence[tuple[Step, ColumnElement[bool]]]) -> dict[int, ColumnElement[bool]]:
    """SQL, by the number of a step in branches: the guest is one of those whose it is."""
    found: dict[int, ColumnElement[bool]] = {}
    for step, mine in branched:
        found[step.number] = or_(found[step.number], mine) if step.number in found else mine
    return found
