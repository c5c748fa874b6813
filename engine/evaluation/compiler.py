"""A rule and a moment become one statement: who is matched, with the verdict on each.

Its parts, each a CTE: ``days`` and ``open_days``, what Python worked out about time, zone by zone; ``candidates``, open
now (or closed unseen), all conditions hold, no match exists; ``permission``, why email or SMS cannot go, looked up once
a candidate; ``ranked``, of two guests with one address the first; ``judged``, refused and why, control, or act.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Select,
    String,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    null,
    or_,
    select,
    table,
    true,
    type_coerce,
    union,
)

from engine.database.consent import Purpose, block_reason
from engine.database.sql import alias_of, in_turn, upsert
from engine.database.tables import matches, stores
from engine.database.touched import touched_since
from engine.evaluation.permission import bucket, in_branches, too_soon
from engine.language.compliance import ImpliedTerms
from engine.language.rule import Rule, Step
from engine.vocabulary.actions import ACTIONS
from engine.vocabulary.conditions import Condition, all_hold
from engine.vocabulary.occasions import Candidates
from engine.vocabulary.scope import Scope
from engine.vocabulary.steady import turn


@dataclass(frozen=True)
class Rows:
    """The rows that matches refer to."""

    rule: int
    version: int
    run: int


#: Of the guests whom the config's ``holdout`` keeps from all marketing. No rule's id has a blank.
HOLDOUT_SALT = "holdout of the home"

#: What can fire: the columns of ``Candidates`` and of ``matches``.
FIRED = ("order_id", "rating_id", "event_id", "friend_id")
_NOTHING: Final = cast(null(), BigInteger)
#: The columns of ``matches`` that the statement fills, in its order.
MATCH_COLUMNS = (
    "rule_id",
    "customer_id",
    "occasion",
    "run_id",
    "version_id",
    "matched_at",
    "closes",
    "verdict",
    "reason",
    "email_block",
    "sms_block",
    "email_id",
    "sms_id",
    "store_id",
    *FIRED,
)


def compile_rule(
    rule: Rule, scope: Scope, rows: Rows, exclude: tuple[Condition, ...] = (), *, holdout: int = 0
) -> Select[Any]:
    """Give the rule's matches at the scope's moment, one row each, with the columns ``MATCH_COLUMNS``.

    ``exclude`` are the conditions of the config under which a guest never gets marketing; ``holdout`` is the share, in
    hundredths of a percent, of the guests who get none so that all rules can be compared with none.
    """
    found = _found(rule, scope)
    excluded = all_hold(exclude, scope) if exclude and rule.purpose == "marketing" else None
    terms = tuple((channel, scope.implied.get(channel, ImpliedTerms())) for channel in ("email", "sms"))
    judged = _judged(rule, _ranked(rule.purpose, rule.topic, terms, in_turn=rule.limits.again_after is not None))
    controls = [(judged.c.bucket < rule.holdout, "control")]
    if holdout and rule.purpose == "marketing":
        controls.insert(0, (bucket(judged.c.customer_id, HOLDOUT_SALT) < holdout, "control"))
    verdict = case((judged.c.reason.is_not(None), "refused"), *controls, else_="act")
    fixed: dict[str, ColumnElement[Any]] = {
        "rule_id": literal(rows.rule, BigInteger),
        "run_id": literal(rows.run, BigInteger),
        "version_id": literal(rows.version, BigInteger),
        "matched_at": scope.as_of,
        "verdict": verdict,
    }
    # SQLite needs a WHERE before the ON CONFLICT that follows.
    columns = (fixed[name].label(name) if name in fixed else judged.c[name] for name in MATCH_COLUMNS)
    return select(*columns).where(true()).add_cte(_candidates(rule, scope, rows, found, excluded))


def writing_matches(
    conn: Connection, rule: Rule, scope: Scope, rows: Rows, exclude: tuple[Condition, ...] = (), *, holdout: int = 0
) -> tuple[Executable, bool]:
    """Give the statement that writes the rule's matches, and whether it looks at few.

    The unique key (rule, customer, occasion) lets none in twice, whoever else runs.
    """
    chosen = compile_rule(rule, scope, rows, exclude, holdout=holdout)
    written: Executable = (
        upsert(conn, matches)
        .from_select(MATCH_COLUMNS, chosen)
        .on_conflict_do_nothing(index_elements=["rule_id", "customer_id", "occasion"])
    )
    return written, scope.moved is not None or bool(rule.trigger.gives)  # who moved, or what happened lately


def _candidates(rule: Rule, scope: Scope, rows: Rows, found: Candidates, excluded: ColumnElement[bool] | None) -> CTE:
    facts, earlier = scope.facts, alias_of(matches, "m")
    matched = (
        select(earlier.c.id)
        .where(
            earlier.c.rule_id == rows.rule,
            earlier.c.customer_id == facts.c.customer_id,
            earlier.c.occasion == found.occasion,
        )
        .exists()
    )
    chosen: Select[Any] = (
        select(
            facts.c.customer_id,
            facts.c.email_id,
            facts.c.sms_id,
            cast(found.occasion, BigInteger).label("occasion"),
            type_coerce(found.closes, BigInteger).label("closes"),
            found.expired.label("expired"),
            too_soon(scope, rows.rule, rule.limits.again_after).label("soon"),
            (literal(0) if excluded is None else case((excluded, 1), else_=0)).label("excluded"),
            _store(scope, found).label("store_id"),
            *(_id(getattr(found, name)).label(name) for name in FIRED),
        )
        .select_from(found.source)
        .where(
            # Asked in this order: who has had the occasion is told by an index, and needs no look-up of orders.
            *found.where,
            _is_there(scope),
            ~matched,
            all_hold(rule.conditions, scope) if rule.conditions else true(),
        )
    )
    return chosen.add_cte(scope.days_table(), *_moved(scope, found)).cte("candidates")


def _found(rule: Rule, scope: Scope) -> Candidates:
    """Give the trigger's candidates: of all guests, or of those alone who can have become one since the last time.

    For all others the trigger had opened by then, and the conditions, which turn by nothing but what is written of a
    guest, were what they are now: they were matched then, or are no candidates now. So the matches are the same.
    """
    found: Candidates
    if scope.seen_tick is not None and not turn(rule.conditions, scope.segments, to=True):
        scope.moved = table("moved", column("customer_id", BigInteger))
        found = rule.trigger.candidates(scope)
        if found.newly is not None:
            return found
        scope.moved = None
    found = rule.trigger.candidates(scope)
    return found


def _moved(scope: Scope, found: Candidates) -> list[CTE]:
    """The table ``moved`` where there is one: for whom the trigger has opened since, and whose facts were written."""
    if scope.moved is None or found.newly is None:
        return []
    written = touched_since(literal(scope.seen_tick, BigInteger), found.absent_since)
    if found.opened is not None:
        (days, same), facts, who = found.opened, scope.facts, written.subquery("written")
        whose = in_turn(in_turn(who, facts, facts.c.customer_id == who.c.customer_id), days, same)
        written = select(facts.c.customer_id, *days.c).select_from(whose)
    return [union(found.newly, written).cte("moved").prefix_with("MATERIALIZED")]


def _is_there(scope: Scope) -> ColumnElement[bool]:
    """SQL: the guest has joined by then, or ordered: who comes later is not there yet in a look back."""
    facts = scope.facts.c
    return or_(facts.joined_at.is_(None), facts.joined_at <= scope.as_of, facts.orders > 0)


def _id(fired: ColumnElement[Any] | None) -> ColumnElement[Any]:
    return _NOTHING if fired is None else fired


def _store(scope: Scope, found: Candidates) -> ColumnElement[Any]:
    """SQL: the store of what fired, else the guest's; never one that has shut for good."""

    def still_open(store_id: ColumnElement[Any], name: str) -> ColumnElement[Any]:
        shop = alias_of(stores, name)
        trading = or_(shop.c.closed_on.is_(None), shop.c.closed_on > scope.today)
        return select(shop.c.id).where(shop.c.id == store_id, trading).correlate_except(shop).scalar_subquery()

    own = still_open(scope.facts.c.store_id, "own_store")
    return own if found.store_id is None else func.coalesce(still_open(found.store_id, "fired_store"), own)


