"""What the whole rule language needs: tiers and their changes, dates of guests, events, countries, budgets."""

from __future__ import annotations

import datetime as dt
import typing
import zoneinfo

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


_CHUNK = 5_000


def upgrade() -> None:
    _guests()
    _decisions()
    _firings()
    _keys()
    _clocks()


def _countries() -> None:
    """Give every phone number that is known its country, as the import does from now on."""
    rows = sa.table("endpoints", sa.column("id"), sa.column("channel"), sa.column("address"), sa.column("country"))
    numbers = sa.select(rows.c.id, rows.c.address).where(rows.c.channel == "sms", rows.c.address.is_not(None))
    conn = op.get_bind()
    found = [
        {"its_id": row.id, "its_country": country}
        for row in conn.execute(numbers)
        if (country := _country(row.address)) is not None
    ]
    if found:
        write = sa.update(rows).where(rows.c.id == sa.bindparam("its_id"))
        conn.execute(write.values(country=sa.bindparam("its_country")), found)


def _country(number: str) -> str | None:
    import phonenumbers

    region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    return region if region and region.isalpha() else None


def _guests() -> None:
    op.add_column(
        "endpoints",
        sa.Column(
            "country",
            sa.String(length=2),
            comment="of a phone number; NULL: an email address, or a number of no one country",
        ),
    )
    _countries()
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
        sa.Column(
            "occasion",
            sa.Integer(),
            comment="yyyymmdd under which it was told of when it lay on another day; NULL: its day",
        ),
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
        ("customer_facts", "store_id"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def _decisions() -> None:
    with op.batch_alter_table("contents", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("uq_contents_hash"), type_="unique")
        batch.create_unique_constraint(op.f("uq_contents_hash_template"), ["hash", "template"])
    op.add_column("matches", sa.Column("event_id", _ID, comment="of the event that fired"))
    op.add_column("matches", sa.Column("friend_id", _ID, comment="the customer whom the guest referred"))
    op.add_column(
        "dispatches",
        sa.Column("segments", sa.Integer(), comment="how many SMS it was billed as, for budgets and the cost"),
    )
    op.create_index(op.f("ix_dispatches_rule_handed"), "dispatches", ["rule_id", "channel", "handed_at"])
    op.create_table(
        "budget_uses",
        sa.Column("rule_id", _ID, autoincrement=False, nullable=False, comment="0: the whole home"),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("begins", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ends", sa.BigInteger(), autoincrement=False, nullable=False, comment="exclusive"),
        sa.Column("used", sa.BigInteger(), nullable=False, comment="messages, segments, coupons or minor units"),
        sa.PrimaryKeyConstraint("rule_id", "kind", "begins", "ends", name=op.f("pk_budget_uses")),
    )
    op.add_column(
        "coupons",
        sa.Column("worth", sa.BigInteger(), comment="what it costs the home when used, for budgets; NULL: nobody said"),
    )
    with op.batch_alter_table("channels") as channels:
        channels.alter_column(
            "channel",
            existing_type=sa.String(length=8),
            type_=sa.String(length=120),
            existing_nullable=False,
            comment="email, sms, or webhook: and its name",
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


# What rules compare, beside what a file says. Rows that are there get it worked out here, once.


def _keys() -> None:
    op.add_column("stores", sa.Column("external_key", sa.Text(), comment="text_key(external_id)"))
    op.add_column("customers", sa.Column("gender_key", sa.Text(), comment="text_key(gender)"))
    op.add_column(
        "customers",
        sa.Column("attribute_keys", sa.JSON(), comment="text_keys(attributes): what rules compare"),
    )
    op.add_column("ratings", sa.Column("platform_key", sa.Text(), comment="text_key(platform)"))
    op.add_column("events", sa.Column("name_key", sa.Text(), comment="text_key(name): what rules are compared with"))
    op.add_column("events", sa.Column("data_keys", sa.JSON(), comment="text_keys(data)"))
    op.drop_index(op.f("ix_events_name_events_at"), "events")
    op.create_index(op.f("ix_events_name_key_events_at"), "events", ["name_key", "at"])
    _fold("stores", {"external_id": "external_key"}, {})
    _fold("customers", {"gender": "gender_key"}, {"attributes": "attribute_keys"})
    _fold("ratings", {"platform": "platform_key"}, {})
    _fold("events", {"name": "name_key"}, {"data": "data_keys"})


def _fold(name: str, texts: dict[str, str], objects: dict[str, str]) -> None:
    columns = [sa.column(each, sa.Text()) for pair in texts.items() for each in pair]
    columns += [sa.column(each, sa.JSON()) for pair in objects.items() for each in pair]
    table = sa.table(name, sa.column("id"), *columns)
    write = sa.update(table).where(table.c.id == sa.bindparam("its_id"))
    write = write.values({key: sa.bindparam(f"its_{key}", type_=table.c[key].type) for key in _new(texts, objects)})
    for rows in _in_chunks(sa.select(table), table.c.id):
        op.get_bind().execute(
            write,
            [
                {"its_id": row["id"]}
                | {f"its_{key}": None if row[of] is None else _key(row[of]) for of, key in texts.items()}
                | {
                    f"its_{key}": {one: _key(said) for one, said in (row[of] or {}).items()}
                    for of, key in objects.items()
                }
                for row in rows
            ],
        )


def _new(texts: dict[str, str], objects: dict[str, str]) -> list[str]:
    return [*texts.values(), *objects.values()]


def _key(value: typing.Any) -> str:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).casefold()


def _in_chunks(asked: sa.Select[typing.Any], number: sa.ColumnElement[int]) -> typing.Iterator[typing.Any]:
    last = 0
    while True:
        page = asked.where(number > last).order_by(number).limit(_CHUNK)
        rows = op.get_bind().execute(page).mappings().all()
        if not rows:
            return
        yield rows
        last = rows[-1]["id"]


def _clocks() -> None:
    """An order without a store, whose clock would be the home's, gets the guest's: the home is not known here."""
    comment = "on the store's clock, else the home's: weekday of the business day (Monday 0) * 1440 + minute"
    op.add_column("orders", sa.Column("clock", sa.Integer(), comment=comment))
    orders = sa.table("orders", *map(sa.column, ("id", "customer_id", "store_id", "ordered_at", "day", "clock")))
    stores, guests, zones = (
        sa.table(name, *map(sa.column, ("id", "zone_id", "name"))) for name in ("stores", "customers", "zones")
    )
    joined = orders.outerjoin(stores, stores.c.id == orders.c.store_id)
    joined = joined.outerjoin(guests, guests.c.id == orders.c.customer_id)
    joined = joined.join(zones, zones.c.id == sa.func.coalesce(stores.c.zone_id, guests.c.zone_id))
    asked = sa.select(orders.c.id, orders.c.ordered_at, orders.c.day, zones.c.name.label("zone")).select_from(joined)
    write = sa.update(orders).where(orders.c.id == sa.bindparam("its_id")).values(clock=sa.bindparam("its_clock"))
    for rows in _in_chunks(asked, orders.c.id):
        op.get_bind().execute(write, [{"its_id": row["id"], "its_clock": _clock(row)} for row in rows])


def _clock(row: typing.Any) -> int:
    local = dt.datetime.fromtimestamp(row["ordered_at"], zoneinfo.ZoneInfo(row["zone"]))
    weekday: int = (row["day"] - 1) % 7
    return weekday * 1440 + local.hour * 60 + local.minute
