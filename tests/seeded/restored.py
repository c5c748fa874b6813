"""Mistakes in what a restored database is recognised by."""

from __future__ import annotations

from tests.seeded.bug import Bug

RESTORED: tuple[Bug, ...] = (
    Bug(
        "a run that slept does not look whether the database was put back",
        "engine/dispatch/stages.py",
        "    desk.recognise()\n    at = desk.now()\n",
        "    at = desk.now()\n",
        ("tests/dispatch/test_put_back.py",),
    ),
    Bug(
        "a worker looks only once whether the database was put back",
        "engine/dispatch/stages.py",
        "        desk.recognise()  # what is claimed from an older one may have gone out\n",
        "",
        ("tests/dispatch/test_put_back.py",),
    ),
    Bug(
        "PostgreSQL does not wait for the disk",
        "engine/database/engines.py",
        " -c synchronous_commit=on",
        " -c synchronous_commit=off",
        ("tests/database/test_engines.py",),
    ),
    Bug(
        "a hand-over that the journal has twice is none to verify",
        "engine/dispatch/proofs.py",
        "for one, other in pairwise(keys) if one == other",
        "for one, other in pairwise(keys) if one > other",
        ("tests/dispatch/test_proofs.py",),
    ),
)
