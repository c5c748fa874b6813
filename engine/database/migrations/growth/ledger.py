"""The ledger by months: each row gets its month, and on PostgreSQL the three tables become partitioned by it.

Each is made anew and filled from the old one, in one transaction. Nothing points at them with a foreign key any more:
PostgreSQL would want the month in each, and a coupon outlives the month of its step. `regulars verify` proves instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_OUTBOX = (
    "fillfactor=70, autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=1000, "
    "autovacuum_analyze_scale_factor=0.02, autovacuum_analyze_threshold=1000, autovacuum_vacuum_cost_delay=1"
)
_ADDED_TO = "autovacuum_vacuum_insert_scale_factor=0.1, autovacuum_analyze_scale_factor=0.05"


def upgrade() -> None:
    _let_go()
    _rebuild("dispatches", _dispatches(), _index_dispatches, _OF_OUTBOX, _month_of_match, _DISPATCH_KEYS)
    _rebuild("audit", _audit(), _index_audit, _ADDED_TO, _month_of_trail)
    _rebuild("delivery_events", _delivery_events(), _index_events, _ADDED_TO, _month_of_event)
    op.create_table(
        "forgotten_months",
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False, comment="whose ledger was dropped"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was begun"),
        sa.Column("dispatches", sa.BigInteger(), nullable=False, comment="how many there were"),
        sa.Column("finished_at", sa.BigInteger(), comment="when the last of it was gone"),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_forgotten_months")),
    )


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _let_go() -> None:
    """Take the foreign keys away that point at dispatches."""
    with op.batch_alter_table("payloads") as batch:
        batch.drop_constraint(op.f("fk_payloads_dispatch_id"), type_="foreignkey")
    with op.batch_alter_table("coupons", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("fk_coupons_dispatch_id"), type_="foreignkey")
    if _on_postgresql():  # SQLite makes the table anew below, and keeps no comments
        op.drop_constraint(op.f("fk_delivery_events_dispatch_id"), "delivery_events", type_="foreignkey")
        op.alter_column(
            "coupons",
            "dispatch_id",
            existing_type=_ID,
            existing_nullable=False,
            comment="no foreign key: a promise outlives its month",
        )


def _rebuild(  # noqa: PLR0917 (all that a table is)
    name: str,
    columns: Sequence[Any],
    indexes: Callable[[], None],
    storage: str,
    month: Callable[[Any], tuple[Any, Any]],
    keys: Sequence[tuple[str, str]] = (),
) -> None:
    """Make a table anew by its columns and constraints, and fill it from the old one, which is then dropped."""
    old = f"{name}_0003"
    if _on_postgresql():
        _put_aside_on_postgresql(name, old)
    else:
        for index in sa.inspect(op.get_bind()).get_indexes(name):
            if not index.get("duplicates_constraint"):
                op.drop_index(str(index["name"]), name)
        op.rename_table(name, old)
    foreign = [sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{name}_{column}")) for column, target in keys]
    if _on_postgresql():
        key = sa.PrimaryKeyConstraint("id", "month", name=op.f(f"pk_{name}"))
        op.create_table(name, *columns, key, postgresql_partition_by="RANGE (month)")
        op.execute(f"CREATE TABLE {name}_default PARTITION OF {name} DEFAULT WITH ({storage})")
    else:
        key = sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}"))
        op.create_table(name, *columns, key, *foreign, sqlite_autoincrement=True)
    _fill(name, old, columns, month, storage)
    op.drop_table(old)
    indexes()
    if _on_postgresql():
        for column, target in keys:  # after the rows: asked once for all of them
            table, referred = target.split(".")
            op.create_foreign_key(op.f(f"fk_{name}_{column}"), name, table, [column], [referred])
        parts = sa.table("pg_inherits", sa.column("inhparent"))
        count = sa.select(sa.func.count()).where(parts.c.inhparent == sa.func.to_regclass(name))
        if (op.get_bind().scalar(count) or 0) > 1:
            op.execute(f"ANALYZE {name}")  # never by itself; and never while it is empty, or it would count as small


def _put_aside_on_postgresql(name: str, old: str) -> None:
    """Rename a table with all that has a name of its own, so that the new one can have them."""
    inspector = sa.inspect(op.get_bind())
    for index in inspector.get_indexes(name):
        if not index.get("duplicates_constraint"):
            op.drop_index(str(index["name"]), name)
    for unique in inspector.get_unique_constraints(name):
        op.drop_constraint(str(unique["name"]), name, type_="unique")
    op.drop_constraint(op.f(f"pk_{name}"), name, type_="primary")
    op.rename_table(name, old)
    op.execute(f"ALTER SEQUENCE {name}_id_seq RENAME TO {old}_id_seq")


def _fill(name: str, old: str, columns: Sequence[Any], month: Callable[[Any], tuple[Any, Any]], storage: str) -> None:
    names = [each.name for each in columns if isinstance(each, sa.Column)]
    before = sa.table(old, *(sa.column(each) for each in names if each != "month"))
    its_month, rows = month(before)
    conn = op.get_bind()
    if _on_postgresql():
        for each in conn.scalars(sa.select(its_month).select_from(rows).distinct().order_by(its_month)).all():
            after = each + 1 if each % 100 < 12 else (each // 100 + 1) * 100 + 1  # noqa: PLR2004 (December)
            op.execute(
                f"CREATE TABLE {name}_{each} PARTITION OF {name} FOR VALUES FROM ({each}) TO ({after}) WITH ({storage})"
            )
    values = [its_month if each == "month" else before.c[each] for each in names]
    target = sa.table(name, *(sa.column(each) for each in names))
    op.execute(sa.insert(target).from_select(names, sa.select(*values).select_from(rows).order_by(before.c.id)))
    if _on_postgresql():
        numbers = sa.table(f"{old}_id_seq", sa.column("last_value"), sa.column("is_called"))
        standing = sa.select(numbers.c.last_value, numbers.c.is_called)
        last, called = conn.execute(standing).one()
        op.execute(sa.select(sa.func.setval(f"{name}_id_seq", last, called)))
    else:  # ids are never given again, also those of rows that are gone
        counters = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
        last = conn.scalar(sa.select(counters.c.seq).where(counters.c.name == old))
        if last is not None:
            op.execute(sa.delete(counters).where(counters.c.name == name))
            op.execute(sa.insert(counters).values(name=sa.literal(name), seq=last))


def _of(at: Any) -> Any:
    """SQL: the month in UTC of epoch seconds."""
    if _on_postgresql():
        return sa.cast(sa.func.to_char(sa.func.timezone("UTC", sa.func.to_timestamp(at)), "YYYYMM"), sa.Integer)
    return sa.cast(sa.func.strftime("%Y%m", at, "unixepoch"), sa.Integer)


def _month_of_match(before: Any) -> tuple[Any, Any]:
    """SQL: the month, and the rows with all that it is worked out from. Joined: looked up one by one it takes long."""
    matches = sa.table("matches", sa.column("id"), sa.column("matched_at"))
    return _of(matches.c.matched_at), before.join(matches, matches.c.id == before.c.match_id)


def _of_dispatch(before: Any) -> tuple[Any, Any]:
    dispatches = sa.table("dispatches", sa.column("id"), sa.column("month"))
    return dispatches.c.month, before.outerjoin(dispatches, dispatches.c.id == before.c.dispatch_id)


def _month_of_trail(before: Any) -> tuple[Any, Any]:
    month, rows = _of_dispatch(before)
    return sa.func.coalesce(month, _of(before.c.at)), rows


def _month_of_event(before: Any) -> tuple[Any, Any]:
    return _of_dispatch(before)


_DISPATCH_KEYS = (
    ("match_id", "matches.id"),
    ("rule_id", "rules.id"),
    ("customer_id", "customers.id"),
    ("endpoint_id", "endpoints.id"),
    ("content_id", "contents.id"),
)


def _dispatches() -> list[Any]:
    return [
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column(
            "month", sa.Integer(), nullable=False, comment="of its match, in UTC: 202611; the ledger is kept by it"
        ),
        sa.Column("match_id", _ID, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False, comment="1-based place in the rule's actions"),
        sa.Column("part", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rule_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column(
            "channel", sa.String(length=8), nullable=False, comment="email, sms, coupon, points, tag, alert, webhook"
        ),
        sa.Column(
            "carrier", sa.String(length=120), comment="what it was handed to: email, sms, or webhook: and its name"
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
        sa.Column("segments", sa.Integer(), comment="how many SMS it was billed as, for budgets and the cost"),
        sa.Column("finished_at", sa.BigInteger(), comment="when the state became final"),
        sa.Column("provider_id", sa.Text()),
        sa.Column("provider_reply", sa.Text(), comment="code and text of the provider, without addresses"),
        sa.Column("content_hash", sa.LargeBinary(length=32), comment="of the bytes that were handed over"),
        sa.UniqueConstraint("match_id", "step", "part", "month", name=op.f("uq_dispatches_match_id_step_part_month")),
        sa.CheckConstraint(
            "state IN ('held', 'pending', 'claimed', 'handoff', 'sent', 'uncertain', 'rejected', 'blocked', 'expired', "
            "'cancelled', 'dead')",
            name=op.f("ck_dispatches_state"),
        ),
    ]


def _index_dispatches() -> None:
    due, is_open = sa.text("state = 'pending'"), sa.text("state IN ('held', 'claimed', 'handoff')")
    op.create_index(
        "ix_dispatches_due", "dispatches", ["due_at", "priority", "id"], sqlite_where=due, postgresql_where=due
    )
    op.create_index(
        "ix_dispatches_open", "dispatches", ["state", "leased_until"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_dispatches_customer_day", "dispatches", ["customer_id", "handed_day"])
    op.create_index("ix_dispatches_endpoint_day", "dispatches", ["endpoint_id", "handed_day"])
    op.create_index("ix_dispatches_rule_handed", "dispatches", ["rule_id", "channel", "handed_at"])


def _audit() -> list[Any]:
    return [
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("month", sa.Integer(), nullable=False, comment="of its dispatch, else of at"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="a person's name or the part of the engine"),
        sa.Column("who", sa.String(length=10), comment="of a move: worker, holder, anyone, staff, engine, reconciler"),
        sa.Column(
            "action", sa.String(length=32), nullable=False, comment="move: of a dispatch from a state to another"
        ),
        sa.Column("dispatch_id", _ID, comment="no foreign key: the trail outlives what it speaks of"),
        sa.Column("token", sa.Integer(), comment="of a move: the dispatch's lease token after it"),
        sa.Column("subject", sa.Text(), comment="what else it was about: a rule, a customer's id, a channel"),
        sa.Column("before", sa.String(length=32)),
        sa.Column("after", sa.String(length=32)),
        sa.Column("detail", sa.JSON()),
    ]


def _index_audit() -> None:
    op.create_index(op.f("ix_audit_dispatch_id"), "audit", ["dispatch_id"])


def _delivery_events() -> list[Any]:
    return [
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("month", sa.Integer(), nullable=False, comment="of its dispatch"),
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
        sa.UniqueConstraint("source", "key", "month", name=op.f("uq_delivery_events_source_key_month")),
    ]


def _index_events() -> None:
    op.create_index(op.f("ix_delivery_events_dispatch_id"), "delivery_events", ["dispatch_id"])
