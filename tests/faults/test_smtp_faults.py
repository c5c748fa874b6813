"""A sample of a mail server's faults; all of them, on both databases, by `make faults`."""

import pytest

from .smtp_faults import FAULTS


@pytest.mark.parametrize("fault", FAULTS)
def test_the_row_is_what_the_table_says_and_the_message_is_accepted_once(sample, fault):
    row = sample(FAULTS[fault])
    assert row.tries >= 8
    assert row.uncertain == row.window  # each that the server may have is called so, and no other
