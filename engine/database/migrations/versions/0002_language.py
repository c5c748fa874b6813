"""What the whole rule language needs: tiers and their changes, dates of guests, events, countries, budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _guests()
    _decisions()
    _firings()


def _guests() -> None:
    op.add_column(
        "endpoints",
        sa.Column(
            "country",
            sa.String(length=2),
            comment="of a phone number; NULL: an email address, or a number of no one country",
        ),
    )
    op.create_index(op.f("ix_customers_source_customers_referred_by"), "customers", ["source", "referred_by"])
    op.create_table(
        "customer_dates",
        sa.Column("customer_id", _ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False, comment="the attribute's"),
        sa.Column("year", sa.Integer(), comment="NULL: not known, as in 05-14"),
        sa.Column("md", sa.Integer(), nullable=False, comment="month * 100 + day"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_customer_dates_customer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("customer_id", "name", name=op.f("pk_customer_dates")),
    )
    op.create_index(op.f("ix_customer_dates_name_customer_dates_md"), "customer_dates", ["name", "md"])
    op.create_table(
        "date_attributes",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_date_attributes")),
    )
    op.create_table(
        "tier_changes",
        sa.Column("customer_id", _ID, autoincrement=False, nullable=False),
        sa.Column(
            "day", sa.Integer(), autoincrement=False, nullable=False, comment="business day in the customer's zone"
        ),
        sa.Column("from_key", sa.Text(), comment="text_key of the tier before; NULL: none"),
        sa.Column("to_key", sa.Text(), comment="text_key of the tier after; NULL: none"),
        sa.Column("kind", sa.String(length=4), nullable=False, comment="up, down or none (tiers without an order)"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_tier_changes_customer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("customer_id", "day", name=op.f("pk_tier_changes")),
    )
    op.create_index(op.f("ix_tier_changes_day"), "tier_changes", ["day"])
    op.create_table(
        "tier_plan",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "plan", sa.JSON(), nullable=False, comment="TierPlan as plain data; another one works all tiers out anew"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_tier_plan_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tier_plan")),
    )
    op.add_column("tags", sa.Column("at", sa.BigInteger(), comment="since when; NULL: longer than anybody remembers"))
    op.add_column(
        "tags",
        sa.Column(
            "by_rule",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="a rule gave it: no file takes it away",
        ),
    )
    op.add_column(
        "customer_facts",
        sa.Column(
            "tier_key", sa.Text(), comment="text_key of the tier: by config/loyalty.yaml, else the customers' file"
        ),
    )
    for name, comment in (
        ("tier_rests_on", "day that the tier rests on: it falls when that leaves the period"),
        ("tier_fell_with", "day with which a higher tier left the period"),
    ):
        op.add_column("customer_facts", sa.Column(name, sa.Integer(), comment=comment))
        is_there = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_customer_facts_{name}",
            "customer_facts",
            ["zone_id", name],
            sqlite_where=is_there,
            postgresql_where=is_there,
        )
    op.add_column(
        "customer_facts",
        sa.Column("country", sa.String(length=2), comment="the phone number's, else the store's; NULL: the home's"),
    )
    # The new columns are in no row yet: each is worked out again before it is used.
    op.execute(sa.update(sa.table("customer_facts", sa.column("stands_from"))).values(stands_from=2**62))


def _firings() -> None:
    """Find what has just happened, and what is about to run out, by an index."""
    for table, column in (
        ("points", "at"),
        ("points", "expires_at"),
        ("coupons", "valid_until"),
        ("matches", "friend_id"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def _decisions() -> None:
    op.add_column("matches", sa.Column("event_id", _ID, comment="of the event that fired"))
    op.add_column("matches", sa.Column("friend_id", _ID, comment="the customer whom the guest referred"))
    op.add_column(
        "dispatches",
        sa.Column("segments", sa.Integer(), comment="how many SMS it was billed as, for budgets and the cost"),
    )
    op.create_index(op.f("ix_dispatches_rule_handed"), "dispatches", ["rule_id", "channel", "handed_at"])
    op.add_column(
        "coupons",
        sa.Column("worth", sa.BigInteger(), comment="what it costs the home when used, for budgets; NULL: nobody said"),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "dispatches",
            "channel",
            existing_type=sa.String(length=8),
            existing_nullable=False,
            comment="email, sms, coupon, points, tag, alert, webhook",
            existing_comment="email, sms, coupon, alert (later: points, tag, webhook)",
        )
