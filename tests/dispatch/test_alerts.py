"""Alerts to staff: who gets them, when, and one message with a list."""

import email
import email.policy
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from engine.database.tables import channels, customers, payloads
from engine.dispatch.stages import send_due
from engine.language.rule import Step
from engine.vocabulary.actions import Alert

from .world import CHICAGO, CONFIG, NOW, Clock, Sink, a_desk, a_home


def chicago(day, hour, minute=0):
    return datetime(2026, 5, day, hour, minute, tzinfo=CHICAGO).astimezone(UTC)


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def clock():
    return Clock()


def text_of(message):
    parsed = email.message_from_bytes(message.body, policy=email.policy.default)
    return parsed.get_body(("plain",)).get_content()


class TestAlerts:
    def rule(self, cafe, **settings):
        return cafe.rule(Step(1, "alert", Alert("low-rating-alert", **settings)), purpose="service")

    def content(self, cafe):
        return cafe.content(
            "low-rating-alert",
            **{
                "subject.txt": "Bad ratings",
                "email.txt": "{% for match in matches %}{{ match.customer.name }};{% endfor %}",
                "sms.txt": "Bad rating",
            },
        )

    def alerts(self, cafe, rule, *, stores=(None,), run=None):
        content, run, made = self.content(cafe), run or cafe.run(), []
        for number, store in enumerate(stores, start=1):
            guest = cafe.guest(f"Guest {number}")
            match = cafe.match(guest, rule=rule, run_id=run, store_id=store)
            made.append(cafe.dispatch(match, guest, "alert", content_id=content))
        return made

    def test_an_alert_goes_to_the_manager_at_any_hour(self, cafe, home, clock):
        clock.at = chicago(5, 3)
        (alert,) = self.alerts(cafe, self.rule(cafe))
        sink = Sink()
        send_due(a_desk(cafe, home, clock, email=sink))
        assert cafe.state(alert) == "sent"
        assert sink.accepted[0].recipient == "manager@corner.example"
        assert b"List-Unsubscribe" not in sink.accepted[0].body

    def test_once_per_run_is_one_message_with_a_list_and_one_provider_id(self, cafe, home, clock):
        made = self.alerts(cafe, self.rule(cafe, once_per="run"), stores=(None,) * 3)
        sink = Sink()
        assert send_due(a_desk(cafe, home, clock, email=sink)).to_json() == {"sent": 3}
        assert [text_of(each).strip() for each in sink.accepted] == ["Guest 1;Guest 2;Guest 3;"]
        assert {cafe.row(each).provider_id for each in made} == {"p1"}

    def test_each_payload_of_a_list_holds_its_own_guest_only(self, cafe, home, clock):
        made = self.alerts(cafe, self.rule(cafe, once_per="run"), stores=(None,) * 2)
        send_due(a_desk(cafe, home, clock))
        with cafe.db.begin() as conn:
            kept = {row[0]: row[1] for row in conn.execute(select(payloads.c.dispatch_id, payloads.c["values"]))}
        assert "Guest 2" not in str(kept[made[0]])
        assert "Guest 1" not in str(kept[made[1]])

    def test_one_who_was_erased_meanwhile_drops_out_of_the_list(self, cafe, home, clock):
        made = self.alerts(cafe, self.rule(cafe, once_per="run"), stores=(None,) * 3)
        erased = []

        def erase():
            if not erased:
                erased.append(True)
                with cafe.db.begin() as conn:
                    conn.execute(update(customers).where(customers.c.name == "Guest 2").values(erased_at=NOW))

        sink = Sink(before_fence=erase)
        send_due(a_desk(cafe, home, clock, email=sink))
        assert [cafe.outcome(each) for each in made] == ["sent", "blocked: erased", "sent"]
        assert [text_of(each).strip() for each in sink.accepted] == ["Guest 1;Guest 3;"]

    def test_to_the_store_is_to_its_manager_or_else_to_ours(self, cafe, home, clock):
        cafe.guest()
        north = cafe.store("North", manager_email="north@corner.example")
        east = cafe.store("East", manager_phone="+15005550111")
        self.alerts(cafe, self.rule(cafe, to="store", once_per="store"), stores=(north, east, None))
        mail, text = Sink(), Sink()
        send_due(a_desk(cafe, home, clock, email=mail, sms=text))
        assert [each.recipient for each in mail.accepted] == ["north@corner.example", "manager@corner.example"]
        assert [each.recipient for each in text.accepted] == ["+15005550111"]

    def test_of_an_sms_that_is_longer_than_carriers_take_staff_gets_the_beginning(self, cafe, home, clock):
        content, guest = cafe.content("low-rating-alert", **{"sms.txt": "Bad rating " * 500}), cafe.guest()
        east = cafe.store("East", manager_phone="+15005550111")
        match = cafe.match(guest, rule=self.rule(cafe, to="store"), store_id=east)
        cafe.dispatch(match, guest, "alert", content_id=content)
        text = Sink()
        send_due(a_desk(cafe, home, clock, sms=text))
        (alert,) = text.accepted
        assert (len(alert.body), alert.body[:10], alert.body[-3:]) == (1_600, "Bad rating", "...")

    def test_nobody_to_tell_is_said_on_the_row(self, cafe, tmp_path, clock):
        (alert,) = self.alerts(cafe, self.rule(cafe, to="nobody"))
        nobody = a_home(tmp_path, CONFIG.replace("contacts:\n  manager:\n    email: manager@corner.example\n", ""))
        send_due(a_desk(cafe, nobody, clock))
        assert cafe.outcome(alert) == "dead: no_recipient"

    def test_an_alert_whose_channel_is_shut_is_tried_again_later(self, cafe, home, clock):
        (alert,) = self.alerts(cafe, self.rule(cafe))
        with cafe.db.begin() as conn:
            conn.execute(channels.insert().values(channel="email", stopped_at=NOW))
        send_due(a_desk(cafe, home, clock))
        row = cafe.row(alert)
        assert (row.state, row.reason, row.due_at) == ("pending", "channel", NOW + timedelta(minutes=15))
