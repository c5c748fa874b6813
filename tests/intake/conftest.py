"""A home on a migrated database, and files laid into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from engine.database.facts import facts_select
from engine.database.tables import customer_facts, customers, endpoints, metadata, orders, zones
from engine.intake.ids import erased_id
from engine.intake.importer import import_file
from engine.intake.inbox import take_in
from engine.intake.report import ImportReport
from engine.language.config import Config, load_config

KEY = bytes(range(32))
NOW = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)

CONFIG = """\
business:
  name: Corner Café
  address: 12 Mill Lane, Springfield, IL 62701
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
email:
  from: hello@corner.example
attributes:
  child_birthday: date
  seats: number
  vegan: yes_no
"""

OFFERS = """\
twenty-percent:
  name: 20% off your next visit
  percent: 20%
  minimum_spend: 5
  till: Regulars 20
"""


@dataclass
class Home:
    """A home under test."""

    root: Path
    db: Engine
    config: Config
    now: datetime = NOW

    def file(self, name: str, text: str | bytes) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def take(self, text: str | bytes, name: str = "data.csv", **how: Any) -> ImportReport:
        """Import a file of this text."""
        return import_file(self.db, self.config, KEY, self.file(name, text), now=self.now, **how)

    def take_in(self) -> list[ImportReport]:
        return take_in(self.db, self.config, KEY, self.now)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def rows(self, table: Any, *columns: str) -> list[Any]:
        """All rows of a table in the order of their keys; one column gives its values."""
        chosen = [table.c[name] for name in columns] or list(table.c)
        with self.db.connect() as conn:
            found = conn.execute(select(*chosen).order_by(*table.primary_key.columns)).all()
        return [row[0] if len(columns) == 1 else tuple(row) for row in found]

    def dump(self) -> dict[str, list[Any]]:
        """Everything in the database but the list of imports."""
        with self.db.connect() as conn:
            return {
                table.name: conn.execute(select(table).order_by(*table.primary_key.columns)).all()
                for table in metadata.sorted_tables
                if table.name != "imports"
            }

    def facts(self, customer: str) -> Mapping[str, Any]:
        """The facts of a customer, having seen that they are what they would be if made anew."""
        with self.db.connect() as conn:
            assert conn.execute(select(customer_facts).order_by("customer_id")).all() == (
                conn.execute(facts_select(self.now).order_by("customer_id")).all()
            )
            found = select(customer_facts).join(customers).where(customers.c.external_id == customer)
            return conn.execute(found).mappings().one()

    def owner(self, order: str) -> str | None:
        """Whose an order is, by the till's id."""
        with self.db.connect() as conn:
            mine = select(customers.c.external_id).join(orders, orders.c.customer_id == customers.c.id)
            return conn.scalar(mine.where(orders.c.external_id == order))

    def zone_names(self) -> dict[str, str]:
        """The zone of every customer, by the till's id."""
        with self.db.connect() as conn:
            rows = conn.execute(select(customers.c.external_id, zones.c.name).join(zones))
            return {row.external_id: row.name for row in rows}

    def erase(self, source: str, customer: str) -> None:
        """What erasure leaves of a guest, as far as imports can see it."""
        with self.db.begin() as conn:
            row = conn.execute(select(customers).where(customers.c.external_id == customer)).one()
            conn.execute(
                update(endpoints)
                .where(endpoints.c.id.in_([number for number in (row.email_id, row.sms_id) if number]))
                .values(address=None, suppressed_at=self.now, suppressed_why="erased")
            )
            conn.execute(
                update(customers)
                .where(customers.c.id == row.id)
                .values(
                    external_id=erased_id(KEY, source, customer), name=None, email_id=None, sms_id=None,
                    erased_at=self.now,
                )
            )  # fmt: skip


def csv(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"


def table(header: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    """A file with these columns, of rows that name only what they have."""
    lines = [",".join(header)]
    lines += [",".join(f'"{row.get(name, "")}"' for name in header) for row in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture
def home(db: Engine, tmp_path: Path) -> Iterator[Home]:
    root = tmp_path / "home"
    (root / "config").mkdir(parents=True)
    (root / "config/regulars.yaml").write_text(CONFIG, encoding="utf-8")
    (root / "config/offers.yaml").write_text(OFFERS, encoding="utf-8")
    config, _, problems = load_config(root, {})
    assert config is not None
    assert problems == []
    return Home(root, db, config)
