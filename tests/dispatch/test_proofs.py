"""What `regulars verify` proves: a sound history passes, and each kind of wrong row is named with its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from connectors.base import Outcome
from engine.database.engines import integrity, snapshot
from engine.database.months import month_of
from engine.database.tables import audit, budget_uses, channels, coupons, delivery_events, dispatches, matches, runs
from engine.dispatch.approve import cancel
from engine.dispatch.fence import UnreadableRuleError
from engine.dispatch.journal import KEPT
from engine.dispatch.leaks import leaks
from engine.dispatch.origins import origins
from engine.dispatch.outbox import requeue
from engine.dispatch.proofs import NAMED, Noted, prove
from engine.dispatch.stages import send_due
from engine.dispatch.tallies import recount
from engine.language.budgets import Budget
from engine.language.rule import Step
from engine.vocabulary.actions import Email

from .world import NOW, Budgets, Clock, Sink, a_desk, a_home

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ONE = Step(1, "email", Email("win-back"))


@dataclass(frozen=True)
class Record:
    dispatch_id: int
    token: int
    at: datetime = NOW


def proofs(cafe, *, journal=None, now=NOW, rule=None, sender="", meanwhile=lambda: None):
    with snapshot(cafe.db).connect() as conn:
        noted = None if journal is None else Noted.read(conn, journal)
    meanwhile()
    with snapshot(cafe.db).connect() as conn:
        read = rule or cafe.policy.rule
        found = list(prove(conn, journal=noted, rule=read, now=now, progress=lambda _: None, sender=sender))
        return {each.name: each for each in [*found, origins(conn), leaks(conn)]}


def wrong(cafe, **how):
    return {
        name: [(each.invariant, each.dispatch_id, each.said) for each in proof.problems]
        for name, proof in proofs(cafe, **how).items()
        if proof.wrong
    }


@pytest.fixture
def sound(cafe, tmp_path):
    """A café that has sent, been refused and not been answered, under a budget; and one coupon issued."""
    cafe.budgets = Budgets({"email": Budget(100, "day"), "coupons": Budget(100, "day")})
    rule = cafe.rule(ONE)
    for _ in range(4):
        cafe.message(rule=rule)
    guest = cafe.guest()
    journey = cafe.match(
        guest, rule=cafe.rule(Step(1, "email", Email("win-back")), Step(2, "email", Email("win-back")))
    )
    cafe.coupon(journey, guest)
    cafe.dispatch(journey, guest, step=2)
    answers = [
        Outcome("sent", "250"),
        Outcome("no", "550 5.1.1", endpoint="hard"),
        Outcome("unknown", "timeout at dot"),
    ]
    send_due(a_desk(cafe, a_home(tmp_path), Clock(), email=Sink(answers)))
    return cafe


def ids(cafe, *where):
    with cafe.db.begin() as conn:
        return list(conn.scalars(select(dispatches.c.id).where(*where).order_by(dispatches.c.id)))


def records(cafe):
    with cafe.db.begin() as conn:
        rows = conn.execute(select(audit).where(audit.c.after == "handoff").order_by(audit.c.id.desc()))
        return [Record(row.dispatch_id, row.token) for row in rows]


def test_what_the_engine_wrote_holds(sound):
    assert wrong(sound, journal=records(sound)) == {}
    found = proofs(sound, journal=records(sound))
    assert [*found] == [
        "histories",
        "journal",
        "ends",
        "sums",
        "budgets",
        "coupons",
        "events",
        "months",
        "origins",
        "privacy",
    ]
    assert found["histories"].looked_at == "6 steps, 17 rows of their trails"
    assert found["journal"].looked_at == "5 records"
    assert found["sums"].looked_at == "5 matches (5 act, 0 control, 0 refused), 6 steps"
    assert found["budgets"].looked_at == "2 periods"
    assert found["coupons"].looked_at == "1 codes"
    with sound.db.connect() as conn:
        assert integrity(conn) == ([] if sound.db.dialect.name == "sqlite" else None)


def test_what_the_journal_alone_knows_was_handed_over_before_a_backup_came_back(sound):
    first = ids(sound)[0]
    journal = [*records(sound), Record(first, 7), Record(90_000, 1)]
    assert wrong(sound, journal=journal)["journal"] == [
        ("I2", first, "it is sent; the journal knows of a hand-over with token 7, its trail does not"),
        ("I3", 90_000, "the journal knows that it was handed over, and the outbox has no such message"),
    ]
    waiting = sound.message(due_at=NOW + HOUR)
    journal = [*records(sound), Record(waiting, 1)]
    assert [problem[:2] for problem in wrong(sound, journal=journal)["journal"]] == [("I3", waiting)]


def test_what_a_person_has_settled_after_a_restore_is_known(sound):
    first = ids(sound)[0]
    journal = [*records(sound), Record(first, 7), Record(90_000, 1)]
    with sound.db.begin() as conn:
        for number, token in ((first, 7), (90_000, 1)):
            settled = {"action": "reconciled", "who": "reconciler", "dispatch_id": number, "token": token}
            conn.execute(insert(audit).values(at=NOW, actor="Dana", **settled))
    assert wrong(sound, journal=journal) == {}


def test_one_hand_over_that_the_journal_has_twice_went_out_twice(sound):
    first, *_, last = ids(sound, dispatches.c.channel == "email")
    journal = [*records(sound), Record(first, 1), Record(last, 1), Record(first, 1)]
    assert wrong(sound, journal=journal) == {
        "journal": [
            ("I1", first, "the journal has it handed over 3 times with token 1"),
            ("I1", last, "the journal has it handed over 2 times with token 1"),
        ]
    }


def test_what_a_run_sends_while_the_journal_is_read_is_in_order(sound, tmp_path):
    before = records(sound)
    sound.message(rule=sound.rule(ONE))
    desk = a_desk(sound, a_home(tmp_path), Clock())
    found = proofs(sound, journal=before, meanwhile=lambda: send_due(desk))
    assert [each.name for each in found.values() if each.wrong] == []
    assert desk.summary.states == {"sent": 1}
    assert found["histories"].looked_at.startswith("7 steps")
    assert wrong(sound, journal=before)["journal"][0][2].endswith("the journal does not know of it")


def test_an_answer_without_a_record_is_a_journal_that_lost_something(sound):
    sent = ids(sound, dispatches.c.state == "sent", dispatches.c.channel == "email")[-1]
    unsure = ids(sound, dispatches.c.state == "uncertain")
    journal = [each for each in records(sound) if each.dispatch_id not in {sent, *unsure}]
    said = "it was handed over with token 1, and the journal does not know of it"
    assert wrong(sound, journal=journal) == {"journal": [("I2", sent, said)]}  # what is uncertain may have had none


def test_a_journal_whose_beginning_is_missing_is_told(sound):
    sent = ids(sound, dispatches.c.state == "sent", dispatches.c.channel == "email")[-1]
    later = [Record(each.dispatch_id, each.token, NOW + DAY) for each in records(sound) if each.dispatch_id != sent]
    said = "its beginning is missing: of 1 hand-overs before its first line it knows nothing"
    assert wrong(sound, journal=later) == {"journal": [("I2", None, said)]}
    assert wrong(sound, journal=[])["journal"] == [("I2", None, said.replace("1 hand", "4 hand"))]
    assert "journal" not in wrong(sound, journal=[], now=NOW + KEPT + DAY)  # it is not kept longer
    with sound.db.begin() as conn:
        conn.execute(insert(audit).values(at=NOW, actor="Dana", action="reconcile", subject="restored"))
    assert wrong(sound, journal=[]) == {}  # a person has decided about all that


def test_what_another_machine_handed_over_stands_in_its_journal(sound):
    with sound.db.begin() as conn:
        conn.execute(update(audit).where(audit.c.after == "handoff").values(actor="ab" * 16))
    found = proofs(sound, journal=[])["journal"]
    said = "4 hand-overs stand in other machines' journals: call `regulars verify` there, too"
    assert (found.wrong, found.notes) == (0, [said])
    assert proofs(sound, journal=[], sender="ab" * 16)["journal"].wrong == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"state": "pending", "expires_at": NOW - 27 * HOUR}, "it is pending, it is too late for it"),
        ({"state": "held", "expires_at": NOW - 27 * HOUR}, "it is held, it is too late for it"),
        ({"state": "claimed", "leased_until": NOW - 27 * HOUR}, "it is claimed, its lease is over"),
        ({"state": "handoff", "leased_until": None}, "it is handoff, its lease is over"),
    ],
)
def test_what_waits_for_nothing_that_ends_is_named(cafe, values, said):
    number = cafe.message(**values)
    assert wrong(cafe)["ends"] == [("I4", number, f"{said}, and nothing has ended it")]


@pytest.mark.parametrize("as_of", [timedelta(0), timedelta(hours=5)])
def test_what_is_to_come_is_not_late_where_the_time_is_played(cafe, as_of):
    cafe.message(due_at=NOW + timedelta(hours=1), expires_at=NOW + timedelta(hours=2))
    with cafe.db.begin() as conn:
        now = NOW + timedelta(days=200)
        values = {"as_of": NOW + as_of, "host": "here", "pid": 1, "started_at": now, "finished_at": now}
        conn.execute(insert(runs).values(**values))
    assert "ends" not in wrong(cafe)


def test_what_has_just_run_out_waits_for_the_next_run_and_not_for_a_second_one(cafe):
    number = cafe.message(expires_at=NOW - HOUR)
    found = proofs(cafe)["ends"]
    assert (found.wrong, found.notes) == (0, ["the next run ends 1 whose time is over"])
    with cafe.db.begin() as conn:
        values = {"as_of": NOW, "host": "here", "pid": 1, "started_at": NOW - timedelta(minutes=30), "finished_at": NOW}
        conn.execute(insert(runs).values(**values))
    assert [problem[:2] for problem in wrong(cafe)["ends"]] == [("I4", number)]
    cafe.set(number, expires_at=NOW - timedelta(minutes=5))
    assert "ends" not in wrong(cafe)


def test_a_match_without_all_steps_or_with_some_that_it_must_not_have_is_named(sound):
    with sound.db.begin() as conn:
        many, *others = conn.scalars(select(matches.c.id).order_by(matches.c.id.desc()))
        conn.execute(update(matches).where(matches.c.id == others[0]).values(verdict="control"))
        conn.execute(update(matches).where(matches.c.id == others[1]).values(verdict="refused"))
    version = max(sound.rules)
    sound.rules[version] = sound.rules[min(sound.rules)]
    assert [said for _, _, said in wrong(sound)["sums"]] == [
        f"match {others[1]} has a reason without a refusal, or a refusal without a reason",
        f"match {others[1]} was not to be acted on, and has steps",
        f"match {others[0]} was not to be acted on, and has steps",
        f"match {many} has 2 steps, and not those of its rule",
    ]


def test_what_no_foreign_key_guards_is_asked_for(sound):
    """Each column by itself; a store may be nobody's, and so may an address."""
    first, *_, last = ids(sound)
    with sound.db.begin() as conn:
        one, *_ = conn.scalars(select(matches.c.id).order_by(matches.c.id))
        other = conn.scalar(select(func.max(dispatches.c.match_id)))
        for its, column, number, said in (
            (matches, "run_id", one, f"match {one} names a run that is not there"),
            (matches, "email_id", one, f"match {one} names an email address that is not there"),
            (matches, "sms_id", one, f"match {one} names a phone number that is not there"),
            (matches, "store_id", one, f"match {one} names a store that is not there"),
            (matches, "version_id", one, f"match {one} names a version of its rule that is not there"),
            (dispatches, "endpoint_id", first, "it names an address that is not there"),
            (dispatches, "content_id", last, "it names a template's version that is not there"),
            (dispatches, "customer_id", first, "it is of another guest or rule than its match"),
            (dispatches, "rule_id", last, "it is of another guest or rule than its match"),
        ):
            row = its.c.id == number
            was = conn.scalar(select(its.c[column]).where(row))
            conn.execute(update(its).where(row).values({column: 90_000}))
            found = origins(conn).problems
            assert [(each.dispatch_id, each.said) for each in found] == [(number if its is dispatches else None, said)]
            conn.execute(update(its).where(row).values({column: was}))
        of_other = select(matches.c.version_id).where(matches.c.id == other).scalar_subquery()
        conn.execute(update(matches).where(matches.c.id == one).values(version_id=of_other))
        assert [each.said for each in origins(conn).problems] == [f"match {one} names a version of another rule"]
        conn.execute(update(matches).where(matches.c.id == other).values(rule_id=90_000))
        assert f"match {other} names a rule that is not there" in [each.said for each in origins(conn).problems]


