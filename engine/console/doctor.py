"""What is missing or wrong, in words, with the cure: the doctor looks at everything a run needs."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, Engine, func, select

from engine.console import keeping, schedule, signing_keys
from engine.console.brakes import closed, silent
from engine.console.country_files import about_the_law
from engine.console.later import returned_lately
from engine.console.page import Page
from engine.console.schemas import of_another_version
from engine.console.session import Clock, Session, StrangeKeyError, opened
from engine.console.words import counted, moment, reason
from engine.database.engines import DatabaseUnavailable, explain, journal_mode, open_db, reading
from engine.database.facts import bring_to, rebuild
from engine.database.migrations import schema_is_current
from engine.database.partial import is_in
from engine.database.sql import one_importer
from engine.database.tables import customer_facts, dispatches, orders, rules, runs
from engine.dispatch.states import MESSAGES
from engine.dispatch.tallies import recount
from engine.evaluation.permission import implied_terms, reachable
from engine.intake.inbox import waiting
from engine.language.config import CONFIG_FILE, Config
from engine.language.keys import KEY_FILE, KeyFileError, load_key
from engine.language.problems import ProblemsError, errors
from engine.language.secret import Secret, SecretError
from engine.language.times import business_day
from engine.vocabulary.home import Home, check_home, load_home

Verdict = Literal["good", "care", "bad"]
_MARKS: Final[Mapping[Verdict, str]] = {"good": "ok", "care": "look", "bad": "wrong"}
#: A run that has not finished for so long was ended from outside.
_LONG_RUN: Final = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``bad``: a run cannot do its work; ``care``: somebody should look."""

    verdict: Verdict
    about: str
    said: str

    def to_json(self) -> dict[str, str]:
        """Give the object that ``doctor --format json`` prints on one line."""
        return {"verdict": _MARKS[self.verdict], "about": self.about, "said": self.said}


def examine_files(root: Path, environ: Mapping[str, str], today: date) -> Iterator[Finding]:
    """Look at what can be looked at without a sound config or a database."""
    problems = check_home(root, environ, today)
    wrong, odd = len(errors(problems)), len(problems) - len(errors(problems))
    if wrong:
        yield Finding("bad", "files", f"{counted(wrong, 'problem')} in what you wrote: `regulars validate` shows them")
    elif odd:
        yield Finding("care", "files", f"{counted(odd, 'warning')}: `regulars validate` shows them")
    else:
        yield Finding("good", "files", "config, rules, templates, offers and segments are in order")
    if of_another_version(root):
        said = "the schemas for your editor are of another version of Regulars: `regulars schema --write` renews them"
        yield Finding("care", "editor", said)
    yield _key(root)


def examine(session: Session, now: datetime) -> Iterator[Finding]:
    """Look at the accounts, the database, the data, and what waits for a person."""
    home = session.home
    with session.look() as conn:
        shut = {about for about, _, _ in closed(conn, session.zone, now)} | set(silent(conn, home.config, now))
    yield from _accounts(home, shut)
    for verdict, said in signing_keys.examined(home.config):
        yield Finding(verdict, "signing", said)
    yield from _links(home)
    with session.look() as conn:
        for verdict, said in about_the_law(conn, home.config, now.astimezone(session.zone).date()):
            yield Finding(verdict, "law", said)
    with session.look() as conn:
        for verdict, about, said in keeping.findings(session, conn, now):
            yield Finding(verdict, about, said)
        yield _data(conn, home, now)
        yield from _inbox(home)
        yield from _waiting(conn, session, now)
        for said in returned_lately(conn, now):
            yield Finding("care", "returned", said)
        yield from _runs(conn, session, now)
    yield from _habits(session, now)


def _habits(session: Session, now: datetime) -> Iterator[Finding]:
    with session.look() as conn:
        started, sent_on = schedule.recent_runs(conn, now), schedule.recent_channels(conn, now)
    for said in schedule.habits(session.home, started, sent_on, now):
        yield Finding("care", "schedule", said)


def examine_database(home: Home) -> Finding:
    """Look whether the database can be used; nothing is changed."""
    try:
        db = open_db(home.config.database_url)
        try:
            return Finding("good", "database", _database(db))
        finally:
            db.dispose()
    except Exception as error:
        said = explain(error)
        if said is None:
            raise
        return Finding("bad", "database", said)


