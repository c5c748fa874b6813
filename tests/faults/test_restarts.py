"""A sample of moments at which PostgreSQL goes away."""

from .restarts import FAULTS


def test_a_connection_that_ends_loses_nothing_and_doubles_nothing(sample):
    row = sample(FAULTS["PostgreSQL ends the connection at the k-th statement"])
    assert not row.note.startswith("0 ")


def test_nor_does_a_server_that_crashes(sample):
    assert sample(FAULTS["PostgreSQL is restarted at the k-th statement"]).tries == 1
