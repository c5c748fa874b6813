"""Hypothesis does whatever can be done to a café, in any order, and the engine stays as the reference model says."""

import pytest

from .machine_homes import all_homes
from .walks import walk


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    return all_homes(tmp_path_factory.mktemp("machine"))


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 12), ("postgres", 2)])
def test_whatever_happens_the_engine_does_what_the_model_does(homes, request, kind, examples):
    if kind == "postgres":
        request.getfixturevalue("postgres_server")
    walk(kind, homes, examples)
