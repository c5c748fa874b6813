"""Files that a spreadsheet opened and saved again: each refused row says what happened and how to get it right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.damage import meant_by
from engine.database.tables import customers
from tests.intake.conftest import Home, csv


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("CafÃ© Ann", '"CafÃ© Ann" should be "Café Ann": a program read UTF-8 as another encoding'),
        ("Jâ€™s", '"Jâ€™s" should be "J’s": a program read UTF-8 as another encoding'),
        ("########", '"########": a spreadsheet saved a column that was too narrow to be shown'),
        ("#REF!", '"#REF!" is the error of a spreadsheet, not what stood there'),
        ("=A1&B1", "a cell holds a formula (it begins with =): save its value"),
    ],
)
def test_a_spoilt_cell_is_refused_with_its_line_and_cure(home: Home, cell: str, said: str):
    report = home.take(csv("customer_id,name", "1,Ann", f"2,{cell}", "3,Café Müller"))
    assert (report.new, report.refused) == (2, 1)
    assert home.rows(customers, "name") == ["Ann", "Café Müller"]
    assert report.rejects_path is not None
    rejected = report.rejects_path.read_text(encoding="utf-8-sig")
    assert said in rejected.replace('""', '"')
    assert "3" in rejected.splitlines()[1]


@pytest.mark.parametrize("cell", ["#1001", "A = B", "=)", "Ã", "naïve façade", "王小丽", "50 €", "Señor Ñandú", "#"])
def test_what_can_be_meant_is_taken(home: Home, cell: str):
    report = home.take(csv("customer_id,name", f"1,{cell}"))
    assert (report.new, report.refused) == (1, 0)


@given(st.text(alphabet="aé ö’€ñÅ", min_size=1))
def test_what_was_read_wrongly_is_always_found(text: str):
    try:
        spoilt = text.encode().decode("cp1252")
    except UnicodeError:
        return
    assert meant_by(spoilt) == (None if text.isascii() else text)
