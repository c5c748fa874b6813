"""YAML in, SQL out: what each word becomes, exactly, as ``word_sql.txt`` shows it; and one rule with its parameters.

In that file a block is YAML, ``->``, and the word's own part of the statement with its parameters written in place.
``<counts o>`` stands for what makes an order count, ``<block x>`` for why an endpoint cannot be used, ``<as_of>`` for the
moment (Monday, 4 May 2026, 10:00 in Chicago). PostgreSQL's text follows where it is another than SQLite's.
After a change: ``REGULARS_WRITE_SQL=1 pytest tests/evaluation/test_word_sql.py``, and read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from small_world import CHICAGO, CONFIG, DAY_STARTS, at, home_of, rule_of
from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from engine.database import packed
from engine.database.consent import block_reason
from engine.database.counting import counts
from engine.database.tables import orders
from engine.evaluation.compiler import Rows, compile_rule
from engine.evaluation.permission import bucket, too_soon
from engine.language.compliance import ImpliedTerms
from engine.language.loyalty import Level, Loyalty, Tiers
from engine.language.times import Duration
from engine.vocabulary.conditions import CONDITIONS, all_hold
from engine.vocabulary.filters import FILTER_SCHEMA
from engine.vocabulary.scope import Scope, Zone
from engine.vocabulary.triggers import TRIGGERS

FILE, WHOLE = (Path(__file__).with_name(name) for name in ("word_sql.txt", "whole_rule_sql.txt"))
NOW, MATCHED = at("2026-05-04 10:00"), at("2026-05-02 11:00")
HOME = replace(
    home_of(
        f"{CONFIG}attributes:\n  wedding: date\n  child_birthday: date\n  seats: number\n  vegan: yes_no\n"
        "exclude:\n  any:\n    - tag: [staff, friend]\n",
        "regulars:\n  conditions:\n    visits:\n      at_least: 4\n",
    ),
    loyalty=Loyalty(
        tiers=Tiers(
            "spend", Duration.parse("1 year"), (Level("silver", "Silver", 20_000), Level("gold", "Gold", 50_000))
        )
    ),
)
GUESTS = {
    "sqlite": "SELECT f.customer_id FROM customer_facts AS f CROSS JOIN days ON days.zone_id = +f.zone_id",
    "postgresql": "SELECT f.customer_id FROM customer_facts AS f JOIN days ON days.zone_id = f.zone_id",
}
DIALECTS: dict[str, Dialect] = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


def scope_of(**more: Any) -> Scope:
    return Scope(NOW, [Zone(1, ZoneInfo(CHICAGO))], DAY_STARTS, HOME.segments, **more)


def flat(compiled: Any) -> str:
    return " ".join(str(compiled).split())


class Printer:
    """Prints parts of a statement about the guest ``f`` as they stand in it."""

    def __init__(self, scope: Scope, dialect: Dialect) -> None:
        self.scope, self.dialect = scope, dialect

    def compiled(self, statement: Any) -> str:
        text = flat(statement.compile(dialect=self.dialect, compile_kwargs={"literal_binds": True}))
        return text.replace("%%", "%").replace('"key"', "key")  # what a driver or a dialect escapes

    def test(self, *tests: ColumnElement[Any]) -> str:
        asked = select(self.scope.facts.c.customer_id).select_from(self.scope.guest())
        return self.short(self.compiled(asked.where(*tests)).partition(" WHERE ")[2])

    def value(self, value: Any) -> str:
        text = self.compiled(select(value.label("x")).select_from(self.scope.guest()))
        return self.short(re.sub(r"^(?:WITH .*\) )?SELECT (.*?) AS x FROM .*$", r"\1", text))

    def source(self, found: Any) -> Iterator[str]:
        """What is joined and asked, and the tables before it: those that Python worked out with first and last row."""
        asked = select(self.scope.facts.c.customer_id).select_from(found.source)
        head, _, joined = self.compiled(asked).rpartition(GUESTS[self.dialect.name])
        yield self.short(joined.lstrip())
        where = (
            self.compiled(asked.where(*found.where))
            .rpartition(GUESTS[self.dialect.name])[2]
            .removeprefix(joined)
            .lstrip()
        )
        yield f"   {self.short(where)}" if where else ""
        for name, body in tables(head):
            if not body.startswith("VALUES "):
                yield f"   {name}: {self.short(body)}"
                continue
            rows = body.removeprefix("VALUES ").split("), (")
            between = f") ... {len(rows)} rows ... (" if len(rows) > 2 else "), ("
            yield f"   {name}: {rows[0] if len(rows) == 1 else f'{rows[0]}{between}{rows[-1]}'}"

    def short(self, text: str) -> str:
        text = text.replace(str(int(NOW.timestamp())), "<as_of>").replace(str(int(MATCHED.timestamp())), "<match>")
        for pattern, name in often(self.dialect.name):
            text = re.sub(pattern, name, text)
        return text


@cache
def often(dialect: str) -> list[tuple[str, str]]:
    """What stands in many words: a pattern of it, and a name for it."""
    return [*_often(Printer(scope_of(), DIALECTS[dialect]))]


def _often(printer: Printer) -> Iterator[tuple[str, str]]:
    for name in ("o", "v", "e", "newer", "back", "known"):
        order = orders.alias(name)
        test = printer.compiled(select(order.c.id).where(counts(order, NOW))).partition(" WHERE ")[2]
        pattern = re.escape(test.replace(str(int(NOW.timestamp())), "<as_of>"))
        yield re.sub(r"(refunds|coalesce)_\d", r"\1_\\d", pattern), f"<counts {name}>"
    for channel in ("email", "sms"):
        its = printer.scope.facts.c
        block = block_reason(
            its[f"{channel}_id"], its.customer_id, purpose="marketing", topic=None, implied=ImpliedTerms()
        )
        asked = printer.compiled(select(block.label("x")).select_from(printer.scope.facts))
        yield re.escape(asked.removeprefix("SELECT ").partition(" AS x FROM ")[0]), f"<block {channel}>"


def tables(head: str) -> Iterator[tuple[str, str]]:
    """The tables before a statement, by name."""
    rest = head.removeprefix("WITH ")
    while (found := re.match(r"(\w+(?:\([^)]*\))?) AS (?:MATERIALIZED )?\(", rest)) is not None:
        end, open_ = found.end(), 1
        while open_:
            open_ += {"(": 1, ")": -1}.get(rest[end], 0)
            end += 1
        yield found[1], rest[found.end() : end - 1]
        rest = rest[end:].lstrip(", ")


def days_of(scope: Scope) -> str:
    """What the numbers stand for that Python worked out."""
    names = dict(zip(scope._names[2:], scope._values[0][2:], strict=True))
    said = [f"{name} = {date.fromordinal(day) if day < 10**7 else f'{day} seconds'}" for name, day in names.items()]
    return f"   where {', '.join(said)}" if said else ""


def parts(kind: str, text: str, printer: Printer) -> Iterator[str]:
    """The lines of one block on one database."""
    scope = printer.scope
    if kind == "conditions":
        yield printer.test(all_hold(rule_of(f"trigger:\n  birthday:\n{text}", HOME).conditions, scope))
    elif kind == "stop_if":
        scope.match_at = MATCHED
        yield printer.test(all_hold(rule_of(f"trigger:\n  birthday:\n{text}", HOME).stop_if, scope))
    elif kind == "exclude":
        yield printer.test(all_hold(HOME.exclude, scope))
    elif kind == "limits":
        again = rule_of(f"trigger:\n  birthday:\n{text}", HOME).limits.again_after
        yield printer.value(too_soon(scope, 7, again))
    elif kind == "holdout":
        rule = rule_of(f"id: win-back\ntrigger:\n  birthday:\n{text}", HOME)
        yield f"{printer.test(bucket(scope.facts.c.customer_id, rule.id) < rule.holdout)}"
    else:
        trigger = rule_of(text, HOME).trigger
        if kind == "trigger" and "  enters:" in text:  # nobody enters at the first evaluation
            scope.watermark = MATCHED
        found = trigger.candidates(scope)
        yield from printer.source(found)
        said = {"occasion": found.occasion, "closes": found.closes, "expired": found.expired}
        yield f"   {', '.join(f'{name} {printer.value(value)}' for name, value in said.items())}"
        if trigger.ends is not None:
            scope.match_at = MATCHED
            yield f"   {trigger.ends}: {printer.test(trigger.ended(scope))}"


def shown(text: str) -> str:
    """One block as it should be."""
    kind = text.split(":", 1)[0]
    by_dialect = {}
    for name, dialect in DIALECTS.items():
        printer = Printer(scope_of(), dialect)
        lines = [line for line in parts(kind, text, printer) if line]
        by_dialect[name] = "\n".join(line for line in [*lines, days_of(printer.scope)] if line)
    said = f"{text}\n-> {by_dialect['sqlite']}"
    other = by_dialect["postgresql"]
    return said if other == by_dialect["sqlite"] else f"{said}\nPostgreSQL: {other}"


def blocks() -> list[str]:
    return FILE.read_text(encoding="utf-8").strip().split("\n\n")


def test_every_word_becomes_exactly_this_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_MOST_BINDS", 10_000)  # long tables stay legible, and the same on both databases
    written = [shown(block.split("\n->")[0]) for block in blocks()]
    if os.environ.get("REGULARS_WRITE_SQL"):
        FILE.write_text("\n\n".join(written) + "\n", encoding="utf-8")
    assert written == blocks()


@pytest.mark.parametrize("word", [*TRIGGERS, *CONDITIONS, *FILTER_SCHEMA, "exclude", "holdout", "again_after"])
def test_no_word_is_missing(word: str) -> None:
    asked = "\n".join(block.split("\n->")[0] for block in blocks())
    assert re.search(rf"^[ -]*{re.escape(word).replace('<name>', '[^:]+')}:", asked, re.MULTILINE)


def test_what_an_owner_writes_is_a_parameter_and_never_part_of_the_statement() -> None:
    sly = "x' OR '1'='1"
    filters = f'product: "{sly}"\n    category: "{sly}*"\n    store: "{sly}"\n    channel: "{sly}"'
    conditions = f'tier: "{sly}"\n  tag: "{sly}"\n  store: "{sly}"\n  points: 4711'
    rule = rule_of(f"trigger:\n  ordered:\n    {filters}\nconditions:\n  {conditions}\n")
    for dialect in DIALECTS.values():
        compiled = compile_rule(rule, scope_of(), Rows(1, 2, 3)).compile(dialect=dialect)
        assert "or '1'" not in str(compiled).casefold()
        assert "4711" not in str(compiled)
        values = [value for value in compiled.params.values() if "or '1'" in str(value)]
        assert sorted(set(values)) == [sly.casefold(), f"{sly.casefold()}%"]
        assert len(values) == 9  # a store is asked for by name and by id


def test_a_whole_rule_is_exactly_this_statement_with_these_parameters() -> None:
    rule = rule_of(
        """
id: win-back
trigger:
  lapsed:
    after: 2 days
    up_to: 4 days
conditions:
  orders:
    at_least: 3
limits:
  again_after: 180 days
holdout: 10%
topic: offers
""",
        HOME,
    )
    statement = compile_rule(rule, scope_of(topic=rule.topic), Rows(rule=7, version=8, run=9), HOME.exclude)
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    lines = [" ".join(line.split()) for line in str(compiled).splitlines() if line.strip()]
    values = [f"{name} = {value}" for name, value in compiled.params.items()]
    written = "\n".join([*lines, "", *values]) + "\n"
    if os.environ.get("REGULARS_WRITE_SQL"):
        WHOLE.write_text(written, encoding="utf-8")
    assert written == WHOLE.read_text(encoding="utf-8")
