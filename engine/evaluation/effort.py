"""What it takes to evaluate a rule: at how many guests it looks each time, and which tables it reads whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from engine.database.plans import read_whole
from engine.database.tables import customer_facts, orders
from engine.database.tiers import plan_of
from engine.evaluation.compiler import Rows, compile_rule
from engine.evaluation.permission import implied_terms
from engine.evaluation.register import zones_in_use
from engine.language.rule import Rule
from engine.vocabulary.conditions import compare
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Scope

_A_WHILE: Final = timedelta(days=1)
#: No row: what is explained here writes nothing.
_NOBODY: Final = Rows(rule=0, version=0, run=0)


@dataclass(frozen=True, slots=True)
class Effort:
    """What a rule's trigger and conditions read each time that the rule is checked."""

    rule: Rule
    looked_at: int  #: guests, before any condition is asked
    guests: int  #: all that there are
    orders: int  #: all that there are
    reads_orders: bool  #: all of them, whoever placed them


def efforts(conn: Connection, home: Home, at: datetime) -> Iterator[Effort]:
    """Yield what each active rule takes at a moment, as if it were checked for the first time; nothing is written.

    The guests are counted: on a large base that takes as long as a run takes for them.
    """
    guests = conn.scalar(select(func.count()).select_from(customer_facts)) or 0
    every_order = conn.scalar(select(func.count()).select_from(orders)) or 0
    zones, plan, implied = zones_in_use(conn), plan_of(conn), implied_terms(home.config, at)
    for rule in home.rules:
        if not rule.active.switch:
            continue

        def scope(rule: Rule = rule) -> Scope:
            # With a watermark: without one ``enters`` would find nobody.
            return Scope(
                moment=at,
                zones=zones,
                day_starts=home.config.day_starts,
                segments=home.segments,
                topic=rule.topic,
                watermark=at - _A_WHILE if "enters" in rule.body["trigger"] else None,
                plan=plan,
                implied=implied,
            )

        whole = read_whole(conn, compile_rule(rule, scope(), _NOBODY, home.exclude))
        everybody = customer_facts.name in whole or compare(rule.conditions, home.segments)
        looked_at = guests if everybody else _looked_at(conn, rule, scope())
        yield Effort(rule, looked_at, guests, every_order, reads_orders=orders.name in whole)


def _looked_at(conn: Connection, rule: Rule, scope: Scope) -> int:
    found = rule.trigger.candidates(scope)
    counted = select(func.count(scope.facts.c.customer_id.distinct())).select_from(found.source).where(*found.where)
    return int(conn.scalar(counted.add_cte(scope.days_table())) or 0)
