"""Every table, once. Alembic's migrations build the same; a test compares the two.

Three kinds of number stand for time and money, everywhere:

* an *instant* is UTC epoch seconds (``EpochSeconds``; an aware ``datetime`` in Python),
* a *day* is ``date.toordinal()`` of the business day in the customer's zone (``Integer``),
* money is whole minor units of the home's one currency (``BigInteger``).

Text that rules compare has a ``*_key`` beside it, ``text_key(value)``: case-folded, blanks folded. Databases disagree on
``lower()`` beyond ASCII; Python does it once, at import.

Internal ids are never reused (``sqlite_autoincrement``): a freed id must not inherit matches.
External ids are unique per ``source`` (the till or file family that they come from): two tills both have order 1.
"""

from __future__ import annotations

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
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from engine.database.sql import EpochSeconds, Id

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


# ---------------------------------------------------------------------------------------------------------------------
# The customer side: importers and sync write it.

zones = Table(
    "zones",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True, comment="IANA name, such as America/Chicago"),
    sqlite_autoincrement=True,
)

stores = Table(
    "stores",
    metadata,
    _id(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
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
    _id(),
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
    UniqueConstraint("channel", "hash"),
    CheckConstraint("channel IN ('email', 'sms')", name="channel"),
    sqlite_autoincrement=True,
)

customers = Table(
    "customers",
    metadata,
    _id(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("name", Text),
    Column("first_name", Text),
    Column("birthday_year", Integer),
    Column("birthday_md", Integer, comment="month * 100 + day, in the customer's calendar"),
    Column("birthday_calendar", String(8), nullable=False, server_default="solar", comment="solar or lunar"),
    Column("joined_at", EpochSeconds, comment="NULL: the first order is when the guest joined"),
    Column("language", String(35)),
    Column(
        "zone_id", ForeignKey("zones.id"), nullable=False, comment="resolved at import: own, else store's, else home's"
    ),
    Column("own_zone", Boolean, nullable=False, server_default=text("false"), comment="the zone is the customer's own"),
    Column("store_id", ForeignKey("stores.id")),
    Column("gender", Text),
    Column("city", Text),
    Column("city_key", Text, comment="text_key(city): what rules are compared with"),
    Column("company", Text),
    Column("tier", Text),
    Column("tier_key", Text, comment="text_key(tier)"),
    Column("referred_by", String(200), comment="external id of the friend, in the same source"),
    Column("email_id", ForeignKey("endpoints.id")),
    Column("sms_id", ForeignKey("endpoints.id")),
    Column("attributes", JSON, nullable=False),
    Column("erased_at", EpochSeconds),
    UniqueConstraint("source", "external_id"),
    Index(None, "email_id"),
    Index(None, "sms_id"),
    sqlite_autoincrement=True,
)

consents = Table(
    "consents",
    metadata,
    _id(),
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
    _id(),
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
    _id(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), comment="NULL: a walk-in"),
    Column("store_id", ForeignKey("stores.id")),
    Column("ordered_at", EpochSeconds, nullable=False),
    Column("day", Integer, nullable=False, comment="business day in the customer's zone, a walk-in's in the store's"),
    Column("total", BigInteger, nullable=False, comment="paid: after discounts, with tax, without tip"),
    Column("refunded_at", EpochSeconds, comment="of the first refund or void; NULL spares the look-up in refunds"),
    Column("channel", Text, comment="text_key: dine-in, takeaway, delivery, online, ..."),
    Column("coupon", Text, comment="code or till's discount as the file gave it"),
    Column("server", Text),
    UniqueConstraint("source", "external_id"),
    Index("ix_orders_customer_day", "customer_id", "day", "ordered_at"),
    sqlite_autoincrement=True,
)

refunds = Table(
    "refunds",
    metadata,
    _id(),
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
    _id(),
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
    _id(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("order_id", ForeignKey("orders.id")),
    Column("store_id", ForeignKey("stores.id")),
    Column("rated_at", EpochSeconds, nullable=False),
    Column("score", Float, nullable=False),
    Column("comment", Text),
    Column("platform", Text, comment="the file's column source: google, receipt, ..."),
    UniqueConstraint("source", "external_id"),
    Index(None, "rated_at"),
    Index(None, "customer_id", "rated_at"),
    sqlite_autoincrement=True,
)

points = Table(
    "points",
    metadata,
    _id(),
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
    Index(None, "tag"),
)

events = Table(
    "events",
    metadata,
    _id(),
    Column("source", String(64), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("customer_id", ForeignKey("customers.id")),
    Column("store_id", ForeignKey("stores.id")),
    Column("name", Text, nullable=False),
    Column("at", EpochSeconds, nullable=False),
    Column("data", JSON, nullable=False),
    UniqueConstraint("source", "external_id"),
    Index(None, "name", "at"),
    Index(None, "customer_id", "at"),
    sqlite_autoincrement=True,
)

imports = Table(
    "imports",
    metadata,
    _id(),
    Column("at", EpochSeconds, nullable=False),
    Column("name", Text, nullable=False, comment="the file's name without its folder"),
    Column("kind", String(32), nullable=False),
    Column("source", String(64), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("counts", JSON, nullable=False, comment="rows, new, changed, unchanged, refused, ..."),
    sqlite_autoincrement=True,
)

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
    Column("risk_day", Integer, comment="first day on which at_risk with its default settings fires"),
    Column("points", Integer, nullable=False, server_default="0", comment="balance of the ledger 'points'"),
    Column("stands_from", EpochSeconds, comment="latest moment that this row takes into account"),
    Column("refresh_at", EpochSeconds, comment="earliest moment at which this row changes by itself"),
    Index(None, "last_order_day"),
    Index(None, "risk_day"),
    Index(None, "birthday_md"),
    Index(None, "joined_day"),
    Index(None, "refresh_at"),
    Index(None, "stands_from"),
)

# ---------------------------------------------------------------------------------------------------------------------
# The engine side: what was decided, and what became of it.

rules = Table(
    "rules",
    metadata,
    _id(),
    Column("rule", String(100), nullable=False, unique=True, comment="the id that the owner wrote: immutable"),
    Column("path", Text, nullable=False, comment="the file it was last read from, relative to the home"),
    Column("content_hash", LargeBinary(32), nullable=False, comment="trigger, conditions, actions, stop_if, limits"),
    Column("approved_hash", LargeBinary(32)),
    Column("approved_by", Text),
    Column("approved_at", EpochSeconds),
    Column("active", Boolean, nullable=False, server_default=text("true"), comment="read again at the fence"),
    Column("watermark", EpochSeconds, comment="as_of of the last evaluation"),
    sqlite_autoincrement=True,
)

approvals = Table(
    "approvals",
    metadata,
    _id(),
    Column("rule_id", ForeignKey("rules.id"), nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("name", Text, nullable=False, comment="who approved; `approvals: two` wants two different names"),
    Column("at", EpochSeconds, nullable=False),
    UniqueConstraint("rule_id", "content_hash", "name"),
    sqlite_autoincrement=True,
)

rule_versions = Table(
    "rule_versions",
    metadata,
    _id(),
    Column("rule_id", ForeignKey("rules.id"), nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("body", JSON, nullable=False, comment="the rule as plain data: a journey under way keeps these actions"),
    Column("first_at", EpochSeconds, nullable=False),
    UniqueConstraint("rule_id", "content_hash"),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("as_of", EpochSeconds, nullable=False),
    Column("started_at", EpochSeconds, nullable=False),
    Column("finished_at", EpochSeconds),
    Column("state", String(8), nullable=False, server_default="running", comment="running, done, red"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("summary", JSON, comment="the object that `run --format json` prints"),
    sqlite_autoincrement=True,
)

occasion_names = Table(
    "occasion_names",
    metadata,
    _id(),
    Column("name", String(200), nullable=False, unique=True),
    sqlite_autoincrement=True,
)

matches = Table(
    "matches",
    metadata,
    _id(),
    Column("rule_id", ForeignKey("rules.id"), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column(
        "occasion", BigInteger, nullable=False, comment="an internal id, a year, yyyymmdd, or a row of occasion_names"
    ),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("version_id", ForeignKey("rule_versions.id"), nullable=False),
    Column("matched_at", EpochSeconds, nullable=False, comment="the run's as_of"),
    Column("closes", EpochSeconds, nullable=False, comment="nothing of this match goes out later, waits added"),
    Column("verdict", String(8), nullable=False, comment="act, control, refused"),
    Column("reason", String(32), comment="why refused"),
    Column(
        "email_block",
        String(32),
        comment="why no email can go: no_endpoint, suppressed, no_consent, duplicate_endpoint",
    ),
    Column("sms_block", String(32)),
    Column(
        "email_id", ForeignKey("endpoints.id"), comment="as of the match: again_after looks at customer and endpoint"
    ),
    Column("sms_id", ForeignKey("endpoints.id")),
    Column("store_id", ForeignKey("stores.id"), comment="of the order or rating that fired, else the guest's"),
    Column("order_id", ForeignKey("orders.id")),
    Column("rating_id", ForeignKey("ratings.id")),
    UniqueConstraint("rule_id", "customer_id", "occasion"),
    CheckConstraint("verdict IN ('act', 'control', 'refused')", name="verdict"),
    Index(None, "run_id", "rule_id"),
    Index(None, "customer_id", "matched_at"),
    Index(None, "rule_id", "email_id"),
    Index(None, "rule_id", "sms_id"),
    sqlite_autoincrement=True,
)

#: Body of a template at one version: its files by name. Stored once, by the hash of them.
contents = Table(
    "contents",
    metadata,
    _id(),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("template", String(100), nullable=False),
    Column("files", JSON, nullable=False, comment="{file name: text}"),
    sqlite_autoincrement=True,
)

dispatches = Table(
    "dispatches",
    metadata,
    _id(),
    Column("match_id", ForeignKey("matches.id"), nullable=False),
    Column("step", Integer, nullable=False, comment="1-based place in the rule's actions"),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("rule_id", ForeignKey("rules.id"), nullable=False),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("channel", String(8), nullable=False, comment="email, sms, coupon, alert (later: points, tag, webhook)"),
    Column("purpose", String(9), nullable=False, comment="marketing or service"),
    Column("endpoint_id", ForeignKey("endpoints.id"), comment="NULL: staff, or a step inside the database"),
    Column("content_id", ForeignKey("contents.id"), comment="the template's version, fixed at the match"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("state", String(9), nullable=False),
    Column("reason", String(64)),
    Column("due_at", EpochSeconds, nullable=False),
    Column("expires_at", EpochSeconds, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0", comment="tries that counted"),
    Column("rescues", Integer, nullable=False, server_default="0", comment="times found abandoned while claimed"),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("leased_until", EpochSeconds),
    Column("lease_holder", Text, comment="host:pid:start of the worker"),
    Column("handed_at", EpochSeconds, comment="when the fence was passed"),
    Column("handed_day", Integer, comment="the guest's calendar day of handed_at, for caps"),
    Column("finished_at", EpochSeconds, comment="when the state became final"),
    Column("provider_id", Text),
    Column("provider_reply", Text, comment="code and text of the provider, without addresses"),
    Column("content_hash", LargeBinary(32), comment="of the bytes that were handed over"),
    UniqueConstraint("match_id", "step", "part"),
    CheckConstraint(
        "state IN ('held', 'pending', 'claimed', 'handoff', 'sent', 'uncertain', 'rejected', 'blocked', 'expired', "
        "'cancelled', 'dead')",
        name="state",
    ),
    Index(
        "ix_dispatches_due",
        "due_at",
        "priority",
        "id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_dispatches_open",
        "state",
        "leased_until",
        sqlite_where=text("state IN ('held', 'claimed', 'handoff')"),
        postgresql_where=text("state IN ('held', 'claimed', 'handoff')"),
    ),
    Index("ix_dispatches_customer_day", "customer_id", "handed_day"),
    Index("ix_dispatches_endpoint_day", "endpoint_id", "handed_day"),
    sqlite_autoincrement=True,
)

#: Values that a message was rendered with, read at the claim; gone with erasure or 30 days after the final state.
payloads = Table(
    "payloads",
    metadata,
    Column("dispatch_id", ForeignKey("dispatches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("values", JSON, nullable=False),
    Column("at", EpochSeconds, nullable=False),
)

coupons = Table(
    "coupons",
    metadata,
    _id(),
    Column("dispatch_id", ForeignKey("dispatches.id"), nullable=False, unique=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("offer", String(100), nullable=False, comment="key in config/offers.yaml"),
    Column("terms", JSON, nullable=False, comment="the offer as it was when the coupon was decided"),
    Column("code", String(16), unique=True, comment="drawn at the claim: a held or blocked coupon leaks no code"),
    Column("issued_at", EpochSeconds),
    Column("valid_until", EpochSeconds, comment="exclusive; set with the code"),
    Column("redeemed_at", EpochSeconds),
    Column("redeemed_order_id", ForeignKey("orders.id")),
    Column("revoked_at", EpochSeconds),
    Index(None, "customer_id", "offer"),
    sqlite_autoincrement=True,
)

#: One row a channel: what the provider's answers did to it.
channels = Table(
    "channels",
    metadata,
    Column("channel", String(8), primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row; the breaker opens at five"),
    Column(
        "refusals",
        Integer,
        nullable=False,
        server_default="0",
        comment="definite noes in a row from different customers",
    ),
    Column("open_until", EpochSeconds, comment="the breaker: nothing is claimed before"),
    Column("stopped_at", EpochSeconds, comment="a person must act: bad password, bad certificate"),
    Column("stopped_why", Text),
)

#: One row: the big red button. The fence reads it again in its own transaction.
switch = Table(
    "switch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("stopped_at", EpochSeconds),
    Column("stopped_by", Text),
    CheckConstraint("id = 1", name="one_row"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    Column("at", EpochSeconds, nullable=False),
    Column("actor", Text, nullable=False, comment="a person's name or the part of the engine"),
    Column("action", String(32), nullable=False),
    Column("dispatch_id", Id, comment="no foreign key: the trail outlives what it speaks of"),
    Column("subject", Text, comment="what else it was about: a rule, a customer's id, a channel"),
    Column("before", String(32)),
    Column("after", String(32)),
    Column("detail", JSON),
    Index(None, "dispatch_id"),
    sqlite_autoincrement=True,
)
