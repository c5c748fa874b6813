"""What was told of messages after they were accepted, on both databases: the log, the guest, the doctor."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert, select

from engine.database.consent import suppress
from engine.database.engines import open_db
from engine.database.months import month_of
from engine.database.tables import customers, delivery_events
from engine.vocabulary.home import load_home

from .conftest import AT, NOW, Regulars, lines


def test_what_came_back_is_told_by_the_log_the_guest_and_the_doctor(regulars: Regulars, either_home: Path):
    def at(*words: str):
        return regulars("--home", either_home, *words)

    def returned() -> list[str]:
        return [each["said"] for each in lines(at("doctor", "--format", "json")) if each["about"] == "returned"]

    at("approve", "--all")
    at("run", "--as-of", AT)
    assert returned() == []
    number = next(row["id"] for row in lines(at("log", "--format", "json", "--channel", "email", "--customer", "G1")))
    db = open_db(load_home(either_home, os.environ).config.database_url)
    with db.begin() as conn:
        for kind, at_moment in (("delivered", NOW), ("complained", NOW), ("complained", NOW - timedelta(days=31))):
            told = {
                "month": month_of(NOW),
                "kind": kind,
                "source": "arf",
                "key": f"{kind} {at_moment}",
                "at": at_moment,
            }
            conn.execute(insert(delivery_events).values(dispatch_id=number, code="abuse", **told))
        guests = conn.execute(select(customers).order_by(customers.c.external_id)).all()
        moments = [NOW - timedelta(days=31), NOW, NOW, NOW]
        for guest, why, moment in zip(guests, ["hard_bounce"] * 3 + ["complaint"], moments, strict=False):
            suppress(conn, guest.email_id, why, at=moment)
    db.dispose()
    (blocked, complaint) = returned()
    assert blocked.startswith("2 addresses were blocked in the last 30 days, because messages came back; ")
    assert complaint.startswith("1 complaint in the last 30 days: these guests get nothing more; ")
    rows = {row["id"]: row["delivery"] for row in lines(at("log", "--format", "json"))}
    assert {each for each, delivery in rows.items() if delivery == "complained"} == {number}
    assert set(rows.values()) == {"complained", None}
    shown = json.loads(at("customer", "show", "G1", "--format", "json").stdout)
    assert sorted(filter(None, (each["delivery"] for each in shown["messages"]))) == ["complained"]
    assert "sent, complained" in at("log", "--customer", "G1").stdout
