"""Webhooks: what a system of the owner's own is told, and when not."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from connectors.base import Outcome
from engine.database.tables import coupons, customers, payloads
from engine.dispatch.channels import CannotSendError, Channels
from engine.dispatch.stages import send_due
from engine.intake.importer import import_file
from engine.language.rule import Step
from engine.vocabulary.home import load_home
from engine.vocabulary.messages import Email
from engine.vocabulary.webhook import Webhook

from .whole import DAY, MORNING, evaluated, send, states
from .world import CONFIG, Clock, Sink, a_desk, a_home

HOOKS = "webhooks:\n  app:\n    connector: file\n"
RULE = """
id: win-back
trigger:
  lapsed:
    after: 30 days
    up_to: 60 days
actions:
  - coupon: cake
  - webhook:
      to: app
      values:
        - customer.first_name
        - customer.visits
        - customer.attributes.shoe
  - wait: 2 days
  - webhook: app
"""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path, CONFIG + HOOKS)


@pytest.fixture
def hook(cafe):
    def made(guest=None, **values):
        rule = cafe.rule(Step(1, "webhook", Webhook("app", ("customer.name", "order.total"))))
        return cafe.message(guest or cafe.guest(), "webhook", rule=rule, content_id=None, **values)

    return made


def test_it_is_told_the_match_the_guests_id_and_what_was_asked_for(cafe, home, clock, hook):
    number, sink = hook(), Sink()
    send_due(a_desk(cafe, home, clock, webhook=sink))
    (message,) = sink.accepted
    told = json.loads(message.body)
    match = cafe.row(number).match_id
    assert message.recipient == "app"
    assert cafe.state(number) == "sent"
    assert told == {
        "id": message.key,
        "rule": told["rule"],
        "step": "1",
        "match": match,
        "occasion": told["occasion"],
        "matched_at": "2026-05-04T15:00:00+00:00",
        "customer": told["customer"],
        "store": None,
        "coupon": None,
        "values": {"customer.name": "Li Wei", "order.total": None},
    }
    with cafe.db.connect() as conn:
        kept = conn.scalar(select(payloads.c["values"]).where(payloads.c.dispatch_id == number))
    assert kept["values"] == told["values"]


def test_it_goes_at_any_hour_and_without_consent_but_not_for_an_erased_guest(cafe, home, clock, hook):
    guest = cafe.guest(email_id=None, sms_id=None)
    first, second = hook(guest), hook(guest)
    clock.at += timedelta(hours=14)
    sink = Sink()
    send_due(a_desk(cafe, home, clock, webhook=sink), limit=1)
    assert cafe.state(first) == "sent"
    with cafe.db.begin() as conn:
        conn.execute(update(customers).where(customers.c.id == guest.id).values(erased_at=clock.at))
    send_due(a_desk(cafe, home, clock, webhook=sink))
    assert cafe.outcome(second) == "blocked: erased"


@pytest.mark.parametrize(
    ("outcome", "became"),
    [
        (Outcome("no", "http 404"), "rejected: refused"),
        (Outcome("unknown", "no reply", channel="failure"), "uncertain: no_answer"),
        (Outcome("not_now", "http 429", channel="slow"), "pending: not_now"),
        (Outcome("not_now", "http 401", channel="stop", counts_attempt=False), "pending: channel"),
    ],
)
def test_an_answer_is_written_down(cafe, home, hook, outcome, became):
    number = hook()
    send_due(a_desk(cafe, home, Clock(), webhook=Sink([outcome])))
    assert cafe.outcome(number) == became


def test_a_webhook_that_left_the_config_has_nobody_to_tell(cafe, tmp_path, clock, hook):
    number = hook()
    send_due(a_desk(cafe, a_home(tmp_path, CONFIG), clock, webhook=Sink()))
    assert cafe.outcome(number) == "dead: no_recipient"


def test_a_secret_that_is_missing_keeps_webhooks_in_and_says_so(cafe, tmp_path, clock, hook):
    http = "webhooks:\n  app:\n    connector: http\n    url: http://127.0.0.1:9/\n    secret: env:NOT_THERE\n"
    home = a_home(tmp_path, CONFIG + http)
    channels = Channels(home.root, home.config, clock)
    with pytest.raises(CannotSendError, match=r"No webhook app goes out: .*NOT_THERE"):
        channels.connector("webhook:app")


def test_at_another_time_than_the_clocks_only_this_machine_is_told(tmp_path, clock):
    (tmp_path / "secret").write_text("s3cret")
    for host, fine in (("127.0.0.1:9", True), ("app.corner.cafe", False)):
        http = f"webhooks:\n  app:\n    connector: http\n    url: https://{host}/\n    secret: file:secret\n"
        home = a_home(tmp_path, CONFIG + http)
        channels = Channels(home.root, home.config, clock, rehearsal=True)
        if fine:
            channels.connector("webhook:app").close()
        else:
            with pytest.raises(CannotSendError, match="on this machine"):
                channels.connector("webhook:app")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Outcome("not_now", "http 401", channel="stop", counts_attempt=False),
        Outcome("not_now", "http 429", channel="slow"),
        Outcome("unknown", "no reply", channel="breaker"),
    ],
)
def test_what_ails_one_receiver_keeps_nothing_from_another(cafe, tmp_path, clock, hook, answer):
    trouble = CannotSendError("No webhook app goes out") if answer is None else Sink([answer])
    home = a_home(tmp_path, f"{CONFIG}{HOOKS}  till:\n    connector: file\n")
    hook()
    waiting = hook()
    rule = cafe.rule(Step(1, "webhook", Webhook("till", ())))
    others = [cafe.message(cafe.guest(), "webhook", rule=rule, content_id=None) for _ in range(3)]
    desk = a_desk(cafe, home, clock, **{"webhook:app": trouble, "webhook:till": Sink()})
    send_due(desk)
    assert [cafe.state(each) for each in others] == ["sent"] * 3
    assert cafe.outcome(waiting) == "pending: channel"


class TestFromARuleFile:
    @pytest.fixture
    def at_home(self, root, db):
        before = load_home(root, {})
        for name in ("customers", "orders"):
            assert not import_file(db, before.config, before.key, root / f"{name}.csv", now=MORNING - DAY).problem
        (root / "config" / "regulars.yaml").write_text(CONFIG + HOOKS)
        (root / "rules" / "win-back.yaml").write_text(RULE)
        home = load_home(root, {})
        assert home.problems == ()
        evaluated(db, home)
        return home

    def test_it_carries_the_coupon_and_is_written_into_the_outbox(self, db, at_home):
        send(db, at_home, MORNING)
        send(db, at_home, MORNING + 2 * DAY)
        assert states(db) == ["coupon sent", "webhook sent", "webhook sent"]
        first, second = (
            json.loads(file.read_text(encoding="utf-8")) for file in sorted((at_home.root / "outbox").iterdir())
        )
        with db.connect() as conn:
            code = conn.scalar(select(coupons.c.code))
        told = {each["step"]: each for each in (first, second)}
        assert told["2"]["values"] == {
            "customer.first_name": "Li Wei",
            "customer.visits": 1,
            "customer.attributes.shoe": None,
        }
        assert {each["coupon"]["code"].replace("-", "") for each in told.values()} == {code}
        assert "qr" not in told["2"]["coupon"]
        assert told["2"]["customer"] == "c1"


@pytest.mark.parametrize("to", ["owner", "boss", "gone-since"])
def test_an_email_to_staff_goes_like_an_alert(cafe, tmp_path, clock, to):
    contacts = "  boss:\n    email: boss@corner.example\n"
    reached = "boss@corner.example" if to == "boss" else "manager@corner.example"
    config = CONFIG.replace("    email: manager@corner.example\n", f"    email: manager@corner.example\n{contacts}")
    rule = cafe.rule(Step(1, "email", Email("win-back", None, to)))
    number = cafe.message(cafe.guest(email_id=None), "alert", rule=rule)
    clock.at += timedelta(hours=14)
    sink = Sink()
    send_due(a_desk(cafe, a_home(tmp_path, config), clock, email=sink))
    assert cafe.state(number) == "sent"
    assert [message.recipient for message in sink.accepted] == [reached]
    assert b"List-Unsubscribe" not in sink.accepted[0].body


def test_an_email_to_staff_is_never_made_an_sms(cafe, tmp_path, clock):
    config = CONFIG.replace("    email: manager@corner.example\n", '    phone: "+13125550199"\n')
    rule = cafe.rule(Step(1, "email", Email("win-back", None, "manager")))
    number = cafe.message(cafe.guest(), "alert", rule=rule)
    send_due(a_desk(cafe, a_home(tmp_path, config), clock))
    assert cafe.outcome(number) == "dead: no_recipient"
