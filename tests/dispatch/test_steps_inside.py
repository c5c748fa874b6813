"""Points and tags as steps of a rule: written once, in the claim's transaction, with the facts that rest on them."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from engine.database.facts import rebuild
from engine.database.ledger import settle
from engine.database.tables import (
    customer_facts,
    customers,
    order_items,
    orders,
    points,
    products,
    tags,
    tier_changes,
)
from engine.dispatch.claims import claim_steps
from engine.dispatch.erasure import erase
from engine.dispatch.inside import do_all
from engine.dispatch.stages import send_due
from engine.language.loyalty import Ledger, Level, Loyalty, Tiers
from engine.language.rule import Step
from engine.language.times import Duration
from engine.vocabulary.loyalty_actions import Points, Tag

from .world import CHICAGO, NOW, Clock, a_desk, a_home

YEAR = Duration.parse("1 year")
LOYALTY = Loyalty(
    {"points": Ledger("points", "points", YEAR), "stamps": Ledger("stamps", "stamps", None, multiples=False)},
    Tiers(
        "spend",
        YEAR,
        (Level("silver", "Silver", 20_000, Decimal("1.25")), Level("gold", "Gold", 50_000, Decimal("1.5"))),
    ),
)


def some_points(add, per=None, ledger="points"):
    return Step(1, "points", Points(Decimal(str(add)), per, ledger, 100, LOYALTY))


def do_steps(cafe, now=NOW):
    with cafe.db.begin() as conn:
        held = claim_steps(conn, now=now, holder="here:1:a", limit=100)
        return [f"{each.after} {each.reason or ''}".strip() for each in do_all(conn, held, cafe.policy, now)]


def queue(cafe, guest, step, **match):
    """One match of a rule with this one step; gives the dispatch's id."""
    found = cafe.match(guest, rule=cafe.rule(step), **match)
    return cafe.dispatch(found, guest, step.word, content_id=None)


def facts_now(cafe):
    with cafe.db.begin() as conn:
        rebuild(conn, NOW)


def entries(cafe):
    with cafe.db.begin() as conn:
        rows = conn.execute(select(points).order_by(points.c.id)).all()
    return [(row.points, row.ledger, row.source) for row in rows]


def balance(cafe, guest):
    with cafe.db.begin() as conn:
        return conn.scalar(select(customer_facts.c.points).where(customer_facts.c.customer_id == guest.id))


def an_order(cafe, guest, total=1250, items=()):
    values = {"source": "csv", "external_id": f"o{next(cafe.numbers)}", "customer_id": guest.id, "ordered_at": NOW}
    with cafe.db.begin() as conn:
        order = conn.scalar(
            insert(orders).values(**values, day=date(2026, 5, 4).toordinal(), total=total).returning(orders.c.id)
        )
        for line, (name, quantity) in enumerate(items):
            product = conn.scalar(select(products.c.id).where(products.c.name_key == name))
            if product is None:
                made = insert(products).values(name=name, name_key=name, category_key="")
                product = conn.scalar(made.returning(products.c.id))
            conn.execute(
                insert(order_items).values(
                    order_id=order, line=str(line), product_id=product, quantity=quantity, price=1
                )
            )
    return order


def test_points_are_added_once_with_their_last_day_and_the_facts_know_of_them(cafe):
    guest = cafe.guest()
    facts_now(cafe)
    done = queue(cafe, guest, some_points(10))
    assert do_steps(cafe) == ["sent"]
    assert do_steps(cafe) == []
    assert (cafe.outcome(done), cafe.row(done).finished_at) == ("sent", NOW)
    with cafe.db.begin() as conn:
        row = conn.execute(select(points)).one()
    assert (row.points, row.source, row.external_id, row.at) == (10, "regulars", f"dispatch-{done}", NOW)
    assert row.expires_at == datetime(2027, 5, 5, 4, tzinfo=CHICAGO)  # the 4th of May is the last whole day
    assert row.reason.startswith("rule-")
    assert balance(cafe, guest) == 10


def test_a_ledger_without_a_rule_lasts_for_ever_and_is_not_in_the_balance_of_points(cafe):
    guest = cafe.guest()
    facts_now(cafe)
    queue(cafe, guest, some_points(1, ledger="stamps"))
    assert do_steps(cafe) == ["sent"]
    with cafe.db.begin() as conn:
        assert conn.scalar(select(points.c.expires_at)) is None
    assert (entries(cafe), balance(cafe, guest)) == ([(1, "stamps", "regulars")], 0)


