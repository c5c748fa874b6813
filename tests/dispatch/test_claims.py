"""Leases, and what is found abandoned."""

import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from engine.dispatch.abandoned import rescue
from engine.dispatch.claims import begin, claim, claim_alerts
from engine.dispatch.holders import this_worker

from .world import NOW

HERE = socket.gethostname()


def take(cafe, holder, *, now=NOW, limit=10):
    with cafe.db.begin() as conn:
        return claim(conn, now=now, holder=holder, usable=["email", "sms"], limit=limit)


def rescued(cafe, now=NOW):
    with cafe.db.begin() as conn:
        return rescue(conn, now)


@pytest.fixture
def gone():
    """The name of a worker whose process has ended: its number may well be in use again."""
    told = subprocess.run(
        [sys.executable, "-c", "from engine.dispatch.holders import this_worker; print(this_worker())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_of_several_channels_the_soonest_are_taken_first_whatever_their_channel(cafe, limit):
    minute = timedelta(minutes=1)
    of = {"email": (1, 4, 5), "sms": (2, 3, 6)}
    waits = sorted((ago, channel) for channel, them in of.items() for ago in them)
    made = [cafe.message(channel=channel, due_at=NOW - (9 - turn) * minute) for turn, channel in waits]
    assert [each.id for each in take(cafe, "here:1:a", limit=limit)] == made[:limit]
    assert [cafe.state(each) for each in made] == ["claimed"] * limit + ["pending"] * (6 - limit)


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
@pytest.mark.parametrize("usable", [["email"], ["email", "sms"]])
def test_a_worker_waits_for_no_claim_of_another_and_takes_what_is_left(cafe, usable):
    of_each = [cafe.message(due_at=NOW - timedelta(minutes=2)), cafe.message()]
    with cafe.db.begin() as first, cafe.db.begin() as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        taken = [claim(conn, now=NOW, holder="here:1:a", usable=usable, limit=1) for conn in (first, second)]
    assert [each.id for claims in taken for each in claims] == of_each


def test_the_lease_of_a_living_process_is_left_alone(cafe):
    message = cafe.message()
    take(cafe, this_worker())
    assert rescued(cafe) == {"pending": 0, "dead": 0, "uncertain": 0}
    assert cafe.state(message) == "claimed"


def test_the_lease_of_a_process_that_is_gone_is_freed_at_once(cafe, gone):
    claimed, handed = cafe.message(), cafe.message()
    take(cafe, gone)
    cafe.set(handed, state="handoff")
    assert rescued(cafe) == {"pending": 1, "dead": 0, "uncertain": 1}
    assert cafe.outcome(claimed) == "pending: abandoned"
    assert cafe.outcome(handed) == "uncertain: abandoned"
    assert cafe.row(handed).finished_at == NOW


def test_a_process_of_another_start_under_the_same_number_is_not_the_holder(cafe):
    message = cafe.message()
    take(cafe, f"{HERE}:{os.getpid()}:12345-another")
    rescued(cafe)
    assert cafe.state(message) == "pending"


def test_a_lease_of_another_machine_has_to_run_out(cafe):
    claimed, handed = cafe.message(), cafe.message()
    take(cafe, f"not-{HERE}:1:1")
    cafe.set(handed, state="handoff")
    rescued(cafe, NOW + timedelta(minutes=14, seconds=59))
    assert (cafe.state(claimed), cafe.state(handed)) == ("claimed", "handoff")
    rescued(cafe, NOW + timedelta(minutes=15))
    assert (cafe.state(claimed), cafe.state(handed)) == ("pending", "uncertain")


def test_what_its_worker_did_not_survive_three_times_is_poison_and_the_rest_of_its_batch_is_not(cafe, gone):
    poison, beside = cafe.message(), cafe.message()
    for expected in ("pending: abandoned", "pending: abandoned", "dead: poison"):
        held = take(cafe, gone)
        with cafe.db.begin() as conn:
            begin(conn, held[:1], NOW)
        rescued(cafe)
        assert cafe.outcome(poison) == expected
    assert cafe.outcome(beside) == "pending: abandoned"
    assert cafe.row(beside).rescues == 0


def test_begun_work_has_its_lease_anew_and_lost_leases_are_not_begun(cafe):
    mine, lost = cafe.message(), cafe.message()
    held = take(cafe, this_worker())
    cafe.set(lost, state="claimed", lease_token=2)
    later = NOW + timedelta(minutes=10)
    with cafe.db.begin() as conn:
        assert [each.id for each in begin(conn, held, later)] == [mine]
    assert cafe.row(mine).leased_until == later + timedelta(minutes=15)


def test_two_workers_never_hold_the_same_dispatch(cafe):
    made = {cafe.message() for _ in range(30)}
    taken: list[int] = []

    def work(name):
        while held := take(cafe, name, limit=4):
            taken.extend(each.id for each in held)

    workers = [threading.Thread(target=work, args=(f"{HERE}:{number}:x",)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(taken) == sorted(made)


class TestAlertsThatGoOutTogether:
    def alerts(self, cafe, *, stores=(None, None, None)):
        rule, run = cafe.rule(), cafe.run()
        made = []
        for store in stores:
            guest = cafe.guest()
            match = cafe.match(guest, rule=rule, run_id=run, store_id=store)
            made.append(cafe.dispatch(match, guest, "alert"))
        return made

    def take(self, cafe, once_per):
        with cafe.db.begin() as conn:
            held = claim_alerts(conn, now=NOW, holder="here:1:a", grouping=lambda *_: once_per)
        return [each.id for each in held]

    def test_once_per_guest_is_one_at_a_time(self, cafe):
        made = self.alerts(cafe)
        assert [self.take(cafe, "guest") for _ in range(4)] == [[made[0]], [made[1]], [made[2]], []]

    def test_once_per_run_is_one_list_of_the_run(self, cafe):
        made, others = self.alerts(cafe), self.alerts(cafe)
        assert self.take(cafe, "run") == made
        assert self.take(cafe, "run") == others
        assert self.take(cafe, "run") == []

    def test_once_per_store_is_one_list_a_store(self, cafe):
        cafe.guest()
        north, south = cafe.store("North"), cafe.store("South")
        made = self.alerts(cafe, stores=(north, south, north, None))
        assert self.take(cafe, "store") == [made[0], made[2]]
        assert self.take(cafe, "store") == [made[1]]
        assert self.take(cafe, "store") == [made[3]]

    def test_two_workers_do_not_make_two_halves_of_one_list(self, cafe):
        made = self.alerts(cafe, stores=(None,) * 8)
        lists: list[list[int]] = []
        workers = [threading.Thread(target=lambda: lists.append(self.take(cafe, "run"))) for _ in range(4)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        assert sorted(lists) == [[], [], [], made]
