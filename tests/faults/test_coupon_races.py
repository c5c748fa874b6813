"""One code is redeemed once, however many ask; and a code that somebody has is nobody else's."""

import re

import pytest

from .coupon_races import FAULTS

#: Two interpreters more for PostgreSQL's sake are left to `make faults`.
SAMPLED = {name: fault for name, fault in FAULTS.items() if name != "one code at many processes' tills, postgres"}


@pytest.mark.parametrize("fault", SAMPLED.values(), ids=SAMPLED)
def test_one_code_one_guest_one_till(sample, fault):
    row = sample(fault)
    again = re.search(r"(\d+) codes drawn again", row.note)
    assert "'yes': 1" in row.note or (again and int(again[1]) >= row.tries)
