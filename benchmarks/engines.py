"""Our run against rules row by row in Python: a plain loop, and the rule engines that Python has.

Each reads ready facts, decides on every guest, and writes matches and dispatches with executemany. The slow ones decide
on a sample of the guests, and their seconds are multiplied: they know no other cost than one a guest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from benchmarks.byhand import Moment
from benchmarks.crowd import AS_OF
from benchmarks.evaluation import NEXT, known, later
from benchmarks.ground import Ground, World
from benchmarks.handmade import RULES, Compiled, connected
from benchmarks.measure import Bar, Measure, Mismatch, Pair, Skipped, faster
from benchmarks.rowbyrow import FACTS, Guest, RowByRow, Test, tests
from engine.database.tables import rule_versions, rules, runs, zones
from engine.evaluation.runner import run_due

Tests = dict[str, list[Test]]
#: Which rules each guest meets.
Decide = Callable[[Iterable[Guest]], Iterator[tuple[str, Guest]]]
_BATCH: Final = 1_000
_SPELLED: Final = {">=": ">=", "<=": "<=", "==": "=="}
_WORDS: Final = {">=": "greater_than_or_equal_to", "<=": "less_than_or_equal_to", "==": "equal_to"}


def measures(ground: Ground) -> Iterator[Measure]:
    """Give each opponent against the first run, and against the next day's where there is a bar."""
    opponents: list[tuple[str, str, Callable[[Tests], Decide], int, Bar | None, Bar | None]] = [
        ("loop", "a Python loop with executemany", _loop, 200_000, faster(4), faster(30)),
        ("zen-expression", "zen-engine, one compiled expression", _zen_expression, 50_000, faster(8), faster(50)),
        ("zen-batch", "zen-engine, evaluate_batch", _zen_batch, 10_000, faster(30), None),
        ("zen-table", "zen-engine, a decision table", _zen_table, 2_000, faster(150), None),
        ("rule-engine", "rule-engine", _rule_engine, 10_000, faster(1), None),
        ("business-rules", "business-rules", _business_rules, 10_000, faster(1), None),
    ]
    for on in ground.databases:
        for name, opponent, decide, sample, level, daily in opponents:
            made = partial(_pair, ground, on, decide, sample)
            yield Measure(f"{name}-level", f"first run against {opponent}", level, partial(made, False), opponent, on)
            if daily:
                title = f"the next day's run against {opponent}"
                yield Measure(f"{name}-daily", title, daily, partial(made, True), opponent, on)


@contextmanager
def _pair(ground: Ground, on: str, decide: Callable[[Tests], Decide], most: int, daily: bool) -> Iterator[Pair]:
    world, now = (later(ground, on), NEXT) if daily else (known(ground, on), AS_OF)
    sample = min(most, world.size)
    with closing(connected(world)) as conn:
        other = Opponent(world, conn, now, decide, sample)

        def ours() -> None:
            run_due(world.db, world.home, now, dry_run=True)

        def check() -> None:
            found = {
                row for row in Compiled(world, now, RULES).matched() if row[1] <= sample
            }  # rule, guest, occasion, verdict, reason
            theirs = set(other.rows())
            if found != theirs:
                one, two = sorted(found - theirs, key=str)[:1], sorted(theirs - found, key=str)[:1]
                raise Mismatch(f"{len(found)} and {len(theirs)} matches; only ours {one}, only theirs {two}")

        scaled = "" if sample == world.size else f" It decides on {sample:,} guests; their seconds are multiplied."
        yield Pair(
            ours=ours,
            opponent=other.run,
            check=check,
            note="Ours is the whole run of all guests. The other reads ready facts, decides on each guest and writes "
            "matches and dispatches with executemany. Both are rolled back; rule, guest, verdict and reason are "
            f"compared.{scaled}",
        )


