"""What the guests bought, said and earned, as the first release had it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

#: Whole numbers that SQLite counts up by itself.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create() -> None:
    _products()
    _orders()
    _points()
    _order_items()
    _points_uses()
    _ratings()
    _refunds()


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text()),
        sa.Column("name_key", sa.Text(), nullable=False, comment="text_key(name)"),
        sa.Column("category_key", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("name_key", "category_key", name=op.f("uq_products_name_key_category_key")),
        sqlite_autoincrement=True,
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("customer_id", _ID, comment="NULL: a walk-in"),
        sa.Column("store_id", _ID),
        sa.Column("ordered_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "day",
            sa.Integer(),
            nullable=False,
            comment="business day in the customer's zone, a walk-in's in the store's",
        ),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="paid: after discounts, with tax, without tip"),
        sa.Column(
            "refunded_at", sa.BigInteger(), comment="of the first refund or void; NULL spares the look-up in refunds"
        ),
        sa.Column("channel", sa.Text(), comment="text_key: dine-in, takeaway, delivery, online, ..."),
        sa.Column("coupon", sa.Text(), comment="code or till's discount as the file gave it"),
        sa.Column("server", sa.Text()),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_orders_customer_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_orders_store_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_orders_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_orders_customer_day", "orders", ["customer_id", "day", "ordered_at", "refunded_at", "store_id"])
    op.create_index(op.f("ix_orders_ordered_at"), "orders", ["ordered_at"])


def _points() -> None:
    op.create_table(
        "points",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False, comment="a lot when positive, a use when negative"),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("ledger", sa.String(length=64), server_default="points", nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_points_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_points_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_points_customer_id_points_ledger_points_at"), "points", ["customer_id", "ledger", "at"])


def _order_items() -> None:
    op.create_table(
        "order_items",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("line", sa.String(length=64), nullable=False),
        sa.Column("product_id", _ID, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False, comment="thousandths: 1500 is one and a half"),
        sa.Column("price", sa.BigInteger(), nullable=False, comment="of the line"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_items_order_id")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_order_items_product_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_items")),
        sa.UniqueConstraint("order_id", "line", name=op.f("uq_order_items_order_id_line")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_order_items_product_id"), "order_items", ["product_id"])


def _points_uses() -> None:
    op.create_table(
        "points_uses",
        sa.Column("use_id", _ID, nullable=False),
        sa.Column("lot_id", _ID, nullable=False),
        sa.Column(
            "points",
            sa.Integer(),
            nullable=False,
            comment="positive: how many of the lot this use took, soonest to expire first",
        ),
        sa.CheckConstraint("points > 0", name=op.f("ck_points_uses_positive")),
        sa.ForeignKeyConstraint(["lot_id"], ["points.id"], name=op.f("fk_points_uses_lot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["use_id"], ["points.id"], name=op.f("fk_points_uses_use_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("use_id", "lot_id", name=op.f("pk_points_uses")),
    )
    op.create_index(op.f("ix_points_uses_lot_id"), "points_uses", ["lot_id"])


def _ratings() -> None:
    op.create_table(
        "ratings",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("customer_id", _ID),
        sa.Column("order_id", _ID),
        sa.Column("store_id", _ID),
        sa.Column("rated_at", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("platform", sa.Text(), comment="the file's column source: google, receipt, ..."),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_ratings_customer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_ratings_order_id")),
        sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=op.f("fk_ratings_store_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ratings")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_ratings_source_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_ratings_customer_id_ratings_rated_at"), "ratings", ["customer_id", "rated_at"])
    op.create_index(op.f("ix_ratings_rated_at"), "ratings", ["rated_at"])


def _refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False, comment="the order_id that the file names"),
        sa.Column("order_id", _ID, comment="NULL until its order is known"),
        sa.Column("kind", sa.String(length=8), nullable=False, comment="refund or void"),
        sa.Column("refunded_at", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), comment="positive minor units; NULL: the whole order (a void)"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refunds_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint(
            "source", "external_id", "kind", "refunded_at", name=op.f("uq_refunds_source_external_id_kind_refunded_at")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_refunds_order_id"), "refunds", ["order_id"])
