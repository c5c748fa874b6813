"""The whole story of a restore: nothing is accepted twice, and what is unknown is shown."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from engine.database.tables import approvals, audit, customers, dispatches, endpoints, instance, lost_handoffs, rules
from engine.dispatch import reconcile as reconciling
from engine.dispatch.approve import approve, resolve_forgotten
from engine.dispatch.desk import open_desk
from engine.dispatch.history import check
from engine.dispatch.instance import StrangeDatabaseError, recognise, surroundings
from engine.dispatch.journal import Record, records
from engine.dispatch.links import link_keys, token
from engine.dispatch.reconcile import reconcile
from engine.dispatch.stages import send_due
from engine.dispatch.unsubscribing import subscription, unsubscribe
from engine.evaluation.runner import run_due
from engine.intake.importer import import_file

from .test_instance import copy_of
from .whole import DAY, MORNING, send, states
from .world import Clock

GUESTS = "customer_id,name,email,phone,email_consent,sms_consent,consent_at\n" + "".join(
    f"g{n},Guest {n},g{n}@example.com,+1312555010{n},yes,yes,2026-01-02\n" for n in range(1, 7)
)
#: Four have lapsed on the first morning, the other two on the second.
ORDERS = "order_id,customer_id,ordered_at,total\n" + "".join(
    f"v{n},g{n},{'2026-04-05' if n > 4 else '2026-03-25'} 09:00,9.00\n" for n in range(1, 7)
)
TUESDAY = MORNING + DAY


@pytest.fixture
def cafe_home(home, db, root):
    for name, text in (("customers", GUESTS), ("orders", f"{ORDERS}v9,,2026-05-04 18:00,9.00\n")):
        (root / f"more-{name}.csv").write_text(text)
        assert not import_file(
            db, home.config, home.key, root / f"more-{name}.csv", now=MORNING - DAY, kind=name
        ).problem
    return home


def evaluate(db, home, at):
    assert run_due(db, home, at).balanced


def let_go(db, at=MORNING):
    with db.begin() as conn:
        return approve(conn, None, name="Ana", now=at, mode="first")


def half(db, home, limit=2):
    desk = open_desk(db, home, now=Clock(MORNING))
    send_due(desk, limit=limit)
    desk.close()


def mails(home):
    """The witness: how often each guest got a mail."""
    outbox = home.root / "outbox"
    return Counter(re.search(r"^To: (\w+)@", file.read_text(), re.MULTILINE).group(1) for file in outbox.glob("*.eml"))


def reconciled(db, home, at=TUESDAY, others=()):
    around = replace(surroundings(home.root), others=tuple(each.root / "journal" for each in others))
    return reconcile(db, around, name="Ana", now=at, day_starts=home.config.day_starts)


def held(db):
    with db.begin() as conn:
        rows = select(dispatches.c.reason, func.count()).where(dispatches.c.state == "held")
        return dict(map(tuple, conn.execute(rows.group_by(dispatches.c.reason))))


def assert_paths(db):
    with db.begin() as conn:
        assert list(check(conn)) == []


@pytest.fixture
def restored(cafe_home, db, tmp_path, request):
    """Half was sent before the backup; the rest, and what Tuesday found, since."""
    evaluate(db, cafe_home, MORNING)
    let_go(db)
    half(db, cafe_home)
    backup = copy_of(db, tmp_path, request)
    send(db, cafe_home, MORNING)
    evaluate(db, cafe_home, TUESDAY)
    send(db, cafe_home, TUESDAY)
    assert set(mails(cafe_home).values()) == {1}
    assert len(mails(cafe_home)) == 7  # the one guest of the other tests has lapsed too
    yield backup
    backup.dispose()


def test_nothing_is_sent_before_it_is_reconciled_and_nothing_twice_after(restored, cafe_home, db):
    for _ in range(2):
        with pytest.raises(StrangeDatabaseError, match="older than what has been sent"):
            open_desk(restored, cafe_home, now=Clock(TUESDAY))
    done = reconciled(restored, cafe_home)
    assert (done.why, done.covered, done.uncertain, done.lost, done.held, done.rules) == ("restored", True, 3, 2, 0, 0)
    assert done.since == MORNING
    with restored.begin() as conn:
        doubtful = conn.execute(select(dispatches).where(dispatches.c.state == "uncertain")).all()
        assert {(row.reason, row.handed_at, row.handed_day is not None) for row in doubtful} == {
            ("restored", MORNING, True)
        }
    assert reconciled(restored, cafe_home).why is None
    evaluate(restored, cafe_home, TUESDAY)
    assert held(restored) == {"restored": 2}
    send(restored, cafe_home, TUESDAY)
    let_go(restored, TUESDAY)
    send(restored, cafe_home, TUESDAY)
    assert set(mails(cafe_home).values()) == {1}
    assert held(restored) == {"restored": 2}
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_staff_decide_about_what_is_held(restored, cafe_home):
    reconciled(restored, cafe_home)
    evaluate(restored, cafe_home, TUESDAY)
    with restored.begin() as conn:
        again, arrived = conn.scalars(
            select(dispatches.c.id).where(dispatches.c.state == "held").order_by(dispatches.c.id)
        )
        assert resolve_forgotten(conn, [again], send=True, name="Ana", now=TUESDAY) == [again]
        assert resolve_forgotten(conn, [arrived], send=False, name="Ana", now=TUESDAY) == [arrived]
    send(restored, cafe_home, TUESDAY)
    assert sorted(mails(cafe_home).values()) == [1] * 6 + [2]
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_an_occasion_after_the_lost_one_is_over_is_no_longer_held(restored, cafe_home):
    reconciled(restored, cafe_home)
    with restored.begin() as conn:
        late = conn.scalar(select(func.max(lost_handoffs.c.expires_at)))
    assert late < TUESDAY + 40 * DAY
    evaluate(restored, cafe_home, late)
    assert held(restored) == {}


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize("at", [1, 3])
def test_killed_in_the_middle_and_called_again_it_comes_to_the_same(restored, cafe_home, monkeypatch, at):
    steps = iter(range(10))

    def once(name):
        whole = getattr(reconciling, name)

        def dying(*given, **named):
            if next(steps) == at:
                raise KeyboardInterrupt
            return whole(*given, **named)

        monkeypatch.setattr(reconciling, name, dying)

    monkeypatch.setattr(reconciling, "PORTION", 2)
    once("_settle")
    once("_finish")
    with pytest.raises(KeyboardInterrupt):
        reconciled(restored, cafe_home)
    with pytest.raises(StrangeDatabaseError):
        recognise(restored, surroundings(cafe_home.root), TUESDAY)
    done = reconciled(restored, cafe_home)
    assert (done.uncertain, done.lost) == (3, 2), "what was settled before it was killed is told, too"
    with restored.begin() as conn:
        assert conn.scalar(select(func.count()).where(dispatches.c.state == "uncertain")) == 3
        assert conn.scalar(select(func.count()).select_from(lost_handoffs)) == 2
        assert conn.scalar(select(func.count()).where(audit.c.action == "reconciled")) == 5
    highest = max(each.dispatch_id for each in records(cafe_home.root / "journal") if isinstance(each, Record))
    evaluate(restored, cafe_home, TUESDAY)
    with restored.begin() as conn:
        assert conn.scalar(select(func.min(dispatches.c.id)).where(dispatches.c.state == "held")) > highest
    send(restored, cafe_home, TUESDAY)
    assert set(mails(cafe_home).values()) == {1}
    assert_paths(restored)


def everything_waits(db, home):
    with db.begin() as conn:
        assert conn.scalar(select(func.count()).where(dispatches.c.state.in_(("pending", "claimed", "handoff")))) == 0
        assert conn.scalar(select(func.count()).where(rules.c.approved_hash.is_not(None))) == 0
        assert conn.scalar(select(func.count()).select_from(approvals)) == 0
    before = mails(home)
    evaluate(db, home, TUESDAY)
    send(db, home, TUESDAY)
    assert mails(home) == before
    assert set(held(db)) == {"copied", "first_approval"}


def test_without_its_journal_everything_waits_for_a_person(restored, cafe_home):
    with restored.begin() as conn:  # what `regulars backup` does to the copy
        conn.execute(instance.update().values(backup_at=MORNING))
    shutil.rmtree(cafe_home.root / "journal")
    done = reconciled(restored, cafe_home)
    assert (done.why, done.covered, done.uncertain, done.lost) == ("restored", False, 0, 0)
    assert done.held > 0 < done.rules
    everything_waits(restored, cafe_home)
    assert_paths(restored)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_killed_after_that_it_tells_the_second_time_how_many_rules_wait(restored, cafe_home, monkeypatch):
    def dying(*_, **__):
        raise KeyboardInterrupt

    shutil.rmtree(cafe_home.root / "journal")
    with monkeypatch.context() as patch:
        patch.setattr(reconciling, "_finish", dying)
        with pytest.raises(KeyboardInterrupt):
            reconciled(restored, cafe_home)
    assert reconciled(restored, cafe_home).rules == 1


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_with_a_damaged_journal_too(restored, cafe_home):
    (file,) = (cafe_home.root / "journal").glob("*.log")
    lines = file.read_bytes().split(b"\n")
    lines[-2] = lines[-2].replace(b" email ", b" emoil ")
    file.write_bytes(b"\n".join(lines))
    assert not reconciled(restored, cafe_home).covered


@pytest.mark.parametrize("asked_first", ["a run", "a person"])
def test_a_copy_waits_for_a_person_and_goes_on_under_another_name(cafe_home, db, tmp_path, request, asked_first):
    evaluate(db, cafe_home, MORNING)
    let_go(db)
    half(db, cafe_home)
    copy = copy_of(db, tmp_path, request)
    if asked_first == "a run":
        with pytest.raises(StrangeDatabaseError, match="is a copy"):
            open_desk(copy, cafe_home, now=Clock(MORNING))
    done = reconciled(copy, cafe_home)
    assert (done.why, done.covered) == ("copied", False)
    assert done.held == sum(held(copy).values()) > 0
    with copy.begin() as ours, db.begin() as theirs:
        assert ours.scalar(select(instance.c.identity)) != theirs.scalar(select(instance.c.identity))
    everything_waits(copy, cafe_home)
    let_go(copy, TUESDAY)
    send(copy, cafe_home, TUESDAY)
    assert set(mails(cafe_home).values()) == {1}
    assert_paths(copy)
    copy.dispose()


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_ids_go_on_above_those_that_were_lost(restored, cafe_home, db):
    with db.begin() as conn:
        highest = conn.scalar(select(func.max(dispatches.c.id)))
    reconciled(restored, cafe_home)
    evaluate(restored, cafe_home, TUESDAY)
    with restored.begin() as conn:
        fresh = conn.scalars(select(dispatches.c.id).where(dispatches.c.state == "held")).all()
    assert min(fresh) > highest


def let_in(db, home, name):
    """A guest comes to a café; give the ids of guest and email address."""
    file = home.root / "late-customers.csv"
    file.write_text(f"customer_id,name,email,email_consent\n{name},{name},{name}@example.com,yes\n")
    assert not import_file(db, home.config, home.key, file, now=TUESDAY, kind="customers").problem
    with db.begin() as conn:
        guest = conn.scalar(select(customers.c.id).where(customers.c.external_id == name))
        return guest, conn.scalar(select(endpoints.c.id).where(endpoints.c.address == f"{name}@example.com"))


def test_a_link_of_a_guest_who_was_lost_unsubscribes_nobody_else(restored, cafe_home, db):
    ann = let_in(db, cafe_home, "ann")
    link = token(cafe_home.key, "unsubscribe", ann[1])
    reconciled(restored, cafe_home)
    bob = let_in(restored, cafe_home, "bob")
    assert bob[0] > ann[0]
    assert bob[1] > ann[1]
    with restored.begin() as conn:
        before = conn.execute(select(endpoints)).all()
        assert subscription(conn, link_keys(cafe_home.config, cafe_home.key), link) is None
        assert unsubscribe(conn, link_keys(cafe_home.config, cafe_home.key), link, TUESDAY) is None
        assert conn.execute(select(endpoints)).all() == before
        conn.execute(instance.update().values(stopped_why="restored"))
    reconciled(restored, cafe_home, TUESDAY + DAY)
    assert let_in(restored, cafe_home, "cleo")[1] > bob[1] + 1_000_000  # restored twice from the same backup


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_after_a_snapshot_of_the_disk_a_person_lets_everything_wait(cafe_home, db):
    """Journal and witness went back with the database, so nothing else tells."""
    evaluate(db, cafe_home, MORNING)
    let_go(db)
    half(db, cafe_home)
    around = surroundings(cafe_home.root)
    assert reconcile(db, around, name="Ana", now=TUESDAY, day_starts=cafe_home.config.day_starts).why is None
    done = reconcile(db, around, name="Ana", now=TUESDAY, day_starts=cafe_home.config.day_starts, hold=True)
    assert (done.why, done.covered, done.uncertain, done.lost) == ("restored", False, 0, 0)
    assert done.held > 0 < done.rules
    everything_waits(db, cafe_home)
    assert_paths(db)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_sound_database_has_nothing_to_reconcile(cafe_home, db):
    evaluate(db, cafe_home, MORNING)
    let_go(db)
    half(db, cafe_home)
    before = states(db)
    assert reconciled(db, cafe_home).why is None
    assert states(db) == before


# ---------------------------------------------------------------------------------------------------------------------
# Several machines on one database.


@pytest.fixture
def second(cafe_home, tmp_path_factory):
    """Another machine's home for the same database, with a journal of its own."""
    root = tmp_path_factory.mktemp("second") / "home"
    shutil.copytree(cafe_home.root, root, ignore=shutil.ignore_patterns("*.db*", "journal", "outbox"))
    return replace(cafe_home, root=root)


