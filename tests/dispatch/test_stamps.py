"""The cookbook of docs/rules.md, from orders in a file to the tenth coffee; and the words of a tier that falls."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from engine.database.tables import coupons, dispatches, points, rules
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_due
from engine.evaluation.runner import run_due
from engine.intake.importer import import_file
from engine.vocabulary.home import load_home

from .world import CHICAGO, CONFIG, Clock, a_home

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"
START = datetime(2026, 5, 4, 10, tzinfo=CHICAGO).astimezone(UTC)
DAY = timedelta(days=1)
OFFERS = "free-drink:\n  name: A drink\n  item: a drink\n  valid: 14 days\n"
LOYALTY = """
ledgers:
  stamps: {}
tiers:
  by: spend
  within: 1 year
  levels:
    silver:
      name: Silver
      at: 100
    gold:
      name:
        en: Gold
        zh: 金卡
      at: 500
"""
KEEP = """
id: keep-your-tier
trigger:
  expiring:
    what: tier
    within: 14 days
actions:
  - email: keep
"""
UNTIL = "{{ customer.tier }} until {{ expiring.day | date }}, then {{ expiring.next_tier }}"
CUSTOMERS = "customer_id,name,email,email_consent,consent_at\nc1,Li Wei,li@example.com,yes,2025-01-02\n"


def cookbook():
    """The rules of the page that speak of stamps."""
    blocks = re.findall(r"```yaml\n(id: .*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return [block for block in blocks if "ledger: stamps" in block]


@pytest.fixture
def home(db, tmp_path):
    """A function that gives the home with these rules."""
    for name, subject, text in (
        ("tenth-visit", "A drink on us", "Your code is {{ coupon.code }}, and you have {{ points }} points."),
        (
            "keep",
            "Your {{ expiring.tier }}",
            f"{UNTIL}: {{{{ expiring.missing_spend | money }}}} are missing.",
        ),
    ):
        folder = tmp_path / "templates" / name
        folder.mkdir(parents=True)
        (folder / "subject.txt").write_text(subject)
        (folder / "email.txt").write_text(text)
    a_home(tmp_path, CONFIG)
    (tmp_path / "config" / "offers.yaml").write_text(OFFERS)
    (tmp_path / "config" / "loyalty.yaml").write_text(LOYALTY, encoding="utf-8")
    (tmp_path / "rules").mkdir()

    def made(*texts):
        for number, text in enumerate(texts):
            (tmp_path / "rules" / f"{number}.yaml").write_text(text)
        loaded = load_home(tmp_path, {})
        assert loaded.problems == ()
        take(db, loaded, "customers", CUSTOMERS, START - DAY)
        return loaded

    return made


def take(db, home, name, text, now):
    file = home.root / f"{name}.csv"
    file.write_text(text)
    report = import_file(db, home.config, home.key, file, now=now)
    assert (report.problem, report.refusals) == ("", [])


def go(db, home, now):
    """One run: evaluate, let staff approve, send."""
    run_due(db, home, now)
    with db.begin() as conn:
        approve(conn, None, name="Ann", now=now, mode="first")
    send_due(open_desk(db, home, now=Clock(now)))


def test_nine_stamps_make_the_tenth_coffee_free(db, home):
    first, second = cookbook()
    cafe = home(f"schedule: every 15 minutes\n{first}", f"schedule: every 15 minutes\n{second}")
    orders, items = ["order_id,customer_id,ordered_at,total"], ["order_id,line,product,category,quantity,price"]
    seen = []
    for number in range(5):  # two coffees and a cake a day
        now = START + number * DAY
        orders.append(f"o{number},c1,{now.astimezone(CHICAGO):%Y-%m-%d} 09:00,12.50")
        items += [f"o{number},1,Latte,Coffee,2,8.00", f"o{number},2,Cake,Cakes,1,4.50"]
        take(db, cafe, "orders", "\n".join(orders) + "\n", now)
        take(db, cafe, "items", "\n".join(items) + "\n", now)
        go(db, cafe, now)
        go(db, cafe, now + timedelta(hours=1))
        with db.begin() as conn:
            stamps = conn.scalars(
                select(points.c.points).where(points.c.ledger == "stamps").order_by(points.c.id)
            ).all()
            drawn = conn.scalars(select(coupons.c.code).where(coupons.c.code.is_not(None))).all()
        seen.append((sum(stamps), len(drawn)))
    assert seen == [(2, 0), (4, 0), (6, 0), (8, 0), (1, 1)]
    with db.begin() as conn:
        rows = conn.execute(
            select(rules.c.rule, dispatches.c.channel, dispatches.c.state)
            .join(rules, rules.c.id == dispatches.c.rule_id)
            .where(rules.c.rule == "the-tenth-coffee")
            .order_by(dispatches.c.step)
        ).all()
    assert [(row.channel, row.state) for row in rows] == [("points", "sent"), ("coupon", "sent"), ("email", "sent")]


def test_a_tier_that_falls_is_told_with_what_is_missing(db, home):
    cafe = home(KEEP)
    rows = "o1,c1,2025-05-14 12:00,400\no2,c1,2025-09-01 12:00,120.50\n"
    take(db, cafe, "orders", f"order_id,customer_id,ordered_at,total\n{rows}", START)
    go(db, cafe, START)
    sent = "".join(each.read_text("utf-8") for each in sorted((cafe.root / "outbox").rglob("*")) if each.is_file())
    assert "Subject: Your Gold" in sent
    assert "Gold until May 13, 2026, then Silver: $379.50 are missing." in " ".join(sent.split())
