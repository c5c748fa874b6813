"""Lines of orders in, and the products that they name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from connectors.records import LineNumbers, RowError
from engine.database.tables import order_items, orders, products
from engine.intake import values
from engine.intake.desk import CHUNK, Desk, Row, chunks
from engine.intake.upserts import ids
from engine.language.textkey import text_key

_COMPARED: Final = ("product_id", "quantity", "price")
_THOUSANDTHS: Final = 1_000
_LONGEST_LINE: Final = 64

Key = tuple[int, str]
Named = tuple[str, str]  #: a product's keys: of its name and of its category


class Items:
    """Writes lines of orders, batch by batch."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines = LineNumbers()

    def write(self, rows: Sequence[Row]) -> None:
        """Take a batch in."""
        desk = self._desk
        known = ids(desk, orders, {row.values.get("order_id", "") for row in rows})
        items: dict[Key, dict[str, Any]] = {}
        named: dict[Named, dict[str, str]] = {}
        for row in rows:
            try:
                key, item = self._read(row, known)
            except RowError as error:
                desk.refuse(row, str(error))
                continue
            desk.report.unchanged += key in items
            items[key] = item
            named.setdefault(item["product_id"], row.values)
        self._make(named)
        for item in items.values():
            item["product_id"] = self._products[item["product_id"]]
        self._write(items)

    def finish(self) -> None:
        """Nothing is left to do: no fact rests on a line."""

    def _read(self, row: Row, known: dict[str, int]) -> tuple[Key, dict[str, Any]]:
        desk, cells = self._desk, row.values
        order = values.identifier(cells.get("order_id", ""), "order_id")
        if order not in known:
            raise RowError(f'order "{order}" is not known; import the orders first')
        line = cells.get("line", "") or self._lines.next(order)
        if len(line) > _LONGEST_LINE:
            raise RowError(f"line has {len(line)} characters; {_LONGEST_LINE} are the most")
        if not cells.get("product"):
            raise RowError("product is empty")
        quantity = values.decimal(cells.get("quantity") or "1", "quantity", desk.numbers) * _THOUSANDTHS
        if quantity != int(quantity) or abs(quantity) >= 2**31:
            raise RowError(f'quantity "{cells["quantity"]}" has more than three decimals or is too large')
        item = {
            "order_id": known[order],
            "line": line,
            "product_id": (
                text_key(cells["product"]),
                text_key(cells.get("category", "")),
            ),  # its keys, until it has an id
            "quantity": int(quantity),
            "price": desk.money(cells.get("price") or "0", "price"),
        }
        return (known[order], line), item

    def _write(self, items: dict[Key, dict[str, Any]]) -> None:
        desk, i = self._desk, order_items.c
        known: dict[Key, Any] = {}
        for chunk in chunks(sorted({order for order, _ in items}), CHUNK):
            for row in desk.conn.execute(select(order_items).where(i.order_id.in_(chunk))):
                known[row.order_id, row.line] = row
        fresh = [item for key, item in items.items() if key not in known]
        changed = [
            {f"its_{name}": value for name, value in item.items()} | {"its_id": known[key].id}
            for key, item in items.items()
            if key in known and any(item[name] != getattr(known[key], name) for name in _COMPARED)
        ]
        if fresh:
            desk.conn.execute(insert(order_items), fresh)
        if changed:
            write = update(order_items).where(i.id == bindparam("its_id"))
            desk.conn.execute(write.values({name: bindparam(f"its_{name}") for name in _COMPARED}), changed)
        desk.report.new += len(fresh)
        desk.report.changed += len(changed)
        desk.report.unchanged += len(items) - len(fresh) - len(changed)

    @cached_property
    def _products(self) -> dict[tuple[str, str], int]:
        columns = (products.c.name_key, products.c.category_key, products.c.id)
        return {(row.name_key, row.category_key): row.id for row in self._desk.conn.execute(select(*columns))}

    def _make(self, named: dict[Named, dict[str, str]]) -> None:
        """Write the products that are not known together: a chain has thousands, nearly all in its first batch."""
        fresh = [
            {
                "name": cells["product"],
                "category": cells.get("category") or None,
                "name_key": keys[0],
                "category_key": keys[1],
            }
            for keys, cells in named.items()
            if keys not in self._products
        ]
        if fresh:
            made = insert(products).returning(products.c.name_key, products.c.category_key, products.c.id)
            self._products.update(
                {(name, category): number for name, category, number in self._desk.conn.execute(made, fresh)}
            )
