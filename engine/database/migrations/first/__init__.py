"""The tables of the first release, written out: later changes of the tables do not change what it made."""