@dataclass(frozen=True)
class Doctor:
    """Looks at a home, sick or not."""

    root: Path
    environ: Mapping[str, str]
    clock: Clock

    def findings(self) -> Iterator[Finding]:
        """Give everything that can be looked at: a sick config or database hides what rests on it."""
        if not (self.root / CONFIG_FILE).is_file():
            said = "`regulars init` makes one; `regulars --home DIR doctor` looks at another one"
            yield Finding("bad", "files", f"{self.root} is not a home of Regulars: {said}")
            return
        yield from examine_files(self.root, self.environ, self.clock().date())
        try:
            home = load_home(self.root, self.environ)
        except (ProblemsError, KeyFileError):
            return  # said above
        database = examine_database(home)
        yield database
        if database.verdict != "bad":
            try:
                with opened(self.root, self.environ, self.clock) as session:
                    yield from examine(session, self.clock())
            except StrangeKeyError as error:
                yield Finding("bad", "key", str(error))
            except DatabaseUnavailable as error:
                yield Finding("bad", "database", str(error))

    def report(self, shape: str) -> tuple[str, bool]:
        """Give what is said, and whether something is wrong."""
        page, found = Page(), list(self.findings())
        if shape == "json":
            page.json_lines(each.to_json() for each in found)
        for each in found if shape == "text" else ():
            page.line(f"{_MARKS[each.verdict]:<6}{each.about}: {each.said.rstrip('.')}.", each.verdict)
        return page.text, any(each.verdict == "bad" for each in found)

    def calls(self) -> str:
        """Say how to let ``run`` be called by itself, and what of the calls so far cannot work."""
        page = Page()
        with opened(self.root, self.environ, self.clock) as session:
            call_lines(page, session.home)
            for finding in _habits(session, self.clock()):
                page.line()
                page.line(f"{finding.said[:1].upper()}{finding.said[1:]}.", finding.verdict)
        return page.text

    def rebuild_facts(self) -> str:
        """Count the facts of all guests anew, and what is used of budgets; say whether that changed anything."""
        with opened(self.root, self.environ, self.clock) as session, session.db.begin() as conn:
            now = self.clock()
            one_importer(conn)  # before any row is held that it may wait for
            bring_to(conn, now)
            before = facts_digest(conn)
            rebuild(conn, now)
            changed = facts_digest(conn) != before
            guests = conn.scalar(select(func.count()).select_from(customer_facts)) or 0
            budgets = recount(conn)
        said = "they were not all right: please report it" if changed else "they were right before, too"
        told = f"The figures of {counted(guests, 'guest')} are counted anew; {said}.\n"
        return told + (f"What is used of {counted(budgets, 'budget')} is counted anew, too.\n" if budgets else "")


