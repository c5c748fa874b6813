"""``only_if``: asked at the step's own time, and what it means for the coupon that the step would show."""

import pytest
from sqlalchemy import delete, select

from engine.database.consent import record_consent
from engine.database.tables import consents, coupons, customers
from engine.intake.importer import import_file
from engine.vocabulary.home import load_home

from .whole import DAY, MORNING, evaluated, send, states

REMINDER = """
id: win-back
trigger:
  lapsed:
    after: 30 days
    up_to: 60 days
    category: lunch
actions:
  - email: win-back
  - wait: 3 days
  - sms:
      template: win-back
      only_if:
        orders:
          since: match
          equals: 0
  - wait: 8 days  # the caps of a week
  - email:
      template: win-back
"""
GIFT = """
id: win-back
trigger:
  lapsed:
    after: 30 days
    up_to: 60 days
actions:
  - coupon: cake
  - email:
      template: gift
      only_if:
        city: Springfield
"""


@pytest.fixture
def with_rule(root, db, home):
    def made(text):
        (root / "rules" / "win-back.yaml").write_text(text)
        folder = root / "templates" / "gift"
        folder.mkdir(exist_ok=True)
        (folder / "subject.txt").write_text("A gift")
        (folder / "email.txt").write_text("Show {{ coupon.code }}")
        (folder / "sms.txt").write_text("Show {{ coupon.code }}")
        (root / "items.csv").write_text("order_id,line,product,category,quantity,price\no1,1,Soup,Lunch,1,12.50\n")
        import_file(db, home.config, home.key, root / "items.csv", now=MORNING - DAY)
        again = load_home(root, {})
        assert again.problems == ()
        evaluated(db, again)
        return again

    return made


def ordered(root, db, home, at, number="o3"):
    (root / "orders.csv").write_text(f"order_id,customer_id,ordered_at,total\n{number},c1,{at:%Y-%m-%d} 12:00,8.00\n")
    assert not import_file(db, home.config, home.key, root / "orders.csv", now=at + DAY / 2).problem


def test_a_step_whose_conditions_hold_at_its_time_is_done(db, with_rule):
    home = with_rule(REMINDER)
    for day in (0, 3, 11):
        send(db, home, MORNING + day * DAY)
    assert states(db) == ["email sent", "sms sent", "email sent"]


def test_a_step_whose_conditions_do_not_hold_is_left_out_alone(db, root, with_rule):
    home = with_rule(REMINDER)
    send(db, home, MORNING)
    ordered(root, db, home, MORNING + DAY)
    for day in (3, 11):
        send(db, home, MORNING + day * DAY)
    assert states(db) == ["email sent", "sms cancelled only_if", "email sent"]


def test_an_order_after_the_steps_time_changes_nothing(db, root, with_rule):
    home = with_rule(REMINDER)
    for day in (0, 3):
        send(db, home, MORNING + day * DAY)
    ordered(root, db, home, MORNING + 4 * DAY)
    send(db, home, MORNING + 11 * DAY)
    assert states(db) == ["email sent", "sms sent", "email sent"]


def test_what_came_before_the_match_does_not_count_as_since(db, root, with_rule):
    home = with_rule(REMINDER.replace("equals: 0", "at_least: 1"))
    for day in (0, 3, 11):
        send(db, home, MORNING + day * DAY)
    assert states(db) == ["email sent", "sms cancelled only_if", "email sent"]


def test_no_coupon_is_issued_for_a_message_that_is_left_out(db, with_rule):
    home = with_rule(GIFT)
    assert send(db, home, MORNING)["cancelled"] == 1
    assert states(db) == ["coupon cancelled no_message", "email cancelled only_if"]
    with db.connect() as conn:
        assert conn.execute(select(coupons.c.code, coupons.c.issued_at)).one() == (None, None)


def test_a_coupon_is_issued_for_a_later_message_that_may_still_go(db, root, with_rule):
    later = "  - wait: 2 days\n  - sms:\n      template: gift\n"
    home = with_rule(GIFT + later)
    assert send(db, home, MORNING) == {"sent": 1, "cancelled": 1}
    assert states(db) == ["coupon sent", "email cancelled only_if", "sms pending"]
    assert send(db, home, MORNING + 2 * DAY) == {"sent": 1}


def test_a_coupon_that_only_messages_left_out_later_could_show_is_taken_back(db, root, with_rule):
    later = "  - wait: 2 days\n  - sms:\n      template: gift\n      only_if:\n        city: Springfield\n"
    home = with_rule(GIFT + later)
    send(db, home, MORNING)
    send(db, home, MORNING + 2 * DAY)
    assert states(db) == ["coupon sent", "email cancelled only_if", "sms cancelled only_if"]
    with db.connect() as conn:
        assert conn.scalar(select(coupons.c.revoked_at)) is not None


def test_implied_consent_reaches_in_the_step_as_it_did_in_the_match(db, root, with_rule):
    """In Canada who ordered lately may be written to: a step that asks says so too, with no ``stop_if`` beside it."""
    config = root / "config" / "regulars.yaml"
    config.write_text(config.read_text().replace("country: US", "country: CA"))
    home = with_rule(GIFT.replace("city: Springfield", "reachable: email"))
    with db.begin() as conn:
        guest = conn.execute(select(customers).where(customers.c.external_id == "c1")).one()
        conn.execute(delete(consents).where(consents.c.endpoint_id == guest.email_id))
        record_consent(conn, guest.email_id, "yes", at=MORNING - 40 * DAY, source="till", basis="implied")
    assert send(db, home, MORNING) == {"sent": 2}
    assert states(db) == ["coupon sent", "email sent"]
