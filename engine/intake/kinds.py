"""The seven kinds of files and their columns, as data; the first column is the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file. ``needed`` columns must be there; ``keeps_others``: unknown columns are kept as attributes."""

    name: str
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    dates: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    keeps_others: bool = False

    @property
    def key(self) -> str:
        """Name the column that tells one record from another."""
        return self.columns[0]


_STORES = Kind(
    "stores",
    (
        "store_id", "name", "country", "city", "region", "timezone", "language", "address", "phone", "manager_name",
        "manager_email", "manager_phone", "opens", "closes", "closed_on",
    ),
    needed=("store_id", "name"),
    dates=("closed_on",),
    keeps_others=True,
)  # fmt: skip
_CUSTOMERS = Kind(
    "customers",
    (
        "customer_id", "name", "first_name", "email", "phone", "birthday", "birthday_calendar", "joined_at", "language",
        "timezone", "store_id", "gender", "city", "company", "tier", "tags", "referred_by", "email_consent",
        "sms_consent", "consent_at", "consent_source",
    ),
    needed=("customer_id",),
    dates=("birthday", "joined_at", "consent_at"),
    keeps_others=True,
)  # fmt: skip
_ORDERS = Kind(
    "orders",
    (
        "order_id", "customer_id", "ordered_at", "store_id", "total", "currency", "channel", "kind", "coupon", "server",
    ),
    needed=("order_id", "ordered_at", "total"),
    dates=("ordered_at",),
    numbers=("total",),
)  # fmt: skip
_ITEMS = Kind(
    "order_items",
    ("order_id", "line", "product", "category", "quantity", "price"),
    needed=("order_id", "product"),
    numbers=("quantity", "price"),
)
_RATINGS = Kind(
    "ratings",
    ("rating_id", "customer_id", "order_id", "rated_at", "score", "comment", "source"),
    needed=("rating_id", "rated_at", "score"),
    dates=("rated_at",),
    numbers=("score",),
)
_POINTS = Kind(
    "points",
    ("entry_id", "customer_id", "at", "points", "expires_at", "reason", "ledger"),
    needed=("entry_id", "customer_id", "at", "points"),
    dates=("at", "expires_at"),
    numbers=("points",),
)
_EVENTS = Kind(
    "events",
    ("event_id", "customer_id", "store_id", "name", "at"),
    needed=("event_id", "name", "at"),
    dates=("at",),
    keeps_others=True,
)

#: In the order in which one rests on the other.
KINDS: Final[dict[str, Kind]] = {
    kind.name: kind for kind in (_STORES, _CUSTOMERS, _ORDERS, _ITEMS, _RATINGS, _POINTS, _EVENTS)
}
#: Asked one after the other; the first whose columns are all there is the file's kind.
TELLING: Final = (
    ("rating_id", "score"),
    ("entry_id", "points"),
    ("event_id", "at"),
    ("order_id", "ordered_at"),
    ("order_id", "product"),
    ("customer_id",),
    ("store_id", "name"),
)
OF_TELLING: Final = ("ratings", "points", "events", "orders", "order_items", "customers", "stores")
#: Columns that a file of refused rows has beside the original's.
REFUSED_LINE: Final = "refused: line"
REFUSED_REASON: Final = "refused: reason"