def facts_digest(conn: Connection) -> str:
    """Give a fingerprint of all facts, without the span of time for which a row stands."""
    told = [column for column in customer_facts.c if column.name not in {"stands_from", "refresh_at"}]
    digest = hashlib.sha256()
    for row in conn.execute(select(*told).order_by(customer_facts.c.customer_id)).yield_per(5_000):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _key(root: Path) -> Finding:
    try:
        load_key(root)
    except KeyFileError as error:
        return Finding("bad", "key", str(error).rstrip("."))
    mode = stat.S_IMODE((root / KEY_FILE).stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        return Finding("care", "key", f"{KEY_FILE} can be read by others on this machine: chmod 600 {KEY_FILE}")
    return Finding("good", "key", f"{KEY_FILE} is there; keep it in your backup")


def _database(db: Engine) -> str:
    current = schema_is_current(db)
    with reading(db).connect() as conn:
        mode = journal_mode(conn)
    kind = "PostgreSQL" if mode is None else "SQLite"
    if mode is not None and mode != "wal":
        raise DatabaseUnavailable(
            f"SQLite keeps its journal in mode {mode} here instead of wal, as on some network drives: runs and readers "
            "would lock each other out. Put the database on a disk of this machine"
        )
    state = "up to date" if current else "new or of an older Regulars: it is to be brought up to date"
    return f"{kind}, {state}"


def _accounts(home: Home, shut: Collection[str]) -> Iterator[Finding]:
    config = home.config
    wanted: dict[str, list[Secret | None]] = {"email": [], "sms": [], "webhook": _webhook_secrets(config)}
    if config.email.connector == "smtp" and config.email.smtp is not None:
        wanted["email"] = [config.email.smtp.password]
    if config.sms.connector == "twilio" and config.sms.twilio is not None:
        wanted["sms"] = [config.sms.twilio.account_sid, config.sms.twilio.auth_token]
    connectors: dict[str, str] = {"email": config.email.connector, "sms": config.sms.connector}
    if config.webhooks:
        posted = any(each.connector == "http" for each in config.webhooks.values())
        connectors["webhook"] = "http" if posted else "file"
    for channel, connector in connectors.items():
        missing = [said for secret in wanted[channel] if secret is not None and (said := _missing(secret))]
        for said in missing:
            yield Finding("bad", channel, said)
        if connector == "file":
            yield Finding(
                "care", channel, "messages are only written into the folder outbox/ (connector: file); nothing leaves"
            )
        elif not missing and channel not in {each.partition(":")[0] for each in shut}:
            yield Finding("good", channel, f"goes out by {connector}")


def _links(home: Home) -> Iterator[Finding]:
    links = home.config.links
    if links.secret is not None and (said := _missing(links.secret)):
        yield Finding("bad", "links", said)
    elif links.base_url is None:
        yield Finding(
            "care",
            "links",
            "without links: base_url guests unsubscribe by a reply to your address; read that mailbox, and enter it "
            "with `regulars customer consent`",
        )
    else:
        yield Finding("good", "links", f"unsubscribe links lead to {links.base_url}")


def _missing(secret: Secret) -> str:
    try:
        secret.reveal()
    except SecretError as error:
        return str(error)
    return ""


def _data(conn: Connection, home: Home, now: datetime) -> Finding:
    config = home.config
    zone = config.business.timezone
    newest = conn.scalar(select(func.max(orders.c.ordered_at)).where(orders.c.ordered_at <= now))
    if newest is None:
        return Finding(
            "care", "data", "there are no orders yet: put the till's files into inbox/ or `regulars import FILE`"
        )
    reach = reachable(conn, implied_terms(config, now))
    when = moment(newest, zone)
    said = f"{reach['email']:,} guests may be emailed, {reach['sms']:,} texted; the newest order is of {when}"
    fresh = config.fresh
    stale = fresh is not None and (
        business_day(now, zone, config.day_starts) > fresh.after(business_day(newest, zone, config.day_starts))
        if fresh.is_calendar
        else now - newest > fresh.delta()
    )
    if stale:
        return Finding("care", "data", f"{said}, older than {fresh}: rules of absence wait for the till's newer files")
    return Finding("good", "data", said)


def _waiting(conn: Connection, session: Session, now: datetime) -> Iterator[Finding]:
    quiet = silent(conn, session.home.config, now)
    for about, said in quiet.items():
        yield Finding("bad", about, f"{said[:1].lower()}{said[1:]}")
    for about, said, must_act in [each for each in closed(conn, session.zone, now) if each[0] not in quiet]:
        yield Finding("bad" if must_act else "care", about, said)
    held = conn.execute(
        select(rules.c.rule, dispatches.c.reason, func.count())
        .join(rules, rules.c.id == dispatches.c.rule_id)
        .where(is_in(dispatches.c.state, "held"))
        .group_by(rules.c.rule, dispatches.c.reason)
        .order_by(rules.c.rule, dispatches.c.reason)
    )
    for rule, why, count in held:
        said = f"{counted(count, 'step')} of {rule} wait, {reason(why)}: `regulars approve {rule}`, or --reject"
        yield Finding("care", "held", said)
    for state, cure, way in (
        ("uncertain", "may have arrived", "resolve ID` with --sent or --send-again"),
        ("dead", "were given up", "retry ID` for those to send"),
    ):
        count = conn.scalar(select(func.count()).select_from(dispatches).where(is_in(dispatches.c.state, state)))
        if count:
            look = f"`regulars log --state {state}`, then `regulars dispatch {way}"
            yield Finding("care", state, f"{counted(count, 'message')} {cure}: {look}")
    late = conn.scalar(
        select(func.count()).where(
            dispatches.c.state == "pending", dispatches.c.channel.in_(MESSAGES), dispatches.c.due_at < now - _LONG_RUN
        )
    )
    if late:
        yield Finding("care", "late", f"{counted(late, 'message')} should have gone out a day ago: `regulars run`")


def _runs(conn: Connection, session: Session, now: datetime) -> Iterator[Finding]:
    last = conn.execute(select(runs).order_by(runs.c.id.desc()).limit(1)).one_or_none()
    if last is None:
        yield Finding("care", "runs", "there was no run yet: `regulars run --dry-run` shows what one would do")
        return
    when = moment(last.as_of, session.zone)
    if last.state == "red":
        yield Finding("bad", "runs", f"the last one, number {last.id} of {when}, was red: its numbers do not add up")
    elif last.finished_at is None and now - last.started_at > _LONG_RUN:
        yield Finding("care", "runs", f"number {last.id} of {when} never ended; the next one takes up what it left")
    else:
        yield Finding("good", "runs", f"the last one was number {last.id} of {when}")


def _inbox(home: Home) -> Iterator[Finding]:
    files = len(waiting(home.config))
    if files:
        yield Finding("care", "inbox", f"{counted(files, 'file')} {'waits' if files == 1 else 'wait'} for the next run")


def call_lines(page: Page, home: Home) -> None:
    """Say how to let ``run`` be called by itself."""
    for where, lines in schedule.calls(home.root):
        page.heading(where)
        page.verbatim(lines)
    names = sorted(
        {secret.reference.removeprefix("env:") for secret in _secrets(home) if secret.reference[:4] == "env:"}
    )
    if names:
        page.line()
        page.line(
            f"These know nothing of the variables of your terminal: {', '.join(names)} must be set there too, or stand "
            "in a file (file:secrets/NAME in config/regulars.yaml).",
            "care",
        )


def _secrets(home: Home) -> list[Secret]:
    config = home.config
    found: list[Secret | None] = [config.links.secret]
    if config.email.connector == "smtp" and config.email.smtp is not None:
        found.append(config.email.smtp.password)
    if config.sms.connector == "twilio" and config.sms.twilio is not None:
        found += [config.sms.twilio.account_sid, config.sms.twilio.auth_token]
    found += _webhook_secrets(config)
    return [secret for secret in found if secret is not None]


def _webhook_secrets(config: Config) -> list[Secret | None]:
    return [each.secret for each in config.webhooks.values() if each.connector == "http"]
