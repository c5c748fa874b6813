"""The customer side: importers and sync write it. Kinds of number: see ``tables``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultExecutionContext

from engine.database.metadata import id_column, metadata
from engine.database.sql import EpochSeconds
from engine.language.textkey import text_key, text_keys


def _row(context: DefaultExecutionContext) -> dict[str, Any]:
    """Give what is being inserted."""
    row: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]
    return row


def _key(of: str) -> Any:
    """Give the default of a column that holds ``text_key`` of another one of its row."""

    def made(context: DefaultExecutionContext) -> str | None:
        value = _row(context).get(of)
        return None if value is None else text_key(value)

    return made


def _keys(of: str) -> Any:
    """Give the default of a column that holds ``text_keys`` of a JSON object beside it."""

    def made(context: DefaultExecutionContext) -> dict[str, str]:
        return text_keys(_row(context).get(of) or {})

    return made


zones = Table(
    "zones",
    metadata,
    id_column(),
    Column("name", String(64), nullable=False, unique=True, comment="IANA name, such as America/Chicago"),
    sqlite_autoincrement=True,
)

stores = Table(
    "stores",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("external_key", Text, default=_key("external_id"), comment="text_key(external_id)"),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, comment="text_key(name): what rules are compared with"),
    Column("country", String(2)),
    Column("city", Text),
    Column("region", Text),
    Column("zone_id", ForeignKey("zones.id"), nullable=False),
    Column("language", String(35)),
    Column("address", Text),
    Column("phone", Text),
    Column("manager_name", Text),
    Column("manager_email", Text),
    Column("manager_phone", Text),
    Column("opens", String(5), comment="HH:MM on the store's clock"),
    Column("closes", String(5)),
    Column("closed_on", Integer, comment="day: from this day on the store is shut for good"),
    Column("attributes", JSON, nullable=False),
    UniqueConstraint("source", "external_id"),
    sqlite_autoincrement=True,
)

endpoints = Table(
    "endpoints",
    metadata,
    id_column(),
    Column("channel", String(8), nullable=False, comment="email or sms"),
    Column("hash", LargeBinary(32), nullable=False, comment="keyed hash of the normalised address; survives erasure"),
    Column("address", Text, comment="normalised email or E.164 number; NULL after erasure"),
    Column("suppressed_at", EpochSeconds),
    Column(
        "suppressed_why",
        String(32),
        comment="unsubscribed, hard_bounce, soft_bounces, unusable, complaint, erased, staff",
    ),
    Column("soft_bounces", Integer, nullable=False, server_default="0"),
    Column("country", String(2), comment="of a phone number; NULL: an email address, or a number of no one country"),
    UniqueConstraint("channel", "hash"),
    CheckConstraint("channel IN ('email', 'sms')", name="channel"),
    sqlite_autoincrement=True,
)

customers = Table(
    "customers",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("name", Text),
    Column("first_name", Text),
    Column("birthday_year", Integer),
    Column("birthday_md", Integer, comment="month * 100 + day, in the customer's calendar"),
    Column("birthday_calendar", String(8), nullable=False, server_default="solar", comment="solar or lunar"),
    Column("joined_at", EpochSeconds, comment="NULL: the first order is when the guest joined"),
    Column("joined_day", Integer, comment="business day of joined_at in the customer's zone"),
    Column("language", String(35)),
    Column(
        "zone_id", ForeignKey("zones.id"), nullable=False, comment="resolved at import: own, else store's, else home's"
    ),
    Column("own_zone", Boolean, nullable=False, server_default=text("false"), comment="the zone is the customer's own"),
    Column("store_id", ForeignKey("stores.id")),
    Column("gender", Text),
    Column("gender_key", Text, default=_key("gender"), comment="text_key(gender)"),
    Column("city", Text),
    Column("city_key", Text, comment="text_key(city): what rules are compared with"),
    Column("company", Text),
    Column("tier", Text),
    Column("tier_key", Text, comment="text_key(tier)"),
    Column("referred_by", String(200), comment="external id of the friend, in the same source"),
    Column("email_id", ForeignKey("endpoints.id")),
    Column("sms_id", ForeignKey("endpoints.id")),
    Column("attributes", JSON, nullable=False),
    Column("attribute_keys", JSON, default=_keys("attributes"), comment="text_keys(attributes): what rules compare"),
    Column("erased_at", EpochSeconds),
    UniqueConstraint("source", "external_id"),
    Index(None, "email_id"),
    Index(None, "sms_id"),
    # It does not begin with the source: PostgreSQL would go through all guests of a till that it has no statistics of.
    Index(
        "ix_customers_referred_by",
        "referred_by",
        "source",
        sqlite_where=text("referred_by IS NOT NULL"),
        postgresql_where=text("referred_by IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

#: Attributes that are dates, so that a yearly return is found by an index and not by reading every guest.
customer_dates = Table(
    "customer_dates",
    metadata,
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("name", String(100), primary_key=True, comment="the attribute's"),
    Column("year", Integer, comment="NULL: not known, as in 05-14"),
    Column("md", Integer, nullable=False, comment="month * 100 + day"),
    Index(None, "name", "md"),
)

#: The attributes whose dates stand in ``customer_dates``: the config may declare others by now.
date_attributes = Table("date_attributes", metadata, Column("name", String(100), primary_key=True))

#: One row a customer and business day on which the tier changed: from the customers' file, or by config/loyalty.yaml.
tier_changes = Table(
    "tier_changes",
    metadata,
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False, comment="business day in the customer's zone"),
    Column("from_key", Text, comment="text_key of the tier before; NULL: none"),
    Column("to_key", Text, comment="text_key of the tier after; NULL: none"),
    Column("kind", String(4), nullable=False, comment="up, down or none (tiers without an order)"),
    Column(
        "occasion", Integer, comment="yyyymmdd under which it was told of when it lay on another day; NULL: its day"
    ),
    Index(None, "day"),
)

#: One row, where config/loyalty.yaml has tiers: by what the facts' tiers and ``tier_changes`` were worked out last.
tier_plan = Table(
    "tier_plan",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("plan", JSON, nullable=False, comment="TierPlan as plain data; another one works all tiers out anew"),
    CheckConstraint("id = 1", name="one_row"),
)

consents = Table(
    "consents",
    metadata,
    id_column(),
    Column("endpoint_id", ForeignKey("endpoints.id"), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), comment="who said so, where known"),
    Column("topic", String(64), comment="NULL: all marketing"),
    Column("basis", String(16), nullable=False, comment="express, implied"),
    Column("state", String(3), nullable=False, comment="yes or no"),
    Column("at", EpochSeconds, nullable=False),
    Column("source", Text, nullable=False, comment="import, form, unsubscribe link, STOP, staff, ..."),
    Column("evidence", Text, comment="what the file or form said; never an address"),
    CheckConstraint("state IN ('yes', 'no')", name="state"),
    Index(None, "endpoint_id", "at", "id"),
    sqlite_autoincrement=True,
)

products = Table(
    "products",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("category", Text),
    Column("name_key", Text, nullable=False, comment="text_key(name)"),
    Column("category_key", Text, nullable=False, server_default=""),
    UniqueConstraint("name_key", "category_key"),
    sqlite_autoincrement=True,
)

orders = Table(
    "orders",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), comment="NULL: a walk-in"),
    Column("store_id", ForeignKey("stores.id")),
    Column("ordered_at", EpochSeconds, nullable=False),
    Column("day", Integer, nullable=False, comment="business day in the customer's zone, a walk-in's in the store's"),
    Column(
        "clock",
        Integer,
        comment="on the store's clock, else the home's: weekday of the business day (Monday 0) * 1440 + minute",
    ),
    Column("total", BigInteger, nullable=False, comment="paid: after discounts, with tax, without tip"),
    Column("refunded_at", EpochSeconds, comment="of the first refund or void; NULL spares the look-up in refunds"),
    Column("channel", Text, comment="text_key: dine-in, takeaway, delivery, online, ..."),
    Column("coupon", Text, comment="code or till's discount as the file gave it"),
    Column("server", Text),
    UniqueConstraint("source", "external_id"),
    # The last columns spare the facts a look at the row itself: their upkeep takes a third less (measured).
    Index("ix_orders_customer_day", "customer_id", "day", "ordered_at", "refunded_at", "store_id", "total"),
    Index(None, "ordered_at"),
    sqlite_autoincrement=True,
)

refunds = Table(
    "refunds",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False, comment="the order_id that the file names"),
    Column("order_id", ForeignKey("orders.id"), comment="NULL until its order is known"),
    Column("kind", String(8), nullable=False, comment="refund or void"),
    Column("refunded_at", EpochSeconds, nullable=False),
    Column("amount", BigInteger, comment="positive minor units; NULL: the whole order (a void)"),
    UniqueConstraint("source", "external_id", "kind", "refunded_at"),
    Index(None, "order_id"),
    sqlite_autoincrement=True,
)

order_items = Table(
    "order_items",
    metadata,
    id_column(),
    Column("order_id", ForeignKey("orders.id"), nullable=False),
    Column("line", String(64), nullable=False),
    Column("product_id", ForeignKey("products.id"), nullable=False),
    Column("quantity", Integer, nullable=False, comment="thousandths: 1500 is one and a half"),
    Column("price", BigInteger, nullable=False, comment="of the line"),
    UniqueConstraint("order_id", "line"),
    Index(None, "product_id"),
    sqlite_autoincrement=True,
)

ratings = Table(
    "ratings",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("order_id", ForeignKey("orders.id")),
    Column("store_id", ForeignKey("stores.id")),
    Column("rated_at", EpochSeconds, nullable=False),
    Column("score", Float, nullable=False),
    Column("comment", Text),
    Column("platform", Text, comment="the file's column source: google, receipt, ..."),
    Column("platform_key", Text, default=_key("platform"), comment="text_key(platform)"),
    UniqueConstraint("source", "external_id"),
    Index(None, "rated_at"),
    Index(None, "customer_id", "rated_at"),
    sqlite_autoincrement=True,
)

points = Table(
    "points",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("at", EpochSeconds, nullable=False),
    Column("points", Integer, nullable=False, comment="a lot when positive, a use when negative"),
    Column("expires_at", EpochSeconds),
    Column("reason", Text),
    Column("ledger", String(64), nullable=False, server_default="points"),
    UniqueConstraint("source", "external_id"),
    Index(None, "customer_id", "ledger", "at"),
    Index(None, "at"),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

points_uses = Table(
    "points_uses",
    metadata,
    Column("use_id", ForeignKey("points.id", ondelete="CASCADE"), primary_key=True),
    Column("lot_id", ForeignKey("points.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "points",
        Integer,
        nullable=False,
        comment="positive: how many of the lot this use took, soonest to expire first",
    ),
    Index(None, "lot_id"),
    CheckConstraint("points > 0", name="positive"),
)

tags = Table(
    "tags",
    metadata,
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", Text, primary_key=True, comment="text_key of the tag"),
    Column("at", EpochSeconds, comment="since when; NULL: longer than anybody remembers"),
    Column(
        "by_rule",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="a rule gave it: no file takes it away",
    ),
    Index(None, "tag"),
)

events = Table(
    "events",
    metadata,
    id_column(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("store_id", ForeignKey("stores.id")),
    Column("name", Text, nullable=False),
    Column("name_key", Text, default=_key("name"), comment="text_key(name): what rules are compared with"),
    Column("at", EpochSeconds, nullable=False),
    Column("data", JSON, nullable=False),
    Column("data_keys", JSON, default=_keys("data"), comment="text_keys(data)"),
    UniqueConstraint("source", "external_id"),
    Index(None, "name_key", "at"),
    Index(None, "customer_id", "at"),
    sqlite_autoincrement=True,
)

imports = Table(
    "imports",
    metadata,
    id_column(),
    Column("at", EpochSeconds, nullable=False),
    Column("name", Text, nullable=False, comment="the file's name without its folder"),
    Column("kind", String(32), nullable=False),
    Column("source", String(64), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("counts", JSON, nullable=False, comment="rows, new, changed, unchanged, refused, ..."),
    sqlite_autoincrement=True,
)
