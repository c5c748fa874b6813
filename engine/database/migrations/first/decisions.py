"""What was decided, and what became of it, as the first release had it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

#: Whole numbers that SQLite counts up by itself.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    _audit()
    _channels()
    _contents()
    _occasion_names()
    _rules()
    _runs()
    _switch()
    _approvals()
    _rule_versions()
    _matches()
    _dispatches()
    _coupons()
    _payloads()


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="a person's name or the part of the engine"),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("dispatch_id", _ID, comment="no foreign key: the trail outlives what it speaks of"),
        sa.Column("subject", sa.Text(), comment="what else it was about: a rule, a customer's id, a channel"),
        sa.Column("before", sa.String(length=32)),
        sa.Column("after", sa.String(length=32)),
        sa.Column("detail", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_dispatch_id"), "audit", ["dispatch_id"])


def _channels() -> None:
    op.create_table(
        "channels",
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column(
            "failures", sa.Integer(), server_default="0", nullable=False, comment="in a row; the breaker opens at five"
        ),
        sa.Column(
            "refusals",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="definite noes in a row from different customers",
        ),
        sa.Column("refused_id", _ID, comment="the customer of the last of them"),
        sa.Column("open_until", sa.BigInteger(), comment="the breaker: nothing is claimed before"),
        sa.Column("stopped_at", sa.BigInteger(), comment="a person must act: bad password, bad certificate"),
        sa.Column("stopped_why", sa.Text()),
        sa.Column(
            "rate",
            sa.Integer(),
            comment="messages a minute, after the provider said: too many; NULL: as many as there are",
        ),
        sa.Column("rated_at", sa.BigInteger(), comment="when the rate was last changed"),
        sa.Column("minute_at", sa.BigInteger(), comment="when the minute began in which so many were taken"),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channels")),
    )


def _contents() -> None:
    op.create_table(
        "contents",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("template", sa.String(length=100), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False, comment="{file name: text}"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contents")),
        sa.UniqueConstraint("hash", name=op.f("uq_contents_hash")),
        sqlite_autoincrement=True,
    )


def _occasion_names() -> None:
    op.create_table(
        "occasion_names",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_occasion_names")),
        sa.UniqueConstraint("name", name=op.f("uq_occasion_names_name")),
        sqlite_autoincrement=True,
    )


def _rules() -> None:
    op.create_table(
        "rules",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False, comment="the id that the owner wrote: immutable"),
        sa.Column("path", sa.Text(), nullable=False, comment="the file it was last read from, relative to the home"),
        sa.Column(
            "content_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="trigger, conditions, actions, stop_if, limits",
        ),
        sa.Column("approved_hash", sa.LargeBinary(length=32)),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.BigInteger()),
        sa.Column(
            "active", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="read again at the fence"
        ),
        sa.Column("watermark", sa.BigInteger(), comment="as_of of the last evaluation"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
        sa.UniqueConstraint("rule", name=op.f("uq_rules_rule")),
        sqlite_autoincrement=True,
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("state", sa.String(length=8), server_default="running", nullable=False, comment="running, done, red"),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("summary", sa.JSON(), comment="the object that `run --format json` prints"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sqlite_autoincrement=True,
    )


def _switch() -> None:
    op.create_table(
        "switch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stopped_at", sa.BigInteger()),
        sa.Column("stopped_by", sa.Text()),
        sa.CheckConstraint("id = 1", name=op.f("ck_switch_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_switch")),
    )


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("rule_id", _ID, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="who approved; `approvals: two` wants two different names"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_approvals_rule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("rule_id", "content_hash", "name", name=op.f("uq_approvals_rule_id_content_hash_name")),
        sqlite_autoincrement=True,
    )


def _rule_versions() -> None:
    op.create_table(
        "rule_versions",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("rule_id", _ID, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "body", sa.JSON(), nullable=False, comment="the rule as plain data: a journey under way keeps these actions"
        ),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_rule_versions_rule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_versions")),
        sa.UniqueConstraint("rule_id", "content_hash", name=op.f("uq_rule_versions_rule_id_content_hash")),
        sqlite_autoincrement=True,
    )


def _matches() -> None:
    op.create_table(
        "matches",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("rule_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column(
            "occasion",
            sa.BigInteger(),
            nullable=False,
            comment="an internal id, a year, yyyymmdd, or a row of occasion_names",
        ),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("version_id", _ID, nullable=False),
        sa.Column("matched_at", sa.BigInteger(), nullable=False, comment="the run's as_of"),
        sa.Column(
            "closes", sa.BigInteger(), nullable=False, comment="nothing of this match goes out later, waits added"
        ),
        sa.Column("verdict", sa.String(length=8), nullable=False, comment="act, control, refused"),
        sa.Column("reason", sa.String(length=32), comment="why refused"),
        sa.Column(
            "email_block",
            sa.String(length=32),
            comment="why no email can go: no_endpoint, suppressed, no_consent, duplicate_endpoint",
        ),
        sa.Column("sms_block", sa.String(length=32)),
        sa.Column("email_id", _ID, comment="as of the match: again_after looks at customer and endpoint"),
        sa.Column("sms_id", _ID),
        sa.Column("store_id", _ID, comment="of the order or rating that fired, else the guest's"),
        sa.Column("order_id", _ID),
        sa.Column("rating_id", _ID),
        sa.CheckConstraint("verdict IN ('act', 'control', 'refused')", name=op.f("ck_matches_verdict")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_matches_customer_id")),
        sa.ForeignKeyConstraint(["email_id"], ["endpoints.id"], name=op.f("fk_matches_email_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_matches_order_id")),
        sa.ForeignKeyConstraint(["rating_id"], ["ratings.id"], name=op.f("fk_matches_rating_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_matches_rule_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_matches_run_id")),
        sa.ForeignKeyConstraint(["sms_id"], ["endpoints.id"], name=op.f("fk_matches_sms_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_matches_store_id")),
        sa.ForeignKeyConstraint(["version_id"], ["rule_versions.id"], name=op.f("fk_matches_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_matches")),
        sa.UniqueConstraint("rule_id", "customer_id", "occasion", name=op.f("uq_matches_rule_id_customer_id_occasion")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_matches_customer_id_matches_matched_at"), "matches", ["customer_id", "matched_at"])
    op.create_index(op.f("ix_matches_rule_id_matches_email_id"), "matches", ["rule_id", "email_id"])
    op.create_index(op.f("ix_matches_rule_id_matches_sms_id"), "matches", ["rule_id", "sms_id"])
    op.create_index(op.f("ix_matches_run_id_matches_rule_id"), "matches", ["run_id", "rule_id"])


def _dispatches() -> None:
    op.create_table(
        "dispatches",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("match_id", _ID, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False, comment="1-based place in the rule's actions"),
        sa.Column("part", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rule_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column(
            "channel",
            sa.String(length=8),
            nullable=False,
            comment="email, sms, coupon, alert (later: points, tag, webhook)",
        ),
        sa.Column("purpose", sa.String(length=9), nullable=False, comment="marketing or service"),
        sa.Column("endpoint_id", _ID, comment="NULL: staff, or a step inside the database"),
        sa.Column("content_id", _ID, comment="the template's version, fixed at the match"),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("reason", sa.String(length=64)),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False, comment="tries that counted"),
        sa.Column(
            "rescues",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="times begun without a result since the last one",
        ),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", sa.BigInteger()),
        sa.Column("lease_holder", sa.Text(), comment="host:pid:start of the worker"),
        sa.Column("handed_at", sa.BigInteger(), comment="when the fence was passed"),
        sa.Column("handed_day", sa.Integer(), comment="the guest's calendar day of handed_at, for caps"),
        sa.Column("finished_at", sa.BigInteger(), comment="when the state became final"),
        sa.Column("provider_id", sa.Text()),
        sa.Column("provider_reply", sa.Text(), comment="code and text of the provider, without addresses"),
        sa.Column("content_hash", sa.LargeBinary(length=32), comment="of the bytes that were handed over"),
        sa.CheckConstraint(
            "state IN ('held', 'pending', 'claimed', 'handoff', 'sent', 'uncertain', 'rejected', 'blocked', "
            "'expired', 'cancelled', 'dead')",
            name=op.f("ck_dispatches_state"),
        ),
        sa.ForeignKeyConstraint(["content_id"], ["contents.id"], name=op.f("fk_dispatches_content_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_dispatches_customer_id")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_dispatches_endpoint_id")),
        sa.ForeignKeyConstraint(["match_id"], ["matches.id"], name=op.f("fk_dispatches_match_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_dispatches_rule_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
        sa.UniqueConstraint("match_id", "step", "part", name=op.f("uq_dispatches_match_id_step_part")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dispatches_customer_day", "dispatches", ["customer_id", "handed_day"])
    op.create_index(
        "ix_dispatches_due",
        "dispatches",
        ["due_at", "priority", "id"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_dispatches_endpoint_day", "dispatches", ["endpoint_id", "handed_day"])
    op.create_index(
        "ix_dispatches_open",
        "dispatches",
        ["state", "leased_until"],
        sqlite_where=sa.text("state IN ('held', 'claimed', 'handoff')"),
        postgresql_where=sa.text("state IN ('held', 'claimed', 'handoff')"),
    )


def _coupons() -> None:
    op.create_table(
        "coupons",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("dispatch_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("offer", sa.String(length=100), nullable=False, comment="key in config/offers.yaml"),
        sa.Column("terms", sa.JSON(), nullable=False, comment="the offer as it was when the coupon was decided"),
        sa.Column("code", sa.String(length=16), comment="drawn at the claim: a held or blocked coupon leaks no code"),
        sa.Column("issued_at", sa.BigInteger()),
        sa.Column("valid_until", sa.BigInteger(), comment="exclusive; set with the code"),
        sa.Column("redeemed_at", sa.BigInteger()),
        sa.Column("redeemed_order_id", _ID),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_coupons_customer_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_coupons_dispatch_id")),
        sa.ForeignKeyConstraint(["redeemed_order_id"], ["orders.id"], name=op.f("fk_coupons_redeemed_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
        sa.UniqueConstraint("dispatch_id", name=op.f("uq_coupons_dispatch_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_coupons_customer_id_coupons_offer"), "coupons", ["customer_id", "offer"])


def _payloads() -> None:
    op.create_table(
        "payloads",
        sa.Column("dispatch_id", _ID, autoincrement=False, nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dispatch_id"], ["dispatches.id"], name=op.f("fk_payloads_dispatch_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dispatch_id", name=op.f("pk_payloads")),
    )
    op.create_index(op.f("ix_payloads_at"), "payloads", ["at"])
