"""From rule files to messages: evaluation, approval and sending together, and journeys that outlive their rule's file."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from engine.database.consent import record_consent
from engine.database.tables import coupons, customers, dispatches
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_due, send_until
from engine.evaluation.runner import run_due
from engine.intake.importer import import_file
from engine.vocabulary.home import load_home

from .world import CHICAGO, CONFIG, Clock, a_home

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


@pytest.fixture
def root(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "win-back.yaml").write_text(WIN_BACK)
    folder = tmp_path / "templates" / "win-back"
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("We miss you")
    (folder / "email.txt").write_text("Dear {{ customer.name }}{% if coupon %}, {{ coupon.code }}{% endif %}.")
    (folder / "sms.txt").write_text("Come back{% if coupon %} with {{ coupon.code }}{% endif %}")
    a_home(tmp_path, CONFIG)
    (tmp_path / "config" / "offers.yaml").write_text(OFFERS)
    for name, text in (("customers", CUSTOMERS), ("orders", ORDERS)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


@pytest.fixture
def home(root, db):
    home = load_home(root, {})
    assert home.problems == ()
    for name in ("customers", "orders"):
        report = import_file(db, home.config, home.key, root / f"{name}.csv", now=MORNING - DAY)
        assert not report.problem
    return home


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
        desk.carriers.close()


def states(db):
    with db.begin() as conn:
        rows = conn.execute(
            select(dispatches).order_by(dispatches.c.match_id, dispatches.c.step, dispatches.c.part)
        ).all()
    return [f"{row.channel} {row.state}" + (f" {row.reason}" if row.reason else "") for row in rows]


def outbox(home):
    return sorted(file.suffix for file in (home.root / "outbox").iterdir())


def test_a_rule_becomes_a_coupon_a_mail_and_three_days_later_an_sms(db, home):
    evaluated(db, home)
    assert send(db, home, MORNING) == {"sent": 2}
    assert outbox(home) == [".eml"]
    assert send(db, home, MORNING + 2 * DAY) == {}
    assert send(db, home, MORNING + 3 * DAY) == {"sent": 1}
    assert outbox(home) == [".eml", ".txt"]
    assert send(db, home, MORNING + 4 * DAY) == {}


def test_a_coupons_days_begin_when_the_guest_first_sees_it(db, home):
    evaluated(db, home)
    with db.begin() as conn:  # another message of today keeps the mail in until tomorrow
        mail = conn.execute(select(dispatches).where(dispatches.c.channel == "email")).one()
        conn.execute(update(dispatches).where(dispatches.c.id == mail.id).values(due_at=MORNING + DAY))
    assert send(db, home, MORNING) == {"sent": 1}

    def until():
        with db.connect() as conn:
            return conn.scalar(select(coupons.c.valid_until)).astimezone(CHICAGO).date()

    assert until() == date(2026, 5, 19)
    assert send(db, home, MORNING + DAY) == {"sent": 1}
    assert until() == date(2026, 5, 20)
    assert send(db, home, MORNING + 4 * DAY) == {"sent": 1}
    assert until() == date(2026, 5, 20)


def test_a_guest_who_came_back_gets_no_reminder(db, home, root):
    evaluated(db, home)
    send(db, home, MORNING)
    (root / "orders.csv").write_text("order_id,customer_id,ordered_at,total\no3,c1,2026-05-05 12:00,8.00\n")
    import_file(db, home.config, home.key, root / "orders.csv", now=MORNING + 2 * DAY)
    assert send(db, home, MORNING + 3 * DAY) == {"cancelled": 1}
    assert states(db) == ["coupon sent", "email sent", "sms cancelled came_back"]


def test_an_edited_rule_leaves_journeys_under_way_as_they_were(db, home, root):
    evaluated(db, home)
    send(db, home, MORNING)
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK.replace("after: 30 days", "after: 40 days"))
    again = load_home(root, {})
    assert send(db, again, MORNING + 3 * DAY) == {"sent": 1}


def test_a_template_and_an_offer_that_left_the_home_are_still_there_for_those_under_way(db, home, root):
    evaluated(db, home)
    for file in (root / "templates" / "win-back").iterdir():
        file.unlink()
    (root / "config" / "offers.yaml").unlink()
    broken = load_home(root, {})
    assert broken.rules == ()
    assert send(db, broken, MORNING) == {"sent": 2}


def test_a_template_that_lost_its_sms_since_has_it_for_those_under_way(db, home, root):
    evaluated(db, home)
    (root / "templates" / "win-back" / "sms.txt").unlink()
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK.partition("  - wait")[0])
    (root / "rules" / "birthday.yaml").write_text(BIRTHDAY)
    again = load_home(root, {})
    assert again.problems == ()
    evaluated(db, again)  # remembers the newer version of the template
    send(db, again, MORNING)
    send(db, again, MORNING + 3 * DAY)
    assert "sms sent" in states(db)


def test_a_rule_that_cannot_be_read_any_more_ends_its_journeys_where_staff_see_it(db, home, root):
    (root / "config" / "segments.yaml").write_text(
        "fans:\n  conditions:\n    orders:\n      at_least: 1\n", encoding="utf-8"
    )
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK + "stop_if:\n  segment: fans\n")
    evaluated(db, load_home(root, {}))
    (root / "config" / "segments.yaml").unlink()
    again = load_home(root, {})
    send(db, again, MORNING)
    send(db, again, MORNING + 3 * DAY)
    assert states(db) == ["coupon dead rule_unreadable", "email dead rule_unreadable", "sms dead rule_unreadable"]


def test_an_opt_out_leaves_no_coupon_behind(db, home):
    evaluated(db, home)
    with db.begin() as conn:
        guest = conn.execute(select(customers).where(customers.c.external_id == "c1")).one()
        for endpoint in (guest.email_id, guest.sms_id):
            record_consent(conn, endpoint, "no", at=MORNING, source="unsubscribe link")
    send(db, home, MORNING)
    send(db, home, MORNING + 3 * DAY)
    assert states(db) == ["coupon sent", "email blocked no_consent", "sms blocked no_consent"]
    with db.begin() as conn:
        assert conn.scalar(select(coupons.c.revoked_at)) is not None


def test_a_birthday_after_a_marketing_mail_of_the_morning_goes_the_next_day(db, home, root):
    """The mail of 09:00 and the birthday of 10:00, of issue 2."""
    at_nine = MORNING - timedelta(hours=1)
    evaluated(db, home, at_nine)
    assert send(db, home, at_nine) == {"sent": 2}
    (root / "rules" / "birthday.yaml").write_text(BIRTHDAY)
    both = load_home(root, {})
    evaluated(db, both)
    send(db, both, MORNING)
    assert "email pending capped" in states(db)
    assert send(db, both, MORNING + DAY - timedelta(hours=2))["sent"] == 1
    assert "email pending capped" not in states(db)


def test_a_waiting_run_at_six_sends_at_the_opening(db, home):
    at_six = MORNING - timedelta(hours=4)
    evaluated(db, home, at_six)
    clock = Clock(at_six)
    desk = open_desk(db, home, now=clock)
    summary = send_until(desk, until=MORNING + timedelta(hours=12), sleep=clock.sleep)
    assert summary.to_json() == {"sent": 2}
    assert clock.local() == "Mon 08:00"