def test_taking_never_goes_below_zero_also_from_lots_that_expire(cafe):
    guest = cafe.guest()
    with cafe.db.begin() as conn:
        for number, (many, expires) in enumerate([(5, NOW + timedelta(days=1)), (7, None), (9, NOW)]):
            conn.execute(
                insert(points).values(
                    source="csv", external_id=str(number), customer_id=guest.id, at=NOW - timedelta(days=9), points=many,
                    expires_at=expires,
                )
            )  # fmt: skip
        settle(conn, [guest.id])
    facts_now(cafe)
    assert balance(cafe, guest) == 12
    queue(cafe, guest, some_points(-8))
    queue(cafe, guest, some_points(-8))
    nothing = queue(cafe, guest, some_points(-8))
    assert do_steps(cafe) == ["sent", "sent", "cancelled no_points"]
    assert [number for number, _, source in entries(cafe) if source == "regulars"] == [-8, -4]
    assert balance(cafe, guest) == 0
    assert cafe.outcome(nothing) == "cancelled: no_points"


@pytest.mark.parametrize(
    ("step", "tier", "added"),
    [
        (some_points(3, "order"), None, 3),
        (some_points(3, "order"), "silver", 3),  # 3.75: what is not whole is left out
        (some_points(3, "order"), "gold", 4),
        (some_points(2, "item"), None, 7),  # three and a half items
        (some_points(1, "spend"), None, 12),
        (some_points(1, "spend"), "gold", 18),  # 18.75
        (some_points("0.1", "spend"), None, 1),
        (some_points(1, "order", "stamps"), "gold", 1),
        (some_points(5), "gold", 5),  # a gift is not multiplied
    ],
)
def test_points_for_an_order(cafe, step, tier, added):
    guest = cafe.guest(tier_key=tier)
    order = an_order(cafe, guest, 1250, [("latte", 2000), ("cake", 1500)])
    facts_now(cafe)
    queue(cafe, guest, step, order_id=order)
    assert do_steps(cafe) == ["sent"]
    assert [number for number, _, _ in entries(cafe)] == [added]


def test_an_order_that_was_given_back_brings_nothing(cafe):
    guest = cafe.guest()
    order = an_order(cafe, guest, 0)
    facts_now(cafe)
    queue(cafe, guest, some_points(1, "spend"), order_id=order)
    queue(cafe, guest, some_points(1, "spend"))
    assert do_steps(cafe) == ["cancelled no_points"] * 2
    assert entries(cafe) == []


def worn(cafe, guest):
    with cafe.db.begin() as conn:
        rows = conn.execute(select(tags).where(tags.c.customer_id == guest.id).order_by(tags.c.tag))
        return [(row.tag, row.at, row.by_rule) for row in rows]


def test_tags_are_given_and_taken_and_keep_the_time_they_were_given_first(cafe):
    guest, other = cafe.guest(), cafe.guest()
    early = datetime(2026, 1, 1, tzinfo=UTC)
    with cafe.db.begin() as conn:
        for tag in ("vip", "newcomer", "vegan"):
            conn.execute(insert(tags).values(customer_id=guest.id, tag=tag, at=early))
        conn.execute(insert(tags).values(customer_id=other.id, tag="newcomer"))
    queue(cafe, guest, Step(1, "tag", Tag(("vip", "big-spender"), ("newcomer", "nobody"))))
    assert do_steps(cafe) == ["sent"]
    assert worn(cafe, guest) == [("big-spender", NOW, True), ("vegan", early, False), ("vip", early, True)]
    assert worn(cafe, other) == [("newcomer", None, False)]


def test_erasure_the_rule_and_stop_if_hold_for_points_too(cafe):
    guest = cafe.guest()
    facts_now(cafe)
    cafe.why_stopped = lambda *_: "stop_if"
    queue(cafe, guest, some_points(10))
    assert do_steps(cafe) == ["cancelled stop_if"]
    cafe.why_stopped = lambda *_: None
    queue(cafe, guest, some_points(10))
    with cafe.db.begin() as conn:
        conn.execute(update(customers).values(erased_at=NOW))
    assert do_steps(cafe) == ["blocked erased"]
    assert entries(cafe) == []