#: The candidates by their name: what is asked of them is the same for many rules.
_CANDIDATES: Final = table(
    "candidates",
    *(column(name, BigInteger) for name in ("customer_id", "email_id", "sms_id", "occasion", "closes")),
    *(column(name, Integer) for name in ("expired", "soon", "excluded")),
    *(column(name, BigInteger) for name in ("store_id", *FIRED)),
)

Terms = tuple[tuple[str, ImpliedTerms], ...]


def _permission(purpose: Purpose, topic: str | None, terms: Terms) -> CTE:
    c = _CANDIDATES.c
    blocks = {
        channel: block_reason(c[f"{channel}_id"], c.customer_id, purpose=purpose, topic=topic, implied=its)
        for channel, its in terms
    }
    # MATERIALIZED: PostgreSQL would else look every block up once for each of its uses below.
    return (
        select(*c, *(each.label(f"{channel}_block") for channel, each in blocks.items()))
        .cte("permission")
        .prefix_with("MATERIALIZED")
    )


@lru_cache(maxsize=64)
def _ranked(purpose: Purpose, topic: str | None, terms: Terms, *, in_turn: bool) -> CTE:
    """Rank guests who share an address, among those who could use it; the guest first known goes first.

    ``in_turn``: of several occasions of one guest only the first is answered. Built once for rules that are alike.
    """
    permission = _permission(purpose, topic, terms)
    fresh = and_(permission.c.expired == 0, permission.c.soon == 0, permission.c.excluded == 0)
    ranks = []
    for channel in ("email", "sms"):
        endpoint, block = permission.c[f"{channel}_id"], permission.c[f"{channel}_block"]
        usable = case((and_(block.is_(None), fresh), 1), else_=0)
        # rank(), not row_number(): two occasions of one guest are not two guests.
        place = func.rank().over(partition_by=(endpoint, usable), order_by=permission.c.customer_id)
        ranks.append(case((usable == 1, place), else_=0).label(f"{channel}_rank"))
    # Two low ratings of one evening come in one run: the first to fire is answered, as it would be in two runs.
    if in_turn:
        turn = func.row_number().over(
            partition_by=(permission.c.customer_id, case((fresh, 1), else_=0)),
            order_by=(permission.c.closes, permission.c.occasion),
        )
        ranks.append(case((fresh, turn), else_=0).label("turn"))
    return select(*permission.c, *ranks).cte("ranked")


