"""The way out by token: what it writes, what it shows, and that it is never lost."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, insert, select, update

import cli
from engine.database.consent import record_consent, suppress
from engine.database.tables import consents, endpoints
from engine.dispatch.links import link_keys, mail_token, token, unsubscribe_url
from engine.dispatch.stages import send_due
from engine.dispatch.unsubscribing import Subscription, subscription, unsubscribe
from engine.language.contacts import Channel
from engine.language.keys import endpoint_hash

from .world import NOW, Cafe, Clock, Sink, a_desk, a_home

KEY = bytes(range(32))
KEYS = (KEY,)
LATER = NOW + timedelta(hours=1)


def said(db: Engine, endpoint_id: int) -> list[tuple[str, str, str | None]]:
    with db.begin() as conn:
        rows = conn.execute(select(consents).where(consents.c.endpoint_id == endpoint_id).order_by(consents.c.id))
        return [(row.state, row.source, row.topic) for row in rows]


def endpoint(db: Engine, key: bytes, channel: Channel, address: str) -> int:
    with db.begin() as conn:
        row = {"channel": channel, "hash": endpoint_hash(key, channel, address), "address": address}
        return int(conn.scalar(insert(endpoints).values(**row).returning(endpoints.c.id)) or 0)


def press(db: Engine, text: str) -> bool | None:
    with db.begin() as conn:
        return unsubscribe(conn, KEYS, text, LATER)


def test_the_button_acts_once_and_may_be_pressed_again(cafe: Cafe):
    endpoint = cafe.endpoint("email", "li@example.com")
    text = token(KEY, "unsubscribe", endpoint)
    assert press(cafe.db, text) is True
    assert press(cafe.db, text) is False
    assert press(cafe.db, mail_token(KEY, "unsubscribe", endpoint).upper()) is False
    assert said(cafe.db, endpoint) == [("yes", "form", None), ("no", "one-click", None)]


def test_to_look_acts_on_nothing_and_tells_nobody_whose_it_is(cafe: Cafe):
    endpoint = cafe.endpoint("email", "li@example.com")
    text = token(KEY, "unsubscribe", endpoint)
    with cafe.db.begin() as conn:
        before = subscription(conn, KEYS, text)
    assert before == Subscription("email", ended=False)
    assert "li@" not in repr(before)
    assert len(said(cafe.db, endpoint)) == 1
    press(cafe.db, text)
    with cafe.db.begin() as conn:
        assert subscription(conn, KEYS, text) == Subscription("email", ended=True)
        assert subscription(conn, KEYS, token(KEY, "rating", endpoint)) is None
        assert subscription(conn, KEYS, token(KEY, "unsubscribe", endpoint + 999)) is None


def test_a_forged_token_changes_nothing(cafe: Cafe):
    endpoint = cafe.endpoint("email", "li@example.com")
    for text in (token(bytes(32), "unsubscribe", endpoint), token(KEY, "bounce", endpoint), "x" * 20, "", "ä"):
        assert press(cafe.db, text) is None
    assert len(said(cafe.db, endpoint)) == 1


def test_the_next_message_is_blocked(cafe: Cafe, tmp_path: Path):
    home, sink = a_home(tmp_path), Sink()
    guest = cafe.guest()
    waiting = cafe.message(guest)
    with cafe.db.begin() as conn:
        keys = link_keys(home.config, home.key)
        assert unsubscribe(conn, keys, unsubscribe_url(home.config, home.key, guest.email_id), NOW)
    send_due(a_desk(cafe, home, Clock(LATER), email=sink))
    assert (cafe.outcome(waiting), sink.accepted) == ("blocked: no_consent", [])


@pytest.mark.parametrize("topic", ["news", None])
def test_it_goes_before_a_yes_that_came_later_or_has_a_day_to_come(cafe: Cafe, topic: str | None):
    endpoint = cafe.endpoint("email", "li@example.com")
    text = token(KEY, "unsubscribe", endpoint)
    assert press(cafe.db, text)
    with cafe.db.begin() as conn:
        record_consent(conn, endpoint, "yes", at=LATER + timedelta(days=3), source="import", topic=topic)
        shown = subscription(conn, KEYS, text)
        assert shown is not None
        assert not shown.ended
    assert press(cafe.db, text) is True
    with cafe.db.begin() as conn:
        shown = subscription(conn, KEYS, text)
        assert shown is not None
        assert shown.ended


def test_it_works_for_who_was_erased_and_for_an_address_that_bounced(cafe: Cafe):
    erased, bounced = cafe.endpoint("email", "a@example.com"), cafe.endpoint("email", "b@example.com")
    with cafe.db.begin() as conn:
        conn.execute(
            update(endpoints)
            .where(endpoints.c.id == erased)
            .values(address=None, suppressed_at=NOW, suppressed_why="erased")
        )
        suppress(conn, bounced, "hard_bounce", at=NOW)
    for endpoint in (erased, bounced):
        assert press(cafe.db, token(KEY, "unsubscribe", endpoint)) is True
    with cafe.db.begin() as conn:
        row = conn.execute(select(endpoints).where(endpoints.c.id == erased)).one()
    assert (row.address, row.suppressed_why) == (None, "erased")


def test_an_implied_yes_does_not_outlive_it(cafe: Cafe):
    endpoint = cafe.endpoint("email", "li@example.com", consent=False)
    with cafe.db.begin() as conn:
        conn.execute(
            insert(consents).values(endpoint_id=endpoint, basis="implied", state="yes", at=NOW, source="import")
        )
    assert press(cafe.db, token(KEY, "unsubscribe", endpoint)) is True
    assert press(cafe.db, token(KEY, "unsubscribe", endpoint)) is False


def test_the_command_line_takes_tokens_links_and_addresses(tmp_path: Path):
    from engine.console.session import opened
    from engine.starter.home import HomeAnswers, create_home

    root = create_home(tmp_path / "home", answers=HomeAnswers())
    with opened(root, {}, lambda: NOW) as session:
        key = session.home.key
        one, two = (
            endpoint(session.db, key, channel, to) for channel, to in (("email", "a@b.ie"), ("sms", "+13125550101"))
        )
    words = [
        token(key, "unsubscribe", one),
        f"https://corner.example/r/u/{token(key, 'unsubscribe', one)}",
        f"mailto:b+{mail_token(key, 'unsubscribe', two)}@corner.example?subject=unsubscribe",
    ]
    done = CliRunner().invoke(cli.main, ["--home", str(root), "receive", "unsubscribe", *words])
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        ["2 guests unsubscribed: no more advertising goes there.", "1 guest had unsubscribed before."],
    )
    with opened(root, {}, lambda: NOW) as session, session.db.begin() as conn:
        dashed = next(number for number in count(100) if token(key, "unsubscribe", number).startswith("-"))
        third = {"id": dashed, "channel": "email", "hash": b"3" * 32, "address": "c@b.ie"}
        conn.execute(insert(endpoints), third)
    asked = ["--home", str(root), "receive", "unsubscribe", token(key, "unsubscribe", dashed)]
    done = CliRunner().invoke(cli.main, asked)
    assert (done.exit_code, done.output.splitlines()[:1]) == (
        0,
        ["1 guest unsubscribed: no more advertising goes there."],
    )
    done = CliRunner().invoke(cli.main, [*asked[:-1], "--", asked[-1]])  # as who knows of such options writes it
    assert (done.exit_code, done.output.splitlines()) == (0, ["1 guest had unsubscribed before."])
    done = CliRunner().invoke(cli.main, ["--home", str(root), "receive", "unsubscribe", "nonsense", words[0]])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        1,
        "1 of what you gave is no unsubscribe link of this home.",
    )
