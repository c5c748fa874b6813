"""A cafe's day by the command line: two files in the inbox, a rule with a coupon, an email and an SMS, one `run`.

Emails go to a server that writes down what it accepts, texts into the folder ``outbox``. Each command is a process of its
own, made by the forge, in which the clock stands at ten in the morning.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from dispatch.smtp_sink import SmtpSink
from dispatch.whole import MORNING, OFFERS
from postgres_server import PostgresServer
from sqlalchemy import Connection, Engine, select, update

from engine.database import engines
from engine.database.engines import open_db
from engine.database.tables import dispatches, instance
from engine.dispatch.links import message_id, message_key
from engine.language.keys import KEY_FILE, load_key

from .forge import Child, Done, Forge
from .tally import Counts, reconcile

URL = "database.url"
SENDER = "hello@corner.example"
CONFIG = """
business:
  name: Corner Café
  address: 7 Harbour Road, Springfield, IL 62701
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
database: {database}
email:
  connector: smtp
  from: Corner Café <hello@corner.example>
  smtp:
    host: 127.0.0.1
    port: {port}
    tls: none
limits:
  marketing_per_day: 2
  blast: 100%
"""
RULE = """
id: win-back
trigger:
  lapsed:
    after: 30 days
    up_to: 60 days
actions:
  - coupon:
      offer: cake
  - email:
      template: win-back
  - sms:
      template: win-back
