"""The law of the home's and the guest's country at an evaluation: what implied consent is worth, and legal hours."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from small_world import CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, update

from engine.database.consent import record_consent
from engine.database.tables import consents, customer_facts, endpoints
from engine.evaluation.permission import implied_terms, reachable
from engine.evaluation.stop import why_stopped

NOW = at("2026-05-04 10:00")
BIRTHDAY = "trigger:\n  birthday:\n"
SMS = f"{BIRTHDAY}actions:\n  - sms: hello\n"
ACT, ENDED, NO = ("act", None), ("refused", "consent_ended"), ("refused", "no_consent")


@pytest.fixture
def british(db: Engine) -> Cafe:
    return Cafe(db, home_of(CONFIG.replace("country: US", "country: GB")))


def implied(cafe: Cafe, country: str | None, *, agreed: datetime, ordered: datetime | None = None) -> int:
    """Add a guest of a country whose consent to email is only implied."""
    number = len(cafe.rows(endpoints))
    address, phone = f"implied{number}@example.com", f"+{number}"
    endpoint = cafe.endpoint("email", address, consent=None)
    with cafe.db.begin() as conn:
        record_consent(conn, endpoint, "yes", at=agreed, source="till", basis="implied")
    cafe.endpoint("sms", phone)
    guest = cafe.guest(birthday=504, email=address, sms=phone)
    with cafe.db.begin() as conn:
        conn.execute(update(endpoints).where(endpoints.c.address == phone).values(country=country))
    if ordered is not None:
        cafe.order(guest, ordered)
    return guest


def test_implied_consent_ends_by_itself_after_the_last_order_or_the_enquiry(british: Cafe) -> None:
    long_ago = at("2020-01-01 10:00")
    expected = {
        implied(british, "CA", agreed=long_ago, ordered=at("2024-05-04 23:00")): ENDED,
        implied(british, "CA", agreed=long_ago, ordered=at("2024-05-05 08:00")): ACT,
        implied(british, "CA", agreed=at("2025-11-04 23:00")): ENDED,
        implied(british, "CA", agreed=at("2025-11-05 08:00")): ACT,
        implied(british, "CA", agreed=at("2025-11-05 08:00"), ordered=long_ago): ACT,
        implied(british, "GB", agreed=long_ago): ACT,
        implied(british, None, agreed=long_ago): ACT,
        implied(british, "IE", agreed=NOW - timedelta(days=1)): ENDED,
        implied(british, "IE", agreed=long_ago, ordered=at("2025-05-05 08:00")): ACT,
        implied(british, "CN", agreed=NOW - timedelta(days=1), ordered=NOW - timedelta(days=1)): NO,
        implied(british, "IT", agreed=long_ago): ACT,
    }
    assert british.verdicts(BIRTHDAY, NOW) == expected
    with british.db.begin() as conn:
        assert reachable(conn, implied_terms(british.home.config, NOW))["email"] == list(expected.values()).count(ACT)


@pytest.mark.parametrize("asked", ["stop_if", "only_if"])
def test_a_journey_under_way_knows_implied_consent_as_the_match_did(british: Cafe, asked: str) -> None:
    guest = implied(british, "CA", agreed=NOW - timedelta(days=9))
    british.run(BIRTHDAY, now=NOW)
    step = "actions:\n  - email:\n      template: hello\n      only_if:\n        reachable: email\n"
    stop = "stop_if:\n  reachable: email\n"
    rule = rule_of(BIRTHDAY + (step if asked == "only_if" else stop), british.home)
    with british.db.begin() as conn:
        why = why_stopped(conn, british.home, rule, customer_id=guest, matched_at=NOW, as_of=NOW, step=1)
    assert why == (None if asked == "only_if" else "stop_if")


def test_at_a_home_of_a_strict_law_the_guests_easier_one_changes_nothing(db: Engine) -> None:
    cafe = Cafe(db, home_of(CONFIG.replace("country: US", "country: CN")))
    guest = implied(cafe, "GB", agreed=NOW - timedelta(days=1), ordered=NOW - timedelta(days=1))
    assert cafe.verdicts(BIRTHDAY, NOW) == {guest: NO}


def test_what_a_guest_said_does_not_end_and_a_later_no_counts(british: Cafe) -> None:
    said, refused = (implied(british, "CA", agreed=at("2020-01-01 10:00")) for _ in range(2))
    by_guest = dict(british.rows(customer_facts, customer_facts.c.customer_id, customer_facts.c.email_id))
    assert by_guest == {}  # no facts before the first run
    british.run(BIRTHDAY, now=NOW - timedelta(days=30))
    by_guest = dict(british.rows(customer_facts, customer_facts.c.customer_id, customer_facts.c.email_id))
    british.consent(by_guest[said], "yes", at("2021-01-01 10:00"))
    british.consent(by_guest[refused], "no", at("2021-01-01 10:00"))
    assert british.verdicts(BIRTHDAY, NOW) == {said: ACT, refused: NO}
    assert {row.basis for row in british.rows(consents)} == {"express", "implied"}


@pytest.mark.parametrize("said", ["yes", "no"])
@pytest.mark.parametrize("implied_first", [True, False], ids=["implied first", "said first"])
@pytest.mark.parametrize("implied_at", ["2025-12-01 10:00", "2026-02-01 10:00", "2026-03-01 10:00"])
def test_what_was_said_goes_before_what_is_implied_whoever_wrote_it_when(
    british: Cafe, said: str, implied_at: str, *, implied_first: bool
) -> None:
    """As the words may stand in a database: written by an older version, or moved by a merge."""
    endpoint = british.endpoint("email", "ann@example.com", consent=None)
    words = [("yes", "implied", at(implied_at)), (said, "express", at("2026-02-01 10:00"))]
    with british.db.begin() as conn:
        for state, basis, when in words if implied_first else reversed(words):
            record_consent(conn, endpoint, state, at=when, source="till", basis=basis)
    guest = british.guest(birthday=504, email="ann@example.com")
    assert british.verdicts(BIRTHDAY, NOW) == {guest: ACT if said == "yes" else NO}


def test_of_a_topic_the_words_said_of_it_or_of_all_marketing_go_before_what_is_implied(british: Cafe) -> None:
    told = {}
    for number, (topic, implied_topic) in enumerate(((None, "offers"), ("offers", None), ("offers", "offers"))):
        address = f"ann{number}@example.com"
        endpoint = british.endpoint("email", address, consent=None)
        with british.db.begin() as conn:
            record_consent(conn, endpoint, "no", at=at("2026-01-01 10:00"), source="till", topic=topic)
            when = at("2026-02-01 10:00")
            record_consent(conn, endpoint, "yes", at=when, source="till", basis="implied", topic=implied_topic)
        told[british.guest(birthday=504, email=address)] = NO
    assert british.verdicts(f"topic: offers\n{BIRTHDAY}", NOW) == told


def test_reachable_and_stop_if_ask_as_a_message_would(british: Cafe) -> None:
    gone = implied(british, "CA", agreed=at("2020-01-01 10:00"))
    here = implied(british, "CA", agreed=NOW - timedelta(days=1))
    rule = "trigger:\n  birthday:\nconditions:\n  reachable: email\n"
    assert british.who(rule, NOW) == {here}
    assert british.who(rule.replace("email", "sms"), NOW) == {gone, here}


def due(cafe: Cafe) -> dict[int, tuple[str, str | None, datetime]]:
    return {row.customer_id: (row.state, row.reason, row.due_at) for row in cafe.dispatches}


def test_sms_keep_the_legal_hours_of_each_guests_country(cafe: Cafe) -> None:
    sunday = at("2026-05-03 12:30")
    home, french, korean = (cafe.guest(birthday=503, email=None, sms=f"+{number}") for number in (1, 2, 3))
    with cafe.db.begin() as conn:
        for number, country in ((1, None), (2, "FR"), (3, "KR")):
            conn.execute(update(endpoints).where(endpoints.c.address == f"+{number}").values(country=country))
    cafe.verdicts(f"id: approved\n{SMS}", sunday)
    assert due(cafe) == {
        home: ("held", "first_approval", sunday),
        french: ("held", "first_approval", at("2026-05-04 10:00")),
        korean: ("blocked", "no_refusal_number", sunday),
    }


def test_public_holidays_of_the_guests_country_are_kept(cafe: Cafe) -> None:
    labour_day = at("2026-05-01 12:00")
    french = cafe.guest(birthday=501, email=None, sms="+2")
    with cafe.db.begin() as conn:
        conn.execute(update(endpoints).values(country="FR"))
    cafe.verdicts(SMS, labour_day)
    assert due(cafe)[french][2] == at("2026-05-02 10:00")


def test_a_guest_whose_law_leaves_no_moment_is_told_of(cafe: Cafe) -> None:
    sunday = at("2026-05-03 12:30")
    home, french = (cafe.guest(birthday=503, email=None, sms=f"+{number}") for number in (1, 2))
    with cafe.db.begin() as conn:
        conn.execute(update(endpoints).where(endpoints.c.address == "+2").values(country="FR"))
    cafe.verdicts(f"{SMS}send:\n  on:\n    - sun\n", sunday)
    assert {guest: state for guest, (state, *_) in due(cafe).items()} == {home: "held", french: "blocked"}
    assert due(cafe)[french][1] == "never_open"


def test_service_messages_know_only_the_homes_hours(cafe: Cafe) -> None:
    sunday = at("2026-05-03 12:30")
    guest = cafe.guest(birthday=503, email=None, sms="+3")
    with cafe.db.begin() as conn:
        conn.execute(update(endpoints).values(country="KR"))
    cafe.verdicts(f"{SMS}purpose: service\n", sunday)
    assert due(cafe)[guest] == ("held", "first_approval", sunday)
