"""Permission to use an endpoint: suppression and consent, as SQL and as facts written.

Implied consent (a soft opt-in) counts as far as the law of the home's and the guest's country lets it: it may end by
itself, some time after the guest's last order or after it was noted, and then the reason is ``consent_ended``.

Consent belongs to the endpoint, not to the customer: two records with one address are one inbox. ``consents`` is
append-only; the newest row of the endpoint for the topic (or for all marketing) counts. What the guest said goes before
what is implied, whenever either was written down: a soft opt-in is of one who bought and did not refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from engine.database.sql import Id, alias_of, spelled_in
from engine.database.tables import consents, customer_facts, endpoints
from engine.language.compliance import Implied, ImpliedTerms, Since

Purpose = Literal["marketing", "service"]

_AGREED: Final = "yes"
#: Why an endpoint is suppressed by what came back of messages, and not by its owner's will.
RETURNED: Final = frozenset({"hard_bounce", "soft_bounces", "unusable"})

#: FOR NO KEY UPDATE: a row written elsewhere that only points at the endpoint, a guest's in a long import, does not
#: wait and is not waited for.
_LOCK = (
    select(endpoints.c.id)
    .where(endpoints.c.id.in_(bindparam("ids", expanding=True, type_=Id)))
    .order_by(endpoints.c.id)
    .with_for_update(key_share=True)
)


def block_reason(
    endpoint_id: ColumnElement[Any],
    customer_id: ColumnElement[Any],
    *,
    purpose: Purpose,
    topic: str | None,
    implied: ImpliedTerms,
) -> ColumnElement[str | None]:
    """SQL: why nothing may go to the endpoint, or NULL.

    One of ``no_endpoint``, ``suppressed``, ``no_consent`` and ``consent_ended``. The newest word on the topic, or on
    all marketing, counts, an implied one only where nothing was said. ``customer_id`` is whose country and last order
    decide on implied consent.

    Scalar look-ups on purpose: on PostgreSQL they are four times faster than joins here (``benchmarks``).
    """
    reached = alias_of(endpoints, "reached")
    suppressed = select(reached.c.suppressed_at).where(reached.c.id == endpoint_id).scalar_subquery()
    blocks: list[tuple[ColumnElement[bool], Any]] = [
        (endpoint_id.is_(None), "no_endpoint"),
        (suppressed.is_not(None), "suppressed"),
    ]
    if purpose == "marketing":
        word = _word(endpoint_id, customer_id, topic, implied)
        return case(*blocks, else_=func.nullif(func.coalesce(word, "no_consent"), _AGREED))
    return case(*blocks, else_=null())


def _word(
    endpoint_id: ColumnElement[Any], customer_id: ColumnElement[Any], topic: str | None, implied: ImpliedTerms
) -> ScalarSelect[str]:
    """SQL: ``yes``, or why the newest word of the endpoint is none; NULL where it has none at all."""
    given = alias_of(consents, "given")
    agreed = given.c.state == "yes"
    whens: list[tuple[ColumnElement[bool], Any]] = [(and_(agreed, given.c.basis != "implied"), _AGREED)]
    if implied.home is not None or implied.elsewhere:
        whens.append((agreed, _of_implied(given, customer_id, implied)))
    return (
        select(case(*whens, else_="no_consent"))
        .where(given.c.endpoint_id == endpoint_id, _about(given, topic))
        .order_by(case((given.c.basis == "implied", 1), else_=0), given.c.at.desc(), given.c.id.desc())
        .limit(1)
        .correlate_except(given)
        .scalar_subquery()
    )


def _about(given: FromClause, topic: str | None) -> ColumnElement[bool]:
    """SQL: the word is on the topic or on all marketing."""
    return given.c.topic.is_(None) if topic is None else or_(given.c.topic.is_(None), given.c.topic == topic)


def _of_implied(given: FromClause, customer_id: ColumnElement[Any], implied: ImpliedTerms) -> ColumnElement[Any]:
    """SQL: what an implied yes is worth to this guest. Looked up only where there is one."""
    guest = alias_of(customer_facts, "agreed")

    def worth(terms: Implied) -> ColumnElement[Any]:
        if terms is None:
            return literal("no_consent")
        lasts = [_lasts(given, guest, since) for since in terms]
        return case((and_(*lasts), _AGREED), else_="consent_ended") if lasts else literal(_AGREED)

    countries: dict[Implied, list[str]] = {}
    for country, terms in implied.elsewhere:
        countries.setdefault(terms, []).append(country)
    if not countries and not implied.home:
        return worth(implied.home)
    whens = [(spelled_in(guest.c.country, named), worth(terms)) for terms, named in countries.items()]
    answer = case(*whens, else_=worth(implied.home)) if whens else worth(implied.home)
    return select(answer).where(guest.c.customer_id == customer_id).correlate_except(guest).scalar_subquery()


def _lasts(given: FromClause, guest: FromClause, since: Since) -> ColumnElement[bool]:
    """SQL: the last order, or the consent itself, is lately enough."""
    ways = [
        type_coerce(column, BigInteger) >= literal(second, BigInteger)
        for column, second in ((guest.c.last_order_at, since.ordered), (given.c.at, since.agreed))
        if second is not None
    ]
    return func.coalesce(or_(*ways), false()) if ways else false()


def lock_endpoint(conn: Connection, endpoint_id: int) -> None:
    """Hold the endpoint's row until the transaction ends: opt-out and fence never pass each other."""
    lock_endpoints(conn, [endpoint_id])


