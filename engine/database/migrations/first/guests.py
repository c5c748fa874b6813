"""Who the guests are, as the first release had it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

#: Whole numbers that SQLite counts up by itself.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    _endpoints()
    _imports()
    _zones()
    _stores()
    _customers()
    _consents()
    _customer_facts()
    _events()
    _tags()


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False, comment="email or sms"),
        sa.Column(
            "hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="keyed hash of the normalised address; survives erasure",
        ),
        sa.Column("address", sa.Text(), comment="normalised email or E.164 number; NULL after erasure"),
        sa.Column("suppressed_at", sa.BigInteger()),
        sa.Column(
            "suppressed_why",
            sa.String(length=32),
            comment="unsubscribed, hard_bounce, soft_bounces, unusable, complaint, erased, staff",
        ),
        sa.Column("soft_bounces", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("channel IN ('email', 'sms')", name=op.f("ck_endpoints_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("channel", "hash", name=op.f("uq_endpoints_channel_hash")),
        sqlite_autoincrement=True,
    )


def _imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="the file's name without its folder"),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False, comment="rows, new, changed, unchanged, refused, ..."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sqlite_autoincrement=True,
    )


def _zones() -> None:
    op.create_table(
        "zones",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False, comment="IANA name, such as America/Chicago"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zones")),
        sa.UniqueConstraint("name", name=op.f("uq_zones_name")),
        sqlite_autoincrement=True,
    )


def _stores() -> None:
    op.create_table(
        "stores",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False, comment="text_key(name): what rules are compared with"),
        sa.Column("country", sa.String(length=2)),
        sa.Column("city", sa.Text()),
        sa.Column("region", sa.Text()),
        sa.Column("zone_id", _ID, nullable=False),
        sa.Column("language", sa.String(length=35)),
        sa.Column("address", sa.Text()),
        sa.Column("phone", sa.Text()),
        sa.Column("manager_name", sa.Text()),
        sa.Column("manager_email", sa.Text()),
        sa.Column("manager_phone", sa.Text()),
        sa.Column("opens", sa.String(length=5), comment="HH:MM on the store's clock"),
        sa.Column("closes", sa.String(length=5)),
        sa.Column("closed_on", sa.Integer(), comment="day: from this day on the store is shut for good"),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("fk_stores_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stores")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_stores_source_external_id")),
        sqlite_autoincrement=True,
    )


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("first_name", sa.Text()),
        sa.Column("birthday_year", sa.Integer()),
        sa.Column("birthday_md", sa.Integer(), comment="month * 100 + day, in the customer's calendar"),
        sa.Column(
            "birthday_calendar", sa.String(length=8), server_default="solar", nullable=False, comment="solar or lunar"
        ),
        sa.Column("joined_at", sa.BigInteger(), comment="NULL: the first order is when the guest joined"),
        sa.Column("joined_day", sa.Integer(), comment="business day of joined_at in the customer's zone"),
        sa.Column("language", sa.String(length=35)),
        sa.Column("zone_id", _ID, nullable=False, comment="resolved at import: own, else store's, else home's"),
        sa.Column(
            "own_zone",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="the zone is the customer's own",
        ),
        sa.Column("store_id", _ID),
        sa.Column("gender", sa.Text()),
        sa.Column("city", sa.Text()),
        sa.Column("city_key", sa.Text(), comment="text_key(city): what rules are compared with"),
        sa.Column("company", sa.Text()),
        sa.Column("tier", sa.Text()),
        sa.Column("tier_key", sa.Text(), comment="text_key(tier)"),
        sa.Column("referred_by", sa.String(length=200), comment="external id of the friend, in the same source"),
        sa.Column("email_id", _ID),
        sa.Column("sms_id", _ID),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("erased_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["email_id"], ["endpoints.id"], name=op.f("fk_customers_email_id")),
        sa.ForeignKeyConstraint(["sms_id"], ["endpoints.id"], name=op.f("fk_customers_sms_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_customers_store_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("fk_customers_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_customers_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_customers_email_id"), "customers", ["email_id"])
    op.create_index(op.f("ix_customers_sms_id"), "customers", ["sms_id"])


def _consents() -> None:
    op.create_table(
        "consents",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("endpoint_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, comment="who said so, where known"),
        sa.Column("topic", sa.String(length=64), comment="NULL: all marketing"),
        sa.Column("basis", sa.String(length=16), nullable=False, comment="express, implied"),
        sa.Column("state", sa.String(length=3), nullable=False, comment="yes or no"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="import, form, unsubscribe link, STOP, staff, ..."),
        sa.Column("evidence", sa.Text(), comment="what the file or form said; never an address"),
        sa.CheckConstraint("state IN ('yes', 'no')", name=op.f("ck_consents_state")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_consents_customer_id")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_consents_endpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_consents_endpoint_id_consents_at_consents_id"), "consents", ["endpoint_id", "at", "id"])


def _customer_facts() -> None:
    op.create_table(
        "customer_facts",
        sa.Column("customer_id", _ID, autoincrement=False, nullable=False),
        sa.Column("zone_id", _ID, nullable=False),
        sa.Column("store_id", _ID, comment="own, else that of most visits in the 180 days before the last one"),
        sa.Column("email_id", _ID),
        sa.Column("sms_id", _ID),
        sa.Column("birthday_md", sa.Integer()),
        sa.Column("birthday_calendar", sa.String(length=8), server_default="solar", nullable=False),
        sa.Column("joined_at", sa.BigInteger(), comment="own, else the first order's"),
        sa.Column("joined_day", sa.Integer()),
        sa.Column("orders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("visits", sa.Integer(), server_default="0", nullable=False, comment="business days with an order"),
        sa.Column("spend", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_order_id", _ID),
        sa.Column("first_order_at", sa.BigInteger()),
        sa.Column("first_order_day", sa.Integer()),
        sa.Column("last_order_id", _ID, comment="greatest (ordered_at, id)"),
        sa.Column("last_order_at", sa.BigInteger()),
        sa.Column("last_order_day", sa.Integer()),
        sa.Column(
            "gaps",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="how many of the last ten gaps between visits exist",
        ),
        sa.Column(
            "gap_days",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="their sum in days; the mean is gap_days / gaps",
        ),
        sa.Column("points", sa.Integer(), server_default="0", nullable=False, comment="balance of the ledger 'points'"),
        sa.Column("stands_from", sa.BigInteger(), comment="latest moment that this row takes into account"),
        sa.Column("refresh_at", sa.BigInteger(), comment="earliest moment at which this row changes by itself"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_customer_facts_customer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["email_id"], ["endpoints.id"], name=op.f("fk_customer_facts_email_id")),
        sa.ForeignKeyConstraint(["sms_id"], ["endpoints.id"], name=op.f("fk_customer_facts_sms_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_customer_facts_store_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("fk_customer_facts_zone_id")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_facts")),
    )
    op.create_index(op.f("ix_customer_facts_birthday_md"), "customer_facts", ["birthday_md"])
    op.create_index(op.f("ix_customer_facts_joined_day"), "customer_facts", ["joined_day"])
    op.create_index(op.f("ix_customer_facts_last_order_day"), "customer_facts", ["last_order_day"])
    op.create_index(op.f("ix_customer_facts_refresh_at"), "customer_facts", ["refresh_at"])
    op.create_index(op.f("ix_customer_facts_stands_from"), "customer_facts", ["stands_from"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("customer_id", _ID),
        sa.Column("store_id", _ID),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_events_customer_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_events_store_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_events_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_customer_id_events_at"), "events", ["customer_id", "at"])
    op.create_index(op.f("ix_events_name_events_at"), "events", ["name", "at"])


def _tags() -> None:
    op.create_table(
        "tags",
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False, comment="text_key of the tag"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_tags_customer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("customer_id", "tag", name=op.f("pk_tags")),
    )
    op.create_index(op.f("ix_tags_tag"), "tags", ["tag"])
