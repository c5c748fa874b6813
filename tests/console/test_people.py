"""Guests who ask, and coupons at the counter."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update

from engine.console.session import opened
from engine.database.consent import suppress
from engine.database.tables import audit, consents, coupons, customers, dispatches, endpoints

from .conftest import AT, NOW, Regulars, lines


@pytest.fixture
def ran(regulars: Regulars, either_home: Path) -> Regulars:
    def run(*words: object, **options: object):
        return regulars("--home", either_home, *words, **options)

    run("approve", "--all", "--by", "Dana")
    assert run("run", "--as-of", AT).exit_code == 0
    return run


def code_of(ran: Regulars, guest: str) -> str:
    (row,) = lines(ran("log", "--format", "json", "--channel", "coupon", "--customer", guest))
    return row["coupon"]


def test_everything_known_of_a_guest_is_shown(ran: Regulars):
    said = ran("customer", "show", "G1").stdout
    for part in ("G1 Li Wei", "li.wei@example.com", "+13125550101", "28.50 USD", "win-back", "2026-01-25 12:00"):
        assert part in said
    shown = json.loads(ran("customer", "show", "+1 312 555 0101", "--format", "json").stdout)
    assert (shown["customer"], shown["name"], shown["figures"]["visits"]) == ("G1", "Li Wei", 3)
    assert [order["total"] for order in shown["orders"]] == [950, 950, 950]
    assert {each["channel"]: each["state"] for each in shown["consents"]} == {"email": "yes", "sms": "yes"}
    assert any(message["values"] for message in shown["messages"])


def test_a_guest_is_told_of_in_the_owners_words(ran: Regulars):
    said = ran("customer", "show", "G1").stdout
    good = re.search(r"good until +(\S+)", ran("coupon", "show", code_of(ran, "G1"), "--as-of", AT).stdout)
    assert good is not None
    coupons = said.partition("Coupons")[2].partition("Matches")[0]
    assert "good until" in coupons
    assert re.search(rf"{good[1]}(?! \d\d:)", coupons)
    for word in (" issued", "gets it", "said so", "outcome"):
        assert word in said
    for word in ("verdict", "express", "handed at", "valid until", " act\n"):
        assert word not in said
    assert not re.search(r"coupon +sent", said)


def test_the_tier_is_the_one_that_config_loyalty_gives(regulars: Regulars, either_home: Path):
    tiers = "tiers:\n  by: visits\n  within: 365 days\n  levels:\n    gold:\n      name: Gold guest\n      at: 3\n"
    loyalty = either_home / "config" / "loyalty.yaml"
    loyalty.write_text(tiers, encoding="utf-8")

    def shown(*words: str) -> str:
        return regulars("--home", either_home, "customer", "show", "G1", *words).stdout

    assert regulars("--home", either_home, "run", "--as-of", AT).exit_code == 0
    assert re.search(r"tier +Gold guest", shown("--as-of", AT))
    assert json.loads(shown("--as-of", AT, "--format", "json"))["tier"] == "gold"
    assert "tier" not in shown("--as-of", "2027-05-04T10:00")


@pytest.mark.parametrize("written", ["LI.WEI@Example.com", "(312) 555-0101"])
def test_a_guest_is_found_by_a_contact_however_it_is_written(at_home: Regulars, written: str):
    assert json.loads(at_home("customer", "show", written, "--format", "json").stdout)["customer"] == "G1"


def test_a_word_on_marketing_is_recorded_and_obeyed(ran: Regulars):
    said = ran("customer", "consent", "G1", "--email", "no", "--sms", "no", "--by", "Dana")
    assert said.stdout == "email: marketing has ended.\nsms: marketing has ended.\n"
    ran("run", "--as-of", "2026-05-09T10:00")
    (row,) = lines(ran("log", "--format", "json", "--customer", "G1", "--channel", "sms"))
    assert (row["state"], row["reason"]) == ("blocked", "no_consent")
    assert ran("customer", "consent", "G1", "--email", "yes", "--topic", "offers").stdout == (
        "email: marketing about offers is allowed.\n"
    )


def test_a_no_counts_though_the_yes_was_noted_by_a_clock_that_was_ahead(ran: Regulars, monkeypatch):
    monkeypatch.setattr("cli.clock", lambda: NOW + timedelta(days=30))
    ran("customer", "consent", "G1", "--sms", "yes")
    monkeypatch.setattr("cli.clock", lambda: NOW)
    ran("customer", "consent", "G1", "--sms", "no")
    ran("run", "--as-of", "2026-05-09T10:00")
    (row,) = lines(ran("log", "--format", "json", "--customer", "G1", "--channel", "sms"))
    assert (row["state"], row["reason"]) == ("blocked", "no_consent")


BLOCKED_FOR_GOOD = ["complaint", "unsubscribed", "erased"]


def block(database: Engine, why: str, *, guest: str = "G1") -> int:
    with database.begin() as conn:
        email = conn.scalar(select(customers.c.email_id).where(customers.c.external_id == guest))
        assert email is not None
        suppress(conn, email, why, at=NOW)
    return email


def blocked(database: Engine, email: int) -> tuple[object, ...]:
    chosen = select(endpoints.c.suppressed_at, endpoints.c.suppressed_why).where(endpoints.c.id == email)
    with database.connect() as conn:
        return tuple(conn.execute(chosen).one())


@pytest.mark.parametrize("why", ["hard_bounce", "soft_bounces", "unusable"])
def test_an_address_that_works_again_is_let_in_by_hand(at_home: Regulars, database: Engine, why: str):
    email = block(database, why)
    said = at_home("customer", "consent", "G1", "--email", "yes").stdout
    assert "Where it is in order again: `regulars customer reachable G1 --email`." in said
    done = at_home("customer", "reachable", "G1", "--email", "--sms", "--by", "Dana")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first.startswith("email: messages go there again; it was blocked: ")
    assert second == "sms: it was not blocked."
    assert blocked(database, email) == (None, None)
    with database.connect() as conn:
        trail = conn.execute(select(audit).where(audit.c.action == "reachable")).one()
    assert (trail.actor, trail.before, trail.after) == ("Dana", why, "reachable")
    assert trail.subject.startswith("email of customer ")
    assert at_home("customer", "reachable", "G1", "--email").stdout == "email: it was not blocked.\n"


@pytest.mark.parametrize("why", BLOCKED_FOR_GOOD)
@pytest.mark.parametrize("came_back", [True, False])
def test_a_block_of_the_guests_own_will_is_lifted_by_nobody(
    at_home: Regulars, database: Engine, why: str, came_back: bool
):
    if came_back:  # the will counts for more, whichever was first
        block(database, "hard_bounce")
    email = block(database, why)
    refused = at_home("customer", "reachable", "G1", "--sms", "--email")
    assert refused.exit_code == 1
    assert "only the guest can undo that; nothing was changed" in refused.stderr
    assert blocked(database, email) == (NOW, why)
    block(database, "hard_bounce")
    assert blocked(database, email) == (NOW, why)
    assert "reachable" not in at_home("customer", "consent", "G1", "--email", "yes").stdout


def test_what_has_no_address_or_names_none_cannot_be_reachable(at_home: Regulars):
    refused = at_home("customer", "reachable", "G4", "--sms")
    assert (refused.exit_code, refused.stderr) == (1, "This guest has no phone number; nothing was changed.\n")
    asked = at_home("customer", "reachable", "G1")
    assert (asked.exit_code, asked.stderr) == (2, "Give --email or --sms.\n")


def test_implied_consent_is_of_a_guest_who_said_nothing(ran: Regulars):
    allowed = "sms: marketing is allowed as far as the law of the guest's country knows implied consent.\n"
    assert ran("customer", "consent", "G2", "--sms", "implied").stdout == allowed
    for guest, counts in (("G1", "said yes, which counts for more"), ("G3", "said no, and implied consent never")):
        before = ran("customer", "show", guest, "--format", "json").stdout
        refused = ran("customer", "consent", guest, "--email", "no", "--sms", "implied")
        assert refused.exit_code == 1
        assert f"This guest {counts}" in refused.stderr
        assert ran("customer", "show", guest, "--format", "json").stdout == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["G1"], 2, "Give --email or --sms, with yes, no or implied."),
        (["G4", "--sms", "yes", "--email", "no"], 1, "This guest has no phone number; nothing was changed."),
        (["G1", "--email", "no", "--topic", "ofers"], 2, 'There is no topic "ofers" - did you mean "offers"?'),
        (["G77", "--email", "no"], 2, 'There is no guest "G77".'),
    ],
)
def test_what_cannot_be_recorded_changes_nothing(
    at_home: Regulars, database: Engine, words: list[str], code: int, said: str
):
    def number() -> int:
        with database.connect() as conn:
            return len(conn.execute(select(consents)).all())

    before = number()
    result = at_home("customer", "consent", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert number() == before


def test_an_id_that_two_tills_have_is_asked_back(at_home: Regulars, database: Engine):
    with database.begin() as conn:
        zone = conn.scalar(select(customers.c.zone_id))
        conn.execute(insert(customers).values(source="square", external_id="G1", zone_id=zone, attributes={}))
    result = at_home("customer", "show", "G1")
    assert result.exit_code == 2
    assert "csv:G1, square:G1" in result.stderr
    assert "Li Wei" in at_home("customer", "show", "csv:G1").stdout


def test_a_guest_is_erased_for_good_and_what_is_out_of_reach_is_said(ran: Regulars, either_home: Path):
    said = ran("customer", "erase", "G1", "--yes", "--by", "Dana")
    assert said.exit_code == 0, said.output
    assert said.stdout.startswith("Erased: name, addresses, birthday, comments and messages.")
    assert "Backups and copies" in said.stdout
    for file in either_home.rglob("*"):
        if file.is_file():
            held = file.read_bytes()
            assert not [each for each in (b"Li Wei", b"li.wei@", b"3125550101") if each in held], file
    assert ran("customer", "show", "G1").exit_code == 2


def test_erasing_asks_first(at_home: Regulars):
    result = at_home("customer", "erase", "G1", input="n\n")
    assert result.exit_code == 130
    assert "Erase G1 Li Wei for good?" in result.stdout
    assert "Li Wei" in at_home("customer", "show", "G1").stdout
    assert at_home("customer", "erase", "G99", "--yes").exit_code == 2


def test_a_coupon_is_good_once(ran: Regulars, either_home: Path):
    code = code_of(ran, "G1")
    said = ran("coupon", "show", code.lower().replace("-", " "), "--as-of", AT)
    assert said.stdout.endswith("Good.\n")
    assert "good until  2026-05-25\n" in said.stdout
    taken = ran("coupon", "redeem", code, "--as-of", "2026-05-06T12:30", "--by", "Dana")
    assert (taken.exit_code, taken.stdout) == (0, f"{code} is redeemed: 20% off your next visit.\n")
    again = ran("coupon", "redeem", code, "--as-of", "2026-05-06T12:31")
    assert again.exit_code == 1
    assert again.stderr == f"{code} is not good: it was redeemed on 2026-05-06 12:30.\n"
    shown = json.loads(ran("coupon", "show", code, "--as-of", AT, "--format", "json").stdout)
    assert (shown["good"], shown["customer"], shown["rule"]) == (False, "G1", "win-back")
    with opened(either_home, dict(os.environ), lambda: NOW) as session, session.db.begin() as conn:
        conn.execute(dispatches.delete())  # the month of its step is forgotten, and the guest comes with the code
        conn.execute(update(coupons).values(redeemed_at=None))
    assert "win-back" not in ran("coupon", "show", code, "--as-of", AT).stdout
    assert ran("coupon", "redeem", code, "--as-of", "2026-05-06T12:32").exit_code == 0


def test_a_coupon_that_ran_out_or_comes_too_early_is_refused(ran: Regulars):
    code = code_of(ran, "G2")
    late = ran("coupon", "redeem", code, "--as-of", "2026-05-26T12:00")
    assert late.stderr == f"{code} is not good: it was good until 2026-05-25.\n"
    early = ran("coupon", "redeem", code, "--as-of", "2026-05-01T12:00")
    assert "it was issued later" in early.stderr
    assert (late.exit_code, early.exit_code) == (1, 1)


def test_a_redemption_may_name_its_order_and_leaves_a_trail(at_home: Regulars, database: Engine):
    at_home("approve", "--all", "--by", "Dana")
    at_home("run", "--as-of", AT)
    code = code_of(at_home, "G1")
    assert at_home("coupon", "redeem", code, "--order", "O999", "--as-of", AT).stderr == 'There is no order "O999".\n'
    assert at_home("coupon", "redeem", code, "--order", "O11", "--as-of", AT, "--by", "Dana").exit_code == 0
    with database.connect() as conn:
        assert conn.scalars(select(audit.c.actor).where(audit.c.action == "redeem")).all() == ["Dana"]
        assert (
            len(conn.scalars(select(coupons.c.redeemed_order_id).where(coupons.c.redeemed_at.is_not(None))).all()) == 1
        )


def test_a_coupon_below_its_least_bill_is_refused(at_home: Regulars, database: Engine):
    at_home("approve", "--all")
    at_home("run", "--as-of", AT)
    with database.begin() as conn:
        terms = conn.scalar(select(coupons.c.terms).where(coupons.c.code.is_not(None)))
        conn.execute(update(coupons).values(terms={**terms, "minimum_spend": 100_000}))
    result = at_home("coupon", "redeem", code_of(at_home, "G1"), "--order", "O11", "--as-of", AT)
    assert result.exit_code == 1
    assert "is not good for order O11: its store or its least bill is another" in result.stderr


@pytest.mark.parametrize(
    ("code", "said"), [("ABC", "is no code: it has 13"), ("2222-2222-2222-2", "There is no coupon 2222-2222-2222-2.")]
)
def test_a_slip_of_the_pen_is_told_from_an_unknown_code(at_home: Regulars, code: str, said: str):
    result = at_home("coupon", "show", code)
    assert result.exit_code == 2
    assert said in result.stderr
