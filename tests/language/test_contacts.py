"""One form for every way of writing a contact: the file's, the till's, and that of who types it."""

from __future__ import annotations

import re

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from engine.language.contacts import OTHER_USES, channel_of, mail_address, normalise, parse_phone


@pytest.mark.parametrize("text", ["li@example.com", "LI@Example.com", " Li@EXAMPLE.COM "])
def test_one_inbox_is_one_address_however_it_is_written(text: str):
    assert normalise(channel_of(text), text) == "li@example.com"


@pytest.mark.parametrize("text", ["+1 312 555 0100", "(312) 555-0100", "312.555.0100", "1 312 555 0100"])
def test_one_number_is_one_however_it_is_written(text: str):
    assert normalise(channel_of(text), text, "US") == "+13125550100"


def test_a_number_with_its_country_is_not_of_the_homes():
    assert normalise("sms", "+44 20 7946 0958", "US") == "+442079460958"


def test_letters_of_a_sender_stay_as_they_are():
    assert mail_address("Hello@CORNER.example") == "Hello@corner.example"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("555-0100", "lacks the area code"),
        ("123", "is too short or too long for a number of its country"),
        ("312 555 0100 0100 0100", "is not a phone number"),
        ("call me", "is not a phone number"),
        ("li@example", "is not an email address such as"),
        ("l i@example.com", "is not an email address: "),
    ],
)
def test_what_is_none_is_refused_without_being_repeated(text: str, said: str):
    with pytest.raises(ValueError, match=f"^{said}") as told:
        normalise(channel_of(text), text, "US")
    assert text not in str(told.value)


def test_without_a_country_a_number_must_name_its_own():
    with pytest.raises(ValueError, match="is not a phone number"):
        normalise("sms", "312 555 0100")
    with pytest.raises(ValueError, match='"\\+1 555 0100" lacks the area code; write it as in "\\+1 500 555 0100"'):
        parse_phone("+1 555 0100")


@pytest.mark.parametrize("domain", [
    "example.com", "Example.COM", "mail.test", "b-.com", "-b.com", "a..com", "münchen.de", "xn--mnchen-3ya.de", "xn--zz.de",
    "1.2.3.4", "[1.2.3.4]", "exa_mple.com", f"{'a' * 64}.com", f"{'a.' * 126}com", "ex ample.com", "com.", "ab--cd.com",
    "a-b.c-d.com", "a.localhost", "a.ONION", "1.2", "a.b.", "a\n.com", f"{'a' * 63}.com", f"{'a' * 63}.{'b' * 63}.com", "i̇.com", "ﬁ.com", "a---b.com",
])  # fmt: skip
def test_a_plain_address_is_read_as_any_other(domain: str):
    """What spares the library's look at what stands before the @ says the same as the library."""
    names = [
        "a",
        "A.B",
        "a..b",
        ".a",
        "a.",
        "a b",
        "é",
        "x" * 64,
        "x" * 65,
        "a+b",
        "a'b",
        "a@b",
        "",
        "x" * 30 + "." + "y" * 40,
        "-a",
    ]
    for name in names:
        text = f"{name}@{domain}"
        try:
            wanted = validate_email(text, check_deliverability=False, globally_deliverable=False).normalized
        except EmailNotValidError as error:
            with pytest.raises(ValueError, match=re.escape(str(error).rstrip("."))):
                mail_address(text)
        else:
            assert mail_address(text) == wanted


def test_the_domains_for_other_uses_are_those_that_the_library_knows():
    assert set(SPECIAL_USE_DOMAIN_NAMES) == OTHER_USES
