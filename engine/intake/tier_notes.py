"""What a customers' file says of tiers is noted as a change of the day on which it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select

from engine.database.tables import tier_changes
from engine.intake import values
from engine.intake.desk import CHUNK, Desk, chunks


def note_changes(desk: Desk, moves: Mapping[int, tuple[str | None, str | None, int]]) -> None:
    """Note changes of tiers: ``{customer: (before, after, zone)}``. Two of one day are one; none where it is back."""
    c = tier_changes.c
    for chunk in chunks(sorted(moves), CHUNK):
        days = {
            number: values.day_of(desk.now_seconds, desk.zone(moves[number][2]), desk.config.day_starts)
            for number in chunk
        }
        first: dict[int, str | None] = {}
        today = select(c.customer_id, c.day, c.from_key).where(c.customer_id.in_(chunk), c.day.in_(set(days.values())))
        for row in desk.conn.execute(today).all():
            if row.day == days[row.customer_id]:
                first[row.customer_id] = row.from_key
                desk.conn.execute(delete(tier_changes).where(c.customer_id == row.customer_id, c.day == row.day))
        fresh: list[dict[str, Any]] = []
        for number in chunk:
            before, after, _ = moves[number]
            before = first.get(number, before)
            if before != after:
                day = {"customer_id": number, "day": days[number]}
                fresh.append({**day, "from_key": before, "to_key": after, "kind": "none"})
        if fresh:
            desk.conn.execute(insert(tier_changes), fresh)