def lock_endpoints(conn: Connection, endpoint_ids: Sequence[int]) -> None:
    """Hold the rows of a few hundred endpoints until the transaction ends, taken in the order of their ids.

    SQLite's ``BEGIN IMMEDIATE`` holds the whole database already: there nothing is asked.
    """
    if conn.dialect.name != "sqlite":
        conn.execute(_LOCK, {"ids": endpoint_ids})


def said_word(conn: Connection, endpoint_id: int, topic: str | None) -> Literal["yes", "no"] | None:
    """Give the newest word that was said of the endpoint, on the topic or on all marketing; implied ones are not said.

    To be asked with the endpoint locked, by who is about to write an implied one.
    """
    said = select(consents.c.state).where(
        consents.c.endpoint_id == endpoint_id, _about(consents, topic), consents.c.basis != "implied"
    )
    found: Literal["yes", "no"] | None = conn.scalar(said.order_by(consents.c.at.desc(), consents.c.id.desc()).limit(1))
    return found


def record_consent(
    conn: Connection,
    endpoint_id: int,
    state: Literal["yes", "no"],
    *,
    at: datetime,
    source: str,
    basis: Literal["express", "implied"] = "express",
    topic: str | None = None,
    customer_id: int | None = None,
    evidence: str | None = None,
) -> None:
    """Append what a guest said about marketing to one endpoint; takes effect with the caller's commit."""
    lock_endpoint(conn, endpoint_id)
    conn.execute(
        insert(consents).values(
            endpoint_id=endpoint_id,
            customer_id=customer_id,
            topic=topic,
            basis=basis,
            state=state,
            at=at,
            source=source,
            evidence=evidence,
        )
    )


def moment_to_note(conn: Connection, endpoint_id: int, now: datetime) -> datetime:
    """Give as when to note a word that is said ``now``: a consent with a day to come must not outlive it.

    Such a one comes from a file, or from a clock that was ahead. To be asked with the endpoint locked.
    """
    last = conn.scalar(select(func.max(consents.c.at)).where(consents.c.endpoint_id == endpoint_id))
    return now if last is None else max(now, last)


def suppress(conn: Connection, endpoint_id: int, why: str, *, at: datetime) -> None:
    """Stop everything, service messages too, to one endpoint; the first moment and reason stay on record.

    But what came of its owner's will takes the place of what came back: staff may lift that, and never the other.
    """
    lock_endpoint(conn, endpoint_id)
    mine, e = update(endpoints).where(endpoints.c.id == endpoint_id), endpoints.c
    conn.execute(mine.where(e.suppressed_at.is_(None)).values(suppressed_at=at, suppressed_why=why))
    if why not in RETURNED:
        conn.execute(mine.where(e.suppressed_why.in_(sorted(RETURNED))).values(suppressed_why=why))


def lift(conn: Connection, endpoint_id: int) -> None:
    """Let messages go to an endpoint again that is suppressed by what came back, and by nothing else."""
    lock_endpoint(conn, endpoint_id)
    conn.execute(
        update(endpoints)
        .where(endpoints.c.id == endpoint_id, endpoints.c.suppressed_why.in_(sorted(RETURNED)))
        .values(suppressed_at=None, suppressed_why=None, soft_bounces=0)
    )
