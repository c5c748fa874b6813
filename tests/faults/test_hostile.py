"""Names and addresses made up to break mail: one recipient, our headers, and the name as text only."""

import pytest

from .hostile import FAULTS


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_hostile_guest_gets_one_plain_message_or_none(sample, fault):
    row = sample(fault)
    assert " sent" in row.note
    assert " dead" in row.note  # crooked addresses, that nothing was sent to
