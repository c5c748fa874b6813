"""Orders of a file as columns: read so where every cell is plain, and put together with rows that were read alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

from connectors.csvblocks import Block
from connectors.records import RowError
from engine.intake import values
from engine.intake.clocks import Clocks
from engine.intake.columns import ODD, Known
from engine.intake.desk import Desk, Store
from engine.language.textkey import text_key
from engine.language.zones import zone_named

_DAY: Final = 86_400
_LONGEST_ID: Final = 200
#: An id that ``values.identifier`` looks at twice, in a text of ids with line ends between them.
_ODD_ID: Final = re.compile(r"^(?:'|\d(?:[.,]\d+)?[eE]\+?\d+$|\d+[.,]0+$)|^.{201}", re.MULTILINE)


@dataclass
class Sales:
    """Sales of a block, a list for each thing that is known of them."""

    lines: list[int]
    external_ids: list[str]
    guests: list[str]  #: what each guest is known by: an id or a contact; "" for a walk-in
    names: list[str]  #: what the file calls the guest
    stores: list[Store | None]
    zones: list[int]  #: of the row; a store has its own
    ordered_at: list[int]
    totals: list[int]
    channels: list[str | None]
    coupons: list[str | None]
    servers: list[str | None]

    @classmethod
    def of(cls, rows: Sequence[tuple[Any, ...]]) -> Sales:
        """Make them of rows that name all of it in the order of the fields."""
        columns = list(map(list, zip(*rows, strict=True))) or [[] for _ in fields(cls)]
        return cls(*columns)

    @classmethod
    def joined(cls, blocks: Sequence[Sales]) -> Sales:
        """Make one of those of several blocks."""
        if len(blocks) == 1:
            return blocks[0]
        return cls(*(list(chain.from_iterable(getattr(each, field.name) for each in blocks)) for field in fields(cls)))

    def kept(self, places: Sequence[int]) -> Sales:
        """Give those at these places, in this order."""
        columns = (getattr(self, field.name) for field in fields(self))
        return Sales(*([column[place] for place in places] for column in columns))

    def with_others(self, rows: Sequence[tuple[Any, ...]]) -> Sales:
        """Give them together with others, in the order of the file."""
        if not rows:
            return self
        others = Sales.of(rows)
        both = Sales(*(getattr(self, field.name) + getattr(others, field.name) for field in fields(self)))
        return both.kept(sorted(range(len(both.lines)), key=both.lines.__getitem__))


class SaleColumns:
    """Reads the plain rows of blocks; what is anything but plain is set apart in the block."""

    def __init__(self, desk: Desk, clocks: Clocks) -> None:
        self._desk, self._clocks = desk, clocks
        self._kinds = Known(lambda text: None if text.casefold() in {"", "sale"} else ODD)
        self._currencies = Known(lambda text: None if text.upper() in {"", desk.config.business.currency} else ODD)
        self._stores = Known(self._store)
        self._own_zones = Known(self._own_zone)
        self._totals = Known(lambda text: desk.money(text, "total"))
        self._tips = Known(lambda text: desk.money(text, "tip") if text else 0)
        self._channels = Known(lambda text: text_key(text) or None)
        self._servers = Known(lambda text: text or None)

    def read(self, block: Block, cells: Mapping[str, Sequence[str]]) -> Sales:
        """Read the plain rows of a block; ``cells`` are its columns by our names."""
        odd: set[int] = set()
        count = len(block.lines)
        blank: Sequence[str] = [""] * count

        def cell(name: str) -> Sequence[str]:
            return cells.get(name, blank)

        for name, known in (("kind", self._kinds), ("currency", self._currencies)):
            if name in cells:
                known.of(cells[name], odd)
        guests = cell("customer_id")
        _set_odd_ids_apart(cell("order_id"), odd, empty=False)
        _set_odd_ids_apart(guests, odd, empty=True)
        for name in ("guest_email", "guest_phone", "guest_name"):
            if name in cells:  # who is known by a contact only is looked for one by one
                odd.update(place for place, text in enumerate(cells[name]) if text and not guests[place])
        stores = self._stores_of(cells, blank, odd)
        zones = self._zones_of(cells, stores, odd)
        totals = self._totals_of(cells, cell("total"), odd)
        ordered_at = self._clocks.instants(cell("ordered_at"), zones, odd)
        latest = self._desk.now_seconds + _DAY
        if count and max(ordered_at) > latest:  # told of, row by row
            odd.update(place for place, at in enumerate(ordered_at) if at > latest)
        sales = Sales(
            list(block.lines),
            list(cell("order_id")),
            list(guests),
            list(cell("guest_name")),
            stores,
            zones if len(zones) == count else zones * count,
            ordered_at,
            totals,
            self._channels.of(cell("channel"), odd),
            [text or None for text in cell("coupon")],
            self._servers.of(cell("server"), odd),
        )
        if not odd:
            return sales
        block.set_apart(odd)
        return sales.kept([place for place in range(count) if place not in odd])

    def _totals_of(self, cells: Mapping[str, Sequence[str]], totals: Sequence[str], odd: set[int]) -> list[int]:
        found = self._totals.of(totals, odd)
        if "tip" in cells and any(cells["tip"]):  # of a till whose totals hold it
            tips = self._tips.of(cells["tip"], odd)
            found = [ODD if place in odd else found[place] - tips[place] for place in range(len(found))]
        odd.update(place for place, total in enumerate(found) if total is ODD or total < 0)
        return found

    def _stores_of(self, cells: Mapping[str, Sequence[str]], blank: Sequence[str], odd: set[int]) -> list[Store | None]:
        self._stores.forget_odd()  # one that was made since
        named = cells.get("store_id", blank)
        if "store_name" in cells:
            named = [text or name for text, name in zip(named, cells["store_name"], strict=True)]
        return self._stores.of(named, odd)

    def _store(self, named: str) -> Any:
        found = self._desk.known_store(named) if named else None
        return ODD if named and found is None else found

    def _zones_of(self, cells: Mapping[str, Sequence[str]], stores: Sequence[Store | None], odd: set[int]) -> list[int]:
        """Whose clock each row is on: a list of one where it is all the same."""
        home = self._desk.home_zone
        of_store = [home if store is None or store is ODD else store.zone_id for store in stores]
        if "timezone" in cells and any(cells["timezone"]):
            self._own_zones.forget_odd()
            own = self._own_zones.of(cells["timezone"], odd)
            of_store = [
                theirs if mine is None or mine is ODD else mine for mine, theirs in zip(own, of_store, strict=True)
            ]
        return of_store[:1] if len(set(of_store)) == 1 else of_store

    def _own_zone(self, text: str) -> Any:
        zone = zone_named(text)
        found = self._desk.known_zone(zone) if zone else None
        return ODD if text and found is None else found


def _set_odd_ids_apart(ids: Sequence[str], odd: set[int], *, empty: bool) -> None:
    """Find ids that are not what they seem, or too long; ``empty``: there may be none."""
    if not empty and not all(ids):
        odd.update(place for place, text in enumerate(ids) if not text)
    joined = "\n".join(ids)
    if joined.count("\n") != max(len(ids) - 1, 0) or _is_suspicious(joined):
        odd.update(place for place, text in enumerate(ids) if text and not _is_plain_id(text))


def _is_suspicious(joined: str) -> bool:
    may_be = any(sign in joined for sign in "'.,eE") or len(max(joined.split("\n"), key=len)) > _LONGEST_ID
    return may_be and _ODD_ID.search(joined) is not None


def _is_plain_id(text: str) -> bool:
    try:
        return values.identifier(text, "") == text
    except RowError:
        return False
