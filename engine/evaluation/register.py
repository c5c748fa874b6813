"""What the database remembers of the rule files: their rows, versions, approval and whether they are switched on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from engine.database.sql import EpochSeconds, Id, upsert
from engine.database.tables import contents, rule_versions, rules, zones
from engine.language.rule import Rule
from engine.language.templates import Template
from engine.language.times import business_day
from engine.vocabulary.home import Home
from engine.vocabulary.scope import Zone

#: To be raised when a word comes to find other guests than before: then every rule looks at everybody once.
_FORM: Final = 1
#: What a version keeps of its home besides the rule itself: names under which it stands in ``body``.
KEPT: Final = ("segments", "attributes")

_CONTENTS: Final = select(contents.c.id, contents.c.template, contents.c.hash).where(
    contents.c.hash.in_(bindparam("hashes", expanding=True))
)
_MARK: Final = rules.c.watermark
_AS_OF: Final = bindparam("as_of", type_=EpochSeconds)
_MARKED: Final = (
    update(rules)
    .where(rules.c.id == bindparam("rule_row", type_=Id))
    .where(or_(_MARK.is_(None), _MARK < _AS_OF, bindparam("latest", type_=EpochSeconds) < _MARK))
    .values(watermark=_AS_OF, seen_hash=bindparam("hash"), seen_tick=bindparam("tick"))
)


class Seen(NamedTuple):
    """What an evaluation knows: the hash of what it looks for, and the tick up to which it has seen the facts."""

    hash: bytes | None
    tick: int | None


class Version(NamedTuple):
    """A version of a rule as it is written down."""

    id: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Registered:
    """A rule's row. ``watermark`` is the ``as_of`` of its last evaluation, ``seen`` what that knew."""

    id: int
    watermark: datetime | None
    seen: Seen
    approved: bool  #: approved at least once
    approved_now: bool  #: approved as it stands now


def register(conn: Connection, home: Home, as_of: datetime) -> dict[str, Registered]:
    """Bring ``rules`` in line with the files: new ones in, their hash and switch renewed.

    A rule whose file is gone is switched off, so that nothing under way goes out. While any file is broken none is
    taken for gone. Gives the registered rules by id.
    """
    today = business_day(as_of, home.config.business.timezone, home.config.day_starts)
    rows = _known(conn)
    written: list[dict[str, Any]] = [
        {"rule": rule.id, "path": rule.path, "content_hash": rule.content_hash, "active": rule.active.on(today)}
        for rule in home.rules
    ]
    changed = [values for values in written if not _stands(rows.get(values["rule"]), values)]
    if changed:
        made = upsert(conn, rules)
        anew = {name: made.excluded[name] for name in ("path", "content_hash", "active")}
        conn.execute(made.on_conflict_do_update(index_elements=["rule"], set_=anew), changed)
        rows = _known(conn)
    known = {rule.id for rule in home.rules}
    gone = [row.id for row in rows.values() if row.rule not in known and row.active]
    # A file that cannot be read may be any rule's, renamed; and no file at all is a folder that is not there now.
    if gone and known and not home.broken:
        conn.execute(update(rules).where(rules.c.id.in_(gone)).values(active=False))
    return {
        row.rule: Registered(
            row.id,
            row.watermark,
            Seen(row.seen_hash, row.seen_tick),
            row.approved_hash is not None,
            row.approved_hash == row.content_hash,
        )
        for row in rows.values()
    }


def _known(conn: Connection) -> dict[str, Row[*tuple[Any, ...]]]:
    return {row.rule: row for row in conn.execute(select(rules))}


def _stands(row: Row[*tuple[Any, ...]] | None, values: Mapping[str, Any]) -> bool:
    """Tell whether nothing is to be written: on most days no file has changed."""
    return row is not None and all(getattr(row, name) == value for name, value in values.items())