def test_a_version_that_cannot_be_read_is_told_and_not_wrong(sound):
    def gone(_conn, _version):
        raise UnreadableRuleError

    found = proofs(sound, rule=gone)["sums"]
    said = "2 old versions of rules cannot be read any more, so their steps were not counted"
    assert (found.wrong, found.notes) == (0, [said])


def test_a_budget_that_was_noted_wrongly_is_named_and_counted_anew(sound):
    with sound.db.begin() as conn:
        conn.execute(update(budget_uses).where(budget_uses.c.kind == "email").values(used=9))
    assert [said for _, _, said in wrong(sound)["budgets"]] == [
        "email of the home from 2026-05-04: 9 are noted as used, and 4 were"
    ]
    with sound.db.begin() as conn:
        assert recount(conn) == 1
        assert recount(conn) == 0
    assert wrong(sound) == {}


@pytest.mark.parametrize(("later", "ends"), [("nothing", "sent"), ("opted out", "blocked: no_consent")])
def test_what_staff_send_again_is_asked_about_anew_and_budgets_and_coupons_follow(cafe, tmp_path, later, ends):
    cafe.budgets = Budgets({"email": Budget(1, "day"), "coupons": Budget(1, "day")})
    guest = cafe.guest()
    match = cafe.match(guest, rule=cafe.rule(ONE, Step(2, "email", Email("win-back"))))
    coupon, message = cafe.coupon(match, guest), cafe.dispatch(match, guest, step=2)
    desk = a_desk(cafe, a_home(tmp_path), Clock(), email=Sink([Outcome("unknown", "timeout at dot")]))
    send_due(desk)
    assert (cafe.state(message), cafe.coupon_of(coupon).revoked_at) == ("uncertain", None)
    if later == "opted out":
        cafe.opt_out(guest.email_id)
    with cafe.db.begin() as conn:
        assert requeue(conn, "uncertain", [message], actor="Dana", now=NOW) == ([message], [])
    assert wrong(cafe) == {}  # its place in the budget is free again
    send_due(desk)
    assert cafe.outcome(message) == ends
    assert (cafe.coupon_of(coupon).revoked_at is None) == (ends == "sent")
    assert wrong(cafe) == {}


