"""Coupon codes: what can be drawn, read back, and what a slip of the pen does."""

from hypothesis import given
from hypothesis import strategies as st

from engine.language import codes

bodies = st.text(codes.ALPHABET, min_size=codes.LENGTH, max_size=codes.LENGTH)


def test_the_alphabet_holds_nothing_that_looks_like_something_else():
    assert not set("0O1ILU") & set(codes.ALPHABET)
    assert len(codes.ALPHABET) == len(set(codes.ALPHABET)) == 30


def test_a_drawn_code_reads_as_itself_however_it_is_typed():
    code = codes.draw()
    assert len(code) == 13
    assert codes.read(code) == code
    assert codes.read(f"  {codes.shown(code).lower()} ") == code


def test_two_draws_differ():
    assert len({codes.draw() for _ in range(1000)}) == 1000


@given(bodies, st.integers(0, 12), st.sampled_from(codes.ALPHABET))
def test_one_wrong_character_is_always_found(body, place, wrong):
    code = body + codes.check_character(body)
    slip = code[:place] + wrong + code[place + 1 :]
    assert (codes.read(slip) is None) == (slip != code)


def test_a_known_code_keeps_its_check_character():
    assert codes.check_character("23456789ABCD") == "M"  # worked out by hand: the sum is 102
    assert codes.shown("23456789ABCDM") == "2345-6789-ABCD-M"


def test_a_text_that_is_no_code_is_none():
    for text in ("", "TWENTY", "0O1ILU0O1ILU0", "2" * 14, "birthday cake", "ééééééééééééé"):
        assert codes.read(text) is None
