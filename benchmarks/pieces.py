"""Pieces of the work next to the plainest way to do the same: the facts' upkeep, and a mail's bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial

from sqlalchemy import Connection, func, insert, select

from benchmarks.crowd import AS_OF, ORDERS_A_GUEST
from benchmarks.ground import Ground
from benchmarks.measure import Measure, Pair, at_most, faster
from engine.database.facts_delta import apply_delta
from engine.database.tables import orders
from engine.dispatch import qr
from engine.dispatch.mimeparts import body

_POLICY = SMTP.clone(cte_type="7bit")
_LINE = "Corner Café: the last time you were here was three months ago, and we would like you to come again."


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the measures of the pieces."""
    for database in ground.databases:
        for each, told in ((1, "an order"), (ORDERS_A_GUEST, "ten orders")):
            yield Measure(
                id=f"facts-new-{each}",
                name=f"facts kept up for {told} of each guest / the insert",
                bar=at_most(1.3) if each > 1 else None,
                prepare=partial(_facts_upkeep, ground, database, each),
                opponent="bare insert",
                database=database,
            )
    yield Measure(
        id="mail-parts",
        name="a mail's parts / by the standard library",
        bar=faster(10),
        prepare=_mail_parts,
        opponent="EmailMessage",
    )


@contextmanager
def _facts_upkeep(ground: Ground, database: str, each: int) -> Iterator[Pair]:
    """New orders of so many guests, ``each`` for one guest: with their facts, and the bare insert; both rolled back."""
    world = ground.world(database)
    guests = min(world.size, 100_000) // each
    with world.db.connect() as conn:
        after = conn.scalar(select(func.max(orders.c.id))) or 0
    day = AS_OF.toordinal()
    rows = [
        {
            "source": "bench",
            "external_id": f"{guest}-{number}",
            "customer_id": guest,
            "store_id": 1,
            "ordered_at": AS_OF + timedelta(days=1, seconds=number),
            "day": day + 1,
            "total": 1250,
        }
        for number in range(each)
        for guest in range(1, guests + 1)
    ]

    def bare(then: Callable[[Connection], None] = lambda _: None) -> None:
        with world.db.connect() as conn, conn.begin() as transaction:
            conn.execute(insert(orders), rows)
            then(conn)
            transaction.rollback()

    yield Pair(
        ours=lambda: bare(lambda conn: apply_delta(conn, after_id=after, as_of=AS_OF + timedelta(days=2))),
        opponent=bare,
        note="Both rolled back; the other writes the same orders.",
    )


@contextmanager
def _mail_parts(count: int = 100) -> Iterator[Pair]:
    """So many mails of text, HTML and a picture: by our own hand, and by the standard library."""
    text = "\n".join([_LINE] * ORDERS_A_GUEST)
    page = f'<html><body>{f"<p>{_LINE}</p>" * ORDERS_A_GUEST * 8}<img src="cid:qr"></body></html>'
    png = qr.png("6536-M75W-SYZC-A")

    def ours() -> None:
        for number in range(count):
            body(text, page, {"qr": png}, f"<{number}@corner.example>")

    def library() -> None:
        for _ in range(count):
            message = EmailMessage(policy=_POLICY)
            message.set_content(text)
            message.add_alternative(page, subtype="html")
            part = message.get_payload()[-1]  # type: ignore[index]  # multipart by now
            assert isinstance(part, EmailMessage)
            part.add_related(png, "image", "png", cid="<qr>", disposition="inline", filename="code.png")
            message.as_bytes()

    yield Pair(ours=ours, opponent=library)
