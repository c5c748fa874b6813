"""Each reply of Twilio once; three refusals, and a look-up that comes late, on both databases."""

import pytest

from .twilio_faults import CASES, FAULTS

#: What a reply means is not the database's matter: the whole table on PostgreSQL is left to `make faults`.
SAMPLED = {name: fault for name, fault in FAULTS.items() if name != "Twilio: every reply of the table, postgres"}


@pytest.mark.parametrize("fault", SAMPLED.values(), ids=SAMPLED)
def test_twilio_sends_nothing_twice_and_loses_nothing(sample, fault):
    row = sample(fault)
    assert row.tries in {len(CASES), 5, 4}
    assert row.uncertain == row.allowed  # as many as the fence leaves, so the fault bit
