"""A home and its database, opened for one command."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import DBAPIError

from engine.console.exits import MistypedError, NotNowError, unknown
from engine.database.complaints import DatabaseUnavailable, is_refused
from engine.database.engines import open_db, reading
from engine.database.migrations import migrate, schema_is_current
from engine.database.rights import say_who_migrates
from engine.database.tables import customers, endpoints
from engine.evaluation.clock import Uptime
from engine.language.contacts import channel_of, normalise
from engine.language.keys import KEY_FILE, endpoint_hash
from engine.language.rule import Rule
from engine.language.zones import first_instant
from engine.vocabulary.home import Home, load_home

LOCK_FILE: Final = "regulars.lock"
_EXAMPLES: Final = "such as 2026-05-04T10:00, or 2026-05-04T10:00+02:00 with a zone of its own"

Clock = Callable[[], datetime]
#: No clock that is right stands before it: when this release was begun. Renewed with each.
BUILT: Final = datetime(2026, 5, 1, tzinfo=UTC)


class StrangeKeyError(NotNowError):
    """The home's key is another than the one with which its database was filled."""


@dataclass(frozen=True)
class Session:
    """A home that can be worked with. ``clock`` gives the present instant, aware UTC; ``language`` is the owner's.

    ``uptime`` tells how long the machine has been on, None where it does not tell.
    """

    home: Home
    db: Engine
    clock: Clock
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str = "en"
    uptime: Callable[[], Uptime | None] = lambda: None

    @property
    def zone(self) -> ZoneInfo:
        """The home's zone."""
        return self.home.config.business.timezone

    def at(self, as_of: str | None) -> datetime:
        """Give the moment that ``--as-of`` names, else the present one."""
        return self.clock() if as_of is None else instant(as_of, self.zone)

    def by(self, name: str | None) -> str:
        """Give who does something, for the trail: the name given, else who is logged in."""
        if name and name.strip():
            return name.strip()
        try:
            return getpass.getuser()
        except (OSError, KeyError):
            return "staff"

    def check_clock(self) -> None:
        """Raise ``NotNowError`` for a clock that stands before this Regulars was made."""
        now = self.clock()
        if now < BUILT:
            raise NotNowError(
                f"The clock of this machine says {now.astimezone(self.zone):%Y-%m-%d %H:%M}, which is before this "
                "Regulars was made. Nothing is checked or sent: set the clock right."
            )

    def recognise(self) -> None:
        """Raise ``StrangeDatabaseError`` where the database was copied or restored: nothing of it may go out."""
        from engine.dispatch.instance import recognise, surroundings

        recognise(self.db, surroundings(self.home.root), self.clock())

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Open a transaction that only reads, also while a run is writing."""
        with reading(self.db).connect() as conn:
            yield conn


@contextmanager
def opened(
    root: Path,
    environ: Mapping[str, str],
    clock: Clock,
    language: str = "en",
    uptime: Callable[[], Uptime | None] = lambda: None,
    *,
    answer: int | None = None,
) -> Iterator[Session]:
    """Open the home at ``root`` and its database, made or brought up to date where needed.

    ``answer``: the most seconds that PostgreSQL may take over one statement.

    Raises ``ProblemsError`` and ``KeyFileError`` for the home, ``DatabaseUnavailable`` for the database, and
    ``StrangeKeyError`` where the two do not belong together.
    """
    home = load_home(root, environ, clock().date())
    db = open_db(home.config.database_url, answer=answer)
    try:
        if not schema_is_current(db):
            _migrate(home.config.database_url)
        session = Session(home, db, clock, environ, language, uptime)
        with session.look() as conn:
            check_key(conn, home.key)
        yield session
    finally:
        db.dispose()


def _migrate(url: str) -> None:
    """Bring the tables up to date, however long that takes; only their owner may."""
    db = open_db(url)
    try:
        migrate(db)
    except DBAPIError as error:
        if not is_refused(error):
            raise
        raise DatabaseUnavailable(say_who_migrates(db)) from None
    finally:
        db.dispose()


def check_key(conn: Connection, key: bytes) -> None:
    """Raise ``StrangeKeyError`` for another key: every address would be new, and who unsubscribed forgotten."""
    first = (
        select(endpoints.c.channel, endpoints.c.address, endpoints.c.hash)
        .where(endpoints.c.address.is_not(None))
        .order_by(endpoints.c.id)
        .limit(1)
    )
    row = conn.execute(first).one_or_none()
    if row is not None and endpoint_hash(key, row.channel, row.address) != row.hash:
        raise StrangeKeyError(
            f"the file {KEY_FILE} is not the key of this database: take it from the backup. Under another key "
            "everybody who has unsubscribed would be forgotten"
        )


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the home's run lock, a courtesy between runs of one machine; raise ``NotNowError`` while another has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise NotNowError(
            "Another run of this home is under way, so this one does nothing. It is not needed to wait for it: the "
            "next run takes up what is left."
        ) from None
    try:
        yield
    finally:
        lock.release()


def instant(text: str, zone: ZoneInfo, *, option: str = "--as-of") -> datetime:
    """Read a moment on the home's clock, or with an offset of its own; aware UTC."""
    try:
        told = datetime.fromisoformat(text.strip())
    except ValueError:
        raise MistypedError(f'{option} "{text}" is no date and time {_EXAMPLES}') from None
    if told.time() == time(0) and len(text.strip()) <= len("2026-05-04"):
        raise MistypedError(f'{option} "{text}" needs a time of day too, {_EXAMPLES}')
    if not 1990 <= told.year <= 2200:  # noqa: PLR2004 (what calendars and counting in seconds can bear)
        raise MistypedError(f'{option} "{text}" lies outside 1990 to 2200')
    told = told.replace(microsecond=0)
    return first_instant(told, zone) if told.tzinfo is None else told.astimezone(UTC)


