from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amounts import parse_amount
from connectors.numbers import Numbers


@pytest.mark.parametrize(
    ("text", "digits", "currency", "value"),
    [
        ("12.5", 2, "USD", "12.5"),
        ("$1,234.50", 2, "USD", "1234.50"),
        ("US$ 12", 2, "USD", "12"),
        ("-$4.50", 2, "USD", "-4.50"),
        ("$-4.50", 2, "USD", "-4.50"),
        ("($4.50)", 2, "USD", "-4.50"),
        ("4.50-", 2, "USD", "-4.50"),
        ("\u22123.00", 2, "USD", "-3.00"),
        ("(4,50 €)", 2, "EUR", "-4.50"),
        ("1.234,50", 2, "EUR", "1234.50"),
        ("1 234,50 zł", 2, "PLN", "1234.50"),
        ("1\u202f234,50\u00a0€", 2, "EUR", "1234.50"),
        ("1'234.50", 2, "CHF", "1234.50"),
        ("1,23,456.00", 2, "INR", "123456.00"),
        ("1,234,567", 2, "USD", "1234567"),
        ("¥1,200", 0, "JPY", "1200"),
        ("1.234", 3, "KWD", "1.234"),
        ("USD 12", 2, "USD", "12"),
        ("kr 12", 2, "SEK", "12"),
        (".5", 2, "USD", "0.5"),
    ],
)
def test_amounts_are_read_as_tills_print_them(text: str, digits: int, currency: str, value: str):
    assert parse_amount(text, digits, currency, Numbers()) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "digits", "currency", "said"),
    [
        ("€3", 2, "USD", "is not in USD, the currency of this home"),
        ("EUR 12", 2, "USD", "is not in USD"),
        ("$12", 2, "EUR", "is not in EUR"),
        ("12.50", 0, "JPY", "more decimals than the currency"),
        ("12.3456", 2, "USD", "more decimals than the currency"),
        ("1234.567", 2, "USD", "more decimals than the currency"),
        ("12.345", 2, "USD", "may be 12345 or 12.345"),
        ("$1,234", 2, "USD", "may be 1234 or 1.234"),
        ("1,23.50", 2, "USD", "is not an amount"),
        ("twelve", 2, "USD", "is not an amount such as 12.50"),
        ("1e5", 2, "USD", "is not an amount"),
        ("12.345.6", 2, "USD", "is not an amount"),
        ("1.2.3", 2, "USD", "is not an amount"),
        ("$", 2, "USD", "is not an amount"),
        ("2026-05-03", 2, "USD", "is not an amount"),
    ],
)
def test_what_is_no_amount_of_the_home_is_refused(text: str, digits: int, currency: str, said: str):
    with pytest.raises(ValueError, match=said):
        parse_amount(text, digits, currency, Numbers())


def test_an_amount_that_may_be_two_is_read_as_the_files_others_are_written():
    american, german = (Numbers(lambda text=text: [text]) for text in ("$4.50", "4,50 €"))
    assert parse_amount("$1,234", 2, "USD", american) == 1234
    assert parse_amount("1.234 €", 2, "EUR", german) == 1234
    with pytest.raises(ValueError, match=r'"\$12.345" has more decimals than the currency'):
        parse_amount("$12.345", 2, "USD", american)


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(
        [("{:,.2f}", str), ("{:,.2f}", lambda text: text.translate(str.maketrans(",.", ".,"))), ("{:.2f}", str)]
    ),
    st.sampled_from(["{}", "${}", "{} USD"]),
)
def test_an_amount_written_in_any_usual_way_is_itself(cents: int, style: tuple, mark: str):
    pattern, turn = style
    value = Decimal(cents) / 100
    assert parse_amount(mark.format(turn(pattern.format(value))), 2, "USD", Numbers()) == value


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_refused(text: str):
    with suppress(ValueError):
        assert parse_amount(text, 2, "USD", Numbers()).is_finite()