class Opponent:
    """One way to decide, on one database."""

    def __init__(self, world: World, conn: Any, now: datetime, decide: Callable[[Tests], Decide], sample: int) -> None:
        with world.db.connect() as asked:
            places = {row.id: ZoneInfo(row.name) for row in asked.execute(select(zones))}
            numbers = {row.rule: row.id for row in asked.execute(select(rules.c.rule, rules.c.id))}
            versions = {row.rule_id: row.id for row in asked.execute(select(rule_versions))}
            self._run = (asked.scalar(select(func.max(runs.c.id))) or 0) + 1_000
        moment = Moment(now, places, sqlite=world.name == "sqlite")
        rows = {name: (numbers[name], versions.get(numbers[name], 0), self._run) for name in RULES}
        self._conn, self._at, self._times = conn, moment.at, world.size / sample
        self._table = RowByRow(conn, moment, rows, sample)
        self._decide = decide(tests(moment))

    def run(self) -> float:
        """Give the seconds for all guests: what is read once, and those of the sample multiplied."""
        begun = time.perf_counter()
        with self._rolled_back():
            self._table.learn()
            learned = time.perf_counter()
            self._table.write(self._decide(self._table.guests()))
            done = time.perf_counter()
        return learned - begun + (done - learned) * self._times

    def rows(self) -> list[tuple[Any, ...]]:
        """Give what is matched of the sample."""
        with self._rolled_back():
            self._table.learn()
            return self._table.write(self._decide(self._table.guests()))

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        self._conn.execute("BEGIN")
        try:
            row = f"{self._run}, {self._at}, {self._at}, '-', 0"
            self._conn.execute(f"INSERT INTO runs (id, as_of, started_at, host, pid) VALUES ({row})")
            yield
        finally:
            self._conn.execute("ROLLBACK")


def _loop(asked: Tests) -> Decide:  # noqa: C901 (twelve rules)
    """By hand: the bounds of the tests as names, and an ``if`` a rule."""
    low = {(rule, fact): value for rule, its in asked.items() for fact, sign, value in its if sign == ">="}
    high = {(rule, fact): value for rule, its in asked.items() for fact, sign, value in its if sign == "<="}

    def between(rule: str) -> tuple[float, float]:
        return low[rule, "days"], high[rule, "days"]

    second, reward, risk = between("second-visit"), between("reward-waiting"), between("at-risk")
    big, back, lost = between("big-spender-quiet"), between("win-back"), between("long-lost")

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:  # noqa: C901, PLR0912 (the same)
        for guest in guests:
            days = guest["days"]
            if guest["low"]:
                yield "low-rating", guest
            if guest["birthday"] and guest["orders"] and days <= 364:
                yield "birthday", guest
            if guest["catering"]:
                yield "catering-thanks", guest
            if 0 <= guest["joined"] <= 6:
                yield "welcome", guest
            if guest["tenth"]:
                yield "tenth-visit", guest
            if guest["lunch"] and guest["visits"] >= 4:
                yield "first-lunch", guest
            if second[0] <= days <= second[1] and guest["visits"] == 1:
                yield "second-visit", guest
            if reward[0] <= days <= reward[1] and guest["points"] >= 200:
                yield "reward-waiting", guest
            if risk[0] <= days <= risk[1] and guest["visits"] >= 5 and guest["points"] < 200 and guest["late"] > 0:
                yield "at-risk", guest
            if big[0] <= days <= big[1] and guest["big"]:
                yield "big-spender-quiet", guest
            if back[0] <= days <= back[1] and guest["orders"] >= 3:
                yield "win-back", guest
            if lost[0] <= days <= lost[1] and guest["orders"] >= 5 and guest["spend"] >= 5000:
                yield "long-lost", guest

    return decide


def _facts(guest: Guest) -> dict[str, Any]:
    return {name: guest[name] for name in FACTS}


def _text(its: Sequence[Test]) -> str:
    return " and ".join(f"{fact} {_SPELLED[sign]} {value}" for fact, sign, value in its)


def _zen() -> Any:
    try:
        import zen
    except ImportError:
        raise Skipped("zen-engine is not installed: pip install -e '.[bench]'") from None
    return zen


def _zen_expression(asked: Tests) -> Decide:
    """Its best shortcut: all rules in one expression, compiled once, that gives a list of yes and no."""
    names = list(asked)
    compiled = _zen().compile_expression("[" + ", ".join(f"({_text(asked[name])})" for name in names) + "]")

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:
        for guest in guests:
            for name, yes in zip(names, compiled.evaluate(_facts(guest)), strict=True):
                if yes:
                    yield name, guest

    return decide


