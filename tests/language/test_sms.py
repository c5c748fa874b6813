"""What a text costs as an SMS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.sms import Segments, clean, segments

GSM = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡AZÄÖÑÜ§¿azäöñüà\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 306, Segments("GSM-7", 306, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("a" * 159 + "€", Segments("GSM-7", 161, 2)),
        ("a" * 152 + "€" * 77, Segments("GSM-7", 306, 3)),  # 152 + 154: the euro that would be parted moves on
        ("好" * 70, Segments("UCS-2", 70, 1, "好")),
        ("好" * 71, Segments("UCS-2", 71, 2, "好")),
        ("好" * 134, Segments("UCS-2", 134, 2, "好")),
        ("好" * 135, Segments("UCS-2", 135, 3, "好")),
        ("😀" * 35, Segments("UCS-2", 70, 1, "😀")),
        ("😀" * 36, Segments("UCS-2", 72, 2, "😀")),
        ("😀" * 67, Segments("UCS-2", 134, 3, "😀")),  # 33 in a segment, not 33 and a half
        ("It’s a “deal”", Segments("UCS-2", 13, 1, "’“”")),
        ("Café", Segments("GSM-7", 4, 1)),
        ("ç", Segments("UCS-2", 1, 1, "ç")),  # the small one is not in the table
    ],
)
def test_segments(text, expected):
    assert segments(text) == expected


def test_the_whole_table_is_gsm():
    assert segments(GSM) == Segments("GSM-7", len(GSM), 1)
    assert segments("^{}\\[~]|€") == Segments("GSM-7", 18, 1)


@given(
    st.text(st.sampled_from(GSM + "€[]~"), max_size=500)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
)
def test_segments_hold_the_units_and_no_more_than_needed(text):
    found = segments(text)
    alone, each = (160, 153) if found.encoding == "GSM-7" else (70, 67)
    assert (found.count == 1) == (found.units <= alone)
    if found.count > 1:
        assert found.units <= found.count * each
        assert found.units > (found.count - 1) * (each - 1)


@given(st.text(max_size=200), st.text(max_size=5))
def test_more_text_never_costs_less(text, more):
    assert segments(text + more).count >= segments(text).count


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("a\tb", "a b"),
        ("a\x00b\x1b[0mc\x7f", "ab[0mc"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("\ufeffhi", "hi"),
        ("👩‍🍳", "👩‍🍳"),
        ("早安，Café!", "早安，Café!"),
    ],
)
def test_what_no_phone_shows_is_taken_out(text, cleaned):
    assert clean(text) == cleaned


@given(st.text(max_size=100))
def test_cleaning_twice_changes_nothing_more(text):
    assert clean(clean(text)) == clean(text)
