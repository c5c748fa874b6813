"""Erasing a guest: every trace in the home goes, and the hash of the address stays, so that nobody writes there again.

Three steps, each of which can be repeated: nothing more goes out; the files; the rows. The name is forgotten last, so
that an erasure that was interrupted can be begun again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, exists, insert, or_, select, update

from connectors.file import erase as erase_messages
from engine.database.belonging import of_guest
from engine.database.consent import lock_endpoint
from engine.database.engines import DatabaseUnavailable, empty_the_log
from engine.database.facts import recompute
from engine.database.tables import (
    audit,
    consents,
    coupons,
    customer_dates,
    customers,
    dispatches,
    endpoints,
    events,
    imports,
    matches,
    payloads,
    points,
    ratings,
    tags,
    tier_changes,
)
from engine.dispatch.channels import OUTBOX
from engine.dispatch.links import message_key
from engine.dispatch.states import OPEN, move
from engine.dispatch.traces import Traces, files_below, found_in, remove_messages, remove_previews, remove_rows
from engine.intake.ids import ERASED, erased_id
from engine.vocabulary.home import Home

#: Pages that ``regulars preview`` writes: they can be made again.
PREVIEW = "preview"
_NAMED = 5  #: so many imported files are named


class UnknownCustomerError(Exception):
    """There is no such customer."""


@dataclass
class ErasureReport:
    """What was erased. ``left`` are plain sentences on what Regulars cannot reach; none of them names the guest."""

    customer_id: int
    stopped: int = 0  #: dispatches that will not go out
    coupons: int = 0  #: coupons that will not be issued
    messages: int = 0  #: message files deleted
    rows: dict[str, int] = field(default_factory=dict)  #: file, relative to the home -> rows taken out
    left: list[str] = field(default_factory=list)


def erase(db: Engine, home: Home, customer_id: int, *, now: datetime, actor: str) -> ErasureReport:
    """Erase the customer with that internal id. Raises ``UnknownCustomerError``.

    Orders stay for the books, and belong to nobody known. Erasing again finishes what was interrupted.
    """
    report = ErasureReport(customer_id)
    with db.begin() as conn:
        guest = _lock(conn, customer_id)
        own = _own_endpoints(conn, guest)
        traces = _traces(conn, guest, own)
        _stop(conn, guest, own, report, now=now, actor=actor)
        keys = _message_keys(conn, home.key, customer_id)
    _clear_files(home, traces, keys, report)
    with db.begin() as conn:
        _forget(conn, home.key, _lock(conn, customer_id), own, now=now, actor=actor)
    try:
        empty_the_log(db)
    except DatabaseUnavailable as error:
        report.left.append(str(error))
    _tell_what_is_left(db, home, traces, report)
    return report


def _lock(conn: Connection, customer_id: int) -> Row[*tuple[Any, ...]]:
    """Lock endpoints before the customer, as the fence does."""
    of_guest = select(customers).where(customers.c.id == customer_id)
    guest = conn.execute(of_guest).one_or_none()
    if guest is None:
        raise UnknownCustomerError
    for endpoint_id in sorted(each for each in (guest.email_id, guest.sms_id) if each is not None):
        lock_endpoint(conn, endpoint_id)
    return conn.execute(of_guest.with_for_update(key_share=True)).one()


def _own_endpoints(conn: Connection, guest: Row[*tuple[Any, ...]]) -> list[int]:
    """Give the guest's endpoints that no other guest has: an address shared by a couple stays the other's."""
    mine = [each for each in (guest.email_id, guest.sms_id) if each is not None]
    other = customers.alias("other")
    shared = exists().where(
        other.c.id != guest.id,
        other.c.erased_at.is_(None),
        or_(other.c.email_id == endpoints.c.id, other.c.sms_id == endpoints.c.id),
    )
    return list(conn.scalars(select(endpoints.c.id).where(endpoints.c.id.in_(mine), ~shared).order_by(endpoints.c.id)))


def _traces(conn: Connection, guest: Row[*tuple[Any, ...]], own: list[int]) -> Traces:
    addresses = conn.execute(
        select(endpoints.c.channel, endpoints.c.address).where(
            endpoints.c.id.in_(own), endpoints.c.address.is_not(None)
        )
    ).all()
    return Traces(
        source=guest.source,
        external_id=guest.external_id,
        names=frozenset({" ".join((guest.name or guest.first_name or "").split())} - {""}),
        emails=frozenset(row.address for row in addresses if row.channel == "email"),
        phones=frozenset(row.address for row in addresses if row.channel == "sms"),
    )


def _stop(
    conn: Connection, guest: Row[*tuple[Any, ...]], own: list[int], report: ErasureReport, *, now: datetime, actor: str
) -> None:
    """Let nothing more go out, to the guest or to addresses that are only theirs."""
    conn.execute(
        update(customers).where(customers.c.id == guest.id, customers.c.erased_at.is_(None)).values(erased_at=now)
    )
    conn.execute(
        update(endpoints).where(endpoints.c.id.in_(own), endpoints.c.suppressed_at.is_(None)).values(suppressed_at=now)
    )
    conn.execute(update(endpoints).where(endpoints.c.id.in_(own)).values(suppressed_why="erased"))
    mine = of_guest(guest.id)
    for before in OPEN:
        report.stopped += len(move(conn, before, "blocked", mine, who="engine", now=now, actor=actor, reason="erased"))
    revoked = conn.scalars(
        update(coupons)
        .where(coupons.c.customer_id == guest.id, coupons.c.code.is_(None), coupons.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(coupons.c.id)
    ).all()
    report.coupons += len(revoked)
    handed = conn.scalars(select(dispatches.c.id).where(mine, dispatches.c.state == "handoff")).all()
    if handed:
        report.left.append(
            f"{len(handed)} message{'s are' if len(handed) > 1 else ' is'} being handed over at this moment and may "
            "still arrive. Erase once more afterwards if the connector writes files."
        )


def _message_keys(conn: Connection, key: bytes, customer_id: int) -> list[str]:
    """Give the keys of every message to or about the guest: a list for staff bears the key of its first dispatch.

    Whoever brought the guest was written to about them.
    """
    columns = (dispatches.c.id, dispatches.c.provider_id)
    about = select(*columns).join(matches, matches.c.id == dispatches.c.match_id)
    rows = [
        *conn.execute(select(*columns).where(of_guest(customer_id))),
        *conn.execute(about.where(matches.c.friend_id == customer_id)),
    ]
    lists = conn.scalars(
        select(dispatches.c.id).where(
            dispatches.c.channel == "alert",
            dispatches.c.provider_id.in_([row.provider_id for row in rows if row.provider_id is not None]),
        )
    )
    return [message_key(key, each) for each in sorted({*(row.id for row in rows), *lists})]


def _clear_files(home: Home, traces: Traces, keys: list[str], report: ErasureReport) -> None:
    """Clear messages, previews and imported files; what cannot be written to is found and told afterwards."""
    outbox = home.root / OUTBOX
    with contextlib.suppress(OSError):
        report.messages += erase_messages(outbox, keys)
    report.messages += remove_messages(outbox, traces)
    gone, left = remove_previews(home.root / PREVIEW)
    report.messages += gone
    if left:
        report.left.append(f"{PREVIEW}/: {left} of its pages cannot be deleted. Delete the folder by hand.")
    with contextlib.suppress(OSError):
        for file, count in remove_rows(home.config, traces).items():
            report.rows[_shown(home.root, file)] = count


def _forget(
    conn: Connection, key: bytes, guest: Row[*tuple[Any, ...]], own: list[int], *, now: datetime, actor: str
) -> None:
    """Blank every column that says something of the person. The rows stay: what rests on their ids must not move."""
    mine = guest.id
    known_as = guest.external_id
    if not known_as.startswith(ERASED):
        known_as = erased_id(key, guest.source, guest.external_id)
        conn.execute(
            update(customers)
            .where(customers.c.source == guest.source, customers.c.referred_by == guest.external_id)
            .values(referred_by=known_as)
        )
    blank = dict.fromkeys(
        (
            "name", "first_name", "birthday_year", "birthday_md", "language", "gender", "gender_key", "city",
            "city_key", "company", "tier", "tier_key", "referred_by", "email_id", "sms_id",
        )
    )  # fmt: skip
    empty: dict[str, Any] = {"attributes": {}, "attribute_keys": {}}
    conn.execute(update(customers).where(customers.c.id == mine).values(**blank, **empty, external_id=known_as))
    conn.execute(update(endpoints).where(endpoints.c.id.in_(own)).values(address=None))
    conn.execute(delete(tags).where(tags.c.customer_id == mine))
    conn.execute(delete(tier_changes).where(tier_changes.c.customer_id == mine))
    conn.execute(delete(customer_dates).where(customer_dates.c.customer_id == mine))
    conn.execute(update(ratings).where(ratings.c.customer_id == mine).values(comment=None))
    conn.execute(update(events).where(events.c.customer_id == mine).values(data={}, data_keys={}))
    conn.execute(update(points).where(points.c.customer_id == mine).values(reason=None))
    conn.execute(
        update(consents)
        .where(or_(consents.c.customer_id == mine, consents.c.endpoint_id.in_(own)))
        .values(evidence=None)
    )
    their = select(dispatches.c.id).where(of_guest(mine))
    conn.execute(delete(payloads).where(payloads.c.dispatch_id.in_(their)))
    # Whoever brought this guest was told the first name.
    named = select(dispatches.c.id).join(matches, matches.c.id == dispatches.c.match_id)
    conn.execute(delete(payloads).where(payloads.c.dispatch_id.in_(named.where(matches.c.friend_id == mine))))
    conn.execute(update(dispatches).where(of_guest(mine)).values(provider_reply=None))
    recompute(conn, [mine], now)
    conn.execute(insert(audit).values(at=now, actor=actor, action="erase", subject=f"customer {mine}", after="erased"))


def _tell_what_is_left(db: Engine, home: Home, traces: Traces, report: ErasureReport) -> None:
    for file in found_in(home.root, traces):
        report.left.append(
            f"{_shown(home.root, file)}: the name or an address still stands in it. If it is this guest's, take it out "
            "by hand."
        )
    elsewhere = _imported_from_elsewhere(db, home)
    if elsewhere:
        named = ", ".join(elsewhere[:_NAMED]) + (" and others" if len(elsewhere) > _NAMED else "")
        report.left.append(
            f"Files that were imported from other folders ({named}), and those of refused rows beside them: take the "
            "guest out, or delete them."
        )
    report.left.append("Backups and copies of this folder or of the database: erase there too, or let them run out.")
    report.left.append(
        "The till: erase the guest there. Until then its exports are recognised, and the guest left out."
    )
    providers = [
        name
        for name, connector in (("mail", home.config.email.connector), ("SMS", home.config.sms.connector))
        if connector != "file"
    ]
    if providers:
        report.left.append(
            f"What was sent: the logs of your {' and '.join(providers)} provider, and the guest's inbox."
        )
    if db.dialect.name == "postgresql":
        report.left.append("PostgreSQL keeps old versions of rows until its next vacuum, and in its archived log.")


def _imported_from_elsewhere(db: Engine, home: Home) -> list[str]:
    """Give the names of imported files that do not lie in the home any more, or never did."""
    with db.begin() as conn:
        names = set(conn.scalars(select(imports.c.name).distinct()))
    return sorted(names - {file.name for file in files_below(home.root)})


def _shown(root: Path, file: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