def _graph(kind: str, content: dict[str, Any]) -> str:
    """A decision of one node, as zen-engine's editor saves it."""
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in", "position": {"x": 0, "y": 0}},
        {"id": "rules", "type": kind, "name": "rules", "position": {"x": 1, "y": 0}, "content": content},
        {"id": "out", "type": "outputNode", "name": "out", "position": {"x": 2, "y": 0}},
    ]
    edges = [
        {"id": "a", "type": "edge", "sourceId": "in", "targetId": "rules"},
        {"id": "b", "type": "edge", "sourceId": "rules", "targetId": "out"},
    ]
    return json.dumps({"nodes": nodes, "edges": edges})


def _zen_batch(asked: Tests) -> Decide:
    """An expression a rule, a thousand guests a call."""
    zen = _zen()
    content = {"expressions": [{"id": name, "key": name, "value": _text(its)} for name, its in asked.items()]}
    decision = zen.ZenDecisionContent(_graph("expressionNode", content))
    engine = zen.ZenEngine({"loader": lambda _: decision})

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:
        everybody = iter(guests)
        while page := list(islice(everybody, _BATCH)):
            given = engine.evaluate_batch([{"key": "rules", "context": _facts(guest)} for guest in page])
            for guest, answer in zip(page, given, strict=True):
                for name, yes in answer["data"]["result"].items():
                    if yes:
                        yield name, guest

    return decide


def _zen_table(asked: Tests) -> Decide:
    """A decision table: a column a fact, a row a rule, every row that holds."""
    zen = _zen()
    inputs = [{"id": fact, "name": fact, "field": fact} for fact in FACTS]
    lines = []
    for name, its in asked.items():
        cells = dict.fromkeys(FACTS, "")
        for fact in dict.fromkeys(fact for fact, _, _ in its):
            cells[fact] = " and ".join(f"$ {_SPELLED[sign]} {value}" for at, sign, value in its if at == fact)
        lines.append({"_id": name, **cells, "rule": f'"{name}"'})
    outputs = [{"id": "rule", "name": "rule", "field": "rule"}]
    content = {"hitPolicy": "collect", "inputs": inputs, "outputs": outputs, "rules": lines}
    decision = zen.ZenEngine().create_decision(_graph("decisionTableNode", content))

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:
        for guest in guests:
            for row in decision.evaluate(_facts(guest))["result"]:
                yield row["rule"], guest

    return decide


def _rule_engine(asked: Tests) -> Decide:
    """A compiled rule each."""
    try:
        import rule_engine
    except ImportError:
        raise Skipped("rule-engine is not installed: pip install -e '.[bench]'") from None
    compiled = [(name, rule_engine.Rule(_text(its))) for name, its in asked.items()]

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:
        for guest in guests:
            facts = _facts(guest)
            for name, rule in compiled:
                if rule.matches(facts):
                    yield name, guest

    return decide


def _business_rules(asked: Tests) -> Decide:
    """Its own conditions, a variable a fact."""
    try:
        from business_rules.engine import check_conditions_recursively
        from business_rules.variables import BaseVariables, numeric_rule_variable
    except ImportError:
        raise Skipped("business-rules is not installed: pip install -e '.[bench]'") from None

    def variable(fact: str) -> Any:
        def given(self: Any) -> Any:
            return self.guest[fact]

        given.__name__ = fact
        return numeric_rule_variable(given)

    def begun(self: Any, guest: Guest) -> None:
        self.guest = guest

    facts = type("Facts", (BaseVariables,), {"__init__": begun, **{fact: variable(fact) for fact in FACTS}})
    conditions = {
        name: {"all": [{"name": fact, "operator": _WORDS[sign], "value": value} for fact, sign, value in its]}
        for name, its in asked.items()
    }

    def decide(guests: Iterable[Guest]) -> Iterator[tuple[str, Guest]]:
        for guest in guests:
            variables = facts(guest)
            for name, its in conditions.items():
                if check_conditions_recursively(its, variables):
                    yield name, guest

    return decide
