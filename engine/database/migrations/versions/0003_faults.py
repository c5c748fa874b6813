"""What the dispatch needs under every fault: the trail of every move, the database's place, what comes back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "audit",
        sa.Column("who", sa.String(length=10), comment="of a move: worker, holder, anyone, staff, engine, reconciler"),
    )
    op.add_column("audit", sa.Column("token", sa.Integer(), comment="of a move: the dispatch's lease token after it"))
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column(
            "audit",
            "action",
            existing_type=sa.String(length=32),
            existing_nullable=False,
            comment="move: of a dispatch from a state to another",
        )
    op.add_column(
        "runs", sa.Column("boot", sa.Text(), comment="which start of the machine; NULL where it does not tell")
    )
    op.add_column("runs", sa.Column("up", sa.BigInteger(), comment="seconds since that start, asleep ones too"))
    op.add_column(
        "runs",
        sa.Column("doubted", sa.Boolean(), comment="nothing vouched for its clock: what it found waits for a person"),
    )
    op.add_column(
        "dispatches",
        sa.Column(
            "carrier", sa.String(length=120), comment="what it was handed to: email, sms, or webhook: and its name"
        ),
    )
    _refused()
    _trail()
    _delivery_events()
    _instance()
    _senders()
    _lost_handoffs()


def _refused() -> None:
    op.add_column(
        "channels", sa.Column("other_refused_id", _ID, comment="and of another, so that a third one is known")
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "channels", "refused_id", existing_type=_ID, existing_nullable=True, comment="the customer of one of them"
        )


def _trail() -> None:
    """Begin the trail of every dispatch at the state in which it is: until now not every move was written down."""
    dispatches = sa.table(
        "dispatches",
        sa.column("id", _ID),
        sa.column("state", sa.String()),
        sa.column("lease_token", sa.Integer()),
        sa.column("finished_at", sa.BigInteger()),
        sa.column("due_at", sa.BigInteger()),
    )
    audit = sa.table("audit", *(sa.column(name) for name in ("at", "actor", "action", "dispatch_id", "token", "after")))
    rows = sa.select(
        sa.func.coalesce(dispatches.c.finished_at, dispatches.c.due_at),
        sa.literal("migration"),
        sa.literal("begin"),
        dispatches.c.id,
        dispatches.c.lease_token,
        dispatches.c.state,
    ).order_by(dispatches.c.id)
    op.execute(sa.insert(audit).from_select(["at", "actor", "action", "dispatch_id", "token", "after"], rows))


def _delivery_events() -> None:
    op.create_table(
        "delivery_events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("dispatch_id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was taken in"),
        sa.Column(
            "kind", sa.String(length=12), nullable=False, comment="delivered, undelivered, delayed, bounced, complained"
        ),
        sa.Column("code", sa.Text(), comment="the provider's, without addresses"),
        sa.Column("source", sa.String(length=12), nullable=False, comment="twilio, dsn, arf"),
        sa.Column(
            "key",
            sa.String(length=200),
            nullable=False,
            comment="what makes it the same event: the provider's id and status",
        ),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_delivery_events_dispatch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_events")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_delivery_events_source_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_delivery_events_dispatch_id"), "delivery_events", ["dispatch_id"])


def _instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=32), nullable=False, comment="random, made once: a journal names it"),
        sa.Column("place", sa.Text(), comment="machine and file, or server and database; NULL: not looked at yet"),
        sa.Column("backup_at", sa.BigInteger(), comment="set in a copy that `regulars backup` made: when"),
        sa.Column(
            "stopped_why",
            sa.String(length=16),
            comment="copied, restored: nothing is sent until `regulars restore --reconcile`",
        ),
        sa.Column("reconciled_at", sa.BigInteger(), comment="the last time that a person did it"),
        sa.CheckConstraint("id = 1", name=op.f("ck_instance_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )


def _senders() -> None:
    op.create_table(
        "senders",
        sa.Column("name", sa.String(length=32), nullable=False, comment="of the journal's folder, and a fence's actor"),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_senders")),
    )


def _lost_handoffs() -> None:
    op.create_table(
        "lost_handoffs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False, comment="of the journal's record"),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("endpoint_hash", sa.LargeBinary(length=32), comment="keyed, as in endpoints; NULL: staff"),
        sa.Column("handed_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "expires_at",
            sa.BigInteger(),
            nullable=False,
            comment="until when the same occasion could come again",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lost_handoffs")),
        sa.UniqueConstraint("key", name=op.f("uq_lost_handoffs_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_lost_handoffs_rule_lost_handoffs_endpoint_hash"), "lost_handoffs", ["rule", "endpoint_hash"]
    )