@pytest.mark.parametrize("state", ["held", "pending"])
def test_what_staff_cancel_takes_its_coupon_back_and_gives_its_budget_back(cafe, tmp_path, state):
    cafe.budgets = Budgets({"coupons": Budget(9, "day")})
    guest = cafe.guest()
    match = cafe.match(guest, rule=cafe.rule(ONE, Step(2, "email", Email("win-back"))))
    coupon = cafe.coupon(match, guest)
    message = cafe.dispatch(match, guest, step=2, state=state, due_at=NOW + HOUR)
    send_due(a_desk(cafe, a_home(tmp_path), Clock()))
    with cafe.db.begin() as conn:
        assert cancel(conn, name="Dana", now=NOW, ids=[message, coupon, 90_000]) == 1
    assert cafe.outcome(message) == "cancelled: staff"
    assert cafe.coupon_of(coupon).revoked_at == NOW
    assert wrong(cafe) == {}
    with cafe.db.begin() as conn:
        assert conn.scalar(select(budget_uses.c.used).where(budget_uses.c.kind == "coupons")) == 0


def test_coupons_and_their_steps_agree(sound):
    (step,) = ids(sound, dispatches.c.channel == "coupon")
    with sound.db.begin() as conn:
        code = conn.scalar(select(coupons.c.code))
        conn.execute(update(coupons).values(code=None, redeemed_at=NOW))
    assert wrong(sound)["coupons"] == [
        ("", step, "it is sent, and its coupon has no code"),
        ("", step, "its coupon was used, and has no code"),
    ]
    other = ids(sound)[0]
    with sound.db.begin() as conn:
        conn.execute(update(coupons).values(code=code, redeemed_at=None, dispatch_id=other))
    assert (("", step, "it is a coupon's step, and there is no coupon")) in wrong(sound)["coupons"]