@pytest.fixture
def shared(cafe_home, second, db, tmp_path, request):
    """The second machine has sent before the backup, or not; after it both have."""
    evaluate(db, cafe_home, MORNING)
    let_go(db)
    half(db, cafe_home, 1)
    if getattr(request, "param", "before") == "before":
        half(db, second, 1)
    backup = copy_of(db, tmp_path, request)
    half(db, second, 1)
    send(db, cafe_home, MORNING)
    assert len(both(cafe_home, second)) == 5
    yield backup
    backup.dispose()


def both(*homes):
    return sum((mails(each) for each in homes), Counter())


def go_on(db, *homes):
    for home in homes:
        send(db, home, TUESDAY)


@pytest.mark.parametrize("shared", ["before", "only after"], indirect=True)
def test_what_another_machine_sent_since_the_backup_is_not_sent_again(shared, cafe_home, second):
    done = reconciled(shared, cafe_home)
    assert (done.why, done.covered, done.absent) == ("restored", False, 1)
    assert done.held > 0 < done.rules
    send(shared, cafe_home, TUESDAY)
    with pytest.raises(StrangeDatabaseError, match="older than what has been sent"):
        send(shared, second, TUESDAY)
    assert set(both(cafe_home, second).values()) == {1}


@pytest.mark.parametrize("shared", ["before", "only after"], indirect=True)
def test_with_the_journals_of_all_machines_everything_else_goes_on(shared, cafe_home, second):
    done = reconciled(shared, cafe_home, others=[second])
    assert (done.covered, done.absent, done.lost, done.held, done.rules) == (True, 0, 0, 0, 0)
    assert done.uncertain > 1
    go_on(shared, second, cafe_home)
    assert set(both(cafe_home, second).values()) == {1}
    assert_paths(shared)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_one_that_sent_nothing_since_is_not_asked_alone(shared, cafe_home, second):
    """The database is behind only what the other machine knows."""
    (file,) = (cafe_home.root / "journal").glob("*.log")
    file.write_bytes(b"\n".join(file.read_bytes().split(b"\n")[:2]))
    assert (reconciled(shared, cafe_home).covered, len(held(shared)) > 0) == (False, True)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_journal_that_lacks_what_was_answered_does_not_tell(shared, cafe_home, second):
    (file,) = (second.root / "journal").glob("*.log")
    first, *rest = file.read_bytes().split(b"\n")[1:]
    file.write_bytes(b"\n".join([b"", *rest]))
    assert first
    assert not reconciled(shared, cafe_home, others=[second]).covered


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_after_a_person_has_decided_only_who_sends_again_is_asked(shared, cafe_home, second):
    assert not reconciled(shared, cafe_home).covered
    assert reconciled(shared, cafe_home).why is None
    assert not reconciled(shared, second).covered
    go_on(shared, second, cafe_home)
    assert reconciled(shared, second).absent == 1
