"""Lines of orders, and the products that they name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from engine.database.tables import order_items, products
from tests.intake.conftest import Home, csv

ITEMS = csv(
    "order_id,line,product,category,price",
    *("1,1,Tea,,2.90", "1,2,TEA ,,2.90", "1,3,Cake,Sweets,4", "1,4,Ghost,,many", "1,5,Cake,,4", "1,3,Bun,Sweets,4"),
)


def test_the_products_of_a_file_are_made_at_once_and_none_of_a_refused_row(home: Home):
    made: list[str] = []

    def look(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO products"):
            made.append(statement)

    home.take(csv("order_id,ordered_at,total", "1,2026-03-01 09:00,15"))
    event.listen(home.db, "before_cursor_execute", look)
    report = home.take(ITEMS)
    assert (report.new, report.refused, len(made)) == (4, 1, 1)
    assert home.rows(products, "name", "category", "name_key", "category_key") == [
        ("Tea", None, "tea", ""),
        ("Cake", "Sweets", "cake", "sweets"),
        ("Cake", None, "cake", ""),
        ("Bun", "Sweets", "bun", "sweets"),
    ]
    assert home.rows(order_items, "line", "product_id") == [("1", 1), ("2", 1), ("3", 4), ("5", 3)]
    again = home.take(ITEMS)
    assert (again.new, again.changed, again.unchanged, len(made)) == (0, 0, 5, 1)
