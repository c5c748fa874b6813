"""The engine side: what was decided, and what became of it. Kinds of number: see ``tables``."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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

from engine.database.metadata import id_column, metadata
from engine.database.months import BY_MONTH, of_its_moment, with_default
from engine.database.partial import TAKEN, WAITING, holds, known
from engine.database.sql import EpochSeconds, Id

rules = Table(
    "rules",
    metadata,
    id_column(),
    Column("rule", String(100), nullable=False, unique=True, comment="the id that the owner wrote: immutable"),
    Column("path", Text, nullable=False, comment="the file it was last read from, relative to the home"),
    Column("content_hash", LargeBinary(32), nullable=False, comment="trigger, conditions, actions, stop_if, limits"),
    Column("approved_hash", LargeBinary(32)),
    Column("approved_by", Text),
    Column("approved_at", EpochSeconds),
    Column("active", Boolean, nullable=False, server_default=text("true"), comment="read again at the fence"),
    Column("watermark", EpochSeconds, comment="as_of of the last evaluation"),
    Column("seen_hash", LargeBinary(32), comment="what was evaluated then: trigger, conditions, and what they rest on"),
    Column("seen_tick", BigInteger, comment="of whose facts were written by then: see touched"),
    sqlite_autoincrement=True,
)

approvals = Table(
    "approvals",
    metadata,
    id_column(),
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
    id_column(),
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
    id_column(),
    Column("as_of", EpochSeconds, nullable=False),
    Column("started_at", EpochSeconds, nullable=False),
    Column("finished_at", EpochSeconds),
    Column("state", String(8), nullable=False, server_default="running", comment="running, done, red"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("summary", JSON, comment="the object that `run --format json` prints"),
    Column("boot", Text, comment="which start of the machine; NULL where it does not tell"),
    Column("up", BigInteger, comment="seconds since that start, asleep ones too"),
    Column("doubted", Boolean, comment="nothing vouched for its clock: what it found waits for a person"),
    sqlite_autoincrement=True,
)

occasion_names = Table(
    "occasion_names",
    metadata,
    id_column(),
    Column("name", String(200), nullable=False, unique=True),
    sqlite_autoincrement=True,
)

#: No foreign keys but to what a guest is and did: the others are copied from rows that nothing of ours takes away, and
#: to look each of them up again took PostgreSQL a third of a run. `regulars verify` asks for them (``origins``).
matches = Table(
    "matches",
    metadata,
    id_column(),
    Column("rule_id", Id, nullable=False),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column(
        "occasion", BigInteger, nullable=False, comment="an internal id, a year, yyyymmdd, or a row of occasion_names"
    ),
    Column("run_id", Id, nullable=False),
    Column("version_id", Id, nullable=False),
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
    Column("email_id", Id, comment="as of the match: again_after looks at customer and endpoint"),
    Column("sms_id", Id),
    Column("store_id", Id, comment="of the order or rating that fired, else the guest's"),
    Column("order_id", ForeignKey("orders.id")),
    Column("rating_id", ForeignKey("ratings.id")),
    Column("event_id", Id, comment="of the event that fired"),
    Column("friend_id", Id, comment="the customer whom the guest referred"),
    UniqueConstraint("customer_id", "rule_id", "occasion"),
    CheckConstraint("verdict IN ('act', 'control', 'refused')", name="verdict"),
    Index(None, "run_id", "rule_id"),
    known("ix_matches_rule_id_matches_email_id", "rule_id", "email_id"),
    known("ix_matches_rule_id_matches_sms_id", "rule_id", "sms_id"),
    known("ix_matches_friend_id", "friend_id"),
    sqlite_autoincrement=True,
)

#: Body of a template at one version: its files by name. Stored once, by its name and the hash of them: a template may
#: have begun as a copy of another.
contents = Table(
    "contents",
    metadata,
    id_column(),
    Column("hash", LargeBinary(32), nullable=False),
    Column("template", String(100), nullable=False),
    Column("files", JSON, nullable=False, comment="{file name: text}"),
    UniqueConstraint("hash", "template"),
    sqlite_autoincrement=True,
)

dispatches = Table(
    "dispatches",
    metadata,
    id_column(),
    Column("month", Integer, nullable=False, comment="of its match, in UTC: 202611; the ledger is kept by it"),
    Column("match_id", ForeignKey("matches.id"), nullable=False),
    Column("step", Integer, nullable=False, comment="1-based place in the rule's actions"),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("rule_id", Id, nullable=False),
    Column("customer_id", Id, nullable=False),
    Column("channel", String(8), nullable=False, comment="email, sms, coupon, points, tag, alert, webhook"),
    Column("carrier", String(120), comment="what it was handed to: email, sms, or webhook: and its name"),
    Column("purpose", String(9), nullable=False, comment="marketing or service"),
    Column("endpoint_id", Id, comment="NULL: staff, or a step inside the database"),
    Column("content_id", Id, comment="the template's version, fixed at the match"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("state", String(9), nullable=False),
    Column("reason", String(64)),
    Column("due_at", EpochSeconds, nullable=False),
    Column("expires_at", EpochSeconds, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0", comment="tries that counted"),
    Column(
        "rescues",
        Integer,
        nullable=False,
        server_default="0",
        comment="times begun without a result since the last one",
    ),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("leased_until", EpochSeconds),
    Column("lease_holder", Text, comment="host:pid:start of the worker"),
    Column("handed_at", EpochSeconds, comment="when the fence was passed"),
    Column("handed_day", Integer, comment="the guest's calendar day of handed_at, for caps"),
    Column("segments", Integer, comment="how many SMS it was billed as, for budgets and the cost"),
    Column("finished_at", EpochSeconds, comment="when the state became final"),
    Column("provider_id", Text),
    Column("provider_reply", Text, comment="code and text of the provider, without addresses"),
    Column("content_hash", LargeBinary(32), comment="of the bytes that were handed over"),
    UniqueConstraint("match_id", "step", "part", "month"),
    CheckConstraint(
        "state IN ('held', 'pending', 'claimed', 'handoff', 'sent', 'uncertain', 'rejected', 'blocked', 'expired', "
        "'cancelled', 'dead')",
        name="state",
    ),
    Index(
        "ix_dispatches_due",
        "channel",
        "due_at",
        "priority",
        "id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_dispatches_waiting",
        "state",
        "expires_at",
        "id",
        sqlite_where=text(holds(WAITING)),
        postgresql_where=text(holds(WAITING)),
    ),
    Index(
        "ix_dispatches_taken",
        "state",
        "leased_until",
        sqlite_where=text(holds(TAKEN)),
        postgresql_where=text(holds(TAKEN)),
    ),
    known("ix_dispatches_customer_day", "customer_id", "handed_day", of="handed_at"),
    known("ix_dispatches_endpoint_day", "endpoint_id", "handed_day", of="handed_at"),
    known("ix_dispatches_provider_id", "provider_id"),
    Index(
        "ix_dispatches_rule_handed",
        "rule_id",
        "channel",
        "handed_at",
        sqlite_where=text("handed_at IS NOT NULL"),  # PostgreSQL took one for the few of a match, and went through it
    ),
    sqlite_autoincrement=True,
    **BY_MONTH,
)

#: Values that a message was rendered with, read at the claim; gone with erasure or 30 days after the final state.
payloads = Table(
    "payloads",
    metadata,
    Column("dispatch_id", Id, primary_key=True, autoincrement=False),
    Column("values", JSON, nullable=False),
    Column("at", EpochSeconds, nullable=False),
    Index(None, "at"),
)

coupons = Table(
    "coupons",
    metadata,
    id_column(),
    Column("dispatch_id", Id, nullable=False, unique=True, comment="no foreign key: a promise outlives its month"),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("offer", String(100), nullable=False, comment="key in config/offers.yaml"),
    Column("terms", JSON, nullable=False, comment="the offer as it was when the coupon was decided"),
    Column("worth", BigInteger, comment="what it costs the home when used, for budgets; NULL: nobody said"),
    Column("code", String(16), unique=True, comment="drawn at the claim: a held or blocked coupon leaks no code"),
    Column("issued_at", EpochSeconds),
    Column("valid_until", EpochSeconds, comment="exclusive; set with the code"),
    Column("redeemed_at", EpochSeconds),
    Column("redeemed_order_id", ForeignKey("orders.id")),
    Column("revoked_at", EpochSeconds),
    Index(None, "customer_id", "offer"),
    known("ix_coupons_valid_until", "valid_until"),
    sqlite_autoincrement=True,
)

#: One row a channel: what the provider's answers did to it.
channels = Table(
    "channels",
    metadata,
    Column("channel", String(120), primary_key=True, comment="email, sms, or webhook: and its name"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row; the breaker opens at five"),
    Column(
        "refusals",
        Integer,
        nullable=False,
        server_default="0",
        comment="definite noes in a row from different customers",
    ),
    Column("refused_id", Id, comment="the customer of one of them"),
    Column("other_refused_id", Id, comment="and of another, so that a third one is known"),
    Column("open_until", EpochSeconds, comment="the breaker: nothing is claimed before"),
    Column("stopped_at", EpochSeconds, comment="a person must act: bad password, bad certificate"),
    Column("stopped_why", Text),
    Column("rate", Integer, comment="messages a minute, after the provider said: too many; NULL: as many as there are"),
    Column("rated_at", EpochSeconds, comment="when the rate was last changed"),
    Column("minute_at", EpochSeconds, comment="when the minute began in which so many were taken"),
    Column("taken", Integer, nullable=False, server_default="0"),
)

#: One row: the big red button. The fence reads it again in its own transaction.
#: What has been used of a budget, which the hand-over adds to: see ``engine/dispatch/tallies.py``.
budget_uses = Table(
    "budget_uses",
    metadata,
    Column("rule_id", Id, primary_key=True, autoincrement=False, comment="0: the whole home"),
    Column("kind", String(12), primary_key=True),
    Column("begins", EpochSeconds, primary_key=True, autoincrement=False),
    Column("ends", EpochSeconds, primary_key=True, autoincrement=False, comment="exclusive"),
    Column("used", BigInteger, nullable=False, comment="messages, segments, coupons or minor units"),
)

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
    id_column(),
    Column("month", Integer, nullable=False, default=of_its_moment, comment="of its dispatch, else of at"),
    Column("at", EpochSeconds, nullable=False),
    Column("actor", Text, nullable=False, comment="a person's name or the part of the engine"),
    Column("who", String(10), comment="of a move: worker, holder, anyone, staff, engine, reconciler"),
    Column("action", String(32), nullable=False, comment="move: of a dispatch from a state to another"),
    Column("dispatch_id", Id, comment="no foreign key: the trail outlives what it speaks of"),
    Column("token", Integer, comment="of a move: the dispatch's lease token after it"),
    Column("subject", Text, comment="what else it was about: a rule, a customer's id, a channel"),
    Column("before", String(32)),
    Column("after", String(32)),
    Column("detail", JSON),
    Index(None, "dispatch_id"),
    sqlite_autoincrement=True,
    **BY_MONTH,
)

#: What a provider told later, beside the state: in any order, each once.
delivery_events = Table(
    "delivery_events",
    metadata,
    id_column(),
    Column("month", Integer, nullable=False, comment="of its dispatch"),
    Column("dispatch_id", Id, nullable=False),
    Column("at", EpochSeconds, nullable=False, comment="when it was taken in"),
    Column("kind", String(12), nullable=False, comment="delivered, undelivered, delayed, bounced, complained"),
    Column("code", Text, comment="the provider's, without addresses"),
    Column("source", String(12), nullable=False, comment="twilio, dsn, arf"),
    Column("key", String(200), nullable=False, comment="what makes it the same event: the provider's id and status"),
    UniqueConstraint("source", "key", "month"),
    Index(None, "dispatch_id"),
    sqlite_autoincrement=True,
    **BY_MONTH,
)

for _table in (dispatches, audit, delivery_events):
    with_default(_table)

#: What is no longer there, on purpose: `data: keep` in the config.
forgotten_months = Table(
    "forgotten_months",
    metadata,
    Column("month", Integer, primary_key=True, autoincrement=False, comment="whose ledger was dropped"),
    Column("at", EpochSeconds, nullable=False, comment="when it was begun"),
    Column("dispatches", BigInteger, nullable=False, comment="how many there were"),
    Column("finished_at", EpochSeconds, comment="when the last of it was gone"),
)

#: One row: which database this is, and where it lives. Another place means that it was copied.
instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", String(32), nullable=False, comment="random, made once: a journal names it"),
    Column("place", Text, comment="machine and file, or server and database; NULL: not looked at yet"),
    Column("backup_at", EpochSeconds, comment="set in a copy that `regulars backup` made: when"),
    Column("stopped_why", String(16), comment="copied, restored: nothing is sent until `regulars restore --reconcile`"),
    Column("reconciled_at", EpochSeconds, comment="the last time that a person did it"),
    CheckConstraint("id = 1", name="one_row"),
)

#: The journals that are written by who sends from this database: one for each machine's home.
senders = Table(
    "senders",
    metadata,
    Column("name", String(32), primary_key=True, comment="of the journal's folder, and a fence's actor"),
    Column("since", EpochSeconds, nullable=False),
)

#: What the journal knows to have been handed over and a restored database does not: it must not go out again.
lost_handoffs = Table(
    "lost_handoffs",
    metadata,
    id_column(),
    Column("key", String(80), nullable=False, unique=True, comment="of the journal's record"),
    Column("rule", String(100), nullable=False),
    Column("step", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("channel", String(8), nullable=False),
    Column("endpoint_hash", LargeBinary(32), comment="keyed, as in endpoints; NULL: staff"),
    Column("handed_at", EpochSeconds, nullable=False),
    Column("expires_at", EpochSeconds, nullable=False, comment="until when the same occasion could come again"),
    Index(None, "rule", "endpoint_hash"),
    sqlite_autoincrement=True,
)
