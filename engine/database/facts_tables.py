"""``customer_facts``, the one table that is worked out and not told. Kinds of number: see ``tables``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    literal,
    text,
)

from engine.database.metadata import id_column, metadata
from engine.database.sql import EpochSeconds, Id

_BEYOND = "stands_from > coalesce(last_order_at, 0)"

#: One wide row a customer; ``engine/database/facts.py`` is its only definition. A row is right for every ``as_of`` with
#: ``stands_from <= as_of < refresh_at`` (NULL: no bound): outside, something of the customer comes of age or expires.
customer_facts = Table(
    "customer_facts",
    metadata,
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("zone_id", ForeignKey("zones.id"), nullable=False),
    Column(
        "store_id", ForeignKey("stores.id"), comment="own, else that of most visits in the 180 days before the last one"
    ),
    Column("email_id", ForeignKey("endpoints.id")),
    Column("sms_id", ForeignKey("endpoints.id")),
    Column("birthday_md", Integer),
    Column("birthday_calendar", String(8), nullable=False, server_default="solar"),
    Column("joined_at", EpochSeconds, comment="own, else the first order's"),
    Column("joined_day", Integer),
    Column("orders", Integer, nullable=False, server_default="0"),
    Column("visits", Integer, nullable=False, server_default="0", comment="business days with an order"),
    Column("spend", BigInteger, nullable=False, server_default="0"),
    Column("refunds", Integer, nullable=False, server_default="0"),
    Column("first_order_id", Id),
    Column("first_order_at", EpochSeconds),
    Column("first_order_day", Integer),
    Column("last_order_id", Id, comment="greatest (ordered_at, id)"),
    Column("last_order_at", EpochSeconds),
    Column("last_order_day", Integer),
    Column(
        "gaps",
        Integer,
        nullable=False,
        server_default="0",
        comment="how many of the last ten gaps between visits exist",
    ),
    Column(
        "gap_days",
        Integer,
        nullable=False,
        server_default="0",
        comment="their sum in days; the mean is gap_days / gaps",
    ),
    Column("points", Integer, nullable=False, server_default="0", comment="balance of the ledger 'points'"),
    Column("tier_key", Text, comment="text_key of the tier: by config/loyalty.yaml, else the customers' file"),
    Column("tier_rests_on", Integer, comment="day that the tier rests on: it falls when that leaves the period"),
    Column("tier_fell_with", Integer, comment="day with which a higher tier left the period"),
    Column("country", String(2), comment="the phone number's, else the store's; NULL: the home's"),
    Column("stands_from", EpochSeconds, comment="latest moment that this row takes into account"),
    Column("refresh_at", EpochSeconds, comment="earliest moment at which this row changes by itself"),
    Index(None, "store_id"),
    # For a day and a number of gaps, whom at_risk finds anew lies between two sums of them.
    Index(
        "ix_customer_facts_absence", "last_order_day", "zone_id", "gaps", "gap_days", postgresql_include=["customer_id"]
    ),
    Index(None, "birthday_md"),
    Index(None, "joined_day"),
    # Most rows change by themselves never, and stand from their last order on: an order would move them in an index of all.
    Index(
        "ix_customer_facts_refresh_at",
        "refresh_at",
        sqlite_where=text("refresh_at IS NOT NULL"),
        postgresql_where=text("refresh_at IS NOT NULL"),
    ),
    Index(
        "ix_customer_facts_stands_from",
        "stands_from",
        sqlite_where=text(_BEYOND),
        postgresql_where=text(_BEYOND),
    ),
    # Most guests never had a tier that can fall.
    *(
        Index(
            f"ix_customer_facts_{name}",
            "zone_id",
            name,
            sqlite_where=text(f"{name} IS NOT NULL"),
            postgresql_where=text(f"{name} IS NOT NULL"),
        )
        for name in ("tier_rests_on", "tier_fell_with")
    ),
)

#: Whose facts were written when, so that a rule need not look at everybody again: see ``engine/database/touched.py``.
touched = Table(
    "touched",
    metadata,
    id_column(),
    Column("tick", BigInteger, nullable=False, comment="of who wrote them: grows, and is no time"),
    Column("guests", Integer, nullable=False, comment="how many"),
    Column("customers", Text, comment="their ids, as JSON; NULL: everybody"),
    Column("since_day", Integer, comment="each of them has an order of this day or a later one; NULL: not known"),
    Index(None, "tick"),
    sqlite_autoincrement=True,
)


def beyond_last_order(facts: FromClause) -> ColumnElement[bool]:
    """SQL: the row takes something into account that came after the last order; written as the index has it."""
    return facts.c.stands_from > func.coalesce(facts.c.last_order_at, literal(0, literal_execute=True))
