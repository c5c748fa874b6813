"""What owners write for senders, phones, countries, money: what is read, and what is said of the rest."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language import contacts, formats
from engine.language.formats import FORMATS, Mailbox, minor_units

GOOD = {
    "clock": "09:30",
    "clock-range": "22:00-02:00",
    "country": "CN",
    "currency": "CNY",
    "date": "2026-05-04",
    "duration": "90 days",
    "email-address": "hello@corner.example",
    "freshness": "off",
    "host": "mail.corner.example",
    "hours": "08:00-21:00",
    "language": "zh-Hant-HK",
    "mailbox": "Corner Café <hello@corner.example>",
    "phone": "+1 500 555 0100",
    "schedule": "daily at 10:00",
    "secret": "env:SMTP_PASSWORD",
    "share": "10%",
    "slug": "win-back-90",
    "url": "https://corner.example/r",
    "endpoint": "https://corner.example/api/hook/?code=a%2Fb==",
    "zone": "America/Chicago",
    "day-hours": "closed",
}


@pytest.mark.parametrize("name", GOOD)
def test_the_right_form_is_taken(name):
    FORMATS[name](GOOD[name])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("slug", "Win Back", 'did you mean "win-back"'),
        ("slug", "win_back_90", 'did you mean "win-back-90"'),
        ("slug", "早安", "is not a name such as win-back-90"),
        ("slug", "a" * 65, "64 are the most"),
        ("slug", "-a", 'did you mean "a"'),
        ("email-address", "boss@corner", "is not an email address"),
        ("email-address", "corner.example", "is not an email address"),
        ("email-address", "a b@corner.example", "is not an email address"),
        ("mailbox", "Corner Café hello@corner.example", "is not an email address"),
        ("mailbox", "Corner <hello@>", "is not an email address"),
        ("mailbox", "Corner\r\nBcc: x <hello@corner.example>", "control sign"),
        ("phone", "500 555 0100", "with \\+ and the country's code"),
        ("phone", "+1", "is not a phone number|too short"),
        ("phone", "+1 500 555 0100 0100 0100", "is not a phone number|too long"),
        ("phone", "+abc", "is not a phone number"),
        ("country", "us", 'did you mean "US"'),
        ("country", "USA", 'did you mean "US"'),
        ("country", "UK", 'did you mean "GB"'),
        ("country", "Germany", 'did you mean "DE"'),
        ("country", "XX", "is not a country code"),
        ("currency", "usd", 'did you mean "USD"'),
        ("currency", "dollars", 'did you mean "USD"'),
        ("currency", "€", 'did you mean "EUR"'),
        ("currency", "RMB", 'did you mean "CNY"'),
        ("language", "english", 'did you mean "en"'),
        ("language", "zh_Hans", 'did you mean "zh-Hans"'),
        ("language", "xx", "is not a language"),
        ("url", "corner.example", "is not a web address"),
        ("url", "ftp://corner.example", "is not a web address"),
        ("url", "https://corner.example/r?a=b", "must end with the path"),
        ("url", "https://me@corner.example", "must end with the path"),
        ("url", "https://corner.example:x", "is not a web address"),
        ("url", "https://", "is not a web address"),
        ("url", "https://corner.example/>,<mailto:x@y.example", "is not a web address"),
        ("url", "https://café.example/r", "is not a web address"),
        ("url", "https://corner.example/" + "r" * 978, "a web address of 1001 letters: 500 is the most"),
        ("endpoint", "https://me@corner.example/hook", "nothing of the kind"),
        ("endpoint", "https://corner.example/hook#top", "nothing of the kind"),
        ("endpoint", "https://corner.example/a hook", "is not an address"),
        ("endpoint", "https://corner.example/caf\u00e9", "is not an address"),
        ("endpoint", "corner.example/hook", "is not an address"),
        ("host", "https://mail.corner.example", "no https://"),
        ("host", "mail.corner.example:587", "no port"),
        ("secret", "hunter2", "env:NAME or file:PATH"),
        ("secret", "env:NOT A NAME", "env:NAME or file:PATH"),
        ("freshness", "2 dayz", 'did you mean "2 days"'),
    ],
)  # fmt: skip
def test_another_form_is_told(name, text, said):
    with pytest.raises(ValueError, match=said):
        FORMATS[name](text)


def test_a_secret_is_not_repeated_by_its_parser():
    with pytest.raises(ValueError, match="a secret does not stand in this file") as told:
        FORMATS["secret"]("hunter2")
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("hello@corner.example", Mailbox("", "hello@corner.example")),
        ("<hello@corner.example>", Mailbox("", "hello@corner.example")),
        ("Corner Café <hello@corner.example>", Mailbox("Corner Café", "hello@corner.example")),
        ('"Café, the \\"Corner\\"" <hello@corner.example>', Mailbox('Café, the "Corner"', "hello@corner.example")),
        ("街角咖啡 <hello@corner.example>", Mailbox("街角咖啡", "hello@corner.example")),
    ],
)
def test_a_sender_is_a_name_and_an_address(text, mailbox):
    assert formats.parse_mailbox(text) == mailbox


def test_addresses_and_phones_are_normalised():
    assert formats.parse_email_address("Hello@CORNER.example") == "Hello@corner.example"
    assert contacts.parse_phone("+1 (500) 555-0100") == "+15005550100"
    assert formats.parse_url("https://corner.example/r/") == "https://corner.example/r"
    for kept in ("https://corner.example/hook/", "https://corner.example/hook?code=a/b==&x=1"):
        assert formats.parse_endpoint(kept) == kept


@pytest.mark.parametrize(
    ("value", "currency", "units"),
    [(50, "USD", 5000), (49.5, "USD", 4950), ("49.99", "EUR", 4999), (0.1, "USD", 10), (500, "JPY", 500), (1.234, "KWD", 1234), (0, "USD", 0)],
)  # fmt: skip
def test_money_is_whole_minor_units(value, currency, units):
    assert minor_units(value, currency) == units


@pytest.mark.parametrize(
    ("value", "currency", "said"),
    [
        (1.005, "USD", "too exact: USD has 2 digits"),
        (1.5, "JPY", "too exact: JPY has no digits"),
        (-1, "USD", "must be 0 or more"),
        (10**13, "USD", "is not an amount"),
        ("5 dollars", "USD", "is not an amount"),
        (float("nan"), "USD", "is not an amount"),
    ],
)
def test_what_is_no_money_is_told(value, currency, said):
    with pytest.raises(ValueError, match=said):
        minor_units(value, currency)


@given(st.integers(0, 10**11), st.sampled_from(["USD", "JPY", "KWD"]))
def test_money_written_with_all_its_digits_comes_back(units, currency):
    digits = formats.currency_digits(currency)
    assert minor_units(str(Decimal(units).scaleb(-digits)), currency) == units
    assert minor_units(float(Decimal(units).scaleb(-digits)), currency) == units


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=30))
def test_no_text_makes_a_parser_do_more_than_explain(name, text):
    try:
        FORMATS[name](text)
    except ValueError as error:
        said = str(error)
    else:
        said = "right"
    assert said
