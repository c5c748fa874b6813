"""From rule files to messages: evaluation, approval and sending together, and journeys that outlive their rule's file."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from engine.database.consent import record_consent
from engine.database.tables import coupons, customers, dispatches, rule_versions
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_until
from engine.intake.importer import import_file
from engine.vocabulary.home import load_home

from .whole import BIRTHDAY, DAY, MORNING, WIN_BACK, evaluated, outbox, send, states
from .world import CHICAGO, Clock


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


@pytest.mark.parametrize(("visits", "ends"), [(1, "cancelled stop_if"), (2, "sent")])
def test_a_segment_that_left_the_home_is_still_asked_for_those_under_way(db, root, home, visits, ends):
    segments = root / "config" / "segments.yaml"
    segments.write_text(
        f"fans:\n  conditions:\n    segment: guests\nguests:\n  conditions:\n    visits:\n      at_least: {visits}\n"
    )
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK + "stop_if:\n  segment: fans\n")
    evaluated(db, load_home(root, {}))
    segments.unlink()
    again = load_home(root, {})
    assert again.rules == ()
    send(db, again, MORNING)
    send(db, again, MORNING + 3 * DAY)
    assert states(db) == [f"{channel} {ends}" for channel in ("coupon", "email", "sms")]


def test_a_topic_that_left_the_config_is_still_asked_about(db, root, home):
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK + "topic: offers\n")
    evaluated(db, load_home(root, {}))
    config = root / "config" / "regulars.yaml"
    config.write_text(config.read_text() + "topics:\n  - news\n")
    again = load_home(root, {})
    send(db, again, MORNING)
    with db.begin() as conn:
        guest = conn.execute(select(customers).where(customers.c.external_id == "c1")).one()
        record_consent(conn, guest.sms_id, "no", at=MORNING, source="form", topic="offers")
    send(db, again, MORNING + 3 * DAY)
    assert states(db)[:2] == ["coupon sent", "email sent"]
    assert states(db)[2].startswith("sms blocked")


def test_hours_that_no_longer_meet_the_rules_are_the_fences_business(db, root, home):
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK + "send:\n  between: 10:00-12:00\n")
    evaluated(db, load_home(root, {}))
    config = root / "config" / "regulars.yaml"
    config.write_text(config.read_text() + "hours:\n  email: 13:00-21:00\n")
    send(db, load_home(root, {}), MORNING)
    assert states(db) == ["coupon sent", "email expired never_open", "sms pending"]


def test_a_journey_in_a_branch_goes_on_there_when_the_rule_is_edited(db, root, home):
    split = """  - split:
      text:
        share: 100%
        actions:
          - wait: 3 days
          - sms:
              template: win-back
              only_if:
                orders:
                  since: match
                  equals: 0
      none:
        share: 1%
        actions: []
"""
    branches = split.replace("share: 100%", "share: 99%")
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK.partition("  - wait")[0] + branches)
    again = load_home(root, {})
    assert again.problems == ()
    evaluated(db, again)
    send(db, again, MORNING)
    (root / "rules" / "win-back.yaml").write_text(WIN_BACK.partition("  - wait")[0])
    assert send(db, load_home(root, {}), MORNING + 3 * DAY) == {"sent": 1}
    assert states(db) == ["coupon sent", "email sent", "sms sent"]


def test_a_version_that_nobody_can_read_ends_its_journeys_where_staff_see_it(db, home):
    evaluated(db, home)
    with db.begin() as conn:
        conn.execute(update(rule_versions).values(content_hash=b"?" * 32, body={"trigger": {"x": 1}, "actions": []}))
    again = load_home(home.root, {})
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