def test_a_report_about_what_was_never_handed_over_is_named(sound):
    waiting = sound.message(due_at=NOW + HOUR)
    gone = ids(sound, dispatches.c.state == "sent", dispatches.c.channel == "email")[0]
    with sound.db.begin() as conn:
        for number in (waiting, gone):
            told = {"month": month_of(NOW), "at": NOW, "kind": "delivered", "source": "twilio", "key": f"SM{number}"}
            conn.execute(insert(delivery_events).values(dispatch_id=number, **told))
    said = "a provider calls it delivered, and it was never handed over"
    assert wrong(sound)["events"] == [("I2", waiting, said)]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("550 5.1.1 <guest@example.com> unknown", "an address stands in dispatches.provider_reply"),
        ("30003 to +1 312 555-0199", "a number stands in dispatches.provider_reply"),
        ("30003 to 13125557001", "a guest's number stands in dispatches.provider_reply"),
        ("no mailbox for Li Wei here", "a guest's name stands in dispatches.provider_reply"),
        ("no mailbox for 王小明 here", "a guest's name stands in dispatches.provider_reply"),
        ("550 5.1.1 queued as 13125559999 by mail.example.com", None),
        ("Li", None),
    ],
)
def test_a_guest_in_the_answers_of_providers_is_found(cafe, reply, said):
    cafe.guest("王小明")
    cafe.guest("Li Wei", sms_id=cafe.endpoint("sms", "+13125557001"))
    cafe.message(provider_reply=reply)
    with cafe.db.begin() as conn:
        conn.execute(insert(audit).values(at=NOW, actor="Li Wei", action="approve", subject="win-back"))
    assert [problem[2] for problem in wrong(cafe).get("privacy", [])] == ([] if said is None else [said])


def test_a_guest_in_the_trail_or_on_a_channel_is_found(cafe):
    with cafe.db.begin() as conn:
        conn.execute(insert(audit).values(at=NOW, actor="ana@example.com", action="approve", detail={"to": "Li Wei"}))
        conn.execute(insert(channels).values(channel="email", stopped_why="535 for hello@corner.example"))
    cafe.guest("Li Wei")
    assert sorted(said for _, _, said in wrong(cafe)["privacy"]) == [
        "a guest's name stands in audit.detail",
        "an address stands in audit.actor",
        "an address stands in channels.stopped_why",
    ]


def test_many_problems_are_counted_and_the_first_are_named(cafe):
    for _ in range(NAMED + 3):
        cafe.message(expires_at=NOW - 27 * HOUR)
    found = proofs(cafe)["ends"]
    assert (found.wrong, len(found.problems)) == (NAMED + 3, NAMED)