def test_an_erased_guest_wears_no_tag_and_had_no_tier_and_gets_no_more_points(cafe, tmp_path):
    guest = cafe.guest()
    facts_now(cafe)
    queue(cafe, guest, Step(1, "tag", Tag(("vip",))))
    queue(cafe, guest, some_points(10))
    with cafe.db.begin() as conn:
        conn.execute(insert(tier_changes).values(customer_id=guest.id, day=739_000, to_key="gold", kind="none"))
    assert do_steps(cafe) == ["sent", "sent"]
    waiting = queue(cafe, guest, some_points(5))
    erase(cafe.db, a_home(tmp_path), guest.id, now=NOW, actor="Ana")
    assert (worn(cafe, guest), cafe.outcome(waiting), do_steps(cafe)) == ([], "blocked: erased", [])
    with cafe.db.begin() as conn:
        assert conn.execute(select(tier_changes)).all() == []
        assert [(row.points, row.reason) for row in conn.execute(select(points))] == [(10, None)]


def test_no_consent_is_needed(cafe):
    guest = cafe.guest(email_id=None, sms_id=None)
    facts_now(cafe)
    queue(cafe, guest, some_points(10))
    assert do_steps(cafe) == ["sent"]


def test_a_rule_that_cannot_be_read_stops_its_own_step_and_no_other(cafe):
    guest = cafe.guest()
    facts_now(cafe)
    broken = queue(cafe, guest, Step(2, "points", Points(Decimal(1))))  # the version has no step 1
    good = queue(cafe, guest, some_points(2))
    assert do_steps(cafe) == ["dead rule_unreadable", "sent"]
    assert (cafe.outcome(broken), cafe.outcome(good)) == ("dead: rule_unreadable", "sent")


def test_a_message_waits_for_the_points_that_it_speaks_of(cafe, tmp_path):
    guest = cafe.guest()
    facts_now(cafe)
    match = cafe.match(guest, rule=cafe.rule(some_points(10), *(Step(2, "email", None),)))
    cafe.dispatch(match, guest, "points", content_id=None, state="held")
    mail = cafe.dispatch(match, guest, step=2)
    send_due(a_desk(cafe, a_home(tmp_path), Clock()))
    assert cafe.outcome(mail) == "pending"


def test_two_workers_at_once_add_once_and_settle_one_ledger_together(cafe):
    guest = cafe.guest()
    facts_now(cafe)
    for _ in range(12):
        queue(cafe, guest, some_points(10))
        queue(cafe, guest, some_points(-3))
    barrier = threading.Barrier(4)
    failed = []

    def work():
        barrier.wait()
        try:
            while do_steps(cafe):
                pass
        except Exception as error:  # noqa: BLE001 (told by the assertion)
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert failed == []
    added = [number for number, _, _ in entries(cafe)]
    assert added.count(10) == 12
    assert balance(cafe, guest) == sum(added) >= 12 * 7


KILLED = """
import os, sys
from datetime import datetime
sys.path.insert(0, {tests!r})
from dispatch.test_steps_inside import some_points
from dispatch.world import NOW, Cafe, a_rule
from engine.database.engines import open_db
from engine.dispatch import inside
from engine.dispatch.claims import claim_steps

class AnyRule(dict):
    def __missing__(self, key):
        return a_rule(steps=(some_points(10),))

cafe = Cafe(open_db({url!r}), rules=AnyRule())
with cafe.db.begin() as conn:
    held = claim_steps(conn, now=NOW, holder="there:1:b", limit=100)
    assert [each.after for each in inside.do_all(conn, held, cafe.policy, NOW)] == ["sent"]
    if {when!r} == "before":
        os.kill(os.getpid(), 9)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("when", "left"), [("before", ["sent"]), ("after", [])])
def test_killed_before_or_after_the_commit_the_points_are_there_once(cafe, when, left):
    guest = cafe.guest()
    facts_now(cafe)
    done = queue(cafe, guest, some_points(10))
    url = cafe.db.url.render_as_string(hide_password=False)
    program = KILLED.format(tests=str(Path(__file__).parents[1]), url=url, when=when)
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stderr) == (-9, "")
    assert do_steps(cafe) == left
    assert (cafe.state(done), [number for number, _, _ in entries(cafe)], balance(cafe, guest)) == ("sent", [10], 10)


@given(st.integers(1, 50), st.integers(0, 100_000), st.sampled_from([None, "silver", "gold"]))
def test_earning_by_spend_is_whole_and_never_more_than_the_sum(add, total, tier):
    multiple = {None: 1, "silver": Decimal("1.25"), "gold": Decimal("1.5")}[tier]
    earned = Points(Decimal(add), "spend", "points", 100, LOYALTY).earned(Decimal(total), tier)
    assert earned <= Decimal(add) * total / 100 * multiple < earned + 1
