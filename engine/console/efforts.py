"""``validate --cost``: rules that read all guests or all orders each time, as warnings, with how many rows that are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from engine.database.complaints import DatabaseUnavailable
from engine.database.engines import open_db, reading
from engine.database.migrations import schema_is_current
from engine.evaluation.effort import Effort, efforts
from engine.language.config import CONFIG_FILE
from engine.language.keys import KeyFileError
from engine.language.phrases import phrase
from engine.language.problems import Problem, ProblemsError, whole_file
from engine.language.rule import Rule
from engine.language.yamlfile import load
from engine.vocabulary.conditions import compare
from engine.vocabulary.home import Home, load_home
from engine.vocabulary.steady import turn

#: Fewer guests than this are read in no time.
_FEW = 10_000
#: Of so large a share of all guests an index spares nothing.
_SHARE = 0.5


def costs(root: Path, environ: Mapping[str, str], now: datetime) -> list[Problem]:
    """Give a warning for each rule of which a run reads much, by the data of the home's own database.

    The database is only read. Where there is none yet, or it cannot be read, one warning says that.
    """
    with suppress(ProblemsError, KeyFileError):  # told already
        home = load_home(root, environ, now.date())
        return list(_costs(root, home, now))
    return []


def _costs(root: Path, home: Home, now: datetime) -> Iterator[Problem]:
    found: list[Effort] | None = None
    url = make_url(home.config.database_url)
    if not url.drivername.startswith("sqlite") or (url.database and Path(url.database).is_file()):
        with suppress(DatabaseUnavailable, SQLAlchemyError):
            db = open_db(home.config.database_url)
            try:
                if schema_is_current(db):
                    with reading(db).connect() as conn:
                        found = list(efforts(conn, home, now))
            finally:
                db.dispose()
    if not found or not found[0].guests:
        said = phrase("what a rule costs cannot be told yet: the database has no guests")
        cure = phrase("import the customers' and the till's files first: `regulars import FILE`")
        yield whole_file(CONFIG_FILE, said, "no-cost", hint=cure, severity="warning")
        return
    for each in found:
        problem = _told(root, home, each)
        if problem is not None:
            yield problem


def _told(root: Path, home: Home, effort: Effort) -> Problem | None:
    if effort.reads_orders and effort.orders >= _FEW:
        said = phrase("each check of this rule reads all {orders:,} orders", orders=effort.orders)
        return _at(root, home, effort, said, "reads-orders")
    if effort.looked_at < max(_FEW, effort.guests * _SHARE) or _opens_for_all_at_once(home, effort.rule):
        return None
    some, everybody = effort.looked_at, effort.guests
    said = phrase("each check of this rule looks at {some:,} of {all:,} guests", some=some, all=everybody)
    return _at(root, home, effort, said, "reads-guests")


def _opens_for_all_at_once(home: Home, rule: Rule) -> bool:
    """Tell whether on other days than that on which it opens only those are looked at of whom something came in."""
    return _word(rule) in {"every", "on_date"} and not turn(rule.conditions, home.segments, to=True)


def _word(rule: Rule) -> str:
    (word,) = rule.body["trigger"]
    return str(word)


def _at(root: Path, home: Home, effort: Effort, said: str, code: str) -> Problem | None:
    rule = effort.rule
    document = load(root / rule.path, rule.path)[0]
    if document is None:  # gone meanwhile
        return None
    at = ("trigger", _word(rule))
    return document.problem(at, said, code, on="key", hint=_cure(home, rule), severity="warning")


def _cure(home: Home, rule: Rule) -> str:
    if compare(rule.conditions, home.segments):
        return phrase('"rank" compares all guests: "schedule" makes it rarer, such as mondays at 09:00')
    if _word(rule) in {"lapsed", "at_risk"}:
        return phrase('with an "up_to" nearer to its beginning those who left long ago are left alone')
    if _word(rule) in {"every", "on_date"}:
        return phrase(
            "with conditions that no passing day can fulfil it looks at all guests on one day only: orders, visits, "
            'spend and points, with "within" only "at_least"'
        )
    return phrase('"schedule" makes it rarer: mondays at 09:00; or take a trigger that waits for something to happen')