def day_of(text: str, *, option: str = "--day") -> datetime:
    """Read a calendar day, as a naive midnight."""
    from engine.language.durations import parse_date

    try:
        return datetime.combine(parse_date(text), time(0))
    except ValueError as error:
        raise MistypedError(f"{option}: {error}") from None


def rule_named(home: Home, name: str) -> Rule:
    """Give the rule of that id, or say why there is none: a broken file is shown with its problems."""
    from engine.language.problems import ProblemsError, errors

    for rule in home.rules:
        if rule.id == name:
            return rule
    for path in sorted(home.broken):
        if Path(path).stem.partition("-")[2] == name or Path(path).stem == name:
            raise ProblemsError(errors(home.problems_of(path)))
    raise unknown("rule", name, (rule.id for rule in home.rules), where=" in rules/")


def customer_named(conn: Connection, home: Home, name: str) -> Row[Any]:
    """Give the customer of that id (``SOURCE:ID`` where two tills have it), email address or phone number."""
    found = list(conn.execute(select(customers).where(customers.c.external_id == name).order_by(customers.c.id)))
    if not found and ":" in name:
        source, _, number = name.partition(":")
        found = list(
            conn.execute(select(customers).where(customers.c.source == source, customers.c.external_id == number))
        )
    if not found:
        found = _by_address(conn, home, name)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{row.source}:{row.external_id}" for row in found[:10])
        raise MistypedError(f'"{name}" may be one of several guests; name one of them: {names}')
    raise MistypedError(
        f'there is no guest "{name}". Give the id as it stands in the customers\' file, or the email address or phone '
        "number of the guest"
    )


def _by_address(conn: Connection, home: Home, name: str) -> list[Row[Any]]:
    channel = channel_of(name)
    try:
        address = normalise(channel, name, home.config.business.country)
    except ValueError:
        return []
    endpoint = conn.scalar(
        select(endpoints.c.id).where(
            endpoints.c.channel == channel, endpoints.c.hash == endpoint_hash(home.key, channel, address)
        )
    )
    if endpoint is None:
        return []
    column = customers.c.email_id if channel == "email" else customers.c.sms_id
    return list(conn.execute(select(customers).where(column == endpoint).order_by(customers.c.id)))