def versions_at_hand(conn: Connection, home: Home) -> dict[tuple[int, bytes], Version]:
    """Give the versions that are written down of the home's rules as they stand, by the rule's row and hash."""
    v = rule_versions.c
    asked = select(v.rule_id, v.content_hash, v.id, v.body).where(
        v.content_hash.in_([rule.version_hash for rule in home.rules])
    )
    return {(rule, hashed): Version(number, body) for rule, hashed, number, body in conn.execute(asked)}


def version_row(
    conn: Connection, rule: Rule, rule_row: int, as_of: datetime, home: Home, *, at_hand: Version | None = None
) -> int:
    """Give the row of this version of the rule; a journey under way keeps it.

    With it, under the names ``KEPT``, stands what it means in this home: the conditions of its segments as they are
    written, and of which types the owner's own columns are, as the rule was evaluated with last. ``at_hand`` is what is
    known to be written down.
    """
    around = {"segments": dict(home.segment_data), "attributes": dict(home.config.attributes)}
    body = {**rule.body, **{name: around[name] for name in KEPT if around[name]}}
    known = at_hand
    if known is None:
        found = select(rule_versions.c.id, rule_versions.c.body).where(
            rule_versions.c.rule_id == rule_row, rule_versions.c.content_hash == rule.version_hash
        )
        conn.execute(
            upsert(conn, rule_versions)
            .values(rule_id=rule_row, content_hash=rule.version_hash, body=body, first_at=as_of)
            .on_conflict_do_nothing(index_elements=["rule_id", "content_hash"])
        )
        known = Version(*conn.execute(found).one())
    if known.body != body:
        conn.execute(update(rule_versions).where(rule_versions.c.id == known.id).values(body=body))
    return int(known.id)


def contents_at_hand(conn: Connection, templates: Mapping[str, Template]) -> dict[str, int]:
    """Give the rows of the templates' versions that are written down, by template name."""
    hashes = [template.hash for template in templates.values()]
    found = conn.execute(_CONTENTS, {"hashes": hashes}) if templates else ()
    return {name: int(row) for row, name, hashed in found if name in templates and hashed == templates[name].hash}


def content_rows(
    conn: Connection, rule: Rule, templates: Mapping[str, Template], at_hand: Mapping[str, int]
) -> dict[str, int]:
    """Give the rows of the templates' versions that the rule's steps use, by template name.

    ``at_hand`` is what is known to be written down.
    """
    named = (getattr(step.settings, "template", None) for step in rule.steps)
    used = {name: templates[name] for name in named if name is not None}
    missing = [
        {"hash": template.hash, "template": name, "files": dict(template.files)}
        for name, template in used.items()
        if name not in at_hand
    ]
    if not missing:
        return {name: at_hand[name] for name in used}
    conn.execute(upsert(conn, contents).on_conflict_do_nothing(index_elements=["hash", "template"]), missing)
    return contents_at_hand(conn, used)


def zones_in_use(conn: Connection) -> list[Zone]:
    """Give every zone that customers and stores are in."""
    return [Zone(row.id, ZoneInfo(row.name)) for row in conn.execute(select(zones).order_by(zones.c.id))]


def looked_for(rule: Rule, home: Home) -> bytes:
    """Give the hash of all that says whom the rule's trigger and conditions find, beside the data and the time."""
    rests_on = {
        "form": _FORM,
        "rule": {key: rule.body[key] for key in ("trigger", "conditions") if key in rule.body},
        "segments": dict(home.segment_data),
        "attributes": dict(home.config.attributes),
        "day_starts": str(home.config.day_starts),
        "tiers": repr(home.tier_plan),
    }
    return hashlib.sha256(json.dumps(rests_on, sort_keys=True, ensure_ascii=False).encode()).digest()


def remember_watermark(conn: Connection, rule_row: int, as_of: datetime, *, latest: datetime, seen: Seen) -> None:
    """Note that the rule was evaluated at ``as_of``; the watermark never goes back, but for one beyond ``latest``."""
    asked = {"rule_row": rule_row, "as_of": as_of, "latest": latest}
    conn.execute(_MARKED, {**asked, "hash": seen.hash, "tick": seen.tick})
