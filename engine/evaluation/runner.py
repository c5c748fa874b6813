"""One evaluation at one logical time: which rules are due, whom they match, what is queued, and whether it adds up."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, func, insert, select, update

from engine.database.complaints import explain
from engine.database.engines import followed, takes_writers
from engine.database.facts import bring_to, use_tiers
from engine.database.months import month_of
from engine.database.planning import by_index, one_by_one
from engine.database.tables import orders, runs
from engine.database.tiers import TierPlan, plan_of
from engine.database.touched import Log, read_log
from engine.evaluation import clock
from engine.evaluation.balance import Balance, Judged
from engine.evaluation.collecting import seldom_collected
from engine.evaluation.compiler import Rows, writing_matches
from engine.evaluation.permission import implied_terms, reaches
from engine.evaluation.queue import Queue, write_dispatches
from engine.evaluation.register import (
    Registered,
    Seen,
    Version,
    content_rows,
    contents_at_hand,
    looked_for,
    register,
    remember_watermark,
    version_row,
    versions_at_hand,
    zones_in_use,
)
from engine.evaluation.results import RuleResult, RunResult
from engine.evaluation.turns import Alone, Turn
from engine.intake.own_dates import follow_declared
from engine.language.compliance import ImpliedTerms
from engine.language.rule import Rule
from engine.language.times import business_day
from engine.vocabulary.actions import Coupon
from engine.vocabulary.conditions import read_outbox
from engine.vocabulary.entering import Enters
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope, Zone

#: However small the base, this many matches of one rule need no brake.
BLAST_FLOOR = 50

#: A rule that was not evaluated for so long looks at everybody, and nothing is kept for it.
_FORGOTTEN: Final = timedelta(days=35)

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
    workers: int = 1,
) -> RunResult:
    """Evaluate the rules that are due at ``as_of``, each with one statement, and queue what they decide.

    ``only`` forces the rule of that id and leaves the others. A dry run is the same statements in one transaction, a
    savepoint a rule, rolled back. A live run commits rule by rule: one that fails undoes nothing of the others.
    ``started_at`` is the clock's time where ``as_of`` is another. ``watch``: the clock is asked whether it jumped.
    ``workers``: of a live run on PostgreSQL so many rules are evaluated at once; SQLite has one writer at a time.
    """
    evaluation = _Evaluation(db, home, as_of, only, started_at or as_of, watch, workers)
    if not dry_run:
        with seldom_collected():
            return evaluation.live(look)
    with seldom_collected(), db.connect() as conn, conn.begin() as transaction:
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
    workers: int = 1
    jumped: datetime | None = None  #: since when nothing vouches for the clock
    run: int = 0
    reach: int = 0  #: so many guests are known to be reachable
    implied: Mapping[str, ImpliedTerms] = field(default_factory=dict)
    newest: datetime | None = None
    plan: TierPlan | None = None
    log: Log = field(default_factory=Log)
    zones: Sequence[Zone] = ()
    registered: Mapping[str, Registered] = field(default_factory=dict)
    versions: Mapping[tuple[int, bytes], Version] = field(default_factory=dict)
    contents: Mapping[str, int] = field(default_factory=dict)

    def dry(self, conn: Connection, look: Look | None) -> RunResult:
        self._prepare(conn)
        results = [self._guarded(rule, _savepoint(conn), Alone()) for rule in self._chosen()]
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
        results = self._each()
        result = replace(self._result(results, run=self.run), notice=self._doubt(results))
        with self.db.begin() as conn:
            state = "done" if result.balanced else "red"
            row = update(runs).where(runs.c.id == self.run)
            conn.execute(row.values(state=state, finished_at=self.started_at, summary=result.to_json()))
            if look is not None:
                look(conn, self.run, results)
        return result

    def _each(self) -> list[RuleResult]:
        """Evaluate the rules, each in a transaction of its own."""
        db, chosen = followed(self.db), self._chosen()
        if self.workers > 1 and len(chosen) > 1 and takes_writers(db):
            from engine.evaluation.abreast import side_by_side  # threads, which few runs need

            return side_by_side(db, chosen, self.workers, self._guarded)
        return [self._guarded(rule, db.begin(), Alone()) for rule in chosen]

    def _prepare(self, conn: Connection) -> None:
        if self.home.loyalty.sound:
            use_tiers(conn, self.home.tier_plan, self.as_of)
        self.plan = plan_of(conn)
        bring_to(conn, self.as_of)
        follow_declared(conn, self.home.config)
        self.registered = register(conn, self.home, self.as_of)
        self.versions = versions_at_hand(conn, self.home)
        self.contents = contents_at_hand(conn, self.home.templates)
        self.zones = zones_in_use(conn)
        self.implied = implied_terms(self.home.config, self.as_of)
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
        self.log = read_log(conn, [row.seen.tick for row in self.registered.values() if self._is_fresh(row)])

    def _doubt(self, results: Sequence[RuleResult]) -> str | None:
        if self.jumped is None or not any(each.held == "clock" for each in results):
            return None
        return clock.notice(self.jumped, self.started_at, self.home.config.business.timezone)

    def _chosen(self) -> list[Rule]:
        return [rule for rule in self.home.rules if self.only is None or rule.id == self.only]

    def _result(self, results: Sequence[RuleResult], run: int | None) -> RunResult:
        return RunResult(run, self.as_of, run is None, tuple(results), self.newest)

    def _guarded(self, rule: Rule, transaction: AbstractContextManager[Connection], turn: Turn) -> RuleResult:
        """Evaluate one rule; what fails in it stays its own problem, what ails the database is everybody's."""
        row = self._seen_from_here(self.registered[rule.id])
        if not self._is_due(rule, row):
            return RuleResult(rule.id, rule.path, due=False)
        waiting = self._waits_for_data(rule) or self._promises_nothing(rule)
        if waiting is not None:
            return RuleResult(rule.id, rule.path, due=True, problems=(waiting,))
        try:
            if self._reads_what_is_queued(rule):
                turn.come()
            with transaction as conn:
                return self._evaluate(conn, rule, row, turn)
        except Exception as error:
            if explain(error) is not None:
                raise
            problem = f"could not be evaluated ({type(error).__name__}): a bug of Regulars; the other rules go on"
            return RuleResult(rule.id, rule.path, due=True, problems=(problem,), bug=error)

    def _seen_from_here(self, row: Registered) -> Registered:
        """A watermark ahead of the clock was set by a trial at a later time: it hides nothing from real runs."""
        ahead = row.watermark is not None and row.watermark > max(self.as_of, self.started_at + clock.SLACK)
        return replace(row, watermark=None) if ahead else row

    def _is_fresh(self, row: Registered) -> bool:
        """Tell whether the rule was evaluated lately, and before this time."""
        return row.watermark is not None and self.as_of - _FORGOTTEN <= row.watermark <= self.as_of

    def _seen_tick(self, row: Registered, seen: Seen) -> int | None:
        """Give the tick of the rule's last evaluation, if only those who have moved since need be looked at."""
        same = row.seen.hash == seen.hash and self._is_fresh(row)
        return row.seen.tick if same and self.log.is_short(row.seen.tick) else None

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

    def _reads_what_is_queued(self, rule: Rule) -> bool:
        """Tell whether whom the rule matches may rest on what the rules before it queue in this run."""
        asked = [*rule.conditions, *(self.home.exclude if rule.purpose == "marketing" else ())]
        if isinstance(rule.trigger, Enters):
            asked.append(rule.trigger.segment)
        return read_outbox(asked, self.home.segments)

    def _evaluate(self, conn: Connection, rule: Rule, row: Registered, turn: Turn) -> RuleResult:
        home = self.home
        at_hand = self.versions.get((row.id, rule.version_hash))
        version = version_row(conn, rule, row.id, self.as_of, home, at_hand=at_hand)
        seen = Seen(looked_for(rule, home), self.log.tick)
        scope = Scope(
            moment=self.as_of,
            zones=self.zones,
            day_starts=home.config.day_starts,
            segments=home.segments,
            topic=rule.topic,
            watermark=row.watermark,
            seen_tick=self._seen_tick(row, seen),
            plan=self.plan,
            implied=self.implied,
        )
        rows = Rows(rule=row.id, version=version, run=self.run)
        written, few = writing_matches(conn, rule, scope, rows, home.exclude, holdout=home.config.holdout)
        followed = not conn.in_nested_transaction()  # a live run's last transaction waits for the disk, for all of them
        with one_by_one(conn, followed=followed) if few else nullcontext():
            conn.execute(written)
            balance = Balance(conn, self.run, row.id, month_of(self.as_of))
            judged = balance.judged()
            if judged:  # on most days most rules match nobody, and need no turn
                turn.come()  # before the rule's row is locked: an approval would wait for it as long
            remember_watermark(conn, row.id, self.as_of, latest=self.started_at + clock.SLACK, seen=seen)
            if not judged:
                return RuleResult(rule.id, rule.path, due=True)
            with nullcontext() if few else by_index(conn, followed=followed):
                return self._decided(conn, rule, row, balance, judged)

    def _decided(
        self, conn: Connection, rule: Rule, row: Registered, balance: Balance, judged: Sequence[Judged]
    ) -> RuleResult:
        """Queue what the matches ask for, and count whether it adds up."""
        counts = Counter[str]()
        refused = Counter[str]()
        for each in judged:
            counts[each.verdict] += each.count
            if each.verdict == "refused":
                refused[str(each.reason)] += each.count
        held = self._brake(conn, rule, row, counts["act"]) if counts["act"] else None
        if counts["act"]:
            self._queue(conn, rule, row, judged, held)
        counted = balance.counted(rule.steps)
        return RuleResult(
            rule=rule.id,
            path=rule.path,
            due=True,
            matched=counted.matched,
            act=counts["act"],
            control=counts["control"],
            refused=refused,
            queued=counted.queued,
            held=held,
            balanced=balance.holds(counted, judged, rule.steps),
        )

    def _queue(self, conn: Connection, rule: Rule, row: Registered, judged: Sequence[Judged], held: str | None) -> None:
        home = self.home
        queue = Queue(
            rule=rule,
            rule_row=row.id,
            run=self.run,
            as_of=self.as_of,
            zones=self.zones,
            config=home.config,
            guests={(each.zone_id, each.country) for each in judged if each.verdict == "act"},
            contents=content_rows(conn, rule, home.templates, self.contents),
            offers=home.offers,
            held=held,
            key=home.key,
        )
        write_dispatches(conn, queue)

    def _brake(self, conn: Connection, rule: Rule, row: Registered, act: int) -> str | None:
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
        return "blast" if self._is_too_many(conn, act) else None

    def _is_too_many(self, conn: Connection, act: int) -> bool:
        """Tell whether these are more than the share of the reachable who may be written to at once.

        So many who may be reached are looked for as make them less than the share, not all who may.
        """
        share = self.home.config.limits.blast_bp
        if act <= BLAST_FLOOR:
            return False
        if share == 0:
            return True
        enough = -(-act * 10_000 // share)
        if enough > self.reach and reaches(conn, self.implied, enough):
            self.reach = enough
        return enough > self.reach
