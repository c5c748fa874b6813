"""What the database remembers of the rule files: their rows, versions, approval and whether they are switched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select, update

from engine.database.sql import upsert
from engine.database.tables import contents, rule_versions, rules, zones
from engine.language.rule import Rule
from engine.language.templates import Template
from engine.language.times import business_day
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Zone

#: What a version keeps of its home besides the rule itself: names under which it stands in ``body``.
KEPT: Final = ("segments", "attributes")


@dataclass(frozen=True)
class Registered:
    """A rule's row. ``watermark`` is the ``as_of`` of its last evaluation."""

    id: int
    watermark: datetime | None
    approved: bool  #: approved at least once
    approved_now: bool  #: approved as it stands now


def register(conn: Connection, home: Home, as_of: datetime) -> dict[str, Registered]:
    """Bring ``rules`` in line with the files: new ones in, their hash and switch renewed.

    A rule whose file is gone is switched off, so that nothing under way goes out. While any file is broken none is
    taken for gone. Gives the registered rules by id.
    """
    today = business_day(as_of, home.config.business.timezone, home.config.day_starts)
    for rule in home.rules:
        values = {"path": rule.path, "content_hash": rule.content_hash, "active": rule.active.on(today)}
        conn.execute(
            upsert(conn, rules)
            .values(rule=rule.id, **values)
            .on_conflict_do_update(index_elements=["rule"], set_=values)
        )
    known = {rule.id for rule in home.rules}
    rows = conn.execute(select(rules)).all()
    gone = [row.id for row in rows if row.rule not in known and row.active]
    # A file that cannot be read may be any rule's, renamed; and no file at all is a folder that is not there now.
    if gone and known and not home.broken:
        conn.execute(update(rules).where(rules.c.id.in_(gone)).values(active=False))
    return {
        row.rule: Registered(
            row.id, row.watermark, row.approved_hash is not None, row.approved_hash == row.content_hash
        )
        for row in rows
    }


def version_row(conn: Connection, rule: Rule, rule_row: int, as_of: datetime, home: Home) -> int:
    """Give the row of this version of the rule; a journey under way keeps it.

    With it, under the names ``KEPT``, stands what it means in this home: the conditions of its segments as they are
    written, and of which types the owner's own columns are, as the rule was evaluated with last.
    """
    found = select(rule_versions.c.id, rule_versions.c.body).where(
        rule_versions.c.rule_id == rule_row, rule_versions.c.content_hash == rule.version_hash
    )
    around = {"segments": dict(home.segment_data), "attributes": dict(home.config.attributes)}
    body = {**rule.body, **{name: around[name] for name in KEPT if around[name]}}
    known = conn.execute(found).one_or_none()
    if known is None:
        conn.execute(
            upsert(conn, rule_versions)
            .values(rule_id=rule_row, content_hash=rule.version_hash, body=body, first_at=as_of)
            .on_conflict_do_nothing(index_elements=["rule_id", "content_hash"])
        )
        known = conn.execute(found).one()
    if known.body != body:
        conn.execute(update(rule_versions).where(rule_versions.c.id == known.id).values(body=body))
    return int(known.id)


def content_rows(conn: Connection, rule: Rule, templates: Mapping[str, Template]) -> dict[str, int]:
    """Give the rows of the templates' versions that the rule's steps use, by template name."""
    rows: dict[str, int] = {}
    for step in rule.steps:
        name = getattr(step.settings, "template", None)
        if name is None or name in rows:
            continue
        template = templates[name]
        found = select(contents.c.id).where(contents.c.hash == template.hash, contents.c.template == name)
        row = conn.scalar(found)
        if row is None:
            conn.execute(
                upsert(conn, contents)
                .values(hash=template.hash, template=name, files=dict(template.files))
                .on_conflict_do_nothing(index_elements=["hash", "template"])
            )
            row = conn.scalar(found)
        assert row is not None
        rows[name] = int(row)
    return rows


def zones_in_use(conn: Connection) -> list[Zone]:
    """Give every zone that customers and stores are in."""
    return [Zone(row.id, ZoneInfo(row.name)) for row in conn.execute(select(zones).order_by(zones.c.id))]


def remember_watermark(conn: Connection, rule_row: int, as_of: datetime, *, latest: datetime) -> None:
    """Note that the rule was evaluated at ``as_of``; the watermark never goes back, but for one beyond ``latest``."""
    mark = rules.c.watermark
    moves = or_(mark.is_(None), mark < as_of, mark > latest)
    conn.execute(update(rules).where(rules.c.id == rule_row, moves).values(watermark=as_of))