"""


@dataclass
class Cafe:
    """A home that is ready for its day, to be copied for every try. ``guests`` get an email and an SMS each."""

    room: Path
    guests: int = 3
    server: PostgresServer | None = None  #: where its databases are; None: SQLite
    mail: SmtpSink = field(default_factory=SmtpSink)
    forge: Forge = field(default_factory=Forge)
    _number: int = 0

    def __post_init__(self) -> None:
        self._template = self.room / "template"
        _write(
            self._template, "env:DATABASE_URL" if self.server else "sqlite:///regulars.db", self.mail.port, self.guests
        )
        if self.server is not None:
            (self._template / URL).write_text(self.server.url(self.server.create()))
        done = self.command(self._template, "approve", "win-back", "--by", "Ana").run()
        assert done.told["code"] == 0, done
        db = open_db(url_of(self._template))
        with db.begin() as conn:
            conn.execute(update(instance).values(place=None))  # its copies are no copies of a home in use
        db.dispose()
        self.forge.learn(self.forge.child("faults.day:modules", root=str(self.home())).run().told)

    def home(self, room: Path | None = None) -> Path:
        """Give a copy of the home for one try, with a witness that has seen nothing."""
        self._number += 1
        root = (room or self.room) / f"home{self._number}"
        shutil.copytree(self._template, root)
        if self.server is not None:
            template = url_of(self._template).partition("@/")[2].partition("?")[0]
            (root / URL).write_text(self.server.url(self.server.create(template)))
        self.mail.accepted.clear()
        self.mail.heard = lambda _: None
        return root

    def command(self, root: Path, *words: str, minutes: int = 0, seed: str = "") -> Child:
        """Make the process of one command; it stands at its gate."""
        return self.forge.child("faults.day:command", root=str(root), words=words, minutes=minutes, seed=seed)

    def run(self, root: Path, *, minutes: int = 0) -> Done:
        """Let one `run` go to its end."""
        return self.command(root, "run", minutes=minutes).run()

    def close(self) -> None:
        self.forge.close()
        self.mail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write(root: Path, database: str, port: int, guests: int) -> None:
    for folder in ("config", "rules", "templates/win-back", "inbox"):
        (root / folder).mkdir(parents=True)
    (root / KEY_FILE).write_text("ab" * 32)
    (root / KEY_FILE).chmod(0o600)
    (root / "config" / "regulars.yaml").write_text(CONFIG.format(database=database, port=port), encoding="utf-8")
    (root / "config" / "offers.yaml").write_text(OFFERS)
    (root / "rules" / "win-back.yaml").write_text(RULE)
    texts = {"subject.txt": "We miss you", "email.txt": "Dear {{ customer.name }}, {{ coupon.code }}."}
    for name, text in (texts | {"sms.txt": "Come back with {{ coupon.code }}"}).items():
        (root / "templates" / "win-back" / name).write_text(text)
    lines = ["customer_id,name,email,phone,birthday,email_consent,sms_consent,consent_at"]
    lines += [f"c{n},Guest {n},g{n}@example.com,+1312555{n:04},,yes,yes,2026-01-02" for n in range(guests)]
    (root / "inbox" / "customers.csv").write_text("\n".join([*lines, ""]))
    lines = ["order_id,customer_id,ordered_at,total", "last,,2026-05-03 18:00,9.00"]
    lines += [f"o{n},c{n},2026-03-25 12:00,12.50" for n in range(guests)]
    (root / "inbox" / "orders.csv").write_text("\n".join([*lines, ""]))


def command(root: str, words: Sequence[str], minutes: int = 0, seed: str = "") -> dict[str, Any]:
    """Run one command in this process; give exit code, output and complaints."""
    import cli

    cli.clock = lambda: MORNING + timedelta(minutes=minutes)
    if seed:
        spoil(seed)
    out, err = io.StringIO(), io.StringIO()
    os.environ |= {"XDG_STATE_HOME": root, "DATABASE_URL": url_of(Path(root))}  # the first: where bugs are written down
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main.main(args=["--home", root, *words], prog_name="regulars", standalone_mode=False)
    return {"code": int(code or 0), "out": out.getvalue(), "err": err.getvalue()}


def modules(root: str) -> list[str]:
    """Run once and give what had to be imported for it."""
    command(root, ["run"])
    return [*sys.modules]


def spoil(seed: str) -> None:
    """Do something to this process before its command: ``module:function:argument``."""
    module, name, argument = seed.split(":")
    getattr(importlib.import_module(module), name)(argument)


def hasty(_: str) -> None:
    """Let SQLite not wait for the disk, to see that the tests find it."""
    really = engines._begin_sqlite

    def begin(conn: Connection) -> None:
        conn.execution_options(**{engines._FOLLOWED: True})  # by one that waits, it says, and none does
        really(conn)

    engines._begin_sqlite = begin


def impatient(seconds: str) -> None:
    """Wait for a locked database for so long only."""
    engines.PATIENCE = float(seconds)


@dataclass(frozen=True)
class Witness:
    """What the other side accepted: the mail server, and the folder of texts."""

    root: Path
    emails: Sequence[str]

    def accepted(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self.emails:
            found[each] = found.get(each, 0) + 1
        for file in (self.root / "outbox").glob("[!.]*.txt"):
            found[file.stem.partition("~")[0]] = 1
        return found


def keys_of(db: Engine, root: Path) -> dict[str, int]:
    """Give, by what the witness knows it by, each message's dispatch."""
    key = load_key(root)
    with db.begin() as conn:
        rows = conn.execute(
            select(dispatches.c.id, dispatches.c.channel).where(dispatches.c.channel.in_(("email", "sms")))
        ).all()
    return {
        message_id(key, row.id, SENDER) if row.channel == "email" else message_key(key, row.id): row.id for row in rows
    }


def url_of(root: Path) -> str:
    """Give where the database of a home is."""
    elsewhere = root / URL
    return elsewhere.read_text() if elsewhere.exists() else f"sqlite:///{root / 'regulars.db'}"


def counted(cafe: Cafe, root: Path, *, emails: Sequence[str] | None = None, minutes: int = 0) -> Counts:
    """Hold what the day's database says against the witness, after the last clean run."""
    db = open_db(url_of(root))
    try:
        witness = Witness(root, cafe.mail.accepted if emails is None else emails)
        keys = keys_of(db, root)
        found = reconcile(db, witness.accepted(), keys, now=MORNING + timedelta(minutes=minutes))
        missing = 2 * cafe.guests - len(keys)
        return found + Counts(lost=max(missing, 0), twice=max(-missing, 0))
    finally:
        db.dispose()
