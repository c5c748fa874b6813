"""Several real workers at once, each with its own connections: never one too many, and nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from connectors.base import Outcome
from engine.database.engines import open_db, snapshot
from engine.database.tables import audit, budget_uses, dispatches
from engine.dispatch import health, history
from engine.dispatch.claims import claim
from engine.dispatch.fence import pass_fence
from engine.dispatch.stages import send_due
from engine.dispatch.tallies import Tally
from engine.language.budgets import Budget
from engine.language.rule import Step
from engine.vocabulary.actions import Alert, Email

from .world import CHICAGO, NOW, Budgets, Cafe, Caps, Clock, a_desk, a_home

WORKERS = 4
MANY = Caps(1_000, 1_000)


@dataclass
class Server:
    """Accepts everything, and notes it. ``each`` is called with how many it has accepted; so long nobody is answered."""

    accepted: list[str] = field(default_factory=list)
    each: object = lambda _: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message, handoff):
        if not handoff():
            return Outcome("not_now", "fence", counts_attempt=False)
        with self.lock:
            self.accepted.append(message.recipient)
            self.each(len(self.accepted))
        return Outcome("sent", "250", provider_id=message.key)

    def close(self):
        pass


def work(cafe, home, server, number=WORKERS):
    """Let so many workers send all that is due, side by side."""
    broke = []
    ready = threading.Barrier(number)

    def one(name):
        db = open_db(cafe.db.url.render_as_string(hide_password=False))
        desk = a_desk(cafe, home, Clock(), email=server, sms=server)
        desk.db, desk.holder = db, f"elsewhere:{name}:a"
        try:
            ready.wait()
            send_due(desk)
        except Exception as error:  # noqa: BLE001 (told by the test)
            broke.append(error)
        finally:
            desk.journal.close()
            db.dispose()

    threads = [threading.Thread(target=one, args=(name,)) for name in range(number)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert broke == []
    with snapshot(cafe.db).connect() as conn:
        assert list(history.check(conn)) == []
        for row in conn.execute(select(budget_uses)).all():
            assert Tally(row.rule_id, row.kind, row.begins, row.ends).counted(conn) == row.used


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


def ends(cafe):
    with cafe.db.connect() as conn:
        return Counter(f"{row.state} {row.reason or ''}".strip() for row in conn.execute(select(dispatches)))


def test_a_guest_and_an_inbox_get_one_a_day_however_many_workers_there_are(cafe, home):
    couple = cafe.guest("Li")
    other = cafe.guest("Ana", email_id=couple.email_id, sms_id=None)
    rule = cafe.rule()
    for _ in range(3):
        cafe.message(couple, rule=rule)
        cafe.message(other, rule=rule)
        cafe.message(couple, "sms", rule=rule)
    alone = [cafe.message(rule=rule) for _ in range(3)]
    server = Server()
    work(cafe, home, server)
    assert len(server.accepted) - len(alone) in {1, 2}  # the shared inbox; or it for Ana, and the text for Li
    assert max(Counter(server.accepted).values()) == 1
    with cafe.db.connect() as conn:
        sent = dispatches.c.state == "sent"
        of_couple = conn.execute(select(dispatches).where(sent, dispatches.c.customer_id == couple.id)).all()
        waits = conn.scalars(select(dispatches.c.due_at).where(dispatches.c.state == "pending")).all()
    assert len(of_couple) <= 1
    assert ends(cafe).total() == 9 + len(alone)
    assert set(ends(cafe)) == {"sent", "pending capped"}
    assert {each.astimezone(CHICAGO).day for each in waits} == {5}


def test_a_budget_is_spent_to_the_last_and_not_beyond(cafe, home):
    cafe.caps = MANY
    cafe.budgets = Budgets({"email": Budget(7, "day"), "messages": Budget(9, "month")})
    rule = cafe.rule()
    for _ in range(14):
        cafe.message(rule=rule)
    server = Server()
    work(cafe, home, server)
    assert len(server.accepted) == 7
    assert ends(cafe) == {"sent": 7, "pending budget": 7}


def test_the_red_button_in_the_middle_keeps_in_all_that_has_not_passed(cafe, home):
    cafe.caps = MANY
    rule = cafe.rule()
    for _ in range(24):
        cafe.message(rule=rule)

    def press(count):
        if count == 6:
            with cafe.db.begin() as conn:
                health.stop(conn, by="Dana", now=NOW)

    server = Server(each=press)
    work(cafe, home, server)
    with cafe.db.connect() as conn:
        pressed = conn.scalar(select(audit.c.id).where(audit.c.action == "stop"))
        late = conn.scalars(select(audit.c.id).where(audit.c.after == "handoff", audit.c.id > pressed)).all()
    assert late == []
    assert 6 <= len(server.accepted) < 6 + WORKERS
    assert ends(cafe)["sent"] == len(server.accepted)
    assert ends(cafe).total() == 24
    assert {state.partition(" ")[0] for state in ends(cafe)} == {"sent", "pending"}
    with cafe.db.begin() as conn:
        health.start(conn, by="Dana", now=NOW)
    server.each = lambda _: None
    work(cafe, home, server)
    assert ends(cafe) == {"sent": 24}
    assert len(server.accepted) == len(set(server.accepted)) == 24


def test_a_list_for_staff_is_one_message_and_no_cap_or_budget_asks_about_it(cafe, home):
    cafe.caps, cafe.budgets = Caps(1, 1), Budgets({"messages": Budget(1, "day")})
    rule = cafe.rule(Step(1, "alert", Alert("low-rating-alert", once_per="run")), purpose="service")
    run = cafe.run()
    text = {"subject.txt": "Bad", "email.txt": "{% for match in matches %}{{ match.customer.name }};{% endfor %}"}
    content = cafe.content("low-rating-alert", **text)
    to = "ana@example.com"
    guest = cafe.guest(email_id=cafe.endpoint("email", to))
    for _ in range(9):
        cafe.message(guest, "alert", rule=rule, run_id=run, content_id=content)
    marketing = cafe.message(guest, rule=cafe.rule(Step(1, "email", Email("win-back"))))
    server = Server()
    work(cafe, home, server)
    assert Counter(server.accepted) == {"manager@corner.example": 1, to: 1}
    assert cafe.state(marketing) == "sent"
    assert ends(cafe) == {"sent": 10}


def test_an_opt_out_in_the_middle_wins_over_all_that_has_not_passed(cafe, home):
    cafe.caps = MANY
    guest, rule = cafe.guest(), cafe.rule()
    for _ in range(12):
        cafe.message(guest, rule=rule)

    def refuse(count):
        if count == 3:
            cafe.opt_out(guest.email_id)

    server = Server(each=refuse)
    work(cafe, home, server)
    assert 3 <= len(server.accepted) < 3 + WORKERS
    assert ends(cafe) == {"sent": len(server.accepted), "blocked no_consent": 12 - len(server.accepted)}


def test_the_red_button_waits_for_who_is_at_the_fence_and_the_fence_for_the_button(postgres_url):
    """On SQLite whoever writes is alone."""
    cafe = Cafe(open_db(postgres_url))
    cafe.message()
    with cafe.db.begin() as conn:
        held = claim(conn, now=NOW, holder="here:1:a", usable=["email"], limit=1)
    with cafe.db.begin() as worker, cafe.db.begin() as person:
        for conn in (worker, person):
            conn.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        assert pass_fence(worker, held, cafe.policy, NOW, content_hash=bytes(32)) == []
        with pytest.raises(OperationalError, match="lock timeout"), person.begin_nested():
            health.stop(person, by="Dana", now=NOW)
        worker.rollback()
    with cafe.db.begin() as person, cafe.db.begin() as worker:
        worker.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
        assert health.stop(person, by="Dana", now=NOW)
        with pytest.raises(OperationalError, match="lock timeout"), worker.begin_nested():
            pass_fence(worker, held, cafe.policy, NOW, content_hash=bytes(32))
    cafe.db.dispose()
