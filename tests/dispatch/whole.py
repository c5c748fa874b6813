"""A whole home on disk, from rule files to messages: what tests of journeys begin with."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from engine.database.tables import dispatches
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_due
from engine.evaluation.runner import run_due

from .world import CHICAGO, Clock

MORNING = datetime(2026, 5, 4, 10, tzinfo=CHICAGO).astimezone(UTC)
DAY = timedelta(days=1)

OFFERS = "cake:\n  name: A slice of cake\n  item: a slice of cake\n  valid: 14 days\n"
WIN_BACK = """
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
  - wait: 3 days
  - sms:
      template: win-back
"""
BIRTHDAY = """
id: birthday
trigger:
  birthday: {}
actions:
  - email:
      template: win-back
"""
CUSTOMERS = """customer_id,name,email,phone,birthday,email_consent,sms_consent,consent_at
c1,Li Wei,li@example.com,+13125550101,1990-05-04,yes,yes,2026-01-02
c2,Ana Gomez,ana@example.com,+13125550102,,yes,yes,2026-01-02
"""
ORDERS = """order_id,customer_id,ordered_at,total
o1,c1,2026-03-25 12:00,12.50
o2,,2026-05-03 18:00,9.00
"""


def evaluated(db, home, at=MORNING):
    result = run_due(db, home, at)
    assert result.balanced
    with db.begin() as conn:
        approve(conn, None, name="Ana", now=at, mode="first")


def send(db, home, at):
    desk = open_desk(db, home, now=Clock(at))
    try:
        return send_due(desk).to_json()
    finally:
        desk.close()


def states(db):
    with db.begin() as conn:
        rows = conn.execute(
            select(dispatches).order_by(dispatches.c.match_id, dispatches.c.step, dispatches.c.part)
        ).all()
    return [f"{row.channel} {row.state}" + (f" {row.reason}" if row.reason else "") for row in rows]


def outbox(home):
    return sorted(file.suffix for file in (home.root / "outbox").iterdir())
