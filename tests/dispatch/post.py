"""Letters that come back, for the tests: real servers' reports with our token and guest put in, and a home that reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from connectors.mailbox import Letter
from engine.database.consent import record_consent
from engine.database.tables import audit, consents, delivery_events, endpoints
from engine.dispatch.bounces import Returns, take_in
from engine.dispatch.links import bounce_address, mail_token
from engine.language.keys import endpoint_hash
from engine.vocabulary.home import Home

from .world import CONFIG, NOW, Cafe, a_home

LETTERS = Path(__file__).parent / "returned"
BOUNCING = CONFIG.replace("links:\n", "  bounces: {address: bounces@corner.example}\nlinks:\n")
HOUR = timedelta(hours=1)


@dataclass
class Box:
    """A mailbox of the test's own; ``settled`` is what was marked, and as what."""

    raws: list[bytes]
    left: int = 0
    settled: list[tuple[str, bool]] = field(default_factory=list)

    def letters(self) -> Any:
        for number, raw in enumerate(self.raws):
            yield Letter(str(number), raw)

    def settle(self, letter: Letter, *, understood: bool) -> None:
        self.settled.append((letter.name, understood))

    def close(self) -> None:
        pass


@dataclass
class Post(Cafe):
    """A café whose guests are known by the home's key, and its letters."""

    home: Home = None  # type: ignore[assignment]

    def endpoint(self, channel: str, address: str, *, consent: bool = True) -> int:
        hashed = endpoint_hash(self.home.key, channel, address)  # type: ignore[arg-type]
        number = self._insert(endpoints, channel=channel, hash=hashed, address=address)
        if consent:
            with self.db.begin() as conn:
                record_consent(conn, number, "yes", at=NOW - timedelta(days=300), source="form")
        return number

    def sent(self, guest: Row[Any] | None = None, **values: Any) -> int:
        """Make a message that was handed over."""
        return self.message(guest, **({"state": "sent", "handed_at": NOW, "finished_at": NOW} | values))

    def address_of(self, dispatch_id: int) -> str:
        row = self.row(dispatch_id)
        with self.db.begin() as conn:
            found = conn.scalar(select(endpoints.c.address).where(endpoints.c.id == row.endpoint_id))
        return str(found or "manager@corner.example")

    def letter(self, name: str, dispatch_id: int, *, guest: str | None = None, sender: str | None = None) -> bytes:
        """Give a letter about that message."""
        sender = sender or bounce_address(self.home.config, self.home.key, dispatch_id)
        own = mail_token(self.home.key, "unsubscribe", self.row(dispatch_id).endpoint_id or 0)
        raw = (LETTERS / f"{name}.eml").read_bytes()
        for what, by in (
            ("SENDER", sender or ""),
            ("GUEST", guest or self.address_of(dispatch_id)),
            ("UNSUBSCRIBE", f"bounces+{own}@corner.example"),
        ):
            raw = raw.replace(f"@{what}@".encode(), by.encode())
        return raw

    def take(self, *raws: bytes, box: Box | None = None, at: Any = NOW + HOUR) -> Returns:
        into = Returns()
        take_in(self.db, self.home, box or Box(list(raws)), lambda: at, into)
        return into

    def became(self, *raws: bytes) -> dict[str, int]:
        return dict(self.take(*raws).counts)

    def events(self, dispatch_id: int) -> list[tuple[str, str | None, str]]:
        with self.db.begin() as conn:
            rows = conn.execute(
                select(delivery_events)
                .where(delivery_events.c.dispatch_id == dispatch_id)
                .order_by(delivery_events.c.id)
            )
            return [(row.kind, row.code, row.source) for row in rows]

    def endpoint_of(self, dispatch_id: int) -> Row[Any]:
        row = self.row(dispatch_id)
        with self.db.begin() as conn:
            return conn.execute(select(endpoints).where(endpoints.c.id == row.endpoint_id)).one()

    def why(self, dispatch_id: int) -> str | None:
        return self.endpoint_of(dispatch_id).suppressed_why  # type: ignore[no-any-return]

    def last_word(self, dispatch_id: int) -> tuple[str, str]:
        row = self.row(dispatch_id)
        with self.db.begin() as conn:
            said = select(consents).where(consents.c.endpoint_id == row.endpoint_id).order_by(consents.c.id.desc())
            last = conn.execute(said.limit(1)).one()
        return last.state, last.source

    def moves(self, dispatch_id: int) -> list[tuple[str, str, str]]:
        with self.db.begin() as conn:
            rows = conn.execute(select(audit).where(audit.c.dispatch_id == dispatch_id, audit.c.action == "move"))
            return [(row.before, row.after, row.who) for row in rows]


def a_post(db: Any, root: Path) -> Post:
    return Post(db, home=a_home(root, BOUNCING))