def _judged(rule: Rule, ranked: CTE) -> CTE:
    blocks = {
        channel: case((ranked.c[f"{channel}_rank"] > 1, "duplicate_endpoint"), else_=ranked.c[f"{channel}_block"])
        for channel in ("email", "sms")
    }
    nothing_left = _nothing_left(rule, blocks, ranked.c.customer_id)
    if rule.limits.again_after is not None:
        nothing_left = func.coalesce(nothing_left, case((ranked.c.turn > 1, "again_too_soon"), else_=null()))
    reason = case(
        (ranked.c.expired == 1, "expired"),
        (ranked.c.soon == 1, "again_too_soon"),
        (ranked.c.excluded == 1, "excluded"),
        else_=nothing_left,
    )
    kept = ("customer_id", "occasion", "closes", "email_id", "sms_id", "store_id", *FIRED)
    return select(
        *(ranked.c[name] for name in kept),
        reason.label("reason"),
        blocks["email"].label("email_block"),
        blocks["sms"].label("sms_block"),
        (bucket(ranked.c.customer_id, rule.id) if rule.holdout else literal(0, Integer)).label("bucket"),
    ).cte("judged")


def _nothing_left(rule: Rule, blocks: dict[str, Any], customer_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: the first message step's block where no step is left that does anything, else NULL.

    Only the steps of the guest's own branches count.
    """
    nothing: ColumnElement[Any] = cast(null(), String)
    doing = [step for step in rule.steps if step.settings.channel is None and _does_by_itself(step)]
    messages = [step for step in rule.steps if step.settings.channel is not None]
    if not messages or any(not step.branches for step in doing):
        return nothing
    blocked = [blocks[step.settings.channel] for step in messages]
    if not any(step.branches for step in (*doing, *messages)):
        return case((and_(*(block.is_not(None) for block in blocked)), blocked[0]), else_=nothing)
    mine = [in_branches(customer_id, step) for step in messages]
    open_ones = [and_(own, block.is_(None)) for own, block in zip(mine, blocked, strict=True)]
    something = or_(*(in_branches(customer_id, step) for step in doing), *open_ones)
    return case((something, nothing), *zip(mine, blocked, strict=True), else_=nothing)


def _does_by_itself(step: Step) -> bool:
    return ACTIONS[step.word].does_something or getattr(step.settings, "always", False)
