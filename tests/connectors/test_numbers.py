"""Numbers that say what their marks mean, and those for which the whole file is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.numbers import Numbers, UndecidedNumberError, sign_of


def file_of(*texts: str) -> Numbers:
    return Numbers(lambda: texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", "4"), ("-4.5", "-4.5"), ("4,5", "4.5"), ("\u22124,50", "-4.5"), ("+12", "12"), ("'12", "12"), ("1 234", "1234"),
        ("1'234.5", "1234.5"), ("1,234.50", "1234.5"), ("1.234,50", "1234.5"), ("1,234,567", "1234567"), ("1.234.567", "1234567"),
        ("12,34,567.5", "1234567.5"), ("0.125", "0.125"), ("0,125", "0.125"), (".5", "0.5"), ("1234.567", "1234.567"), ("1.0000", "1"),
    ],
)  # fmt: skip
def test_numbers_that_can_be_one_only_are_read_whatever_the_file_says(text: str, value: str):
    for numbers in (Numbers(), file_of("4.50"), file_of("4,50")):
        assert numbers.decimal(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "four", "1e5", "NaN", "1_000", "1.2.3", "12,34.5", "1,2345.6", "1.234,567,8", "- 4 -", "4%"]
)
def test_what_is_no_number_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a number"):
        Numbers().decimal(text)


@pytest.mark.parametrize(
    ("others", "comma", "point"),
    [
        (["4.50"], 1234, "1.234"),
        (["$1,234.00", "x", ""], 1234, "1.234"),
        (["0.500", "1,000"], 1234, "1.234"),
        (["1,234,567"], 1234, "1.234"),
        (["4,50 €"], "1.234", 1234),
        (["1.234.567"], "1.234", 1234),
        (["1 234,5"], "1.234", 1234),
    ],
)
def test_a_number_that_may_be_two_is_read_as_the_files_others(others: list[str], comma: object, point: object):
    numbers = file_of("1,234", *others)
    assert (numbers.decimal("1,234"), numbers.decimal("1.234")) == (Decimal(str(comma)), Decimal(str(point)))


@pytest.mark.parametrize("others", [[], ["950", "12"], ["1,000", "2.000"], ["4.50", "4,50"]])
@pytest.mark.parametrize("text", ["1,234", "1.234"])
def test_where_the_file_says_nothing_or_both_it_is_refused_with_the_cure(others: list[str], text: str):
    with pytest.raises(UndecidedNumberError) as told:
        Numbers(lambda: others, mapping="config/mappings/till.yaml").decimal(text)
    assert str(told.value) == (
        f'"{text}" may be 1234 or 1.234: the other numbers of the file do not say which. Export it without marks between '
        "thousands, or say in config/mappings/till.yaml: decimals: point (or comma)"
    )


def test_the_owners_word_decides_and_spares_reading_the_file():
    def never() -> Iterator[str]:
        raise AssertionError

    assert Numbers(never, "comma").decimal("1.234") == 1234
    assert Numbers(never, "point").decimal("1.234") == Decimal("1.234")
    assert Numbers(never).decimal("1234.50") == Decimal("1234.5")


@pytest.mark.parametrize(("decimals", "value"), [(0, "1234"), (3, "1.234")])
def test_what_has_no_decimals_has_thousands_and_what_has_three_has_decimals(decimals: int, value: str):
    assert {Numbers().decimal(text, decimals) for text in ("1,234", "1.234")} == {Decimal(value)}
    assert file_of("4.5").decimal("1.234", decimals) == Decimal("1.234")
    assert file_of("4.5").decimal("1,234", decimals) == 1234


def test_a_file_of_whole_numbers_says_nothing():
    assert sign_of(["1", "", "x", "1,234", "1.234"]) is None


@given(st.decimals(-(10**9), 10**9, places=3), st.sampled_from(["point", "comma"]))
def test_a_number_written_with_thousands_is_itself_where_the_file_is_known(value: Decimal, sign: str):
    text = f"{value:,.3f}"
    if sign == "comma":
        text = text.translate(str.maketrans(",.", ".,"))
    assert Numbers(told=sign).decimal(text) == value


@given(st.text(alphabet="0123456789.,- ", max_size=12))
def test_any_text_is_a_number_or_refused(text: str):
    with suppress(ValueError):
        assert file_of("1.5").decimal(text).is_finite()
